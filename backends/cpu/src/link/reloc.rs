//! References between sections, as instructions hold them. The numbers and formulas are those of the processors' supplements to
//! the System V ABI (x86-64: psABI 1.0, table 4.9; AArch64: ELF for the Arm 64-bit Architecture, 5.7).

/// A machine's ELF conventions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Machine {
    X86,
    Aarch64,
}

impl Machine {
    /// Its ELF number.
    pub fn number(self) -> u16 {
        match self {
            Machine::X86 => 62,
            Machine::Aarch64 => 183,
        }
    }

    /// The largest page that its systems have: parts of different rights lie on different ones.
    pub fn page(self) -> u64 {
        match self {
            Machine::X86 => 0x1000,
            Machine::Aarch64 => 0x10000,
        }
    }

    /// The byte between functions: a trap on x86-64; on AArch64 zeros, which are an undefined instruction.
    pub fn padding(self) -> u8 {
        if self == Machine::X86 { 0xcc } else { 0 }
    }

    /// `R_X86_64_RELATIVE`, `R_AARCH64_RELATIVE`.
    pub fn relative(self) -> u32 {
        match self {
            Machine::X86 => 8,
            Machine::Aarch64 => 1027,
        }
    }

    /// Whether a reference is a whole address: `R_X86_64_64`, `R_AARCH64_ABS64`.
    pub fn is_absolute(self, kind: u32) -> bool {
        kind == if self == Machine::X86 { 1 } else { 257 }
    }

    /// Sets a reference from `place` (the address of `data[at]`) to `target` (with its addend).
    pub fn set(self, data: &mut [u8], at: usize, kind: u32, place: u64, target: u64) -> Result<(), String> {
        match self {
            Machine::X86 => x86(data, at, kind, place, target),
            Machine::Aarch64 => aarch64(data, at, kind, place, target),
        }
    }
}

fn field<const N: usize>(data: &mut [u8], at: usize) -> Result<&mut [u8; N], String> {
    data.get_mut(at..at + N).and_then(|s| s.try_into().ok()).ok_or_else(|| "outside its section".to_string())
}

fn x86(data: &mut [u8], at: usize, kind: u32, place: u64, target: u64) -> Result<(), String> {
    let distance = target.wrapping_sub(place) as i64;
    match kind {
        // PC32, and PLT32: what is called lies in this library.
        2 | 4 => {
            let d = i32::try_from(distance).map_err(|_| "too far".to_string())?;
            *field(data, at)? = d.to_le_bytes();
        }
        // PC64.
        24 => *field(data, at)? = distance.to_le_bytes(),
        _ => return Err("kernels do not use it".into()),
    }
    Ok(())
}

fn aarch64(data: &mut [u8], at: usize, kind: u32, place: u64, target: u64) -> Result<(), String> {
    let distance = target.wrapping_sub(place) as i64;
    let fits = |v: i64, bits: u32| if v >> (bits - 1) == 0 || v >> (bits - 1) == -1 { Ok(v) } else { Err("too far".to_string()) };
    // `bits` of `value` at bit `to` of the instruction.
    let mut instruction = |value: u64, bits: u32, to: u32| -> Result<(), String> {
        let word = field::<4>(data, at)?;
        let mask = ((1u32 << bits) - 1) << to;
        let set = (value as u32) << to & mask;
        *word = (u32::from_le_bytes(*word) & !mask | set).to_le_bytes();
        Ok(())
    };
    let low = |scale: u32| -> Result<u64, String> {
        let offset = target & 0xfff;
        if offset.is_multiple_of(1 << scale) { Ok(offset >> scale) } else { Err("not aligned".to_string()) }
    };
    match kind {
        // PREL32.
        261 => *field(data, at)? = (fits(distance, 32)? as i32).to_le_bytes(),
        // PREL64.
        260 => *field(data, at)? = distance.to_le_bytes(),
        // ADR_PREL_LO21: two low bits apart from the others.
        274 => {
            let d = fits(distance, 21)? as u64;
            instruction(d & 3, 2, 29)?;
            instruction(d >> 2, 19, 5)?;
        }
        // ADR_PREL_PG_HI21: pages.
        275 => {
            let d = fits((target & !0xfff).wrapping_sub(place & !0xfff) as i64 >> 12, 21)? as u64;
            instruction(d & 3, 2, 29)?;
            instruction(d >> 2, 19, 5)?;
        }
        // ADD_ABS_LO12_NC and LDST8_ABS_LO12_NC; LDST16, 32, 64, 128.
        277 | 278 => instruction(low(0)?, 12, 10)?,
        284 => instruction(low(1)?, 12, 10)?,
        285 => instruction(low(2)?, 12, 10)?,
        286 => instruction(low(3)?, 12, 10)?,
        299 => instruction(low(4)?, 12, 10)?,
        // TSTBR14, CONDBR19, JUMP26, CALL26.
        279 => instruction(fits(distance, 16)? as u64 >> 2, 14, 5)?,
        280 => instruction(fits(distance, 21)? as u64 >> 2, 19, 5)?,
        282 | 283 => instruction(fits(distance, 28)? as u64 >> 2, 26, 0)?,
        _ => return Err("kernels do not use it".into()),
    }
    Ok(())
}
