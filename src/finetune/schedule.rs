//! Step lengths over time.

use std::f64::consts::PI;

/// The learning rate at `step` of `steps`: a linear rise over the first twentieth, then half a cosine from
/// `peak` down to 0.
pub fn cosine(peak: f64, step: usize, steps: usize) -> f64 {
    let rise = (steps / 20).max(1);
    if step < rise {
        return peak * (step + 1) as f64 / rise as f64;
    }
    let done = (step - rise) as f64 / (steps - rise).max(1) as f64;
    peak * 0.5 * (1.0 + (PI * done).cos())
}

#[cfg(test)]
mod tests {
    use super::cosine;

    #[test]
    fn rises_then_falls_to_almost_nothing() {
        let rates: Vec<f64> = (0..100).map(|step| cosine(2.0, step, 100)).collect();
        assert!(rates[..5].is_sorted() && rates[5..].iter().rev().is_sorted());
        assert!((rates[4] - 2.0).abs() < 1e-12 && rates[99] < 0.01);
    }
}
