//! Kernels: what one fused group becomes. A parallel grid over a tree of `For / Copy / Mma / Vector / Wait` on buffers in named
//! memory spaces. Tile, loop order, unrolling and buffer placement are data here, chosen by `passes`; a backend spells them.
//!
//! **Meaning.** Every statement means what its scalar loops mean, in order (`eval::kernel` runs exactly that). `Loop::Vector`
//! and reductions under it permit reassociation; nothing else does. The grid's points are independent: they may run in any
//! order and at the same time, so no two points write one element, and none reads what another writes.
//!
//! **Calling convention (CPU).**
//! `void name(void *const *params, const int64_t *dims, int64_t begin, int64_t end, uint8_t *scratch)`:
//! `params` in the order of [`Kernel::params`], `dims` in the order of [`Kernel::symbols`], grid points `begin..end` of the
//! row-major linear grid, `scratch` the calling thread's own memory of [`Kernel::scratch`] bytes, 64-byte aligned.

pub mod npu;

use std::sync::Arc;

use crate::graph::id;
use crate::ops::{BinaryOp, ReduceOp, UnaryOp};
use crate::plan::Side;
use crate::tensor::Num;
use crate::types::{DType, Dim};

id!(/// A buffer of a kernel: parameters first, then locals.
    BufId);
id!(/// An expression of a kernel.
    ExprId);
id!(/// A loop variable of a kernel; the first `grid.len()` are the grid's coordinates.
    VarId);

/// Memory a buffer lies in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
pub enum Space {
    /// Main memory (global memory on an NPU).
    Memory,
    /// Per-thread scratch in cache (CPU).
    Panel,
    /// Registers (CPU): a small buffer of known shape, indexed by constants once `Unroll` and `Vector` loops are spelled.
    Register,
    /// Ascend L1 buffer.
    L1,
    /// Ascend left operand of the cube unit.
    L0A,
    /// Ascend right operand of the cube unit.
    L0B,
    /// Ascend accumulator of the cube unit.
    L0C,
    /// Ascend unified buffer of the vector unit.
    Ub,
}

/// How a kernel uses a parameter.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[allow(missing_docs)]
pub enum Access {
    Read,
    Write,
    ReadWrite,
}

/// A buffer: dense, row-major.
#[derive(Clone, PartialEq, Debug)]
pub struct Buffer {
    /// Name in the text form: an identifier.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Extents; over the kernel's symbols for parameters, known for locals.
    pub shape: Vec<Dim>,
    /// Memory.
    pub space: Space,
    /// Use; `ReadWrite` for locals.
    pub access: Access,
}

/// A typed scalar constant. Two are equal when their bits are: `-0.0` is not `0.0`, and a NaN equals itself.
#[derive(Clone, Copy, Debug)]
pub struct Scalar {
    /// Element type.
    pub dtype: DType,
    /// Value, representable in `dtype`.
    pub value: Num,
}

impl Scalar {
    fn bits(&self) -> (DType, u8, u128) {
        match self.value {
            Num::Float(x) => (self.dtype, 0, x.to_bits().into()),
            Num::Int(i) => (self.dtype, 1, i as u128),
            Num::Complex(r, i) => (self.dtype, 2, u128::from(r.to_bits()) << 64 | u128::from(i.to_bits())),
        }
    }
}

impl PartialEq for Scalar {
    fn eq(&self, o: &Scalar) -> bool {
        self.bits() == o.bits()
    }
}

impl Eq for Scalar {}

impl std::hash::Hash for Scalar {
    fn hash<H: std::hash::Hasher>(&self, h: &mut H) {
        self.bits().hash(h);
    }
}

/// An element of a buffer: one index (`i64`) an axis, and a condition under which it is read.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Element {
    /// Buffer.
    pub buffer: BufId,
    /// Indices, within the extents wherever the guard holds.
    pub index: Vec<ExprId>,
    /// `bool`; where false the buffer is not touched. `None`: always true.
    pub guard: Option<ExprId>,
}

