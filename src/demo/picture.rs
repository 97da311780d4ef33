//! Pixels: paint and floor under uneven light, blurred, with noise.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::demo::symbol::is_paint;
use crate::demo::view::{View, uniform};

/// Rows and columns of a drawing.
pub const SIZE: usize = 24;

/// Points looked at per pixel and axis.
const SUB: usize = 3;

/// One drawing of `class`: grey, `[SIZE, SIZE, 1]`. Every seed gives another one.
pub fn draw(class: usize, seed: u64) -> Vec<u8> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(class as u64);
    let view = View::random(&mut rng);
    let coverage = coverage(class, &view);
    let lit = light(&coverage, &mut rng);
    let blurred = blur(lit, &mut rng);
    let noise = uniform(&mut rng, 3.0, 14.0);
    blurred.into_iter().map(|level| (level + noise * bell(&mut rng)).round().clamp(0.0, 255.0) as u8).collect()
}

/// Share of paint in each pixel, 0 to 1.
fn coverage(class: usize, view: &View) -> Vec<f64> {
    let steps = SIZE * SUB;
    let place = |i: usize| (2 * i + 1) as f64 / steps as f64 - 1.0;
    let mut out = vec![0.0; SIZE * SIZE];
    for row in 0..steps {
        for column in 0..steps {
            if is_paint(class, view.plate(place(column), place(row))) {
                out[row / SUB * SIZE + column / SUB] += 1.0 / (SUB * SUB) as f64;
            }
        }
    }
    out
}

/// Grey levels under a light that falls off to one side.
fn light(coverage: &[f64], rng: &mut ChaCha8Rng) -> Vec<f64> {
    let floor = uniform(rng, 20.0, 110.0);
    let paint = floor + uniform(rng, 55.0, 140.0);
    let fall = [uniform(rng, -0.3, 0.3), uniform(rng, -0.3, 0.3)];
    let place = |i: usize| (2 * i + 1) as f64 / SIZE as f64 - 1.0;
    let level = |(i, share): (usize, &f64)| {
        let brightness = 1.0 + fall[0] * place(i % SIZE) + fall[1] * place(i / SIZE);
        (floor + (paint - floor) * share) * brightness
    };
    coverage.iter().enumerate().map(level).collect()
}

/// Two passes of a three-tap filter along each axis; the edge pixels are repeated outward.
fn blur(mut levels: Vec<f64>, rng: &mut ChaCha8Rng) -> Vec<f64> {
    let side = uniform(rng, 0.0, 0.3);
    for stride in [1, SIZE, 1, SIZE] {
        let before = levels.clone();
        for (i, level) in levels.iter_mut().enumerate() {
            let at = i / stride % SIZE;
            let left = if at > 0 { before[i - stride] } else { before[i] };
            let right = if at + 1 < SIZE { before[i + stride] } else { before[i] };
            *level = side * left + (1.0 - 2.0 * side) * before[i] + side * right;
        }
    }
    levels
}

/// About normal, mean 0 and deviation 1: the sum of twelve even numbers.
fn bell(rng: &mut ChaCha8Rng) -> f64 {
    (0..12).map(|_| uniform(rng, -0.5, 0.5)).sum()
}

#[cfg(test)]
mod tests {
    use super::{SIZE, draw};
    use crate::demo::CLASSES;

    #[test]
    fn drawings_depend_on_class_and_seed_only() {
        assert_eq!(draw(3, 8), draw(3, 8));
        assert_ne!(draw(3, 8), draw(3, 9));
        assert_ne!(draw(3, 8), draw(4, 8));
    }

    #[test]
    fn every_symbol_stands_out_from_the_floor() {
        for (class, name) in CLASSES.iter().enumerate() {
            let mut image = draw(class, 1);
            assert_eq!(image.len(), SIZE * SIZE);
            image.sort_unstable();
            let (dark, bright) = (image[image.len() / 10], image[image.len() * 95 / 100]);
            assert!(bright > dark + 25, "{name}: {dark} to {bright}");
        }
    }

    /// The bytes are part of the contract: the committed network's accuracy was measured on them.
    #[test]
    fn drawings_are_the_same_on_every_machine() {
        let sum: u64 =
            (0..CLASSES.len()).flat_map(|c| draw(c, 5)).enumerate().map(|(i, p)| i as u64 % 251 * u64::from(p)).sum();
        assert_eq!(sum, 94_331_500);
    }
}
