//! Predicted sizes against linked ELF files, and the table that code is predicted with.
//!
//! `cargo test --release --test it -- --ignored --nocapture code_sizes::write` links 15 crates for every sort of
//! core, and writes `src/plan/code_sizes.txt` (minutes; needs the Rust targets, no QEMU).

mod networks;
mod solve;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use fratc::emit::{self, Sample, emit};
use fratc::plan::code::{self, REST, SCHEDULE};
use fratc::plan::{Kernel, Optimize, Options, Plan, cost, plan_as, plan_for, plan_kernels};
use fratc::qir::{InputKind, Layer, Op, Program};
use fratc::sim;
use fratc::target::Target;
use fratc::verify::{self, Footprint};

use rayon::prelude::*;

use crate::counts::{of_pack, simplified};
use crate::programs::{self, Pattern};
use crate::random_program::random;
use crate::shared::{skipped, tell};
use networks::network;
use solve::least_squares;

const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/plan/code_sizes.txt");
const RUNTIME: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/runtime/src");

const CORES: [&str; 6] = ["qemu-m0", "qemu-m3", "qemu-m4", "qemu-m7", "qemu-m33", "qemu-m55"];

fn target(name: &str) -> Target {
    Target::load(name).expect("a shipped target")
}

/// What the crate of `program` takes; `None` where the target's library is not installed.
pub fn linked(program: &Program, plan: &Plan, target: &Target) -> Option<Footprint> {
    let input = Pattern::new(99).sample(program);
    let samples = vec![Sample { scores: sim::run(program, &input), input }];
    let files = emit(program, plan, target, &emit::Options { samples, ..emit::Options::default() }).expect("emits");
    match verify::footprint(&files, &program.name, target, &verify::Options::default()) {
        Ok(footprint) => Some(footprint),
        Err(error) if error.code == "verify/no-rust-target" => {
            skipped(&error.what);
            None
        }
        Err(error) => unreachable!("{error}"),
    }
}

/// Whether a function of the runtime is made anew for each type of element.
fn is_generic(path: &str) -> bool {
    let Some(rest) = path.strip_prefix("kernels::") else { return false };
    let Some((module, name)) = rest.rsplit_once("::") else { return false };
    let text = fs::read_to_string(format!("{RUNTIME}/{}.rs", module.replace("::", "/")));
    text.is_ok_and(|text| text.contains(&format!("fn {name}<T")))
}

/// What `infer` calls beside the layers.
const ARGMAX: &str = "kernels::argmax::argmax";

/// A function of the network's own: a kernel, or what kernels need of the compiler's library.
fn is_kernel(path: &str) -> bool {
    path != "infer" && path != ARGMAX && !path.starts_with("bare_metal::") && !path.starts_with("layers::")
}

/// What one core's table is made from.
#[derive(Default)]
struct Seen {
    functions: BTreeMap<String, u64>,
    /// The functions that each form runs.
    forms: BTreeMap<String, Vec<String>>,
    /// Bytes of layers' own functions by form, called whole and in bands.
    calls: BTreeMap<String, Vec<f64>>,
    banded: BTreeMap<String, Vec<f64>>,
    structs: BTreeMap<String, u64>,
    infer: Vec<(Vec<f64>, f64)>,
    rest: Vec<(Vec<f64>, f64)>,
}

fn forms_of(program: &Program, plan: &Plan) -> Vec<String> {
    let form = |step: &fratc::plan::Step| code::form(program, &program.layers[step.layer], step.kernel, step.in_place);
    plan.steps.iter().map(form).collect()
}

impl Seen {
    /// What is known of one core.
    fn of(target: &Target, networks: &[Program]) -> Self {
        let mut seen = Self::default();
        let mut add = |program: &Program, plan: &Plan| {
            let found = linked(program, plan, target).expect("every Rust target is needed");
            seen.add_crate(program, plan, &found);
            tell(&format!("{} {} {}", target.name, program.name, found.code_bytes));
        };
        for program in [InputKind::U8, InputKind::I8].map(network) {
            add(&program, &plan_kernels(&program, &kernels(&program, target)).expect("plans"));
        }
        for network in networks {
            let program = simplified(network, &target.name);
            // Bands with and without scratch memory come with different goals.
            for optimize in [Optimize::Speed, Optimize::Balanced, Optimize::Size, Optimize::Ram] {
                add(&program, &plan_as(&program, target, &Options { optimize, ..Options::default() }).expect("plans"));
            }
        }
        // Of strips more than one length.
        let program = simplified(&programs::resnet8(), &target.name);
        let options = Options { optimize: Optimize::Ram, ..Options::default() };
        add(&program, &plan_as(&program, target, &options).expect("plans"));
        seen
    }