/// A scalar expression. Expressions form a DAG: `Kernel::exprs` in order, arguments backwards.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Expr {
    /// A constant.
    Const(Scalar),
    /// A loop variable, `i64`.
    Var(VarId),
    /// The value of an expression over the kernel's symbols, `i64`.
    Dim(Dim),
    /// An element, or `other` where the element's guard is false.
    Load(Element, Option<ExprId>),
    /// As the graph op of the same name. Arithmetic of types narrower than `f32` is done in `f32` and rounded.
    Unary(UnaryOp, ExprId),
    /// As the graph op of the same name. Integer indices never overflow.
    Binary(BinaryOp, ExprId, ExprId),
    /// `condition ? a : b`; both are computed.
    Select(ExprId, ExprId, ExprId),
    /// As the graph op `Cast`.
    Cast(DType, ExprId),
    /// Same bits, another type of equal size.
    Bitcast(DType, ExprId),
}

/// How a loop is spelled.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
pub enum Loop {
    /// One iteration after another.
    Serial,
    /// Iterations written out; the extent is a known small number.
    Unroll,
    /// Iterations side by side on vector lanes, tail masked. Holds `Vector` statements only (and `If`s that do not depend
    /// on its variable). No iteration reads what another writes, but for reductions into one element.
    Vector,
    /// Iterations at the same time, each on a vector core of its own beside the cube core that runs the statements around
    /// (kernels of [`Unit::Mix`]). Each iteration has the locals in `Ub` to itself, and finds in the next such loop what it has
    /// left there; what another iteration or the cube core is to see goes through `Memory`.
    Cores,
}

/// A unit of an NPU core with a queue of instructions of its own: instructions of one run in order, of two in any order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
pub enum Pipe {
    /// Scalar unit.
    S,
    /// Vector unit.
    V,
    /// Matrix unit.
    M,
    /// L1 to the operand buffers.
    Mte1,
    /// Global memory to L1 or to the unified buffer.
    Mte2,
    /// Unified buffer to global memory.
    Mte3,
    /// Accumulators to global memory.
    Fix,
}

/// One end of an order between two pipes: what `from` has done before it signals is done when `to` goes on after its wait.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
pub struct Handover {
    /// The pipe that signals.
    pub from: Pipe,
    /// The pipe that waits.
    pub to: Pipe,
    /// Here the one signals; otherwise here the other waits.
    pub signal: bool,
    /// Between the cube core and its vector cores: the number of the flag. A flag that hands a local back is signalled once for
    /// every copy of it before the first grid point, and awaited as often after the last. `None`: within a core.
    pub flag: Option<u8>,
}

/// Cores of an NPU that run a kernel.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
pub enum Unit {
    /// Vector cores.
    Vector,
    /// Cube cores.
    Cube,
    /// Cube cores, each with the vector cores of its group, which run the bodies of `Loop::Cores`.
    Mix,
}

/// What an NPU kernel has besides its statements.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct OnNpu {
    /// The cores it runs on; grid points are dealt out among them.
    pub unit: Unit,
    /// Copies of each local that are in flight at once, by position; 1 for what stays in one unit.
    pub copies: Vec<u8>,
    /// Position of the parameter that gives locals in `Memory` their place: `npu::workspace_bytes` for every core that runs
    /// the kernel. No statement names it.
    pub workspace: Option<u32>,
}

/// A statement.
#[derive(Clone, PartialEq, Debug)]
pub enum Stmt {
    /// `for var in 0..extent { body }`.
    For {
        /// The variable; bound nowhere else.
        var: VarId,
        /// Iterations, `i64`; zero or less means none.
        extent: ExprId,
        /// Spelling.
        kind: Loop,
        /// Statements.
        body: Vec<Stmt>,
    },
    /// `if cond { then }`.
    If {
        /// `bool`.
        cond: ExprId,
        /// Statements.
        then: Vec<Stmt>,
    },
    /// `dst[index] = value`, or `dst[index] = reduce(dst[index], value)`. Skipped where `dst.guard` is false.
    Vector {
        /// Where to.
        dst: Element,
        /// What; of the buffer's dtype.
        value: ExprId,
        /// `Sum`, `Prod`, `Max` or `Min`; `None` overwrites.
        reduce: Option<ReduceOp>,
    },
    /// A block moved without arithmetic: for all `vars`, `dst[..] = src[..]`, or `fill` where `src.guard` is false.
    /// Loops that move nothing else (packing into a panel, DMA between memories).
    Copy {
        /// Variables and their extents, outermost first.
        vars: Vec<(VarId, ExprId)>,
        /// Where to.
        dst: Element,
        /// Where from.
        src: Element,
        /// Value where the source's guard is false.
        fill: Option<ExprId>,
    },
    /// Matrix multiply-accumulate on a tile:
    /// `for k in 0..depth, i in 0..rows, j in 0..cols: acc[i, j] += a(i, k) * b(k, j)`, products and sums in the dtype of `acc`.
    Mma {
        /// Accumulator, `[rows, cols]`, known extents, in `Register` (or `L0C`).
        acc: BufId,
        /// Row variable; its extent is the accumulator's first.
        i: VarId,
        /// Column variable.
        j: VarId,
        /// Depth variable.
        k: VarId,
        /// Depth.
        depth: ExprId,
        /// Left element, over `i` and `k` (not `j`). Its guard does not depend on `k`; where false the element is zero.
        a: Element,
        /// Right element, over `k` and `j` (not `i`). Where its guard is false the element is zero.
        b: Element,
    },
    /// Waits until the named memories' outstanding copies are done. No effect on a CPU.
    Wait {
        /// Buffers waited for.
        buffers: Vec<BufId>,
        /// On an NPU one end of a handover of these buffers between pipes; `None`: all pipes meet.
        handover: Option<Handover>,
        /// Why, for the reader.
        reason: String,
    },
}

