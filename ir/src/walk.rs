//! Walks over kernels: statements, the expressions they name, and the arguments of expressions.

use crate::kernel::{Element, Expr, ExprId, Stmt};

/// Calls `f` with every argument of an expression, in the order of the text.
pub(crate) fn for_args(e: &Expr, mut f: impl FnMut(ExprId)) {
    match e {
        Expr::Const(_) | Expr::Var(_) | Expr::Dim(_) => {}
        Expr::Load(el, other) => el.index.iter().chain(&el.guard).chain(other).for_each(|a| f(*a)),
        Expr::Unary(_, a) | Expr::Cast(_, a) | Expr::Bitcast(_, a) => f(*a),
        Expr::Binary(_, a, b) => [a, b].into_iter().for_each(|a| f(*a)),
        Expr::Select(c, a, b) => [c, a, b].into_iter().for_each(|a| f(*a)),
    }
}

/// Calls `f` with every argument of an expression, to be replaced.
pub(crate) fn for_args_mut(e: &mut Expr, f: impl FnMut(&mut ExprId)) {
    match e {
        Expr::Const(_) | Expr::Var(_) | Expr::Dim(_) => {}
        Expr::Load(el, other) => el.index.iter_mut().chain(&mut el.guard).chain(other).for_each(f),
        Expr::Unary(_, a) | Expr::Cast(_, a) | Expr::Bitcast(_, a) => std::iter::once(a).for_each(f),
        Expr::Binary(_, a, b) => [a, b].into_iter().for_each(f),
        Expr::Select(c, a, b) => [c, a, b].into_iter().for_each(f),
    }
}

/// Calls `f` with every statement, outer before inner.
pub fn for_stmts<'k>(body: &'k [Stmt], f: &mut impl FnMut(&'k Stmt)) {
    for s in body {
        f(s);
        match s {
            Stmt::For { body, .. } => for_stmts(body, f),
            Stmt::If { then, .. } => for_stmts(then, f),
            _ => {}
        }
    }
}

/// Calls `f` with every expression a statement itself names (not those of statements within it), in the order of the text.
pub(crate) fn for_roots(s: &Stmt, f: &mut impl FnMut(ExprId)) {
    let element = |el: &Element, f: &mut dyn FnMut(ExprId)| el.index.iter().chain(&el.guard).for_each(|e| f(*e));
    match s {
        Stmt::For { extent, .. } => f(*extent),
        Stmt::If { cond, .. } => f(*cond),
        Stmt::Vector { dst, value, .. } => {
            element(dst, f);
            f(*value);
        }
        Stmt::Copy { vars, dst, src, fill } => {
            vars.iter().for_each(|(_, e)| f(*e));
            element(dst, f);
            element(src, f);
            fill.iter().for_each(|e| f(*e));
        }
        Stmt::Mma { depth, a, b, .. } => {
            f(*depth);
            element(a, f);
            element(b, f);
        }
        Stmt::Wait { .. } => {}
    }
}

/// Calls `f` with every expression that a statement and those within it name, to be replaced.
pub(crate) fn for_roots_mut(s: &mut Stmt, f: &impl Fn(&mut ExprId)) {
    let element = |el: &mut Element| el.index.iter_mut().chain(&mut el.guard).for_each(f);
    match s {
        Stmt::For { extent, body, .. } => {
            f(extent);
            body.iter_mut().for_each(|s| for_roots_mut(s, f));
        }
        Stmt::If { cond, then } => {
            f(cond);
            then.iter_mut().for_each(|s| for_roots_mut(s, f));
        }
        Stmt::Vector { dst, value, .. } => {
            element(dst);
            f(value);
        }
        Stmt::Copy { vars, dst, src, fill } => {
            vars.iter_mut().for_each(|(_, e)| f(e));
            element(dst);
            element(src);
            fill.iter_mut().for_each(f);
        }
        Stmt::Mma { depth, a, b, .. } => {
            f(depth);
            element(a);
            element(b);
        }
        Stmt::Wait { .. } => {}
    }
}

/// Calls `f` with every element a statement itself reads without an expression: a copy's source, a product's operands.
pub(crate) fn for_sources<'k>(s: &'k Stmt, f: &mut impl FnMut(&'k Element)) {
    match s {
        Stmt::Copy { src, .. } => f(src),
        Stmt::Mma { a, b, .. } => {
            f(a);
            f(b);
        }
        _ => {}
    }
}
