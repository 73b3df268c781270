//! Ascend NPUs as numbers: memories, units, rates and what each generation can and cannot do.
//!
//! No value was measured by this project. Sources, by the letters used below: **I** the chips' ini files in CANN 8.1 (facts),
//! **T** AscendNPU-IR's `NPUTargetSpec.td`, **A** asc-devkit's architecture and instruction tables, **D** derived from counters
//! that asc-devkit's worked examples print. Where sources conflict the choice is argued where the number stands.

use crate::types::DType;

/// Instruction-set generation, `__NPU_ARCH__`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Generation {
    /// 2002: Atlas inference (310P). Cube and vector unit share a core and a scalar unit.
    V2002,
    /// 2201: Atlas A2 and A3 (910B, 910C). Cube cores and vector cores apart, one to two; they meet in global memory only.
    V2201,
    /// 3510: Ascend 950. As 2201, with a way from the accumulators straight to the unified buffer.
    V3510,
}

/// A pair of element types that the cube unit multiplies and accumulates.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct CubeMode {
    /// Operands.
    pub operand: DType,
    /// Accumulator.
    pub accumulator: DType,
    /// Depth of a fractal: 32 bytes of operand.
    pub k0: u32,
    /// Depth retired in a cycle for 16 x 16 results. Below `k0` a fractal takes several cycles.
    pub k_per_cycle: u32,
}

/// Vector-unit rates: results in a cycle of one vector core.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct VectorRates {
    /// Add, multiply, compare, select, max, relu on 16-bit elements; 32-bit ones run at half of it.
    pub simple_16: f64,
    /// `exp`, `ln`, `sqrt`, division, whatever the width.
    pub slow: f64,
    /// Sum or maximum within 32-byte blocks of f32.
    pub reduce_32: f64,
    /// Elements fetched by index from the unified buffer.
    pub gather: f64,
}

/// What a generation is, apart from how much of it a chip has.
#[derive(Clone, PartialEq, Debug)]
pub struct Core {
    /// Generation.
    pub generation: Generation,
    /// Bytes of the left-operand buffer.
    pub l0a: u32,
    /// Bytes of the right-operand buffer.
    pub l0b: u32,
    /// Bytes of the accumulators.
    pub l0c: u32,
    /// Bytes of L1.
    pub l1: u32,
    /// Bytes of a vector core's unified buffer that a kernel may use.
    pub ub: u32,
    /// Bytes of the bias table.
    pub bias_table: u32,
    /// Products.
    pub cube: &'static [CubeMode],
    /// Cycles a matrix instruction costs besides its fractals.
    pub mmad_start: f64,
    /// Bytes a cycle from L1 to the left-operand buffer.
    pub l1_to_l0a: f64,
    /// Bytes a cycle from L1 to the right-operand buffer.
    pub l1_to_l0b: f64,
    /// Cycles a load into an operand buffer costs besides its bytes.
    pub load_start: f64,
    /// Bytes a cycle from the accumulators to global memory, counted in bytes written.
    pub l0c_to_gm: f64,
    /// Bytes a cycle from global memory to L1 where every copy is waited for before the next one starts.
    pub gm_to_l1_alone: f64,
    /// The same with copies in flight all the time and most bytes found in L2.
    pub gm_to_l1_streaming: f64,
    /// Bytes a cycle one vector core reads from and writes to global memory.
    pub gm_vector: (f64, f64),
    /// Bytes a cycle from the unified buffer to L1; 0: there is no such path.
    pub ub_to_l1: f64,
    /// Bytes to which a row in global memory should be aligned for full rate.
    pub gm_align: u32,
    /// Share of the rate left where rows of an ND-to-Nz copy are not aligned.
    pub misaligned_nz: f64,
    /// Share of the rate left where rows of a plain copy are not aligned.
    pub misaligned_plain: f64,
    /// Vector unit.
    pub vector: VectorRates,
    /// Cycles of scalar work that go with one matrix instruction.
    pub scalar_per_mmad: f64,
    /// Microseconds from the launch of a kernel to its first instruction.
    pub launch_us: f64,
    /// Events between a pair of pipes that a kernel may use.
    pub events: u32,
    /// Padding copies (`DataCopyPad`) exist.
    pub padded_copy: bool,
    /// Accumulators leave through the fixpipe, which also converts.
    pub fixpipe: bool,
    /// Accumulators can go to the unified buffer without passing global memory.
    pub l0c_to_ub: bool,
    /// Cube and vector parts of one kernel can wait for each other.
    pub cross_core: bool,
    /// Arithmetic of the vector unit exists in bf16. Elsewhere bf16 is converted to f32 and back.
    pub bf16_vector: bool,
    /// bf16 exists at all.
    pub bf16: bool,
}

