//! Statements: loops, branches and stores.

use beiming_ir::kernel::{Element, Expr, ExprId, Loop, Stmt, VarId};
use beiming_ir::ops::{BinaryOp, ReduceOp};
use beiming_ir::types::DType;

use crate::EmitError;
use crate::facts::bit;
use crate::kernel::Gen;
use crate::ll::*;

/// Most iterations that are written out.
const UNROLL_LIMIT: i64 = 1024;

impl Gen<'_, '_> {
    /// Writes statements in order.
    pub fn body(&mut self, body: &[Stmt]) -> Result<(), EmitError> {
        let around = self.line();
        for s in body {
            self.statement.clear();
            self.at_statement(s);
            match s {
                Stmt::For { var, extent, kind, body } => self.repeat(*var, *extent, *kind, body)?,
                Stmt::If { cond, then } => {
                    let c = self.scalar(*cond)?;
                    self.branch(c, |g| g.body(then))?;
                }
                Stmt::Vector { dst, value, reduce } => self.assign(dst, *value, *reduce)?,
                Stmt::Mma { acc, i, j, k, depth, a, b } => {
                    self.mma(&crate::mma::Mma { acc: *acc, i: *i, j: *j, k: *k, depth: *depth, a, b })?;
                }
                Stmt::Copy { .. } => return self.unsupported("a copy that was not rewritten as loops"),
                Stmt::Wait { .. } => {}
            }
        }
        self.at_line(around);
        self.statement.clear();
        Ok(())
    }

    /// Runs `f` where `c` holds.
    pub fn branch(&mut self, c: V, f: impl FnOnce(&mut Self) -> Result<(), EmitError>) -> Result<(), EmitError> {
        let ll = self.ll;
        match ll.known(c) {
            Some(0) => return Ok(()),
            Some(_) => return f(self),
            None => {}
        }
        let (yes, no) = (ll.block(self.func), ll.block(self.func));
        ll.cond_br(c, yes, no);
        ll.at(yes);
        self.open(yes, true);
        self.enter();
        self.statement.clear();
        f(self)?;
        self.statement.clear();
        self.close();
        ll.br(no);
        ll.at(no);
        Ok(())
    }

    fn repeat(&mut self, var: VarId, extent: ExprId, kind: Loop, body: &[Stmt]) -> Result<(), EmitError> {
        let n = self.scalar(extent)?;
        let known = self.ll.known(n);
        match (kind, known) {
            (_, Some(n)) if n <= 0 => Ok(()),
            (Loop::Vector, _) => self.vector_loop(var, n, body),
            (Loop::Unroll, Some(n)) if n <= UNROLL_LIMIT => {
                for i in 0..n {
                    self.scope(false);
                    self.bind(var, self.ll.ci64(i));
                    self.body(body)?;
                    self.close();
                }
                Ok(())
            }
            _ => {
                let zero = self.ll.ci64(0);
                self.counted(
                    var,
                    zero,
                    n,
                    1,
                    &mut |g, i| {
                        g.bind(var, i);
                        Ok(())
                    },
                    &mut |g| g.body(body),
                )
            }
        }
    }

    /// `for i in (from..to).step_by(step)`, in a preheader scope that runs only if the loop does. `bind` gives variables
    /// their values in the entry of an iteration; `body` writes the rest.
    pub fn counted(
        &mut self,
        _var: VarId,
        from: V,
        to: V,
        step: i64,
        bind: &mut dyn FnMut(&mut Self, V) -> Result<(), EmitError>,
        body: &mut dyn FnMut(&mut Self) -> Result<(), EmitError>,
    ) -> Result<(), EmitError> {
        let ll = self.ll;
        let certain = matches!((ll.known(from), ll.known(to)), (Some(a), Some(b)) if a < b);
        if matches!((ll.known(from), ll.known(to)), (Some(a), Some(b)) if a >= b) {
            return Ok(());
        }
        let (pre, head, exit) = (ll.block(self.func), ll.block(self.func), ll.block(self.func));
        if certain {
            ll.br(pre);
        } else {
            ll.cond_br(ll.icmp(LLVMIntSLT, from, to), pre, exit);
        }
        ll.at(pre);
        self.open(pre, !certain);
        self.enter();
        let before = ll.here();
        ll.br(head);
        ll.at(head);
        let i = ll.phi(ll.i64());
        ll.incoming(i, from, before);
        self.open(head, false);
        bind(self, i)?;
        self.enter();
        body(self)?;
        self.close();
        self.statement.clear();
        let next = ll.nadd(i, ll.ci64(step));
        ll.incoming(i, next, ll.here());
        ll.cond_br(ll.icmp(LLVMIntSLT, next, to), head, exit);
        self.close();
        ll.at(exit);
        Ok(())
    }

    fn assign(&mut self, dst: &Element, value: ExprId, reduce: Option<ReduceOp>) -> Result<(), EmitError> {
        match dst.guard {
            Some(g) => {
                let c = self.scalar(g)?;
                self.branch(c, |s| s.assign_always(dst, value, reduce))
            }
            None => self.assign_always(dst, value, reduce),
        }
    }

    fn assign_always(&mut self, dst: &Element, value: ExprId, reduce: Option<ReduceOp>) -> Result<(), EmitError> {
        let v = match reduce {
            None => self.scalar(value)?,
            Some(op) => {
                let plain = Element { guard: None, ..dst.clone() };
                let old = self.load(&plain, None, None)?;
                self.accumulate(op, self.k.buffer(dst.buffer).dtype, old, value, None)?
            }
        };
        self.store_scalar(dst, v)
    }

    /// `reduce(old, value)`; a product that is summed becomes one multiply-add.
    pub fn accumulate(&mut self, op: ReduceOp, d: DType, old: V, value: ExprId, part: Option<usize>) -> Result<V, EmitError> {
        if op == ReduceOp::Sum
            && matches!(d, DType::F32 | DType::F64)
            && let Expr::Binary(BinaryOp::Mul, a, b) = &self.k.exprs[value.index()]
        {
            let (a, b) = (self.value(*a, part)?, self.value(*b, part)?);
            return Ok(self.ll.fma(a, b, old));
        }
        let v = self.value(value, part)?;
        self.reduce(op, d, old, v)
    }

    /// `reduce(a, b)` of two values.
    pub fn reduce(&mut self, op: ReduceOp, d: DType, a: V, b: V) -> Result<V, EmitError> {
        let op = match op {
            ReduceOp::Sum => BinaryOp::Add,
            ReduceOp::Prod => BinaryOp::Mul,
            ReduceOp::Max | ReduceOp::Any => BinaryOp::Max,
            ReduceOp::Min | ReduceOp::All => BinaryOp::Min,
            ReduceOp::Mean => return self.unsupported("a mean as a reducer"),
        };
        self.binary(op, d, a, b, false)
    }

    /// True where an expression does not change with a variable.
    pub fn uniform(&self, e: ExprId, v: VarId) -> bool {
        self.facts[e.index()].vars & bit(v) == 0
    }
}
