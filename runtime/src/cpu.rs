//! The machine: whether it can run an artifact's code, and its floating-point mode while it does.

use crate::error::{Error, Result};
use crate::format::manifest::Target;

/// ELF machine number of the code this process can run, and the name of the instruction set in a triple.
#[cfg(target_arch = "x86_64")]
const MACHINE: (u16, &str) = (62, "x86_64");
/// ELF machine number of the code this process can run, and the name of the instruction set in a triple.
#[cfg(target_arch = "aarch64")]
const MACHINE: (u16, &str) = (183, "aarch64");

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("the runtime knows x86-64 and AArch64");

/// Checks that this machine can run the code: its instruction set by the triple and by the ELF header, and every CPU feature
/// that the artifact requires. Without this the first kernel would end the process with an illegal instruction.
pub fn check(target: &Target, code: &[u8]) -> Result<()> {
    let fail = |what: String| Err(Error::Target { target: target.name.clone(), what });
    let arch = target.triple.split('-').next().unwrap_or_default();
    if arch != MACHINE.1 {
        return fail(format!("its code is for {arch}, this machine is {}", MACHINE.1));
    }
    // 64-bit, little-endian, shared object.
    let is_library = code.len() >= 64 && code[..6] == *b"\x7fELF\x02\x01" && code[16..18] == [3, 0];
    if !is_library {
        return Err(Error::Inconsistent("the code section is no 64-bit ELF shared library".into()));
    }
    let machine = u16::from_le_bytes([code[18], code[19]]);
    if machine != MACHINE.0 {
        return fail(format!("the code is for ELF machine {machine}, this machine is {} ({})", MACHINE.0, MACHINE.1));
    }
    let missing: Vec<&str> = target.required.iter().map(String::as_str).filter(|f| has(f) == Some(false)).collect();
    if !missing.is_empty() {
        return fail(format!("this CPU lacks {}; compile the model for a target that it has", missing.join(", ")));
    }
    if let Some(f) = target.required.iter().find(|f| has(f).is_none()) {
        return fail(format!("it requires the CPU feature `{f}`, which this runtime does not know"));
    }
    Ok(())
}

/// Whether the CPU has a feature, by LLVM's name; `None` for an unknown name.
#[cfg(target_arch = "x86_64")]
fn has(feature: &str) -> Option<bool> {
    use std::is_x86_feature_detected as x86;
    Some(match feature {
        // Part of every x86-64 CPU.
        "64bit" | "cmov" | "cx8" | "fxsr" | "mmx" | "sse" | "sse2" | "x87" => true,
        // No way to ask, but every CPU with AVX has it; it is in the named levels.
        "sahf" => x86!("avx"),
        "cx16" => x86!("cmpxchg16b"),
        "sse3" => x86!("sse3"),
        "ssse3" => x86!("ssse3"),
        "sse4.1" => x86!("sse4.1"),
        "sse4.2" => x86!("sse4.2"),
        "popcnt" => x86!("popcnt"),
        "lzcnt" => x86!("lzcnt"),
        "bmi" => x86!("bmi1"),
        "bmi2" => x86!("bmi2"),
        "movbe" => x86!("movbe"),
        "xsave" => x86!("xsave"),
        "crc32" => x86!("sse4.2"),
        "avx" => x86!("avx"),
        "avx2" => x86!("avx2"),
        "f16c" => x86!("f16c"),
        "fma" => x86!("fma"),
        // The 512-bit state also needs the operating system; the detection asks it.
        "evex512" | "avx512f" => x86!("avx512f"),
        "avx512bw" => x86!("avx512bw"),
        "avx512cd" => x86!("avx512cd"),
        "avx512dq" => x86!("avx512dq"),
        "avx512vl" => x86!("avx512vl"),
        "avx512vnni" => x86!("avx512vnni"),
        "avx512ifma" => x86!("avx512ifma"),
        "avx512vbmi" => x86!("avx512vbmi"),
        "avx512vbmi2" => x86!("avx512vbmi2"),
        "avx512bitalg" => x86!("avx512bitalg"),
        "avx512vpopcntdq" => x86!("avx512vpopcntdq"),
        "avx512bf16" => x86!("avx512bf16"),
        _ => return None,
    })
}

/// Whether the CPU has a feature, by LLVM's name; `None` for an unknown name.
#[cfg(target_arch = "aarch64")]
fn has(feature: &str) -> Option<bool> {
    use std::arch::is_aarch64_feature_detected as arm;
    Some(match feature {
        // Part of every 64-bit Arm CPU that runs Linux.
        "fp-armv8" | "neon" => true,
        "fullfp16" => arm!("fp16"),
        "dotprod" => arm!("dotprod"),
        "fp16fml" => arm!("fhm"),
        "lse" => arm!("lse"),
        "rdm" => arm!("rdm"),
        "crc" => arm!("crc"),
        "aes" => arm!("aes"),
        "sha2" => arm!("sha2"),
        "rcpc" => arm!("rcpc"),
        "complxnum" => arm!("fcma"),
        "jsconv" => arm!("jsconv"),
        "i8mm" => arm!("i8mm"),
        "bf16" => arm!("bf16"),
        "sve" => arm!("sve"),
        "sve2" => arm!("sve2"),
        _ => return None,
    })
}

