/// Times that the 24-bit counter ran out; this core has no cycle counter.
static WRAPS: core::sync::atomic::AtomicU32 = core::sync::atomic::AtomicU32::new(0);

#[cortex_m_rt::exception]
fn SysTick() {
    let wraps = WRAPS.load(core::sync::atomic::Ordering::Relaxed);
    WRAPS.store(wraps.wrapping_add(1), core::sync::atomic::Ordering::Relaxed);
}

/// Starts SysTick on the core's clock, with its interrupt.
pub fn start_clock() {
    if let Some(mut core) = cortex_m::Peripherals::take() {
        core.SYST
            .set_clock_source(cortex_m::peripheral::syst::SystClkSource::Core);
        core.SYST.set_reload(0x00FF_FFFF);
        core.SYST.clear_current();
        core.SYST.enable_interrupt();
        core.SYST.enable_counter();
    }
}

/// Cycles since some moment, modulo 2^32.
pub fn clock() -> u32 {
    loop {
        let wraps = WRAPS.load(core::sync::atomic::Ordering::Relaxed);
        let left = cortex_m::peripheral::SYST::get_current();
        if WRAPS.load(core::sync::atomic::Ordering::Relaxed) == wraps {
            return (wraps << 24).wrapping_add(0x00FF_FFFF - left);
        }
    }
}
