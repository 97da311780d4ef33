//! How a pipeline tells what it is doing.

/// Receives stages and remarks. The CLI shows them as bars and lines and takes the times.
pub trait Progress: Sync {
    /// A stage begins; the one before it has ended.
    fn stage(&self, name: &'static str);
    /// `done` of `total` samples of the stage are through.
    fn samples(&self, _done: usize, _total: usize) {}
    /// `done` of `total` measurements of the stage are through.
    fn steps(&self, _done: usize, _total: usize) {}
    /// Something the user should know, for example what was skipped.
    fn note(&self, text: &str);
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn stage(&self, _: &'static str) {}
    fn note(&self, _: &str) {}
}
