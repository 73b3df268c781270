//! A kernel prepared for evaluation: every statement knows which expressions it needs, in order, so that evaluation walks
//! flat lists, computes a shared expression once, and needs no recursion over expressions.

use crate::kernel::{Element, Expr, ExprId, Kernel, Loop, Stmt};
use crate::ops::ReduceOp;
use crate::types::DType;
use crate::walk::for_args;

/// Expressions to compute, arguments first.
pub(super) type Steps = Vec<u32>;

/// An element access.
pub(super) struct Access {
    pub buffer: usize,
    pub index: Vec<ExprId>,
    /// The guard and what it needs.
    pub guard: Option<(Steps, ExprId)>,
    /// What the indices need.
    pub steps: Steps,
}

/// A statement.
pub(super) enum Code {
    For { var: u32, extent: (Steps, ExprId), kind: Loop, body: Vec<Code> },
    If { cond: (Steps, ExprId), then: Vec<Code> },
    Assign { dst: Access, value: (Steps, ExprId), reduce: Option<ReduceOp> },
    Copy { vars: Vec<(u32, Steps, ExprId)>, dst: Access, src: Access, fill: Option<(Steps, ExprId)> },
    Mma(Box<Mma>),
}

/// A matrix multiply-accumulate.
pub(super) struct Mma {
    pub acc: usize,
    pub dtype: DType,
    pub i: u32,
    pub j: u32,
    pub k: u32,
    pub depth: (Steps, ExprId),
    pub a: Access,
    pub b: Access,
}

/// Prepares the body of a well-formed kernel.
pub(super) fn compile(k: &Kernel) -> Vec<Code> {
    let mut c = Compiler { k, mark: vec![0; k.exprs.len()], round: 0 };
    c.block(&k.body)
}

struct Compiler<'a> {
    k: &'a Kernel,
    /// Round in which an expression was last collected.
    mark: Vec<u32>,
    round: u32,
}

impl Compiler<'_> {
    fn block(&mut self, body: &[Stmt]) -> Vec<Code> {
        body.iter().filter_map(|s| self.stmt(s)).collect()
    }

    fn stmt(&mut self, s: &Stmt) -> Option<Code> {
        Some(match s {
            Stmt::For { var, extent, kind, body } => {
                Code::For { var: var.0, extent: self.one(*extent), kind: *kind, body: self.block(body) }
            }
            Stmt::If { cond, then } => Code::If { cond: self.one(*cond), then: self.block(then) },
            Stmt::Vector { dst, value, reduce } => {
                Code::Assign { dst: self.access(dst), value: self.one(*value), reduce: *reduce }
            }
            Stmt::Copy { vars, dst, src, fill } => Code::Copy {
                vars: vars.iter().map(|(v, e)| (v.0, self.steps(&[*e]), *e)).collect(),
                dst: self.access(dst),
                src: self.access(src),
                fill: fill.map(|f| self.one(f)),
            },
            Stmt::Mma { acc, i, j, k, depth, a, b } => Code::Mma(Box::new(Mma {
                acc: acc.index(),
                dtype: self.k.buffer(*acc).dtype,
                i: i.0,
                j: j.0,
                k: k.0,
                depth: self.one(*depth),
                a: self.access(a),
                b: self.access(b),
            })),
            Stmt::Wait { .. } => return None,
        })
    }

    fn one(&mut self, e: ExprId) -> (Steps, ExprId) {
        (self.steps(&[e]), e)
    }

    fn access(&mut self, el: &Element) -> Access {
        Access {
            buffer: el.buffer.index(),
            index: el.index.clone(),
            guard: el.guard.map(|g| self.one(g)),
            steps: self.steps(&el.index),
        }
    }

    /// Everything the roots depend on, but for constants, in order of definition (so arguments come first).
    fn steps(&mut self, roots: &[ExprId]) -> Steps {
        self.round += 1;
        let (mut out, mut stack) = (vec![], roots.to_vec());
        while let Some(e) = stack.pop() {
            if std::mem::replace(&mut self.mark[e.index()], self.round) == self.round {
                continue;
            }
            let expr = &self.k.exprs[e.index()];
            if !matches!(expr, Expr::Const(_) | Expr::Dim(_)) {
                out.push(e.0);
                for_args(expr, |a| stack.push(a));
            }
        }
        out.sort_unstable();
        out
    }
}
