//! What `fratc transfer` adds to a build's report.

use std::fmt;

use serde::Serialize;

use super::build::Build;

/// How the new classes were learned. Accuracies are shares of right answers of the float network on the test split.
#[derive(Debug, Clone, Serialize)]
pub struct Transfer {
    /// Classes whose routes are the body.
    pub body: Vec<String>,
    /// Images of each new class that were learned from.
    pub images: Vec<usize>,
    /// Features that the new last layer reads.
    pub features: usize,
    /// With the last layer fitted; `null` without test samples.
    pub head: Option<f64>,
    /// After training, as it goes into the crate; `null` without test samples.
    pub trained: Option<f64>,
    /// The same network from random weights; `null` if that was not wanted.
    pub scratch: Option<Scratch>,
}

/// The same network from random weights, on the same images.
#[derive(Debug, Clone, Serialize)]
pub struct Scratch {
    /// Random body, the last layer fitted in closed form.
    pub head: f64,
    /// All trained: for each largest rate, the accuracy after all epochs; `null` where training diverged.
    pub trained: Vec<(f64, Option<f64>)>,
    /// Epochs.
    pub epochs: usize,
}

/// What `transfer --json` prints.
#[derive(Debug, Serialize)]
pub struct TransferReport {
    /// Layout version.
    pub schema: u32,
    /// How the new classes were learned.
    pub transfer: Transfer,
    /// The crate, as of `fratc build`.
    pub build: Build,
}

impl Scratch {
    /// The best of them on the test split, which flatters it.
    pub fn best(&self) -> f64 {
        self.trained.iter().filter_map(|(_, accuracy)| *accuracy).fold(self.head, f64::max)
    }
}

impl fmt::Display for Transfer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let images: Vec<String> = self.images.iter().map(ToString::to_string).collect();
        writeln!(f, "body      routes of {}; {} features", self.body.join(", "), self.features)?;
        write!(f, "learned   from {} images a class", images.join(", "))?;
        if let (Some(head), Some(trained)) = (self.head, self.trained) {
            write!(f, "; test, float: new head {:.2} %, after training {:.2} %", head * 100.0, trained * 100.0)?;
        }
        writeln!(f)?;
        if let Some(scratch) = &self.scratch {
            let rates: Vec<String> = scratch
                .trained
                .iter()
                .map(|(rate, accuracy)| match accuracy {
                    Some(accuracy) => format!("{:.2} % at rate {rate}", accuracy * 100.0),
                    None => format!("diverged at rate {rate}"),
                })
                .collect();
            writeln!(
                f,
                "random    the same network from random weights: new head {:.2} %; after {} epochs {}",
                scratch.head * 100.0,
                scratch.epochs,
                rates.join(", ")
            )?;
        }
        Ok(())
    }
}
