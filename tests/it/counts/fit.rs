//! The model of kernel costs against what layers cost in QEMU.
//!
//! `tests/bench/layers.txt` holds what was measured: a line a layer (class of cores, form of kernel, its features,
//! instructions, network and layer) and a line a crate (class, bytes of code, layers of each form).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;

use fratc::bench;
use fratc::emit::{self, Sample, emit};
use fratc::plan::cost::{self, FEATURES};
use fratc::plan::{Kernel, plan_kernels};
use fratc::qir::Program;
use fratc::sim;

use super::{markers, of_pack, qemu, simplified, target};
use crate::programs::{self, Pattern};
use crate::shared::tell;

const MEASURED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bench/layers.txt");
const FITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/plan/fitted.rs");

/// A layer that was measured.
struct Row {
    class: String,
    form: String,
    features: [f64; FEATURES],
    instructions: f64,
    layer: String,
}

/// A crate that was measured.
struct Code {
    class: String,
    bytes: f64,
    /// Layers of each form.
    forms: BTreeMap<String, f64>,
}

/// Measures every network on every class of cores, and where a layer has several kernels, on each of them. With
/// `FRATC_TARGETS=qemu-m4` on this one only: what was measured of the others stays.
#[test]
#[ignore = "measures about thirty crates"]
fn collect() {
    assert!(qemu(), "QEMU is needed");
    let mut networks = vec![markers(), programs::branches(), programs::residual()];
    for name in ["resnet8_cifar10", "dscnn_kws", "mobilenetv1_vww", "cnn_fmnist"] {
        networks.push(of_pack(name).expect("the pack of real networks"));
    }
    let mut text = "# Written by `cargo test --release --test it -- --ignored counts::fit`: layers (class, form, features, instructions,\n# network and layer), and crates (class, code, bytes, layers of each form).\n".to_string();
    let wanted = std::env::var("FRATC_TARGETS").ok();
    let is_wanted = |name: &str| wanted.as_ref().is_none_or(|wanted| wanted.split(',').any(|one| one == name));
    let before = fs::read_to_string(MEASURED).expect("what was measured");
    for name in ["qemu-m4", "qemu-m3", "qemu-m0", "qemu-m55"] {
        if !is_wanted(name) {
            let class = format!("{}, ", cost::class(&target(name)));
            for line in before.lines().filter(|line| line.starts_with(&class)) {
                let _ = writeln!(text, "{line}");
            }
            continue;
        }
        for network in &networks {
            let program = simplified(network, name);
            let candidates = cost::candidates(&program, &target(name));
            let most = candidates.iter().map(Vec::len).max().expect("layers");
            for choice in 0..most {
                let kernels: Vec<Kernel> = candidates.iter().map(|all| all[choice.min(all.len() - 1)].kernel).collect();
                lines(&program, name, &kernels, &mut text);
                tell(&format!("{name} {} {choice}", program.name));
            }
        }
    }
    fs::write(MEASURED, text).expect("written");
    fit();
}

/// The lines of one crate.
fn lines(program: &Program, name: &str, kernels: &[Kernel], text: &mut String) {
    let target = target(name);
    let input = Pattern::new(99).sample(program);
    let samples = vec![Sample { scores: sim::run(program, &input), input: input.clone() }];
    let plan = plan_kernels(program, kernels).expect("plans");
    let files = emit(program, &plan, &target, &emit::Options { samples, ..emit::Options::default() }).expect("emits");
    let options = bench::Options::default();
    let (counts, footprint) = bench::measure_layers(&files, program, &input, &target, &options).expect("measured");
    let class = cost::class(&target);
    let mut forms: BTreeMap<&str, usize> = BTreeMap::new();
    for ((layer, &kernel), counts) in program.layers.iter().zip(kernels).zip(counts) {
        let form = cost::form(&layer.op, kernel);
        *forms.entry(form).or_default() += 1;
        let features: Vec<String> =
            cost::features(program, layer, kernel).iter().map(|count| format!("{count}")).collect();
        let _ = writeln!(
            text,
            "{class}, {form}, {}, {}, {} {}",
            features.join(" "),
            counts.instructions,
            program.name,
            layer.name
        );
    }
    let forms: Vec<String> = forms.iter().map(|(form, layers)| format!("{form}={layers}")).collect();
    let _ = writeln!(text, "{class}, code, {}, {}", footprint.code_bytes, forms.join(" + "));
}