    /// Adds what layers, `infer` and the rest take.
    fn add_crate(&mut self, program: &Program, plan: &Plan, found: &Footprint) {
        let functions = emit::layer_functions(program);
        let forms = forms_of(program, plan);
        for (step, form) in plan.steps.iter().zip(&forms) {
            let layer = &program.layers[step.layer];
            let of_elf = found.layers.get(&functions[step.layer]).cloned().unwrap_or_default();
            self.add_form(form, &of_elf.functions, found);
            let group = if step.by_rows() && !matches!(layer.op, Op::Add(_) | Op::Lookup(_)) {
                &mut self.banded
            } else {
                &mut self.calls
            };
            group.entry(form.clone()).or_default().push(of_elf.code_bytes as f64);
            let planned = plan.sizes.layers[step.layer].tables - code::struct_bytes(layer, step.kernel);
            let bytes = of_elf.tables_bytes - planned as u64;
            let known = *self.structs.entry(cost::form(&layer.op, step.kernel).into()).or_insert(bytes);
            assert_eq!(known, bytes, "{form} in {}", program.name);
        }
        // What moves and borrows rows in strips is there for the schedule.
        let helpers = found
            .functions
            .iter()
            .filter(|(path, _)| path.strip_prefix("layers::").is_some_and(|name| !found.layers.contains_key(name)));
        let helpers: u64 = helpers.map(|(_, bytes)| bytes).sum();
        let infer = found.functions["infer"] + found.functions[ARGMAX] + helpers;
        let kernels: u64 = found.functions.iter().filter(|(path, _)| is_kernel(path)).map(|(_, bytes)| bytes).sum();
        let own: u64 = found.layers.values().map(|layer| layer.code_bytes).sum();
        let features = code::schedule_features(program, plan).to_vec();
        tell(&format!("{} infer {infer}: {features:?}", program.name));
        self.infer.push((features, infer as f64));
        let rest = found.code_bytes as f64 - (kernels + own + infer) as f64;
        self.rest.push((vec![1.0, plan.steps.len() as f64], rest));
    }

    /// Adds the functions that a layer of this form runs; of a function's sizes in several crates the largest counts.
    fn add_form(&mut self, form: &str, functions: &[(String, u64)], own: &Footprint) {
        let element = if form.ends_with("of u8") { "<u8>" } else { "<i8>" };
        let named = functions
            .iter()
            .filter(|(path, _)| own.functions.contains_key(path))
            .map(|(path, bytes)| (if is_generic(path) { format!("{path}{element}") } else { path.clone() }, *bytes));
        let named: Vec<(String, u64)> = named.collect();
        for (name, bytes) in &named {
            let known = self.functions.entry(name.clone()).or_default();
            *known = (*known).max(*bytes);
        }
        let known = self.forms.entry(form.into()).or_default();
        known.extend(named.into_iter().map(|(name, _)| name));
        known.sort();
        known.dedup();
    }

    fn text(&self, core: &str) -> String {
        let mut text = String::new();
        let mean = |all: &[f64]| (all.iter().sum::<f64>() / all.len() as f64).round();
        for (name, bytes) in &self.functions {
            let _ = writeln!(text, "{core} | function | {name} | {bytes}");
        }
        for (form, functions) in &self.forms {
            let _ = writeln!(text, "{core} | form | {form} | {} | {}", mean(&self.calls[form]), functions.join(", "));
        }
        for (form, bytes) in self.banded.iter().filter(|(form, _)| self.forms.contains_key(*form)) {
            let _ = writeln!(text, "{core} | banded | {form} | {}", mean(bytes));
        }
        let words = |weights: &[f64]| weights.iter().map(|w| format!("{w:.1}")).collect::<Vec<_>>().join(" ");
        let _ = writeln!(text, "{core} | infer | {}", words(&least_squares(&self.infer, SCHEDULE)));
        let _ = writeln!(text, "{core} | rest | {}", words(&least_squares(&self.rest, REST)));
        text
    }
}

/// Every kernel that can run the network's layers, each on a layer of its own as far as there are enough.
fn kernels(program: &Program, target: &Target) -> Vec<Kernel> {
    let mut used: Vec<(&str, Kernel)> = Vec::new();
    let candidates = cost::candidates(program, target);
    let mut choose = |(layer, all): (&Layer, &Vec<cost::Candidate>)| {
        if !matches!(layer.op, Op::Conv(_) | Op::Depthwise(_) | Op::Dense(_) | Op::MaxPool(_)) {
            return all[0].kernel;
        }
        let fresh = all.iter().map(|c| c.kernel).find(|kernel| !used.contains(&(layer.op.name(), *kernel)));
        let kernel = fresh.unwrap_or(all[all.len() - 1].kernel);
        used.push((layer.op.name(), kernel));
        kernel
    };
    program.layers.iter().zip(&candidates).map(&mut choose).collect()
}

/// Networks that tell what layers in bands and their schedule take.
fn whole_networks() -> Vec<Program> {
    vec![programs::separable(), programs::branches(), programs::residual()]
}

