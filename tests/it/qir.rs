//! The int8 program: the verifier names what is wrong, the text form, the file form.

use fratc::qir::{self, Bias, InputKind, Op, PadValue, Program, TensorId};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, RngSeed};

use crate::programs;

/// Code and place of the error that `change` causes in `program`.
fn broken(mut program: Program, change: impl FnOnce(&mut Program)) -> String {
    change(&mut program);
    match program.verify() {
        Ok(()) => "valid".into(),
        Err(e) => e.to_string(),
    }
}

fn conv(program: &mut Program, layer: usize) -> &mut qir::Conv {
    match &mut program.layers[layer].op {
        Op::Conv(conv) | Op::Depthwise(conv) => conv,
        _ => unreachable!("layer {layer} is a convolution"),
    }
}

fn check(found: &str, parts: &[&str]) {
    for part in parts {
        assert!(found.contains(part), "{part:?} is not in {found:?}");
    }
}

fn shorten<T>(values: &mut Vec<T>) {
    values.pop();
}

#[test]
fn names_are_checked() {
    for name in ["", "9lives", "Net", "a b", "fn", "é", "-a"] {
        check(&broken(programs::plain(), |p| p.name = name.into()), &["qir/bad-name"]);
    }
    for name in ["a", "cat_dog-2"] {
        assert_eq!(broken(programs::plain(), |p| p.name = name.into()), "valid");
    }
    check(&broken(programs::plain(), |p| p.layers[1].name = "conv1".into()), &["qir/bad-layer-name", "\"conv1\""]);
    check(&broken(programs::plain(), |p| p.layers[1].name.clear()), &["qir/bad-layer-name"]);
    check(&broken(programs::plain(), |p| p.classes[0] = "dog".into()), &["qir/class-names"]);
    check(
        &broken(programs::plain(), |p| shorten(&mut p.classes)),
        &["expected [1, 1, 3], found [1, 1, 4]", "qir/class-count"],
    );
}

#[test]
fn order_is_checked() {
    check(&broken(programs::plain(), |p| p.layers.swap(0, 1)), &["layer \"pool1\"", "qir/read-before-write"]);
    check(&broken(programs::plain(), |p| p.layers[1].output = TensorId(1)), &["qir/written-twice"]);
    check(&broken(programs::plain(), |p| p.layers[1].output = TensorId(0)), &["qir/written-twice"]);
    check(&broken(programs::plain(), |p| p.layers[1].output = TensorId(99)), &["qir/no-such-tensor"]);
    check(&broken(programs::plain(), |p| p.layers[1].inputs[0] = TensorId(99)), &["qir/read-before-write"]);
    check(&broken(programs::plain(), |p| shorten(&mut p.layers)), &["qir/never-written"]);
    check(&broken(programs::plain(), |p| p.output = TensorId(77)), &["qir/no-such-tensor"]);
    check(&broken(programs::plain(), |p| p.output = TensorId(0)), &["qir/no-layers"]);
    check(&broken(programs::plain(), |p| p.layers[0].inputs.clear()), &["qir/input-count"]);
    check(&broken(programs::plain(), |p| p.tensors.clear()), &["qir/no-input"]);
}

#[test]
fn shapes_and_windows_are_checked() {
    check(&broken(programs::plain(), |p| p.tensors[1].shape.h = 0), &["tensor %1 \"conv1\"", "qir/bad-shape"]);
    check(&broken(programs::plain(), |p| p.tensors[0].shape.h = usize::MAX), &["qir/bad-shape"]);
    check(&broken(programs::plain(), |p| p.tensors[1].shape.h = 9), &["rows", "qir/window-mismatch"]);
    check(&broken(programs::plain(), |p| p.tensors[1].shape.w = 90), &["columns", "qir/window-mismatch"]);
    check(&broken(programs::plain(), |p| conv(p, 0).window.stride = [0, 1]), &["qir/bad-window"]);
    check(&broken(programs::plain(), |p| conv(p, 0).window.kernel = [usize::MAX; 2]), &["qir/bad-window"]);
    check(
        &broken(programs::plain(), |p| {
            // The first window's taps are one before the first row and one behind the last.
            p.layers[1].op =
                Op::MaxPool(qir::Window { kernel: [2; 2], stride: [2; 2], dilation: [14; 2], pad: [1; 2] });
        }),
        &["layer \"pool1\"", "qir/empty-window"],
    );
    check(&broken(programs::residual(), |p| p.tensors[5].shape.c = 11), &["qir/"]);
    check(&broken(programs::branches(), |p| p.layers[4].inputs.truncate(2)), &["qir/wrong-length", "\"concat\""]);
}

