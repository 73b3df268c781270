//! The cost model: a roofline over a Target's numbers. The same function weighs rewrites, chooses tiles and is printed by
//! `explain`. It ranks alternatives; it does not predict a stopwatch.
//!
//! A kernel takes the longer of its arithmetic (vector multiply-adds, divisions, polynomials for `exp` and friends) and its
//! memory traffic at the rate of the nearest memory that its data fits, plus the cost of starting it. Symbolic extents count
//! as the geometric middle of their range.

use beiming_ir::graph::Graph;
use beiming_ir::ops::{Arg, BinaryOp, Body, NormKind, Op, UnaryOp};
use beiming_ir::target::Target;
use beiming_ir::types::{DType, Dim, Symbols, TensorType};

use crate::npu::roof;

/// An open upper end of a range counts as the lower end times this, so a free batch size counts as 128.
const OPEN_RANGE: i64 = 128 * 128;
/// Share of the peak that contractions reach.
const CONTRACTION_EFFICIENCY: f64 = 0.8;
/// Vector cycles of a division or a square root, in units of an addition.
const DIVISION: f64 = 4.0;
/// Scalar cycles an element of data-dependent ops takes (sorting, scatter).
const SCALAR_CYCLES: f64 = 8.0;
/// How much slower a tensor is read across its rows than along them.
const STRIDED: f64 = 3.0;

/// What a kernel does, and how long that takes.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Cost {
    /// Arithmetic operations of contractions, multiply-add counted as two.
    pub flops: f64,
    /// Operands' type of the contractions: what an NPU's peak depends on.
    pub operand: Option<DType>,
    /// Element operations of everything else, in units of one addition.
    pub elements: f64,
    /// Elements that need a polynomial.
    pub transcendental: f64,
    /// Elements handled one by one.
    pub scalar: f64,
    /// Bytes read and written.
    pub bytes: f64,
    /// Time to move them.
    pub traffic: f64,
    /// Time of the arithmetic alone.
    pub arithmetic: f64,
    /// Time of the whole.
    pub seconds: f64,
    /// What the time is spent on.
    pub bound: Bound,
}

/// The roof a kernel is under.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Bound {
    /// Nothing runs: an alias, a constant.
    #[default]
    Free,
    /// Arithmetic.
    Compute,
    /// Memory traffic.
    Memory,
    /// Starting the kernel.
    Launch,
}

/// The model for one target and one set of symbols.
#[derive(Clone, Copy, Debug)]
pub struct CostModel<'a> {
    /// The machine.
    pub target: &'a Target,
    /// Ranges of the symbols.
    pub symbols: &'a Symbols,
}

