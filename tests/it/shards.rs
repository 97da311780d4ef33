//! Shared-out, interrupted and streamed attributions: the same bytes as of one run.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use fratc::attribute::{Attribution, Options, Shard, Source, merge, run_shard};
use fratc::data::{Case, SampleSet};
use fratc::device::Place;
use fratc::ir::groups::channel_groups;

use crate::shared::{shared, tell};

fn fratc(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fratc")).current_dir(dir).args(args).output().expect("fratc starts")
}

fn must(dir: &Path, args: &[&str]) {
    let output = fratc(dir, args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// What fratc says when it refuses, and that its exit code is 2.
fn refused(dir: &Path, args: &[&str]) -> String {
    let output = fratc(dir, args);
    assert_eq!(output.status.code(), Some(2), "{args:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A case of the demo's network on records of random images, `images` of each class.
fn demo_case(dir: &Path, images: usize, seed: u8) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let model = root.join("examples/floor_markers/markers.onnx");
    let classes = 16;
    let labels: Vec<String> = (0..classes).map(|c| format!("marker{c}")).collect();
    std::fs::write(dir.join("labels.txt"), labels.join("\n")).expect("written");
    let mut records = Vec::new();
    for i in 0..images * classes {
        records.push((i % classes) as u8);
        let pixel = |p: usize| ((i * 576 + p) as u32 + u32::from(seed)).wrapping_mul(2_654_435_761) >> 24;
        records.extend((0..576).map(|p| pixel(p) as u8));
    }
    std::fs::write(dir.join("records.bin"), records).expect("written");
    let text = format!(
        "[model]\npath = \"{}\"\n[input]\nkind = \"image\"\nshape = [24, 24, 1]\nscale = 0.00392156862745098\n\
         [data]\nlabels = \"labels.txt\"\ncalibration = {{ format = \"records\", path = \"records.bin\", label_bytes = 1, dtype = \"u8\", \
         shape = [24, 24, 1], layout = \"hwc\" }}\n",
        model.display()
    );
    let path = dir.join("case.toml");
    std::fs::write(&path, text).expect("written");
    path
}

#[test]
fn any_number_of_shards_gives_the_bytes_of_one_run() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let dir = dir.path();
    demo_case(dir, 40, 0);
    for device in ["cpu", "candle"] {
        let whole = format!("{device}.frat");
        must(dir, &["attribute", "case.toml", "--device", device, "--out", &whole]);
        let whole = std::fs::read(dir.join(whole)).expect("written");
        for count in [1, 3, 16] {
            let (merged, selection) = (format!("{device}-{count}.frat"), format!("{device}.sel"));
            let mut args = vec!["merge".to_owned(), "case.toml".into(), "--out".into(), merged.clone()];
            for index in (1..=count).rev() {
                let (shard, part) = (format!("{index}/{count}"), format!("{device}-{index}-{count}.part"));
                let words = ["attribute", "case.toml", "--device", device, "--manifest", &selection, "--shard", &shard];
                let jobs = if index % 2 == 0 { "1" } else { "3" };
                must(dir, &[&words[..], &["--out", &part, "--jobs", jobs]].concat());
                args.push(part);
            }
            must(dir, &args.iter().map(String::as_str).collect::<Vec<_>>());
            let merged = std::fs::read(dir.join(merged)).expect("written");
            assert!(whole == merged, "{count} shards on {device}");
        }
    }
}

#[test]
fn a_shard_cut_off_anywhere_goes_on_to_the_same_bytes() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let dir = dir.path();
    demo_case(dir, 40, 0);
    must(dir, &["attribute", "case.toml", "--shard", "2/3", "--out", "full.part"]);
    let full = std::fs::read(dir.join("full.part")).expect("written");
    for share in [1, 40, 75, 99] {
        std::fs::write(dir.join("cut.part"), &full[..full.len() * share / 100]).expect("written");
        let again = ["attribute", "case.toml", "--shard", "2/3", "--out", "cut.part"];
        assert!(refused(dir, &again).contains("output/exists"));
        let resumed = fratc(dir, &[&again[..], &["--resume"]].concat());
        if share == 1 {
            // Not even its head is whole: nothing can be gone on with, and nothing is overwritten.
            assert_eq!(resumed.status.code(), Some(2));
            continue;
        }
        assert!(resumed.status.success());
        assert!(full == std::fs::read(dir.join("cut.part")).expect("written"), "cut at {share} %");
    }
    must(dir, &["attribute", "case.toml", "--out", "whole.frat"]);
    must(dir, &["attribute", "case.toml", "--out", "resumable.frat", "--resume"]);
    let read = |name: &str| std::fs::read(dir.join(name)).expect("written");
    assert!(read("whole.frat") == read("resumable.frat"));
    assert!(!dir.join("resumable.frat.part").exists(), "the partial sums are gone");
}

#[cfg(unix)]
#[test]
fn the_slurm_array_of_the_example_makes_all_shards() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let dir = dir.path();
    demo_case(dir, 20, 0);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/cluster/attribute.sbatch");
    let bin = Path::new(env!("CARGO_BIN_EXE_fratc")).parent().expect("folder of the binary");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    for task in ["1", "2"] {
        let output = Command::new("bash")
            .current_dir(dir)
            .args([script.as_os_str(), "case.toml".as_ref()])
            .env("PATH", &path)
            .env("SLURM_ARRAY_TASK_ID", task)
            .env("SLURM_ARRAY_TASK_COUNT", "2")
            .output()
            .expect("bash starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    must(dir, &["merge", "case.toml", "case.1-of-2.part", "case.2-of-2.part", "--out", "merged.frat"]);
    must(dir, &["attribute", "case.toml", "--out", "whole.frat"]);
    let read = |name: &str| std::fs::read(dir.join(name)).expect("written");
    assert!(read("merged.frat") == read("whole.frat"));
}

#[test]
fn parts_that_do_not_belong_together_are_refused() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let dir = dir.path();
    demo_case(dir, 20, 0);
    let shard = |shard: &str, out: &str, more: &[&str]| {
        [&["attribute", "case.toml", "--shard", shard, "--out", out], more]
            .concat()
            .into_iter()
            .map(String::from)
            .collect()
    };
    let run = |args: Vec<String>| must(dir, &args.iter().map(String::as_str).collect::<Vec<_>>());
    run(shard("1/2", "a.part", &["--manifest", "sel"]));
    run(shard("2/2", "b.part", &["--seed", "7"]));
    run(shard("2/2", "c.part", &["--method", "taylor"]));
    let said = refused(dir, &["merge", "case.toml", "a.part", "b.part", "--out", "x.frat"]);
    assert!(said.contains("another options") && said.contains("seed=7"), "{said}");
    let said = refused(dir, &["merge", "case.toml", "a.part", "c.part", "--out", "x.frat"]);
    assert!(said.contains("another method"), "{said}");
    let said = refused(dir, &["merge", "case.toml", "a.part", "--out", "x.frat"]);
    assert!(said.contains("not all shards") && said.contains("1/2, 2/2"), "{said}");
    let said = refused(dir, &["merge", "case.toml", "a.part", "a.part", "--out", "x.frat"]);
    assert!(said.contains("output/in-use") || said.contains("not all shards"), "{said}");
    let said = refused(dir, &["merge", "case.toml", "records.bin", "--out", "x.frat"]);
    assert!(said.contains("output/damaged"), "{said}");
    // A selection made with other images, and one of another version.
    demo_case(dir, 20, 1);
    let args = ["attribute", "case.toml", "--shard", "2/2", "--manifest", "sel", "--out", "d.part"];
    let said = refused(dir, &args);
    assert!(said.contains("attribute/other-data"), "{said}");
    assert!(!dir.join("x.frat").exists());
}

#[test]
fn a_streamed_split_is_attributed_like_one_in_memory() {
    let name = "dscnn_kws";
    let Some(path) = shared("cases/dscnn_kws.toml") else { return };
    let case = Case::load(&path).expect("case file");
    let graph = fratc::load::load(&case.model).expect("loads").graph;
    let groups = channel_groups(&graph);
    let (held, streamed) = (case.calibration().expect("split"), case.calibration_stream().expect("split"));
    let options = Options { samples_per_class: 20, ..Options::default() };
    let dir = tempfile::tempdir().expect("temporary folder");
    let table = |samples: &dyn SampleSet, file: &str| {
        let source =
            Source { model: name, model_sha256: "00", classes: &case.label_names, input: &case.input, samples };
        let attribution = Attribution::new(&graph, &groups, &source, Place::Host).expect("fits");
        let manifest = attribution.select(&options).expect("selects");
        let part = dir.path().join(file);
        run_shard(&attribution, &manifest, Shard::WHOLE, &part, false, &mut |_| ()).expect("runs");
        merge(&attribution, &[part]).expect("adds up")
    };
    assert_eq!(table(&held, "held"), table(&streamed, "streamed"));
}

/// Largest resident set of `fratc attribute` on `images` images of each of 16 classes, in KiB, as the kernel counts it.
#[cfg(target_os = "linux")]
fn peak(images: usize) -> u64 {
    let dir = tempfile::tempdir().expect("temporary folder");
    demo_case(dir.path(), images, 0);
    let mut child = Command::new(env!("CARGO_BIN_EXE_fratc"))
        .current_dir(dir.path())
        .args(["attribute", "case.toml", "--samples", "60", "--jobs", "2", "--quiet"])
        .spawn()
        .expect("fratc starts");
    let mut peak = 0;
    loop {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let now = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        peak = peak.max(now.unwrap_or(0));
        match child.try_wait().expect("child") {
            Some(status) => {
                assert!(status.success());
                return peak;
            }
            None => std::thread::sleep(std::time::Duration::from_millis(2)),
        }
    }
}

/// `cargo test --release --test it -- --ignored --nocapture a_hundred_times_the_images`
#[test]
#[ignore = "writes 58 MB; its command is in its documentation"]
#[cfg(target_os = "linux")]
fn a_hundred_times_the_images_take_the_same_memory() {
    let (few, many) = (peak(1_000 / 16), peak(100_000 / 16));
    tell(&format!("peak memory: {few} KiB for 1,000 images, {many} KiB for 100,000"));
    assert!(few.abs_diff(many) * 20 <= few, "more than 5 % apart");
}
