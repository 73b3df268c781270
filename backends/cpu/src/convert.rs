//! Element types in memory and in registers, and conversion between them.
//!
//! In registers a narrow float (f16, bf16, f8, f6, f4) is an `f32` that the narrow type can represent; `bool` is one bit; integers
//! below eight bits are sign- or zero-extended bytes, as in memory.

use beiming_ir::types::DType;

use crate::EmitError;
use crate::kernel::Gen;
use crate::ll::*;

/// Which codes of a float of 8, 6 or 4 bits are not finite. Sources: as `beiming_ir::num`.
#[derive(Clone, Copy, PartialEq)]
enum Special {
    Ieee,
    Fn,
    Fnuz,
    Finite,
}

/// Exponent bits, mantissa bits, bias and special codes.
fn small_float(d: DType) -> Option<(u32, u32, i64, Special)> {
    Some(match d {
        DType::F8E4M3FN => (4, 3, 7, Special::Fn),
        DType::F8E4M3FNUZ => (4, 3, 8, Special::Fnuz),
        DType::F8E5M2 => (5, 2, 15, Special::Ieee),
        DType::F8E5M2FNUZ => (5, 2, 16, Special::Fnuz),
        DType::F8E8M0 => (8, 0, 127, Special::Fn),
        DType::F8E4M3 => (4, 3, 7, Special::Ieee),
        DType::F8E3M4 => (3, 4, 3, Special::Ieee),
        DType::F8E4M3B11FNUZ => (4, 3, 11, Special::Fnuz),
        DType::F6E2M3 => (2, 3, 1, Special::Finite),
        DType::F6E3M2 => (3, 2, 3, Special::Finite),
        DType::F4E2M1 => (2, 1, 1, Special::Finite),
        _ => return None,
    })
}

impl Gen<'_, '_> {
    /// Type of an element in memory.
    pub fn mem_ty(&self, d: DType) -> Result<Ty, EmitError> {
        let ll = self.ll;
        Ok(match d {
            DType::F64 => ll.f64(),
            DType::F32 => ll.f32(),
            d if d.is_complex() => return self.unsupported(format!("element type {d}")),
            d => ll.int(d.size() as u32 * 8),
        })
    }

    /// Type of a value in registers.
    pub fn reg_ty(&self, d: DType) -> Result<Ty, EmitError> {
        Ok(match d {
            DType::F64 => self.ll.f64(),
            DType::Bool => self.ll.i1(),
            d if d.is_float() => self.ll.f32(),
            d => self.mem_ty(d)?,
        })
    }

    /// A type with the lanes of `v`.
    pub fn like(&self, v: V, elem: Ty) -> Ty {
        self.ll.vec(elem, self.ll.lanes(self.ll.ty(v)))
    }

    /// A value as read from memory, in its register form.
    pub fn unpack(&self, d: DType, v: V) -> Result<V, EmitError> {
        let ll = self.ll;
        let f32s = self.like(v, ll.f32());
        let i32s = self.like(v, ll.i32());
        Ok(match d {
            DType::F16 => ll.fpext(ll.bitcast(v, self.like(v, ll.half())), f32s),
            DType::BF16 => ll.bitcast(ll.shl(ll.zext(v, i32s), ll.cint(i32s, 16)), f32s),
            DType::Bool => ll.icmp(LLVMIntNE, v, ll.zero(ll.ty(v))),
            d if small_float(d).is_some() => self.small_decode(d, ll.zext(v, i32s)),
            _ => v,
        })
    }

    /// A register value as it is written to memory.
    pub fn pack(&self, d: DType, v: V) -> Result<V, EmitError> {
        let ll = self.ll;
        Ok(match d {
            DType::F16 => ll.bitcast(ll.fptrunc(v, self.like(v, ll.half())), self.like(v, ll.int(16))),
            DType::BF16 => {
                let bits = ll.bitcast(v, self.like(v, ll.i32()));
                ll.trunc(ll.lshr(bits, ll.cint(ll.ty(bits), 16)), self.like(v, ll.int(16)))
            }
            DType::Bool => ll.zext(v, self.like(v, ll.i8())),
            d if small_float(d).is_some() => ll.trunc(self.small_encode(d, v), self.like(v, ll.i8())),
            _ => v,
        })
    }

