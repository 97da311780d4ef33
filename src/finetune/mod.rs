//! Stochastic gradient descent on a float graph.
//!
//! In: a graph, the input contract, samples whose labels are indices of the graph's outputs, and options. Out:
//! a graph of the same structure with trained weights. Guaranteed: the same inputs give the same weights for
//! any thread count; a step is cut into the engine's fixed chunks and their gradients are added in order.
//!
//! `loss` measures how wrong scores are, `sgd` takes one step, `schedule` says how long it is, `train` goes
//! through the samples of a data set, `tune` toward probabilities, such as a teacher's, with gradients that
//! `precondition` has taken the shape of the inputs out of and the weights that `average` takes the mean of.

mod average;
mod loss;
mod precondition;
mod schedule;
mod sgd;
mod train;
mod tune;

pub use loss::{Loss, cross_entropy, soft_cross_entropy};
pub use schedule::cosine;
pub use sgd::Sgd;
pub use train::{Epoch, Options, accuracy, train};
pub use tune::{Done, logits, tune};