/// While it lives, this thread's arithmetic keeps subnormal numbers as IEEE 754 says, or takes them as zero and gives zero for
/// them, as inference engines do: they carry little information in a model and cost up to a hundred cycles each. f16 keeps its
/// subnormals. The caller's mode, whichever it was, comes back at the end.
pub struct SubnormalMode {
    saved: u64,
    // The mode belongs to the thread that set it.
    _thread: std::marker::PhantomData<*const ()>,
}

#[cfg(target_arch = "x86_64")]
mod mode {
    /// Flush to zero (bit 15) and subnormals are zeros (bit 6) of MXCSR.
    pub const FLUSH: u64 = 1 << 15 | 1 << 6;

    pub fn get() -> u64 {
        let mut v = 0u32;
        // SAFETY: stores MXCSR to `v`.
        unsafe { std::arch::asm!("stmxcsr [{}]", in(reg) &mut v, options(nostack, preserves_flags)) };
        v.into()
    }

    pub fn set(v: u64) {
        let v = v as u32;
        // SAFETY: callers change the two flush bits only, which every x86-64 CPU has.
        unsafe { std::arch::asm!("ldmxcsr [{}]", in(reg) &v, options(nostack, preserves_flags, readonly)) };
    }
}

#[cfg(target_arch = "aarch64")]
mod mode {
    /// FZ of FPCR. FZ16 stays off.
    pub const FLUSH: u64 = 1 << 24;

    pub fn get() -> u64 {
        let v: u64;
        // SAFETY: reads FPCR.
        unsafe { std::arch::asm!("mrs {}, fpcr", out(reg) v, options(nomem, nostack, preserves_flags)) };
        v
    }

    pub fn set(v: u64) {
        // SAFETY: callers change the flush bit only.
        unsafe { std::arch::asm!("msr fpcr, {}", in(reg) v, options(nomem, nostack, preserves_flags)) };
    }
}

impl SubnormalMode {
    /// Sets the mode.
    pub fn new(flush: bool) -> SubnormalMode {
        let saved = mode::get();
        mode::set(if flush { saved | mode::FLUSH } else { saved & !mode::FLUSH });
        SubnormalMode { saved, _thread: std::marker::PhantomData }
    }

    /// Whether this thread takes subnormal numbers as zero.
    pub fn flushes() -> bool {
        mode::get() & mode::FLUSH == mode::FLUSH
    }
}

impl Drop for SubnormalMode {
    fn drop(&mut self) {
        // Only our bits: flags that the arithmetic raised meanwhile stay raised.
        mode::set(mode::get() & !mode::FLUSH | self.saved & mode::FLUSH);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(triple: &str, required: &[&str]) -> Target {
        Target {
            name: "t".into(),
            triple: triple.into(),
            cpu: "c".into(),
            features: String::new(),
            required: required.iter().map(|s| s.to_string()).collect(),
        }
    }

    fn elf(machine: u16) -> Vec<u8> {
        let mut e = b"\x7fELF\x02\x01".to_vec();
        e.resize(64, 0);
        e[16] = 3;
        e[18..20].copy_from_slice(&machine.to_le_bytes());
        e
    }

    #[test]
    fn machines_and_features() {
        let triple = format!("{}-unknown-linux-gnu", MACHINE.1);
        let always = if cfg!(target_arch = "x86_64") { "sse2" } else { "neon" };
        assert!(check(&target(&triple, &[always]), &elf(MACHINE.0)).is_ok());
        for (triple, required, code, expected) in [
            ("riscv64-linux", vec![], elf(MACHINE.0), "riscv64"),
            (triple.as_str(), vec!["warp-drive"], elf(MACHINE.0), "warp-drive"),
            (triple.as_str(), vec![], elf(243), "243"),
            (triple.as_str(), vec![], b"\x7fELF\x02\x01".to_vec(), "no 64-bit ELF"),
            (triple.as_str(), vec![], vec![0; 64], "no 64-bit ELF"),
        ] {
            let e = check(&target(triple, &required), &code).unwrap_err().to_string();
            assert!(e.contains(expected), "{e}");
        }
    }

    #[test]
    fn the_mode_is_set_and_restored() {
        let tiny = || std::hint::black_box(std::hint::black_box(f32::MIN_POSITIVE) * std::hint::black_box(0.5f32));
        assert!(!SubnormalMode::flushes() && tiny() > 0.0);
        {
            let _outer = SubnormalMode::new(true);
            assert!(SubnormalMode::flushes() && tiny() == 0.0);
            {
                let _inner = SubnormalMode::new(false);
                assert!(!SubnormalMode::flushes() && tiny() > 0.0);
            }
            assert!(SubnormalMode::flushes() && tiny() == 0.0);
        }
        assert!(!SubnormalMode::flushes() && tiny() > 0.0);
    }
}
