//! The same samples seen otherwise: mirrored, or moved by a little.
//!
//! A network that does not care which way things face, or where exactly they stand, can be fitted to what its source makes
//! of such copies as well. The fit of all layers to the scores takes each sample for a row or a few; it has
//! several times the rows then.

use crate::exec::Batch;

/// Ways to look at samples besides as they are. Each has to be one that the source does not mind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Views {
    /// Columns reversed.
    pub mirror: bool,
    /// Moved by up to [`View::reach`] rows and columns, the border repeated.
    pub shift: bool,
}

/// Samples and copies together at most, unless there are more samples; few samples are seen in more ways.
const ENOUGH: usize = 4_000;

/// Copies of a sample at most, itself included.
const COPIES: usize = 6;

/// A side is moved by at most one part in so many.
const REACH: usize = 16;

/// Directions of rows and columns.
const WAYS: [[i8; 2]; 8] = [[1, 0], [0, 1], [-1, 0], [0, -1], [1, 1], [-1, -1], [1, -1], [-1, 1]];

impl Views {
    /// Copies of every one of `samples` samples, itself included.
    pub(super) fn copies(self, samples: usize) -> usize {
        let enough = (ENOUGH / samples.max(1)).max(1);
        match (self.mirror, self.shift) {
            (false, false) => 1,
            (true, false) => enough.min(2),
            (_, true) => enough.min(COPIES),
        }
    }

    /// How copy `copy` of sample `sample` looks; copy 0 is as it is.
    pub(super) fn view(self, copy: usize, sample: usize) -> View {
        let mirrored = self.mirror && copy % 2 == 1;
        let moved = self.shift && copy > usize::from(self.mirror);
        View { mirrored, way: if moved { WAYS[(sample + 3 * copy) % WAYS.len()] } else { [0, 0] } }
    }
}

/// One way to look at samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct View {
    /// Columns reversed.
    pub mirrored: bool,
    /// Directions in which the picture is moved: −1, 0 or 1 times the reach.
    pub way: [i8; 2],
}

impl View {
    /// Columns reversed.
    pub const MIRRORED: Self = Self { mirrored: true, way: [0, 0] };

    /// Moved in direction `number % 8`.
    pub fn moved(number: usize) -> Self {
        Self { mirrored: false, way: WAYS[number % WAYS.len()] }
    }

    /// How far a side of `size` is moved.
    pub fn reach(size: usize) -> usize {
        size / REACH
    }

    /// The samples of `batch` seen this way.
    pub fn apply(self, batch: &mut Batch<f32>) {
        let [height, width] = [batch.shape.h, batch.shape.w];
        if self.mirrored {
            batch.data.chunks_exact_mut(width.max(1)).for_each(<[f32]>::reverse);
        }
        if self.way == [0, 0] {
            return;
        }
        // Where the value at `at` of a side comes from; beyond the border, from the border.
        let from = |at: usize, size: usize, way: i8| match way {
            1 => at.saturating_sub(Self::reach(size)),
            -1 => (at + Self::reach(size)).min(size - 1),
            _ => at,
        };
        let before = batch.data.clone();
        for (plane, before) in batch.data.chunks_exact_mut(height * width).zip(before.chunks_exact(height * width)) {
            for (y, row) in plane.chunks_exact_mut(width).enumerate() {
                let y = from(y, height, self.way[0]);
                for (x, value) in row.iter_mut().enumerate() {
                    *value = before[y * width + from(x, width, self.way[1])];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::Shape;

    #[test]
    fn pictures_move_and_their_border_is_repeated() {
        let data: Vec<f32> = (0..32 * 16).map(|i| (i / 16 * 100 + i % 16) as f32).collect();
        let batch = Batch { shape: Shape::new(1, 32, 16), n: 1, data };
        let seen = |view: View| {
            let mut seen = batch.clone();
            view.apply(&mut seen);
            move |y: usize, x: usize| seen.data[y * 16 + x] as u32
        };
        let down_left = seen(View { way: [1, -1], ..View::default() });
        assert_eq!(down_left(5, 5), 306);
        assert_eq!((down_left(0, 0), down_left(31, 15)), (1, 2915));
        let mirrored = seen(View::MIRRORED);
        assert_eq!((mirrored(3, 0), mirrored(3, 15)), (315, 300));
    }

    #[test]
    fn few_samples_are_seen_in_more_ways_and_the_first_is_plain() {
        let both = Views { mirror: true, shift: true };
        assert_eq!([50, 600, 1500, 5000].map(|n| both.copies(n)), [6, 6, 2, 1]);
        assert_eq!(Views::default().copies(50), 1);
        for views in [both, Views { mirror: false, shift: true }, Views { mirror: true, shift: false }] {
            assert_eq!(views.view(0, 7), View::default());
            let copies: Vec<View> = (0..views.copies(50)).map(|copy| views.view(copy, 7)).collect();
            assert!((1..copies.len()).all(|k| !copies[..k].contains(&copies[k])), "{copies:?}");
        }
    }
}
