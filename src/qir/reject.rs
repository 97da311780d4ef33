//! When the answer is none of the wanted classes, and what an answer is called.

use serde::{Deserialize, Serialize};

use super::Program;

/// When the answer is none of the wanted classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reject {
    /// How many of the classes are wanted: the first ones. The others are what an input may be instead.
    pub wanted: u32,
    /// By how much the best wanted score must be above the best other one, in steps of the scores.
    pub threshold: i32,
}

impl Reject {
    /// The best wanted score less the best other one.
    pub fn margin(&self, scores: &[i8]) -> i32 {
        let (wanted, others) = scores.split_at(scores.len().min(self.wanted as usize));
        let best = |scores: &[i8]| scores.iter().copied().map(i32::from).max().unwrap_or(-128);
        best(wanted) - best(others)
    }

    /// The wanted class with the best score, the first of equals, if it is far enough above the others.
    pub fn answer(&self, scores: &[i8]) -> Option<usize> {
        let wanted = &scores[..scores.len().min(self.wanted as usize)];
        let best = wanted.iter().max()?;
        let class = wanted.iter().position(|score| score == best);
        class.filter(|_| self.margin(scores) >= self.threshold)
    }
}

impl Program {
    /// What a crate calls an input with these scores: the class of the first of the largest, or where it may be none of
    /// the wanted classes, the answer.
    pub fn label(&self, scores: &[i8]) -> &str {
        let class = match &self.reject {
            Some(reject) => reject.answer(scores),
            None => (0..scores.len()).rev().max_by_key(|&i| scores[i]),
        };
        class.and_then(|class| self.classes.get(class)).map_or("none", String::as_str)
    }
}
