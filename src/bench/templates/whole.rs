/// The network between two marks.
mod network {
    pub use network_library::{Arena, Input, Prediction, CLASSES, INPUT_LEN};

    pub fn infer(arena: &mut Arena, input: &Input) -> Prediction {
        // SAFETY: a register is moved onto itself.
        unsafe { core::arch::asm!("mov r10, r10", options(nostack, preserves_flags)) };
        let prediction = network_library::infer(arena, input);
        // SAFETY: as above.
        unsafe { core::arch::asm!("mov r11, r11", options(nostack, preserves_flags)) };
        prediction
    }
}
