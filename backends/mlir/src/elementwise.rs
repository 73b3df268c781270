//! Scalar functions, on whole tensors of one shape. Where `arith` leaves a case open that the IR defines (division by zero, shifts by
//! more than the width), the case is decided by a select around it.

use beiming_ir::ops::{BinaryOp, UnaryOp};
use beiming_ir::types::DType;

use crate::build::{Builder, Val, Why};
use crate::cast::cast;

/// Numbers of the predicates of `arith.cmpf`.
const FLOAT: [(&str, i64); 7] = [("oeq", 1), ("ogt", 2), ("oge", 3), ("olt", 4), ("ole", 5), ("une", 13), ("uno", 14)];

/// Numbers of the predicates of `arith.cmpi`.
const INT: [(&str, i64); 10] =
    [("eq", 0), ("ne", 1), ("slt", 2), ("sle", 3), ("sgt", 4), ("sge", 5), ("ult", 6), ("ule", 7), ("ugt", 8), ("uge", 9)];

fn compare<'c, 'b>(
    b: &Builder<'c, 'b>,
    (name, predicates): (&str, &[(&str, i64)]),
    predicate: &str,
    x: &Val<'c, 'b>,
    y: &Val<'c, 'b>,
) -> Result<Val<'c, 'b>, Why> {
    let number = predicates.iter().find(|p| p.0 == predicate).ok_or_else(|| format!("no predicate `{predicate}`"))?.1;
    b.make(name, &[x, y], DType::Bool, &x.shape, &[("predicate", b.i64(number))], vec![])
}

/// A comparison of floats by a predicate of `arith.cmpf`.
pub fn compare_float<'c, 'b>(b: &Builder<'c, 'b>, p: &str, x: &Val<'c, 'b>, y: &Val<'c, 'b>) -> Result<Val<'c, 'b>, Why> {
    compare(b, ("arith.cmpf", &FLOAT), p, x, y)
}

/// A comparison of integers by a predicate of `arith.cmpi`.
pub fn compare_int<'c, 'b>(b: &Builder<'c, 'b>, p: &str, x: &Val<'c, 'b>, y: &Val<'c, 'b>) -> Result<Val<'c, 'b>, Why> {
    compare(b, ("arith.cmpi", &INT), p, x, y)
}

/// `c ? x : y` of each element.
pub fn select<'c, 'b>(b: &Builder<'c, 'b>, c: &Val<'c, 'b>, x: &Val<'c, 'b>, y: &Val<'c, 'b>) -> Result<Val<'c, 'b>, Why> {
    b.make("arith.select", &[c, x, y], x.dtype, &x.shape, &[], vec![])
}

/// The op of one name in `math`, for floats; `None` where it is written out, or is none of floats.
fn math(op: UnaryOp) -> Option<&'static str> {
    use UnaryOp::*;
    Some(match op {
        Neg => "arith.negf",
        Abs => "math.absf",
        Exp => "math.exp",
        Expm1 => "math.expm1",
        Log => "math.log",
        Log1p => "math.log1p",
        Sqrt => "math.sqrt",
        Rsqrt => "math.rsqrt",
        Sin => "math.sin",
        Cos => "math.cos",
        Tan => "math.tan",
        Asin => "math.asin",
        Acos => "math.acos",
        Atan => "math.atan",
        Sinh => "math.sinh",
        Cosh => "math.cosh",
        Tanh => "math.tanh",
        Asinh => "math.asinh",
        Acosh => "math.acosh",
        Atanh => "math.atanh",
        Cbrt => "math.cbrt",
        Erf => "math.erf",
        Erfc => "math.erfc",
        Floor => "math.floor",
        Ceil => "math.ceil",
        Round => "math.roundeven",
        RoundAway => "math.round",
        Trunc => "math.trunc",
        Sign | Recip | Sigmoid | IsNan | IsInf | Not | BitNot | Popcount | LeadingZeros => return None,
    })
}

/// `op` of each element.
pub fn unary<'c, 'b>(b: &Builder<'c, 'b>, op: UnaryOp, x: &Val<'c, 'b>) -> Result<Val<'c, 'b>, Why> {
    let d = x.dtype;
    if d.is_float() {
        return float_unary(b, op, x);
    }
    match op {
        UnaryOp::Neg => b.map("arith.subi", &[&b.integer(x, 0)?, x], d),
        UnaryOp::Abs if d.is_signed_int() => b.map("math.absi", &[x], d),
        UnaryOp::Abs => Ok(x.clone()),
        UnaryOp::Not => b.map("arith.xori", &[x, &b.integer(x, 1)?], d),
        UnaryOp::BitNot => b.map("arith.xori", &[x, &b.integer(x, -1)?], d),
        UnaryOp::Popcount => b.map("math.ctpop", &[x], d),
        UnaryOp::LeadingZeros => b.map("math.ctlz", &[x], d),
        UnaryOp::Sign => {
            let (zero, one) = (b.integer(x, 0)?, b.integer(x, 1)?);
            let above = compare_int(b, "ne", x, &zero)?;
            let sign = select(b, &above, &one, &zero)?;
            if d.is_unsigned_int() {
                return Ok(sign);
            }
            select(b, &compare_int(b, "slt", x, &zero)?, &b.integer(x, -1)?, &sign)
        }
        _ => Err(format!("`{}` of {d} has no op in arith or math", op.name())),
    }
}

