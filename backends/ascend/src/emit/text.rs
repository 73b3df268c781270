//! Scalar expressions of a kernel as C++ text, with the few simplifications that keep addresses readable.

use beiming_ir::dim::Atom;
use beiming_ir::kernel::{Expr, ExprId, Kernel, VarId};
use beiming_ir::ops::BinaryOp;
use beiming_ir::tensor::Num;
use beiming_ir::types::Dim;

/// Text of an expression.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Text {
    /// The text.
    pub s: String,
    /// It must stand in brackets within a product.
    loose: bool,
    /// The text of its negation, where that is the shorter one: sums subtract it.
    negated: Option<String>,
}

impl Text {
    /// A number.
    pub fn int(v: i64) -> Text {
        Text { s: v.to_string(), loose: v < 0, negated: None }
    }

    /// A name or a call.
    pub fn atom(s: impl Into<String>) -> Text {
        Text { s: s.into(), loose: false, negated: None }
    }

    fn loose(s: String) -> Text {
        Text { s, loose: true, negated: None }
    }

    /// The number it is.
    pub fn known(&self) -> Option<i64> {
        self.s.parse().ok()
    }

    /// True for zero.
    pub fn is_zero(&self) -> bool {
        self.s == "0"
    }

    fn tight(&self) -> String {
        if self.loose { format!("({})", self.s) } else { self.s.clone() }
    }

    /// `self + o`.
    pub fn plus(&self, o: &Text) -> Text {
        match (self.known(), o.known()) {
            (Some(a), Some(b)) => return Text::int(a + b),
            (Some(0), _) => return o.clone(),
            (_, Some(0)) => return self.clone(),
            (_, Some(b)) if b < 0 => return Text::loose(format!("{} - {}", self.s, -b)),
            _ => {}
        }
        match (&self.negated, &o.negated) {
            (_, Some(n)) => Text::loose(format!("{} - {n}", self.s)),
            (Some(n), None) => Text::loose(format!("{} - {n}", o.s)),
            _ => Text::loose(format!("{} + {}", self.s, o.s)),
        }
    }

    /// `self * o`.
    pub fn times(&self, o: &Text) -> Text {
        match (self.known(), o.known()) {
            (Some(a), Some(b)) => Text::int(a * b),
            (Some(0), _) | (_, Some(0)) => Text::int(0),
            (Some(1), _) => o.clone(),
            (_, Some(1)) => self.clone(),
            (Some(_), None) => o.times(self),
            (_, Some(b)) if b < 0 => {
                let n = if b == -1 { self.tight() } else { format!("{} * {}", self.tight(), -b) };
                Text { s: format!("-({n})"), loose: true, negated: Some(n) }
            }
            _ => Text::loose(format!("{} * {}", self.tight(), o.tight())),
        }
    }

    /// `self / o`, both not negative.
    fn over(&self, o: &Text) -> Text {
        match (self.known(), o.known()) {
            (_, Some(1)) => self.clone(),
            (Some(a), Some(b)) if b > 0 && a >= 0 => Text::int(a / b),
            _ => Text::loose(format!("{} / {}", self.tight(), o.tight())),
        }
    }
}

/// Prints expressions of one kernel.
pub struct Printer<'k> {
    /// The kernel.
    pub k: &'k Kernel,
    /// Expressions that have a name in the emitted code.
    pub named: Vec<(ExprId, String)>,
}

/// Name of a loop variable.
pub fn variable(v: VarId) -> String {
    format!("i{}", v.0)
}

