
/// A file under `weights/` as `i8` values, converted at compile time.
macro_rules! i8s {
    ($name:literal) => {
        to_i8(include_bytes!(concat!("../weights/", $name, ".bin")))
    };
}
use i8s;

const fn to_i8<const N: usize>(bytes: &[u8; N]) -> [i8; N] {
    let mut values = [0; N];
    let mut i = 0;
    while i < N {
        values[i] = bytes[i] as i8;
        i += 1;
    }
    values
}
