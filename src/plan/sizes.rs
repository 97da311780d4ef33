//! Bytes of constants: known exactly before anything is compiled.

use super::{Kernel, Strip, code, pack};
use crate::qir::{Bias, Conv, Grouped, Layer, Op, PadValue, Program, Requant};

/// Constants of one layer, in bytes of flash.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LayerBytes {
    /// int8 weights, as the kernel reads them.
    pub weights: usize,
    /// Biases, multipliers, border classes, pad values, lookup tables, and the struct that the kernel is called with.
    pub tables: usize,
}

/// Constants of a program, in bytes of flash.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Per layer, in program order.
    pub layers: Vec<LayerBytes>,
    /// int8 weights of all layers.
    pub weights_bytes: usize,
    /// Tables of all layers and strips.
    pub tables_bytes: usize,
}

impl Sizes {
    /// Bytes of all constants.
    pub(super) fn total(&self) -> usize {
        self.weights_bytes + self.tables_bytes
    }
}

/// Counts the constants of `program`; a strip's table is no layer's own.
pub(super) fn sizes(program: &Program, kernels: &[Kernel], strips: &[Strip]) -> Sizes {
    let layers: Vec<LayerBytes> =
        program.layers.iter().zip(kernels).map(|(layer, &kernel)| with_kernel(program, layer, kernel)).collect();
    let of_strips: usize = strips.iter().map(Strip::table_bytes).sum();
    Sizes {
        weights_bytes: layers.iter().map(|layer| layer.weights).sum(),
        tables_bytes: layers.iter().map(|layer| layer.tables).sum::<usize>() + of_strips,
        layers,
    }
}

/// Bytes of one layer's constants.
pub(super) fn layer_total(program: &Program, layer: &Layer, kernel: Kernel) -> usize {
    let LayerBytes { weights, tables } = with_kernel(program, layer, kernel);
    weights + tables
}

fn with_kernel(program: &Program, layer: &Layer, kernel: Kernel) -> LayerBytes {
    let LayerBytes { weights, tables } = layer_bytes(&layer.op);
    let call = code::struct_bytes(layer, kernel);
    let Some(packed) = pack(program, layer, kernel) else { return LayerBytes { weights, tables: tables + call } };
    let tables = match (&layer.op, &packed.bias) {
        (Op::Conv(conv), Some(bias)) => size_of_val(&bias[..]) + requant_bytes(&conv.requant),
        _ => tables,
    };
    LayerBytes { weights: size_of_val(&packed.weights[..]), tables: tables + call }
}

fn layer_bytes(op: &Op) -> LayerBytes {
    match op {
        Op::Conv(conv) | Op::Depthwise(conv) | Op::Grouped(Grouped { groups: _, conv }) => {
            let Conv { window: _, weights, bias, pad, requant } = conv;
            let bias = match bias {
                Bias::Channel(bias) => size_of_val(&bias[..]),
                Bias::Border { rows, cols, col_classes: _, table } => rows.len() + cols.len() + size_of_val(&table[..]),
            };
            let pad = match pad {
                PadValue::Uniform(_) => 0,
                PadValue::Channel(values) => values.len(),
            };
            LayerBytes { weights: weights.len(), tables: bias + pad + requant_bytes(requant) }
        }
        Op::Dense(dense) => LayerBytes {
            weights: dense.weights.len(),
            tables: size_of_val(&dense.bias[..]) + requant_bytes(&dense.requant),
        },
        Op::AvgPool(pool) => LayerBytes { weights: 0, tables: requant_bytes(&pool.requant) },
        Op::Lookup(table) => LayerBytes { weights: 0, tables: table.len() },
        Op::Gate(gate) => LayerBytes { weights: 0, tables: requant_bytes(&gate.requant) },
        Op::Add(_) | Op::MaxPool(_) | Op::Concat | Op::Flatten | Op::Adapt(_) => LayerBytes::default(),
    }
}

fn requant_bytes(requant: &Requant) -> usize {
    size_of_val(&requant.multipliers[..])
}
