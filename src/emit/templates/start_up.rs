// Reset: FPU on, .data copied, .bss and the arena zeroed, all before any Rust code runs. Armv6-M instructions.
global_asm!(
    ".section .text.fratc_reset, \"ax\", %progbits",
    ".global fratc_reset",
    ".type fratc_reset, %function",
    ".thumb_func",
    "fratc_reset:",
    ".if {fpu}",
    "ldr r0, =0xE000ED88", // CPACR: full access to coprocessors 10 and 11
    "ldr r1, [r0]",
    "ldr r2, =0x00F00000",
    "orrs r1, r2",
    "str r1, [r0]",
    "dsb",
    "isb",
    ".endif",
    "ldr r0, =__data_start",
    "ldr r1, =__data_end",
    "ldr r2, =__data_load",
    "2: cmp r0, r1",
    "bhs 3f",
    "ldm r2!, {{r3}}",
    "stm r0!, {{r3}}",
    "b 2b",
    "3: movs r2, #0",
    "ldr r0, =__bss_start",
    "ldr r1, =__bss_end",
    "4: cmp r0, r1",
    "bhs 5f",
    "stm r0!, {{r2}}",
    "b 4b",
    "5: ldr r0, =__arena_start",
    "ldr r1, =__arena_end",
    "6: cmp r0, r1",
    "bhs 7f",
    "stm r0!, {{r2}}",
    "b 6b",
    "7: bl fratc_main",
    "udf #0",
    ".pool",
    fpu = const cfg!(target_abi = "eabihf") as u32,
);

unsafe extern "C" {
    fn fratc_reset() -> !;
    static __stack_top: u32;
    static __stack_low: u32;
}

/// The sixteen system entries of the vector table; no other interrupt is ever enabled.
#[repr(C)]
struct Vectors {
    stack_top: *const u32,
    reset: unsafe extern "C" fn() -> !,
    faults: [Option<extern "C" fn() -> !>; 13],
    sys_tick: extern "C" fn(),
}

// SAFETY: read by the hardware only, never written.
unsafe impl Sync for Vectors {}

const FAULT: Option<extern "C" fn() -> !> = Some(fault);

// SAFETY: the section is placed by memory.x where the core looks for it, and holds nothing else.
#[used]
#[unsafe(link_section = ".vectors")]
static VECTORS: Vectors = Vectors {
    stack_top: addr_of!(__stack_top),
    reset: fratc_reset,
    faults: [
        FAULT, FAULT, FAULT, FAULT, FAULT, FAULT, None, None, None, FAULT, FAULT, None, FAULT,
    ],
    sys_tick,
};