/// What was measured.
fn measured() -> (Vec<Row>, Vec<Code>) {
    let text = fs::read_to_string(MEASURED).expect("what was measured");
    let (mut rows, mut codes) = (Vec::new(), Vec::new());
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let cells: Vec<&str> = line.splitn(5, ", ").collect();
        let number = |text: &str| -> f64 { text.parse().expect("a number") };
        match cells[..] {
            [class, "code", bytes, forms] => {
                let layers = |pair: &str| {
                    let (form, layers) = pair.split_once('=').expect("form and layers");
                    (form.to_string(), number(layers))
                };
                let forms = forms.split(" + ").map(layers).collect();
                codes.push(Code { class: class.into(), bytes: number(bytes), forms });
            }
            [class, form, features, instructions, layer] => {
                let features: Vec<f64> = features.split(' ').map(number).collect();
                rows.push(Row {
                    class: class.into(),
                    form: form.into(),
                    features: features.try_into().expect("five features"),
                    instructions: number(instructions),
                    layer: layer.into(),
                });
            }
            _ => unreachable!("{line}"),
        }
    }
    (rows, codes)
}

/// Weights, none negative, for which `Σ (features · weights / wanted − 1)²` is least: coordinate by coordinate.
fn least_squares(rows: &[(Vec<f64>, f64)]) -> Vec<f64> {
    let count = rows.first().map_or(0, |(features, _)| features.len());
    let scaled: Vec<Vec<f64>> =
        rows.iter().map(|(features, wanted)| features.iter().map(|f| f / wanted).collect()).collect();
    let mut weights = vec![0.0; count];
    for _ in 0..20_000 {
        for at in 0..count {
            let norm: f64 = scaled.iter().map(|row| row[at] * row[at]).sum();
            if norm > 0.0 {
                let slope: f64 = scaled
                    .iter()
                    .map(|row| row[at] * (1.0 - row.iter().zip(&weights).map(|(f, w)| f * w).sum::<f64>()))
                    .sum();
                weights[at] = f64::max(0.0, weights[at] + slope / norm);
            }
        }
    }
    weights
}

/// Fits the model to what was measured, and writes it.
#[test]
#[ignore = "writes src/plan/fitted.rs"]
fn fit() {
    let (rows, codes) = measured();
    let mut text = String::from(
        "//! What `cost` knows of each form of kernel. Written by `cargo test --release --test it -- --ignored counts::fit`.\n\
         #![allow(clippy::approx_constant, reason = \"a measured figure may come near any constant\")]\n\n\
         use super::cost::Fitted;\n\n\
         /// One line for each class of cores and form of kernel that was measured.\n\
         pub(super) const FITTED: &[Fitted] = &[\n",
    );
    let classes: BTreeSet<&str> = rows.iter().map(|row| row.class.as_str()).collect();
    for class in classes {
        let forms: BTreeSet<&str> = rows.iter().filter(|row| row.class == class).map(|row| row.form.as_str()).collect();
        let code = code(class, &forms, &codes);
        let mut line = |form: &str, instructions: &[f64], code: [f64; 2], error: f64| {
            let numbers: Vec<String> = instructions.iter().map(|n| format!("{n:.4}")).collect();
            let _ = writeln!(
                text,
                "    Fitted {{\n        class: \"{class}\",\n        form: \"{form}\",\n        instructions: [{}],\n        code: [{:.1}, {:.1}],\n        error: {error:.3},\n    }},",
                numbers.join(", "),
                code[0],
                code[1]
            );
        };
        line("call", &[0.0; FEATURES], [code["layer"], code["crate"]], 0.0);
        for form in forms {
            let of_form: Vec<&Row> = rows.iter().filter(|row| row.class == class && row.form == form).collect();
            let points: Vec<(Vec<f64>, f64)> =
                of_form.iter().map(|row| (row.features.to_vec(), row.instructions)).collect();
            let weights = least_squares(&points);
            let error =
                |row: &Row| row.features.iter().zip(&weights).map(|(f, w)| f * w).sum::<f64>() / row.instructions - 1.0;
            let worst = of_form.iter().max_by(|a, b| error(a).abs().total_cmp(&error(b).abs())).expect("rows");
            let mean = of_form.iter().map(|row| error(row).abs()).sum::<f64>() / of_form.len() as f64;
            tell(&format!(
                "{class} {form}: {} layers, mean error {:.1} %, worst {:+.1} % ({})",
                of_form.len(),
                mean * 100.0,
                error(worst) * 100.0,
                worst.layer
            ));
            line(form, &weights, [code[form], 0.0], error(worst).abs());
        }
    }
    text.push_str("];\n");
    fs::write(FITTED, text).expect("written");
}

