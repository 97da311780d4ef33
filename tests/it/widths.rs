//! Widths by budget beside one ratio for every group, on the shared networks.

use std::path::Path;
use std::time::Instant;

use fratc::data::Samples;
use fratc::ir::Graph;
use fratc::pipeline::{self, ByteLimit, Limits, MacLimit, Optimize, RouteOptions, Silent, Source};
use fratc::qir::Provenance;
use fratc::target::Target;
use fratc::{quantize, sim};

use crate::shared::{shared, tell};

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
    let cut =
        |options: &RouteOptions| pipeline::cut(&source, &classes, &options.resolve(&source).expect("options"), &Silent);
    let least = |options: &RouteOptions, flag: &str| -> u64 {
        let refused = cut(options).expect_err("too small");
        assert_eq!(refused.code, "search/infeasible");
        let help = refused.help.expect("a way out");
        help.split(&format!("{flag} ")).nth(1).expect("the flag").parse().expect("a number")
    };
    // What is named can be had, and no ratio gives less.
    let macs = least(&options, "--max-macs");
    let smallest = cut(&RouteOptions { keep: Some(0.001), ..options_of(&options) }).expect("cuts").graph.macs();
    assert_eq!(macs, smallest);
    let counted = |macs| RouteOptions { max_macs: Some(MacLimit::Count(macs)), ..options_of(&options) };
    assert_eq!(cut(&counted(macs)).expect("cuts").graph.macs(), macs);
    // Between that and the narrowest widths that kernels like.
    let between = cut(&counted(46_000)).expect("cuts").graph.macs();
    assert!(between <= 46_000 && between > 35_000, "{between}");
    let stored = |bytes| RouteOptions { max_flash: Some(ByteLimit(bytes)), ..options_of(&options) };
    cut(&stored(least(&stored(1), "--max-flash"))).expect("cuts");
}

#[test]
fn limits_on_memory_hold_in_the_linked_crate() {
    let Some(path) = shared("cases/dscnn_kws.toml") else { return };
    let source = source(&path);
    let (flash, ram) = (20 << 10, 7 << 10);
    let limits = (Some(ByteLimit(flash)), Some(ByteLimit(ram)));
    let options = RouteOptions { max_flash: limits.0, max_ram: limits.1, ..options("Yes,No", None, None) };
    let classes = source.classes(&options.classes).expect("classes");
    let target = Target::load("qemu-m4").expect("shipped");
    let on_board = |options: &RouteOptions| pipeline::Wanted {
        target: Some(target.clone()),
        optimize: Optimize::Balanced,
        ..options.resolve(&source).expect("options")
    };
    let wanted = on_board(&options);
    let cut = pipeline::cut(&source, &classes, &wanted, &Silent).expect("cuts");
    assert_eq!(cut.route.chosen_by, "least loss found within --max-flash, --max-ram");
    assert_eq!((cut.route.max_flash, cut.route.max_ram), (Some(flash), Some(ram)));
    let planned = |graph: &Graph| {
        let noise = Samples::random(&source.case.input, 4, 1);
        let (names, options) = (source.names(&classes), quantize::Options::default());
        let provenance = Provenance { models: Vec::new(), options: Vec::new() };
        let program = quantize::quantize(graph, &source.case.input, &noise, "net", &names, provenance, &options);
        let program = program.expect("quantizes");
        let plan = fratc::plan::plan_as(&program, &target, &wanted.plan()).expect("plans");
        let constants = (plan.sizes.weights_bytes + plan.sizes.tables_bytes) as u64;
        let flash = constants + fratc::plan::code_bytes(&program, &plan, &target);
        let ram = (plan.arena_bytes + plan.input_bytes) as u64;
        (program, plan, flash, ram)
    };
    let (program, plan, small_flash, small_ram) = planned(&cut.graph);
    assert!(small_flash <= flash && small_ram <= ram, "{small_flash} B of flash, {small_ram} B of RAM");
    // What is linked is within the limit, and not by a smaller network than needs be.
    if let Some(found) = crate::code_sizes::linked(&program, &plan, &target) {
        let total = found.total_bytes;
        assert!(total <= flash && total > flash * 8 / 10, "{total} B of flash, {small_flash} B predicted");
    }
    // Neither limit holds for the whole network.
    let whole = on_board(&RouteOptions { keep: Some(1.0), max_flash: None, max_ram: None, ..options_of(&options) });
    let whole = pipeline::cut(&source, &classes, &whole, &Silent).expect("cuts");
    let (_, _, whole_flash, whole_ram) = planned(&whole.graph);
    assert!(whole_flash > flash && whole_ram > ram, "{whole_flash} B of flash, {whole_ram} B of RAM");
}

/// The same classes, no size and no limit.
fn options_of(options: &RouteOptions) -> RouteOptions {
    RouteOptions { classes: options.classes.clone(), ..RouteOptions::default() }
}

