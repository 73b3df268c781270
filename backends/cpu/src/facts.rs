//! What is known of a kernel's expressions before code is written: which loop variables they depend on, whether they may be
//! computed early, how an index moves with a variable.

use beiming_ir::kernel::{Access, Element, Expr, ExprId, Kernel, VarId};
use beiming_ir::ops::{BinaryOp, UnaryOp};
use beiming_ir::tensor::Num;
use beiming_ir::types::{DType, Dim};

/// A set of loop variables.
pub type Vars = u128;

/// The set holding one variable.
pub fn bit(v: VarId) -> Vars {
    1u128.checked_shl(v.0).unwrap_or(0)
}

/// Most variables a kernel may have.
pub const MAX_VARS: u32 = 128;

/// Facts about one expression.
#[derive(Clone, Copy, Default)]
pub struct Facts {
    /// Variables it depends on.
    pub vars: Vars,
    /// Reads a buffer that this kernel also writes: it must be computed where it stands.
    pub mutable: bool,
    /// Reads memory.
    pub loads: bool,
    /// Reads an element without a guard: it must not be computed where the program would not.
    pub unguarded: bool,
    /// An `i64` that is never negative.
    pub nonneg: bool,
    /// Rough number of vector instructions.
    pub cost: u32,
}

/// Facts of every expression of a kernel.
pub fn analyse(k: &Kernel) -> Vec<Facts> {
    let mut all: Vec<Facts> = Vec::with_capacity(k.exprs.len());
    for e in &k.exprs {
        let join = |ids: &[ExprId]| {
            ids.iter().fold(Facts { nonneg: true, ..Facts::default() }, |a, i| {
                let b = all[i.index()];
                Facts {
                    vars: a.vars | b.vars,
                    mutable: a.mutable | b.mutable,
                    loads: a.loads | b.loads,
                    unguarded: a.unguarded | b.unguarded,
                    nonneg: a.nonneg & b.nonneg,
                    cost: a.cost.saturating_add(b.cost),
                }
            })
        };
        let f = match e {
            Expr::Const(s) => Facts { nonneg: matches!(s.value, Num::Int(v) if v >= 0), ..Facts::default() },
            Expr::Var(v) => Facts { vars: bit(*v), nonneg: true, ..Facts::default() },
            Expr::Dim(d) => Facts { nonneg: dim_nonneg(d), ..Facts::default() },
            Expr::Load(el, other) => {
                let mut ids = el.index.clone();
                ids.extend(el.guard);
                ids.extend(*other);
                let mut f = join(&ids);
                f.mutable |= k.buffer(el.buffer).access != Access::Read;
                f.loads = true;
                f.unguarded |= el.guard.is_none();
                f.nonneg = false;
                f.cost = f.cost.saturating_add(1);
                f
            }
            Expr::Unary(op, a) => {
                let mut f = join(&[*a]);
                f.nonneg = false;
                f.cost = f.cost.saturating_add(unary_cost(*op));
                f
            }
            Expr::Binary(op, a, b) => {
                use BinaryOp::*;
                let mut f = join(&[*a, *b]);
                let keeps = matches!(op, Add | Mul | Div | Mod | Rem | Max | Min | And | Or | Shr);
                f.nonneg &= keeps && k.dtype(*a) == DType::I64;
                f.cost = f.cost.saturating_add(match op {
                    Div | Mod | Rem => 8,
                    Pow | Atan2 => 60,
                    _ => 1,
                });
                f
            }
            Expr::Select(c, a, b) => {
                let n = all[a.index()].nonneg && all[b.index()].nonneg;
                let mut f = join(&[*c, *a, *b]);
                f.nonneg = n;
                f.cost = f.cost.saturating_add(1);
                f
            }
            Expr::Cast(_, a) | Expr::Bitcast(_, a) => {
                let mut f = join(&[*a]);
                f.nonneg = false;
                f.cost = f.cost.saturating_add(1);
                f
            }
        };
        all.push(f);
    }
    all
}

