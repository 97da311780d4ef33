//! The small network's tensors of all calibration samples, as far as they are still needed.

use rayon::prelude::*;

use crate::diag::Result;
use crate::exec::{Batch, run_node};
use crate::ir::{Graph, NodeId};
use crate::refit::Inputs;
use crate::refit::patches::{Plan, Unit};

/// Live tensors, `[node][unit]`; empty where no later node reads them.
pub(super) struct Stream {
    tensors: Vec<Vec<Batch<f32>>>,
}

impl Stream {
    /// Starts with the inputs.
    pub(super) fn new(plan: &Plan, inputs: Inputs<'_>) -> Result<Self> {
        let units: Vec<Result<Batch<f32>>> = plan.units.par_iter().map(|unit| load(unit, inputs)).collect();
        Ok(Self { tensors: vec![units.into_iter().collect::<Result<_>>()?] })
    }

    /// The tensors of a live node, one per unit.
    pub(super) fn of(&self, id: NodeId) -> &[Batch<f32>] {
        &self.tensors[id.index()]
    }

    /// Runs node `id`, the next one, and frees what no later node reads.
    pub(super) fn advance(&mut self, graph: &Graph, id: NodeId) -> Result<()> {
        let node = graph.node(id);
        let units = self.tensors[0].len().max(node.inputs.first().map_or(0, |&i| self.of(i).len()));
        let results: Vec<Result<Batch<f32>>> = (0..units)
            .into_par_iter()
            .map(|u| {
                let operands: Vec<&Batch<f32>> = node.inputs.iter().map(|&i| &self.of(i)[u]).collect();
                run_node(node, &operands)
            })
            .collect();
        self.tensors.push(results.into_iter().collect::<Result<_>>()?);
        for i in (0..=id.index()).map(|i| NodeId(i as u32)) {
            let read_later = graph.ids().any(|later| later > id && graph.node(later).inputs.contains(&i));
            if !read_later {
                self.tensors[i.index()] = Vec::new();
            }
        }
        Ok(())
    }
}

/// One unit's inputs, seen in its way.
pub(super) fn load(unit: &Unit, inputs: Inputs<'_>) -> Result<Batch<f32>> {
    let mut batch = inputs(unit.range.clone())?;
    unit.view.apply(&mut batch);
    Ok(batch)
}
