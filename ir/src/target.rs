//! Targets: what the code is for, as numbers. The cost model, the tiler and the backends read these and nothing else.

pub mod npu;

/// A machine.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Target {
    /// Name on the command line.
    pub name: String,
    /// Which backend writes for it.
    pub family: Family,
    /// LLVM triple.
    pub triple: String,
    /// LLVM CPU name.
    pub cpu: String,
    /// LLVM feature string, comma-separated `+name` / `-name`.
    pub features: String,
    /// Bytes of a vector register that code should use.
    pub vector_bytes: u32,
    /// Number of vector registers.
    pub vector_registers: u32,
    /// f32 fused multiply-adds a core starts in a cycle, counted in vectors.
    pub fma_per_cycle: f64,
    /// Latency of a fused multiply-add in cycles.
    pub fma_latency: u32,
    /// Cycles of one vector `exp`-like polynomial.
    pub transcendental_cycles: f64,
    /// Clock in GHz.
    pub clock_ghz: f64,
    /// Cores that share the work.
    pub cores: u32,
    /// Memories from the nearest to the farthest.
    pub memories: Vec<Memory>,
    /// Cost of starting a kernel, nanoseconds.
    pub launch_ns: f64,
    /// A multiply-add may take one operand as a scalar of memory, broadcast (x86); else lanes of a vector are used (NEON).
    pub broadcast_from_memory: bool,
    /// Rows of a packed operand to prefetch ahead; 0: none.
    pub prefetch_rows: u32,
    /// Iterations of an elementwise vector loop to interleave.
    pub unroll: u32,
    /// LLVM optimisation level, 0 to 3.
    pub opt_level: u8,
}

/// A kind of machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub enum Family {
    /// A CPU, through LLVM.
    Cpu,
    /// An Ascend NPU.
    Ascend,
}

/// A level of memory.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Memory {
    /// Name: `L1`, `L2`, `L3`, `DRAM`.
    pub name: String,
    /// Capacity seen by one core, in bytes.
    pub bytes: u64,
    /// Read bandwidth of one core, bytes a cycle.
    pub bytes_per_cycle: f64,
}

/// Names of the CPU targets, in the order of `beiming targets`.
pub const CPU_TARGETS: [&str; 5] = ["host", "x86-64-v3", "x86-64-v4", "kunpeng920", "aarch64"];

impl Target {
    /// A target by name; `None` for an unknown one.
    pub fn by_name(name: &str) -> Option<Target> {
        match name {
            "host" => Some(Target::host()),
            "x86-64-v3" => Some(Target::x86_64_v3()),
            "x86-64-v4" => Some(Target::x86_64_v4()),
            "kunpeng920" => Some(Target::kunpeng920()),
            "aarch64" => Some(Target::aarch64()),
            _ => None,
        }
    }

    /// An Ascend chip in a server whose CPU, `host`, runs what the chip does not; `None` for an unknown name.
    pub fn ascend(name: &str, host: Target) -> Option<Target> {
        let npu = npu::Npu::by_name(name)?;
        Some(Target { name: npu.name.into(), family: Family::Ascend, ..host })
    }

    /// The chip, where this is one.
    pub fn npu(&self) -> Option<npu::Npu> {
        if self.family == Family::Ascend { npu::Npu::by_name(&self.name) } else { None }
    }

    /// The machine this runs on, reduced to the strongest of the named levels it has.
    pub fn host() -> Target {
        let mut t = Target::host_level();
        t.name = "host".into();
        if t.vector_bytes == 64 && splits_512_bits() {
            t.fma_per_cycle = 1.0;
        }
        if let Ok(n) = std::thread::available_parallelism() {
            t.cores = n.get() as u32;
        }
        t
    }

