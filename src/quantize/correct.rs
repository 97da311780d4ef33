//! Bias correction: rounding weights and activations shifts a layer's sums on average, and the shift is known.
//!
//! Layer by layer, with the quantized results of the layers before: the mean of each output channel's sums on
//! calibration samples, before any clamp, is compared with the float network's, and the bias takes the
//! difference. The mean of a linear layer needs only the mean of what each tap reads, so nothing is run twice.
//! Sums of integers and fixed chunks make the result independent of the number of threads.

use crate::data::Samples;
use crate::diag::Result;
use crate::exec::{Network, for_chunks};
use crate::qir::{Bias, Conv, Grouped, Hwc, Layer, Op, PadValue, Program, TensorId};
use crate::quantize::fuse::Stage;
use crate::quantize::prepare::Prepared;
use crate::quantize::ranges::{input_batch, stored};
use crate::quantize::weights::reach_of;
use crate::sim::{Values, run_layer};

/// One tensor of every chosen sample.
type Stored = Vec<Vec<i8>>;

/// Corrects the biases of every convolution and dense layer of `program`, whose layer `i` is stage `i`.
pub(super) fn correct_biases(
    program: &mut Program,
    prepared: &Prepared,
    stages: &[Stage],
    samples: &Samples,
    chosen: &[usize],
) -> Result<()> {
    let means = float_means(prepared, stages, samples, chosen)?;
    let mut tensors: Vec<Stored> = vec![Vec::new(); program.tensors.len()];
    tensors[0] = chosen.iter().map(|&i| samples.sample(i).iter().map(|&b| stored(samples.kind, b)).collect()).collect();
    let last_reader = last_readers(program);
    for (i, means) in means.iter().enumerate() {
        let mut layer = program.layers[i].clone();
        let source = layer.inputs[0];
        let (input, output) = (program.tensor(source).shape, program.tensor(layer.output));
        let step = f64::from(output.quant.scale);
        match &mut layer.op {
            Op::Conv(conv) => {
                let reads = tap_sums(conv, input, output.shape, &tensors[source.index()])?;
                correct_conv(conv, output.shape, &reads, chosen.len(), means, step, Kind::Groups(input.c, 1));
            }
            Op::Grouped(Grouped { groups, conv }) => {
                let reads = tap_sums(conv, input, output.shape, &tensors[source.index()])?;
                correct_conv(conv, output.shape, &reads, chosen.len(), means, step, Kind::Groups(input.c, *groups));
            }
            Op::Depthwise(conv) => {
                let reads = tap_sums(conv, input, output.shape, &tensors[source.index()])?;
                correct_conv(conv, output.shape, &reads, chosen.len(), means, step, Kind::Depthwise);
            }
            Op::Dense(dense) => {
                let features = input.len();
                let mut reads = vec![0i64; features];
                for sample in &tensors[source.index()] {
                    for (sum, &q) in reads.iter_mut().zip(sample) {
                        *sum += i64::from(q);
                    }
                }
                for (o, bias) in dense.bias.iter_mut().enumerate() {
                    let filter = &dense.weights[o * features..(o + 1) * features];
                    let products: i64 = filter.iter().zip(&reads).map(|(&w, &r)| i64::from(w) * r).sum();
                    let mean = products as f64 / chosen.len() as f64 + f64::from(*bias);
                    let unit = unit(dense.requant.multipliers[o], dense.requant.shift, step);
                    let room = room(filter, dense.requant.shift);
                    *bias = moved(*bias, means[o] / unit - mean, room);
                }
            }
            Op::Add(_)
            | Op::Gate(_)
            | Op::MaxPool(_)
            | Op::AvgPool(_)
            | Op::Concat
            | Op::Flatten
            | Op::Lookup(_)
            | Op::Adapt(_) => {}
        }
        tensors[layer.output.index()] = run_all(program, &layer, &tensors, chosen.len())?;
        for &id in &layer.inputs {
            if last_reader[id.index()] == i {
                tensors[id.index()] = Stored::new();
            }
        }
        program.layers[i] = layer;
    }
    Ok(())
}

/// Mean of each channel of each stage's node over samples and positions; empty for stages without weights.
fn float_means(prepared: &Prepared, stages: &[Stage], samples: &Samples, chosen: &[usize]) -> Result<Vec<Vec<f64>>> {
    use crate::ir::op::Op as Float;
    let graph = &prepared.graph;
    let network = Network::<f32>::new(graph)?;
    let chunks = for_chunks(chosen.len(), |range| {
        let acts = network.forward(&input_batch(&prepared.input, samples, &chosen[range], graph))?;
        let sums = stages.iter().map(|stage| {
            let linear = matches!(graph.node(stage.node).op, Float::Conv(_) | Float::Dense(_));
            let batch = acts.get(stage.node);
            let channels = if linear { batch.shape.c } else { 0 };
            (0..channels).map(|c| batch.channel(c).iter().map(|&v| f64::from(v)).sum()).collect()
        });
        Ok(sums.collect::<Vec<Vec<f64>>>())
    })?;
    let mut means: Vec<Vec<f64>> = vec![Vec::new(); stages.len()];
    for chunk in chunks {
        for ((mean, sums), stage) in means.iter_mut().zip(chunk).zip(stages) {
            mean.resize(sums.len(), 0.0);
            let values = (chosen.len() * graph.shape(stage.node).plane()) as f64;
            for (m, sum) in mean.iter_mut().zip(sums) {
                *m += sum / values;
            }
        }
    }
    Ok(means)
}

