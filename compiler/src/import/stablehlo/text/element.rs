//! Elements of constants, from text to bytes: the loops that must be fast.

use beiming_ir::num;
use beiming_ir::tensor::Num;
use beiming_ir::types::DType;

use super::cursor::{Cursor, Result};
use super::number::int_in;

/// Elements on their way into a constant.
pub(super) struct Writer {
    dtype: DType,
    /// The type of one number: a complex element has two.
    part: DType,
    pub bytes: Vec<u8>,
}

impl Writer {
    /// Room for `count` elements, but not for more than `fit` into the text: what a type promises need not be there.
    pub fn new(dtype: DType, fit: usize, count: usize) -> Writer {
        let part = match dtype {
            DType::C64 => DType::F32,
            DType::C128 => DType::F64,
            d => d,
        };
        Writer { dtype, part, bytes: Vec::with_capacity(fit.min(count) * dtype.size()) }
    }

    /// Elements up to the `]`, with commas between; how many there were.
    pub fn row(&mut self, lit: &mut Cursor) -> Result<u64> {
        match self.dtype {
            DType::F32 => self.each(lit, |w, lit| w.float_fast(lit, |w, x| w.bytes.extend_from_slice(&(x as f32).to_le_bytes()))),
            DType::F64 => self.each(lit, |w, lit| w.float_fast(lit, |w, x| w.bytes.extend_from_slice(&x.to_le_bytes()))),
            DType::I32 => self.each(lit, |w, lit| {
                w.int_fast(lit, |w, i| i32::try_from(i).map(|i| w.bytes.extend_from_slice(&i.to_le_bytes())).is_ok())
            }),
            DType::I64 => self.each(lit, |w, lit| {
                w.int_fast(lit, |w, i| {
                    w.bytes.extend_from_slice(&i.to_le_bytes());
                    true
                })
            }),
            DType::Bool => self.each(lit, |w, lit| w.truth_fast(lit)),
            DType::C64 => self.each(lit, |w, lit| w.pair_fast(lit, |w, x| w.bytes.extend_from_slice(&(x as f32).to_le_bytes()))),
            DType::C128 => self.each(lit, |w, lit| w.pair_fast(lit, |w, x| w.bytes.extend_from_slice(&x.to_le_bytes()))),
            d if d.is_float() => self.each(lit, |w, lit| w.float_fast(lit, |w, x| num::encode(d, Num::Float(x), &mut w.bytes))),
            d => self.each(lit, |w, lit| {
                w.int_fast(lit, |w, i| int_in(d, i.into()).map(|i| num::encode(d, Num::Int(i), &mut w.bytes)).is_some())
            }),
        }
    }

    /// `true` or `false`; anything else the general way.
    #[inline(always)]
    fn truth_fast(&mut self, lit: &mut Cursor) -> Result<()> {
        let rest = &lit.src[lit.pos.min(lit.src.len())..];
        let (value, n) = if rest.starts_with(b"true") { (1, 4) } else { (0, 5) };
        let ends = rest.get(n).is_some_and(|b| !super::cursor::is_word(*b));
        if ends && (value == 1 || rest.starts_with(b"false")) {
            self.bytes.push(value);
            lit.pos += n;
            return Ok(());
        }
        scalar(lit, self.part, &mut self.bytes)
    }

    /// `(1.0,2.0)`: two floats.
    #[inline(always)]
    fn pair_fast(&mut self, lit: &mut Cursor, put: impl Fn(&mut Writer, f64)) -> Result<()> {
        lit.expect("(")?;
        lit.space();
        self.float_fast(lit, &put)?;
        lit.expect(",")?;
        lit.space();
        self.float_fast(lit, &put)?;
        lit.expect(")")
    }

    #[inline(always)]
    fn each(&mut self, lit: &mut Cursor, one: impl Fn(&mut Writer, &mut Cursor) -> Result<()>) -> Result<u64> {
        let mut n = 0;
        loop {
            if lit.byte() == b' ' {
                lit.pos += 1;
            }
            one(self, lit)?;
            n += 1;
            if lit.byte() == b',' {
                lit.pos += 1;
            } else if !lit.eat(",") {
                return Ok(n);
            }
        }
    }

