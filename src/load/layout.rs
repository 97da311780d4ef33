//! How an ONNX tensor lies over a graph tensor.
//!
//! The graph is channel-first with a fixed number of axes; an ONNX tensor may be NHWC, may carry or lack axes of
//! size one, and may be a vector flattened from NHWC, whose features then come in another order than ours.

use crate::ir::{NodeId, Shape};

/// What one axis of an ONNX tensor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Axis {
    Batch,
    Channel,
    Row,
    Column,
    /// Size one, none of the above.
    Unit,
}

pub(super) const NCHW: &[Axis] = &[Axis::Batch, Axis::Channel, Axis::Row, Axis::Column];
pub(super) const NHWC: &[Axis] = &[Axis::Batch, Axis::Row, Axis::Column, Axis::Channel];
pub(super) const NC: &[Axis] = &[Axis::Batch, Axis::Channel];

/// An ONNX activation: the graph tensor that holds it and how.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Activation {
    pub id: NodeId,
    pub shape: Shape,
    pub axes: Vec<Axis>,
    /// For features flattened from another layout: the graph's channel of each.
    pub order: Option<Vec<usize>>,
}

impl Activation {
    pub fn new(id: NodeId, shape: Shape, axes: &[Axis]) -> Self {
        Self { id, shape, axes: axes.to_vec(), order: None }
    }

    pub fn size(&self, axis: Axis) -> usize {
        match axis {
            Axis::Batch | Axis::Unit => 1,
            Axis::Channel => self.shape.c,
            Axis::Row => self.shape.h,
            Axis::Column => self.shape.w,
        }
    }

    /// The ONNX tensor's dimensions at batch 1.
    pub fn dims(&self) -> Vec<usize> {
        self.axes.iter().map(|&a| self.size(a)).collect()
    }

    /// Whether the axes are `want`; axes of size one stand for each other.
    pub fn is(&self, want: &[Axis]) -> bool {
        self.axes.len() == want.len()
            && self.axes.iter().zip(want).all(|(&a, &b)| a == b || (self.size(a) == 1 && self.size(b) == 1))
    }

    /// Whether `self` and `other` can be combined element by element without broadcasting.
    pub fn aligns(&self, other: &Self) -> bool {
        self.shape == other.shape && self.is(&other.axes) && self.order == other.order
    }

    /// Whether `gate`, a vector, broadcasts over `self`'s channels.
    pub fn takes_gate(&self, gate: &Self) -> bool {
        gate.shape == Shape::vector(self.shape.c)
            && gate.order == self.order
            && gate.axes.len() <= self.axes.len()
            && gate.axes.iter().rev().zip(self.axes.iter().rev()).all(|(&g, &x)| gate.size(g) == 1 || g == x)
            && (self.shape.c == 1 || gate.axes.contains(&Axis::Channel))
    }

    /// `axis` counted from the front.
    pub fn axis(&self, axis: i64) -> Option<usize> {
        let rank = self.axes.len() as i64;
        usize::try_from(if axis < 0 { axis.checked_add(rank)? } else { axis }).ok().filter(|&a| a < self.axes.len())
    }

    /// Dimensions, axes, and whether the features come in another order, for messages.
    pub fn describe(&self) -> String {
        let order = if self.order.is_some() { ", features reordered by a flattening" } else { "" };
        format!("{:?} {:?}{order}", self.dims(), self.axes)
    }

    /// The graph's channel for ONNX channel or feature `i`.
    pub fn channel(&self, i: usize) -> usize {
        self.order.as_ref().map_or(i, |order| order[i])
    }

    /// The order in which a flattening of this ONNX tensor lists the elements of the graph's channel-major
    /// flattening; `None` if it is the same.
    pub fn flatten_order(&self) -> Option<Vec<usize>> {
        let Shape { h, w, .. } = self.shape;
        let rank = |axis: &Axis| [Axis::Channel, Axis::Row, Axis::Column].iter().position(|a| a == axis);
        if self.order.is_none() && self.axes.iter().filter(|&&a| self.size(a) > 1).map(rank).is_sorted() {
            return None;
        }
        let offset = |axis: Axis, i: usize| match axis {
            Axis::Channel => self.channel(i) * h * w,
            Axis::Row => i * w,
            Axis::Column => i,
            Axis::Batch | Axis::Unit => 0,
        };
        let mut order = vec![0];
        for &axis in &self.axes {
            order = order.iter().flat_map(|&base| (0..self.size(axis)).map(move |i| base + offset(axis, i))).collect();
        }
        Some(order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flattening_nhwc_lists_channels_last() {
        let map = Activation::new(NodeId(0), Shape::new(2, 1, 3), NHWC);
        assert_eq!(map.flatten_order(), Some(vec![0, 3, 1, 4, 2, 5]));
        let map = Activation::new(NodeId(0), Shape::new(2, 1, 3), NCHW);
        assert_eq!(map.flatten_order(), None);
        let map = Activation { order: Some(vec![1, 0]), ..map };
        assert_eq!(map.flatten_order(), Some(vec![3, 4, 5, 0, 1, 2]));
    }

    #[test]
    fn axes_of_size_one_stand_for_each_other() {
        let grey = Activation::new(NodeId(0), Shape::new(1, 4, 3), NHWC);
        assert_eq!(grey.dims(), [1, 4, 3, 1]);
        assert!(!grey.is(NCHW));
        let gate = Activation::new(NodeId(1), Shape::vector(5), NCHW);
        let map = Activation::new(NodeId(0), Shape::new(5, 4, 3), NCHW);
        assert!(gate.is(&[Axis::Unit, Axis::Channel, Axis::Unit, Axis::Unit]) && map.takes_gate(&gate));
    }
}
