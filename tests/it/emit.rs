//! Emitted crates: their text, and what rustc, rustfmt, clippy and their own tests say about them.

use fratc::emit::{EmittedFile, Options, Sample, emit};
use fratc::plan::plan;
use fratc::qir::Program;
use fratc::sim;
use fratc::target::Target;

use crate::programs::{self, Pattern};

/// The crate of `program` for `target`, with three golden samples.
pub fn emitted(program: &Program, target: &str) -> Vec<EmittedFile> {
    let mut pattern = Pattern::new(99);
    let samples = (0..3)
        .map(|_| {
            let input = pattern.sample(program);
            Sample { scores: sim::run(program, &input), input }
        })
        .collect();
    let options = Options { samples, ..Options::default() };
    let plan = plan(program).expect("plans");
    let target = Target::load(target).expect("a shipped target");
    emit(program, &plan, &target, &options).expect("emits")
}

#[test]
fn dump() {
    let Some(dir) = std::env::var_os("FRATC_DUMP") else { return };
    for program in programs::all() {
        for file in emitted(&program, "qemu-m4") {
            let path = std::path::Path::new(&dir).join(&program.name).join(&file.path);
            std::fs::create_dir_all(path.parent().expect("inside")).expect("folder");
            std::fs::write(path, file.bytes).expect("file");
        }
    }
}
