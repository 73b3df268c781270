//! Numbers as they are written: decimal and hexadecimal integers, decimal floats.

use beiming_ir::num;
use beiming_ir::tensor::Num;
use beiming_ir::types::DType;

use super::cursor::{Cursor, Result, hex_digit};

/// A number as it is written: `-12`, `0xFF`, `1.5`, `1.e-3`.
#[derive(Clone, Copy)]
pub(super) struct Literal<'a> {
    pub text: &'a str,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Decimal,
    Hex,
    Float,
}

impl<'a> Cursor<'a> {
    /// The number that stands next, past it.
    pub fn number_text(&mut self) -> Result<Literal<'a>> {
        self.space();
        let start = self.pos;
        self.pos += usize::from(self.byte() == b'-');
        if self.digits().is_empty() {
            self.pos = start;
            return self.expected("a number");
        }
        let mut kind = Kind::Decimal;
        let first = self.src[start..self.pos].last() == Some(&b'0') && self.pos - start <= 2;
        if first && self.byte() == b'x' && self.src.get(self.pos + 1).is_some_and(|b| hex_digit(*b).is_some()) {
            self.pos += 1;
            while hex_digit(self.byte()).is_some() {
                self.pos += 1;
            }
            kind = Kind::Hex;
        } else if self.byte() == b'.' {
            kind = Kind::Float;
            self.pos += 1;
            self.digits();
            if matches!(self.byte(), b'e' | b'E') {
                let before = self.pos;
                self.pos += 1;
                self.pos += usize::from(matches!(self.byte(), b'+' | b'-'));
                if self.digits().is_empty() {
                    self.pos = before;
                }
            }
        }
        // ASCII by construction.
        Ok(Literal { text: std::str::from_utf8(&self.src[start..self.pos]).unwrap_or(""), kind })
    }
}

impl Literal<'_> {
    pub fn is_float(&self) -> bool {
        self.kind == Kind::Float
    }

    pub fn is_decimal_int(&self) -> bool {
        self.kind == Kind::Decimal
    }

    /// The value as an integer of this type, as bits extended to 128: signed types take what fits their unsigned range as
    /// well, as MLIR's signless integers do. `None` where it does not fit, or is no integer.
    pub fn int(&self, dtype: DType) -> Option<i128> {
        if self.kind == Kind::Float {
            return None;
        }
        let negative = self.text.starts_with('-');
        let digits = &self.text[usize::from(negative)..];
        let magnitude = match self.kind {
            Kind::Hex => i128::from_str_radix(&digits[2..], 16).ok()?,
            _ => digits.parse::<i128>().ok()?,
        };
        int_in(dtype, if negative { -magnitude } else { magnitude })
    }

    /// The value as a float of this type: decimal through f64, as MLIR rounds it; hexadecimal as the bits of the type.
    /// A decimal integer is no float.
    pub fn float(&self, dtype: DType) -> Option<f64> {
        match self.kind {
            Kind::Decimal => None,
            Kind::Float => {
                let x = self.text.parse::<f64>().ok()?;
                let Num::Float(y) = num::round_to(dtype, Num::Float(x)) else { return None };
                Some(y)
            }
            Kind::Hex => {
                let bytes = self.float_bits(dtype)?.to_le_bytes();
                let Num::Float(y) = num::decode(dtype, &bytes[..dtype.size()]) else { return None };
                Some(y)
            }
        }
    }

    /// The bits of a hexadecimal float; `None` where they are too many.
    pub fn float_bits(&self, dtype: DType) -> Option<u64> {
        let digits = self.text.strip_prefix("0x")?;
        let bits = u64::from_str_radix(digits, 16).ok()?;
        (dtype.bits() >= 64 || bits >> dtype.bits() == 0).then_some(bits)
    }
}

/// `v` as a value of an integer type, wrapped where the type is signed and `v` fits its unsigned range.
pub(super) fn int_in(dtype: DType, v: i128) -> Option<i128> {
    let (lo, hi) = dtype.int_range()?;
    if v >= lo && v <= hi {
        return Some(v);
    }
    let wide = 1i128 << dtype.bits();
    // `-1 : i1` is true, as it was once printed.
    if dtype == DType::Bool {
        return (v == -1).then_some(1);
    }
    (dtype.is_signed_int() && v > hi && v < wide).then(|| v - wide)
}
