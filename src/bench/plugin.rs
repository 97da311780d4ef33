//! Building the plugin, and falling back where that does not work.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::diag::Result;
use crate::verify::{Copy, Stopped, run_program};

/// The source.
const SPANS: &str = include_str!("plugin/spans.c");

/// Versions of QEMU's plugin interface, tried in this order: which one a QEMU takes, it says only by refusing.
const APIS: [u32; 5] = [1, 2, 3, 4, 5];

/// The compiler takes a fraction of a second.
const LIMIT: Duration = Duration::from_mins(1);

/// Runs `run` with the plugin if it can be built and loaded, else without it and with the reason.
pub(super) fn with_plugin<T>(
    copy: &Copy,
    compiler: &str,
    run: impl Fn(Option<&Path>) -> Result<T>,
) -> Result<(T, Option<String>)> {
    let mut reason = "this QEMU takes no plugins".to_string();
    for api in APIS {
        let plugin = match build(copy, compiler, api) {
            Ok(plugin) => plugin,
            Err(why) => {
                reason = why;
                break;
            }
        };
        match run(Some(&plugin)) {
            // QEMU says that it could not load the plugin, or does not know the option.
            Err(error) if error.code == "verify/run" && error.what.contains("plugin") => {}
            ran => return Ok((ran?, None)),
        }
    }
    let note = format!("{reason}: no estimated cycles, and instructions to about one SysTick tick");
    Ok((run(None)?, Some(note)))
}

fn build(copy: &Copy, compiler: &str, api: u32) -> std::result::Result<PathBuf, String> {
    let source = copy.write("fratc-spans.c", SPANS.as_bytes()).map_err(|e| e.what)?;
    let library = copy.path().join(format!("libfratc_spans_{api}.so"));
    let mut command = Command::new(compiler);
    command.args(["-O2", "-shared", "-fPIC"]);
    if cfg!(target_os = "macos") {
        command.args(["-undefined", "dynamic_lookup"]);
    }
    command.arg(format!("-DAPI={api}")).arg("-o").arg(&library).arg(&source).current_dir(copy.path());
    match run_program(&mut command, LIMIT, 1 << 20) {
        Ok(finished) if finished.status.success() => Ok(library),
        Ok(finished) => Err(format!("the C compiler `{compiler}` refuses the plugin: {}", finished.tail(2))),
        Err(Stopped::Missing) => Err(format!("there is no C compiler `{compiler}`")),
        Err(Stopped::TimeOut | Stopped::TooMuchOutput) => Err(format!("the C compiler `{compiler}` does not end")),
        Err(Stopped::Io(error)) => Err(format!("the C compiler `{compiler}` does not run: {error}")),
    }
}
