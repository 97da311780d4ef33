//! Shapes of element-wise operations on several tensors, and of softmax.

use crate::diag::Diag;
use crate::ir::Shape;

pub(super) fn infer_add(inputs: &[Shape]) -> Result<Shape, Diag> {
    match inputs {
        [a, b] if a == b => Ok(*a),
        [a, b] => Err(Diag::new("ir/shape", "add of two shapes").expected(a, b)),
        _ => Err(Diag::new("ir/shape", "wrong number of inputs").expected(2, inputs.len())),
    }
}

pub(super) fn infer_gate(inputs: &[Shape]) -> Result<Shape, Diag> {
    match inputs {
        [x, gate] if *gate == Shape::vector(x.c) => Ok(*x),
        [x, gate] => Err(Diag::new("ir/shape", "gate does not match the features").expected(Shape::vector(x.c), gate)),
        _ => Err(Diag::new("ir/shape", "wrong number of inputs").expected(2, inputs.len())),
    }
}

pub(super) fn infer_softmax(input: Shape) -> Result<Shape, Diag> {
    if input.plane() == 1 {
        return Ok(input);
    }
    Err(Diag::new("ir/shape", "softmax over a map").expected("a vector", input))
}
