
/// A file under `weights/` as little-endian `i32` values, converted at compile time.
macro_rules! i32s {
    ($name:literal) => {
        to_i32(include_bytes!(concat!("../weights/", $name, ".bin")))
    };
}
use i32s;

const fn to_i32<const N: usize, const BYTES: usize>(bytes: &[u8; BYTES]) -> [i32; N] {
    assert!(BYTES == 4 * N, "four bytes per value");
    let mut values = [0; N];
    let mut i = 0;
    while i < N {
        let at = 4 * i;
        values[i] = i32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        i += 1;
    }
    values
}
