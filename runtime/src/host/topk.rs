//! The `k` largest or smallest elements along an axis.

use half::{bf16, f16};

use super::{Array, elements};
use crate::format::DType;

/// Whether elements of this type have an order here.
pub fn supports(dtype: DType) -> bool {
    keys(dtype, &[]).is_some()
}

/// Values (in the type and layout of `data`, with extent `k` along `axis`) and positions of the `k` largest or smallest, in
/// order. Ties go to the lower position; zeros of both signs are equal; NaN is larger than every number.
///
/// `k` must not exceed the extent of the axis, and the results must have the right sizes; else the answer is the reason.
pub fn topk(data: Array, k: usize, axis: usize, largest: bool, values: &mut [u8], positions: &mut [i64]) -> Result<(), String> {
    let extent = *data.shape.get(axis).ok_or("the axis does not exist")?;
    if k > extent {
        return Err(format!("k is {k}, but the axis has {extent} elements"));
    }
    let keys = keys(data.dtype, data.data).ok_or_else(|| format!("{} has no order", data.dtype))?;
    let size = data.dtype.size();
    let inner: usize = data.shape[axis + 1..].iter().product();
    let outer: usize = data.shape[..axis].iter().product();
    let want = outer * inner * k;
    if positions.len() != want || values.len() != want * size || keys.len() != outer * inner * extent {
        return Err("a buffer has the wrong size".into());
    }
    if want == 0 {
        return Ok(());
    }
    let mut row: Vec<(u64, usize)> = Vec::with_capacity(extent);
    for o in 0..outer {
        for i in 0..inner {
            row.clear();
            // One order for both directions: the smallest of inverted keys are the largest.
            row.extend((0..extent).map(|e| {
                let key = keys[(o * extent + e) * inner + i];
                (if largest { !key } else { key }, e)
            }));
            if k < extent {
                row.select_nth_unstable(k);
            }
            row[..k].sort_unstable();
            for (n, &(_, e)) in row[..k].iter().enumerate() {
                let (to, from) = ((o * k + n) * inner + i, (o * extent + e) * inner + i);
                positions[to] = e as i64;
                values[to * size..(to + 1) * size].copy_from_slice(&data.data[from * size..(from + 1) * size]);
            }
        }
    }
    Ok(())
}

/// For every element a number whose order is the elements' order. `None` for a type without one.
fn keys(dtype: DType, data: &[u8]) -> Option<Vec<u64>> {
    const SIGN: u64 = 1 << 63;
    Some(match dtype {
        DType::F64 => elements(data).map(|b| float_key(f64::from_ne_bytes(b))).collect(),
        DType::F32 => elements(data).map(|b| float_key(f32::from_ne_bytes(b).into())).collect(),
        DType::F16 => elements(data).map(|b| float_key(f16::from_ne_bytes(b).into())).collect(),
        DType::BF16 => elements(data).map(|b| float_key(bf16::from_ne_bytes(b).into())).collect(),
        DType::I64 => elements(data).map(|b| i64::from_ne_bytes(b) as u64 ^ SIGN).collect(),
        DType::I32 => elements(data).map(|b| i64::from(i32::from_ne_bytes(b)) as u64 ^ SIGN).collect(),
        DType::I16 => elements(data).map(|b| i64::from(i16::from_ne_bytes(b)) as u64 ^ SIGN).collect(),
        DType::I8 | DType::I4 | DType::I2 => elements(data).map(|b| i64::from(i8::from_ne_bytes(b)) as u64 ^ SIGN).collect(),
        DType::U64 => elements(data).map(u64::from_ne_bytes).collect(),
        DType::U32 => elements(data).map(|b| u32::from_ne_bytes(b).into()).collect(),
        DType::U16 => elements(data).map(|b| u16::from_ne_bytes(b).into()).collect(),
        DType::U8 | DType::U4 | DType::U2 | DType::Bool => elements(data).map(|b| u8::from_ne_bytes(b).into()).collect(),
        _ => return None,
    })
}