#[test]
fn lengths_are_checked() {
    let wrong = "qir/wrong-length";
    check(&broken(programs::plain(), |p| shorten(&mut conv(p, 0).weights)), &["weights", "216", "215", wrong]);
    check(&broken(programs::separable(), |p| shorten(&mut conv(p, 1).weights)), &["weights", wrong]);
    check(&broken(programs::plain(), |p| conv(p, 0).bias = Bias::Channel(vec![0])), &["biases", wrong]);
    check(&broken(programs::plain(), |p| conv(p, 0).pad = PadValue::Channel(vec![0])), &["pad values", wrong]);
    check(&broken(programs::plain(), |p| conv(p, 0).requant.multipliers.clear()), &["multipliers", wrong]);
    let border = |p: &mut Program, change: fn(&mut Vec<u8>, &mut Vec<u8>, &mut Vec<i32>)| {
        if let Bias::Border { rows, cols, table, .. } = &mut conv(p, 0).bias {
            change(rows, cols, table);
        }
    };
    check(&broken(programs::border(), |p| border(p, |rows, _, _| shorten(rows))), &["row classes", wrong]);
    check(&broken(programs::border(), |p| border(p, |_, cols, _| shorten(cols))), &["column classes", wrong]);
    check(&broken(programs::border(), |p| border(p, |_, _, table| shorten(table))), &["border biases", wrong]);
    check(&broken(programs::border(), |p| border(p, |rows, _, _| rows[0] = 3)), &["border biases", wrong]);
    check(&broken(programs::border(), |p| border(p, |_, cols, _| cols[0] = 3)), &["qir/border-class"]);
    let table = |p: &mut Program| {
        if let Op::Lookup(table) = &mut p.layers[3].op {
            table.pop();
        }
    };
    check(&broken(programs::separable(), table), &["table entries", "256", "255", wrong]);
}

#[test]
fn scales_and_clamps_are_checked() {
    for scale in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        check(&broken(programs::plain(), |p| p.tensors[2].quant.scale = scale), &["qir/bad-scale"]);
    }
    check(&broken(programs::plain(), |p| p.tensors[1].quant.zero_point = 128), &["qir/not-i8"]);
    check(&broken(programs::plain(), |p| p.tensors[1].quant.zero_point = 0), &["qir/zero-point"]);
    check(&broken(programs::plain(), |p| p.tensors[2].quant.scale = 9.0), &["\"pool1\"", "qir/scale-mismatch"]);
    check(&broken(programs::plain(), |p| conv(p, 0).requant.max = 128), &["qir/not-i8"]);
    check(
        &broken(programs::plain(), |p| (conv(p, 0).requant.min, conv(p, 0).requant.max) = (4, 3)),
        &["qir/empty-clamp"],
    );
    check(&broken(programs::plain(), |p| conv(p, 0).requant.multipliers[0] = -1), &["qir/negative-multiplier"]);
    check(&broken(programs::plain(), |p| conv(p, 0).requant.shift = 32), &["qir/bad-shift"]);
}

#[test]
fn overflow_is_refused_at_the_exact_bound() {
    let with_bias = |bias: i32, shift: u32| {
        broken(programs::plain(), |p| {
            let conv = conv(p, 0);
            conv.weights.fill(1);
            conv.requant.shift = shift;
            conv.bias = Bias::Channel(vec![bias; 8]);
        })
    };
    // 27 weights of 1 times 128.
    let room = i32::MAX - 27 * 128;
    assert_eq!(with_bias(room, 0), "valid");
    check(
        &with_bias(room + 1, 0),
        &["layer \"conv1\"", "expected at most 2147483647, found 2147483648", "qir/overflow"],
    );
    assert_eq!(with_bias(-room, 0), "valid");
    check(&with_bias(i32::MIN, 0), &["qir/overflow"]);
    assert_eq!(with_bias(((1 << 28) - 1) - 27 * 128, 3), "valid");
    check(&with_bias((1 << 28) - 27 * 128, 3), &["qir/overflow"]);
    let add = |factors: [i32; 2]| {
        broken(programs::residual(), |p| {
            if let Op::Add(add) = &mut p.layers[4].op {
                add.factors = factors;
                add.constant = 0;
            }
        })
    };
    assert_eq!(add([1 << 23, (1 << 23) - 1]), "valid");
    check(&add([1 << 23, 1 << 23]), &["\"block1/add\"", "qir/overflow"]);
}

