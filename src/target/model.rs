//! What is known of a board.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The processor core that the code is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Core {
    /// Armv6-M.
    #[serde(rename = "cortex-m0")]
    M0,
    /// Armv6-M.
    #[serde(rename = "cortex-m0plus")]
    M0Plus,
    /// Armv7-M.
    #[serde(rename = "cortex-m3")]
    M3,
    /// Armv7E-M: DSP instructions.
    #[serde(rename = "cortex-m4")]
    M4,
    /// Armv7E-M: DSP instructions, dual issue, caches.
    #[serde(rename = "cortex-m7")]
    M7,
    /// Armv8-M mainline.
    #[serde(rename = "cortex-m33")]
    M33,
    /// Armv8.1-M mainline: Helium.
    #[serde(rename = "cortex-m55")]
    M55,
}

impl Core {
    /// As the compiler's `-C target-cpu` spells it, and the TOML file.
    pub fn cpu(self) -> &'static str {
        match self {
            Self::M0 => "cortex-m0",
            Self::M0Plus => "cortex-m0plus",
            Self::M3 => "cortex-m3",
            Self::M4 => "cortex-m4",
            Self::M7 => "cortex-m7",
            Self::M33 => "cortex-m33",
            Self::M55 => "cortex-m55",
        }
    }

    /// Whether code for `target` runs on this core, its float ABI left aside.
    pub fn runs(self, target: RustTarget) -> bool {
        let level = match self {
            Self::M0 | Self::M0Plus => 6,
            Self::M3 => 7,
            Self::M4 | Self::M7 => 8,
            Self::M33 | Self::M55 => 9,
        };
        match target {
            RustTarget::V6m => true,
            RustTarget::V7m => level >= 7,
            // Armv8-M cores may lack the DSP extension that this one takes for granted.
            RustTarget::V7em | RustTarget::V7emHf => level == 8,
            RustTarget::V8m | RustTarget::V8mHf => level == 9,
        }
    }
}

impl fmt::Display for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.cpu())
    }
}

/// A Rust target triple that fratc emits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RustTarget {
    /// `thumbv6m-none-eabi`.
    #[serde(rename = "thumbv6m-none-eabi")]
    V6m,
    /// `thumbv7m-none-eabi`.
    #[serde(rename = "thumbv7m-none-eabi")]
    V7m,
    /// `thumbv7em-none-eabi`.
    #[serde(rename = "thumbv7em-none-eabi")]
    V7em,
    /// `thumbv7em-none-eabihf`.
    #[serde(rename = "thumbv7em-none-eabihf")]
    V7emHf,
    /// `thumbv8m.main-none-eabi`.
    #[serde(rename = "thumbv8m.main-none-eabi")]
    V8m,
    /// `thumbv8m.main-none-eabihf`.
    #[serde(rename = "thumbv8m.main-none-eabihf")]
    V8mHf,
}

impl RustTarget {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::V6m, Self::V7m, Self::V7em, Self::V7emHf, Self::V8m, Self::V8mHf];

    /// The triple.
    pub fn triple(self) -> &'static str {
        match self {
            Self::V6m => "thumbv6m-none-eabi",
            Self::V7m => "thumbv7m-none-eabi",
            Self::V7em => "thumbv7em-none-eabi",
            Self::V7emHf => "thumbv7em-none-eabihf",
            Self::V8m => "thumbv8m.main-none-eabi",
            Self::V8mHf => "thumbv8m.main-none-eabihf",
        }
    }

    /// Whether floats are passed in FPU registers.
    pub fn hard_float(self) -> bool {
        matches!(self, Self::V7emHf | Self::V8mHf)
    }
}

impl fmt::Display for RustTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.triple())
    }
}

/// Floating-point unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fpu {
    /// None.
    None,
    /// Single precision.
    Single,
    /// Double precision.
    Double,
}

/// A stretch of flash or RAM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Region {
    /// Name, unique in its target, fit for a linker script (`[A-Z][A-Z0-9_]*`).
    pub name: String,
    /// First address.
    pub start: u32,
    /// Bytes.
    pub size: u32,
    /// Equal or unequal physical banks it is made of; informative.
    pub banks: u32,
    /// Bytes at its start that belong to something else (a boot loader, a boot record's interrupt table).
    pub offset: u32,
    /// Flash: code and weights go here. RAM: the arena goes here.
    pub preferred: bool,
    /// Flash: words that must follow the vector table (a boot ROM's image definition).
    pub after_vectors: Vec<u32>,
}

