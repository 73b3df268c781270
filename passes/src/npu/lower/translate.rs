//! From scalar expressions to vector instructions. What the unit lacks is written with what it has: bf16 is computed in f32,
//! functions by exponentials, quotients or rational approximations, truth values as 0 and 1 in f16 where no mask will do.

use std::collections::HashMap;

use beiming_ir::kernel::{Expr, ExprId, Scalar};
use beiming_ir::ops::{BinaryOp, UnaryOp};
use beiming_ir::tensor::Num;
use beiming_ir::types::DType;

use super::program::{Program, Right, Step, V, number};
use crate::lower::builder::KernelBuilder;
use crate::npu::capability::{Instruction, computes};

/// Translates expressions of one kernel. `load` gives the operand that a load stands for.
pub struct Translator<'t, 'a, 'k> {
    /// Where the expressions are.
    pub kb: &'t KernelBuilder<'k>,
    /// What is written.
    pub program: &'t mut Program<'a>,
    /// Operands by their expression.
    pub operands: &'t HashMap<ExprId, usize>,
    /// f16 is computed in f32.
    pub widen: bool,
    /// Results so far.
    pub memo: HashMap<ExprId, V>,
}

/// True where a chain over f16 should be computed in f32: the unit's functions and quotients lose digits in f16.
pub fn widens(kb: &KernelBuilder, root: ExprId) -> bool {
    let (mut stack, mut seen) = (vec![root], std::collections::BTreeSet::new());
    while let Some(e) = stack.pop() {
        if !seen.insert(e) {
            continue;
        }
        match kb.expr(e) {
            Expr::Unary(op, _) if !matches!(op, UnaryOp::Neg | UnaryOp::Abs | UnaryOp::Not) => return true,
            Expr::Binary(BinaryOp::Div | BinaryOp::Pow, ..) => return true,
            Expr::Load(..) => {}
            Expr::Unary(_, a) | Expr::Cast(_, a) | Expr::Bitcast(_, a) => stack.push(*a),
            Expr::Binary(_, a, b) => stack.extend([*a, *b]),
            Expr::Select(c, a, b) => stack.extend([*c, *a, *b]),
            Expr::Const(_) | Expr::Var(_) | Expr::Dim(_) => {}
        }
    }
    false
}

