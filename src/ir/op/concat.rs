//! Concatenation of channels.

use crate::diag::Diag;
use crate::ir::Shape;

pub(super) fn infer_shape(inputs: &[Shape]) -> Result<Shape, Diag> {
    let Some(&first) = inputs.first() else {
        return Err(Diag::new("ir/shape", "concat without inputs"));
    };
    let mut c = 0;
    for shape in inputs {
        if (shape.h, shape.w) != (first.h, first.w) {
            return Err(Diag::new("ir/shape", "concat inputs differ in rows or columns").expected(first, shape));
        }
        c += shape.c;
    }
    Ok(Shape { c, ..first })
}
