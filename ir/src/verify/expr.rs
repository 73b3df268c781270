//! Expressions of a kernel: references, types, and which loop variables and loads each depends on.

use super::Report;
use crate::kernel::{Element, Expr, ExprId, Kernel};
use crate::num::round_to;
use crate::ops::{BinaryOp, UnaryOp};
use crate::tensor::Num;
use crate::types::DType;
use crate::walk::for_args;

/// Most loop variables of a kernel; far above any schedule, it bounds the size of the dependency sets.
pub(super) const MAX_VARS: u32 = 1024;

/// What the verifier knows of each expression.
pub(super) struct Facts {
    /// Element type; `None` where the expression is wrong.
    pub types: Vec<Option<DType>>,
    /// Loop variables it depends on, one bit each.
    pub vars: Vec<Vec<u64>>,
    /// It depends on an element of a buffer.
    pub loads: Vec<bool>,
    /// It depends on a symbol.
    pub symbolic: Vec<bool>,
}

impl Facts {
    /// Does `e` depend on variable `v`?
    pub fn uses(&self, e: ExprId, v: u32) -> bool {
        self.vars.get(e.index()).is_some_and(|w| w.get(v as usize / 64).is_some_and(|w| w >> (v % 64) & 1 == 1))
    }

    /// The variables `e` depends on, ascending.
    pub fn vars_of(&self, e: ExprId) -> impl Iterator<Item = u32> + '_ {
        let words = self.vars.get(e.index()).map_or(&[][..], |w| w.as_slice());
        words.iter().zip(0u32..).flat_map(|(w, i)| (0..64).filter(move |b| w >> b & 1 == 1).map(move |b| i * 64 + b))
    }

    /// Type of an expression, where it exists and is right.
    pub fn ty(&self, e: ExprId) -> Option<DType> {
        self.types.get(e.index()).copied().flatten()
    }
}

/// Checks every expression of a kernel whose buffers are already checked.
pub(super) fn check(k: &Kernel, report: &mut Report) -> Facts {
    let words = k.vars.min(MAX_VARS).div_ceil(64) as usize;
    let n = k.exprs.len();
    let mut facts = Facts { types: vec![], vars: vec![], loads: vec![], symbolic: vec![] };
    for (i, e) in k.exprs.iter().enumerate() {
        let place = format!("expression {i}");
        let mut vars = vec![0u64; words];
        let (mut load, mut symbolic) = (matches!(e, Expr::Load(..)), false);
        let mut backwards = true;
        for_args(e, |a| {
            if a.index() >= i {
                backwards = false;
                return;
            }
            vars.iter_mut().zip(&facts.vars[a.index()]).for_each(|(w, x)| *w |= x);
            load |= facts.loads[a.index()];
            symbolic |= facts.symbolic[a.index()];
        });
        let ty = if !backwards {
            report.add(&place, format!("an argument does not point backwards (the kernel has {n} expressions)"));
            None
        } else {
            match typed(k, e, &facts) {
                Ok(t) => t,
                Err(m) => {
                    report.add(&place, m);
                    None
                }
            }
        };
        match e {
            Expr::Var(v) if v.0 < k.vars.min(MAX_VARS) => vars[v.index() / 64] |= 1 << (v.0 % 64),
            Expr::Dim(d) => symbolic = d.known().is_none(),
            _ => {}
        }
        facts.types.push(ty);
        facts.vars.push(vars);
        facts.loads.push(load);
        facts.symbolic.push(symbolic);
    }
    facts
}

