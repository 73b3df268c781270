//! Positions of the elements that are not zero.

use super::Array;
use crate::format::DType;

/// Whether elements of this type can be told from zero here.
pub fn supports(dtype: DType) -> bool {
    !matches!(dtype, DType::F8E8M0)
}

/// Row-major linear positions of the elements that are not zero. A float is zero with either sign; NaN is not.
pub fn nonzero(data: Array) -> Vec<usize> {
    let size = data.dtype.size();
    // The sign bit of each real part; a negative zero has no other bit set. An FNUZ type has no negative zero: its code is NaN.
    let sign = match data.dtype {
        DType::F64 | DType::F32 | DType::F16 | DType::BF16 | DType::F8E4M3FN | DType::F8E5M2 | DType::F8E4M3 | DType::F8E3M4 => {
            Some((size, 0x80))
        }
        DType::F6E2M3 | DType::F6E3M2 => Some((1, 0x20)),
        DType::F4E2M1 => Some((1, 0x08)),
        DType::C64 | DType::C128 => Some((size / 2, 0x80)),
        _ => None,
    };
    let is_zero = |e: &[u8]| match sign {
        None => e.iter().all(|&b| b == 0),
        Some((part, sign)) => e.chunks_exact(part).all(|p| {
            let (low, high) = if cfg!(target_endian = "little") { (&p[..part - 1], p[part - 1]) } else { (&p[1..], p[0]) };
            high & !sign == 0 && low.iter().all(|&b| b == 0)
        }),
    };
    data.data.chunks_exact(size).enumerate().filter(|(_, e)| !is_zero(e)).map(|(i, _)| i).collect()
}

/// Writes positions as one coordinate an axis, `[rank, extent]`, where `extent` is `out.len() / rank`; columns beyond the
/// number of positions are zero.
pub fn write_coordinates(shape: &[usize], positions: &[usize], extent: usize, out: &mut [i64]) {
    let mut stride = 1;
    for (axis, &n) in shape.iter().enumerate().rev() {
        let row = &mut out[axis * extent..(axis + 1) * extent];
        row.fill(0);
        for (to, p) in row.iter_mut().zip(positions) {
            *to = (p / stride % n.max(1)) as i64;
        }
        stride *= n.max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates() {
        let shape = [2, 3, 2];
        let data: Vec<u8> = [0, 0, 1, 0, 0, 0, 0, 2, 0, 0, 0, 3].to_vec();
        let p = nonzero(Array { dtype: DType::U8, shape: &shape, data: &data });
        assert_eq!(p, [2, 7, 11]);
        let mut out = [-1; 9];
        write_coordinates(&shape, &p, 3, &mut out);
        assert_eq!(out, [0, 1, 1, 1, 0, 2, 0, 1, 1]);
        let mut out = [-1; 12];
        write_coordinates(&shape, &p, 4, &mut out);
        assert_eq!(out, [0, 1, 1, 0, 1, 0, 2, 0, 0, 1, 1, 0]);
    }

    #[test]
    fn zeros_of_every_kind() {
        let f: Vec<u8> = [0.0f32, -0.0, f32::NAN, 1e-45, -1.0].iter().flat_map(|v| v.to_ne_bytes()).collect();
        assert_eq!(nonzero(Array { dtype: DType::F32, shape: &[5], data: &f }), [2, 3, 4]);
        let c: Vec<u8> = [0.0f32, -0.0, 0.0, 1.0, -0.0, 0.0].iter().flat_map(|v| v.to_ne_bytes()).collect();
        assert_eq!(nonzero(Array { dtype: DType::C64, shape: &[3], data: &c }), [1]);
        for (dtype, zeros) in [(DType::F8E4M3FN, 2), (DType::F8E4M3FNUZ, 1), (DType::F4E2M1, 2), (DType::I8, 1), (DType::Bool, 1)]
        {
            let codes = if dtype == DType::F4E2M1 { [0u8, 8, 1, 9] } else { [0, 0x80, 1, 2] };
            assert_eq!(nonzero(Array { dtype, shape: &[4], data: &codes }).len(), 4 - zeros, "{dtype}");
        }
        // A scalar has no axes: a position, but no coordinate.
        assert_eq!(nonzero(Array { dtype: DType::I64, shape: &[], data: &1i64.to_ne_bytes() }), [0]);
    }
}
