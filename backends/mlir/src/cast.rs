//! Conversions of elements, as the IR means them: float to integer truncates and saturates, NaN gives zero; to `bool` is `!= 0`.

use beiming_ir::types::DType;

use crate::build::{Builder, Val, Why};
use crate::elementwise::{compare_float, compare_int, select};

/// `x` with elements of type `to`.
pub fn cast<'c, 'b>(b: &Builder<'c, 'b>, x: &Val<'c, 'b>, to: DType) -> Result<Val<'c, 'b>, Why> {
    let from = x.dtype;
    if from == to {
        return Ok(x.clone());
    }
    match (from.is_float(), to.is_float()) {
        (true, true) => float_to_float(b, x, to),
        (true, false) if to == DType::Bool => compare_float(b, "une", x, &b.real(x, 0.0)?),
        (true, false) => float_to_int(b, x, to),
        (false, true) => b.map(if signed(from) { "arith.sitofp" } else { "arith.uitofp" }, &[x], to),
        (false, false) if to == DType::Bool => compare_int(b, "ne", x, &b.integer(x, 0)?),
        (false, false) => int_to_int(b, x, to),
    }
}

fn signed(d: DType) -> bool {
    d.is_signed_int()
}

fn float_to_float<'c, 'b>(b: &Builder<'c, 'b>, x: &Val<'c, 'b>, to: DType) -> Result<Val<'c, 'b>, Why> {
    match x.dtype.bits().cmp(&to.bits()) {
        std::cmp::Ordering::Less => b.map("arith.extf", &[x], to),
        std::cmp::Ordering::Greater => b.map("arith.truncf", &[x], to),
        // f16 and bf16: through the type that holds both.
        std::cmp::Ordering::Equal => b.map("arith.truncf", &[&b.map("arith.extf", &[x], DType::F32)?], to),
    }
}

/// `arith.fptosi` leaves open what is out of range, so what goes into it is brought into range, and the ends are set afterwards.
fn float_to_int<'c, 'b>(b: &Builder<'c, 'b>, x: &Val<'c, 'b>, to: DType) -> Result<Val<'c, 'b>, Why> {
    let (lo, hi) = to.int_range().ok_or_else(|| format!("{to} is no integer"))?;
    // In f32: f16 has no number beyond the range of 32 bits.
    let x = &if x.dtype.bits() < 32 { cast(b, x, DType::F32)? } else { x.clone() };
    let (below, above) = (b.real(x, lo as f64)?, b.real(x, (hi + 1) as f64)?);
    let (under, over) = (compare_float(b, "olt", x, &below)?, compare_float(b, "oge", x, &above)?);
    let number = compare_float(b, "oeq", x, x)?;
    let zero = b.real(x, 0.0)?;
    let safe = select(b, &number, x, &zero)?;
    let safe = select(b, &under, &zero, &safe)?;
    let safe = select(b, &over, &zero, &safe)?;
    let y = b.map(if signed(to) { "arith.fptosi" } else { "arith.fptoui" }, &[&safe], to)?;
    let y = select(b, &under, &b.integer(&y, lo)?, &y)?;
    select(b, &over, &b.integer(&y, hi)?, &y)
}

fn int_to_int<'c, 'b>(b: &Builder<'c, 'b>, x: &Val<'c, 'b>, to: DType) -> Result<Val<'c, 'b>, Why> {
    match x.dtype.bits().cmp(&to.bits()) {
        std::cmp::Ordering::Less => b.map(if signed(x.dtype) { "arith.extsi" } else { "arith.extui" }, &[x], to),
        std::cmp::Ordering::Greater => b.map("arith.trunci", &[x], to),
        // The same bits with another sign.
        std::cmp::Ordering::Equal => Ok(Val { dtype: to, ..x.clone() }),
    }
}
