//! The simulator's view of a chip.

use std::fmt::Write as _;

use beiming_ir::target::npu::{Generation, Npu};
use beiming_ir::types::DType;

/// A chip's numbers as the simulator reads them: `key value` a line.
pub fn chip_text(npu: &Npu) -> String {
    let c = &npu.core;
    let generation = match c.generation {
        Generation::V2002 => 2002,
        Generation::V2201 => 2201,
        Generation::V3510 => 3510,
    };
    let k_per_cycle = |d| c.cube_mode(d).map_or(0, |m| m.k_per_cycle);
    let lines: [(&str, String); 31] = [
        ("name", npu.name.into()),
        ("generation", generation.to_string()),
        ("cube_cores", npu.cube_cores.to_string()),
        ("vector_cores", npu.vector_cores.to_string()),
        ("clock_mhz", npu.clock_mhz.to_string()),
        ("ub", c.ub.to_string()),
        ("l1", c.l1.to_string()),
        ("l0a", c.l0a.to_string()),
        ("l0b", c.l0b.to_string()),
        ("l0c", c.l0c.to_string()),
        ("bias_table", c.bias_table.to_string()),
        ("events", c.events.to_string()),
        ("mmad_start", c.mmad_start.to_string()),
        ("l1_to_l0a", c.l1_to_l0a.to_string()),
        ("l1_to_l0b", c.l1_to_l0b.to_string()),
        ("load_start", c.load_start.to_string()),
        ("l0c_to_gm", c.l0c_to_gm.to_string()),
        ("gm_to_l1", c.gm_to_l1_streaming.to_string()),
        ("gm_to_ub", c.gm_vector.0.to_string()),
        ("ub_to_gm", c.gm_vector.1.to_string()),
        ("ub_to_l1", c.ub_to_l1.to_string()),
        ("simple_16", c.vector.simple_16.to_string()),
        ("slow", c.vector.slow.to_string()),
        ("reduce_32", c.vector.reduce_32.to_string()),
        ("gather", c.vector.gather.to_string()),
        ("f16_k_per_cycle", k_per_cycle(DType::F16).to_string()),
        ("f32_k_per_cycle", k_per_cycle(DType::F32).to_string()),
        ("i8_k_per_cycle", k_per_cycle(DType::I8).to_string()),
        ("padded_copy", c.padded_copy.to_string()),
        ("fixpipe", c.fixpipe.to_string()),
        ("cross_core", c.cross_core.to_string()),
    ];
    let mut text = String::new();
    for (key, value) in lines {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{key} {value}");
    }
    for (key, value) in [("l0c_to_ub", c.l0c_to_ub), ("bf16_vector", c.bf16_vector), ("bf16", c.bf16)] {
        let _ = writeln!(text, "{key} {value}");
    }
    text
}