fn unary_cost(op: UnaryOp) -> u32 {
    use UnaryOp::*;
    match op {
        Neg | Abs | Not | BitNot | Floor | Ceil | Round | Trunc | IsNan | IsInf => 1,
        Sign => 3,
        Sqrt | Rsqrt | Recip => 8,
        Exp | Expm1 | Log | Log1p | Tanh | Erf | Sigmoid => 20,
        _ => 60,
    }
}

/// True where no value of the symbols (extents: never negative) makes the dimension negative.
fn dim_nonneg(d: &Dim) -> bool {
    use beiming_ir::dim::Atom;
    let atom = |a: &Atom| match a {
        Atom::Sym(_) => true,
        Atom::FloorDiv(x, y) | Atom::Mod(x, y) | Atom::Min(x, y) | Atom::Max(x, y) => dim_nonneg(x) && dim_nonneg(y),
    };
    match d {
        Dim::Known(v) => *v >= 0,
        Dim::Expr(p) => p.terms().iter().all(|(atoms, c)| *c >= 0 && atoms.iter().all(atom)),
    }
}

/// True where `e` is `base + sum(stride(v) * v)` over the variables of `zero`, with strides that do not depend on them.
pub fn affine(k: &Kernel, facts: &[Facts], e: ExprId, zero: Vars) -> bool {
    if facts[e.index()].vars & zero == 0 {
        return true;
    }
    match &k.exprs[e.index()] {
        Expr::Var(_) => true,
        Expr::Binary(BinaryOp::Add | BinaryOp::Sub, a, b) if k.dtype(*a) == DType::I64 => {
            affine(k, facts, *a, zero) && affine(k, facts, *b, zero)
        }
        Expr::Binary(BinaryOp::Mul, a, b) if k.dtype(*a) == DType::I64 => {
            let free = |x: &ExprId| facts[x.index()].vars & zero == 0;
            (free(a) && affine(k, facts, *b, zero)) || (free(b) && affine(k, facts, *a, zero))
        }
        _ => false,
    }
}

/// True where every index of an element is affine in `zero`.
pub fn affine_element(k: &Kernel, facts: &[Facts], el: &Element, zero: Vars) -> bool {
    el.index.iter().all(|&i| affine(k, facts, i, zero))
}

/// The stride of `e` in `v` where it is a constant; `None` also where `e` is not affine.
pub fn known_stride(k: &Kernel, facts: &[Facts], e: ExprId, v: VarId) -> Option<i64> {
    if facts[e.index()].vars & bit(v) == 0 {
        return Some(0);
    }
    let constant = |x: &ExprId| match &k.exprs[x.index()] {
        Expr::Const(s) => match s.value {
            Num::Int(i) => i64::try_from(i).ok(),
            _ => None,
        },
        Expr::Dim(d) => d.known(),
        _ => None,
    };
    match &k.exprs[e.index()] {
        Expr::Var(_) => Some(1),
        Expr::Binary(BinaryOp::Add, a, b) => known_stride(k, facts, *a, v)?.checked_add(known_stride(k, facts, *b, v)?),
        Expr::Binary(BinaryOp::Sub, a, b) => known_stride(k, facts, *a, v)?.checked_sub(known_stride(k, facts, *b, v)?),
        Expr::Binary(BinaryOp::Mul, a, b) => match (constant(a), constant(b)) {
            (Some(c), _) => known_stride(k, facts, *b, v)?.checked_mul(c),
            (_, Some(c)) => known_stride(k, facts, *a, v)?.checked_mul(c),
            _ => None,
        },
        _ => None,
    }
}

/// Stride in elements of a whole element reference in `v`, where it is a constant.
pub fn element_stride(k: &Kernel, facts: &[Facts], el: &Element, v: VarId) -> Option<i64> {
    let shape = &k.buffer(el.buffer).shape;
    let mut total = 0i64;
    for (axis, &i) in el.index.iter().enumerate() {
        let s = known_stride(k, facts, i, v)?;
        if s == 0 {
            continue;
        }
        let inner = shape[axis + 1..].iter().try_fold(1i64, |a, d| a.checked_mul(d.known()?))?;
        total = total.checked_add(s.checked_mul(inner)?)?;
    }
    Some(total)
}
