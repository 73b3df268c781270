//! What an NPU's kernels are expected to do, as data: memories against their capacity, cycles of every pipe, what decides.

use std::collections::BTreeMap;

use beiming_ir::kernel::{Kernel, Space};
use beiming_ir::plan::{Program, Step};
use beiming_ir::target::npu::Npu;
use beiming_passes::cost::CostModel;
use beiming_passes::npu::account::{account, memories};
use serde::{Deserialize, Serialize};

/// A kernel for an NPU. Symbolic extents count as the middle of their range.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct NpuKernel {
    /// Name; it tells the tile.
    pub name: String,
    /// What it computes.
    pub ops: Vec<String>,
    /// How often the plan launches it, bodies of loops once.
    pub launches: usize,
    /// Grid points and the cores that share them.
    pub points: i64,
    /// See `points`.
    pub cores: i64,
    /// Predicted microseconds of one launch.
    pub predicted_us: f64,
    /// Microseconds of the roofline: arguments and results moved once, or all arithmetic at the peak; no launch.
    pub roofline_us: f64,
    /// The pipe or the bandwidth that decides, or `launch`.
    pub bound: String,
    /// Cycles of the busiest core's pipes.
    pub pipes: BTreeMap<String, f64>,
    /// Mean load of the cores over that of the busiest.
    pub balance: f64,
    /// Bytes between global memory and the cores, repeated reads counted each time.
    pub moved: f64,
    /// The memories of a core.
    pub memories: Vec<Memory>,
    /// Lines of Ascend C as emitted; 0 for a kernel that has no spelling, which is an error of its own.
    #[serde(default)]
    pub lines: usize,
}

/// A memory of a core and what is kept there.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Memory {
    /// `UB`, `L1`, `L0A`, `L0B`, `L0C`.
    pub name: String,
    /// Bytes in use.
    pub bytes: u64,
    /// Bytes there are.
    pub capacity: u64,
    /// Name, copies, bytes of each copy.
    pub buffers: Vec<(String, u64, u64)>,
}

/// The name of a memory in reports.
fn name(s: Space) -> &'static str {
    match s {
        Space::Ub => "UB",
        Space::L1 => "L1",
        Space::L0A => "L0A",
        Space::L0B => "L0B",
        Space::L0C => "L0C",
        _ => "GM",
    }
}

/// A number of cycles or microseconds, to three decimals.
fn short(x: f64) -> f64 {
    (x * 1e3).round() / 1e3
}

/// Of every kernel for the program's NPU, in the order of the program; none where the target is no NPU.
pub fn kernels(program: &Program) -> Vec<NpuKernel> {
    let Some(npu) = program.target.npu() else { return vec![] };
    let mut launches = vec![0; program.kernels.len()];
    count(&program.plan.steps, &mut launches);
    let model = CostModel { target: &program.target, symbols: &program.plan.symbols };
    program.kernels.iter().zip(launches).filter_map(|(k, n)| one(k, n, &npu, &model)).collect()
}

fn one(k: &Kernel, launches: usize, npu: &Npu, model: &CostModel<'_>) -> Option<NpuKernel> {
    let typical = |s: &str| Some(model.extent(&beiming_ir::types::Dim::sym(s)) as i64);
    let a = account(k, npu, &typical)?;
    let memory = |u: beiming_passes::npu::account::Use| Memory {
        name: name(u.space).into(),
        bytes: u.bytes(),
        capacity: u.capacity,
        buffers: u.buffers,
    };
    Some(NpuKernel {
        name: k.name.clone(),
        ops: k.ops.clone(),
        launches,
        points: a.points,
        cores: a.cores,
        predicted_us: short(a.estimate.us),
        roofline_us: short(a.roof_us),
        bound: a.estimate.bound.name().into(),
        pipes: a
            .estimate
            .pipes
            .named()
            .into_iter()
            .filter(|p| p.1 > 0.0)
            .map(|(b, c)| (b.name().to_string(), c.round()))
            .collect(),
        balance: short(a.estimate.balance),
        moved: a.moved.round(),
        memories: memories(k, npu).into_iter().map(memory).collect(),
        lines: beiming_ascend::emit::kernel(k, npu).map_or(0, |text| text.lines().count()),
    })
}

fn count(steps: &[Step], out: &mut [usize]) {
    for s in steps {
        match s {
            Step::Launch(l) => out.get_mut(l.kernel as usize).into_iter().for_each(|n| *n += 1),
            Step::If { then, otherwise, .. } => {
                count(then, out);
                count(otherwise, out);
            }
            Step::Loop { body, .. } => count(body, out),
            _ => {}
        }
    }
}
