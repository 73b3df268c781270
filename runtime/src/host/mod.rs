//! Data-dependent algorithms that run here and not in a kernel: sorting, suppression, search, one file each; and extents that are
//! read off a value, which `exec` does.

mod nms;
mod nonzero;
mod topk;

use crate::dims::{DimId, SymbolId};
use crate::format::DType;

pub use nms::nms;
pub use nonzero::{nonzero, write_coordinates};
pub use topk::topk;

/// An algorithm with its attributes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Op {
    /// See [`topk()`].
    TopK {
        /// How many.
        k: DimId,
        /// Axis.
        axis: usize,
        /// Largest first, else smallest first.
        largest: bool,
    },
    /// See [`nms()`].
    Nms {
        /// Boxes are centres and sizes.
        center: bool,
        /// Extent of the results.
        count: Count,
    },
    /// See [`nonzero()`].
    NonZero {
        /// Extent of the results.
        count: Count,
    },
    /// Extents read off a vector.
    ReadDims {
        /// For every element, what it is held against.
        dims: Vec<Against>,
    },
}

/// What an element that is read is held against.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Against {
    /// It becomes the value of a symbol.
    Symbol(SymbolId),
    /// It is equal to a dimension.
    Equal(DimId),
    /// It is one, or equal to a dimension.
    OneOrEqual(DimId),
    /// It is at most a dimension.
    AtMost(DimId),
}

impl Against {
    /// What is wrong with element `i`, `got`, against a dimension of this text and value; `None` where nothing is.
    pub fn breach(self, i: usize, got: i64, text: &str, value: i64) -> Option<String> {
        let said = if text.parse() == Ok(value) { format!("{value}") } else { format!("{text}, which is {value}") };
        match self {
            Against::Equal(_) if got != value => Some(format!("extent {i} is {got} at run time, expected {said}")),
            Against::OneOrEqual(_) if got != value && got != 1 => {
                Some(format!("extent {i} is {got} at run time, expected 1 or {said}"))
            }
            Against::AtMost(_) if got > value => Some(format!("position {i} is {got} at run time, at most {said} is allowed")),
            _ => None,
        }
    }
}

/// How the number of results is made known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Count {
    /// The step binds the symbol to it.
    Symbol(SymbolId),
    /// The result's extent is the most there can be; what is not filled is zero.
    Extent,
}

/// A tensor as the algorithms see it.
#[derive(Clone, Copy, Debug)]
pub struct Array<'a> {
    /// Element type.
    pub dtype: DType,
    /// Extents.
    pub shape: &'a [usize],
    /// Elements; as many bytes as the shape says.
    pub data: &'a [u8],
}

impl Array<'_> {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// No elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Checks element types and ranks (pairs of them) of arguments and results.
pub fn check(op: &Op, args: &[(DType, usize)], results: &[(DType, usize)]) -> Result<(), String> {
    let fixed = |expected: &[(DType, usize)], given: &[(DType, usize)]| {
        if expected == given { Ok(()) } else { Err(format!("expected element types and ranks {expected:?}, found {given:?}")) }
    };
    match (op, args) {
        (Op::TopK { axis, .. }, &[(dtype, rank)]) => {
            if *axis >= rank {
                return Err(format!("axis {axis} of a tensor of {rank} axes"));
            }
            if !topk::supports(dtype) {
                return Err(format!("top-k of {dtype} is not supported; allowed are f64, f32, f16, bf16, integers and bool"));
            }
            fixed(&[(dtype, rank), (DType::I64, rank)], results)
        }
        (Op::NonZero { .. }, &[(dtype, _)]) => {
            if !nonzero::supports(dtype) {
                return Err(format!("non-zero of {dtype} is not supported"));
            }
            fixed(&[(DType::I64, 2), (DType::I64, 0)], results)
        }
        (Op::ReadDims { .. }, args) => {
            fixed(&[(DType::I64, 1)], args)?;
            fixed(&[(DType::I64, 1)], results)
        }
        (Op::Nms { .. }, args) => {
            use DType::{F32, I64};
            fixed(&[(F32, 3), (F32, 3), (I64, 0), (F32, 0), (F32, 0)], args)?;
            fixed(&[(I64, 2), (I64, 0)], results)
        }
        _ => Err(format!("{} arguments", args.len())),
    }
}

/// Elements of a type of `N` bytes, from bytes. A remainder that is no whole element is left out.
fn elements<const N: usize>(data: &[u8]) -> impl ExactSizeIterator<Item = [u8; N]> + '_ {
    data.chunks_exact(N).map(|c| {
        let mut b = [0; N];
        b.copy_from_slice(c);
        b
    })
}

/// A list of f32.
fn floats(data: &[u8]) -> Vec<f32> {
    elements(data).map(f32::from_ne_bytes).collect()
}
