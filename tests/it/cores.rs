//! Kernels for Cortex-M55, M3 and M0 against the portable one, on random layers: their portable twins on the host, and
//! the instructions themselves in QEMU.

mod check;

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use fratc_runtime as kernels;
use fratc_runtime::sources::SOURCES;

/// Rust target, core, feature, QEMU machine, bytes of its flash and of its RAM.
const MACHINES: [(&str, &str, &str, &str, &str); 3] = [
    ("thumbv8m.main-none-eabihf", "cortex-m55", "mve", "mps3-an547", "512K"),
    ("thumbv7m-none-eabi", "cortex-m3", "v7m", "mps2-an385", "4M"),
    ("thumbv6m-none-eabi", "cortex-m0", "v6m", "mps2-an385", "4M"),
];

#[test]
fn twins_on_the_host() {
    for seed in 0..10 {
        assert_eq!(check::run(seed, 100), Ok(()), "seed {seed}");
    }
}

/// Whether QEMU and the toolchain for `target` are there; in CI they must be.
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
            let _ = writeln!(modules, "pub mod {module};");
        }
    }
    std::fs::write(dir.join("kernels/mod.rs"), modules).expect("kernels");
    std::fs::write(dir.join("check.rs"), include_str!("cores/check.rs")).expect("check");
    let main = format!("{}\nconst SEED: u32 = 31;\nconst ROUNDS: u32 = 400;\n", include_str!("dsp/main.rs.txt"));
    // Vectors and floats are off at the start of a Cortex-M55, and any function may save their registers.
    let entry = "extern \"C\" fn reset() -> ! {\n";
    assert!(main.contains(entry), "the firmware's entry");
    let enabled = "extern \"C\" fn reset() -> ! {\n    #[cfg(feature = \"mve\")]\n    unsafe {\n        let access = 0xe000_ed88 as *mut u32;\n        access.write_volatile(access.read_volatile() | 0xf << 20);\n        asm!(\"dsb\", \"isb\");\n    }\n    start()\n}\n\n#[inline(never)]\nfn start() -> ! {\n";
    std::fs::write(dir.join("main.rs"), main.replace(entry, enabled)).expect("main");
    for (target, cpu, feature, machine, size) in MACHINES {
        if !ready(target) {
            crate::shared::skipped(&format!("{cpu} needs qemu-system-arm and `rustup target add {target}`"));
            continue;
        }
        let script = include_str!("dsp/memory.x").replace("FLASH_START", "0").replace("RAM_START", "0x20000000");
        std::fs::write(dir.join("memory.x"), script.replace("4M", size)).expect("script");
        let built = Command::new("rustc")
            .current_dir(dir)
            .args(["--edition", "2021", "--crate-type", "bin", "--target", target, "-O", "-A", "dead_code"])
            .args(["-C", "panic=abort", "-C", "linker=rust-lld", "-C", "link-arg=-Tmemory.x", "-D", "warnings"])
            .args([
                "-C",
                &format!("target-cpu={cpu}"),
                "--cfg",
                &format!("feature=\"{feature}\""),
                "main.rs",
                "-o",
                cpu,
            ])
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