#[test]
fn raw_pixels_are_not_summed() {
    let sum = |kind: InputKind| {
        broken(programs::residual(), |p| {
            p.input_kind = kind;
            p.tensors[0].shape = p.tensors[1].shape;
            let n = 8 * 9 * 8;
            conv(p, 0).weights = vec![1; n];
            p.tensors[5].shape = p.tensors[0].shape;
            p.tensors.truncate(3);
            p.layers.truncate(2);
            p.output = TensorId(2);
            p.layers[1].op = Op::Concat;
            p.layers[1].inputs = vec![TensorId(0), TensorId(0)];
            p.tensors[2].shape = qir::Hwc { c: 16, ..p.tensors[0].shape };
        })
    };
    check(&sum(InputKind::U8), &["a concatenation reads raw pixels", "qir/raw-pixels"]);
    // As features all is well up to the output, which is no vector of scores.
    check(&sum(InputKind::I8), &["qir/class-count"]);
}

#[test]
fn text_form() {
    let text: Vec<String> = programs::all().iter().map(ToString::to_string).collect();
    insta::with_settings!({snapshot_path => "../snapshots"}, { insta::assert_snapshot!(text.join("\n")) });
}

#[test]
fn files_return_the_same_program() {
    let dir = tempfile::tempdir().expect("folder");
    for program in programs::all() {
        let path = dir.path().join("net.fratcq");
        qir::save(&program, &path).expect("saved");
        assert_eq!(qir::load(&path).expect("loaded"), program);
        assert_eq!(qir::to_bytes(&program).expect("bytes"), std::fs::read(&path).expect("file"));
    }
    let missing = qir::load(&dir.path().join("missing")).expect_err("no file").to_string();
    check(&missing, &["missing", "qir/unreadable"]);
}

#[test]
fn damaged_files_are_named() {
    let bytes = qir::to_bytes(&programs::plain()).expect("bytes");
    let error = |bytes: &[u8]| qir::from_bytes(bytes).expect_err("damaged").to_string();
    check(&error(b""), &["an empty file", "qir/not-a-program"]);
    check(&error(b"\x08\x07\x12\x07pytorch"), &["qir/not-a-program"]);
    check(&error(&bytes[..20]), &["qir/truncated"]);
    check(&error(&bytes[..bytes.len() - 1]), &["qir/truncated", &format!("expected {} bytes", bytes.len())]);
    check(&error(&[&bytes[..], &[0]].concat()), &["qir/damaged"]);
    let mut version = bytes.clone();
    version[8] = 77;
    check(&error(&version), &["expected 2, found 77", "qir/wrong-version"]);
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 1;
    check(&error(&flipped), &["qir/damaged", "checksum"]);
    let mut invalid = programs::plain();
    invalid.name = "fn".into();
    check(&error(&qir::to_bytes(&invalid).expect("bytes")), &["qir/bad-name"]);
}

proptest! {
    #![proptest_config(Config {
        cases: 300,
        rng_algorithm: RngAlgorithm::ChaCha,
        rng_seed: RngSeed::Fixed(7),
        failure_persistence: None,
        ..Config::default()
    })]

    /// The checksum set right again, so that the reader and the verifier see the damage: no panic, and what is
    /// accepted runs.
    #[test]
    fn any_body_is_read_or_refused(
        which in 0..6_usize,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        use sha2::Digest as _;
        const HEADER: usize = 8 + 4 + 8 + 32;
        let mut bytes = qir::to_bytes(&programs::all()[which]).expect("bytes");
        let body = bytes.len() - HEADER;
        // Most of a program is weights: the structure is at the start and the end.
        for (index, value) in changes {
            let at = index.index(body.min(2 * 300));
            let at = if at < 300 { at } else { body - (at - 300) - 1 };
            bytes[HEADER + at] = value;
        }
        let digest = sha2::Sha256::digest(&bytes[HEADER..]);
        bytes[HEADER - 32..HEADER].copy_from_slice(&digest);
        if let Ok(program) = qir::from_bytes(&bytes) {
            let pixels = vec![100; program.tensor(program.input()).shape.len()];
            prop_assert_eq!(fratc::sim::run(&program, &pixels).len(), program.classes.len());
        }
    }
}
