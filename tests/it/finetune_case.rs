//! Fine-tuning a cut network: it helps, it is the same every time, and it never ends worse.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use fratc::data::Samples;
use fratc::finetune::{accuracy, logits};
use fratc::ir::Graph;
use fratc::pipeline::{
    AssembleOptions, AssembleSummary, FinetuneOptions, Place, RouteOptions, Silent, Source, assemble,
};
use fratc::report::Finetune;
use fratc::{demo, load};

use crate::demo_case::{self, records};
use crate::shared::{shared, tell};

const CLASSES: [usize; 3] = [3, 7, 11];

/// The demo network as a case on disk, with drawn training data.
struct Fixture {
    dir: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        Self::keeping(0.1)
    }

    fn keeping(share: f64) -> Self {
        let fixture = Self { dir: tempfile::tempdir().expect("temporary folder") };
        let splits = [("calibration", &calibration()), ("train", &train())];
        demo_case::write(fixture.dir.path(), "case.toml", &splits);
        let case = fs::read_to_string(fixture.path("case.toml")).expect("text");
        fixture.write("case.toml", format!("{case}[build]\nkeep = {share}\n").as_bytes());
        fixture
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).expect("written");
    }

    fn assemble(&self, finetune: FinetuneOptions) -> (Vec<u8>, Option<Finetune>) {
        let (onnx, summary) = self.assembled(finetune);
        (onnx, summary.finetune)
    }

    fn assembled(&self, finetune: FinetuneOptions) -> (Vec<u8>, AssembleSummary) {
        let classes = CLASSES.map(|c| c.to_string()).to_vec();
        let route = RouteOptions { classes, finetune, ..RouteOptions::default() };
        let options = AssembleOptions { route, out: self.path("small.onnx") };
        let summary = assemble(&self.path("case.toml"), &options, &Silent).expect("assembles");
        (fs::read(&options.out).expect("written"), summary)
    }

    /// A folder of the training drawings, without their classes.
    fn pictures(&self) -> PathBuf {
        let (samples, folder) = (train(), self.path("pictures"));
        fs::create_dir(&folder).expect("made");
        let [h, w, _] = samples.shape;
        for i in 0..samples.len() {
            let name = folder.join(format!("{i:04}.png"));
            image::save_buffer(name, samples.sample(i), w as u32, h as u32, image::ColorType::L8).expect("written");
        }
        folder
    }
}

/// Drawings of the wanted classes and one other, as many as make an epoch worth it.
fn train() -> Samples {
    let all = demo::samples(160, demo::TRAIN_SEED + 500);
    let some: Vec<usize> = (0..all.len()).filter(|&i| [3, 7, 11, 12].contains(&all.labels[i])).collect();
    all.select(&some)
}

fn epochs(n: usize) -> FinetuneOptions {
    FinetuneOptions { epochs: Some(n), ..FinetuneOptions::default() }
}

fn graph(onnx: &[u8]) -> Graph {
    load::load_bytes(onnx, "small.onnx").expect("loads").graph
}

/// The samples of `classes`, labelled by their place among them.
fn of(samples: &Samples, classes: &[usize]) -> Samples {
    let place = |label: u32| classes.iter().position(|&c| c == label as usize);
    let mut found: Vec<usize> = (0..samples.len()).collect();
    found.retain(|&i| place(samples.labels[i]).is_some());
    let mut samples = samples.select(&found);
    for label in &mut samples.labels {
        *label = place(*label).expect("only wanted classes") as u32;
    }
    samples
}

fn on_test(onnx: &[u8]) -> f64 {
    let demo = demo::case();
    accuracy(&graph(onnx), &demo.input, &of(&demo.test, &CLASSES)).expect("scores")
}