/// Type of `e`; `Ok(None)` where an argument was wrong already.
fn typed(k: &Kernel, e: &Expr, facts: &Facts) -> Result<Option<DType>, String> {
    let ty = |e: &ExprId| facts.ty(*e);
    match e {
        Expr::Const(s) => {
            let fits = match (s.value, s.dtype) {
                (Num::Float(x), d) => {
                    d.is_float() && (x.is_nan() || matches!(round_to(d, s.value), Num::Float(y) if y.to_bits() == x.to_bits()))
                }
                (Num::Int(_), d) => d.int_range().is_some() && round_to(d, s.value) == s.value,
                (Num::Complex(..), d) => d.is_complex(),
            };
            if fits { Ok(Some(s.dtype)) } else { Err(format!("the constant {:?} is no value of {}", s.value, s.dtype)) }
        }
        Expr::Var(v) if v.0 >= k.vars => Err(format!("loop variable i{} does not exist; the kernel has {}", v.0, k.vars)),
        Expr::Var(_) => Ok(Some(DType::I64)),
        Expr::Dim(d) => match d.symbols().iter().find(|s| !k.symbols.contains(s)) {
            Some(s) => Err(format!("symbol `{s}` is not one of the kernel's")),
            None => Ok(Some(DType::I64)),
        },
        Expr::Load(el, other) => {
            let dtype = element(k, el, facts)?;
            match other {
                None if el.guard.is_some() => Err("a guarded load needs a value for where the guard is false".into()),
                Some(o) => match (ty(o), dtype) {
                    (Some(a), Some(b)) if a != b => Err(format!("the load gives {b} where guarded and {a} elsewhere")),
                    _ => Ok(dtype),
                },
                None => Ok(dtype),
            }
        }
        Expr::Unary(op, a) => match ty(a) {
            Some(t) => unary(*op, t).map(Some),
            None => Ok(None),
        },
        Expr::Binary(op, a, b) => match (ty(a), ty(b)) {
            (Some(a), Some(b)) if a != b => Err(format!("`{}` of {a} and {b}; both must have one type", op.name())),
            (Some(t), Some(_)) => binary(*op, t).map(Some),
            _ => Ok(None),
        },
        Expr::Select(c, a, b) => match (ty(c), ty(a), ty(b)) {
            (Some(c), ..) if c != DType::Bool => Err(format!("the condition of a select is {c}, not bool")),
            (_, Some(a), Some(b)) if a != b => Err(format!("select between {a} and {b}; both must have one type")),
            (_, a, _) => Ok(a),
        },
        Expr::Cast(to, _) => Ok(Some(*to)),
        Expr::Bitcast(to, a) => match ty(a) {
            Some(t) if t.size() != to.size() => Err(format!("bitcast of {t} to {to}, which have different sizes")),
            Some(_) => Ok(Some(*to)),
            None => Ok(None),
        },
    }
}

/// Checks the references and types of an element's parts; gives the buffer's element type.
pub(super) fn element(k: &Kernel, el: &Element, facts: &Facts) -> Result<Option<DType>, String> {
    if el.buffer.index() >= k.params.len() + k.locals.len() {
        return Err(format!("buffer {} does not exist", el.buffer.0));
    }
    let b = k.buffer(el.buffer);
    if el.index.len() != b.shape.len() {
        return Err(format!("{} indices into `%{}`, which has {} axes", el.index.len(), b.name, b.shape.len()));
    }
    for i in &el.index {
        expect(facts, *i, DType::I64, "an index")?;
    }
    if let Some(g) = el.guard {
        expect(facts, g, DType::Bool, "a guard")?;
    }
    Ok(Some(b.dtype))
}

/// An error where `e` does not exist or has another type.
pub(super) fn expect(facts: &Facts, e: ExprId, want: DType, what: &str) -> Result<(), String> {
    match facts.types.get(e.index()) {
        None => Err(format!("expression {} does not exist", e.0)),
        Some(Some(t)) if *t != want => Err(format!("{what} is {t}, not {want}")),
        _ => Ok(()),
    }
}

/// As the graph ops, on what kernels compute in: complex numbers are pairs by then.
fn unary(op: UnaryOp, t: DType) -> Result<DType, String> {
    op.result(t).filter(|_| !t.is_complex()).ok_or_else(|| format!("`{}` is not defined on {t}", op.name()))
}

fn binary(op: BinaryOp, t: DType) -> Result<DType, String> {
    op.result(t).filter(|_| !t.is_complex()).ok_or_else(|| format!("`{}` is not defined on {t}", op.name()))
}
