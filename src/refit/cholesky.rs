//! Cholesky factorisation of small dense systems in f64.

/// The lower triangle L of A = L·Lᵀ, row-major.
pub(super) struct Cholesky {
    n: usize,
    l: Vec<f64>,
}

impl Cholesky {
    /// Factors the symmetric matrix `a` (`n` rows, row-major); `None` unless it is safely positive definite.
    pub(super) fn new(mut a: Vec<f64>, n: usize) -> Option<Self> {
        for i in 0..n {
            let (above, rest) = a.split_at_mut(i * n);
            let row = &mut rest[..n];
            let diagonal = row[i];
            for j in 0..i {
                let upper = &above[j * n..j * n + n];
                row[j] = (row[j] - dot(&row[..j], &upper[..j])) / upper[j];
            }
            let pivot = row[i] - dot(&row[..i], &row[..i]);
            // What is left below this share of the diagonal is rounding noise.
            if !(pivot > diagonal * 1e-13 && pivot.is_finite()) {
                return None;
            }
            row[i] = pivot.sqrt();
        }
        Some(Self { n, l: a })
    }

    /// Solves A·x = b in place.
    pub(super) fn solve(&self, b: &mut [f64]) {
        let n = self.n;
        for i in 0..n {
            let row = &self.l[i * n..i * n + n];
            b[i] = (b[i] - dot(&row[..i], &b[..i])) / row[i];
        }
        for i in (0..n).rev() {
            let row = &self.l[i * n..i * n + n];
            let x = b[i] / row[i];
            b[i] = x;
            b[..i].iter_mut().zip(&row[..i]).for_each(|(b, l)| *b -= x * l);
        }
    }
}

/// Dot product over eight running sums: a fixed order that still vectorises.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (a_eights, b_eights) = (a.chunks_exact(8), b.chunks_exact(8));
    let tail: f64 = a_eights.remainder().iter().zip(b_eights.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a_eights.zip(b_eights) {
        for k in 0..8 {
            sums[k] += x[k] * y[k];
        }
    }
    let [s0, s1, s2, s3, s4, s5, s6, s7] = sums;
    ((s0 + s4) + (s1 + s5)) + ((s2 + s6) + (s3 + s7)) + tail
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn solves_what_it_factors_and_refuses_singular_matrices() {
        for n in [1, 2, 7, 8, 9, 40] {
            let value = |i: usize, j: usize| ((i * 37 + j * 101 + 13) % 97) as f64 / 97.0 - 0.5;
            let mut a = vec![0.0; n * n];
            for i in 0..n {
                for j in 0..n {
                    a[i * n + j] = (0..n).map(|k| value(i, k) * value(j, k)).sum::<f64>() + f64::from(u8::from(i == j));
                }
            }
            let want: Vec<f64> = (0..n).map(|i| value(i, 3)).collect();
            let mut b: Vec<f64> = (0..n).map(|i| dot(&a[i * n..i * n + n], &want)).collect();
            Cholesky::new(a, n).expect("positive definite").solve(&mut b);
            assert!(b.iter().zip(&want).all(|(x, y)| (x - y).abs() < 1e-10), "{n}");
        }
        assert!(Cholesky::new(vec![1.0, 1.0, 1.0, 1.0], 2).is_none());
        assert!(Cholesky::new(vec![f64::NAN], 1).is_none());
    }
}