/// Mean squared distance from the source's scores, up to what softmax does not see.
fn from_source(onnx: &[u8]) -> f64 {
    let demo = demo::case();
    let test = of(&demo.test, &CLASSES);
    let all: Vec<usize> = (0..test.len()).collect();
    let rows = |graph: &Graph| logits(graph, &demo.input, &test, &all, Place::Host).expect("scores");
    let centred = |row: Vec<f32>| {
        let mean = row.iter().sum::<f32>() / row.len() as f32;
        row.into_iter().map(move |z| z - mean)
    };
    let wanted = rows(&graph(demo::model_bytes())).into_iter().map(|row| CLASSES.map(|c| row[c]).to_vec());
    let pairs = rows(&graph(onnx)).into_iter().zip(wanted);
    let squares =
        pairs.flat_map(|(own, wanted)| centred(own).zip(centred(wanted)).map(|(a, b)| f64::from((a - b).powi(2))));
    squares.sum::<f64>() / test.len() as f64
}

fn assert_helped(tuned: &Finetune) {
    let after = tuned.held_out_after.expect("training went through");
    assert!(tuned.kept, "{tuned:?}");
    assert!(after.accuracy >= tuned.held_out_before.accuracy, "{tuned:?}");
    assert!(after.cross_entropy < tuned.held_out_before.cross_entropy, "{tuned:?}");
}

/// 40 calibration drawings of each class: few enough that the refit leaves an epoch something to do.
fn calibration() -> Samples {
    demo::case().calibration.select(&(0..40 * 16).collect::<Vec<_>>())
}

#[test]
fn an_epoch_helps_a_small_cut() {
    let fixture = Fixture::new();
    let (plain, none) = fixture.assemble(FinetuneOptions::default());
    assert!(none.is_none());
    let (tuned, summary) = fixture.assembled(epochs(1));
    // 30 calibration samples of each class are not held out.
    assert_eq!(summary.refit_samples, 3 * 30 + 432);
    let report = summary.finetune.expect("fine-tuning was asked for");
    assert_helped(&report);
    assert_eq!((report.epochs, report.samples, report.held_out_before.samples), (1, 432, 78));
    assert!(on_test(&tuned) >= on_test(&plain), "{} after {}", on_test(&tuned), on_test(&plain));
}

#[test]
fn threads_make_no_difference() {
    let fixture = Fixture::new();
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        pool.install(|| fixture.assemble(epochs(1)).0)
    };
    assert!(run(1) == run(2));
}

#[test]
fn a_teacher_needs_no_labels() {
    // So small that the fit to the pictures leaves the epoch something to do.
    let fixture = Fixture::keeping(0.04);
    let (plain, _) = fixture.assemble(FinetuneOptions::default());
    let wanted = FinetuneOptions { train: Some(fixture.pictures()), distill: Some(true), ..epochs(1) };
    let (tuned, report) = fixture.assemble(wanted);
    let report = report.expect("fine-tuning was asked for");
    assert_helped(&report);
    // The network tells its own classes from the fourth nearly without fault.
    assert!(report.distill && report.samples.abs_diff(480) < 25, "{report:?}");
    assert!(on_test(&tuned) >= on_test(&plain), "{} after {}", on_test(&tuned), on_test(&plain));
}

#[test]
fn the_refit_takes_pictures_without_classes() {
    let fixture = Fixture::keeping(0.04);
    let (plain, summary) = fixture.assembled(FinetuneOptions::default());
    assert_eq!(summary.refit_samples, 3 * 40);
    let wanted = FinetuneOptions { train: Some(fixture.pictures()), ..FinetuneOptions::default() };
    let (more, summary) = fixture.assembled(wanted);
    assert!(summary.finetune.is_none());
    // Those of the three classes, as the network sees them; see above.
    assert!(summary.refit_samples.abs_diff(3 * 40 + 480) < 25, "{summary:?}");
    let [before, after] = [&plain, &more].map(|onnx| from_source(onnx));
    assert!(after < 0.9 * before, "{after} after {before}");
    assert!(on_test(&more) >= on_test(&plain));
}