impl CostModel<'_> {
    /// A typical value of an extent.
    pub fn extent(&self, d: &Dim) -> f64 {
        let typical = |name: &str| {
            let r = self.symbols.range(name);
            let lo = r.lo.max(1);
            let hi = r.hi.min(lo.saturating_mul(OPEN_RANGE)).max(lo);
            Some(((lo as f64) * (hi as f64)).sqrt() as i64)
        };
        d.eval(&typical).unwrap_or(1).max(0) as f64
    }

    /// A typical number of elements.
    pub fn numel(&self, t: &TensorType) -> f64 {
        t.shape.iter().map(|d| self.extent(d)).product()
    }

    /// A typical number of bytes.
    pub fn bytes(&self, t: &TensorType) -> f64 {
        self.numel(t) * t.dtype.size() as f64
    }

    /// Seconds it takes to move `bytes` bytes that are part of a working set of `footprint` bytes.
    pub fn traffic(&self, bytes: f64, footprint: f64) -> f64 {
        if let Some(npu) = self.target.npu() {
            return roof::traffic(&npu, bytes, footprint);
        }
        let cores = f64::from(self.target.cores.max(1));
        let fits = self.target.memories.iter().find(|m| m.bytes as f64 * cores >= footprint);
        let rate = fits.or(self.target.memories.last()).map_or(8.0, |m| m.bytes_per_cycle);
        bytes / (rate * cores * self.target.clock_ghz * 1e9)
    }

    /// Cost of one kernel: a bare op or a fused group. `graph` gives the regions of control flow.
    pub fn op(&self, op: &Op, inputs: &[&TensorType], outputs: &[TensorType], graph: &Graph) -> Cost {
        let mut c = Cost::default();
        match op {
            // Constants are part of the artifact, reshapes are aliases.
            Op::Constant(_) | Op::Reshape { .. } => return c,
            Op::Fused(body) | Op::Tiled { body, .. } => self.body(&mut c, body, inputs, graph),
            Op::If(p) => {
                let branch = |r| self.graph(graph.region(r)).seconds;
                c.seconds = branch(p.then_region).max(branch(p.else_region));
                return c;
            }
            Op::Loop(p) => {
                c.seconds = self.extent(&p.trips) * self.graph(graph.region(p.body)).seconds;
                return c;
            }
            op => {
                self.arithmetic(&mut c, op, inputs, outputs);
                self.read(&mut c, op, inputs, outputs);
            }
        }
        outputs.iter().for_each(|t| self.moves(&mut c, self.bytes(t)));
        self.finish(c, outputs.first())
    }

    /// Cost of a whole graph, kernels one after the other.
    pub fn graph(&self, g: &Graph) -> Cost {
        let mut total = Cost::default();
        for node in g.nodes() {
            let inputs: Vec<&TensorType> = node.inputs.iter().map(|v| g.ty(*v)).collect();
            let outputs: Vec<TensorType> = node.outputs.iter().map(|v| g.ty(*v).clone()).collect();
            let c = self.op(&node.op, &inputs, &outputs, g);
            total.flops += c.flops;
            total.elements += c.elements;
            total.transcendental += c.transcendental;
            total.scalar += c.scalar;
            total.bytes += c.bytes;
            total.traffic += c.traffic;
            total.arithmetic += c.arithmetic;
            total.seconds += c.seconds;
        }
        total
    }

    /// Seconds one element of an elementwise op takes a single core, without its memory traffic.
    pub fn element_seconds(&self, op: &Op, ty: &TensorType) -> f64 {
        let mut c = Cost::default();
        let one = TensorType::scalar(ty.dtype);
        self.arithmetic(&mut c, op, &[&one], std::slice::from_ref(&one));
        self.compute(&c, Some(&one)) * self.cores()
    }

    /// Cores that share an elementwise kernel.
    pub fn cores(&self) -> f64 {
        f64::from(self.target.npu().map_or(self.target.cores, |n| n.vector_cores).max(1))
    }

    /// Seconds it takes to start a kernel.
    pub fn launch(&self) -> f64 {
        self.target.npu().map_or(self.target.launch_ns * 1e-9, |n| n.core.launch_us * 1e-6)
    }

    fn finish(&self, mut c: Cost, out: Option<&TensorType>) -> Cost {
        let compute = self.compute(&c, out);
        c.arithmetic = compute;
        let memory = c.traffic;
        let launch = self.launch();
        c.seconds = compute.max(memory) + launch;
        c.bound = if launch >= compute.max(memory) {
            Bound::Launch
        } else if compute >= memory {
            Bound::Compute
        } else {
            Bound::Memory
        };
        c
    }

    fn compute(&self, c: &Cost, out: Option<&TensorType>) -> f64 {
        let t = self.target;
        let size = out.map_or(4, |o| o.dtype.size());
        if let Some(npu) = t.npu() {
            // What goes element by element runs on the host's CPU.
            let scalar = c.scalar * SCALAR_CYCLES / (t.clock_ghz * 1e9) / f64::from(t.cores.max(1));
            let result = out.map_or(DType::F32, |o| o.dtype);
            return scalar
                + roof::products(&npu, c.operand.unwrap_or(result), c.flops)
                + roof::vector(&npu, result, c.elements, c.transcendental);
        }
        let cores = f64::from(t.cores.max(1));
        let cycle = 1.0 / (t.clock_ghz * 1e9);
        let lanes = t.lanes(size) as f64;
        let contraction = c.flops / (t.peak_flops() * 4.0 / size.max(4) as f64 * CONTRACTION_EFFICIENCY);
        let vector = (c.elements / t.fma_per_cycle + c.transcendental * t.transcendental_cycles) / lanes * cycle;
        (contraction + vector + c.scalar * SCALAR_CYCLES * cycle) / cores
    }

    /// Adds the traffic of one tensor. Each is where its own size says: what the kernel before left in a cache is still there.
    fn moves(&self, c: &mut Cost, bytes: f64) {
        c.bytes += bytes;
        c.traffic += self.traffic(bytes, bytes);
    }

    /// Adds the traffic of a bare op's arguments.
    fn read(&self, c: &mut Cost, op: &Op, inputs: &[&TensorType], outputs: &[TensorType]) {
        let strided = matches!(op, Op::Transpose { perm } if perm.last() != perm.iter().max());
        for (i, t) in inputs.iter().enumerate() {
            let whole = self.bytes(t);
            let part = match outputs.first() {
                Some(out) if i == 0 && picks(op) => whole.min(self.bytes(out)),
                _ => whole,
            };
            self.moves(c, if strided { part * STRIDED } else { part });
        }
    }

    fn body(&self, c: &mut Cost, body: &Body, inputs: &[&TensorType], graph: &Graph) {
        let mut types: Vec<TensorType> = Vec::with_capacity(body.nodes.len());
        let mut read = vec![0f64; inputs.len()];
        for node in &body.nodes {
            let arg = |a: &Arg| match a {
                Arg::Input(i) => inputs.get(*i as usize).copied(),
                Arg::Node(n) => types.get(*n as usize),
            };
            let args: Vec<&TensorType> = node.args.iter().filter_map(arg).collect();
            let Some(ty) = beiming_ir::ops::infer(&node.op, &args, graph).ok().and_then(|t| t.into_iter().next()) else { return };
            self.arithmetic(c, &node.op, &args, std::slice::from_ref(&ty));
            for (k, a) in node.args.iter().enumerate() {
                if let Arg::Input(i) = a
                    && let Some(t) = inputs.get(*i as usize)
                {
                    let whole = self.bytes(t);
                    let strided = matches!(&node.op, Op::Transpose { perm } if perm.last() != perm.iter().max());
                    let part = if k == 0 && picks(&node.op) { whole.min(self.bytes(&ty)) } else { whole };
                    let r = &mut read[*i as usize];
                    *r = r.max(if strided { part * STRIDED } else { part });
                }
            }
            types.push(ty);
        }
        read.into_iter().for_each(|bytes| self.moves(c, bytes));
    }

    /// Adds the arithmetic of one op.
    fn arithmetic(&self, c: &mut Cost, op: &Op, inputs: &[&TensorType], outputs: &[TensorType]) {
        let Some(out) = outputs.first() else { return };
        let n = self.numel(out);
        let first = inputs.first().map_or(0.0, |t| self.numel(t));
        match op {
            Op::Unary(u) => {
                if is_transcendental(*u) {
                    c.transcendental += n;
                } else if matches!(u, UnaryOp::Sqrt | UnaryOp::Rsqrt | UnaryOp::Recip) {
                    c.elements += n * DIVISION;
                } else {
                    c.elements += n;
                }
            }
            Op::Binary(BinaryOp::Pow | BinaryOp::Atan2) => c.transcendental += 2.0 * n,
            Op::Binary(BinaryOp::Div | BinaryOp::Mod | BinaryOp::Rem) => c.elements += n * DIVISION,
            Op::Binary(_) | Op::Select | Op::Cast { .. } | Op::Bitcast { .. } => c.elements += n,
            Op::MatMul { .. } => {
                let k = inputs.first().and_then(|t| t.shape.last()).map_or(1.0, |d| self.extent(d));
                c.flops += 2.0 * n * k;
                c.operand = inputs.first().map(|t| t.dtype);
            }
            Op::Conv(_) => {
                let taps = inputs.get(1).map_or(1.0, |w| self.numel(w) / w.shape.last().map_or(1.0, |o| self.extent(o)).max(1.0));
                c.flops += 2.0 * n * taps;
                c.operand = inputs.first().map(|t| t.dtype);
            }
            Op::ConvTranspose(_) => {
                let taps = inputs.get(1).map_or(1.0, |w| {
                    let channels = w.shape.iter().rev().nth(1).map_or(1.0, |d| self.extent(d));
                    self.numel(w) / channels.max(1.0)
                });
                c.flops += 2.0 * first * taps;
            }
            Op::Pool(p) => c.elements += n * p.window.iter().product::<usize>() as f64,
            Op::Reduce { .. } | Op::ArgReduce { .. } | Op::Cumulative(_) => c.elements += first,
            Op::Softmax { log, .. } => {
                c.transcendental += n;
                c.elements += if *log { 4.0 } else { 3.0 } * n;
            }
            Op::Norm { kind, .. } => c.elements += if *kind == NormKind::Layer { 5.0 } else { 3.0 } * n,
            Op::Resize(_) => c.elements += 8.0 * n,
            Op::Lstm(_) | Op::Gru(_) => {
                // Steps and batch of x times both weight matrices.
                let rows = inputs.first().map_or(1.0, |x| x.shape.iter().take(2).map(|d| self.extent(d)).product());
                let weights: f64 = inputs.iter().skip(1).take(2).map(|w| self.numel(w)).sum();
                c.flops += 2.0 * rows * weights;
                c.transcendental += 5.0 * n;
            }
            Op::TopK(_) | Op::Nms(_) | Op::NonZero { .. } | Op::ReadDims(_) | Op::Scatter(_) => c.scalar += first,
            Op::ReduceWith { .. } => c.scalar += first,
            Op::ScatterWindow(_) => c.scalar += inputs.last().map_or(0.0, |u| self.numel(u)),
            Op::WindowReduce(p) => c.scalar += n * p.window.iter().product::<usize>() as f64,
            Op::SelectAndScatter(p) => {
                let windows = inputs.get(1).map_or(0.0, |s| self.numel(s));
                c.scalar += windows * p.window.iter().product::<usize>() as f64;
            }
            Op::SortBy { axis, .. } => {
                let length = outputs.first().and_then(|t| t.shape.get(*axis)).map_or(1.0, |d| self.extent(d));
                c.scalar += n * length.max(2.0).log2().ceil() * 4.0;
            }
            Op::Gather { .. } | Op::GatherElements { .. } | Op::GatherNd { .. } | Op::GatherWindow(_) => c.elements += n,
            _ => {}
        }
    }
}

