//! Widths by budget beside one ratio for every group, on the shared networks.

use std::path::Path;
use std::time::Instant;

use fratc::data::Samples;
use fratc::ir::Graph;
use fratc::pipeline::{self, MacLimit, RouteOptions, Silent, Source};
use fratc::qir::Provenance;
use fratc::{quantize, sim};

use crate::shared::shared;

/// Case, class sets, share of the MACs allowed, points allowed below the masked source.
const BARS: [(&str, &[&str], f64, f64); 7] = [
    ("cnn_fmnist", &["0,1,2", "2,4,6", "5,7,9", "0,2,3,4,6"], 0.15, 1.5),
    ("dscnn_emnist", &["A,B,C", "I,J,L", "E,F,G,H,P"], 0.20, 1.0),
    ("vgg_cifar", &["0,1,2", "3,5,7", "0,1,8,9"], 0.30, 2.5),
    ("resnet8_large_cifar10", &["0,1,2", "3,5,7", "0,1,8,9"], 0.30, 2.0),
    ("incep_cifar", &["0,1,2", "3,5,7", "0,1,8,9"], 0.45, 2.5),
    ("resnet8_cifar10", &["0,1,2", "3,5,7", "0,1,8,9"], 0.60, 2.0),
    ("dscnn_kws", &["Yes,No", "Up,Down,Stop", "Go,Stop,Left,Right"], 0.50, 2.0),
];

fn options(classes: &str, keep: Option<f64>, max_macs: Option<f64>) -> RouteOptions {
    RouteOptions {
        classes: classes.split(',').map(str::to_string).collect(),
        keep,
        max_macs: max_macs.map(MacLimit::Share),
        ..RouteOptions::default()
    }
}

/// Share of test samples of the classes whose label has the largest score: float, int8.
fn accuracies(source: &Source, test: &Samples, classes: &[usize], graph: &Graph) -> [f64; 2] {
    let input = &source.case.input;
    let calibration = source.calibration().expect("calibration");
    let of =
        |s: &Samples| -> Vec<usize> { (0..s.len()).filter(|&i| classes.contains(&(s.labels[i] as usize))).collect() };
    let samples = calibration.select(&of(calibration));
    let provenance = Provenance { models: Vec::new(), options: Vec::new() };
    let program = quantize::quantize(
        graph,
        input,
        &samples,
        "net",
        &source.names(classes),
        provenance,
        &quantize::Options::default(),
    )
    .expect("quantizes");
    let indices = of(test);
    let raw: Vec<&[u8]> = indices.iter().map(|&i| test.sample(i)).collect();
    let int8 = sim::run_many(&program, &raw);
    let right = |c: usize, i: usize| classes[c] == test.labels[i] as usize;
    let largest = |row: &[f64]| (0..row.len()).rev().max_by(|&a, &b| row[a].total_cmp(&row[b])).expect("classes");
    let own: Vec<usize> = (0..classes.len()).collect();
    let float = masked(graph, source, test, &indices, &own);
    let share = |n: usize| n as f64 / indices.len() as f64;
    let hits = |rows: Vec<Vec<f64>>| share(rows.iter().zip(&indices).filter(|(r, i)| right(largest(r), **i)).count());
    [hits(float), hits(int8.iter().map(|row| row.iter().map(|&v| f64::from(v)).collect()).collect())]
}

/// Scores of `classes` only.
fn masked(graph: &Graph, source: &Source, test: &Samples, indices: &[usize], classes: &[usize]) -> Vec<Vec<f64>> {
    let network = fratc::exec::Network::<f32>::new(graph).expect("runs");
    let [h, w, c] = test.shape;
    let chunks = fratc::exec::for_chunks(indices.len(), |range| {
        let data = source.case.input.normalized(test, indices[range.clone()].iter().copied(), |x| x as f32);
        let batch = fratc::exec::Batch::new(fratc::ir::Shape::new(c, h, w), range.len(), data)?;
        let out = network.scores(&batch)?;
        Ok((0..out.n)
            .map(|s| classes.iter().map(|&k| f64::from(out.data[k * out.n + s])).collect())
            .collect::<Vec<_>>())
    });
    chunks.expect("runs").into_iter().flatten().collect()
}

fn base(source: &Source, test: &Samples, classes: &[usize]) -> f64 {
    let indices: Vec<usize> = (0..test.len()).filter(|&i| classes.contains(&(test.labels[i] as usize))).collect();
    let rows = masked(&source.graph, source, test, &indices, classes);
    let largest = |row: &[f64]| (0..row.len()).rev().max_by(|&a, &b| row[a].total_cmp(&row[b])).expect("classes");
    let hits = rows.iter().zip(&indices).filter(|(r, i)| classes[largest(r)] == test.labels[**i] as usize).count();
    hits as f64 / indices.len() as f64
}