#[test]
fn training_data_needs_a_use() {
    let fixture = Fixture::new();
    let finetune = FinetuneOptions { train: Some(fixture.pictures()), ..FinetuneOptions::default() };
    let options = RouteOptions { refit: Some(false), finetune, ..RouteOptions::default() };
    let source = Source::open(&fixture.path("case.toml")).expect("opens");
    assert_eq!(options.resolve(&source).expect_err("no use").code, "route/train");
    let finetune = FinetuneOptions { train: Some(fixture.path("elsewhere")), ..epochs(1) };
    let options = RouteOptions { finetune, ..RouteOptions::default() };
    assert_eq!(options.resolve(&source).expect_err("no folder").code, "data/not-found");
}

#[test]
fn a_result_that_is_worse_is_dropped() {
    let fixture = Fixture::new();
    let mut before: Option<Vec<u8>> = None;
    for rate in [-0.05, -1e30] {
        let (same, report) = fixture.assemble(FinetuneOptions { rate: Some(rate), ..epochs(1) });
        let report = report.expect("fine-tuning was asked for");
        assert!(!report.kept, "{report:?}");
        assert!(*before.get_or_insert(same.clone()) == same, "rate {rate}: the weights are not those before");
    }
    // Those before are fitted to training samples too.
    let (plain, _) = fixture.assemble(FinetuneOptions::default());
    let before = before.expect("two runs");
    assert!(before != plain && on_test(&before) >= on_test(&plain));
}

#[test]
fn held_out_samples_are_never_trained_on() {
    let fixture = Fixture::new();
    let calibration = calibration();
    let mut dimmed = calibration.clone();
    for (i, p) in dimmed.raw.iter_mut().enumerate() {
        *p = p.saturating_sub((i % 3) as u8);
    }
    // 40 of each class are for calibration, 10 of them held out; the same pictures from another decoder too.
    fixture.write("train.bin", &[records(&calibration), records(&dimmed)].concat());
    let (_, report) = fixture.assemble(epochs(1));
    assert_eq!(report.expect("fine-tuning was asked for").samples, 2 * 3 * 30);
}

#[test]
fn the_command_line_and_the_case_file_agree() {
    let fixture = Fixture::new();
    let run = |words: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_fratc"))
            .current_dir(fixture.dir.path())
            .args(words.split_whitespace())
            .output()
            .expect("fratc runs");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned(), output.stderr)
    };
    let assemble = "assemble case.toml --classes 3,7,11 --out small.onnx --json";
    let (code, _, stderr) = run(&format!("{assemble} --distill"));
    assert_eq!(code, Some(2));
    insta::assert_snapshot!(String::from_utf8_lossy(&stderr).lines().skip_while(|l| !l.starts_with("error")).collect::<Vec<_>>().join("\n"), @r"
    error[finetune/no-epochs]: distillation is asked for, but no training
      help: add --finetune N, the number of epochs
    ");
    let (code, flags, stderr) = run(&format!("{assemble} --finetune 1 --distill"));
    assert_eq!(code, Some(0), "{}", String::from_utf8_lossy(&stderr));
    let notes = String::from_utf8_lossy(&stderr).into_owned();
    assert_eq!(notes.matches("note: fine-tune: ").count(), 4, "{notes}");
    let text = fs::read_to_string(fixture.path("case.toml")).expect("case file");
    fixture.write("case.toml", format!("{text}finetune = 1\ndistill = true\n").as_bytes());
    assert_eq!(run(assemble), (code, flags, stderr));
}

/// A network to measure: a case, classes by index, the share of channels kept.
struct Row {
    case: &'static str,
    classes: [usize; 3],
    keep: f64,
}

