//! stdout and stderr: data on the one, status on the other, a spinner only on a terminal.
#![expect(clippy::exit, reason = "this file is the one place that prints and ends the process")]

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::diag::{Diag, Result};
use crate::pipeline::Progress;

/// Where a command's words go.
#[derive(Debug)]
pub struct Shell {
    json: bool,
    quiet: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    bar: Option<ProgressBar>,
    current: Option<(&'static str, Instant)>,
    seconds: BTreeMap<String, f64>,
}

impl Shell {
    /// A shell that prints JSON or text, and status unless quiet.
    pub fn new(json: bool, quiet: bool) -> Self {
        Self { json, quiet, state: Mutex::new(State { bar: None, current: None, seconds: BTreeMap::new() }) }
    }

    /// Prints a result: as one JSON object, or as the text that `text` makes.
    pub fn print<T: Serialize>(&self, value: &T, text: impl FnOnce(&T) -> String) -> Result<()> {
        let out = if self.json {
            let mut json = serde_json::to_string_pretty(value)
                .map_err(|e| Box::new(Diag::new("cli/json", format!("cannot write JSON: {e}"))))?;
            json.push('\n');
            json
        } else {
            text(value)
        };
        self.raw(&out)
    }

    /// Prints text as it is. A reader that closed the pipe early is no failure.
    pub fn raw(&self, text: &str) -> Result<()> {
        self.finish();
        let mut stdout = std::io::stdout().lock();
        match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
            Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
                Diag::new("cli/stdout", format!("cannot write to standard output: {e}")).err()
            }
            _ => Ok(()),
        }
    }

    /// A remark that does not stop the run.
    pub fn warn(&self, text: &str) {
        if !self.quiet {
            self.state().line(&format!("warning: {text}"));
        }
    }

    /// The diagnostic that ended the run.
    pub fn error(&self, diag: &Diag) {
        self.finish();
        say(&format!("error[{}]: {}", diag.code, diag.what));
        if let Some(place) = &diag.place {
            say(&format!("  in: {place}"));
        }
        if let (Some(expected), Some(found)) = (&diag.expected, &diag.found) {
            say(&format!("  expected {expected}, found {found}"));
        }
        if let Some(help) = &diag.help {
            say(&format!("  help: {help}"));
        }
    }

    /// Ends the current stage.
    pub fn finish(&self) {
        let mut state = self.state();
        state.end_stage();
        if let Some(bar) = state.bar.take() {
            bar.finish_and_clear();
        }
    }

    /// Seconds of each stage that has ended.
    pub fn seconds(&self) -> BTreeMap<String, f64> {
        self.finish();
        self.state().seconds.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn end_stage(&mut self) {
        if let Some((name, start)) = self.current.take() {
            let seconds = (start.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
            *self.seconds.entry(name.to_string()).or_insert(0.0) += seconds;
        }
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| say(text)),
            None => say(text),
        }
    }
}

impl Progress for Shell {
    fn stage(&self, name: &'static str) {
        let mut state = self.state();
        state.end_stage();
        state.current = Some((name, Instant::now()));
        if self.quiet {
            return;
        }
        if std::io::stderr().is_terminal() {
            let bar = state.bar.get_or_insert_with(|| {
                let bar = ProgressBar::new_spinner();
                if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
                    bar.set_style(style);
                }
                bar.enable_steady_tick(Duration::from_millis(120));
                bar
            });
            bar.set_message(name);
        } else {
            say(&format!("fratc: {name}"));
        }
    }

    fn samples(&self, done: usize, total: usize) {
        let state = self.state();
        if let (Some(bar), Some((name, start))) = (&state.bar, &state.current) {
            let rate = done as f64 / start.elapsed().as_secs_f64().max(1e-3);
            let left = (total - done) as f64 / rate.max(1e-3);
            bar.set_message(format!("{name} {done}/{total} samples, {rate:.0} a second, {left:.0} s left"));
        }
    }

    fn steps(&self, done: usize, total: usize) {
        let state = self.state();
        if let (Some(bar), Some((name, start))) = (&state.bar, &state.current) {
            let left = start.elapsed().as_secs_f64() * (total - done.min(total)) as f64 / done.max(1) as f64;
            let full = (20 * done / total.max(1)).min(20);
            let drawn = format!("{}{}", "█".repeat(full), "░".repeat(20 - full));
            bar.set_message(format!("{name} {drawn} {done}/{total}, {:.0} min left", left / 60.0));
        }
    }

    fn note(&self, text: &str) {
        if !self.quiet {
            self.state().line(&format!("note: {text}"));
        }
    }
}

/// A line on stderr. Whoever started the run may be gone and nobody read it: then it is lost, and the run goes on to its end.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Ends an interrupted run.
pub fn interrupted() -> ! {
    say("error[cli/interrupted]: interrupted; nothing half-written was left behind");
    std::process::exit(2)
}