fn float_unary<'c, 'b>(b: &Builder<'c, 'b>, op: UnaryOp, x: &Val<'c, 'b>) -> Result<Val<'c, 'b>, Why> {
    let d = x.dtype;
    if let Some(name) = math(op) {
        return b.map(name, &[x], d);
    }
    match op {
        UnaryOp::Recip => b.map("arith.divf", &[&b.real(x, 1.0)?, x], d),
        // Rounded once at the end, as the IR's is.
        UnaryOp::Sigmoid => wide(b, x, |x| {
            let one = b.real(x, 1.0)?;
            let e = b.map("math.exp", &[&b.map("arith.negf", &[x], x.dtype)?], x.dtype)?;
            b.map("arith.divf", &[&one, &b.map("arith.addf", &[&e, &one], x.dtype)?], x.dtype)
        }),
        UnaryOp::Sign => {
            // A zero loses its sign; NaN stays.
            let zero = b.real(x, 0.0)?;
            let s = select(b, &compare_float(b, "oeq", x, &zero)?, &zero, x)?;
            let s = select(b, &compare_float(b, "ogt", x, &zero)?, &b.real(x, 1.0)?, &s)?;
            select(b, &compare_float(b, "olt", x, &zero)?, &b.real(x, -1.0)?, &s)
        }
        // `uno` says the same; AscendNPU-IR's compiler aborts on it.
        UnaryOp::IsNan => compare_float(b, "une", x, x),
        UnaryOp::IsInf => compare_float(b, "oeq", &b.map("math.absf", &[x], d)?, &b.real(x, f64::INFINITY)?),
        _ => Err(format!("`{}` does not take {d}", op.name())),
    }
}

/// `f` in f32 where `x` is of a narrower float type, rounded once to that type.
pub fn wide<'c, 'b>(
    b: &Builder<'c, 'b>,
    x: &Val<'c, 'b>,
    f: impl FnOnce(&Val<'c, 'b>) -> Result<Val<'c, 'b>, Why>,
) -> Result<Val<'c, 'b>, Why> {
    if x.dtype.bits() >= 32 {
        return f(x);
    }
    cast(b, &f(&cast(b, x, DType::F32)?)?, x.dtype)
}

/// `op` of two tensors of one shape and type.
pub fn binary<'c, 'b>(b: &Builder<'c, 'b>, op: BinaryOp, x: &Val<'c, 'b>, y: &Val<'c, 'b>) -> Result<Val<'c, 'b>, Why> {
    if x.dtype.is_float() { float_binary(b, op, x, y) } else { int_binary(b, op, x, y) }
}

fn float_binary<'c, 'b>(b: &Builder<'c, 'b>, op: BinaryOp, x: &Val<'c, 'b>, y: &Val<'c, 'b>) -> Result<Val<'c, 'b>, Why> {
    use BinaryOp::*;
    let d = x.dtype;
    let name = match op {
        Add => "arith.addf",
        Sub => "arith.subf",
        Mul => "arith.mulf",
        Div => "arith.divf",
        Max => "arith.maximumf",
        Min => "arith.minimumf",
        Pow => "math.powf",
        Rem => "arith.remf",
        Atan2 => "math.atan2",
        Eq => return compare_float(b, "oeq", x, y),
        Ne => return compare_float(b, "une", x, y),
        Lt => return compare_float(b, "olt", x, y),
        Le => return compare_float(b, "ole", x, y),
        Gt => return compare_float(b, "ogt", x, y),
        Ge => return compare_float(b, "oge", x, y),
        Mod => return float_mod(b, x, y),
        And | Or | Xor | Shl | Shr => return Err(format!("`{}` does not take {d}", op.name())),
    };
    b.map(name, &[x, y], d)
}

/// The remainder, moved to the sign of the divisor; where it is zero it has that sign, too.
fn float_mod<'c, 'b>(b: &Builder<'c, 'b>, x: &Val<'c, 'b>, y: &Val<'c, 'b>) -> Result<Val<'c, 'b>, Why> {
    let d = x.dtype;
    let (r, zero) = (b.map("arith.remf", &[x, y], d)?, b.real(x, 0.0)?);
    let apart = b.map("arith.xori", &[&compare_float(b, "olt", &r, &zero)?, &compare_float(b, "olt", y, &zero)?], DType::Bool)?;
    let moved = select(b, &apart, &b.map("arith.addf", &[&r, y], d)?, &r)?;
    let none = compare_float(b, "oeq", &r, &zero)?;
    select(b, &none, &b.map("math.copysign", &[&zero, y], d)?, &moved)
}

