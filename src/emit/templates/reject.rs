
/// How many of [`CLASSES`] were asked for: the first ones. The others are what an input may be instead.
pub const WANTED: usize = {wanted};

/// By how much the best wanted score must be above the best other one, in steps of [`SCORE_SCALE`].
pub const THRESHOLD: i32 = {threshold};

/// What [`Prediction::label`] says of an input that shows none of the wanted classes.
pub const NONE: &str = "none";

impl Prediction {
    /// The wanted class that the input shows, an index into [`CLASSES`]; `None` if it shows none of these.
    pub fn answer(&self) -> Option<usize> {
        let (wanted, others) = self.scores.split_at_checked(WANTED)?;
        let class = kernels::argmax::argmax(wanted);
        let best = i32::from(*wanted.get(class)?);
        let rival = i32::from(*others.iter().max()?);
        (best - rival >= THRESHOLD).then_some(class)
    }
}
