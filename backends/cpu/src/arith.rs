//! Scalar functions on register values, scalar or vector. Nothing here traps: division by zero gives zero, shifts by the
//! width or more give zero or the sign, and minimum and maximum keep NaN.

use beiming_ir::ops::{BinaryOp, ReduceOp, UnaryOp};
use beiming_ir::types::DType;

use crate::EmitError;
use crate::kernel::Gen;
use crate::ll::*;
use crate::math::Math;

impl Gen<'_, '_> {
    /// `floor(a / b)` of `i64`, zero where `b` is zero.
    pub fn floor_div(&self, a: V, b: V) -> V {
        let ll = self.ll;
        let (q, r) = (self.int_div(a, b, true, false), self.int_div(a, b, true, true));
        let zero = ll.zero(ll.ty(a));
        let differ = ll.icmp(LLVMIntSLT, ll.xor(r, b), zero);
        let off = ll.and(ll.icmp(LLVMIntNE, r, zero), differ);
        ll.sub(q, ll.zext(off, ll.ty(q)))
    }

    /// Quotient or remainder, truncated; zero where `b` is zero.
    fn int_div(&self, a: V, b: V, signed: bool, rem: bool) -> V {
        let ll = self.ll;
        let t = ll.ty(a);
        let write = |d: V| match (signed, rem) {
            (true, false) => ll.sdiv(a, d),
            (true, true) => ll.srem(a, d),
            (false, false) => ll.udiv(a, d),
            (false, true) => ll.urem(a, d),
        };
        match ll.known(b) {
            Some(0) => return ll.zero(t),
            Some(-1) => {}
            Some(_) => return write(b),
            None => {}
        }
        let zero = ll.icmp(LLVMIntEQ, b, ll.zero(t));
        let one = ll.cint(t, 1);
        let mut bad = zero;
        if signed {
            // The smallest value divided by -1 wraps to itself, as divided by 1.
            let bits = self.int_bits(t);
            let min = ll.icmp(LLVMIntEQ, a, ll.shl(one, ll.cint(t, i64::from(bits) - 1)));
            bad = ll.or(bad, ll.and(min, ll.icmp(LLVMIntEQ, b, ll.cint(t, -1))));
        }
        ll.select(zero, ll.zero(t), write(ll.select(bad, one, b)))
    }

    fn int_bits(&self, t: Ty) -> u32 {
        let ll = self.ll;
        let e = ll.elem(t);
        [8, 16, 32, 64].into_iter().find(|&b| ll.int(b) == e).unwrap_or(1)
    }

    /// A unary function of a value of type `d`.
    pub fn unary(&mut self, op: UnaryOp, d: DType, v: V) -> Result<V, EmitError> {
        use UnaryOp::*;
        let ll = self.ll;
        let t = ll.ty(v);
        let float = d.is_float();
        if d.is_complex() {
            return self.unsupported(format!("{} of {d}", op.name()));
        }
        let r = match op {
            Neg if float => ll.fneg(v),
            Neg if d.is_int() => ll.neg(v),
            Abs if float => ll.fabs(v),
            Abs if d.is_signed_int() => ll.select(ll.icmp(LLVMIntSLT, v, ll.zero(t)), ll.neg(v), v),
            Abs if d.is_unsigned_int() => v,
            Sign if float => {
                let (zero, one) = (ll.zero(t), ll.cf(t, 1.0));
                let low = ll.select(ll.fcmp(LLVMRealOLT, v, zero), ll.cf(t, -1.0), v);
                ll.select(ll.fcmp(LLVMRealOGT, v, zero), one, low)
            }
            Sign if d.is_int() => {
                let (zero, one) = (ll.zero(t), ll.cint(t, 1));
                let nonzero = ll.select(ll.icmp(LLVMIntNE, v, zero), one, zero);
                if d.is_signed_int() { ll.select(ll.icmp(LLVMIntSLT, v, zero), ll.cint(t, -1), nonzero) } else { nonzero }
            }
            IsNan if float => return Ok(ll.fcmp(LLVMRealUNO, v, v)),
            IsInf if float => return Ok(ll.fcmp(LLVMRealOEQ, ll.fabs(v), ll.cf(t, f64::INFINITY))),
            IsNan | IsInf => return Ok(ll.zero(self.like(v, ll.i1()))),
            Not if d == DType::Bool => return Ok(ll.not(v)),
            BitNot if d.is_int() => ll.not(v),
            Popcount | LeadingZeros if d.is_int() => self.count_bits(op == Popcount, d, v),
            Floor | Ceil | Round | RoundAway | Trunc if !float => return Ok(v),
            _ if float => match (Math { ll }.unary(op, v)) {
                Some(v) => v,
                None => return self.unsupported(format!("{} of {d}", op.name())),
            },
            _ => return self.unsupported(format!("{} of {d}", op.name())),
        };
        self.round(d, r)
    }