impl Translator<'_, '_, '_> {
    /// The tile of an expression in its own type, as it is stored: truth values as bytes.
    pub fn stored(&mut self, e: ExprId) -> Result<V, String> {
        let dtype = self.kb.dtype(e);
        let v = self.value(e)?;
        if dtype == DType::Bool {
            let v = self.truth(v)?;
            return self.program.cast(DType::Bool, v);
        }
        self.program.cast(dtype, v)
    }

    /// The type that values of `dtype` are computed in.
    fn computed(&self, dtype: DType) -> DType {
        match dtype {
            DType::BF16 => DType::F32,
            DType::F16 if self.widen => DType::F32,
            DType::Bool => DType::F16,
            d => d,
        }
    }

    /// The tile of an expression in the type it is computed in; of a comparison, its mask.
    pub fn value(&mut self, e: ExprId) -> Result<V, String> {
        if let Some(v) = self.memo.get(&e) {
            return Ok(*v);
        }
        let around = self.program.now;
        self.program.now = self.kb.node_of(e).unwrap_or(around);
        let v = self.fresh(e);
        self.program.now = around;
        self.memo.insert(e, v.clone()?);
        v
    }

    fn fresh(&mut self, e: ExprId) -> Result<V, String> {
        let dtype = self.kb.dtype(e);
        Ok(match self.kb.expr(e).clone() {
            Expr::Load(..) => {
                let n = *self.operands.get(&e).ok_or("an element that is no operand of the tile")?;
                let v = self.program.operand(n, dtype);
                match dtype {
                    DType::I8 | DType::U8 => v,
                    _ => self.program.cast(self.computed(dtype), v)?,
                }
            }
            Expr::Const(s) if dtype == DType::Bool => self.program.splat(number(DType::F16, s.value.to_f64()))?,
            Expr::Const(s) => self.program.splat(number_like(self.computed(dtype), &s))?,
            Expr::Unary(op, a) => self.unary(op, a)?,
            Expr::Binary(op, a, b) if op.is_compare() => self.compare(op, a, b)?,
            Expr::Binary(op, a, b) => self.binary(op, a, b)?,
            Expr::Select(c, a, b) => self.select(c, a, b)?,
            Expr::Cast(to, a) => self.cast(to, a)?,
            Expr::Bitcast(..) => return Err("a bitcast is not a vector instruction".into()),
            Expr::Var(_) | Expr::Dim(_) => return Err("positions as data are not computed on the vector unit yet".into()),
        })
    }

    /// A constant, as computed.
    fn constant(&self, e: ExprId) -> Option<Scalar> {
        match self.kb.expr(e) {
            Expr::Const(s) if s.dtype != DType::Bool => Some(number_like(self.computed(s.dtype), s)),
            _ => None,
        }
    }

    /// A truth value as 0 or 1 in f16.
    fn truth(&mut self, v: V) -> Result<V, String> {
        if matches!(self.program.steps[v].0, Step::Compare(..)) {
            let one = self.program.splat(number(DType::F16, 1.0))?;
            return self.program.select(v, one, Right::Number(number(DType::F16, 0.0)));
        }
        Ok(v)
    }

    fn unary(&mut self, op: UnaryOp, a: ExprId) -> Result<V, String> {
        let dtype = self.kb.dtype(a);
        let x = self.value(a)?;
        let p = &mut *self.program;
        if op == UnaryOp::Not {
            let x = self.truth(x)?;
            let minus = self.program.with(BinaryOp::Mul, x, -1.0)?;
            return self.program.with(BinaryOp::Add, minus, 1.0);
        }
        if !dtype.is_float() && !matches!(op, UnaryOp::Neg) {
            return Err(format!("the vector unit of {} has no `{}` of {dtype}", p.npu().name, op.name()));
        }
        match op {
            UnaryOp::Neg => p.with(BinaryOp::Mul, x, -1.0),
            UnaryOp::Abs | UnaryOp::Exp | UnaryOp::Log | UnaryOp::Sqrt => p.unary(op, x),
            UnaryOp::Round if !computes(p.npu(), Instruction::RoundInPlace, p.dtype(x)) && p.dtype(x) == DType::F32 => {
                nearest(p, x)
            }
            UnaryOp::Floor | UnaryOp::Ceil | UnaryOp::Round | UnaryOp::RoundAway | UnaryOp::Trunc => p.unary(op, x),
            UnaryOp::Recip => reciprocal(p, x),
            UnaryOp::Rsqrt => {
                let root = p.unary(UnaryOp::Sqrt, x)?;
                reciprocal(p, root)
            }
            UnaryOp::Sigmoid => {
                let minus = p.with(BinaryOp::Mul, x, -1.0)?;
                let e = p.unary(UnaryOp::Exp, minus)?;
                let sum = p.with(BinaryOp::Add, e, 1.0)?;
                reciprocal(p, sum)
            }
            UnaryOp::Tanh => rational(p, x, 9.0, &TANH.0, &TANH.1),
            UnaryOp::Erf => rational(p, x, 4.0, &ERF.0, &ERF.1),
            UnaryOp::Sign => {
                let zero = Right::Number(number(p.dtype(x), 0.0));
                let (above, below) = (p.compare(BinaryOp::Gt, x, zero)?, p.compare(BinaryOp::Lt, x, zero)?);
                let (one, minus) = (p.splat(number(p.dtype(x), 1.0))?, p.splat(number(p.dtype(x), -1.0))?);
                // Zero and NaN are their own sign.
                let rest = p.select(below, minus, Right::Tile(x))?;
                p.select(above, one, Right::Tile(rest))
            }
            UnaryOp::IsNan => p.compare(BinaryOp::Ne, x, Right::Tile(x)),
            op => Err(format!("`{}` is not written for the vector unit", op.name())),
        }
    }

    fn binary(&mut self, op: BinaryOp, a: ExprId, b: ExprId) -> Result<V, String> {
        let dtype = self.kb.dtype(a);
        if dtype == DType::Bool {
            let (x, y) = (self.value(a)?, self.value(b)?);
            let (x, y) = (self.truth(x)?, self.truth(y)?);
            return match op {
                BinaryOp::And | BinaryOp::Min => self.program.binary(BinaryOp::Mul, x, y),
                BinaryOp::Or | BinaryOp::Max => self.program.binary(BinaryOp::Max, x, y),
                BinaryOp::Xor => {
                    let d = self.program.binary(BinaryOp::Sub, x, y)?;
                    self.program.unary(UnaryOp::Abs, d)
                }
                _ => Err(format!("`{}` of truth values is not written for the vector unit", op.name())),
            };
        }
        let takes = match op {
            BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul | BinaryOp::Max | BinaryOp::Min => true,
            BinaryOp::Div | BinaryOp::Pow => dtype.is_float(),
            _ => false,
        };
        if !takes {
            return Err(format!("`{}` of {dtype} is not written for the vector unit", op.name()));
        }
        match (op, self.constant(a), self.constant(b)) {
            (BinaryOp::Pow, _, Some(c)) => self.power(a, c.value.to_f64()),
            (BinaryOp::Pow, ..) => Err("`pow` with an exponent that is no constant".into()),
            (BinaryOp::Sub, _, Some(c)) => {
                let x = self.value(a)?;
                self.program.scalar(BinaryOp::Add, x, negated(&c))
            }
            (BinaryOp::Sub, Some(c), None) => {
                let x = self.value(b)?;
                let minus = self.program.with(BinaryOp::Mul, x, -1.0)?;
                self.program.scalar(BinaryOp::Add, minus, c)
            }
            (BinaryOp::Div, _, Some(c)) if exact_reciprocal(&c) => {
                let x = self.value(a)?;
                self.program.with(BinaryOp::Mul, x, 1.0 / c.value.to_f64())
            }
            (BinaryOp::Add | BinaryOp::Mul | BinaryOp::Max | BinaryOp::Min, None, Some(c)) => {
                let x = self.value(a)?;
                self.program.scalar(op, x, c)
            }
            (BinaryOp::Add | BinaryOp::Mul | BinaryOp::Max | BinaryOp::Min, Some(c), None) => {
                let x = self.value(b)?;
                self.program.scalar(op, x, c)
            }
            _ => {
                let (x, y) = (self.value(a)?, self.value(b)?);
                self.program.binary(op, x, y)
            }
        }
    }

    fn power(&mut self, a: ExprId, c: f64) -> Result<V, String> {
        let x = self.value(a)?;
        let p = &mut *self.program;
        if c == 2.0 || c == 3.0 {
            let square = p.binary(BinaryOp::Mul, x, x)?;
            return if c == 2.0 { Ok(square) } else { p.binary(BinaryOp::Mul, square, x) };
        }
        match c {
            1.0 => Ok(x),
            0.5 => p.unary(UnaryOp::Sqrt, x),
            -1.0 => reciprocal(p, x),
            _ => Err(format!("`pow` with the exponent {c}")),
        }
    }

    fn compare(&mut self, op: BinaryOp, a: ExprId, b: ExprId) -> Result<V, String> {
        let boolean = self.kb.dtype(a) == DType::Bool;
        // The number stands on the right.
        let (op, a, b) = if self.constant(a).is_some() { (mirrored(op), b, a) } else { (op, a, b) };
        let mut x = self.value(a)?;
        let number = self.constant(b);
        let right = self.right(number, b, boolean)?;
        if boolean {
            x = self.truth(x)?;
        }
        let dtype = self.program.dtype(x);
        if matches!(dtype, DType::I8 | DType::U8) {
            return Err("comparisons of 8-bit numbers are not written for the vector unit".into());
        }
        let family = if op == BinaryOp::Eq { Instruction::CompareEqual } else { Instruction::Compare };
        if dtype.is_int() && !computes(self.program.npu(), family, dtype) {
            // Rounding to f32 keeps the order, and numbers of up to 24 bits: on which side of one of those a whole number lies.
            let small = number.map(|c| c.value.to_f64()).filter(|c| c.abs() < f64::from(1 << 24));
            if let Some(c) = small {
                let x = self.program.cast(DType::F32, x)?;
                return self.program.compare(op, x, Right::Number(super::program::number(DType::F32, c)));
            }
            return whole(self.program, op, x, right);
        }
        self.program.compare(op, x, right)
    }

    /// What stands on the right: the number, or the tile of `b`, as 0 and 1 where it is boolean.
    fn right(&mut self, number: Option<Scalar>, b: ExprId, boolean: bool) -> Result<Right, String> {
        if let Some(c) = number {
            return Ok(Right::Number(c));
        }
        let y = self.value(b)?;
        Ok(Right::Tile(if boolean { self.truth(y)? } else { y }))
    }

    /// The mask of a condition.
    fn mask(&mut self, c: ExprId) -> Result<V, String> {
        let v = self.value(c)?;
        if matches!(self.program.steps[v].0, Step::Compare(..)) {
            return Ok(v);
        }
        self.program.compare(BinaryOp::Ne, v, Right::Number(number(DType::F16, 0.0)))
    }

    fn select(&mut self, c: ExprId, a: ExprId, b: ExprId) -> Result<V, String> {
        let mask = self.mask(c)?;
        let boolean = self.kb.dtype(a) == DType::Bool;
        let mut x = self.value(a)?;
        if boolean {
            x = self.truth(x)?;
        }
        let number = self.constant(b).filter(|c| c.dtype.is_float());
        let right = self.right(number, b, boolean)?;
        self.program.select(mask, x, right)
    }

    fn cast(&mut self, to: DType, a: ExprId) -> Result<V, String> {
        let from = self.kb.dtype(a);
        let mut v = self.value(a)?;
        if from == DType::Bool {
            v = self.truth(v)?;
        }
        let p = &mut *self.program;
        // Everything meets in f32, but for what f16 holds exactly.
        let small = |d: DType| matches!(d, DType::I8 | DType::U8);
        if small(from) {
            v = p.cast(DType::F16, v)?;
        }
        if to == DType::Bool {
            if matches!(p.dtype(v), DType::I64 | DType::I32 | DType::I16) {
                v = p.cast(DType::F32, v)?;
            }
            let zero = Right::Number(number(p.dtype(v), 0.0));
            return p.compare(BinaryOp::Ne, v, zero);
        }
        if small(to) {
            if small(from) || from == DType::Bool {
                return Err(format!("a conversion of {from} to {to} is not written for the vector unit"));
            }
            if p.dtype(v) == DType::I32 || p.dtype(v) == DType::I16 {
                return Err(format!("a conversion of {from} to {to} wraps, which the vector unit does not"));
            }
            // In range and whole first: the way through f16 must not round across either.
            v = p.cast(DType::F32, v)?;
            let (lo, hi) = to.int_range().unwrap_or((0, 0));
            v = p.with(BinaryOp::Max, v, lo as f64)?;
            v = p.with(BinaryOp::Min, v, hi as f64)?;
            for step in [DType::I32, DType::F32, DType::F16, to] {
                v = p.cast(step, v)?;
            }
            return Ok(v);
        }
        let target = self.computed(to);
        let p = &mut *self.program;
        let known = [DType::F32, DType::F16, DType::BF16, DType::I32, DType::I16];
        if !known.contains(&to) || (from.is_int() && to.is_int() && !small(from) && from != to) {
            return Err(format!("a conversion of {from} to {to} is not written for the vector unit"));
        }
        if p.dtype(v) != target && p.dtype(v) != DType::F32 && target != DType::F32 {
            v = p.cast(DType::F32, v)?;
        }
        // Narrowing to f16 or bf16 rounds here even where the chain goes on in f32.
        if p.dtype(v) == DType::F32 && target == DType::F32 && matches!(to, DType::F16 | DType::BF16) && from != to {
            v = p.cast(to, v)?;
        }
        p.cast(target, v)
    }
}

