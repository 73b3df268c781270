//! What a finished kernel costs, counted from its statements: every copy, load, product and vector instruction with the constants
//! that the simulator charges too, so that estimate and simulation differ only where the model is wrong.
//!
//! Counted at the grid point in the middle, which is a whole tile and meets no padding, for the core with the most points; inner
//! loops of more than a few rounds are walked at their first and last one, in between they are taken to be like the first.

use std::collections::BTreeMap;

use beiming_ir::kernel::npu::{copy_pipe, reduction_bytes, tile_bytes};
use beiming_ir::kernel::{Access, BufId, Element, Expr, ExprId, Kernel, Loop, Pipe, Space, Stmt, Unit, VarId};
use beiming_ir::ops::{BinaryOp, UnaryOp};
use beiming_ir::target::npu::{Generation, Npu};
use beiming_ir::tensor::Num;
use beiming_ir::types::{DType, Dim};
use beiming_ir::walk::for_stmts;

use super::sync::capacity;
use super::{Estimate, Pipes};

/// Loops of up to so many rounds (taps of a window, most of all) are walked round by round: some do nothing.
const ROUNDS: i64 = 12;

/// A kernel's cost on a chip.
#[derive(Clone, PartialEq, Debug)]
pub struct Account {
    /// Grid points.
    pub points: i64,
    /// Cores that work on them.
    pub cores: i64,
    /// Time, pipes of the busiest core, what decides.
    pub estimate: Estimate,
    /// Bytes that pass between global memory and the cores, repeated reads counted each time.
    pub moved: f64,
    /// Microseconds of the roofline: arguments read and results written once at the memory's rate, or all arithmetic at the peak
    /// of all cores, whichever is longer; no launch.
    pub roof_us: f64,
}

/// A memory of a core and what a kernel keeps there.
#[derive(Clone, PartialEq, Debug)]
pub struct Use {
    /// Which.
    pub space: Space,
    /// Bytes there are.
    pub capacity: u64,
    /// Name, copies, bytes of each copy.
    pub buffers: Vec<(String, u64, u64)>,
}

impl Use {
    /// Bytes in use.
    pub fn bytes(&self) -> u64 {
        self.buffers.iter().map(|b| b.1 * b.2).sum()
    }
}

/// The memories that a kernel uses, in the order of the data's way.
pub fn memories(k: &Kernel, npu: &Npu) -> Vec<Use> {
    let Some(on) = &k.npu else { return vec![] };
    let mut out = vec![];
    for space in [Space::Ub, Space::L1, Space::L0A, Space::L0B, Space::L0C] {
        let mut buffers: Vec<(String, u64, u64)> = (0..k.locals.len())
            .filter(|l| k.locals[*l].space == space)
            .map(|l| {
                let copies = u64::from(on.copies.get(l).copied().unwrap_or(1));
                (k.locals[l].name.clone(), copies, tile_bytes(k, BufId((k.params.len() + l) as u32)))
            })
            .collect();
        if space == Space::Ub && reduction_bytes(k) > 0 {
            buffers.push(("partial".into(), 1, reduction_bytes(k)));
        }
        if !buffers.is_empty() {
            out.push(Use { space, capacity: capacity(npu, space), buffers });
        }
    }
    out
}

