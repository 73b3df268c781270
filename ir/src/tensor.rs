//! Concrete tensors: weights, constants, and the values `eval` computes with.

use std::fmt;
use std::sync::Arc;

use crate::types::{DType, TensorType};

/// Something that owns bytes: a vector, a memory map.
pub trait Bytes: Send + Sync {
    /// The bytes.
    fn bytes(&self) -> &[u8];
}

impl Bytes for Vec<u8> {
    fn bytes(&self) -> &[u8] {
        self
    }
}

/// A shared, immutable run of bytes; a window into an owner, so that mapped weights are never copied.
#[derive(Clone)]
pub struct Data {
    owner: Arc<dyn Bytes>,
    start: usize,
    len: usize,
}

impl Data {
    /// The whole of an owner.
    pub fn new(owner: Arc<dyn Bytes>) -> Data {
        let len = owner.bytes().len();
        Data { owner, start: 0, len }
    }

    /// The window `start..start + len`; `None` where it does not fit.
    pub fn slice(&self, start: usize, len: usize) -> Option<Data> {
        let end = start.checked_add(len)?;
        (end <= self.len).then(|| Data { owner: self.owner.clone(), start: self.start + start, len })
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.owner.bytes()[self.start..self.start + self.len]
    }
}

impl From<Vec<u8>> for Data {
    fn from(v: Vec<u8>) -> Data {
        Data::new(Arc::new(v))
    }
}

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.len)
    }
}

/// A concrete tensor: row-major, little-endian, one whole byte for each element of a sub-byte type (the low bits, sign
/// extended for signed types). The bytes need not be aligned to the element.
#[derive(Clone, Debug)]
pub struct Tensor {
    /// Element type.
    pub dtype: DType,
    /// Extents.
    pub shape: Vec<usize>,
    /// `shape` product times `dtype.size()` bytes.
    pub data: Data,
}

/// One element as a number. Integers and `bool` are exact in `Int`, floats in `Float` (every float type fits `f64`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Num {
    /// Float element.
    Float(f64),
    /// Integer or `bool` element.
    Int(i128),
    /// Complex element.
    Complex(f64, f64),
}

/// Number of elements; `None` on overflow.
pub fn numel(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |a, &b| a.checked_mul(b))
}

impl Tensor {
    /// A tensor from its parts; `None` where the byte count does not match.
    pub fn new(dtype: DType, shape: Vec<usize>, data: Data) -> Option<Tensor> {
        let want = numel(&shape)?.checked_mul(dtype.size())?;
        (want == data.len).then_some(Tensor { dtype, shape, data })
    }

    /// The tensor's type.
    pub fn ty(&self) -> TensorType {
        TensorType::known(self.dtype, &self.shape)
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.data.len / self.dtype.size()
    }

    /// True where some extent is zero.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The raw bytes.
    pub fn bytes(&self) -> &[u8] {
        self.data.as_bytes()
    }

    /// The same elements under another shape of equal element count.
    pub fn reshaped(&self, shape: &[usize]) -> Option<Tensor> {
        Tensor::new(self.dtype, shape.to_vec(), self.data.clone())
    }

    /// Element `i` in row-major order. Panics past the end: callers index within `len()`.
    pub fn get(&self, i: usize) -> Num {
        let s = self.dtype.size();
        crate::num::decode(self.dtype, &self.bytes()[i * s..(i + 1) * s])
    }

    /// Builds a tensor element by element; `f` gets the row-major index. Values are rounded (floats, ties to even) or
    /// wrapped (integers) to `dtype`.
    pub fn build(dtype: DType, shape: &[usize], mut f: impl FnMut(usize) -> Num) -> Tensor {
        let n = shape.iter().product::<usize>();
        let mut bytes = Vec::with_capacity(n * dtype.size());
        for i in 0..n {
            crate::num::encode(dtype, f(i), &mut bytes);
        }
        Tensor { dtype, shape: shape.to_vec(), data: bytes.into() }
    }

    /// A tensor from values in row-major order, rounded or wrapped to `dtype`. Panics where the count does not match `shape`.
    pub fn from_f64(dtype: DType, shape: &[usize], v: &[f64]) -> Tensor {
        assert_eq!(shape.iter().product::<usize>(), v.len(), "one value an element");
        if dtype == DType::F32 {
            let mut bytes = vec![0; v.len() * 4];
            for (b, x) in bytes.chunks_exact_mut(4).zip(v) {
                b.copy_from_slice(&if x.is_nan() { f32::NAN } else { *x as f32 }.to_le_bytes());
            }
            return Tensor { dtype, shape: shape.to_vec(), data: bytes.into() };
        }
        Tensor::build(dtype, shape, |i| Num::Float(v[i]))
    }

    /// A rank-0 tensor.
    pub fn scalar(dtype: DType, v: Num) -> Tensor {
        Tensor::build(dtype, &[], |_| v)
    }

    /// `f32` tensor from values.
    pub fn f32(shape: &[usize], v: &[f32]) -> Tensor {
        assert_eq!(shape.iter().product::<usize>(), v.len());
        Tensor {
            dtype: DType::F32,
            shape: shape.to_vec(),
            data: v.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>().into(),
        }
    }

    /// `i64` tensor from values.
    pub fn i64(shape: &[usize], v: &[i64]) -> Tensor {
        assert_eq!(shape.iter().product::<usize>(), v.len());
        Tensor {
            dtype: DType::I64,
            shape: shape.to_vec(),
            data: v.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>().into(),
        }
    }

    /// All elements as `f64` (integers converted, the real part of complex).
    pub fn to_f64(&self) -> Vec<f64> {
        if self.dtype == DType::F32 {
            return self.bytes().chunks_exact(4).map(|b| f64::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]]))).collect();
        }
        (0..self.len()).map(|i| self.get(i).to_f64()).collect()
    }

    /// All elements as `i64`; floats truncate.
    pub fn to_i64(&self) -> Vec<i64> {
        (0..self.len()).map(|i| self.get(i).to_i128() as i64).collect()
    }
}

impl Num {
    /// As a float.
    pub fn to_f64(self) -> f64 {
        match self {
            Num::Float(x) | Num::Complex(x, _) => x,
            Num::Int(i) => i as f64,
        }
    }

    /// As an integer; floats truncate towards zero and saturate.
    pub fn to_i128(self) -> i128 {
        match self {
            Num::Float(x) | Num::Complex(x, _) => x as i128,
            Num::Int(i) => i,
        }
    }
}
