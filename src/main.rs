//! The `fratc` command; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    fratc::cli::main()
}
