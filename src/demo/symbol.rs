//! The symbols: which points of the plane are paint.
//!
//! Coordinates are those of a plate from −1 to 1, x to the right and y down.

/// Names of the symbols, in the order of the network's outputs.
pub const CLASSES: [&str; 16] = [
    "left", "right", "up", "down", "stop", "cross", "disc", "ring", "square", "triangle", "tee", "ell", "bars",
    "chevron", "dock", "charge",
];

/// One piece of paint, or of floor that shows through.
enum Piece {
    /// A closed outline, filled.
    Polygon(&'static [[f64; 2]]),
    /// Centre and radius.
    Disc([f64; 2], f64),
}

/// Pieces of a symbol, later ones on top; `true` is paint.
type Symbol = &'static [(bool, Piece)];

const RIGHT: &[[f64; 2]] =
    &[[-0.95, -0.28], [0.05, -0.28], [0.05, -0.8], [0.95, 0.0], [0.05, 0.8], [0.05, 0.28], [-0.95, 0.28]];
const LEFT: &[[f64; 2]] =
    &[[0.95, -0.28], [-0.05, -0.28], [-0.05, -0.8], [-0.95, 0.0], [-0.05, 0.8], [-0.05, 0.28], [0.95, 0.28]];
const DOWN: &[[f64; 2]] =
    &[[-0.28, -0.95], [-0.28, 0.05], [-0.8, 0.05], [0.0, 0.95], [0.8, 0.05], [0.28, 0.05], [0.28, -0.95]];
const UP: &[[f64; 2]] =
    &[[-0.28, 0.95], [-0.28, -0.05], [-0.8, -0.05], [0.0, -0.95], [0.8, -0.05], [0.28, -0.05], [0.28, 0.95]];
const OCTAGON: &[[f64; 2]] =
    &[[-0.4, -0.95], [0.4, -0.95], [0.95, -0.4], [0.95, 0.4], [0.4, 0.95], [-0.4, 0.95], [-0.95, 0.4], [-0.95, -0.4]];
const STOP_BAR: &[[f64; 2]] = &[[-0.6, -0.2], [0.6, -0.2], [0.6, 0.2], [-0.6, 0.2]];
const FALLING: &[[f64; 2]] = &[[-0.9, -0.6], [-0.6, -0.9], [0.9, 0.6], [0.6, 0.9]];
const RISING: &[[f64; 2]] = &[[-0.9, 0.6], [-0.6, 0.9], [0.9, -0.6], [0.6, -0.9]];
const SQUARE: &[[f64; 2]] = &[[-0.85, -0.85], [0.85, -0.85], [0.85, 0.85], [-0.85, 0.85]];
const SQUARE_HOLE: &[[f64; 2]] = &[[-0.45, -0.45], [0.45, -0.45], [0.45, 0.45], [-0.45, 0.45]];
const TRIANGLE: &[[f64; 2]] = &[[0.0, -0.9], [0.95, 0.75], [-0.95, 0.75]];
const TEE_TOP: &[[f64; 2]] = &[[-0.9, -0.85], [0.9, -0.85], [0.9, -0.4], [-0.9, -0.4]];
const TEE_STEM: &[[f64; 2]] = &[[-0.22, -0.5], [0.22, -0.5], [0.22, 0.9], [-0.22, 0.9]];
const ELL: &[[f64; 2]] = &[[-0.7, -0.9], [-0.25, -0.9], [-0.25, 0.45], [0.75, 0.45], [0.75, 0.9], [-0.7, 0.9]];
const BAR_TOP: &[[f64; 2]] = &[[-0.9, -0.9], [0.9, -0.9], [0.9, -0.52], [-0.9, -0.52]];
const BAR_MIDDLE: &[[f64; 2]] = &[[-0.9, -0.19], [0.9, -0.19], [0.9, 0.19], [-0.9, 0.19]];
const BAR_BOTTOM: &[[f64; 2]] = &[[-0.9, 0.52], [0.9, 0.52], [0.9, 0.9], [-0.9, 0.9]];
const CHEVRON_HIGH: &[[f64; 2]] = &[[0.0, -0.95], [0.9, -0.15], [0.9, 0.25], [0.0, -0.5], [-0.9, 0.25], [-0.9, -0.15]];
const CHEVRON_LOW: &[[f64; 2]] = &[[0.0, -0.15], [0.9, 0.6], [0.9, 1.0], [0.0, 0.3], [-0.9, 1.0], [-0.9, 0.6]];
const DOCK: &[[f64; 2]] =
    &[[-0.9, -0.9], [-0.5, -0.9], [-0.5, 0.5], [0.5, 0.5], [0.5, -0.9], [0.9, -0.9], [0.9, 0.9], [-0.9, 0.9]];
const BOLT: &[[f64; 2]] = &[[0.25, -0.95], [-0.6, 0.15], [-0.08, 0.15], [-0.3, 0.95], [0.6, -0.25], [0.08, -0.25]];

const SYMBOLS: [Symbol; 16] = [
    &[(true, Piece::Polygon(LEFT))],
    &[(true, Piece::Polygon(RIGHT))],
    &[(true, Piece::Polygon(UP))],
    &[(true, Piece::Polygon(DOWN))],
    &[(true, Piece::Polygon(OCTAGON)), (false, Piece::Polygon(STOP_BAR))],
    &[(true, Piece::Polygon(FALLING)), (true, Piece::Polygon(RISING))],
    &[(true, Piece::Disc([0.0, 0.0], 0.9))],
    &[(true, Piece::Disc([0.0, 0.0], 0.95)), (false, Piece::Disc([0.0, 0.0], 0.5))],
    &[(true, Piece::Polygon(SQUARE)), (false, Piece::Polygon(SQUARE_HOLE))],
    &[(true, Piece::Polygon(TRIANGLE))],
    &[(true, Piece::Polygon(TEE_TOP)), (true, Piece::Polygon(TEE_STEM))],
    &[(true, Piece::Polygon(ELL))],
    &[(true, Piece::Polygon(BAR_TOP)), (true, Piece::Polygon(BAR_MIDDLE)), (true, Piece::Polygon(BAR_BOTTOM))],
    &[(true, Piece::Polygon(CHEVRON_HIGH)), (true, Piece::Polygon(CHEVRON_LOW))],
    &[(true, Piece::Polygon(DOCK)), (true, Piece::Disc([0.0, -0.15], 0.3))],
    &[(true, Piece::Polygon(BOLT))],
];

/// Whether the point `at` of symbol `class` is paint. Classes beyond the last wrap around.
pub(super) fn is_paint(class: usize, at: [f64; 2]) -> bool {
    let pieces = SYMBOLS[class % SYMBOLS.len()];
    pieces.iter().rev().find(|(_, piece)| piece.covers(at)).is_some_and(|(paint, _)| *paint)
}

impl Piece {
    fn covers(&self, [x, y]: [f64; 2]) -> bool {
        match self {
            Self::Disc([cx, cy], r) => (x - cx) * (x - cx) + (y - cy) * (y - cy) <= r * r,
            Self::Polygon(corners) => {
                // Even-odd rule: count the edges that a ray to the right crosses.
                let next = corners.iter().cycle().skip(1);
                let crossings = corners.iter().zip(next).filter(|&(a, b)| {
                    (a[1] > y) != (b[1] > y) && x < (b[0] - a[0]) * (y - a[1]) / (b[1] - a[1]) + a[0]
                });
                crossings.count() % 2 == 1
            }
        }
    }
}
