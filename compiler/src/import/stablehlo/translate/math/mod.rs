//! Formulas of real and complex numbers, written with operators and emitted as core ops.
//!
//! [`Ex`] is a formula; clones are references, and a part that occurs twice is emitted once. A number in a formula takes the
//! element type of what it is combined with.

pub mod complex;
pub mod double;
pub mod inverse;
pub mod special;
pub mod tables;

use std::collections::HashMap;
use std::ops::{Add, Div, Mul, Neg, Sub};
use std::rc::Rc;

use beiming_ir::ops::{BinaryOp, Op, UnaryOp};
use beiming_ir::types::DType;

use crate::import::build::Build;
use crate::import::fail::{Fail, R};
use crate::import::frame::V;

/// A formula.
#[derive(Clone, Debug)]
pub struct Ex(Rc<Node>);

#[derive(Debug)]
enum Node {
    Value(V),
    Number(f64),
    Unary(UnaryOp, Ex),
    Binary(BinaryOp, Ex, Ex),
    Select(Ex, Ex, Ex),
    Cast(DType, Ex),
    Bitcast(DType, Ex),
}

/// A value of the graph as a formula.
pub fn value(v: V) -> Ex {
    Ex(Rc::new(Node::Value(v)))
}

/// A number as a formula.
pub fn number(v: f64) -> Ex {
    Ex(Rc::new(Node::Number(v)))
}