/// Counts a kernel. `dims` gives its symbols' values. `None` where it is none for an NPU or an extent is unknown.
pub fn account(k: &Kernel, npu: &Npu, dims: &dyn Fn(&str) -> Option<i64>) -> Option<Account> {
    let on = k.npu.as_ref()?;
    let extent = |d: &Dim| d.eval(dims);
    let points = k.grid.iter().try_fold(1i64, |a, d| Some(a * extent(d)?.max(0)))?;
    let mut w = Walk { k, npu, dims, vars: BTreeMap::new(), pipes: Pipes::default(), moved: 0.0, products: 0.0, arithmetic: 0.0 };
    for (v, d) in k.grid.iter().enumerate() {
        w.vars.insert(v as u32, ((extent(d)? - 1) / 2).max(0));
    }
    w.run(&k.body, 1.0);
    let all = match on.unit {
        Unit::Vector => npu.vector_cores,
        _ => npu.cube_cores,
    };
    let cores = points.clamp(1, i64::from(all.max(1)));
    let busiest = points.div_euclid(cores) + i64::from(points % cores != 0);
    let times = |c: f64| c * busiest as f64;
    let p = w.pipes;
    let pipes = Pipes {
        mte2: times(p.mte2),
        mte1: times(p.mte1),
        mte3: times(p.mte3),
        cube: times(p.cube),
        vector: times(p.vector),
        fixpipe: times(p.fixpipe),
        scalar: times(p.scalar),
    };
    // Where all pipes meet for every tile they take turns, whatever has two copies.
    let mut meet = false;
    for_stmts(&k.body, &mut |s| meet |= matches!(s, Stmt::Wait { handover: None, .. }));
    let core = if on.copies.iter().any(|c| *c > 1) && !meet {
        pipes.overlapped()
    } else {
        (pipes.named().iter().map(|c| c.1).sum(), pipes.overlapped().1)
    };
    let moved = w.moved * points as f64;
    let once: f64 = k
        .params
        .iter()
        .map(|b| {
            let bytes = b.shape.iter().map(|d| extent(d).unwrap_or(1).max(0) as f64).product::<f64>() * b.dtype.size() as f64;
            if b.access == Access::ReadWrite { 2.0 * bytes } else { bytes }
        })
        .sum();
    let memory = once.min(moved);
    let balance = if busiest == 0 { 1.0 } else { points as f64 / cores as f64 / busiest as f64 };
    let peak = |cycles: f64, cores: u32| cycles * points as f64 / f64::from(cores.max(1));
    let roof = (memory / npu.stream_bytes_per_cycle())
        .max(peak(w.products, npu.cube_cores))
        .max(peak(w.arithmetic, npu.vector_cores.max(1)));
    Some(Account {
        points,
        cores,
        estimate: Estimate::of(npu, pipes, core, balance, memory, moved),
        moved,
        roof_us: npu.us(roof),
    })
}

struct Walk<'a> {
    k: &'a Kernel,
    npu: &'a Npu,
    dims: &'a dyn Fn(&str) -> Option<i64>,
    vars: BTreeMap<u32, i64>,
    pipes: Pipes,
    moved: f64,
    /// Cycles of products and of vector instructions without what starts them.
    products: f64,
    arithmetic: f64,
}