/// A chip.
#[derive(Clone, PartialEq, Debug)]
pub struct Npu {
    /// Name on the command line.
    pub name: &'static str,
    /// Huawei's name of the chip, as the tools spell it.
    pub soc: &'static str,
    /// Its cores.
    pub core: Core,
    /// Cube cores.
    pub cube_cores: u32,
    /// Vector cores.
    pub vector_cores: u32,
    /// Clock of both.
    pub clock_mhz: f64,
    /// Bytes of L2.
    pub l2: u64,
    /// Read bandwidth of L2, all cores together, in TB/s; `None`: not published.
    pub l2_tbps: Option<f64>,
    /// Bandwidth of memory in TB/s; `None`: not published.
    pub hbm_tbps: Option<f64>,
    /// Share of that bandwidth that long streams reach.
    pub hbm_share: f64,
}

const fn mode(operand: DType, accumulator: DType, k0: u32, k_per_cycle: u32) -> CubeMode {
    CubeMode { operand, accumulator, k0, k_per_cycle }
}

/// A: cube table of 2201. f32 runs at a quarter of f16.
const CUBE_2201: &[CubeMode] = &[
    mode(DType::F16, DType::F32, 16, 16),
    mode(DType::BF16, DType::F32, 16, 16),
    mode(DType::F32, DType::F32, 8, 4),
    mode(DType::I8, DType::I32, 32, 32),
    mode(DType::I4, DType::I32, 64, 64),
];

/// I: products of 2002. Neither bf16 nor f32.
const CUBE_2002: &[CubeMode] = &[
    mode(DType::F16, DType::F32, 16, 16),
    mode(DType::I8, DType::I32, 32, 32),
    mode(DType::U8, DType::I32, 32, 32),
    mode(DType::I4, DType::I32, 64, 64),
];

/// A: cube table of 3510. f32 runs at a sixteenth of f16, not at a quarter.
const CUBE_3510: &[CubeMode] = &[
    mode(DType::F16, DType::F32, 16, 16),
    mode(DType::BF16, DType::F32, 16, 16),
    mode(DType::F32, DType::F32, 8, 1),
    mode(DType::I8, DType::I32, 32, 32),
    mode(DType::F8E4M3FN, DType::F32, 32, 32),
    mode(DType::F8E5M2, DType::F32, 32, 32),
    mode(DType::F4E2M1, DType::F32, 64, 64),
];

impl Core {
    /// Atlas A2 and A3.
    fn v2201() -> Core {
        Core {
            generation: Generation::V2201,
            l0a: 64 << 10,
            l0b: 64 << 10,
            l0c: 128 << 10,
            // A: 256 bytes at the end of L1 and of the unified buffer are the system's, and 8 KiB of the latter unless the
            // compiler is told otherwise.
            l1: (512 << 10) - 256,
            ub: (192 << 10) - 256 - (8 << 10),
            bias_table: 1 << 10,
            cube: CUBE_2201,
            // D: 521 cycles measured for the 512 of a 128x256x64 tile.
            mmad_start: 9.0,
            // A. The ini says twice as much, which does not fit the counters: 367 cycles measured for 16 KiB left and 32 KiB
            // right, where A gives 320 and I 160.
            l1_to_l0a: 256.0,
            l1_to_l0b: 128.0,
            // D: what is left of those 367 cycles, halved.
            load_start: 24.0,
            // D: 63 to 66.
            l0c_to_gm: 63.0,
            gm_to_l1_alone: 35.6,
            gm_to_l1_streaming: 84.5,
            // I: `ddr` read, `ub->ddr`.
            gm_vector: (32.0, 64.0),
            ub_to_l1: 0.0,
            // A: 512 bytes; 48 % and 22 % of the time lost on an odd row length.
            gm_align: 512,
            misaligned_nz: 0.52,
            misaligned_plain: 0.78,
            vector: VectorRates { simple_16: 128.0, slow: 32.0, reduce_32: 64.0, gather: 5.0 },
            // D: 1026 us of scalar time for 12,288 matrix instructions at 1.85 GHz.
            scalar_per_mmad: 154.0,
            // D: task duration less core time of a vector kernel.
            launch_us: 6.0,
            // A: ids 0 to 7, of which 6 and 7 are reserved.
            events: 6,
            padded_copy: true,
            fixpipe: true,
            l0c_to_ub: false,
            cross_core: true,
            bf16_vector: false,
            bf16: true,
        }
    }