    /// Number of ones, or of zeros above the highest one, among the bits of an integer of type `d`.
    fn count_bits(&self, ones: bool, d: DType, v: V) -> V {
        let ll = self.ll;
        let t = ll.ty(v);
        // Types below eight bits are extended to a byte, with their sign.
        let spare = 8 - i64::from(d.bits().min(8));
        let v = if spare > 0 { ll.and(v, ll.cint(t, (1 << d.bits()) - 1)) } else { v };
        if ones {
            return ll.intrinsic("llvm.ctpop", &[t], &[v]);
        }
        let zeros = ll.intrinsic("llvm.ctlz", &[t], &[v, ll.cint(ll.i1(), 0)]);
        if spare > 0 { ll.sub(zeros, ll.cint(t, spare)) } else { zeros }
    }

    /// A binary function of two values of type `d`. `nonneg`: integers that are never negative.
    pub fn binary(&mut self, op: BinaryOp, d: DType, a: V, b: V, nonneg: bool) -> Result<V, EmitError> {
        if d.is_complex() {
            return self.unsupported(format!("{} of {d}", op.name()));
        }
        if d == DType::Bool {
            return self.logic(op, a, b);
        }
        if d.is_float() {
            return self.float_binary(op, d, a, b);
        }
        use BinaryOp::*;
        let ll = self.ll;
        let t = ll.ty(a);
        let signed = d.is_signed_int() && !nonneg;
        let (lt, le, gt, ge) = if d.is_signed_int() {
            (LLVMIntSLT, LLVMIntSLE, LLVMIntSGT, LLVMIntSGE)
        } else {
            (LLVMIntULT, LLVMIntULE, LLVMIntUGT, LLVMIntUGE)
        };
        let r = match op {
            Add => ll.add(a, b),
            Sub => ll.sub(a, b),
            Mul => ll.mul(a, b),
            Div => self.int_div(a, b, signed, false),
            Rem => self.int_div(a, b, signed, true),
            Mod if !signed => self.int_div(a, b, false, true),
            Mod => {
                let r = self.int_div(a, b, true, true);
                let zero = ll.zero(t);
                let differ = ll.icmp(LLVMIntSLT, ll.xor(r, b), zero);
                let off = ll.and(ll.icmp(LLVMIntNE, r, zero), differ);
                ll.select(off, ll.add(r, b), r)
            }
            Max => ll.select(ll.icmp(gt, a, b), a, b),
            Min => ll.select(ll.icmp(lt, a, b), a, b),
            Eq => return Ok(ll.icmp(LLVMIntEQ, a, b)),
            Ne => return Ok(ll.icmp(LLVMIntNE, a, b)),
            Lt => return Ok(ll.icmp(lt, a, b)),
            Le => return Ok(ll.icmp(le, a, b)),
            Gt => return Ok(ll.icmp(gt, a, b)),
            Ge => return Ok(ll.icmp(ge, a, b)),
            And => ll.and(a, b),
            Or => ll.or(a, b),
            Xor => ll.xor(a, b),
            Shl | Shr => {
                let bits = ll.cint(t, i64::from(d.bits()));
                let far = ll.icmp(LLVMIntUGE, b, bits);
                if op == Shr && d.is_signed_int() {
                    let last = ll.cint(t, i64::from(d.bits()) - 1);
                    ll.ashr(a, ll.select(far, last, b))
                } else {
                    let s = ll.select(far, ll.zero(t), b);
                    let v = if op == Shl { ll.shl(a, s) } else { ll.lshr(a, s) };
                    ll.select(far, ll.zero(t), v)
                }
            }
            Pow => Math { ll }.int_pow(a, b, d.is_signed_int()),
            Atan2 => return self.unsupported(format!("{} of {d}", op.name())),
        };
        self.round(d, r)
    }

    fn logic(&self, op: BinaryOp, a: V, b: V) -> Result<V, EmitError> {
        use BinaryOp::*;
        let ll = self.ll;
        Ok(match op {
            Or | Max | Add => ll.or(a, b),
            And | Min | Mul => ll.and(a, b),
            Xor | Ne => ll.xor(a, b),
            Eq => ll.not(ll.xor(a, b)),
            Lt => ll.and(ll.not(a), b),
            Le => ll.or(ll.not(a), b),
            Gt => ll.and(a, ll.not(b)),
            Ge => ll.or(a, ll.not(b)),
            _ => return self.unsupported(format!("{} of bool", op.name())),
        })
    }