#[test]
#[ignore = "links 90 crates and writes src/plan/code_sizes.txt"]
fn write() {
    let compiler = Command::new("rustc").arg("--version").current_dir(std::env::temp_dir()).output().expect("rustc");
    let compiler = String::from_utf8_lossy(&compiler.stdout);
    let version: Vec<&str> = compiler.split(' ').take(2).collect();
    let mut text = format!(
        "# Bytes of code, see code.rs. Written by `cargo test --release --test it -- --ignored code_sizes::write`\n# with {}.\n",
        version.join(" ")
    );
    let mut structs: BTreeMap<String, u64> = BTreeMap::new();
    let networks = whole_networks();
    let of_core = |name| {
        let seen = Seen::of(&target(name), &networks);
        tell(&seen.text(code::core(&target(name))));
        let structs: Vec<String> =
            seen.structs.iter().map(|(form, bytes)| format!("struct | {form} | {bytes}")).collect();
        tell(&structs.join("\n"));
        (name, seen)
    };
    let cores: Vec<(&str, Seen)> = CORES.into_par_iter().map(of_core).collect();
    for (name, seen) in cores {
        text += &seen.text(code::core(&target(name)));
        for (form, bytes) in seen.structs {
            assert_eq!(*structs.entry(form.clone()).or_insert(bytes), bytes, "{form}");
        }
    }
    for (form, bytes) in structs {
        let _ = writeln!(text, "struct | {form} | {bytes}");
    }
    fs::write(TABLE, text).expect("written");
}

/// Links `program` and holds it to its prediction; the error of the code as a share.
fn check(program: &Program, name: &str, optimize: Optimize) -> Option<f64> {
    let target = target(name);
    let program = simplified(program, name);
    let plan = plan_as(&program, &target, &Options { optimize, ..Options::default() }).expect("plans");
    let code = code::code(&program, &plan, &target).expect("every kernel was measured");
    let found = linked(&program, &plan, &target)?;
    let what = format!("{} {name} {}", program.name, optimize.name());
    assert_eq!(found.weights_bytes, plan.sizes.weights_bytes as u64, "weights of {what}");
    assert_eq!(found.tables_bytes, plan.sizes.tables_bytes as u64, "tables of {what}");
    let functions = emit::layer_functions(&program);
    for (step, sizes) in plan.steps.iter().zip(&plan.sizes.layers) {
        let layer = found.layers.get(&functions[step.layer]).cloned().unwrap_or_default();
        let wanted = (sizes.weights as u64, sizes.tables as u64);
        assert_eq!((layer.weights_bytes, layer.tables_bytes), wanted, "{what}: {}", functions[step.layer]);
    }
    // The arena, and nothing else that can be written.
    assert_eq!(found.static_ram_bytes, plan.arena_bytes as u64, "arena of {what}");
    let error = code.total() as f64 / found.code_bytes as f64 - 1.0;
    tell(&format!("{what}: code {} predicted, {} linked, {:+.1} %", code.total(), found.code_bytes, error * 100.0));
    Some(error)
}

/// Programs that the table was not fitted to.
#[test]
fn predicted_sizes_are_those_of_the_elf() {
    let cases = [(71, "qemu-m4", Optimize::Speed), (72, "qemu-m0", Optimize::Size), (73, "qemu-m55", Optimize::Speed)];
    for (seed, name, optimize) in cases {
        if let Some(error) = check(&random(seed, 6), name, optimize) {
            assert!(error.abs() < 0.05, "seed {seed} on {name}: {:+.1} %", error * 100.0);
        }
    }
}

/// `cargo test --release --test it -- --ignored --nocapture code_sizes::every_core` (minutes)
#[test]
#[ignore = "links 70 crates"]
fn every_core() {
    let mut worst = 0.0_f64;
    let mut networks: Vec<Program> = (81..87).map(|seed| random(seed, 3 + seed as usize % 6)).collect();
    networks.push(crate::counts::markers());
    networks
        .extend(["cnn_fmnist", "dscnn_emnist", "mobilenetv1_vww", "resnet8_cifar10"].into_iter().filter_map(of_pack));
    for name in CORES {
        for (index, network) in networks.iter().enumerate() {
            let goals = [Optimize::Speed, Optimize::Size, Optimize::Balanced, Optimize::Ram];
            let optimize = goals[index % goals.len()];
            worst = worst.max(check(network, name, optimize).expect("every Rust target is needed").abs());
        }
    }
    assert!(worst < 0.05, "{:.1} %", worst * 100.0);
}

/// The default plan is the one that sizes are asked of most.
#[test]
fn a_plan_says_what_each_layer_takes() {
    let target = target("qemu-m4");
    let program = simplified(&programs::resnet8(), "qemu-m4");
    let plan = plan_for(&program, &target).expect("plans");
    let code = code::code(&program, &plan, &target).expect("measured");
    let alone: u64 = (0..program.layers.len()).map(|layer| code.alone(layer)).sum();
    assert_eq!(alone + code.shared(), code.total());
    // One mean pool, so its kernel goes with it; several sums share theirs.
    let of = |kernel: Kernel| plan.steps.iter().filter(move |step| step.kernel == kernel).map(|step| step.layer);
    assert!(of(Kernel::DspPool).all(|layer| code.alone(layer) > code.layers[layer]), "{code:?}");
    assert!(of(Kernel::DspAdd).all(|layer| code.alone(layer) == code.layers[layer]), "{code:?}");
    assert_eq!((of(Kernel::DspPool).count(), of(Kernel::DspAdd).count()), (1, 3));
}
