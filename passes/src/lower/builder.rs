//! Building one kernel: expressions, buffers and statements. Index arithmetic is in `index`, reading through a fused body in
//! `inline`. Parameters are flat (one axis): a chain of views then ends in one linear address, and a kernel that reads a
//! buffer under three shapes still has one parameter.

use std::collections::HashMap;
use std::sync::Arc;

use beiming_ir::kernel::{Access, BufId, Buffer, Element, Expr, ExprId, Kernel, Loop, OnNpu, Scalar, Space, Stmt, Unit, VarId};
use beiming_ir::ops::{BinaryOp, ReduceOp, UnaryOp};
use beiming_ir::plan::{Panels, Weight};
use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::types::{DType, Dim, Symbols};

use super::index::{Affine, Atom};
use super::origins::Origins;

/// What a parameter of a kernel is bound to when it is called.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Operand {
    /// The n-th input of the body.
    Input(u32),
    /// The n-th result of the node.
    Output(u32),
    /// The n-th temporary of the body (`BodyCx::temp`).
    Temp(u32),
    /// The n-th entry of [`Call::weights`].
    Weight(u32),
}

/// A finished kernel and how it is called.
#[derive(Clone, Debug)]
pub struct Call {
    /// The kernel; its symbols are named by position so that equal kernels compare equal.
    pub kernel: Kernel,
    /// What each parameter is bound to.
    pub args: Vec<Operand>,
    /// Values of the kernel's symbols, over the model's.
    pub dims: Vec<Dim>,
    /// Number of grid points, over the model's symbols.
    pub grid: Dim,
    /// Arithmetic operations.
    pub flops: Dim,
    /// Constants of this call's own: tables, packed matrices.
    pub weights: Vec<Weight>,
    /// Arguments (by position) that the result may overwrite: `(read, written)`. Each element of the one is read only by the
    /// iteration that writes the same position of the other.
    pub in_place: Vec<(usize, usize)>,
    /// Which nodes of the body the parts of the kernel were made for.
    pub origins: Origins,
}

/// A kernel under construction.
pub struct KernelBuilder<'a> {
    pub(super) kernel: Kernel,
    pub(super) symbols: &'a Symbols,
    pub(super) affine: HashMap<ExprId, Affine>,
    pub(super) atoms: HashMap<ExprId, Atom>,
    dtypes: Vec<DType>,
    operands: Vec<Operand>,
    weights: Vec<Weight>,
    origins: Origins,
    /// The grid's coordinates.
    pub grid: Vec<ExprId>,
}

/// Locals are numbered from here until `finish`, since parameters appear as they are met.
const LOCALS: u32 = 1 << 20;