    /// An integer of few digits without detour; anything else the general way.
    #[inline(always)]
    fn int_fast(&mut self, lit: &mut Cursor, put: impl Fn(&mut Writer, i64) -> bool) -> Result<()> {
        let start = lit.pos;
        let negative = lit.byte() == b'-';
        let first = start + usize::from(negative);
        let mut pos = first;
        let mut value = 0i64;
        while let Some(d) = lit.src.get(pos).map(|b| b.wrapping_sub(b'0')).filter(|d| *d < 10) {
            value = value.wrapping_mul(10).wrapping_add(i64::from(d));
            pos += 1;
        }
        let plain = !matches!(lit.src.get(pos), Some(b'x' | b'.'));
        if (1..=18).contains(&(pos - first)) && plain && put(self, if negative { -value } else { value }) {
            lit.pos = pos;
            return Ok(());
        }
        scalar(lit, self.part, &mut self.bytes)
    }

    /// A decimal float whose digits and power of ten are exact in a double is one multiplication or division away from its
    /// rounded value (Clinger, "How to read floating point numbers accurately"); anything else goes the general way.
    #[inline(always)]
    fn float_fast(&mut self, lit: &mut Cursor, put: impl Fn(&mut Writer, f64)) -> Result<()> {
        let start = lit.pos;
        let negative = lit.byte() == b'-';
        let mut pos = start + usize::from(negative);
        let (mut mantissa, mut digits, mut exponent) = (0u64, 0usize, 0i32);
        let digit = |pos: usize| lit.src.get(pos).map(|b| b.wrapping_sub(b'0')).filter(|d| *d < 10);
        while let Some(d) = digit(pos) {
            mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(d));
            digits += 1;
            pos += 1;
        }
        if digits == 0 || lit.src.get(pos) != Some(&b'.') {
            return scalar(lit, self.part, &mut self.bytes);
        }
        pos += 1;
        let point = pos;
        while let Some(d) = digit(pos) {
            mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(d));
            pos += 1;
        }
        digits += pos - point;
        exponent -= (pos - point).min(99) as i32;
        if matches!(lit.src.get(pos), Some(b'e' | b'E')) {
            let sign = lit.src.get(pos + 1).copied();
            let mut p = pos + 1 + usize::from(matches!(sign, Some(b'+' | b'-')));
            let begin = p;
            let mut e = 0i32;
            while let Some(d) = digit(p) {
                e = (e * 10 + i32::from(d)).min(9999);
                p += 1;
            }
            if p > begin {
                pos = p;
                exponent += if sign == Some(b'-') { -e } else { e };
            }
        }
        // 19 digits do not overflow; a double holds integers up to 2^53 and powers of ten up to 10^22.
        if digits > 19 || mantissa > 1 << 53 || exponent.unsigned_abs() > 22 {
            return scalar(lit, self.part, &mut self.bytes);
        }
        let scale = TENS[exponent.unsigned_abs() as usize];
        let x = if exponent < 0 { mantissa as f64 / scale } else { mantissa as f64 * scale };
        put(self, if negative { -x } else { x });
        lit.pos = pos;
        Ok(())
    }
}

const TENS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21,
    1e22,
];

/// One element of any type.
pub(super) fn read_one(lit: &mut Cursor, out: &mut Writer) -> Result<()> {
    if !out.dtype.is_complex() {
        return scalar(lit, out.part, &mut out.bytes);
    }
    lit.expect("(")?;
    scalar(lit, out.part, &mut out.bytes)?;
    lit.expect(",")?;
    scalar(lit, out.part, &mut out.bytes)?;
    lit.expect(")")
}

/// One number or truth value.
fn scalar(lit: &mut Cursor, dtype: DType, out: &mut Vec<u8>) -> Result<()> {
    lit.space();
    let at = lit.pos;
    if dtype == DType::Bool && matches!(lit.peek_word(), "true" | "false") {
        out.push(u8::from(lit.word() == "true"));
        return Ok(());
    }
    if lit.byte() == b'[' {
        return lit.bad("a list where a single element is expected: the literal has more axes than the type");
    }
    let text = lit.number_text()?;
    if dtype.is_float() {
        if let Some(bits) = text.float_bits(dtype) {
            out.extend_from_slice(&bits.to_le_bytes()[..dtype.size()]);
            return Ok(());
        }
        if let Some(x) = text.float(dtype) {
            num::encode(dtype, Num::Float(x), out);
            return Ok(());
        }
    } else if let Some(i) = text.int(dtype).and_then(|i| int_in(dtype, i)) {
        num::encode(dtype, Num::Int(i), out);
        return Ok(());
    }
    lit.pos = at;
    lit.bad(format!("`{}` is no value of type {dtype}", text.text))
}