fn int_binary<'c, 'b>(b: &Builder<'c, 'b>, op: BinaryOp, x: &Val<'c, 'b>, y: &Val<'c, 'b>) -> Result<Val<'c, 'b>, Why> {
    use BinaryOp::*;
    let (d, signed) = (x.dtype, x.dtype.is_signed_int());
    let by_sign = |s: &'static str, u: &'static str| if signed { s } else { u };
    let name = match op {
        Add => "arith.addi",
        Sub => "arith.subi",
        Mul => "arith.muli",
        // Of truth values: or, and.
        Max if d == DType::Bool => "arith.ori",
        Min if d == DType::Bool => "arith.andi",
        Max => by_sign("arith.maxsi", "arith.maxui"),
        Min => by_sign("arith.minsi", "arith.minui"),
        And => "arith.andi",
        Or => "arith.ori",
        Xor => "arith.xori",
        Eq => return compare_int(b, "eq", x, y),
        Ne => return compare_int(b, "ne", x, y),
        Lt => return compare_int(b, by_sign("slt", "ult"), x, y),
        Le => return compare_int(b, by_sign("sle", "ule"), x, y),
        Gt => return compare_int(b, by_sign("sgt", "ugt"), x, y),
        Ge => return compare_int(b, by_sign("sge", "uge"), x, y),
        Div | Rem | Mod => return divide(b, op, x, y),
        Shl | Shr => return shift(b, op, x, y),
        Pow | Atan2 => return Err(format!("`{}` of {d} has no op in arith or math", op.name())),
    };
    b.map(name, &[x, y], d)
}

/// Division and its remainders: by zero they are zero, and by -1 they wrap; `arith` leaves both open.
fn divide<'c, 'b>(b: &Builder<'c, 'b>, op: BinaryOp, x: &Val<'c, 'b>, y: &Val<'c, 'b>) -> Result<Val<'c, 'b>, Why> {
    let (d, signed) = (x.dtype, x.dtype.is_signed_int());
    let (zero, one) = (b.integer(x, 0)?, b.integer(x, 1)?);
    let by_zero = compare_int(b, "eq", y, &zero)?;
    let mut safe = select(b, &by_zero, &one, y)?;
    let negative = match signed {
        true => Some(compare_int(b, "eq", y, &b.integer(x, -1)?)?),
        false => None,
    };
    if let Some(n) = &negative {
        safe = select(b, n, &one, &safe)?;
    }
    let result = match op {
        BinaryOp::Div => {
            let q = b.map(if signed { "arith.divsi" } else { "arith.divui" }, &[x, &safe], d)?;
            match &negative {
                Some(n) => select(b, n, &b.map("arith.subi", &[&zero, x], d)?, &q)?,
                None => q,
            }
        }
        // By -1, as by 1, there is no remainder.
        _ => {
            let r = b.map(if signed { "arith.remsi" } else { "arith.remui" }, &[x, &safe], d)?;
            if op == BinaryOp::Mod && signed {
                let below = |v: &Val<'c, 'b>| compare_int(b, "slt", v, &zero);
                let apart = b.map("arith.xori", &[&below(&r)?, &below(y)?], DType::Bool)?;
                let apart = b.map("arith.andi", &[&apart, &compare_int(b, "ne", &r, &zero)?], DType::Bool)?;
                select(b, &apart, &b.map("arith.addi", &[&r, y], d)?, &r)?
            } else {
                r
            }
        }
    };
    select(b, &by_zero, &zero, &result)
}

/// Shifts: by the width or more, or by less than nothing, all bits go.
fn shift<'c, 'b>(b: &Builder<'c, 'b>, op: BinaryOp, x: &Val<'c, 'b>, y: &Val<'c, 'b>) -> Result<Val<'c, 'b>, Why> {
    let (d, signed) = (x.dtype, x.dtype.is_signed_int());
    let zero = b.integer(x, 0)?;
    // A negative count is a large one without its sign.
    let inside = compare_int(b, "ult", y, &b.integer(x, d.bits().into())?)?;
    let count = select(b, &inside, y, &zero)?;
    let (name, gone) = match op {
        BinaryOp::Shl => ("arith.shli", zero),
        _ if signed => {
            let below = compare_int(b, "slt", x, &zero)?;
            ("arith.shrsi", select(b, &below, &b.integer(x, -1)?, &zero)?)
        }
        _ => ("arith.shrui", zero),
    };
    select(b, &inside, &b.map(name, &[x, &count], d)?, &gone)
}