    fn float_binary(&mut self, op: BinaryOp, d: DType, a: V, b: V) -> Result<V, EmitError> {
        use BinaryOp::*;
        let ll = self.ll;
        let r = match op {
            Add => ll.fadd(a, b),
            Sub => ll.fsub(a, b),
            Mul => ll.fmul(a, b),
            Div => ll.fdiv(a, b),
            Max => self.extreme(a, b, LLVMRealOGT, "llvm.maximum"),
            Min => self.extreme(a, b, LLVMRealOLT, "llvm.minimum"),
            Eq => return Ok(ll.fcmp(LLVMRealOEQ, a, b)),
            Ne => return Ok(ll.fcmp(LLVMRealUNE, a, b)),
            Lt => return Ok(ll.fcmp(LLVMRealOLT, a, b)),
            Le => return Ok(ll.fcmp(LLVMRealOLE, a, b)),
            Gt => return Ok(ll.fcmp(LLVMRealOGT, a, b)),
            Ge => return Ok(ll.fcmp(LLVMRealOGE, a, b)),
            Pow => Math { ll }.pow(a, b),
            Atan2 => Math { ll }.atan2(a, b),
            Mod => Math { ll }.fmod(a, b, true),
            Rem => Math { ll }.fmod(a, b, false),
            And | Or | Xor | Shl | Shr => return self.unsupported(format!("{} of {d}", op.name())),
        };
        self.round(d, r)
    }

    /// The larger or smaller of two floats; NaN if either is.
    fn extreme(&self, a: V, b: V, p: inkwell::llvm_sys::LLVMRealPredicate, name: &str) -> V {
        let ll = self.ll;
        if self.t.broadcast_from_memory {
            // x86: `a > b ? a : b` is one instruction that gives `b` where either is NaN. With a number on the left it keeps
            // the NaN of the right; otherwise the left one's is selected.
            let pick = |x, y| ll.select(ll.fcmp(p, x, y), x, y);
            let number = |v| ll.known_float(v).is_some_and(|x| !x.is_nan());
            return if number(a) {
                pick(a, b)
            } else if number(b) {
                pick(b, a)
            } else {
                ll.select(ll.fcmp(LLVMRealUNO, a, a), a, pick(a, b))
            };
        }
        ll.intrinsic(name, &[ll.ty(a)], &[a, b])
    }

    /// What a reduction starts from.
    pub fn identity(&self, op: ReduceOp, d: DType, t: Ty) -> Result<V, EmitError> {
        let ll = self.ll;
        let (lo, hi) = d.int_range().unwrap_or((0, 0));
        Ok(match op {
            ReduceOp::Sum if d.is_float() => ll.zero(t),
            ReduceOp::Prod if d.is_float() => ll.cf(t, 1.0),
            ReduceOp::Max if d.is_float() => ll.cf(t, f64::NEG_INFINITY),
            ReduceOp::Min if d.is_float() => ll.cf(t, f64::INFINITY),
            ReduceOp::Sum => ll.zero(t),
            ReduceOp::Prod => ll.cint(t, 1),
            ReduceOp::Max | ReduceOp::Any => ll.cint(t, lo as i64),
            ReduceOp::Min | ReduceOp::All => ll.cint(t, hi as i64),
            ReduceOp::Mean => return self.unsupported("a mean as a reducer"),
        })
    }

    /// The mask of a comparison of two `i64` whose difference moves by one a lane: lanes before or from a bound.
    pub fn affine_compare(
        &mut self,
        op: BinaryOp,
        a: beiming_ir::kernel::ExprId,
        b: beiming_ir::kernel::ExprId,
        part: usize,
    ) -> Result<Option<V>, EmitError> {
        use crate::facts::{bit, known_stride};
        let (a, b, or_equal) = match op {
            BinaryOp::Lt => (a, b, false),
            BinaryOp::Le => (a, b, true),
            BinaryOp::Gt => (b, a, false),
            BinaryOp::Ge => (b, a, true),
            _ => return Ok(None),
        };
        let Some((var, n, base)) = self.lanes.as_ref().map(|l| (l.var, l.n, l.bases[part])) else { return Ok(None) };
        if self.k.dtype(a) != DType::I64 {
            return Ok(None);
        }
        let strides = (known_stride(self.k, &self.facts, a, var), known_stride(self.k, &self.facts, b, var));
        let (Some(sa), Some(sb)) = strides else { return Ok(None) };
        if (sb - sa).abs() != 1 {
            return Ok(None);
        }
        let ll = self.ll;
        let (x, y) = (self.zero_form(a, bit(var))?, self.zero_form(b, bit(var))?);
        let x = ll.nadd(x, ll.nmul(base, ll.ci64(sa)));
        let y = ll.nadd(y, ll.nmul(base, ll.ci64(sb)));
        let one = ll.ci64(i64::from(or_equal));
        Ok(Some(if sb - sa == -1 {
            // x + L < y
            self.mask(ll.add(ll.sub(y, x), one), n)
        } else {
            // x < y + L: all lanes but those before x - y + 1
            ll.not(self.mask(ll.sub(ll.add(ll.sub(x, y), ll.ci64(1)), one), n))
        }))
    }
}