fn number_like(dtype: DType, s: &Scalar) -> Scalar {
    match s.value {
        Num::Int(_) if !dtype.is_float() => Scalar { dtype, value: s.value },
        _ => number(dtype, s.value.to_f64()),
    }
}

fn negated(s: &Scalar) -> Scalar {
    match s.value {
        Num::Int(i) => Scalar { dtype: s.dtype, value: beiming_ir::num::round_to(s.dtype, Num::Int(-i)) },
        _ => number(s.dtype, -s.value.to_f64()),
    }
}

fn exact_reciprocal(s: &Scalar) -> bool {
    let x = s.value.to_f64().abs();
    s.dtype.is_float() && x.is_normal() && x.log2().fract() == 0.0 && (-14.0..=14.0).contains(&x.log2())
}

fn mirrored(op: BinaryOp) -> BinaryOp {
    match op {
        BinaryOp::Lt => BinaryOp::Gt,
        BinaryOp::Le => BinaryOp::Ge,
        BinaryOp::Gt => BinaryOp::Lt,
        BinaryOp::Ge => BinaryOp::Le,
        op => op,
    }
}

/// A comparison of whole numbers by what every generation has: `x > y` where the larger of both is not `y`, and two numbers are
/// equal where their difference, modulo 2^32 or cut to what i32 holds, is zero, which rounding to f32 keeps apart from all others.
fn whole(p: &mut Program, op: BinaryOp, x: V, right: Right) -> Result<V, String> {
    let dtype = p.dtype(x);
    let y = match right {
        Right::Tile(y) => y,
        Right::Number(c) => p.splat(c)?,
    };
    if dtype == DType::I16 {
        let (x, y) = (p.cast(DType::F32, x)?, p.cast(DType::F32, y)?);
        return p.compare(op, x, Right::Tile(y));
    }
    let (of, apart) = match op {
        BinaryOp::Eq => (None, false),
        BinaryOp::Ne => (None, true),
        BinaryOp::Gt => (Some(y), true),
        BinaryOp::Le => (Some(y), false),
        BinaryOp::Lt => (Some(x), true),
        BinaryOp::Ge => (Some(x), false),
        _ => return Err(format!("`{}` is no comparison", op.name())),
    };
    if dtype != DType::I32 {
        return Err(format!("the vector unit of {} has no `{}` in {dtype}", p.npu().name, op.name()));
    }
    let difference = match of {
        None => p.binary(BinaryOp::Sub, x, y)?,
        Some(one) => {
            let larger = p.binary(BinaryOp::Max, x, y)?;
            p.binary(BinaryOp::Sub, larger, one)?
        }
    };
    let difference = p.cast(DType::F32, difference)?;
    let to = if apart { BinaryOp::Ne } else { BinaryOp::Eq };
    p.compare(to, difference, Right::Number(number(DType::F32, 0.0)))
}