/// The bits of a double, arranged so that their order as integers is that of the numbers; NaN above all.
fn float_key(v: f64) -> u64 {
    if v.is_nan() {
        return u64::MAX;
    }
    // Adding zero turns -0 into +0.
    let bits = (v + 0.0).to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn run(dtype: DType, shape: &[usize], data: &[u8], k: usize, axis: usize, largest: bool) -> (Vec<u8>, Vec<i64>) {
        let n = shape.iter().product::<usize>() / shape[axis].max(1) * k;
        let (mut v, mut p) = (vec![0; n * dtype.size()], vec![0; n]);
        topk(Array { dtype, shape, data }, k, axis, largest, &mut v, &mut p).unwrap();
        (v, p)
    }

    fn bytes<T: Copy, const N: usize>(v: &[T], f: impl Fn(T) -> [u8; N]) -> Vec<u8> {
        v.iter().flat_map(|&x| f(x)).collect()
    }

    #[test]
    fn order_of_floats() {
        let x = [3.0f32, -0.0, f32::NAN, 0.0, f32::NEG_INFINITY, 3.0, f32::INFINITY, -1.0];
        let b = bytes(&x, f32::to_ne_bytes);
        assert_eq!(run(DType::F32, &[8], &b, 8, 0, true).1, [2, 6, 0, 5, 1, 3, 7, 4]);
        assert_eq!(run(DType::F32, &[8], &b, 8, 0, false).1, [4, 7, 1, 3, 0, 5, 6, 2]);
        assert_eq!(run(DType::F32, &[8], &b, 3, 0, true).1, [2, 6, 0]);
        assert_eq!(run(DType::F32, &[8], &b, 0, 0, true).1, [0i64; 0]);
        let h = bytes(&x, |v| f16::from_f32(v).to_ne_bytes());
        assert_eq!(run(DType::F16, &[8], &h, 8, 0, true).1, [2, 6, 0, 5, 1, 3, 7, 4]);
        let h = bytes(&x, |v| bf16::from_f32(v).to_ne_bytes());
        assert_eq!(run(DType::BF16, &[8], &h, 8, 0, true).1, [2, 6, 0, 5, 1, 3, 7, 4]);
        let h = bytes(&x, |v| f64::from(v).to_ne_bytes());
        assert_eq!(run(DType::F64, &[8], &h, 8, 0, false).1, [4, 7, 1, 3, 0, 5, 6, 2]);
    }

    #[test]
    fn order_of_integers() {
        let b = bytes(&[5i64, -5, i64::MIN, i64::MAX], i64::to_ne_bytes);
        assert_eq!(run(DType::I64, &[4], &b, 4, 0, true).1, [3, 0, 1, 2]);
        let b = bytes(&[5i32, -5, i32::MIN, i32::MAX], i32::to_ne_bytes);
        assert_eq!(run(DType::I32, &[4], &b, 4, 0, false).1, [2, 1, 0, 3]);
        let b = bytes(&[5u64, u64::MAX, 0], u64::to_ne_bytes);
        assert_eq!(run(DType::U64, &[3], &b, 3, 0, true).1, [1, 0, 2]);
        assert_eq!(run(DType::I8, &[3], &[0xff, 1, 0x80], 3, 0, false).1, [2, 0, 1]);
        assert_eq!(run(DType::U8, &[3], &[0xff, 1, 0x80], 3, 0, false).1, [1, 2, 0]);
        assert_eq!(run(DType::Bool, &[3], &[0, 1, 1], 2, 0, true).1, [1, 2]);
    }

    #[test]
    fn any_axis() {
        // [[1, 9], [7, 2], [3, 4]]
        let b = bytes(&[1i32, 9, 7, 2, 3, 4], i32::to_ne_bytes);
        let (v, p) = run(DType::I32, &[3, 2], &b, 2, 0, true);
        assert_eq!((v, p), (bytes(&[7, 9, 3, 4], i32::to_ne_bytes), vec![1, 0, 2, 2]));
        let (v, p) = run(DType::I32, &[3, 2], &b, 1, 1, true);
        assert_eq!((v, p), (bytes(&[9, 7, 4], i32::to_ne_bytes), vec![1, 0, 1]));
        assert_eq!(run(DType::I32, &[0, 2], &[], 1, 1, true).1, [0i64; 0]);
    }

    #[test]
    fn errors() {
        let a = Array { dtype: DType::U8, shape: &[2], data: &[1, 2] };
        assert!(topk(a, 3, 0, true, &mut [0; 3], &mut [0; 3]).unwrap_err().contains("2 elements"));
        assert!(topk(a, 1, 1, true, &mut [0; 1], &mut [0; 1]).is_err());
        assert!(topk(a, 1, 0, true, &mut [0; 2], &mut [0; 1]).is_err());
        assert!(!supports(DType::F8E4M3FN) && !supports(DType::C64) && supports(DType::I4));
    }
}
