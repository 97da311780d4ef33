
/// A file under `weights/` as `u8` values.
macro_rules! u8s {
    ($name:literal) => {
        *include_bytes!(concat!("../weights/", $name, ".bin"))
    };
}
use u8s;
