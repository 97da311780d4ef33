//! `docs/bench.md`, written anew from measurements.
//!
//! `cargo test --release --test it -- --ignored --nocapture counts::docs` (minutes; needs the pack and QEMU)

use std::fmt::Write as _;
use std::fs;

use fratc::bench::{self, Counts, Measured};
use fratc::plan::Optimize;
use fratc::qir::{Hwc, Op, Program};

use super::{measured, measured_for, of_pack, qemu, simplified, whole};
use crate::shared::tell;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/bench.md");

/// The text around the tables.
const FRAME: &str = include_str!("bench.md.txt");

/// One inference on TFLM with CMSIS-NN, Cortex-M4F: instructions, estimated cycles, flash, of which the model, arena,
/// stack; MACs of the source model.
struct Peer {
    model: &'static str,
    macs: u64,
    instructions: u64,
    cycles: u64,
    flash: u64,
    arena: u64,
    stack: u64,
}

const PEERS: [Peer; 3] = [
    Peer {
        model: "resnet8_cifar10",
        macs: 12_501_632,
        instructions: 29_875_318,
        cycles: 36_760_000,
        flash: 199_992,
        arena: 54_996,
        stack: 1_588,
    },
    Peer {
        model: "dscnn_kws",
        macs: 2_656_768,
        instructions: 7_845_615,
        cycles: 9_510_000,
        flash: 156_912,
        arena: 22_820,
        stack: 1_588,
    },
    Peer {
        model: "mobilenetv1_vww",
        macs: 7_489_664,
        instructions: 24_721_220,
        cycles: 30_490_000,
        flash: 436_264,
        arena: 100_708,
        stack: 1_588,
    },
];

/// A layer under CMSIS-NN: operation as here, input and output shape, instructions, estimated cycles.
type PeerLayer = (&'static str, [usize; 3], [usize; 3], u64, u64);

const PEER_LAYERS: [PeerLayer; 16] = [
    ("conv 3x3", [32, 32, 3], [32, 32, 16], 2_134_137, 2_810_000),
    ("conv 3x3", [32, 32, 16], [32, 32, 16], 5_487_498, 6_790_000),
    ("conv 3x3", [32, 32, 16], [16, 16, 32], 2_519_232, 3_070_000),
    ("conv 3x3", [16, 16, 32], [16, 16, 32], 4_542_342, 5_510_000),
    ("conv 3x3", [16, 16, 32], [8, 8, 64], 2_188_603, 2_640_000),
    ("conv 3x3", [8, 8, 64], [8, 8, 64], 4_155_294, 4_990_000),
    ("conv 1x1", [32, 32, 16], [16, 16, 32], 562_886, 690_000),
    ("conv 1x1", [16, 16, 32], [8, 8, 64], 420_638, 530_000),
    ("conv 10x4", [49, 10, 1], [25, 5, 64], 1_111_178, 1_420_000),
    ("depthwise 3x3", [25, 5, 64], [25, 5, 64], 599_615, 730_000),
    ("depthwise 3x3", [48, 48, 8], [48, 48, 8], 1_651_112, 2_020_000),
    ("depthwise 3x3", [6, 6, 128], [6, 6, 128], 334_982, 410_000),
    ("conv 1x1", [25, 5, 64], [25, 5, 64], 1_068_927, 1_270_000),
    ("conv 1x1", [48, 48, 8], [48, 48, 16], 1_954_935, 2_460_000),
    ("conv 1x1", [6, 6, 128], [6, 6, 128], 1_079_167, 1_290_000),
    ("add", [32, 32, 16], [32, 32, 16], 1_325_154, 1_630_000),
];

const OTHER_CORES: [&str; 5] = ["qemu-m7", "qemu-m33", "qemu-m55", "qemu-m3", "qemu-m0"];

/// `12,345`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|g| std::str::from_utf8(g).expect("digits")).collect();
    groups.join(",")
}

fn megas(cycles: Option<u64>) -> String {
    cycles.map_or_else(|| "-".into(), |cycles| format!("{:.2} M", cycles as f64 / 1e6))
}

fn times(peer: u64, ours: Option<u64>) -> String {
    ours.map_or_else(|| "-".into(), |ours| format!("{:.2}×", peer as f64 / ours as f64))
}

fn shape(Hwc { h, w, c }: Hwc) -> [usize; 3] {
    [h, w, c]
}

/// `conv 3x3`: kernel size without the step, which the shapes tell.
fn words(op: &Op) -> String {
    let sized = |name: &str, [h, w]: [usize; 2]| format!("{name} {h}x{w}");
    match op {
        Op::Conv(conv) => sized("conv", conv.window.kernel),
        Op::Depthwise(conv) => sized("depthwise", conv.window.kernel),
        Op::Dense(_) => "dense".into(),
        Op::Add(_) => "add".into(),
        Op::MaxPool(window) => sized("max pool", window.kernel),
        Op::AvgPool(pool) => sized("mean pool", pool.window.kernel),
        Op::Concat => "concat".into(),
        Op::Lookup(_) => "lookup".into(),
        Op::Grouped(grouped) => sized("grouped", grouped.conv.window.kernel),
        Op::Gate(_) => "gate".into(),
        Op::Flatten => "flatten".into(),
        Op::Adapt(_) => "adapt".into(),
    }
}

