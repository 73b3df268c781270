//! Rounding to fewer digits, within a wider type.

use beiming_ir::ops::BinaryOp;
use beiming_ir::types::DType;

use super::super::cx::Cx;
use super::super::math::{Ex, emit, number, value};
use super::super::value::Val;
use super::{Row, real};
use crate::import::build::Build;
use crate::import::fail::{R, bad_arguments, bad_attribute};

pub const OPS: &[Row] = &[real("stablehlo.reduce_precision", reduce_precision)];

/// Bits of mantissa and exponent of a type that has bits to drop, and the unsigned integer of its width.
fn layout(d: DType) -> Option<(u32, u32, DType)> {
    Some(match d {
        DType::F64 => (52, 11, DType::U64),
        DType::F32 => (23, 8, DType::U32),
        DType::F16 => (10, 5, DType::U16),
        DType::BF16 => (7, 8, DType::U16),
        _ => return None,
    })
}

/// Nearest even on the bits of the mantissa; what exceeds the exponent's range becomes infinity, what lies below it zero.
fn reduce_precision(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let x = cx.plain(0)?;
    let own = cx.dtype(x);
    let bits = |name: &str, least: i64| match cx.int(name)? {
        n if n >= least => R::Ok(u32::try_from(n).unwrap_or(u32::MAX)),
        n => bad_attribute(format!("`{name}` is {n}, which must be at least {least}")),
    };
    let (exponent, mantissa) = (bits("exponent_bits", 1)?, bits("mantissa_bits", 0)?);
    let Some((own_mantissa, own_exponent, ints)) = layout(own) else {
        return bad_arguments(format!("it takes f64, f32, f16 and bf16, not {own}"));
    };
    let x = value(x);
    let mut b: Ex = x.bitcast(ints);
    if mantissa < own_mantissa {
        let drop = own_mantissa - mantissa;
        let odd = b.shr(f64::from(drop)).and(1.0);
        let carried = &b + odd + ((1u64 << (drop - 1)) as f64 - 1.0);
        b = carried.shr(f64::from(drop)).shl(f64::from(drop));
    }
    if exponent < own_exponent {
        let bias = (1i64 << (own_exponent - 1)) - 1;
        let reduced = (1i64 << (exponent - 1)) - 1;
        let width = f64::from(own_mantissa + own_exponent);
        let sign = b.shr(width).shl(width);
        let magnitude = b.xor(&sign);
        let field = magnitude.shr(f64::from(own_mantissa));
        let infinite = ((1u64 << own_exponent) - 1) as f64;
        // All ones, as an exponent, at the place of the exponent.
        let infinity = (&b * 0.0 + infinite).shl(f64::from(own_mantissa));
        let small = field.le((bias - reduced) as f64);
        let large = field.gt((bias + reduced) as f64);
        b = small.pick(&sign, large.pick(sign.or(infinity), &b));
    }
    let rounded = b.bitcast(own);
    // Without a mantissa there is no NaN to say.
    let nan = if mantissa == 0 { f64::INFINITY } else { f64::NAN };
    let v = x.join(BinaryOp::Ne, &x).pick(number(nan), rounded);
    Ok(vec![Val::Plain(emit(cx, &[&v])?[0])])
}