/// Ops that read only some elements of their first argument.
fn picks(op: &Op) -> bool {
    matches!(
        op,
        Op::Slice(_)
            | Op::DynamicSlice { .. }
            | Op::Gather { .. }
            | Op::GatherElements { .. }
            | Op::GatherNd { .. }
            | Op::GatherWindow(_)
    )
}

/// Functions that take a polynomial.
pub fn is_transcendental(u: UnaryOp) -> bool {
    use UnaryOp::*;
    matches!(
        u,
        Exp | Expm1
            | Log
            | Log1p
            | Sin
            | Cos
            | Tan
            | Asin
            | Acos
            | Atan
            | Sinh
            | Cosh
            | Tanh
            | Asinh
            | Acosh
            | Cbrt
            | Erfc
            | Atanh
            | Erf
            | Sigmoid
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use beiming_ir::types::DType;

    #[test]
    fn rooflines_have_the_right_shape() {
        let (t, s, g) = (Target::x86_64_v4(), Symbols::default(), Graph::default());
        let m = CostModel { target: &t, symbols: &s };
        let square = |n| TensorType::known(DType::F32, &[n, n]);
        let matmul = |n| m.op(&Op::MatMul { out: DType::F32 }, &[&square(n), &square(n)], &[square(n)], &g);
        assert_eq!(matmul(1024).bound, Bound::Compute);
        assert_eq!(matmul(8).bound, Bound::Launch);
        let ratio = matmul(2048).seconds / matmul(1024).seconds;
        assert!((7.0..9.0).contains(&ratio), "{ratio}");
        let add = m.op(&Op::Binary(BinaryOp::Add), &[&square(2048), &square(2048)], &[square(2048)], &g);
        assert_eq!(add.bound, Bound::Memory);
        assert_eq!(m.op(&Op::Reshape { shape: vec![] }, &[&square(8)], &[square(8)], &g).seconds, 0.0);
    }

    #[test]
    fn symbols_count_as_the_middle_of_their_range() {
        let t = Target::x86_64_v3();
        let mut s = Symbols::default();
        s.declare("N", 1, 64);
        let m = CostModel { target: &t, symbols: &s };
        assert_eq!(m.extent(&(Dim::sym("N") * Dim::from(2))), 16.0);
        assert_eq!(m.extent(&Dim::sym("free")), 128.0);
    }
}
