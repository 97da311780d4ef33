//! DSP kernels against the portable ones, on random layers: their portable twins on the host, and the instructions
//! themselves in QEMU on Cortex-M4, M7 and M33.

mod check;

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use fratc_runtime as kernels;
use fratc_runtime::sources::SOURCES;

/// Rust target, core, QEMU machine, start of flash and RAM.
const MACHINES: [(&str, &str, &str, u32, u32); 3] = [
    ("thumbv7em-none-eabihf", "cortex-m4", "mps2-an386", 0, 0x2000_0000),
    ("thumbv7em-none-eabihf", "cortex-m7", "mps2-an500", 0, 0x2000_0000),
    ("thumbv8m.main-none-eabihf", "cortex-m33", "mps2-an505", 0x1000_0000, 0x3800_0000),
];

#[test]
fn twins_on_the_host() {
    for seed in 0..20 {
        assert_eq!(check::run(seed, 200), Ok(()), "seed {seed}");
    }
}

/// Whether a program and a folder of the toolchain are there; in CI they must be.
fn ready(target: &str) -> bool {
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output().expect("rustc runs").stdout;
    let sysroot = String::from_utf8(sysroot).expect("a path");
    let installed = Path::new(sysroot.trim()).join("lib/rustlib").join(target).join("lib").is_dir();
    let qemu = Command::new("qemu-system-arm").arg("--version").stdout(Stdio::null()).status().is_ok();
    assert!((installed && qemu) || std::env::var("CI").as_deref() != Ok("true"), "CI needs {target} and QEMU");
    installed && qemu
}

#[test]
fn instructions_in_qemu() {
    let temp = tempfile::tempdir().expect("temporary folder");
    let dir = temp.path();
    let mut modules = String::new();
    for (name, text) in SOURCES {
        let path = dir.join("kernels").join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("folder");
        std::fs::write(path, text).expect("kernel");
        let module = name.trim_end_matches("/mod.rs").trim_end_matches(".rs");
        if !module.contains('/') {
            writeln!(modules, "pub mod {module};").expect("a string");
        }
    }
    std::fs::write(dir.join("kernels/mod.rs"), modules).expect("kernels");
    std::fs::write(dir.join("check.rs"), include_str!("dsp/check.rs")).expect("check");
    let main = format!("{}\nconst SEED: u32 = 31;\nconst ROUNDS: u32 = 1000;\n", include_str!("dsp/main.rs.txt"));
    std::fs::write(dir.join("main.rs"), main).expect("main");
    for (target, cpu, machine, flash, ram) in MACHINES {
        if !ready(target) {
            crate::shared::skipped(&format!("{cpu} needs qemu-system-arm and `rustup target add {target}`"));
            continue;
        }
        let script = include_str!("dsp/memory.x").replace("FLASH_START", &flash.to_string());
        std::fs::write(dir.join("memory.x"), script.replace("RAM_START", &ram.to_string())).expect("script");
        let built = Command::new("rustc")
            .current_dir(dir)
            .args(["--edition", "2021", "--crate-type", "bin", "--target", target, "-O", "-A", "dead_code"])
            .args(["-C", "panic=abort", "-C", "linker=rust-lld", "-C", "link-arg=-Tmemory.x", "-D", "warnings"])
            .args(["-C", &format!("target-cpu={cpu}"), "--cfg", "feature=\"dsp\"", "main.rs", "-o", cpu])
            .output()
            .expect("rustc runs");
        assert!(built.status.success(), "{cpu}: {}", String::from_utf8_lossy(&built.stderr));
        let ran = Command::new("timeout")
            .current_dir(dir)
            .args(["300", "qemu-system-arm", "-M", machine, "-nographic", "-monitor", "none", "-serial", "null"])
            .args(["-semihosting-config", "enable=on,target=native", "-kernel", cpu])
            .output()
            .expect("QEMU runs");
        assert!(ran.status.success(), "{cpu}: {}", String::from_utf8_lossy(&ran.stdout));
    }
}