impl<'a> KernelBuilder<'a> {
    /// A kernel with a grid of these extents.
    pub fn new(symbols: &'a Symbols, grid: &[Dim]) -> KernelBuilder<'a> {
        let mut kb = KernelBuilder {
            kernel: Kernel { grid: grid.to_vec(), ..Kernel::default() },
            symbols,
            affine: HashMap::new(),
            atoms: HashMap::new(),
            dtypes: vec![],
            operands: vec![],
            weights: vec![],
            origins: Origins::default(),
            grid: vec![],
        };
        kb.grid = grid.iter().map(|d| kb.axis(d).1).collect();
        kb
    }

    /// A fresh loop variable over `0..extent` and the index it stands for (zero where the extent is one).
    pub fn axis(&mut self, extent: &Dim) -> (VarId, ExprId) {
        let var = self.kernel.var();
        if extent.is(1) {
            return (var, self.int(0));
        }
        let e = self.raw(Expr::Var(var));
        self.assume(e, Dim::Known(0), extent.clone() - Dim::Known(1));
        (var, e)
    }

    /// Interns an expression as it stands.
    pub fn raw(&mut self, e: Expr) -> ExprId {
        let dtype = match &e {
            Expr::Const(s) => s.dtype,
            Expr::Var(_) | Expr::Dim(_) => DType::I64,
            Expr::Load(el, _) => self.buffer(el.buffer).dtype,
            Expr::Unary(UnaryOp::IsNan | UnaryOp::IsInf, _) => DType::Bool,
            Expr::Unary(_, a) | Expr::Select(_, a, _) => self.dtype(*a),
            Expr::Binary(op, ..) if op.is_compare() => DType::Bool,
            Expr::Binary(_, a, _) => self.dtype(*a),
            Expr::Cast(d, _) | Expr::Bitcast(d, _) => *d,
        };
        let id = self.kernel.expr(e);
        if id.index() == self.dtypes.len() {
            self.dtypes.push(dtype);
        }
        self.origins.expr(id.index());
        id
    }

    /// What is added from here on is made for the body's node `n`; `None`: for the loops or the anchor. Returns what was before.
    pub fn come_from(&mut self, n: Option<u32>) -> Option<u32> {
        std::mem::replace(&mut self.origins.now, n)
    }

    /// The last of the body's nodes that an expression was made for: `Some(None)` for the anchor, `None` where nothing is known.
    pub fn node_of(&self, e: ExprId) -> Option<Option<u32>> {
        self.origins.last(e.index())
    }

    /// An expression.
    pub fn expr(&self, e: ExprId) -> &Expr {
        &self.kernel.exprs[e.index()]
    }

    /// Element type of an expression.
    pub fn dtype(&self, e: ExprId) -> DType {
        self.dtypes[e.index()]
    }

    /// A buffer.
    pub fn buffer(&self, b: BufId) -> &Buffer {
        if b.0 < LOCALS { &self.kernel.params[b.index()] } else { &self.kernel.locals[(b.0 - LOCALS) as usize] }
    }

    /// The parameter bound to `operand`, under `shape`; the same one when asked again. An access as `Write` after one as `Read`
    /// (or the reverse) makes it `ReadWrite`.
    pub fn param(&mut self, operand: Operand, dtype: DType, shape: &[Dim], access: Access) -> BufId {
        if let Some(i) = (0..self.operands.len()).find(|&i| self.operands[i] == operand && self.kernel.params[i].shape == shape) {
            let p = &mut self.kernel.params[i];
            if p.access != access {
                p.access = Access::ReadWrite;
            }
            self.origins.buffer(i as u32);
            return BufId(i as u32);
        }
        let (prefix, n) = match operand {
            Operand::Input(n) => ("in", n),
            Operand::Output(n) => ("out", n),
            Operand::Temp(n) => ("tmp", n),
            Operand::Weight(n) => ("weight", n),
        };
        self.operands.push(operand);
        let buffer = Buffer { name: format!("{prefix}{n}"), dtype, shape: shape.to_vec(), space: Space::Memory, access };
        self.kernel.params.push(buffer);
        self.origins.buffer(self.operands.len() as u32 - 1);
        BufId(self.operands.len() as u32 - 1)
    }

    /// The parameter whose `bytes` give locals in `Memory` their place (kernels for an NPU).
    pub fn workspace(&mut self, operand: Operand, bytes: u64) {
        let b = self.param(operand, DType::U8, &[Dim::Known(bytes as i64)], Access::Write);
        self.kernel.params[b.index()].name = "workspace".into();
        self.kernel.npu = Some(OnNpu { unit: Unit::Mix, copies: vec![], workspace: Some(b.0) });
    }

    /// What a parameter is bound to.
    pub fn operand(&self, param: u32) -> Option<Operand> {
        self.operands.get(param as usize).copied()
    }

    /// A parameter bound to a constant of this kernel's own (a table), as it is or rearranged for `Mma`. Equal ones are shared
    /// by the whole program when it is put together.
    pub fn weight(&mut self, source: Tensor, panels: Option<Panels>) -> BufId {
        let shape: Vec<Dim> = match &panels {
            Some(p) => p.shape().map(Dim::from).to_vec(),
            None => source.shape.iter().map(|&d| Dim::from(d)).collect(),
        };
        let dtype = source.dtype;
        self.weights.push(Weight { source, panels });
        self.param(Operand::Weight(self.weights.len() as u32 - 1), dtype, &shape, Access::Read)
    }

    /// A buffer of the kernel's own, of known extents.
    pub fn local(&mut self, name: &str, dtype: DType, shape: &[usize], space: Space) -> BufId {
        let id = LOCALS + self.kernel.locals.len() as u32;
        let name = if self.kernel.locals.iter().any(|l| l.name == name) {
            format!("{name}{}", self.kernel.locals.len())
        } else {
            name.to_string()
        };
        let shape = shape.iter().map(|&d| Dim::from(d)).collect();
        self.kernel.locals.push(Buffer { name, dtype, shape, space, access: Access::ReadWrite });
        self.origins.buffer(id);
        BufId(id)
    }

    /// A buffer of the kernel's own by the name it was given.
    pub fn find_local(&self, name: &str) -> Option<BufId> {
        self.kernel.locals.iter().position(|l| l.name == name).map(|i| BufId(LOCALS + i as u32))
    }

    /// A constant; `value` is representable in `dtype`.
    pub fn constant(&mut self, dtype: DType, value: Num) -> ExprId {
        self.raw(Expr::Const(Scalar { dtype, value }))
    }

    /// A number rounded to `dtype`.
    pub fn number(&mut self, dtype: DType, value: f64) -> ExprId {
        let value = if dtype.is_float() || dtype.is_complex() { Num::Float(value) } else { Num::Int(value as i128) };
        self.constant(dtype, beiming_ir::num::round_to(dtype, value))
    }

    /// `buffer[index]`.
    pub fn load(&mut self, buffer: BufId, index: &[ExprId]) -> ExprId {
        self.raw(Expr::Load(Element { buffer, index: index.to_vec(), guard: None }, None))
    }

    /// `guard ? buffer[index] : other`.
    pub fn load_if(&mut self, buffer: BufId, index: &[ExprId], guard: Option<ExprId>, other: ExprId) -> ExprId {
        let other = guard.map(|_| other);
        self.raw(Expr::Load(Element { buffer, index: index.to_vec(), guard }, other))
    }

    /// A function of one argument.
    pub fn unary(&mut self, op: UnaryOp, a: ExprId) -> ExprId {
        self.raw(Expr::Unary(op, a))
    }

    /// A function of two arguments of one type.
    pub fn binary(&mut self, op: BinaryOp, a: ExprId, b: ExprId) -> ExprId {
        self.raw(Expr::Binary(op, a, b))
    }

    /// `c ? a : b`.
    pub fn select(&mut self, c: ExprId, a: ExprId, b: ExprId) -> ExprId {
        if a == b { a } else { self.raw(Expr::Select(c, a, b)) }
    }

    /// Conversion; nothing where the type is the same.
    pub fn cast(&mut self, to: DType, a: ExprId) -> ExprId {
        if self.dtype(a) == to { a } else { self.raw(Expr::Cast(to, a)) }
    }

    /// `a && b`.
    pub fn both(&mut self, a: ExprId, b: ExprId) -> ExprId {
        if a == b { a } else { self.binary(BinaryOp::And, a, b) }
    }

    /// `a && b` of optional conditions; `None` is true.
    pub fn and(&mut self, a: Option<ExprId>, b: Option<ExprId>) -> Option<ExprId> {
        match (a, b) {
            (Some(a), Some(b)) => Some(self.both(a, b)),
            (a, b) => a.or(b),
        }
    }

    /// The value a reduction of `op` starts from, in `dtype`.
    pub fn identity(&mut self, op: ReduceOp, dtype: DType) -> ExprId {
        self.constant(dtype, beiming_ir::num::round_to(dtype, op.identity(dtype)))
    }

    /// Closes the kernel. `name` follows the grammar of `lower::name`; `ops` goes to the header comment.
    pub fn finish(mut self, name: String, ops: Vec<String>, body: Vec<Stmt>, flops: Dim) -> Call {
        let grid = self.kernel.grid.iter().fold(Dim::Known(1), |a, b| a * b.clone());
        self.kernel.name = name;
        self.kernel.ops = ops;
        self.kernel.body = body;
        let (kernel, used, dims, origins) = super::compact::compact(self.kernel, LOCALS, &self.origins);
        let args = used.into_iter().map(|i| self.operands[i]).collect();
        Call { kernel, args, dims, grid, flops, weights: self.weights, in_place: vec![], origins }
    }
}

/// `dst = value`.
pub fn store(buffer: BufId, index: &[ExprId], value: ExprId) -> Stmt {
    Stmt::Vector { dst: Element { buffer, index: index.to_vec(), guard: None }, value, reduce: None }
}

/// `dst = value` where `guard` holds.
pub fn store_if(buffer: BufId, index: &[ExprId], guard: Option<ExprId>, value: ExprId) -> Stmt {
    Stmt::Vector { dst: Element { buffer, index: index.to_vec(), guard }, value, reduce: None }
}

/// `dst = op(dst, value)`.
pub fn accumulate(op: ReduceOp, buffer: BufId, index: &[ExprId], value: ExprId) -> Stmt {
    Stmt::Vector { dst: Element { buffer, index: index.to_vec(), guard: None }, value, reduce: Some(op) }
}

/// A loop.
pub fn repeat(var: VarId, extent: ExprId, kind: Loop, body: Vec<Stmt>) -> Stmt {
    Stmt::For { var, extent, kind, body }
}

/// Name of a kernel's n-th symbol.
pub(super) fn symbol(n: usize) -> Arc<str> {
    format!("n{n}").into()
}
