//! Writes one of the large networks as ONNX: `cargo run --release --example large_networks -- resnet50 resnet50.onnx`.
#![expect(clippy::print_stderr, reason = "a program for the command line")]

mod shapes;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, path] = &arguments[..] else {
        eprintln!("usage: large_networks {} FILE.onnx", shapes::NAMES.join("|"));
        return ExitCode::from(2);
    };
    let (classes, side) = shapes::size(name);
    let written = match shapes::network(name, classes, side) {
        None => Err(format!("unknown network {name}; known are {}", shapes::NAMES.join(", "))),
        Some(graph) => graph.map_err(|e| e.to_string()).and_then(|graph| {
            let bytes = fratc::ir::onnx::to_onnx(&graph, env!("CARGO_PKG_VERSION"));
            std::fs::write(path, bytes).map_err(|e| format!("cannot write {path}: {e}"))
        }),
    };
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e}");
            ExitCode::from(2)
        }
    }
}
