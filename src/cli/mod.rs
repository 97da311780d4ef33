//! The command line: the only place that prints, reads arguments and the clock, and sets exit codes.
//!
//! Status and progress go to stderr, data to stdout. Exit code 0: done; 1: the answer is no (does not fit,
//! mismatch, accuracy under the gate); 2: usage, input or environment failure.

mod add_class;
mod args;
mod assemble;
mod attribute;
mod bench;
mod build;
mod completions;
mod components;
mod demo;
mod emit;
mod flash;
mod inspect;
mod merge;
mod plan;
mod quantize;
mod shell;
mod study;
mod targets;
mod transfer;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::diag::{Answer, Diag, Result};
use crate::pipeline::{self, Outcome};

use shell::Shell;

/// Turns a trained CNN classifier into a verified int8 `no_std` crate that holds only the wanted classes.
#[derive(Debug, Parser)]
#[command(
    name = "fratc",
    version,
    about = "Compile the class routes of a trained CNN into a verified int8 no_std crate for Cortex-M",
    after_help = "Start with `fratc demo`, which needs no files. Exit codes: 0 done, 1 the answer is no (does not fit, \
                  mismatch, accuracy under the gate), 2 usage, input or environment failure."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    global: Global,
}

/// Options of every command.
#[derive(Debug, clap::Args)]
struct Global {
    /// Print one JSON object on stdout instead of text
    #[arg(long, global = true)]
    json: bool,
    /// Say nothing on stderr but errors
    #[arg(long, short, global = true)]
    quiet: bool,
    /// Threads to use [default: all processors]; results are the same for any number
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Build(build::Cmd),
    Demo(demo::Cmd),
    Inspect(inspect::Cmd),
    Attribute(attribute::Cmd),
    Merge(merge::Cmd),
    Components(components::Cmd),
    Assemble(assemble::Cmd),
    AddClass(add_class::Cmd),
    Transfer(transfer::Cmd),
    Quantize(quantize::Cmd),
    Emit(emit::Cmd),
    Verify(verify::Cmd),
    Flash(flash::Cmd),
    Plan(plan::Cmd),
    Bench(bench::Cmd),
    Study(study::Cmd),
    Targets(targets::Cmd),
    Completions(completions::Cmd),
}

/// Runs the tool on the process's arguments.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let shell = Shell::new(cli.global.json, cli.global.quiet);
    let handler = ctrlc::set_handler(|| {
        pipeline::abandon();
        shell::interrupted();
    });
    if handler.is_err() {
        shell.warn("no handler for Ctrl-C could be installed; an interrupted run may leave temporary files");
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(cli.global.jobs.map_or(0, usize::from)).build();
    let result = match pool {
        Ok(pool) => pool.install(|| run(&cli.command, &shell)),
        Err(e) => Diag::new("cli/threads", format!("cannot start threads: {e}")).err(),
    };
    shell.finish();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(diag) => {
            shell.error(&diag);
            match diag.answer {
                Answer::No => ExitCode::from(1),
                Answer::Failure => ExitCode::from(2),
            }
        }
    }
}

fn run(command: &Command, shell: &Shell) -> Result<()> {
    match command {
        Command::Build(cmd) => cmd.run(shell),
        Command::Demo(cmd) => cmd.run(shell),
        Command::Inspect(cmd) => cmd.run(shell),
        Command::Attribute(cmd) => cmd.run(shell),
        Command::Merge(cmd) => cmd.run(shell),
        Command::Components(cmd) => cmd.run(shell),
        Command::Assemble(cmd) => cmd.run(shell),
        Command::AddClass(cmd) => cmd.run(shell),
        Command::Transfer(cmd) => cmd.run(shell),
        Command::Quantize(cmd) => cmd.run(shell),
        Command::Emit(cmd) => cmd.run(shell),
        Command::Verify(cmd) => cmd.run(shell),
        Command::Flash(cmd) => cmd.run(shell),
        Command::Plan(cmd) => cmd.run(shell),
        Command::Bench(cmd) => cmd.run(shell),
        Command::Study(cmd) => cmd.run(shell),
        Command::Targets(cmd) => cmd.run(shell),
        Command::Completions(cmd) => cmd.run(shell),
    }
}

/// Prints the report of a build, and passes on why the answer is no.
fn build_report(mut outcome: Outcome, shell: &Shell) -> Result<()> {
    outcome.report.seconds = shell.seconds();
    shell.print(&outcome.report, ToString::to_string)?;
    outcome.refused.map_or(Ok(()), Err)
}
