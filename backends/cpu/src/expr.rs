//! Expressions, as a scalar or as the lanes of a vector iteration: the same code writes both.

use beiming_ir::kernel::{Expr, ExprId};
use beiming_ir::ops::BinaryOp;
use beiming_ir::tensor::Num;
use beiming_ir::types::DType;

use crate::EmitError;
use crate::facts::{Vars, bit};
use crate::kernel::{Form, Gen};
use crate::ll::*;
use crate::origin;

impl Gen<'_, '_> {
    /// The scalar value of an expression.
    pub fn scalar(&mut self, e: ExprId) -> Result<V, EmitError> {
        self.placed_value(e, None)
    }

    /// The value of an expression in part `part` of the current vector iteration: all lanes.
    pub fn lanes_of(&mut self, e: ExprId, part: usize) -> Result<V, EmitError> {
        let Some(l) = &self.lanes else { return self.scalar(e) };
        let (var, n) = (bit(l.var), l.n);
        if self.facts[e.index()].vars & var != 0 {
            return self.placed_value(e, Some(part));
        }
        // The same in all lanes: computed once, where it belongs, and spread there.
        let f = self.facts[e.index()];
        let v = self.scalar(e)?;
        if f.mutable {
            return Ok(self.ll.splat(v, n));
        }
        let s = self.scope_of(f.vars, f.unguarded);
        let key = (e, Form::Splat(n));
        if let Some(v) = self.cached(s, key) {
            return Ok(v);
        }
        let r = self.hoisted(s, |g| g.ll.splat(v, n));
        self.remember(s, key, r);
        Ok(r)
    }

    /// Part `part` of a vector iteration, or the scalar where there is none.
    pub fn value(&mut self, e: ExprId, part: Option<usize>) -> Result<V, EmitError> {
        match part {
            Some(p) => self.lanes_of(e, p),
            None => self.scalar(e),
        }
    }

    fn placed_value(&mut self, e: ExprId, part: Option<usize>) -> Result<V, EmitError> {
        let f = self.facts[e.index()];
        let key = (e, part.map_or(Form::Scalar, Form::Part));
        // A masked statement reads only its own lanes, so what it read is of no use to others.
        let masked = part.is_some() && f.loads && self.lanes.as_ref().is_some_and(|l| l.statement_mask.is_some());
        if f.mutable || masked {
            if let Some(v) = self.statement.get(&key) {
                return Ok(*v);
            }
            let v = self.node(e, part)?;
            self.statement.insert(key, v);
            return Ok(v);
        }
        let s = self.scope_of(f.vars, f.unguarded);
        if let Some(v) = self.cached(s, key) {
            return Ok(v);
        }
        let v = self.hoisted(s, |g| g.node(e, part))?;
        self.remember(s, key, v);
        Ok(v)
    }

    /// Writes one expression at the builder's position.
    fn node(&mut self, e: ExprId, part: Option<usize>) -> Result<V, EmitError> {
        let around = self.ll.place(self.line(), origin::column(e));
        let v = self.plain_node(e, part);
        self.ll.back_to(around);
        v
    }