fn last_readers(program: &Program) -> Vec<usize> {
    let mut last = vec![usize::MAX; program.tensors.len()];
    for (i, layer) in program.layers.iter().enumerate() {
        for id in &layer.inputs {
            last[id.index()] = i;
        }
    }
    last
}

fn run_all(program: &Program, layer: &Layer, tensors: &[Stored], samples: usize) -> Result<Stored> {
    let chunks = for_chunks(samples, |range| {
        Ok(range
            .map(|n| {
                let of = |id: &TensorId| Values::I8(&tensors[id.index()][n]);
                let inputs: Vec<Values<'_>> = layer.inputs.iter().map(of).collect();
                run_layer(program, layer, &inputs)
            })
            .collect::<Stored>())
    })?;
    Ok(chunks.into_iter().flatten().collect())
}

/// Sum of what each tap reads over all samples and output positions, `[KH·KW, C]`.
fn tap_sums(conv: &Conv, input: Hwc, output: Hwc, samples: &[Vec<i8>]) -> Result<Vec<i64>> {
    let window = &conv.window;
    let source = |axis: usize, o: usize, k: usize, size: usize| {
        (o * window.stride[axis] + k * window.dilation[axis]).checked_sub(window.pad[axis]).filter(|&i| i < size)
    };
    let taps = window.kernel[0] * window.kernel[1];
    let chunks = for_chunks(samples.len(), |range| {
        let mut sums = vec![0i64; taps * input.c];
        for sample in &samples[range] {
            for (tap, sums) in sums.chunks_exact_mut(input.c).enumerate() {
                let (ky, kx) = (tap / window.kernel[1], tap % window.kernel[1]);
                for oy in 0..output.h {
                    let y = source(0, oy, ky, input.h);
                    for ox in 0..output.w {
                        match y.zip(source(1, ox, kx, input.w)) {
                            Some((y, x)) => {
                                let start = (y * input.w + x) * input.c;
                                for (sum, &q) in sums.iter_mut().zip(&sample[start..start + input.c]) {
                                    *sum += i64::from(q);
                                }
                            }
                            None => match &conv.pad {
                                PadValue::Uniform(value) => sums.iter_mut().for_each(|s| *s += i64::from(*value)),
                                PadValue::Channel(values) => {
                                    sums.iter_mut().zip(values).for_each(|(s, &v)| *s += i64::from(v));
                                }
                            },
                        }
                    }
                }
            }
        }
        Ok(sums)
    })?;
    let mut sums = vec![0i64; taps * input.c];
    for chunk in chunks {
        sums.iter_mut().zip(chunk).for_each(|(a, b)| *a += b);
    }
    Ok(sums)
}

/// How a convolution's weights lie.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// `[O][KH][KW][I]`: of this many channels `I` in one of this many groups.
    Groups(usize, usize),
    /// `[KH][KW][C]`.
    Depthwise,
}

fn correct_conv(conv: &mut Conv, output: Hwc, reads: &[i64], samples: usize, means: &[f64], step: f64, kind: Kind) {
    let positions = (samples * output.h * output.w) as f64;
    for (o, &want) in means.iter().enumerate() {
        let (filter, reads): (Vec<i8>, Vec<i64>) = match kind {
            Kind::Groups(channels, groups) => {
                let (len, inputs) = (reads.len() / groups, channels / groups);
                let first = o / (output.c / groups) * inputs;
                let taps = reads.chunks_exact(channels).flat_map(|tap| &tap[first..first + inputs]);
                (conv.weights[o * len..(o + 1) * len].to_vec(), taps.copied().collect())
            }
            Kind::Depthwise => {
                let reads = reads.iter().skip(o).step_by(output.c).copied().collect();
                (conv.weights[o..].iter().step_by(output.c).copied().collect(), reads)
            }
        };
        let products: i64 = filter.iter().zip(reads).map(|(&w, r)| i64::from(w) * r).sum();
        let unit = unit(conv.requant.multipliers[o], conv.requant.shift, step);
        let room = room(&filter, conv.requant.shift);
        let mean = products as f64 / positions + mean_bias(&conv.bias, o, output.c);
        let by = want / unit - mean;
        match &mut conv.bias {
            Bias::Channel(values) => values[o] = moved(values[o], by, room),
            Bias::Border { table, .. } => {
                for value in table.iter_mut().skip(o).step_by(output.c) {
                    *value = moved(*value, by, room);
                }
            }
        }
    }
}

/// Mean over output positions of channel `o`'s bias.
fn mean_bias(bias: &Bias, o: usize, channels: usize) -> f64 {
    match bias {
        Bias::Channel(values) => f64::from(values[o]),
        Bias::Border { rows, cols, col_classes, table } => {
            let mut sum = 0i64;
            for &row in rows {
                for &col in cols {
                    sum += i64::from(table[(usize::from(row) * col_classes + usize::from(col)) * channels + o]);
                }
            }
            sum as f64 / (rows.len() * cols.len()) as f64
        }
    }
}

/// Real value of one unit of an accumulator.
fn unit(multiplier: i32, shift: u32, step: f64) -> f64 {
    f64::from(multiplier) * 2f64.powi(shift as i32 - 32) * step
}

/// Largest bias, by magnitude, for which no sum overflows.
fn room(filter: &[i8], shift: u32) -> i64 {
    (i64::from(i32::MAX) >> shift) - reach_of(filter)
}

/// `bias + by`, as far as there is room; a channel without a multiplier stays as it is.
fn moved(bias: i32, by: f64, room: i64) -> i32 {
    if !by.is_finite() {
        return bias;
    }
    let moved = (i64::from(bias) + by.round() as i64).clamp(-room, room);
    moved as i32
}
