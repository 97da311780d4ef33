//! The camera: from a pixel to the point of the marker's plate that it sees.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

/// Largest turn to either side. Left and right must stay apart, so it is well below 45 degrees; as the tangent
/// of half the angle: about 20 degrees.
const MAX_HALF_TURN: f64 = 0.175;
/// Largest slant: how much nearer than the centre the near edge of the plate may be.
const MAX_SLANT: f64 = 0.2;
/// Half the plate's side as a share of half the picture's.
const SCALE: [f64; 2] = [0.6, 0.88];
/// How far the plate may be off the centre, as a share of half the picture's side.
const MAX_SHIFT: f64 = 0.13;

/// A random number from `low` to `high`.
pub(super) fn uniform(rng: &mut ChaCha8Rng, low: f64, high: f64) -> f64 {
    let unit = (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
    low + (high - low) * unit
}

/// One camera position.
pub(super) struct View {
    cos: f64,
    sin: f64,
    scale: [f64; 2],
    shift: [f64; 2],
    slant: [f64; 2],
}

impl View {
    /// A random one.
    pub(super) fn random(rng: &mut ChaCha8Rng) -> Self {
        let half = uniform(rng, -MAX_HALF_TURN, MAX_HALF_TURN);
        let scale = uniform(rng, SCALE[0], SCALE[1]);
        let squeeze = uniform(rng, 0.85, 1.0);
        Self {
            // Sine and cosine from the half angle's tangent: rational, so the same on every machine.
            cos: (1.0 - half * half) / (1.0 + half * half),
            sin: 2.0 * half / (1.0 + half * half),
            scale: [scale, scale * squeeze],
            shift: [uniform(rng, -MAX_SHIFT, MAX_SHIFT), uniform(rng, -MAX_SHIFT, MAX_SHIFT)],
            slant: [uniform(rng, -MAX_SLANT, MAX_SLANT), uniform(rng, -MAX_SLANT, MAX_SLANT)],
        }
    }

    /// The plate's point at `u`, `v`, both from −1 to 1 across the picture.
    pub(super) fn plate(&self, u: f64, v: f64) -> [f64; 2] {
        let x = (u - self.shift[0]) / self.scale[0];
        let y = (v - self.shift[1]) / self.scale[1];
        let depth = 1.0 + self.slant[0] * x + self.slant[1] * y;
        let (x, y) = (x / depth, y / depth);
        [self.cos * x + self.sin * y, self.cos * y - self.sin * x]
    }
}