    fn plain_node(&mut self, e: ExprId, part: Option<usize>) -> Result<V, EmitError> {
        let ll = self.ll;
        let k = self.k;
        match &k.exprs[e.index()] {
            Expr::Const(s) => self.constant(s.dtype, s.value),
            Expr::Dim(d) => Ok(self.dim(d)),
            Expr::Var(v) => match (&self.lanes, part) {
                (Some(l), Some(p)) if l.var == *v => {
                    let (base, n) = (l.bases[p], l.n);
                    if n == 1 {
                        return Ok(base);
                    }
                    let t = ll.vec(ll.i64(), n);
                    Ok(ll.add(ll.splat(base, n), ll.iota(t)))
                }
                _ => self.variable(*v),
            },
            Expr::Load(el, other) => self.load(el, *other, part),
            Expr::Unary(op, a) => {
                let d = k.dtype(*a);
                let v = self.value(*a, part)?;
                self.unary(*op, d, v)
            }
            Expr::Binary(op, a, b) => {
                if let Some(p) = part
                    && let Some(mask) = self.affine_compare(*op, *a, *b, p)?
                {
                    return Ok(mask);
                }
                let d = k.dtype(*a);
                let nonneg = self.facts[a.index()].nonneg && self.facts[b.index()].nonneg;
                let (x, y) = (self.value(*a, part)?, self.value(*b, part)?);
                self.binary(*op, d, x, y, nonneg)
            }
            Expr::Select(c, a, b) => {
                // A condition that is the same in all lanes selects whole vectors.
                let uniform = part.is_some() && self.lanes.as_ref().is_some_and(|l| self.facts[c.index()].vars & bit(l.var) == 0);
                let c = if uniform { self.scalar(*c)? } else { self.value(*c, part)? };
                let (a, b) = (self.value(*a, part)?, self.value(*b, part)?);
                Ok(ll.select(c, a, b))
            }
            Expr::Cast(to, a) => {
                let from = k.dtype(*a);
                let v = self.value(*a, part)?;
                self.cast(from, *to, v)
            }
            Expr::Bitcast(to, a) => {
                let from = k.dtype(*a);
                let v = self.value(*a, part)?;
                let bits = self.pack(from, v)?;
                let n = ll.lanes(ll.ty(bits));
                let t = ll.vec(self.mem_ty(*to)?, n);
                {
                    let v = self.unpack(*to, ll.bitcast(bits, t))?;
                    if to.is_int() { self.round(*to, v) } else { Ok(v) }
                }
            }
        }
    }

    /// A scalar constant in the form values of its type have in registers.
    pub fn constant(&self, dtype: DType, v: Num) -> Result<V, EmitError> {
        let t = self.reg_ty(dtype)?;
        let v = beiming_ir::num::round_to(dtype, v);
        Ok(match v {
            Num::Float(x) if dtype.is_float() => self.ll.cf(t, x),
            v if dtype == DType::Bool => self.ll.cint(t, i64::from(v.to_i128() != 0)),
            v => self.ll.cint(t, v.to_i128() as i64),
        })
    }

    /// The value of an affine expression with the variables of `zero` taken as zero.
    pub fn zero_form(&mut self, e: ExprId, zero: Vars) -> Result<V, EmitError> {
        let f = self.facts[e.index()];
        if f.vars & zero == 0 {
            return self.scalar(e);
        }
        let ll = self.ll;
        let s = self.scope_of(f.vars & !zero, f.unguarded);
        let key = (e, Form::Zero(zero & f.vars));
        if !f.mutable
            && let Some(v) = self.cached(s, key)
        {
            return Ok(v);
        }
        let k = self.k;
        let v = match &k.exprs[e.index()] {
            Expr::Binary(op, a, b) => {
                let (x, y) = (self.zero_form(*a, zero)?, self.zero_form(*b, zero)?);
                let write = |g: &mut Self| match op {
                    BinaryOp::Add => g.ll.nadd(x, y),
                    BinaryOp::Sub => g.ll.sub(x, y),
                    _ => g.ll.nmul(x, y),
                };
                if f.mutable { write(self) } else { self.hoisted(s, write) }
            }
            _ => ll.ci64(0),
        };
        if !f.mutable {
            self.remember(s, key, v);
        }
        Ok(v)
    }

    /// The stride of an affine expression in one variable.
    pub fn stride_form(&mut self, e: ExprId, v: beiming_ir::kernel::VarId) -> Result<V, EmitError> {
        let ll = self.ll;
        let zero = bit(v);
        if self.facts[e.index()].vars & zero == 0 {
            return Ok(ll.ci64(0));
        }
        let k = self.k;
        Ok(match &k.exprs[e.index()] {
            Expr::Binary(op @ (BinaryOp::Add | BinaryOp::Sub), a, b) => {
                let (x, y) = (self.stride_form(*a, v)?, self.stride_form(*b, v)?);
                if *op == BinaryOp::Add { ll.nadd(x, y) } else { ll.sub(x, y) }
            }
            Expr::Binary(_, a, b) => {
                let (moving, still) = if self.facts[a.index()].vars & zero != 0 { (*a, *b) } else { (*b, *a) };
                let (x, y) = (self.stride_form(moving, v)?, self.scalar(still)?);
                ll.nmul(x, y)
            }
            _ => ll.ci64(1),
        })
    }
}