    /// Atlas inference. No instruction table is published for it: rates are those of 2201 where the units are alike, and the
    /// ini's for memory; nothing here was ever held against a measurement.
    fn v2002() -> Core {
        Core {
            generation: Generation::V2002,
            l0c: 256 << 10,
            l1: 1 << 20,
            ub: 256 << 10,
            cube: CUBE_2002,
            gm_to_l1_alone: 17.0,
            gm_to_l1_streaming: 17.0,
            gm_vector: (17.0, 17.0),
            // I: `ub->l1`. Accumulators come to the unified buffer at the vector unit's own rate; the ini has twice as much.
            ub_to_l1: 256.0,
            l0c_to_gm: 17.0,
            padded_copy: false,
            fixpipe: false,
            l0c_to_ub: true,
            cross_core: false,
            bf16: false,
            ..Core::v2201()
        }
    }

    /// Ascend 950.
    fn v3510() -> Core {
        Core {
            generation: Generation::V3510,
            l0c: 256 << 10,
            l1: 512 << 10,
            ub: 248 << 10,
            bias_table: 4 << 10,
            cube: CUBE_3510,
            // D: 1027 cycles measured for 1024.
            mmad_start: 3.0,
            l1_to_l0a: 256.0,
            l1_to_l0b: 256.0,
            // D: 283 cycles measured for 256.
            load_start: 14.0,
            l0c_to_gm: 72.0,
            gm_to_l1_alone: 48.7,
            gm_to_l1_streaming: 85.6,
            // I: `ddr` 31, `ub->*` 128.
            gm_vector: (31.0, 128.0),
            gm_align: 128,
            misaligned_nz: 0.92,
            misaligned_plain: 0.98,
            vector: VectorRates { simple_16: 128.0, slow: 16.0, reduce_32: 64.0, gather: 32.0 },
            // D: 412 us of scalar time for 4,096 matrix instructions at 1.65 GHz.
            scalar_per_mmad: 166.0,
            launch_us: 1.22,
            l0c_to_ub: true,
            bf16_vector: true,
            ..Core::v2201()
        }
    }

    /// The product of two operand types, where the cube unit has it.
    pub fn cube_mode(&self, operand: DType) -> Option<&CubeMode> {
        self.cube.iter().find(|m| m.operand == operand)
    }
}

/// Names of the Ascend targets, in the order of `beiming targets`.
pub const ASCEND_TARGETS: [&str; 9] = [
    "ascend910b1",
    "ascend910b2",
    "ascend910b3",
    "ascend910b4",
    "ascend910c",
    "ascend310p1",
    "ascend310p3",
    "ascend950",
    "ascend910b2c",
];