impl Region {
    /// First address that fratc may use.
    pub fn usable_start(&self) -> u32 {
        self.start + self.offset
    }

    /// Bytes that fratc may use.
    pub fn usable_bytes(&self) -> u32 {
        self.size - self.offset
    }
}

/// How to run the target in QEMU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Qemu {
    /// `-M`.
    pub machine: String,
    /// `-m`, where the machine takes one.
    #[serde(default)]
    pub memory: Option<String>,
    /// Address of the machine's first CMSDK UART, which QEMU connects to its first `-serial`.
    #[serde(default)]
    pub uart: Option<u32>,
}

/// What must stand in flash before the program so that the chip's boot ROM starts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BootBlock {
    /// RP2040, second stage for any flash with the command 03h; slow reads.
    Rp2040Generic,
    /// RP2040, second stage for Winbond W25Q080 and its like.
    Rp2040W25q080,
    /// RP2040, second stage for Adesto AT25SF128A.
    Rp2040At25sf128a,
    /// i.MX RT1060: `FlexSPI` configuration of the evaluation kit's flash, and the image vector table.
    Imxrt1060Evk,
    /// i.MX RT1062: `FlexSPI` configuration of Teensy 4's flash, and the image vector table.
    Teensy4,
}

/// The file that the board takes without a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Image {
    /// UF2 with this family id.
    Uf2(u32),
    /// Intel hex.
    Hex,
}

impl Image {
    /// Ending of the file's name.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Uf2(_) => "uf2",
            Self::Hex => "hex",
        }
    }
}

/// A board.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Target {
    /// Name; for shipped boards the file's stem.
    pub name: String,
    /// One line for people.
    pub description: String,
    /// Maker and part.
    pub chip: String,
    /// What the code is made for.
    pub core: Core,
    /// What the code is compiled for.
    pub rust_target: RustTarget,
    /// `-C target-cpu`, where it differs from the Rust target's default.
    pub target_cpu: Option<String>,
    /// Highest rated core clock in Hz; of a QEMU machine, the clock that its `SysTick` counts.
    pub clock_hz: u32,
    /// Floating-point unit.
    pub fpu: Fpu,
    /// Flash; the first region holds the vector table.
    pub flash: Vec<Region>,
    /// RAM; the first region holds stack and statics.
    pub ram: Vec<Region>,
    /// The chip's name for probe-rs, if it can flash it.
    pub probe_rs: Option<String>,
    /// What the boot ROM needs before the program.
    pub boot_block: Option<BootBlock>,
    /// The file to copy onto the board, or to give to its loader, where it takes one.
    pub image: Option<Image>,
    /// How to run it in QEMU, if it can.
    pub qemu: Option<Qemu>,
    /// On what it was tried, or `untested on hardware`.
    pub tested: String,
}

impl Target {
    /// The flash region for code and weights.
    pub fn code_region(&self) -> &Region {
        self.flash.iter().find(|r| r.preferred).unwrap_or(&self.flash[0])
    }

    /// The RAM region for the arena.
    pub fn arena_region(&self) -> &Region {
        self.ram.iter().find(|r| r.preferred).unwrap_or(&self.ram[0])
    }

    /// Bytes of flash for code, tables and weights.
    pub fn flash_bytes(&self) -> u64 {
        u64::from(self.code_region().usable_bytes())
    }

    /// Bytes of RAM in all regions.
    pub fn ram_bytes(&self) -> u64 {
        self.ram.iter().map(|r| u64::from(r.usable_bytes())).sum()
    }

    /// Bytes of RAM that arena and input may take: all but what stack and statics need.
    pub fn room_bytes(&self) -> u64 {
        self.ram_bytes().saturating_sub(STACK_AND_STATICS)
    }
}

/// What the stack and the statics of the smallest firmware need: the linker script refuses less than 2 KiB of stack.
pub const STACK_AND_STATICS: u64 = 2 * 1024 + 16;
