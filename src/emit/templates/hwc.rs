
/// A shape: rows, columns, channels.
const fn hwc(h: usize, w: usize, c: usize) -> shape::Hwc {
    shape::Hwc { h, w, c }
}