/// Rounded to the nearest whole number, ties to even, where no instruction does that: from 2^23 on the numbers of f32 are whole
/// themselves, and below it adding that number and taking it away again rounds.
fn nearest(p: &mut Program, x: V) -> Result<V, String> {
    let whole = f64::from(1 << 23);
    let size = p.unary(UnaryOp::Abs, x)?;
    let sum = p.with(BinaryOp::Add, size, whole)?;
    let rounded = p.with(BinaryOp::Add, sum, -whole)?;
    let zero = Right::Number(number(DType::F32, 0.0));
    let negative = p.compare(BinaryOp::Lt, x, zero)?;
    let minus = p.with(BinaryOp::Mul, rounded, -1.0)?;
    let signed = p.select(negative, minus, Right::Tile(rounded))?;
    // NaN is not below, and stays.
    let below = p.compare(BinaryOp::Lt, size, Right::Number(number(DType::F32, whole)))?;
    p.select(below, signed, Right::Tile(x))
}

/// `1 / x`. The unit's own reciprocal has few digits.
pub fn reciprocal(p: &mut Program, x: V) -> Result<V, String> {
    let one = p.splat(number(p.dtype(x), 1.0))?;
    p.binary(BinaryOp::Div, one, x)
}

/// Coefficients from the highest power of `x * x` down, of numerator (times `x`) and denominator: the minimax approximations of
/// Eigen's `ptanh` and `perf` for f32, within a few units in the last place.
const TANH: ([f64; 7], [f64; 4]) = (
    [
        -2.760_768_477_423_55e-16,
        2.000_187_904_824_77e-13,
        -8.604_671_522_137_35e-11,
        5.122_297_090_371_14e-8,
        1.485_722_357_179_79e-5,
        6.372_619_288_754_36e-4,
        4.893_524_558_917_86e-3,
    ],
    [1.198_258_394_667_02e-6, 1.185_347_056_866_54e-4, 2.268_434_632_439e-3, 4.893_525_185_543_85e-3],
);
const ERF: ([f64; 7], [f64; 5]) = (
    [
        -2.726_142_258_013_06e-10,
        2.770_681_424_959_02e-8,
        -2.101_024_020_825_08e-6,
        -5.692_506_394_623_46e-5,
        -7.349_906_303_268_55e-4,
        -2.954_599_808_540_25e-3,
        -1.609_603_332_624_15e-2,
    ],
    [
        -1.456_607_184_649_96e-5,
        -2.133_740_552_789_05e-4,
        -1.682_826_974_382_03e-3,
        -7.373_329_167_204_68e-3,
        -1.426_473_905_141_89e-2,
    ],
);

/// `x * above(x²) / below(x²)` on `x` cut to `-limit..limit`.
fn rational(p: &mut Program, x: V, limit: f64, above: &[f64], below: &[f64]) -> Result<V, String> {
    let x = p.with(BinaryOp::Min, x, limit)?;
    let x = p.with(BinaryOp::Max, x, -limit)?;
    let square = p.binary(BinaryOp::Mul, x, x)?;
    let horner = |p: &mut Program, c: &[f64]| -> Result<V, String> {
        let mut sum = p.with(BinaryOp::Mul, square, c[0])?;
        for (i, k) in c.iter().enumerate().skip(1) {
            sum = p.with(BinaryOp::Add, sum, *k)?;
            if i + 1 < c.len() {
                sum = p.binary(BinaryOp::Mul, sum, square)?;
            }
        }
        Ok(sum)
    };
    let top = horner(p, above)?;
    let top = p.binary(BinaryOp::Mul, top, x)?;
    let bottom = horner(p, below)?;
    p.binary(BinaryOp::Div, top, bottom)
}
