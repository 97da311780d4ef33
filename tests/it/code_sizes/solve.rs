//! Least squares.

/// Weights for which `Σ (features · weights − wanted)²` is least. Features that are never there have weight 0.
pub fn least_squares(rows: &[(Vec<f64>, f64)], count: usize) -> Vec<f64> {
    // The normal equations, with a little on the diagonal: features that always come together share their weight.
    let mut matrix = vec![vec![0.0; count + 1]; count];
    for (features, wanted) in rows {
        for i in 0..count {
            for j in 0..count {
                matrix[i][j] += features[i] * features[j];
            }
            matrix[i][count] += features[i] * wanted;
        }
    }
    for (i, row) in matrix.iter_mut().enumerate() {
        row[i] += 1e-3;
    }
    for i in 0..count {
        let pivot = matrix[i].clone();
        for (_, row) in matrix.iter_mut().enumerate().filter(|(other, _)| *other != i) {
            let factor = row[i] / pivot[i];
            row.iter_mut().zip(&pivot).for_each(|(value, pivot)| *value -= factor * pivot);
        }
    }
    (0..count).map(|i| matrix[i][count] / matrix[i][i]).collect()
}

#[test]
fn a_line_is_found() {
    let rows: Vec<(Vec<f64>, f64)> = (0..9).map(|x| (vec![1.0, f64::from(x)], 7.0 - 2.0 * f64::from(x))).collect();
    let weights = least_squares(&rows, 2);
    assert!((weights[0] - 7.0).abs() < 0.01 && (weights[1] + 2.0).abs() < 0.01, "{weights:?}");
}
