//! Elementary functions as straight-line polynomials over scalars or vectors of `f32` and `f64`: the library calls no libm.

use beiming_ir::ops::UnaryOp;

use crate::ll::*;

/// Writes functions into a module.
pub struct Math<'a, 'c> {
    pub(crate) ll: &'a Ll<'c>,
}

impl Math<'_, '_> {
    /// A function of floats of one argument; `None` where it is not written yet.
    pub fn unary(&self, op: UnaryOp, x: V) -> Option<V> {
        let ll = self.ll;
        let t = ll.ty(x);
        Some(match op {
            UnaryOp::Sqrt => ll.intrinsic("llvm.sqrt", &[t], &[x]),
            UnaryOp::Rsqrt => ll.fdiv(ll.cf(t, 1.0), ll.intrinsic("llvm.sqrt", &[t], &[x])),
            UnaryOp::Recip => ll.fdiv(ll.cf(t, 1.0), x),
            UnaryOp::Floor => ll.intrinsic("llvm.floor", &[t], &[x]),
            UnaryOp::Ceil => ll.intrinsic("llvm.ceil", &[t], &[x]),
            UnaryOp::Round => ll.intrinsic("llvm.roundeven", &[t], &[x]),
            UnaryOp::Trunc => ll.intrinsic("llvm.trunc", &[t], &[x]),
            _ => return None,
        })
    }
}
