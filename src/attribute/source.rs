//! What is attributed: a model's classes and calibration samples.

use crate::data::{InputContract, SampleSet, Samples};
use crate::diag::{Diag, Result};
use crate::exec::{Batch, Float};
use crate::ir::Graph;

/// A model's classes and calibration samples.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// File name of the model, without folders.
    pub model: &'a str,
    /// SHA-256 of the model file, lower-case hex.
    pub model_sha256: &'a str,
    /// Class names, in the order of the model's outputs.
    pub classes: &'a [String],
    /// Raw bytes to network inputs.
    pub input: &'a InputContract,
    /// The calibration split.
    pub samples: &'a dyn SampleSet,
}

impl Source<'_> {
    /// Fails if samples or classes do not fit the model.
    pub(super) fn check(&self, graph: &Graph) -> Result<()> {
        let shape = graph.shape(graph.input());
        self.input.check_model([shape.h, shape.w, shape.c])?;
        if self.samples.shape() != self.input.shape {
            return Diag::new("attribute/shape", "the samples do not have the model's shape")
                .expected(format!("{:?}", self.input.shape), format!("{:?}", self.samples.shape()))
                .err();
        }
        if self.classes.len() != graph.classes() {
            return Diag::new("attribute/class-count", "the number of class names is not the model's")
                .expected(format!("{} names", graph.classes()), self.classes.len())
                .err();
        }
        Ok(())
    }

    /// The samples of `indices` as the network's input.
    pub(super) fn batch<T: Float>(&self, graph: &Graph, indices: &[usize]) -> Result<Batch<T>> {
        let samples = self.samples.fetch(indices)?;
        whole(graph, self.input, &samples)
    }
}

/// All of `samples` as the network's input.
pub(super) fn whole<T: Float>(graph: &Graph, input: &InputContract, samples: &Samples) -> Result<Batch<T>> {
    let data = input.normalized(samples, 0..samples.len(), T::of);
    Batch::new(graph.shape(graph.input()), samples.len(), data)
}

/// The samples of `indices` as the network's input.
pub(super) fn batch<T: Float>(
    graph: &Graph,
    input: &InputContract,
    samples: &Samples,
    indices: &[usize],
) -> Result<Batch<T>> {
    let data = input.normalized(samples, indices.iter().copied(), T::of);
    Batch::new(graph.shape(graph.input()), indices.len(), data)
}
