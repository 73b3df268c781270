//! Chips without padded copies write the ends of rows through the scalar unit, whose cache holds lines of 64 bytes: two cores that
//! write parts of one line undo each other's work. A kernel whose tiles do not start on lines therefore runs on one core.

use beiming_ir::kernel::{Expr, ExprId, Kernel, Loop, Space, Stmt, VarId};
use beiming_ir::ops::BinaryOp;
use beiming_ir::tensor::Num;
use beiming_ir::types::Dim;

/// Bytes of a line of the data cache.
pub const LINE: i64 = 64;

/// True where every tile that the grid deals out starts on a line, and so do its rows where the grid cuts rows.
pub fn apart(k: &Kernel) -> bool {
    let mut apart = true;
    visit(&k.body, &mut |s| {
        let Stmt::Copy { vars, dst, .. } = s else { return };
        let b = k.buffer(dst.buffer);
        if b.space != Space::Memory {
            return;
        }
        let along = |v: VarId| dst.index.iter().try_fold(0, |sum, e| Some(sum + coefficient(k, *e, v)?));
        let on_line = |c: i64| c * b.dtype.size() as i64 % LINE == 0;
        let rows: Vec<Option<i64>> = vars[..vars.len().saturating_sub(1)].iter().map(|(v, _)| along(*v)).collect();
        for (v, _) in k.grid.iter().enumerate().filter(|(_, d)| !d.is(1) && !d.is(0)) {
            let by = along(VarId(v as u32));
            apart &= by.is_some_and(|c| on_line(c) && rows.iter().all(|r| r.is_some_and(|r| c == 0 || c >= r || on_line(r))));
        }
    });
    apart
}

/// The same kernel with one grid point: the grid's coordinates become loops.
pub fn on_one_core(k: &mut Kernel) {
    let mut body = std::mem::take(&mut k.body);
    for (v, d) in std::mem::take(&mut k.grid).into_iter().enumerate().rev() {
        let extent = match d {
            Dim::Known(n) => k.expr(Expr::Const(super::program::number(beiming_ir::types::DType::I64, n as f64))),
            d => k.expr(Expr::Dim(d)),
        };
        body = vec![Stmt::For { var: VarId(v as u32), extent, kind: Loop::Serial, body }];
    }
    k.body = body;
}

fn visit(body: &[Stmt], f: &mut dyn FnMut(&Stmt)) {
    for s in body {
        f(s);
        if let Stmt::For { body, .. } | Stmt::If { then: body, .. } = s {
            visit(body, f);
        }
    }
}

/// How far an index moves with a variable; `None` where that is not a known number.
fn coefficient(k: &Kernel, e: ExprId, v: VarId) -> Option<i64> {
    let known = |e: &ExprId| match &k.exprs[e.index()] {
        Expr::Const(s) => match s.value {
            Num::Int(n) => i64::try_from(n).ok(),
            _ => None,
        },
        Expr::Dim(d) => d.known(),
        _ => None,
    };
    match &k.exprs[e.index()] {
        Expr::Var(w) => Some(i64::from(*w == v)),
        Expr::Const(_) | Expr::Dim(_) => Some(0),
        Expr::Binary(BinaryOp::Add, a, b) => Some(coefficient(k, *a, v)? + coefficient(k, *b, v)?),
        Expr::Binary(BinaryOp::Mul, a, b) => match (coefficient(k, *a, v)?, coefficient(k, *b, v)?) {
            (0, 0) => Some(0),
            (c, 0) => Some(c * known(b)?),
            (0, c) => Some(c * known(a)?),
            _ => None,
        },
        _ => None,
    }
}
