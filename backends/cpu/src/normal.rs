//! `Copy` rewritten as loops over a store of a load, so that one road writes every move of data.

use beiming_ir::kernel::{Expr, Kernel, Loop, Scalar, Stmt, VarId};
use beiming_ir::tensor::Num;

use crate::facts::{analyse, bit, element_stride};

/// A kernel of the same meaning without `Copy` and `Wait`.
pub fn normalise(k: &Kernel) -> Kernel {
    let mut out = k.clone();
    let body = std::mem::take(&mut out.body);
    out.body = rewrite(&mut out, body);
    out
}

fn rewrite(k: &mut Kernel, body: Vec<Stmt>) -> Vec<Stmt> {
    let mut out = Vec::with_capacity(body.len());
    for s in body {
        out.push(match s {
            Stmt::For { var, extent, kind, body } => Stmt::For { var, extent, kind, body: rewrite(k, body) },
            Stmt::If { cond, then } => Stmt::If { cond, then: rewrite(k, then) },
            Stmt::Wait { .. } => continue,
            Stmt::Copy { mut vars, dst, src, fill } => {
                let other = fill.or_else(|| {
                    let dtype = k.buffer(src.buffer).dtype;
                    let value = if dtype.is_float() { Num::Float(0.0) } else { Num::Int(0) };
                    src.guard.map(|_| k.expr(Expr::Const(Scalar { dtype, value })))
                });
                let value = k.expr(Expr::Load(src.clone(), other));
                let facts = analyse(k);
                let stride = |v: VarId| {
                    let guarded = src.guard.is_some_and(|g| facts[g.index()].vars & bit(v) != 0);
                    (element_stride(k, &facts, &dst, v), element_stride(k, &facts, &src, v), guarded)
                };
                // The lanes go where both sides are contiguous, else where the store is, else where the load is. A load of
                // which every lane has an address of its own (a row of a window) costs more than stores at a distance do.
                let rank = |v: VarId| match stride(v) {
                    (Some(1), Some(1), _) => 4,
                    (Some(1), Some(0), false) => 4,
                    (Some(1), Some(_), _) => 3,
                    (Some(_), Some(1), false) => 2,
                    (Some(1), None, _) => 1,
                    (_, Some(1), _) => 1,
                    _ => 0,
                };
                let best = (0..vars.len()).max_by_key(|&i| (rank(vars[i].0), i));
                let mut stmt = Stmt::Vector { dst: dst.clone(), value, reduce: None };
                if let Some(i) = best {
                    let (var, extent) = vars.remove(i);
                    let kind = if rank(var) > 0 { Loop::Vector } else { Loop::Serial };
                    stmt = Stmt::For { var, extent, kind, body: vec![stmt] };
                }
                for (var, extent) in vars.into_iter().rev() {
                    stmt = Stmt::For { var, extent, kind: Loop::Serial, body: vec![stmt] };
                }
                stmt
            }
            other => other,
        });
    }
    out
}
