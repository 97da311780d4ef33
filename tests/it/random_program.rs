//! Random int8 programs, and what a trained network may hold that no score needs: dead, constant and unread channels.

use fratc::qir::{Bias, Conv, Hwc, InputKind, Op, Program, TensorId, Window};

use crate::programs::{Builder, Pattern, square};

/// A random program of up to `layers` layers and a dense layer, over every operation.
pub fn random(seed: u32, layers: usize) -> Program {
    let mut pick = Pattern::new(seed ^ 0x5bd1);
    let kind = if pick.int(0, 1) == 0 { InputKind::U8 } else { InputKind::I8 };
    let side = pick.int(5, 10) as usize;
    let mut b = Builder::new("random", seed, kind, [side, side + 1, pick.int(1, 4) as usize]);
    let channels = pick.int(3, 9) as usize;
    let stem = b.conv("stem", TensorId(0), channels, square(3, pick.int(1, 2) as usize, 1), true);
    let mut maps = vec![stem];
    for n in 0..layers {
        let from = maps[maps.len() - 1 - pick.int(0, (maps.len() as i32 - 1).min(2)) as usize];
        let shape = b.shape(from);
        let name = |what: &str| format!("{what}{n}");
        let next = match pick.int(0, 11) {
            0 | 1 => {
                let stride = pick.int(1, 2) as usize;
                b.conv(&name("conv"), from, pick.int(2, 10) as usize, square(3, stride, 1), pick.int(0, 1) == 0)
            }
            2 => b.conv(&name("pointwise"), from, pick.int(2, 10) as usize, square(1, 1, 0), true),
            3 | 4 => b.depthwise(&name("depthwise"), from, square(3, pick.int(1, 2) as usize, 1), true),
            5 if shape.h >= 2 && shape.w >= 2 => b.max_pool(&name("max"), from, square(2, pick.int(1, 2) as usize, 0)),
            6 if shape.h >= 3 && shape.w >= 3 => {
                let counts: Vec<f64> = (1..=9).map(f64::from).collect();
                b.avg_pool(&name("mean"), from, square(3, 2, 1), &counts)
            }
            7 => {
                let quant = b.program.tensor(from).quant;
                let zero = quant.zero_point;
                let slope = pick.int(1, 2);
                b.lookup(&name("table"), from, quant, |q| if q < zero { q } else { zero + (q - zero) / slope })
            }
            8 => {
                let one = b.conv(&name("left"), from, pick.int(2, 6) as usize, square(1, 1, 0), true);
                let other = b.conv(&name("right"), from, pick.int(2, 6) as usize, square(3, 1, 1), true);
                b.program.tensors[other.index()].quant = b.program.tensor(one).quant;
                b.concat(&name("concat"), &[one, other])
            }
            9 if shape.c.is_multiple_of(2) => {
                let channels = 2 * pick.int(1, 4) as usize;
                b.grouped(&name("groups"), from, channels, 2, square(3, pick.int(1, 2) as usize, 1))
            }
            10 => {
                let window = Window { kernel: [shape.h, shape.w], ..square(1, 1, 0) };
                let mean = b.avg_pool(&name("squeeze"), from, window, &[(shape.h * shape.w) as f64]);
                let gate = b.dense(&name("excite"), mean, shape.c, true);
                b.gate(&name("gate"), from, gate)
            }
            _ => {
                let other = b.conv(&name("residual"), from, shape.c, square(3, 1, 1), false);
                b.add(&name("add"), from, other)
            }
        };
        maps.push(next);
    }
    let last = *maps.last().expect("the stem at least");
    let x = b.dense("fc", last, 3, false);
    let mut program = b.finish(x, &["a", "b", "c"]);
    drop_unread_tensors(&mut program);
    program
}

/// Layers whose output nobody reads would be no fault of a network, but the planner's programs have none.
fn drop_unread_tensors(program: &mut Program) {
    while let Some(at) = program
        .layers
        .iter()
        .position(|l| l.output != program.output && !program.layers.iter().any(|r| r.inputs.contains(&l.output)))
    {
        let gone = program.layers.remove(at).output;
        program.tensors.remove(gone.index());
        let ids = program.layers.iter_mut().flat_map(|l| l.inputs.iter_mut().chain([&mut l.output]));
        ids.chain([&mut program.output]).filter(|id| id.0 > gone.0).for_each(|id| id.0 -= 1);
    }
}

/// Makes about `percent` of the channels of convolutions constant or unread, each in one of several ways.
pub fn plant(program: &mut Program, pick: &mut Pattern, percent: i32) {
    for index in 0..program.layers.len() {
        let layer = program.layers[index].clone();
        let (from, to) = (program.tensor(layer.inputs[0]).shape, program.tensor(layer.output).shape);
        let depthwise = matches!(layer.op, Op::Depthwise(_));
        let (Op::Conv(conv) | Op::Depthwise(conv)) = &mut program.layers[index].op else { continue };
        for o in 0..to.c {
            let way = pick.int(0, 3);
            if pick.int(0, 99) < percent {
                plant_constant(conv, o, to.c, depthwise, way);
            }
        }
        if !depthwise && layer.inputs[0] != TensorId(0) {
            for i in (0..from.c).filter(|_| pick.int(0, 99) < percent) {
                conv.weights.iter_mut().skip(i).step_by(from.c).for_each(|w| *w = 0);
            }
        }
    }
}

fn plant_constant(conv: &mut Conv, o: usize, channels: usize, depthwise: bool, way: i32) {
    let filter = conv.weights.len() / channels;
    let Bias::Channel(bias) = &mut conv.bias else { return };
    let mut zero = |keep: i32| {
        let weights = conv.weights.iter_mut().enumerate();
        let own = weights.filter(|(at, _)| if depthwise { at % channels == o } else { at / filter == o });
        own.for_each(|(_, w)| *w = (i32::from(*w) * keep) as i8);
    };
    match way {
        // A filter of zeros, at the output's zero point or elsewhere.
        0 => {
            zero(0);
            bias[o] = 0;
        }
        1 => zero(0),
        // No sum reaches half a step.
        2 => conv.requant.multipliers[o] = 3,
        // Every sum lies below the clamp.
        _ => bias[o] = -40_000_000,
    }
}

/// A convolution whose kernel reaches one pixel only: its rim is padding everywhere.
pub fn single_pixel() -> Program {
    let mut b = Builder::new("pixel", 21, InputKind::U8, [4, 4, 2]);
    let x = b.conv("stem", TensorId(0), 6, square(4, 1, 0), true);
    let x = b.conv("rim", x, 5, square(3, 1, 1), true);
    let x = b.depthwise("rim_each", x, Window { dilation: [2, 1], pad: [2, 1], ..square(3, 1, 1) }, true);
    let x = b.dense("fc", x, 3, false);
    let program = b.finish(x, &["a", "b", "c"]);
    assert_eq!(program.tensors[2].shape, Hwc { h: 1, w: 1, c: 5 });
    program
}