    /// An `f32` rounded to a narrow float, or an integer of less than eight bits brought into its range; others as they are.
    pub fn round(&self, d: DType, v: V) -> Result<V, EmitError> {
        let ll = self.ll;
        Ok(match d {
            DType::F16 => ll.fpext(ll.fptrunc(v, self.like(v, ll.half())), self.like(v, ll.f32())),
            DType::BF16 => {
                // Nearest even on the upper half of the bits; a NaN stays one.
                let t = self.like(v, ll.i32());
                let c = |x| ll.cint(t, x);
                let bits = ll.bitcast(v, t);
                let odd = ll.and(ll.lshr(bits, c(16)), c(1));
                let up = ll.and(ll.add(bits, ll.add(odd, c(0x7fff))), c(0xffff_0000));
                let quiet = ll.and(ll.or(bits, c(0x40_0000)), c(0xffff_0000));
                let r = ll.select(ll.fcmp(LLVMRealUNO, v, v), quiet, up);
                ll.bitcast(r, self.like(v, ll.f32()))
            }
            d if small_float(d).is_some() => self.small_decode(d, self.small_encode(d, v)),
            DType::I4 | DType::I2 => {
                let s = ll.cint(ll.ty(v), i64::from(8 - d.bits()));
                ll.ashr(ll.shl(v, s), s)
            }
            DType::U4 | DType::U2 => ll.and(v, ll.cint(ll.ty(v), (1 << d.bits()) - 1)),
            _ => v,
        })
    }

    fn small_decode(&self, d: DType, bits: V) -> V {
        let ll = self.ll;
        let Some((e, m, bias, special)) = small_float(d) else { return bits };
        let (t, f) = (ll.ty(bits), self.like(bits, ll.f32()));
        let c = |x| ll.cint(t, x);
        let width = e + m;
        let mag = ll.and(bits, c((1 << width) - 1));
        let nan = ll.cint(t, 0x7fc0_0000);
        if d == DType::F8E8M0 {
            let normal = ll.shl(mag, c(23));
            let v = ll.select(ll.icmp(LLVMIntEQ, mag, c(0)), c(0x40_0000), normal);
            return ll.bitcast(ll.select(ll.icmp(LLVMIntEQ, mag, c(255)), nan, v), f);
        }
        let normal = ll.add(ll.shl(mag, c(i64::from(23 - m))), c((127 - bias) << 23));
        let tiny = ll.fmul(ll.sitofp(mag, f), ll.cf(f, 2f64.powi((1 - bias) as i32 - m as i32)));
        let sub = ll.icmp(LLVMIntULT, mag, c(1 << m));
        let mut v = ll.select(sub, ll.bitcast(tiny, t), normal);
        match special {
            Special::Fn => v = ll.select(ll.icmp(LLVMIntEQ, mag, c((1 << width) - 1)), nan, v),
            Special::Ieee => {
                let top = ((1 << e) - 1) << m;
                v = ll.select(ll.icmp(LLVMIntEQ, mag, c(top)), c(0x7f80_0000), v);
                v = ll.select(ll.icmp(LLVMIntUGT, mag, c(top)), nan, v);
            }
            Special::Fnuz | Special::Finite => {}
        }
        let sign = ll.and(ll.shl(bits, c(i64::from(31 - width))), c(i64::from(i32::MIN)));
        v = ll.or(v, sign);
        if special == Special::Fnuz {
            let code = ll.and(bits, c((2 << width) - 1));
            v = ll.select(ll.icmp(LLVMIntEQ, code, c(1 << width)), nan, v);
        }
        ll.bitcast(v, f)
    }

    /// The code of an `f32`, nearest even, in an `i32`.
    fn small_encode(&self, d: DType, v: V) -> V {
        let ll = self.ll;
        let Some((e, m, bias, special)) = small_float(d) else { return v };
        let (t, f) = (self.like(v, ll.i32()), ll.ty(v));
        let c = |x| ll.cint(t, x);
        let width = e + m;
        let bits = ll.bitcast(v, t);
        let mag = ll.and(bits, c(0x7fff_ffff));
        let shift = i64::from(23 - m);
        let odd = ll.and(ll.lshr(mag, c(shift)), c(1));
        let rounded = ll.lshr(ll.add(mag, ll.add(odd, c((1 << (shift - 1)) - 1))), c(shift));
        let nan_code = if special == Special::Fnuz { 1 << width } else { (1i64 << width) - 1 };
        let is_nan = ll.fcmp(LLVMRealUNO, v, v);
        if d == DType::F8E8M0 {
            let low = ll.select(ll.icmp(LLVMIntUGT, mag, c(0x60_0000)), c(1), c(0));
            let r = ll.select(ll.icmp(LLVMIntULT, mag, c(0x80_0000)), low, rounded);
            let r = ll.select(ll.icmp(LLVMIntUGT, r, c(255)), c(255), r);
            let bad = ll.or(is_nan, ll.fcmp(LLVMRealOLT, v, ll.zero(f)));
            return ll.select(bad, c(255), r);
        }
        let normal = ll.sub(rounded, c((127 - bias) << m));
        // Below the smallest normal code, adding a power of two rounds to a multiple of the smallest step.
        let magic = 2f64.powi((1 - bias) as i32 - m as i32 + 23);
        let a = ll.fabs(v);
        let tiny = ll.sub(ll.bitcast(ll.fadd(a, ll.cf(f, magic)), t), ll.bitcast(ll.cf(f, magic), t));
        let is_tiny = ll.fcmp(LLVMRealOLT, a, ll.cf(f, 2f64.powi((1 - bias) as i32)));
        let mut r = ll.select(is_tiny, tiny, normal);
        let max = match special {
            Special::Ieee => (((1i64 << e) - 1) << m) - 1,
            Special::Fn => (1 << width) - 2,
            Special::Fnuz | Special::Finite => (1 << width) - 1,
        };
        let over = ll.icmp(LLVMIntUGT, r, c(max));
        let past = match special {
            Special::Ieee => max + 1,
            Special::Fn => nan_code,
            Special::Fnuz => nan_code,
            Special::Finite => max,
        };
        r = ll.select(over, c(past), r);
        let sign = ll.shl(ll.lshr(bits, c(31)), c(i64::from(width)));
        let mut signed = ll.or(r, sign);
        if special == Special::Fnuz {
            signed = ll.select(ll.icmp(LLVMIntEQ, r, c(0)), c(0), signed);
        }
        ll.select(is_nan, c(if special == Special::Finite { 0 } else { nan_code }), signed)
    }