impl Printer<'_> {
    /// An extent over the kernel's symbols.
    pub fn dim(&self, d: &Dim) -> Text {
        match d {
            Dim::Known(v) => Text::int(*v),
            Dim::Expr(p) => {
                let mut sum = Text::int(0);
                for (atoms, c) in p.terms() {
                    let product = atoms.iter().fold(Text::int(*c), |t, a| self.atom(a).times(&t));
                    sum = if sum.is_zero() { product } else { sum.plus(&product) };
                }
                sum
            }
        }
    }

    fn atom(&self, a: &Atom) -> Text {
        match a {
            Atom::Sym(s) => Text::atom(s.to_string()),
            Atom::FloorDiv(x, y) => Text::atom(format!("({})", self.dim(x).over(&self.dim(y)).s)),
            Atom::Mod(x, y) => Text::atom(format!("({} % {})", self.dim(x).tight(), self.dim(y).tight())),
            Atom::Min(x, y) => Text::atom(format!("Smaller({}, {})", self.dim(x).s, self.dim(y).s)),
            Atom::Max(x, y) => Text::atom(format!("Larger({}, {})", self.dim(x).s, self.dim(y).s)),
        }
    }

    /// An index or condition; `None` for what is no scalar of the kernel's own (data).
    pub fn scalar(&self, e: ExprId) -> Option<Text> {
        if let Some((_, name)) = self.named.iter().find(|n| n.0 == e) {
            return Some(Text::atom(name.clone()));
        }
        self.unnamed(e)
    }

    /// As [`Printer::scalar`], written out.
    pub fn unnamed(&self, e: ExprId) -> Option<Text> {
        Some(match &self.k.exprs[e.index()] {
            Expr::Const(s) => match s.value {
                Num::Int(v) => Text::int(v as i64),
                _ => return None,
            },
            Expr::Var(v) => Text::atom(variable(*v)),
            Expr::Dim(d) => self.dim(d),
            Expr::Binary(op, a, b) => {
                let (x, y) = (self.scalar(*a)?, self.scalar(*b)?);
                let infix = |sign: &str| Text::loose(format!("{} {sign} {}", x.tight(), y.tight()));
                match op {
                    BinaryOp::Add => x.plus(&y),
                    BinaryOp::Sub => x.plus(&Text::int(-1).times(&y)),
                    BinaryOp::Mul => x.times(&y),
                    BinaryOp::Div => x.over(&y),
                    BinaryOp::Mod | BinaryOp::Rem => infix("%"),
                    BinaryOp::Min if x.known().is_some() && y.known().is_some() => {
                        Text::int(x.known().min(y.known()).unwrap_or(0))
                    }
                    BinaryOp::Min => Text::atom(format!("Smaller({}, {})", x.s, y.s)),
                    BinaryOp::Max => Text::atom(format!("Larger({}, {})", x.s, y.s)),
                    BinaryOp::Lt => infix("<"),
                    BinaryOp::Le => infix("<="),
                    BinaryOp::Gt => infix(">"),
                    BinaryOp::Ge => infix(">="),
                    BinaryOp::Eq => infix("=="),
                    BinaryOp::Ne => infix("!="),
                    BinaryOp::And => infix("&&"),
                    BinaryOp::Or => infix("||"),
                    _ => return None,
                }
            }
            // Positions that data say, read by the scalar unit.
            Expr::Load(el, None) if el.guard.is_none() && self.k.dtype(e).is_int() => {
                let b = self.k.buffer(el.buffer);
                let tensor =
                    if b.space == beiming_ir::kernel::Space::Memory { format!("{}Global", b.name) } else { b.name.clone() };
                Text::atom(format!("{tensor}.GetValue({})", self.scalar(el.index[0])?.s))
            }
            Expr::Cast(to, a) if to.is_int() && self.k.dtype(*a).is_int() => {
                let ty = super::types::name(*to)?;
                Text::atom(format!("static_cast<{ty}>({})", self.scalar(*a)?.s))
            }
            Expr::Select(c, a, b) => {
                let (c, x, y) = (self.scalar(*c)?, self.scalar(*a)?, self.scalar(*b)?);
                Text::atom(format!("({} ? {} : {})", c.tight(), x.s, y.s))
            }
            _ => return None,
        })
    }

    /// An index as `coefficient * var + rest`.
    pub fn split(&self, e: ExprId, var: VarId) -> Option<(Text, Text)> {
        if !self.uses(e, var) {
            return Some((Text::int(0), self.scalar(e)?));
        }
        match &self.k.exprs[e.index()] {
            Expr::Var(_) => Some((Text::int(1), Text::int(0))),
            Expr::Binary(BinaryOp::Add, a, b) => {
                let ((p, x), (q, y)) = (self.split(*a, var)?, self.split(*b, var)?);
                Some((p.plus(&q), x.plus(&y)))
            }
            Expr::Binary(BinaryOp::Mul, a, b) if !self.uses(*b, var) => {
                let ((p, x), c) = (self.split(*a, var)?, self.scalar(*b)?);
                Some((p.times(&c), x.times(&c)))
            }
            _ => None,
        }
    }

    /// Whether an expression depends on a variable.
    pub fn uses(&self, e: ExprId, var: VarId) -> bool {
        match &self.k.exprs[e.index()] {
            Expr::Var(v) => *v == var,
            Expr::Const(_) | Expr::Dim(_) => false,
            Expr::Load(el, other) => el.index.iter().chain(&el.guard).chain(other).any(|a| self.uses(*a, var)),
            Expr::Unary(_, a) | Expr::Cast(_, a) | Expr::Bitcast(_, a) => self.uses(*a, var),
            Expr::Binary(_, a, b) => self.uses(*a, var) || self.uses(*b, var),
            Expr::Select(c, a, b) => [c, a, b].into_iter().any(|x| self.uses(*x, var)),
        }
    }
}

impl Printer<'_> {
    /// `x / d` and `x % d` for the decomposition of a grid point.
    pub fn over(&self, x: &str, d: &Dim) -> String {
        format!("{x} / {}", self.dim(d).tight())
    }

    /// See [`Printer::over`].
    pub fn rest(&self, x: &str, d: &Dim) -> String {
        format!("{x} % {}", self.dim(d).tight())
    }

    /// An index with some variables at zero.
    pub fn without(&self, e: ExprId, vars: &[Option<VarId>]) -> Option<Text> {
        if !vars.iter().flatten().any(|v| self.uses(e, *v)) {
            return self.scalar(e);
        }
        match &self.k.exprs[e.index()] {
            Expr::Var(_) => Some(Text::int(0)),
            Expr::Binary(BinaryOp::Add, a, b) => Some(self.without(*a, vars)?.plus(&self.without(*b, vars)?)),
            Expr::Binary(BinaryOp::Mul, a, b) => Some(self.without(*a, vars)?.times(&self.without(*b, vars)?)),
            _ => None,
        }
    }
}
