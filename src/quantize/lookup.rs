//! Activations on their own: any function of one value is a table of 256 entries.

use crate::ir::op::Op;
use crate::qir::Quant;
use crate::quantize::requant::store;

/// The function of an element-wise operator; `None` for all others.
pub(super) fn function(op: &Op) -> Option<Box<dyn Fn(f64) -> f64>> {
    match *op {
        Op::Relu => Some(Box::new(|x| x.max(0.0))),
        Op::Clip(clip) => Some(Box::new(move |x| x.max(f64::from(clip.lo)).min(f64::from(clip.hi)))),
        Op::LeakyRelu(leaky) => Some(Box::new(move |x| if x > 0.0 { x } else { f64::from(leaky.alpha) * x })),
        Op::Sigmoid => Some(Box::new(|x| 1.0 / (1.0 + (-x).exp()))),
        Op::HardSigmoid(h) => Some(Box::new(move |x| (f64::from(h.alpha) * x + f64::from(h.beta)).clamp(0.0, 1.0))),
        Op::HardSwish => Some(Box::new(|x| x * (x / 6.0 + 0.5).clamp(0.0, 1.0))),
        Op::Input
        | Op::Conv(_)
        | Op::Dense(_)
        | Op::Affine(_)
        | Op::Add
        | Op::Gate
        | Op::Concat
        | Op::MaxPool(_)
        | Op::AvgPool(_)
        | Op::GlobalAvgPool
        | Op::Flatten
        | Op::Pad(_)
        | Op::Adapt(_)
        | Op::Softmax => None,
    }
}

/// `table[q + 128]` is the stored value of `function` of what `q` stands for.
pub(super) fn table(function: &dyn Fn(f64) -> f64, input: Quant, output: Quant) -> Vec<i8> {
    (-128..=127)
        .map(|q| {
            let real = f64::from(input.scale) * f64::from(q - input.zero_point);
            store(output, function(real)) as i8
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::op::LeakyRelu;

    #[test]
    fn a_table_holds_the_function() {
        let leaky = function(&Op::LeakyRelu(LeakyRelu { alpha: 0.5 })).expect("element-wise");
        let (input, output) = (Quant { scale: 0.1, zero_point: 0 }, Quant { scale: 0.1, zero_point: -10 });
        let table = table(leaky.as_ref(), input, output);
        assert_eq!((table[128], table[128 + 20], table[128 - 20], table[255]), (-10, 10, -20, 117));
    }
}