macro_rules! unary {
    ($($(#[$doc:meta])* $name:ident $op:ident;)*) => {
        impl Ex { $($(#[$doc])* pub fn $name(&self) -> Ex { self.apply(UnaryOp::$op) })* }
    };
}

unary! {
    /// Absolute value.
    abs Abs;
    /// -1, 0 or 1.
    sign Sign;
    /// Square root.
    sqrt Sqrt;
    /// Exponential.
    exp Exp;
    /// `exp(x) - 1`.
    expm1 Expm1;
    /// Natural logarithm.
    ln Log;
    /// `log(1 + x)`.
    log1p Log1p;
    /// Sine.
    sin Sin;
    /// Cosine.
    cos Cos;
    /// Tangent.
    tan Tan;
    /// Inverse sine.
    asin Asin;
    /// Inverse cosine.
    acos Acos;
    /// Inverse tangent.
    atan Atan;
    /// Hyperbolic sine.
    sinh Sinh;
    /// Hyperbolic cosine.
    cosh Cosh;
    /// Error function.
    erf Erf;
    /// Its complement.
    erfc Erfc;
    /// Largest integer not above.
    floor Floor;
    /// `bool`.
    is_nan IsNan;
    /// `bool`.
    not Not;
    /// Bits of an integer.
    bit_not BitNot;
}

macro_rules! binary {
    ($($(#[$doc:meta])* $name:ident $op:ident;)*) => {
        impl Ex { $($(#[$doc])* pub fn $name(&self, o: impl Into<Ex>) -> Ex { self.join(BinaryOp::$op, o) })* }
    };
}

binary! {
    /// The larger.
    max Max;
    /// The smaller.
    min Min;
    /// The angle of the point `(o, self)`.
    atan2 Atan2;
    /// Comparison.
    lt Lt;
    /// Comparison.
    le Le;
    /// Comparison.
    gt Gt;
    /// Comparison.
    ge Ge;
    /// Comparison.
    eq Eq;
    /// Comparison.
    ne Ne;
    /// Logic or bits.
    and And;
    /// Logic or bits.
    or Or;
    /// Logic or bits.
    xor Xor;
    /// Shift to the left.
    shl Shl;
    /// Shift to the right, by the type's sign.
    shr Shr;
}

impl Ex {
    /// A core function of one argument.
    pub fn apply(&self, op: UnaryOp) -> Ex {
        Ex(Rc::new(Node::Unary(op, self.clone())))
    }

    /// A core function of two arguments.
    pub fn join(&self, op: BinaryOp, o: impl Into<Ex>) -> Ex {
        Ex(Rc::new(Node::Binary(op, self.clone(), o.into())))
    }

    /// `self ? a : b`.
    pub fn pick(&self, a: impl Into<Ex>, b: impl Into<Ex>) -> Ex {
        Ex(Rc::new(Node::Select(self.clone(), a.into(), b.into())))
    }

    /// Conversion.
    pub fn cast(&self, to: DType) -> Ex {
        Ex(Rc::new(Node::Cast(to, self.clone())))
    }

    /// The bits as another type of equal width.
    pub fn bitcast(&self, to: DType) -> Ex {
        Ex(Rc::new(Node::Bitcast(to, self.clone())))
    }

    /// `self * self`.
    pub fn square(&self) -> Ex {
        self * self
    }

    /// `|self| = inf`.
    pub fn is_inf(&self) -> Ex {
        self.abs().eq(f64::INFINITY)
    }

    /// True where the sign bit is set, of zero and NaN too: `x < 0` or `1 / x < 0`.
    pub fn is_negative(&self) -> Ex {
        self.lt(0.0).or(self.eq(0.0).and((1.0 / self).lt(0.0)))
    }

    /// `|self|` with the sign of `o`.
    pub fn with_sign(&self, o: &Ex) -> Ex {
        let a = self.abs();
        o.is_negative().pick(-&a, a)
    }

    /// `p[0] + p[1] x + ..`.
    pub fn poly(&self, p: &[f64]) -> Ex {
        let (last, rest) = p.split_last().map_or((0.0, &[][..]), |(l, r)| (*l, r));
        rest.iter().rev().fold(number(last), |a, k| a * self + *k)
    }
}

impl From<f64> for Ex {
    fn from(v: f64) -> Ex {
        number(v)
    }
}

impl From<&Ex> for Ex {
    fn from(v: &Ex) -> Ex {
        v.clone()
    }
}

macro_rules! operators {
    ($($trait:ident $name:ident $op:ident;)*) => { $(
        impl<T: Into<Ex>> $trait<T> for Ex {
            type Output = Ex;
            fn $name(self, o: T) -> Ex { self.join(BinaryOp::$op, o) }
        }
        impl<T: Into<Ex>> $trait<T> for &Ex {
            type Output = Ex;
            fn $name(self, o: T) -> Ex { self.join(BinaryOp::$op, o) }
        }
        impl $trait<Ex> for f64 {
            type Output = Ex;
            fn $name(self, o: Ex) -> Ex { number(self).join(BinaryOp::$op, o) }
        }
        impl $trait<&Ex> for f64 {
            type Output = Ex;
            fn $name(self, o: &Ex) -> Ex { number(self).join(BinaryOp::$op, o) }
        }
    )* };
}

operators! {
    Add add Add;
    Sub sub Sub;
    Mul mul Mul;
    Div div Div;
}

impl Neg for Ex {
    type Output = Ex;
    fn neg(self) -> Ex {
        self.apply(UnaryOp::Neg)
    }
}

impl Neg for &Ex {
    type Output = Ex;
    fn neg(self) -> Ex {
        self.apply(UnaryOp::Neg)
    }
}

/// Emits formulas; the results are in their order. A formula that is a number alone is an error of the caller's.
pub fn emit<B: Build>(b: &mut B, formulas: &[&Ex]) -> R<Vec<V>> {
    let mut done = HashMap::new();
    formulas.iter().map(|e| one(b, e, None, &mut done)).collect()
}

fn one<B: Build>(b: &mut B, e: &Ex, like: Option<V>, done: &mut HashMap<*const Node, V>) -> R {
    if let Node::Number(v) = &*e.0 {
        return match like {
            Some(like) => Ok(b.scalar_like(like, *v)),
            None => Err(Fail::Unsupported("a formula of numbers alone".into())),
        };
    }
    let key = Rc::as_ptr(&e.0);
    if let Some(v) = done.get(&key) {
        return Ok(*v);
    }
    let v = match &*e.0 {
        Node::Number(_) => return Err(Fail::Poisoned),
        Node::Value(v) => *v,
        Node::Unary(op, x) => {
            let x = one(b, x, like, done)?;
            b.unary(*op, x)?
        }
        Node::Binary(op, x, y) => {
            let like = like.filter(|_| !op.is_compare());
            let (x, y) = both(b, x, y, like, done)?;
            b.binary(*op, x, y)?
        }
        Node::Select(c, x, y) => {
            let c = one(b, c, None, done)?;
            let (x, y) = both(b, x, y, like, done)?;
            b.select(c, x, y)?
        }
        Node::Cast(to, x) => {
            let x = one(b, x, None, done)?;
            b.cast(x, *to)?
        }
        Node::Bitcast(to, x) => {
            let x = one(b, x, None, done)?;
            if b.dtype(x) == *to { x } else { b.emit(Op::Bitcast { to: *to }, &[x])? }
        }
    };
    done.insert(key, v);
    Ok(v)
}

/// Two formulas of one type. One that is made of numbers alone takes the other's type, or that of `like`.
fn both<B: Build>(b: &mut B, x: &Ex, y: &Ex, like: Option<V>, done: &mut HashMap<*const Node, V>) -> R<(V, V)> {
    if !typed(x) {
        let y = one(b, y, like, done)?;
        return Ok((one(b, x, Some(y), done)?, y));
    }
    let x = one(b, x, like, done)?;
    Ok((x, one(b, y, Some(x), done)?))
}

/// Whether a formula has an element type of its own.
fn typed(e: &Ex) -> bool {
    match &*e.0 {
        Node::Number(_) => false,
        Node::Select(_, x, y) => typed(x) || typed(y),
        _ => true,
    }
}
