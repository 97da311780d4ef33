/// Starts the cycle counter of the DWT.
pub fn start_clock() {
    if let Some(mut core) = cortex_m::Peripherals::take() {
        core.DCB.enable_trace();
        core.DWT.enable_cycle_counter();
    }
}

/// Cycles since some moment, modulo 2^32.
pub fn clock() -> u32 {
    cortex_m::peripheral::DWT::cycle_count()
}
