//! Convolutions in groups, gates and flattening against the reference.

use fratc_runtime::flatten::flatten;
use fratc_runtime::gate::{Gate, gate, gate_in_place};
use fratc_runtime::grouped::{Grouped, grouped};

use super::*;

/// A case with its groups; each has `inputs` and `outputs` channels.
fn grouped_case() -> impl Strategy<Value = (ConvCase, [usize; 2])> {
    (geometry(), 1..=4_usize, 1..=4_usize, 1..=3_usize).prop_flat_map(|(mut g, groups, inputs, outputs)| {
        g.input.c = groups * inputs;
        let all = groups * outputs;
        let Hwc { h, w, c } = g.input;
        let n = all * g.window.kernel[0] * g.window.kernel[1] * inputs;
        (values(h * w * c), weights(n), start(g.output, all), pad(c), scaling(all)).prop_map(
            move |(x, weights, start, pad, scaling)| {
                (ConvCase { g: g.clone(), outputs: all, x, weights, start, pad, scaling }, [inputs, outputs])
            },
        )
    })
}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn grouped_is_the_reference((case, [inputs, outputs]) in grouped_case()) {
        let [_, kw] = case.g.window.kernel;
        let per_filter = case.weights.len() / case.outputs;
        let expected = case.reference(
            |o| o / outputs * inputs..(o / outputs + 1) * inputs,
            |o, [ky, kx], i| o * per_filter + (ky * kw + kx) * inputs + i % inputs,
        );
        let Conv2d { input, output, window, weights, bias, pad, requant } = case.conv();
        let layer = Grouped { input, output, window, group: [inputs, outputs], weights, bias, pad, requant };
        let found = both(&case.x, expected.len(), |x, y| grouped(&layer, x, y), |x, y| grouped(&layer, x, y));
        prop_assert_eq!(&found[0], &expected);
        prop_assert_eq!(&found[1], &expected);
    }

    #[test]
    fn gate_is_the_reference((x, g, scaling, zero_points) in (1..=9_usize, 1..=6_usize).prop_flat_map(|(c, positions)| {
        (values(c * positions), values(c), scaling(1), [-128..=127_i32, -128..=127_i32])
    })) {
        let expected: Vec<i8> = x.iter().zip(g.iter().cycle()).map(|(&x, &g)| {
            let product = (i64::from(x) - i64::from(zero_points[0])) * (i64::from(g) - i64::from(zero_points[1]));
            scaling.reference(product, scaling.multipliers[0])
        }).collect();
        let layer = Gate { zero_points, requant: scaling.view() };
        let mut out = vec![1; x.len()];
        gate(&layer, &x, &g, &mut out);
        prop_assert_eq!(&out, &expected);
        let mut out = x.clone();
        gate_in_place(&layer, &mut out, &g);
        prop_assert_eq!(&out, &expected);
    }

    #[test]
    fn flatten_is_the_reference((x, c) in (1..=9_usize, 1..=12_usize).prop_flat_map(|(c, p)| (values(c * p), Just(c)))) {
        let positions = x.len() / c;
        let mut out = vec![77; x.len()];
        flatten(&x, c, &mut out);
        for (i, &found) in out.iter().enumerate() {
            prop_assert_eq!(found, x[i % positions * c + i / positions]);
        }
    }

    /// Slices of any length: nothing faults, nothing is written beyond them.
    #[test]
    fn no_kernel_faults_on_wrong_lengths((case, group) in grouped_case(), cut in 0..40_usize, c in 0..5_usize) {
        let short = |values: &[i8]| values[..values.len().saturating_sub(cut)].to_vec();
        let (x, w) = (short(&case.x), short(&case.weights));
        let Conv2d { input, output, window, bias, pad, requant, .. } = case.conv();
        let mut out = vec![0; output.h * output.w * output.c];
        let layer = Grouped { input, output, window, group, weights: &w, bias, pad, requant };
        grouped(&layer, &x[..], &mut out);
        grouped(&Grouped { group: [0, 0], ..layer }, &x[..], &mut out);
        let layer = Gate { zero_points: [3, -3], requant };
        gate(&layer, &x, &w, &mut out);
        gate(&layer, &x, &[], &mut out);
        gate_in_place(&layer, &mut out, &w);
        flatten(&x, c, &mut out);
        let few = out.len().min(cut % 3);
        flatten(&x, c, &mut out[..few]);
    }
}