#[test]
fn limits_combine_and_a_contradiction_names_what_is_nearest() {
    let Some(path) = shared("cases/dscnn_kws.toml") else { return };
    let source = source(&path);
    let cut = |options: &RouteOptions| {
        let classes = source.classes(&options.classes).expect("classes");
        pipeline::cut(&source, &classes, &options.resolve(&source).expect("options"), &Silent)
    };
    // A ratio that is within the other limit is taken as it is.
    let both = cut(&options("Yes,No", Some(0.25), Some(0.5))).expect("cuts");
    assert_eq!(both.route.chosen_by, "--keep within --max-macs");
    assert!(both.channels.values().all(|[kept, all]| *kept == all.div_ceil(4)), "{:?}", both.channels);
    // Nothing lost at a tenth of the work: not with this network.
    let refused =
        cut(&RouteOptions { max_drop: Some(0.0), ..options("Yes,No", None, Some(0.1)) }).expect_err("too much");
    assert_eq!((refused.code, refused.answer), ("search/infeasible", fratc::diag::Answer::No));
    let help = refused.help.expect("a way out");
    assert!(help.contains("--max-macs ") && help.contains("about --max-drop "), "{help}");
    // An estimate above all there is to lose is no way out.
    let lossy = RouteOptions { max_drop: Some(0.1), ..options("Yes,No", Some(0.1), None) };
    let refused = cut(&lossy).expect_err("too much");
    assert_eq!(refused.help.as_deref(), Some("keep more"), "{:?}", refused.found);
    assert_eq!(refused.found.as_deref(), Some("far more"));
}

#[test]
fn a_case_file_sets_limits_and_flags_go_before_it() {
    let Some(path) = shared("cases/dscnn_kws.toml") else { return };
    let mut source = source(&path);
    let text = std::fs::read_to_string(&path).expect("text");
    let folder = path.parent().expect("folder").display().to_string();
    let build = "\n[build]\nmax_flash = \"64k\"\nmax_ram = 20000\nmax_macs = \"30%\"\n";
    let work = tempfile::tempdir().expect("temporary folder");
    let case = work.path().join("case.toml");
    std::fs::write(&case, text.replace("\"../", &format!("\"{folder}/../")) + build).expect("written");
    source.case = fratc::data::Case::load(&case).expect("a case");
    let limits = |options: &RouteOptions| options.resolve(&source).expect("options").limits;
    let macs = MacLimit::Share(0.3).count(source.graph.macs());
    let of_case = limits(&RouteOptions::default());
    assert_eq!(of_case, Limits { macs: Some(macs), flash: Some(65_536), ram: Some(20_000) });
    let flag = limits(&RouteOptions { max_ram: Some(ByteLimit(9)), ..RouteOptions::default() });
    assert_eq!(flag, Limits { ram: Some(9), ..of_case });
    std::fs::write(&case, text.replace("\"../", &format!("\"{folder}/../")) + "\n[build]\nmax_flash = \"much\"\n")
        .expect("written");
    source.case = fratc::data::Case::load(&case).expect("a case");
    let refused = RouteOptions::default().resolve(&source).expect_err("not a number");
    assert_eq!(refused.code, "route/limit");
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
    assert_eq!("65536".parse(), Ok(ByteLimit(65_536)));
    assert_eq!("64k".parse(), Ok(ByteLimit(65_536)));
    assert_eq!("0.5M".parse(), Ok(ByteLimit(524_288)));
    for wrong in ["", "k", "-1", "0", "30%", "nan", "inf", "µ"] {
        assert!(wrong.parse::<ByteLimit>().is_err(), "{wrong:?}");
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

/// Cases and class sets for the default size. The rule was chosen by looking at the first three rows only.
const DEFAULTS: [(&str, &[&str]); 7] = [
    ("cnn_fmnist", &["2,4,6"]),
    ("dscnn_kws", &["Up,Down,Stop"]),
    ("dscnn_emnist", &["I,J,L"]),
    ("dscnn_kws", &["Yes,No", "Go,Stop,Left,Right"]),
    ("cnn_fmnist", &["0,1,2", "5,7,9"]),
    ("resnet8_cifar10", &["cat,dog,horse", "airplane,ship"]),
    ("incep_cifar", &["cat,dog"]),
];

/// The second table of docs/routes.md: `cargo test --release --test it -- --ignored --nocapture default_sizes`; with
/// `FRATC_CASES=dscnn_kws` (comma-separated) only some of it.
#[test]
#[ignore = "a measurement of some ten minutes, not a check"]
fn default_sizes() {
    let only = std::env::var("FRATC_CASES").unwrap_or_default();
    tell("| case | classes | MACs | source masked | float | int8 | seconds |");
    for (name, sets) in DEFAULTS {
        if !only.is_empty() && !only.split(',').any(|o| o == name) {
            continue;
        }
        let Some(path) = shared(&format!("cases/{name}.toml")) else { return };
        let source = source(&path);
        let test = source.test.clone().expect("test split");
        for set in sets {
            let start = Instant::now();
            let options = options(set, None, None);
            let classes = source.classes(&options.classes).expect("classes");
            let wanted = options.resolve(&source).expect("options");
            let cut = pipeline::cut(&source, &classes, &wanted, &Silent).expect("cuts");
            let seconds = start.elapsed().as_secs();
            let masked = base(&source, &test, &classes);
            let [float, int8] = accuracies(&source, &test, &classes, &cut.graph);
            let share = cut.graph.macs() as f64 / source.graph.macs() as f64;
            let points = |a: f64| (a - masked) * 100.0;
            tell(&format!(
                "| {name} | {set} | {:.1} % | {:.2} | {:+.2} | {:+.2} | {seconds} |",
                share * 100.0,
                masked * 100.0,
                points(float),
                points(int8)
            ));
        }
    }
}