    /// An `f64` in `f32`, rounded so that a second rounding to a narrower type is right: towards zero with the last bit set
    /// where anything was lost (round to odd).
    fn narrow_odd(&self, v: V) -> V {
        let ll = self.ll;
        let (f, t) = (self.like(v, ll.f32()), self.like(v, ll.i32()));
        let r = ll.fptrunc(v, f);
        let back = ll.fpext(r, ll.ty(v));
        let bits = ll.bitcast(r, t);
        let above = ll.fcmp(LLVMRealOGT, ll.fabs(back), ll.fabs(v));
        let down = ll.select(above, ll.sub(bits, ll.cint(t, 1)), bits);
        let odd = ll.select(ll.fcmp(LLVMRealONE, back, v), ll.or(down, ll.cint(t, 1)), down);
        ll.bitcast(odd, f)
    }

    /// Value conversion. Float to integer truncates and saturates, NaN gives zero; integer to integer wraps.
    pub fn cast(&self, from: DType, to: DType, v: V) -> Result<V, EmitError> {
        let ll = self.ll;
        if from == to {
            return Ok(v);
        }
        let t = self.like(v, self.reg_ty(to)?);
        if from == DType::Bool {
            return Ok(if to.is_float() { ll.uitofp(v, t) } else { ll.zext(v, t) }).and_then(|v| self.round(to, v));
        }
        if to == DType::Bool {
            let zero = ll.zero(ll.ty(v));
            return Ok(if from.is_float() { ll.fcmp(LLVMRealUNE, v, zero) } else { ll.icmp(LLVMIntNE, v, zero) });
        }
        match (from.is_float(), to.is_float()) {
            (true, true) => {
                let v = match (from, to) {
                    (DType::F64, DType::F32) => return Ok(ll.fptrunc(v, t)),
                    (DType::F64, _) => self.narrow_odd(v),
                    (_, DType::F64) => return Ok(ll.fpext(v, t)),
                    _ => v,
                };
                self.round(to, v)
            }
            (true, false) => {
                let name = if to.is_signed_int() { "llvm.fptosi.sat" } else { "llvm.fptoui.sat" };
                let r = ll.intrinsic(name, &[t, ll.ty(v)], &[v]);
                if to.bits() >= 8 {
                    return Ok(r);
                }
                let (lo, hi) = to.int_range().unwrap_or((0, 0));
                let (lo, hi) = (ll.cint(t, lo as i64), ll.cint(t, hi as i64));
                let signed = to.is_signed_int();
                let (lt, gt) = if signed { (LLVMIntSLT, LLVMIntSGT) } else { (LLVMIntULT, LLVMIntUGT) };
                let r = ll.select(ll.icmp(lt, r, lo), lo, r);
                Ok(ll.select(ll.icmp(gt, r, hi), hi, r))
            }
            (false, true) => {
                // To a narrow type through f64, so that large integers are rounded once.
                let narrow = !matches!(to, DType::F32 | DType::F64) && from.size() >= 4;
                let mid = if narrow { self.like(v, ll.f64()) } else { t };
                let r = if from.is_signed_int() { ll.sitofp(v, mid) } else { ll.uitofp(v, mid) };
                let r = if narrow { self.narrow_odd(r) } else { r };
                self.round(to, r)
            }
            (false, false) => {
                let r = match to.size().cmp(&from.size()) {
                    std::cmp::Ordering::Less => ll.trunc(v, t),
                    std::cmp::Ordering::Equal => v,
                    std::cmp::Ordering::Greater if from.is_signed_int() => ll.sext(v, t),
                    std::cmp::Ordering::Greater => ll.zext(v, t),
                };
                self.round(to, r)
            }
        }
    }
}
