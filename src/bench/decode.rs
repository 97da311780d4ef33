//! What one Thumb instruction of Armv7E-M does, as far as its timing needs it.
//!
//! The bit patterns are those of the *Armv7-M Architecture Reference Manual* (DDI 0403), chapter A5.

/// How an instruction uses the pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// One load, which others can follow closely.
    Load,
    /// One store.
    Store,
    /// Data processing.
    Data,
    /// Everything else.
    Other,
}

/// One instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Instruction {
    pub access: Access,
    /// Cycles alone, without the refill after a taken branch.
    pub cycles: u64,
    /// Registers written by data processing or a load, one bit each.
    pub written: u16,
    /// Registers that make an address, one bit each.
    pub address: u16,
    /// Whether it may branch.
    pub branches: bool,
}

const OTHER: Instruction = Instruction { access: Access::Other, cycles: 1, written: 0, address: 0, branches: false };
const BRANCH: Instruction = Instruction { branches: true, ..OTHER };

fn data(written: u16) -> Instruction {
    Instruction { access: Access::Data, written: bit(written), ..OTHER }
}

fn load(written: u16, address: u16) -> Instruction {
    let branches = written == 15;
    Instruction { access: Access::Load, cycles: 2, written: bit(written), address, branches }
}

/// `indexed`: the offset is a register.
fn store(address: u16, indexed: bool) -> Instruction {
    Instruction { access: Access::Store, cycles: 1 + u64::from(indexed), address, ..OTHER }
}

/// Several words.
fn block(words: u32, branches: bool) -> Instruction {
    Instruction { cycles: 1 + u64::from(words), branches, ..OTHER }
}

/// The program counter as a destination stands for none.
fn bit(register: u16) -> u16 {
    if register < 15 { 1 << register } else { 0 }
}

/// Decodes one instruction from its one or two half words.
pub(super) fn decode(first: u16, second: Option<u16>) -> Instruction {
    match second {
        None => narrow(first),
        Some(second) => wide(first, second),
    }
}

fn narrow(code: u16) -> Instruction {
    let (low, middle, high, of_eight) = (code & 7, code >> 3 & 7, code >> 6 & 7, code >> 8 & 7);
    match code >> 11 {
        0..=3 => data(low),
        4 | 6 | 7 | 20 | 21 => data(of_eight),
        5 => Instruction { access: Access::Data, ..OTHER },
        8 if code & 0x0400 == 0 => match code >> 6 & 15 {
            8 | 10 | 11 => Instruction { access: Access::Data, ..OTHER },
            _ => data(low),
        },
        8 => {
            let register = low | (code >> 4 & 8);
            match (code >> 8 & 3, register) {
                (3, _) | (0 | 2, 15) => BRANCH,
                (1, _) => Instruction { access: Access::Data, ..OTHER },
                _ => data(register),
            }
        }
        9 => load(of_eight, 0),
        10 | 11 if code >> 9 & 7 < 3 => store(bit(middle) | bit(high), true),
        10 | 11 => load(low, bit(middle) | bit(high)),
        12 | 14 | 16 => store(bit(middle), false),
        13 | 15 | 17 => load(low, bit(middle)),
        18 => store(bit(13), false),
        19 => load(of_eight, bit(13)),
        22 | 23 => miscellaneous(code),
        24 | 25 => block((code & 0xff).count_ones(), false),
        26 | 27 if code >> 9 & 7 != 7 => BRANCH,
        28 => BRANCH,
        _ => OTHER,
    }
}

fn miscellaneous(code: u16) -> Instruction {
    match code >> 8 & 15 {
        0 => data(13),
        1 | 3 | 9 | 11 => BRANCH,
        2 | 10 => data(code & 7),
        4 | 5 => block((code & 0x1ff).count_ones(), false),
        12 | 13 => block((code & 0x1ff).count_ones(), code & 0x100 != 0),
        _ => OTHER,
    }
}

fn wide(first: u16, second: u16) -> Instruction {
    let (base, destination, target, index) = (first & 15, second >> 8 & 15, second >> 12, second & 15);
    let second_op = first >> 4 & 0x7f;
    match first >> 11 & 3 {
        1 => match second_op >> 5 {
            0 if second_op & 4 == 0 => {
                let loads = second_op & 1 != 0;
                block(second.count_ones(), loads && second & 0x8000 != 0)
            }
            0 if first & 0xfff0 == 0xe8d0 && second & 0xffe0 == 0xf000 => Instruction { cycles: 3, ..BRANCH },
            // Exclusive accesses move one word, the rest two.
            0 if second_op & 0x12 == 0 => Instruction { cycles: 2, ..OTHER },
            0 => block(2, false),
            1 => data(destination),
            _ => coprocessor(first, second),
        },
        2 if second & 0x8000 == 0 => data(destination),
        2 => {
            let hint_or_system = second & 0x5000 == 0 && first >> 7 & 7 == 7;
            if hint_or_system { OTHER } else { BRANCH }
        }
        _ => match second_op {
            _ if second_op & 0x71 == 0 => {
                let indexed = second_op & 8 == 0 && second & 0x0800 == 0;
                store(bit(base) | if indexed { bit(index) } else { 0 }, indexed)
            }
            _ if second_op & 0x61 == 1 => {
                let word = second_op >> 1 & 3 == 2;
                if target == 15 && !word {
                    return OTHER; // a preload
                }
                let literal = base == 15;
                let indexed = !literal && second_op & 8 == 0 && second & 0x0800 == 0;
                load(target, bit(base) | if indexed { bit(index) } else { 0 })
            }
            _ if second_op & 0x70 == 0x20 => data(destination),
            _ if second_op & 0x78 == 0x30 => data(destination),
            _ if second_op & 0x78 == 0x38 => {
                let divides = matches!(second_op & 7, 1 | 3);
                Instruction { cycles: if divides { 7 } else { 1 }, ..data(destination) }
            }
            _ => coprocessor(first, second),
        },
    }
}

/// Floats; vectors of other cores count as one cycle, which nothing reads.
fn coprocessor(first: u16, second: u16) -> Instruction {
    let floats = second >> 9 & 7 == 5;
    if !floats || first & 0xef00 == 0xef00 {
        return OTHER;
    }
    if first & 0xfe00 == 0xec00 {
        return match first & 0x01e0 {
            0x0040 => Instruction { cycles: 2, ..OTHER }, // two core registers
            _ if first & 0x0120 == 0x0100 => Instruction { cycles: 2, ..OTHER }, // one word
            _ => block(u32::from(second & 0xff), false),
        };
    }
    if second & 0x10 != 0 {
        return OTHER; // one core register
    }
    let square_root = first & 15 == 1 && second & 0xc0 == 0xc0;
    let cycles = match first >> 4 & 0xb {
        0 | 1 | 9 | 10 => 3,
        8 => 14,
        11 if square_root => 14,
        _ => 1,
    };
    Instruction { cycles, ..OTHER }
}