/// A kernel.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Kernel {
    /// Name by the written grammar (see `passes::lower::name`): an identifier.
    pub name: String,
    /// What it computes, for the header comment: the fused ops in order.
    pub ops: Vec<String>,
    /// Buffers the caller passes.
    pub params: Vec<Buffer>,
    /// Buffers of its own.
    pub locals: Vec<Buffer>,
    /// Symbols the caller passes.
    pub symbols: Vec<Arc<str>>,
    /// Parallel iteration space, outermost first.
    pub grid: Vec<Dim>,
    /// Number of loop variables, those of the grid included.
    pub vars: u32,
    /// Expressions.
    pub exprs: Vec<Expr>,
    /// Statements of one grid point.
    pub body: Vec<Stmt>,
    /// Of a kernel for an NPU; `None`: for a CPU.
    pub npu: Option<OnNpu>,
}

impl Kernel {
    /// A buffer.
    pub fn buffer(&self, b: BufId) -> &Buffer {
        let i = b.index();
        if i < self.params.len() { &self.params[i] } else { &self.locals[i - self.params.len()] }
    }

    /// Adds an expression, reusing an equal one.
    pub fn expr(&mut self, e: Expr) -> ExprId {
        // Kernels are small (tens to a few hundred expressions), and most repeats are recent.
        if let Some(i) = self.exprs.iter().rposition(|x| *x == e) {
            return ExprId(i as u32);
        }
        self.exprs.push(e);
        ExprId(self.exprs.len() as u32 - 1)
    }

    /// A fresh loop variable.
    pub fn var(&mut self) -> VarId {
        self.vars += 1;
        VarId(self.vars - 1)
    }

    /// Element type of an expression. Arguments are typed by construction; `verify` checks them.
    pub fn dtype(&self, e: ExprId) -> DType {
        match &self.exprs[e.index()] {
            Expr::Const(s) => s.dtype,
            Expr::Var(_) | Expr::Dim(_) => DType::I64,
            Expr::Load(el, _) => self.buffer(el.buffer).dtype,
            Expr::Unary(UnaryOp::IsNan | UnaryOp::IsInf, _) => DType::Bool,
            Expr::Unary(_, a) => self.dtype(*a),
            Expr::Binary(op, ..) if op.is_compare() => DType::Bool,
            Expr::Binary(_, a, _) => self.dtype(*a),
            Expr::Select(_, a, _) => self.dtype(*a),
            Expr::Cast(d, _) | Expr::Bitcast(d, _) => *d,
        }
    }

    /// Where it runs.
    pub fn side(&self) -> Side {
        if self.npu.is_some() { Side::Device } else { Side::Host }
    }

    /// Bytes of scratch a thread needs: the `Panel` locals, each on 64 bytes, in order.
    pub fn scratch(&self) -> u64 {
        self.locals.iter().filter(|b| b.space == Space::Panel).map(|b| local_bytes(b).next_multiple_of(64)).sum()
    }
}

/// Bytes of a local buffer. Its extents are known (`verify`).
pub fn local_bytes(b: &Buffer) -> u64 {
    b.shape.iter().fold(b.dtype.size() as u64, |a, d| a.saturating_mul(d.known().unwrap_or(0).max(0) as u64))
}
