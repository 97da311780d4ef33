//! The portable twins of all kernels with assembly against the portable kernels, on a few random layers.
//!
//! Under Miri this shows that the runtime's unsafe code outside of assembly is sound, whatever the arguments:
//! `cargo +nightly miri test -p fratc-runtime --test twins` (component `miri`; some minutes). With
//! `--target i686-unknown-linux-gnu` pointers have 32 bits, as on the device.

use fratc_runtime as kernels;

// Formatted where they stand, with the host tool's settings.
#[rustfmt::skip]
#[path = "../../tests/it/cores/check.rs"]
mod cores;
#[rustfmt::skip]
#[path = "../../tests/it/dsp/check.rs"]
mod dsp;

/// Random layers of each kind; more of them, and the instructions themselves, in `tests/it`.
const ROUNDS: u32 = if cfg!(miri) { 3 } else { 50 };

#[test]
fn twins_of_dsp() {
    assert_eq!(dsp::run(7, ROUNDS), Ok(()));
}

#[test]
fn twins_of_other_cores() {
    assert_eq!(cores::run(7, ROUNDS), Ok(()));
}
