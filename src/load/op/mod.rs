//! The operator families, one file each: ONNX node in, graph nodes out.

pub(super) mod activation;
pub(super) mod arithmetic;
pub(super) mod batch_norm;
pub(super) mod concat;
pub(super) mod conv;
pub(super) mod dense;
pub(super) mod identity;
pub(super) mod pad;
pub(super) mod pool;
pub(super) mod reshape;
pub(super) mod softmax;
pub(super) mod window;