/// A line per layer, beside CMSIS-NN where that was measured.
fn layers(program: &Program, measured: &Measured, text: &mut String) {
    *text += "| layer | MACs | instructions | per MAC | est. cycles | CMSIS-NN instructions | est. cycles | faster, in cycles |\n\
              |---|---|---|---|---|---|---|---|\n";
    for (layer, Counts { instructions, cycles }) in program.layers.iter().zip(&measured.layers) {
        let (op, macs) = (words(&layer.op), program.layer_macs(layer));
        let (input, output) = (program.tensor(layer.inputs[0]).shape, program.tensor(layer.output).shape);
        let (input, output) = (shape(input), shape(output));
        let per_mac = if macs > 0 { format!("{:.2}", *instructions as f64 / macs as f64) } else { "-".to_string() };
        let size = |[h, w, c]: [usize; 3]| format!("{h}×{w}×{c}");
        let _ = write!(
            text,
            "| {op} {} → {} | {} | {} | {per_mac} | {} |",
            size(input),
            size(output),
            grouped(macs),
            grouped(*instructions),
            megas(*cycles)
        );
        let peer = PEER_LAYERS.iter().find(|p| (p.0, p.1, p.2) == (op.as_str(), input, output));
        let _ = match peer {
            Some((.., peer, peer_cycles)) => writeln!(
                text,
                " {} | {} | {} |",
                grouped(*peer),
                megas(Some(*peer_cycles)),
                times(*peer_cycles, *cycles)
            ),
            None => writeln!(text, " | | |"),
        };
    }
}

/// A line for each goal: what the network costs with kernels chosen for it.
fn goals(program: &Program, text: &mut String) {
    for goal in [Optimize::Speed, Optimize::Balanced, Optimize::Size, Optimize::Ram] {
        let (found, arena) = measured_for(program, "qemu-m4", goal);
        tell(&format!("{} for {} {:?}", program.name, goal.name(), found.whole));
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            program.name,
            goal.name(),
            grouped(found.whole.instructions),
            megas(found.whole.cycles),
            grouped(found.footprint.total_bytes),
            grouped(found.footprint.code_bytes),
            grouped(arena as u64),
            grouped(found.stack_bytes)
        );
    }
}

/// A line for each layer on Cortex-M7 that was measured under CMSIS-NN.
fn on_m7(program: &Program, text: &mut String) {
    let found = measured(program, "qemu-m7", &bench::Options::default());
    for (layer, Counts { instructions, .. }) in program.layers.iter().zip(&found.layers) {
        let op = words(&layer.op);
        let (input, output) = (program.tensor(layer.inputs[0]).shape, program.tensor(layer.output).shape);
        let peer = PEER_LAYERS.iter().find(|p| (p.0, p.1, p.2) == (op.as_str(), shape(input), shape(output)));
        if let Some((_, [h, w, c], [to_h, to_w, to_c], peer, _)) = peer {
            let _ = writeln!(
                text,
                "| {op} {h}×{w}×{c} → {to_h}×{to_w}×{to_c} | {} | {} | {} |",
                grouped(*instructions),
                grouped(*peer),
                times(*peer, Some(*instructions))
            );
        }
    }
}

#[test]
#[ignore = "writes docs/bench.md: minutes"]
fn write() {
    assert!(qemu(), "QEMU is needed");
    let options = bench::Options::default();
    let (mut wholes, mut details, mut others) = (String::new(), String::new(), String::new());
    let (mut kept, mut m7) = (String::new(), String::new());
    for peer in &PEERS {
        let source = of_pack(peer.model).expect("the pack of real networks");
        let program = simplified(&source, "qemu-m4");
        let found = measured(&program, "qemu-m4", &options);
        tell(&format!("{} qemu-m4 {:?}", peer.model, found.whole));
        let plan = fratc::plan::plan_for(&program, &fratc::target::Target::load("qemu-m4").expect("shipped"));
        let arena = plan.expect("plans").arena_bytes as u64;
        let Counts { instructions, cycles } = found.whole;
        let _ = writeln!(
            wholes,
            "| {} | TFLM + CMSIS-NN | {} | {} | {} | {} | {} | {} | |",
            peer.model,
            grouped(peer.macs),
            grouped(peer.instructions),
            megas(Some(peer.cycles)),
            grouped(peer.flash),
            grouped(peer.arena),
            grouped(peer.stack)
        );
        let _ = writeln!(
            wholes,
            "| | fratc | {} | {} | {} | {} | {} | {} | {} |",
            grouped(program.macs()),
            grouped(instructions),
            megas(cycles),
            grouped(found.footprint.total_bytes),
            grouped(arena),
            grouped(found.stack_bytes),
            times(peer.cycles, cycles)
        );
        let _ = writeln!(
            details,
            "### {}\n\nFlash {} B: weights {}, tables {}, code {}.\n",
            peer.model,
            grouped(found.footprint.total_bytes),
            grouped(found.footprint.weights_bytes),
            grouped(found.footprint.tables_bytes),
            grouped(found.footprint.code_bytes)
        );
        goals(&program, &mut kept);
        on_m7(&program, &mut m7);
        layers(&program, &found, &mut details);
        details.push('\n');
        let _ = write!(others, "| {} | {} |", peer.model, grouped(instructions));
        for core in OTHER_CORES {
            let instructions = whole(&simplified(&source, core), core);
            tell(&format!("{} {core} {instructions}", peer.model));
            let _ = write!(others, " {} ({:.2}) |", grouped(instructions), instructions as f64 / source.macs() as f64);
        }
        others.push('\n');
    }
    let text = FRAME.replace("{wholes}\n", &wholes).replace("{details}\n", &details).replace("{others}\n", &others);
    let text = text.replace("{goals}\n", &kept).replace("{m7}\n", &m7);
    let text = text.replace("{model}\n", &super::fit::errors());
    fs::write(PATH, text).expect("written");
}
