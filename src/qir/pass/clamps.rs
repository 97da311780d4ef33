//! Bounds that no value reaches: kernels that saturate to `i8` need not compare with them.

use super::ranges::{ranges, unclamped};
use crate::qir::{Conv, Dense, Op, Program};

/// Opens them to the ends of `i8`; whether any was open before.
pub(super) fn open(program: &mut Program) -> bool {
    let ranges = ranges(program);
    let mut changed = false;
    for index in 0..program.layers.len() {
        let reach = unclamped(program, &program.layers[index], &ranges);
        let Some(lowest) = reach.iter().map(|(lo, _)| *lo).min() else { continue };
        let Some(highest) = reach.iter().map(|(_, hi)| *hi).max() else { continue };
        let (min, max) = match &mut program.layers[index].op {
            Op::Conv(Conv { requant, .. }) | Op::Depthwise(Conv { requant, .. }) | Op::Dense(Dense { requant, .. }) => {
                (&mut requant.min, &mut requant.max)
            }
            Op::Add(add) => (&mut add.min, &mut add.max),
            Op::Grouped(_)
            | Op::Gate(_)
            | Op::MaxPool(_)
            | Op::AvgPool(_)
            | Op::Concat
            | Op::Flatten
            | Op::Adapt(_)
            | Op::Lookup(_) => continue,
        };
        let slack = [lowest >= i64::from(*min), highest <= i64::from(*max)];
        for (bound, end, slack) in [(min, -128, slack[0]), (max, 127, slack[1])] {
            if slack && *bound != end {
                *bound = end;
                changed = true;
            }
        }
    }
    changed
}