    #[cfg(target_arch = "x86_64")]
    fn host_level() -> Target {
        let v4 = std::is_x86_feature_detected!("avx512f")
            && std::is_x86_feature_detected!("avx512bw")
            && std::is_x86_feature_detected!("avx512cd")
            && std::is_x86_feature_detected!("avx512dq")
            && std::is_x86_feature_detected!("avx512vl");
        if v4 { Target::x86_64_v4() } else { Target::x86_64_v3() }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn host_level() -> Target {
        Target::aarch64()
    }

    /// Any x86-64 with AVX2, FMA and F16C. Cache sizes of a small server core; rates as measured on common ones.
    pub fn x86_64_v3() -> Target {
        Target {
            name: "x86-64-v3".into(),
            family: Family::Cpu,
            triple: "x86_64-unknown-linux-gnu".into(),
            cpu: "x86-64-v3".into(),
            features: String::new(),
            vector_bytes: 32,
            vector_registers: 16,
            fma_per_cycle: 2.0,
            fma_latency: 4,
            transcendental_cycles: 12.0,
            clock_ghz: 2.6,
            cores: 2,
            memories: memories(32 << 10, 1 << 20, 16 << 20, [64.0, 32.0, 12.0, 3.0]),
            launch_ns: 500.0,
            broadcast_from_memory: true,
            prefetch_rows: 16,
            unroll: 4,
            opt_level: 2,
        }
    }

    /// Any x86-64 with AVX-512 F, BW, CD, DQ and VL.
    pub fn x86_64_v4() -> Target {
        Target {
            name: "x86-64-v4".into(),
            cpu: "x86-64-v4".into(),
            features: "-prefer-256-bit".into(),
            vector_bytes: 64,
            vector_registers: 32,
            memories: memories(32 << 10, 1 << 20, 16 << 20, [128.0, 48.0, 12.0, 3.0]),
            ..Target::x86_64_v3()
        }
    }

    /// Kunpeng 920 (TaiShan v110): NEON with fp16 and dot products, no SVE. Sources: LLVM's and GCC's tsv110 models, lscpu
    /// dumps (64 KiB L1, 512 KiB L2, 1 MiB L3 a core), 2.6 GHz.
    pub fn kunpeng920() -> Target {
        Target {
            name: "kunpeng920".into(),
            triple: "aarch64-unknown-linux-gnu".into(),
            cpu: "tsv110".into(),
            features: String::new(),
            vector_bytes: 16,
            vector_registers: 32,
            fma_latency: 7,
            cores: 48,
            memories: memories(64 << 10, 512 << 10, 1 << 20, [32.0, 16.0, 8.0, 3.0]),
            broadcast_from_memory: false,
            ..Target::x86_64_v3()
        }
    }

    /// Any 64-bit Arm server of version 8.2 or later with NEON; no fp16 arithmetic assumed.
    pub fn aarch64() -> Target {
        Target { name: "aarch64".into(), cpu: "generic".into(), features: "+neon".into(), cores: 8, ..Target::kunpeng920() }
    }

    /// Elements of a full vector of `bytes`-byte elements.
    pub fn lanes(&self, bytes: usize) -> usize {
        (self.vector_bytes as usize / bytes).max(1)
    }

    /// Capacity of a named memory, 0 if absent.
    pub fn memory(&self, name: &str) -> u64 {
        self.memories.iter().find(|m| m.name == name).map_or(0, |m| m.bytes)
    }

    /// f32 arithmetic operations of one core in a second, multiply-add counted as two.
    pub fn peak_flops(&self) -> f64 {
        self.lanes(4) as f64 * 2.0 * self.fma_per_cycle * self.clock_ghz * 1e9
    }
}

fn memories(l1: u64, l2: u64, l3: u64, rate: [f64; 4]) -> Vec<Memory> {
    [("L1", l1), ("L2", l2), ("L3", l3), ("DRAM", u64::MAX)]
        .into_iter()
        .zip(rate)
        .map(|((name, bytes), bytes_per_cycle)| Memory { name: name.into(), bytes, bytes_per_cycle })
        .collect()
}

/// Whether this machine runs a 512-bit operation in two halves (AMD Zen 4: family 0x19).
#[cfg(target_arch = "x86_64")]
fn splits_512_bits() -> bool {
    use std::arch::x86_64::__cpuid;
    let (vendor, signature) = (__cpuid(0), __cpuid(1).eax);
    let amd = [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes).concat() == b"AuthenticAMD";
    amd && ((signature >> 8) & 15) + ((signature >> 20) & 255) == 0x19
}

#[cfg(not(target_arch = "x86_64"))]
fn splits_512_bits() -> bool {
    false
}
