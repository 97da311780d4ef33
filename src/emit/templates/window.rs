
/// A sliding window: taps, steps, distances between taps, padding before; each `[vertical, horizontal]`.
const fn window(
    kernel: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
    pad: [usize; 2],
) -> shape::Window {
    shape::Window {
        kernel,
        stride,
        dilation,
        pad,
    }
}