impl Walk<'_> {
    /// The value of an index expression; data counts as zero.
    fn int(&self, e: ExprId) -> i64 {
        match &self.k.exprs[e.index()] {
            Expr::Const(s) => match s.value {
                Num::Int(v) => v as i64,
                _ => s.value.to_f64() as i64,
            },
            Expr::Var(VarId(v)) => self.vars.get(v).copied().unwrap_or(0),
            Expr::Dim(d) => d.eval(self.dims).unwrap_or(0),
            Expr::Binary(op, a, b) => {
                let (a, b) = (self.int(*a), self.int(*b));
                match op {
                    BinaryOp::Add => a + b,
                    BinaryOp::Sub => a - b,
                    BinaryOp::Mul => a * b,
                    BinaryOp::Div if b != 0 => a.div_euclid(b),
                    BinaryOp::Rem | BinaryOp::Mod if b != 0 => a.rem_euclid(b),
                    BinaryOp::Min => a.min(b),
                    BinaryOp::Max => a.max(b),
                    BinaryOp::Lt => i64::from(a < b),
                    BinaryOp::Le => i64::from(a <= b),
                    BinaryOp::Gt => i64::from(a > b),
                    BinaryOp::Ge => i64::from(a >= b),
                    BinaryOp::Eq => i64::from(a == b),
                    BinaryOp::Ne => i64::from(a != b),
                    BinaryOp::And => a & b,
                    BinaryOp::Or => a | b,
                    _ => 0,
                }
            }
            Expr::Select(c, a, b) => self.int(if self.int(*c) != 0 { *a } else { *b }),
            Expr::Cast(_, a) => self.int(*a),
            _ => 0,
        }
    }

    fn run(&mut self, body: &[Stmt], times: f64) {
        for s in body {
            match s {
                Stmt::For { var, extent, kind, body } => {
                    let n = self.int(*extent);
                    if n <= 0 {
                        continue;
                    }
                    if let [Stmt::Vector { dst, value, reduce }] = &body[..] {
                        self.instruction(dst, *value, reduce.is_some(), n as f64, times);
                        continue;
                    }
                    // The vector cores of a group work side by side.
                    let rounds = if *kind == Loop::Cores { 1 } else { n };
                    let walked: Vec<(i64, f64)> = match rounds {
                        1..=ROUNDS => (0..rounds).map(|i| (i, 1.0)).collect(),
                        _ => vec![(0, (rounds - 1) as f64), (rounds - 1, 1.0)],
                    };
                    for (at, of) in walked {
                        self.vars.insert(var.0, at);
                        self.run(body, times * of);
                    }
                }
                Stmt::If { cond, then } => {
                    // A condition on data is taken to hold.
                    if self.int(*cond) != 0 || self.reads_data(*cond) {
                        self.run(then, times);
                    }
                }
                Stmt::Copy { vars, dst, src, .. } => self.copy(vars, dst, src, times),
                Stmt::Mma { acc, depth, a, .. } => self.product(*acc, *depth, a, times),
                Stmt::Vector { .. } | Stmt::Wait { .. } => {}
            }
        }
    }

    fn reads_data(&self, e: ExprId) -> bool {
        match &self.k.exprs[e.index()] {
            Expr::Load(..) => true,
            Expr::Const(_) | Expr::Var(_) | Expr::Dim(_) => false,
            Expr::Unary(_, a) | Expr::Cast(_, a) | Expr::Bitcast(_, a) => self.reads_data(*a),
            Expr::Binary(_, a, b) => self.reads_data(*a) || self.reads_data(*b),
            Expr::Select(c, a, b) => [c, a, b].into_iter().any(|x| self.reads_data(*x)),
        }
    }

    /// An instruction of the vector unit on `n` lanes, or a row out through the fixpipe.
    fn instruction(&mut self, dst: &Element, value: ExprId, reduces: bool, n: f64, times: f64) {
        let to = self.k.buffer(dst.buffer);
        match to.space {
            Space::Memory => {
                let bytes = n * to.dtype.size() as f64;
                self.pipes.fixpipe += times * bytes / self.npu.core.l0c_to_gm;
                self.moved += times * bytes;
                return;
            }
            // Accumulators start from zero by a flag of the first product.
            Space::L0C => return,
            Space::L1 => {
                self.pipes.mte2 += times * n * to.dtype.size() as f64 / self.npu.core.gm_to_l1_streaming;
                return;
            }
            _ => {}
        }
        let r = &self.npu.core.vector;
        let simple = |d: DType| r.simple_16 * 2.0 / d.size().max(2) as f64;
        let rate = match &self.k.exprs[value.index()] {
            _ if reduces => r.reduce_32,
            Expr::Unary(UnaryOp::Exp | UnaryOp::Log | UnaryOp::Sqrt, _) | Expr::Binary(BinaryOp::Div, ..) => r.slow,
            Expr::Cast(d, a) => {
                let from = self.k.dtype(*a);
                simple(if from.size() > d.size() { from } else { *d })
            }
            Expr::Binary(op, a, _) if op.is_compare() => simple(self.k.dtype(*a)),
            _ => simple(to.dtype),
        };
        // An instruction of few lanes takes a cycle all the same.
        self.pipes.vector += times * (n / rate).max(1.0);
        self.arithmetic += times * n / rate;
    }

    fn copy(&mut self, vars: &[(VarId, ExprId)], dst: &Element, src: &Element, times: f64) {
        let mut extents: Vec<(VarId, i64)> = vars.iter().map(|(v, e)| (*v, self.int(*e).max(0))).collect();
        src.guard.iter().for_each(|g| self.limit(*g, &mut extents));
        let elements: f64 = extents.iter().map(|e| e.1 as f64).product();
        let (from, to) = (self.k.buffer(src.buffer), self.k.buffer(dst.buffer));
        let bytes = elements * to.dtype.size() as f64;
        let c = &self.npu.core;
        match copy_pipe(from.space, to.space) {
            Some(Pipe::Mte2) => {
                self.moved += times * bytes;
                self.pipes.mte2 += times
                    * if to.space == Space::L1 {
                        // Rows become whole blocks of 32 bytes.
                        let row = extents.last().map_or(0, |e| e.1) as f64 * to.dtype.size() as f64;
                        bytes * ((row / 32.0).ceil() * 32.0 / row.max(1.0)) / c.gm_to_l1_streaming
                    } else {
                        bytes / c.gm_vector.0
                    };
            }
            Some(Pipe::Mte3) if to.space == Space::L1 => self.pipes.mte3 += times * bytes / c.ub_to_l1,
            Some(Pipe::Mte3) => {
                self.moved += times * bytes;
                self.pipes.mte3 += times * bytes / c.gm_vector.1;
            }
            Some(Pipe::Mte1) => {
                // One load a row of fractals of the left operand where it lies row by row, else a column of them.
                let left = to.space == Space::L0A;
                let shape: Vec<i64> = to.shape.iter().map(|d| d.known().unwrap_or(0)).collect();
                let [rows, columns] = shape[..] else { return };
                let deep = if left { columns } else { rows } / (32 / to.dtype.size() as i64);
                let outer = if left { rows } else { columns } / 16;
                let loads = if left && c.generation != Generation::V3510 { outer } else { deep };
                let bytes = (rows * columns) as f64 * to.dtype.size() as f64;
                let rate = if left { c.l1_to_l0a } else { c.l1_to_l0b };
                self.pipes.mte1 += times * (loads as f64 * c.load_start + bytes / rate);
            }
            Some(Pipe::V) => self.pipes.vector += times * bytes / (c.vector.simple_16 * 2.0),
            Some(Pipe::Fix) => {
                self.moved += times * bytes;
                self.pipes.fixpipe += times * bytes / c.l0c_to_gm;
            }
            _ => {}
        }
    }

    /// Extents that a guard of limits leaves.
    fn limit(&self, guard: ExprId, extents: &mut [(VarId, i64)]) {
        match &self.k.exprs[guard.index()] {
            // The upper limit of an axis stands behind the lower one, which takes away what is left of it.
            Expr::Binary(BinaryOp::And, a, b) => {
                self.limit(*b, extents);
                self.limit(*a, extents);
            }
            Expr::Binary(BinaryOp::Lt, a, b) => {
                let Expr::Var(v) = self.k.exprs[a.index()] else { return };
                let most = self.int(*b).max(0);
                extents.iter_mut().filter(|e| e.0 == v).for_each(|e| e.1 = e.1.min(most));
            }
            Expr::Binary(BinaryOp::Ge, a, b) => {
                let Expr::Var(v) = self.k.exprs[a.index()] else { return };
                let least = self.int(*b).max(0);
                extents.iter_mut().filter(|e| e.0 == v).for_each(|e| e.1 = (e.1 - least).max(0));
            }
            _ => {}
        }
    }

    fn product(&mut self, acc: BufId, depth: ExprId, a: &Element, times: f64) {
        let shape: Vec<i64> = self.k.buffer(acc).shape.iter().map(|d| d.known().unwrap_or(0)).collect();
        let (&[m, n], Some(mode)) = (&shape[..], self.npu.core.cube_mode(self.k.buffer(a.buffer).dtype)) else { return };
        let up = |x: i64, to: i64| x.div_euclid(to) + i64::from(x % to != 0);
        let k0 = i64::from(mode.k0);
        let fractals = (up(m, 16) * up(n, 16) * up(self.int(depth), k0)) as f64;
        let cycles = fractals * mode.k0 as f64 / mode.k_per_cycle as f64;
        self.products += times * cycles;
        self.pipes.cube += times * (self.npu.core.mmad_start + cycles);
    }
}