/// Share by which the model is above what was measured.
fn error(row: &Row) -> f64 {
    let fitted = cost::fitted(&row.class, &row.form).expect("every form that was measured is fitted");
    row.features.iter().zip(fitted.instructions).map(|(f, w)| f * w).sum::<f64>() / row.instructions - 1.0
}

/// Bytes of code that the model guesses.
fn guess(code: &Code) -> f64 {
    let forms: Vec<&str> = code.forms.iter().flat_map(|(form, layers)| vec![form.as_str(); *layers as usize]).collect();
    cost::code(&code.class, &forms) as f64
}

/// How well the model meets what was measured: a line for each class and form.
pub fn errors() -> String {
    let (rows, codes) = measured();
    let mut groups: BTreeMap<(&str, &str), Vec<f64>> = BTreeMap::new();
    for row in &rows {
        groups.entry((&row.class, &row.form)).or_default().push(error(row));
    }
    for code in &codes {
        groups.entry((&code.class, "code of a crate, bytes")).or_default().push(guess(code) / code.bytes - 1.0);
    }
    let mut text = String::from("| cores | form | measured | mean error | worst |\n|---|---|---|---|---|\n");
    for ((class, form), errors) in groups {
        let mean = errors.iter().map(|error| error.abs()).sum::<f64>() / errors.len() as f64;
        let worst = errors.iter().copied().max_by(|a, b| a.abs().total_cmp(&b.abs())).unwrap_or(0.0);
        let _ =
            writeln!(text, "| {class} | {form} | {} | {:.1} % | {:+.1} % |", errors.len(), mean * 100.0, worst * 100.0);
    }
    text
}

/// The table that the planner uses is that of the committed measurements, and good enough to choose by.
#[test]
fn the_model_meets_what_was_measured() {
    let (rows, codes) = measured();
    assert!(rows.len() > 200 && codes.len() > 20, "{} layers, {} crates", rows.len(), codes.len());
    for row in &rows {
        let fitted = cost::fitted(&row.class, &row.form).expect("fitted");
        // The table is rounded.
        assert!(
            error(row).abs() <= fitted.error + 0.01,
            "{} {} {}: {:+.3}",
            row.class,
            row.form,
            row.layer,
            error(row)
        );
    }
    let mean = rows.iter().map(|row| error(row).abs()).sum::<f64>() / rows.len() as f64;
    assert!(mean < 0.15, "mean error {mean:.3}");
}

/// Bytes of code of each form, of a `layer`, and of the rest of a `crate`.
fn code(class: &str, forms: &BTreeSet<&str>, codes: &[Code]) -> BTreeMap<String, f64> {
    let names: Vec<String> = forms.iter().map(ToString::to_string).chain(["layer".into(), "crate".into()]).collect();
    let points: Vec<(Vec<f64>, f64)> = codes
        .iter()
        .filter(|code| code.class == class)
        .map(|code| {
            let features = names.iter().map(|name| match name.as_str() {
                "layer" => code.forms.values().sum(),
                "crate" => 1.0,
                form => f64::from(u8::from(code.forms.contains_key(form))),
            });
            (features.collect(), code.bytes)
        })
        .collect();
    let weights = least_squares(&points);
    for (features, bytes) in &points {
        let guess: f64 = features.iter().zip(&weights).map(|(f, w)| f * w).sum();
        tell(&format!("{class} code: {bytes} bytes, guessed {guess:.0} ({:+.1} %)", (guess / bytes - 1.0) * 100.0));
    }
    names.into_iter().zip(weights).collect()
}