impl Npu {
    /// A chip by the name of its target; `None` for an unknown one.
    pub fn by_name(name: &str) -> Option<Npu> {
        // Cores, clock, L2: I and T. `Ascend910B.ini` (no digit) is an older part of another generation and stands for none.
        // Memory bandwidth: A for 910B1 and 950, Huawei's msmodeling for B2 to B4; share of it in long streams: D, a copy of
        // 302 MB in tiles of 64 x 1024 (1.40 of 1.8 TB/s, and all of 1.6 on the 950).
        let a2 = |name, soc, cores, clock_mhz: f64, l2_mib: u64, hbm_tbps| Npu {
            name,
            soc,
            core: Core::v2201(),
            cube_cores: cores,
            vector_cores: 2 * cores,
            clock_mhz,
            l2: l2_mib << 20,
            l2_tbps: Some(5.0),
            hbm_tbps,
            hbm_share: 0.78,
        };
        // Eight or ten cores with both units; the ini rates of the cores' own paths give the only figure for memory.
        let inference = |name, soc, cores: u32| Npu {
            name,
            soc,
            core: Core::v2002(),
            cube_cores: cores,
            vector_cores: cores,
            clock_mhz: 1060.0,
            l2: 16 << 20,
            l2_tbps: None,
            hbm_tbps: None,
            hbm_share: 1.0,
        };
        Some(match name {
            "ascend910b1" => a2("ascend910b1", "Ascend910B1", 24, 1850.0, 192, Some(1.8)),
            "ascend910b2" => a2("ascend910b2", "Ascend910B2", 24, 1800.0, 192, Some(1.759)),
            "ascend910b2c" => a2("ascend910b2c", "Ascend910B2C", 24, 1800.0, 192, None),
            "ascend910b3" => a2("ascend910b3", "Ascend910B3", 20, 1800.0, 192, Some(1.759)),
            "ascend910b4" => a2("ascend910b4", "Ascend910B4", 20, 1500.0, 96, Some(0.88)),
            // One of the two dies of a package; a package shows as two devices.
            "ascend910c" => a2("ascend910c", "Ascend910_9391", 24, 1850.0, 192, None),
            "ascend310p1" => inference("ascend310p1", "Ascend310P1", 10),
            "ascend310p3" => inference("ascend310p3", "Ascend310P3", 8),
            "ascend950" => Npu {
                name: "ascend950",
                soc: "Ascend910_95",
                core: Core::v3510(),
                cube_cores: 32,
                vector_cores: 64,
                clock_mhz: 1650.0,
                l2: 128 << 20,
                l2_tbps: Some(5.0),
                hbm_tbps: Some(1.6),
                hbm_share: 1.0,
            },
            _ => return None,
        })
    }

    /// Multiply-adds of the cube units in a second, two operations each; `None` where they lack the type.
    pub fn cube_flops(&self, operand: DType) -> Option<f64> {
        let m = self.core.cube_mode(operand)?;
        Some(2.0 * 256.0 * f64::from(m.k_per_cycle) * f64::from(self.cube_cores) * self.clock_mhz * 1e6)
    }

    /// Bytes a cycle that all cores together stream from memory: the published bandwidth as far as streams reach it, or what
    /// the cores' own paths add up to.
    pub fn stream_bytes_per_cycle(&self) -> f64 {
        match self.hbm_tbps {
            Some(t) => t * 1e6 * self.hbm_share / self.clock_mhz,
            None => self.core.gm_vector.0 * f64::from(self.vector_cores),
        }
    }

    /// Cycles in microseconds.
    pub fn us(&self, cycles: f64) -> f64 {
        cycles / self.clock_mhz
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peaks_are_the_published_ones() {
        for (name, tflops) in [("ascend910b1", 363.7), ("ascend910b3", 294.9), ("ascend310p3", 69.5), ("ascend950", 432.5)] {
            let npu = Npu::by_name(name).expect("a known chip");
            let got = npu.cube_flops(DType::F16).expect("every chip multiplies f16") / 1e12;
            assert!((got - tflops).abs() < 0.1, "{name}: {got}");
        }
        let f32_950 = Npu::by_name("ascend950").and_then(|n| n.cube_flops(DType::F32)).expect("the 950 multiplies f32");
        assert!((f32_950 / 1e12 - 27.0).abs() < 0.1, "a sixteenth of f16, not a quarter: {f32_950}");
    }

    #[test]
    fn every_target_is_known_and_none_besides() {
        for name in ASCEND_TARGETS {
            assert_eq!(Npu::by_name(name).map(|n| n.name), Some(name));
        }
        assert_eq!(Npu::by_name("ascend910b"), None, "the ini of that name is a part of another generation");
    }

    #[test]
    fn what_a_generation_lacks_is_known() {
        let inference = Npu::by_name("ascend310p3").expect("a known chip").core;
        assert!(!inference.padded_copy && !inference.fixpipe && !inference.cross_core && !inference.bf16);
        assert_eq!(inference.cube_mode(DType::F32), None);
        assert_eq!(inference.cube_mode(DType::BF16), None);
        let a2 = Npu::by_name("ascend910b1").expect("a known chip").core;
        assert!(a2.bf16 && !a2.bf16_vector && !a2.l0c_to_ub);
        assert_eq!(a2.cube_mode(DType::F8E4M3FN), None);
    }
}
