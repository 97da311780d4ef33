//! The small network's tensors of all calibration samples, as far as they are still needed.

use rayon::prelude::*;

use crate::device::{Place, Values};
use crate::diag::Result;
use crate::exec::{Batch, run_node};
use crate::ir::{Graph, NodeId};
use crate::refit::Inputs;
use crate::refit::patches::Plan;

/// One node's tensors, one per unit.
pub(super) enum Tensors {
    /// In the engine of `exec`.
    Host(Vec<Batch<f32>>),
    /// On a device.
    Device(Vec<Values>),
}

/// Live tensors by node; empty where no later node reads them.
pub(super) struct Stream {
    tensors: Vec<Tensors>,
    place: Place,
}

impl Stream {
    /// Starts with the inputs.
    pub(super) fn new(plan: &Plan, inputs: Inputs<'_>, place: Place) -> Result<Self> {
        let tensors = if place == Place::Host {
            let units: Vec<Result<Batch<f32>>> = plan.units.par_iter().map(|unit| inputs(unit.range.clone())).collect();
            Tensors::Host(units.into_iter().collect::<Result<_>>()?)
        } else {
            let units = plan.units.iter().map(|unit| Values::load(inputs(unit.range.clone())?, place));
            Tensors::Device(units.collect::<Result<_>>()?)
        };
        Ok(Self { tensors: vec![tensors], place })
    }

    /// The tensors of a live node.
    pub(super) fn of(&self, id: NodeId) -> &Tensors {
        &self.tensors[id.index()]
    }

    /// Runs node `id`, the next one, and frees what no later node reads.
    pub(super) fn advance(&mut self, graph: &Graph, id: NodeId) -> Result<()> {
        let node = graph.node(id);
        let operands: Vec<&Tensors> = node.inputs.iter().map(|&i| self.of(i)).collect();
        let result = if self.place == Place::Host {
            let operands: Vec<&[Batch<f32>]> = operands.iter().map(|t| t.host()).collect();
            let units = operands.first().map_or(0, |first| first.len());
            let run = |u: usize| run_node(node, &operands.iter().map(|t| &t[u]).collect::<Vec<_>>());
            let results: Vec<Result<Batch<f32>>> = (0..units).into_par_iter().map(run).collect();
            Tensors::Host(results.into_iter().collect::<Result<_>>()?)
        } else {
            let operands: Vec<&[Values]> = operands.iter().map(|t| t.device()).collect();
            let units = operands.first().map_or(0, |first| first.len());
            let run = |u: usize| Values::run(node, &operands.iter().map(|t| &t[u]).collect::<Vec<_>>());
            Tensors::Device((0..units).map(run).collect::<Result<_>>()?)
        };
        self.tensors.push(result);
        for i in (0..=id.index()).map(|i| NodeId(i as u32)) {
            let read_later = graph.ids().any(|later| later > id && graph.node(later).inputs.contains(&i));
            if !read_later {
                self.tensors[i.index()] = Tensors::Host(Vec::new());
            }
        }
        Ok(())
    }
}

impl Tensors {
    fn host(&self) -> &[Batch<f32>] {
        match self {
            Self::Host(units) => units,
            Self::Device(_) => &[],
        }
    }

    fn device(&self) -> &[Values] {
        match self {
            Self::Host(_) => &[],
            Self::Device(units) => units,
        }
    }
}
