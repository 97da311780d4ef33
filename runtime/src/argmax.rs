//! The winning class.

/// Index of the largest score; the first of equals. 0 for no scores.
pub fn argmax(scores: &[i8]) -> usize {
    let mut best = (0, i8::MIN);
    for (i, &score) in (0..scores.len()).zip(scores) {
        if score > best.1 {
            best = (i, score);
        }
    }
    best.0
}