/// Before and after one epoch on real networks:
/// `cargo test --release --test it one_epoch_on_the_pack -- --ignored --nocapture`
#[test]
#[ignore = "a measurement of some minutes"]
fn one_epoch_on_the_pack() {
    let row = |case, keep| Row { case, classes: [0, 1, 2], keep };
    let rows = [row("cnn_fmnist", 0.25), row("dscnn_emnist", 0.25), row("vgg_cifar", 0.5), row("vgg_cifar", 0.25)];
    measure(&rows, &[None]);
}

/// The same for several learning rates.
#[test]
#[ignore = "a measurement of many minutes"]
fn learning_rates_on_the_pack() {
    let row = |case, keep| Row { case, classes: [0, 1, 2], keep };
    let rows = [row("cnn_fmnist", 0.25), row("dscnn_emnist", 0.25), row("vgg_cifar", 0.25)];
    measure(&rows, &[Some(0.02), Some(0.05), Some(0.1)]);
}

fn measure(rows: &[Row], rates: &[Option<f64>]) {
    let work = tempfile::tempdir().expect("temporary folder");
    tell(
        "| case | keep | rate | toward | samples | s | held out before | after | test masked | before | after | kept |",
    );
    for Row { case, classes, keep } in rows {
        let Some(path) = shared(&format!("cases/{case}.toml")) else { return };
        let train = (*case == "vgg_cifar").then(|| unpacked(work.path()));
        let source = Source::open(&path).expect("case");
        let cut = |finetune: FinetuneOptions| {
            let names = classes.map(|c| c.to_string()).to_vec();
            let route = RouteOptions { classes: names, keep: Some(*keep), finetune, ..RouteOptions::default() };
            let (out, start) = (work.path().join("small.onnx"), Instant::now());
            let summary = assemble(&path, &AssembleOptions { route, out: out.clone() }, &Silent).expect("assembles");
            (graph(&fs::read(&out).expect("written")), summary.finetune, start.elapsed().as_secs_f64())
        };
        let (small, _, plain_seconds) = cut(FinetuneOptions::default());
        let test = of(source.test.as_ref().expect("test split"), classes);
        let score = |graph: &Graph| 100.0 * accuracy(graph, &source.case.input, &test).expect("scores");
        let all: Vec<usize> = (0..test.len()).collect();
        let logits =
            fratc::finetune::logits(&source.graph, &source.case.input, &test, &all, source.device).expect("scores");
        let best = |row: &[f32]| (1..3).fold(0, |b, k| if row[classes[k]] > row[classes[b]] { k } else { b });
        let hits = logits.iter().zip(&test.labels).filter(|(row, label)| best(row) == **label as usize).count();
        let masked = 100.0 * hits as f64 / test.len() as f64;
        for &rate in rates {
            for distill in [false, true] {
                let options = FinetuneOptions { epochs: Some(1), train: train.clone(), distill: Some(distill), rate };
                let (tuned, report, seconds) = cut(options);
                let report = report.expect("asked");
                let (before, after) = (report.held_out_before, report.held_out_after.expect("converges"));
                tell(&format!(
                    "| {case} | {keep} | {rate:?} | {} | {} | {:.1} | {:.2} ({:.3}) | {:.2} ({:.3}) | {masked:.2} | {:.2} | {:.2} | {} |",
                    if distill { "source" } else { "labels" },
                    report.samples,
                    seconds - plain_seconds,
                    100.0 * before.accuracy,
                    before.cross_entropy,
                    100.0 * after.accuracy,
                    after.cross_entropy,
                    score(&small),
                    score(&tuned),
                    report.kept,
                ));
            }
        }
    }
}

/// The CIFAR training images as files.
fn unpacked(work: &Path) -> PathBuf {
    let folder = work.join("train");
    if !folder.is_dir() {
        let archive = shared("data/cifar10/train_jpeg_20000.tar.gz").expect("the pack is there");
        let status = Command::new("tar").arg("xzf").arg(archive).arg("-C").arg(work).status().expect("tar runs");
        assert!(status.success());
    }
    folder
}