/// The largest one ratio within a share of the MACs.
fn uniform(source: &Source, classes: &[usize], share: f64) -> f64 {
    let limit = MacLimit::Share(share).count(source.graph.macs());
    let masks = |ratio: f64| {
        let mask = |g: &fratc::ir::groups::Group| {
            let n = if g.kind == fratc::ir::groups::GroupKind::Hidden {
                fratc::route::keep_count(g.channels, ratio)
            } else {
                g.channels
            };
            (0..g.channels).map(|c| c < n).collect()
        };
        source.groups.groups.iter().map(mask).collect()
    };
    let fits = |k: &u32| {
        let route = fratc::route::Route::from_masks(&source.groups, masks(f64::from(*k) / 128.0)).expect("route");
        let small = fratc::assemble::assemble(&source.graph, &source.groups, &route, classes).expect("assembles");
        small.graph.macs() <= limit
    };
    f64::from((1..=128).rev().find(fits).expect("some ratio fits")) / 128.0
}

fn source(case: &Path) -> Source {
    Source::open(case).expect("opens")
}

/// The network and its share of the MACs, found on `threads` threads.
fn cut(source: &Source, classes: &[usize], options: &RouteOptions, threads: usize) -> (Graph, f64) {
    let wanted = options.resolve(source).expect("options");
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("pool");
    let cut = pool.install(|| pipeline::cut(source, classes, &wanted, &Silent)).expect("cuts");
    let share = cut.graph.macs() as f64 / source.graph.macs() as f64;
    (cut.graph, share)
}

#[test]
fn the_limit_holds_and_threads_make_no_difference() {
    let Some(path) = shared("cases/dscnn_kws.toml") else { return };
    let source = source(&path);
    let options = options("Yes,No", None, Some(0.1));
    let classes = source.classes(&options.classes).expect("classes");
    let (one, share) = cut(&source, &classes, &options, 1);
    assert!(share <= 0.1 && share > 0.05, "{share}");
    let (two, _) = cut(&source, &classes, &options, 2);
    assert!(one == two, "networks differ between one and two threads");
}

#[test]
fn an_impossible_limit_names_the_least_possible() {
    let Some(path) = shared("cases/dscnn_kws.toml") else { return };
    let source = source(&path);
    let options = options("Yes,No", None, Some(1e-6));
    let classes = source.classes(&options.classes).expect("classes");
    let wanted = options.resolve(&source).expect("options");
    let refused = pipeline::cut(&source, &classes, &wanted, &Silent).expect_err("too small");
    assert_eq!(refused.code, "search/max-macs");
}

#[test]
fn limits_are_read_as_counts_and_shares() {
    assert_eq!("1.5M".parse(), Ok(MacLimit::Count(1_500_000)));
    assert_eq!("900k".parse(), Ok(MacLimit::Count(900_000)));
    assert_eq!("12345".parse(), Ok(MacLimit::Count(12_345)));
    assert_eq!("50%".parse(), Ok(MacLimit::Share(0.5)));
    for wrong in ["", "M", "-1", "0", "0%", "101%", "nan", "2x", "µ"] {
        assert!(wrong.parse::<MacLimit>().is_err(), "{wrong:?}");
    }
}

/// The table of docs/routes.md: `cargo test --release --test it -- --ignored --nocapture widths_beside_one_ratio`;
/// with `FRATC_CASES=vgg_cifar` (comma-separated) only some of it.
#[test]
#[ignore = "a measurement of some ten minutes, not a check"]
fn widths_beside_one_ratio() {
    let only = std::env::var("FRATC_CASES").unwrap_or_default();
    eprintln!(
        "| case | classes | masked | limit | one ratio: MACs | float | int8 | widths: MACs | float | int8 | seconds | kept |"
    );
    for (name, sets, share, _) in BARS {
        if !only.is_empty() && !only.split(',').any(|o| o == name) {
            continue;
        }
        let Some(path) = shared(&format!("cases/{name}.toml")) else { return };
        let source = source(&path);
        let test = source.test.clone().expect("test split");
        let mut mean = [0.0; 3];
        for set in sets {
            let classes = source.classes(&options(set, None, None).classes).expect("classes");
            let masked = base(&source, &test, &classes);
            let cut = |options: &RouteOptions| {
                let wanted = options.resolve(&source).expect("options");
                let cut = pipeline::cut(&source, &classes, &wanted, &Silent).expect("cuts");
                let macs = cut.graph.macs() as f64 / source.graph.macs() as f64;
                (accuracies(&source, &test, &classes, &cut.graph), macs, cut.channels)
            };
            let ratio = uniform(&source, &classes, share);
            let (one, one_macs, _) = cut(&options(set, Some(ratio), None));
            let start = Instant::now();
            let (own, own_macs, kept) = cut(&options(set, None, Some(share)));
            let seconds = start.elapsed().as_secs_f64();
            let drop = |a: f64| (a - masked) * 100.0;
            mean = [mean[0] + drop(one[1]), mean[1] + drop(own[1]), mean[2] + 1.0];
            let kept: Vec<String> = kept.values().map(|[k, n]| format!("{k}/{n}")).collect();
            eprintln!(
                "| {name} | {set} | {:.2} | {share} | {one_macs:.3} | {:+.2} | {:+.2} | {own_macs:.3} | {:+.2} | {:+.2} | {seconds:.0} | {} |",
                masked * 100.0,
                drop(one[0]),
                drop(one[1]),
                drop(own[0]),
                drop(own[1]),
                kept.join(" "),
            );
        }
        eprintln!(
            "| {name} | mean |  | {share} |  |  | {:+.2} |  |  | {:+.2} |  |  |",
            mean[0] / mean[2],
            mean[1] / mean[2]
        );
    }
}
