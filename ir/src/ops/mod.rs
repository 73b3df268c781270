//! The core operations. Importers translate their many ops into these few; passes, `eval` and lowering know only these.
//!
//! Each family file holds, side by side, the payloads, the shape rule (`infer`) and the meaning (`eval`) of its ops.
//! `infer` is the one place that knows an op's shape rule.

pub mod channel;
pub mod collective;
pub mod control;
pub mod conv;
pub mod elementwise;
pub mod fused;
pub mod gather;
pub mod gather_window;
pub mod matmul;
pub mod read_dims;
pub mod recurrent;
pub mod reduce;
pub mod reducer;
pub mod resize;
pub mod select;
pub mod shape;
pub mod sort;
pub mod source;

mod dims;
mod index;
mod infer;
mod region;
#[cfg(test)]
mod testing;
pub(crate) mod walk;

pub use channel::{Channel, ChannelKind};
pub use collective::{Collective, CollectiveKind};
pub use control::{If, Loop};
pub use conv::{Conv, ConvTranspose, Pool, PoolKind};
pub use elementwise::{BinaryOp, UnaryOp};
pub use fused::{Arg, Body, BodyNode, Tile};
pub use gather::{Scatter, ScatterMode};
pub use gather_window::{GatherWindow, ScatterWindow, WindowDims};
pub use infer::{
    Assumed, InferError, MAX_ELEMENTS, broadcast_shapes, check_extents, infer, infer_assuming, same_extent, unify_extent,
};
pub use read_dims::{DimRule, ReadDims};
pub use recurrent::{Direction, Gru, Lstm};
pub use reduce::{Cumulative, NormKind, ReduceOp};
pub use reducer::{SelectAndScatter, WindowReduce};
pub use resize::{Coord, Nearest, Resize, ResizeMode};
pub use select::{Nms, TopK};
pub use shape::{PadMode, Slice};

use std::sync::Arc;

use crate::graph::{ConstId, RegionId};
use crate::types::{DType, Dim};

/// A float in a payload, ordered and hashed by its bits so that ops can be e-graph nodes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Real(u64);

impl Real {
    /// The number.
    pub fn get(self) -> f64 {
        f64::from_bits(self.0)
    }
}

impl From<f64> for Real {
    fn from(v: f64) -> Real {
        Real(v.to_bits())
    }
}

impl std::fmt::Debug for Real {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.get())
    }
}

impl serde::Serialize for Real {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_f64(self.get())
    }
}

impl<'de> serde::Deserialize<'de> for Real {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Real, D::Error> {
        <f64 as serde::Deserialize>::deserialize(d).map(Real::from)
    }
}

/// An operation with its attributes. Shapes below: `[..]` any leading axes, `b` broadcast by numpy's rules.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[allow(missing_docs)]
pub enum Op {
    // Sources: no arguments.
    /// An entry of the graph's constant table.
    Constant(ConstId),
    /// The values of dimension expressions: `i64[dims.len()]`.
    DimValue { dims: Vec<Dim> },
    /// Position along one axis: element `[.., i at axis, ..]` is `i`.
    Iota { dtype: DType, shape: Vec<Dim>, axis: usize },

    // Elementwise.
    /// One argument.
    Unary(UnaryOp),
    /// Two arguments of one dtype, broadcast. Comparisons and logic give `bool`.
    Binary(BinaryOp),
    /// `(bool, T, T) -> T`, broadcast.
    Select,
    /// Value conversion. Float to integer truncates and saturates; to bool is `!= 0`; to a float rounds to nearest even.
    Cast { to: DType },
    /// Same bits, another type of equal size.
    Bitcast { to: DType },

    // Contraction.
    /// `[.., M, K] x [.., K, N] -> [.., M, N]`, leading axes broadcast, both arguments of rank two or more.
    /// `out` is the result and accumulation type: `f32` also for f16 and bf16 accumulation inside, `i32` for 8-bit integers.
    MatMul { out: DType },
    /// Convolution, channels last.
    Conv(Conv),
    /// Transposed convolution, channels last.
    ConvTranspose(ConvTranspose),
    /// Window reduction, channels last.
    Pool(Pool),

    // Reductions and normalisations.
    /// Reduction over `axes` (sorted). Without `keep` the axes vanish.
    Reduce { op: ReduceOp, axes: Vec<usize>, keep: bool },
    /// Index (`i64`) of the largest or smallest element; the first such, or the `last`. NaN counts as largest / smallest.
    ArgReduce { max: bool, axis: usize, keep: bool, last: bool },
    /// Running sum or product along an axis.
    Cumulative(Cumulative),
    /// `exp(x - max) / sum`, or its logarithm.
    Softmax { axis: usize, log: bool },
    /// Normalisation over the axes `axis..rank`, without scale or bias.
    Norm { kind: NormKind, axis: usize, eps: Real },

    // Shape: no arithmetic.
    /// Same elements in row-major order under another shape.
    Reshape { shape: Vec<Dim> },
    /// Result axis `i` is argument axis `perm[i]`.
    Transpose { perm: Vec<usize> },
    /// Numpy broadcast to `shape`.
    Broadcast { shape: Vec<Dim> },
    /// Static slice, one entry an axis.
    Slice(Slice),
    /// Slice with run-time starts: `(data, starts: i64[rank]) -> shape`; starts are clamped so that the window fits.
    DynamicSlice { shape: Vec<Dim> },
    /// `(data, value: scalar)`; negative amounts crop, before the rest is padded. `value` is used by `Constant` mode only.
    Pad { lo: Vec<Dim>, hi: Vec<Dim>, mode: PadMode },
    /// Joins along an axis.
    Concat { axis: usize },
    /// Reverses the order along axes.
    Reverse { axes: Vec<usize> },

    // Indexing. Indices are i32 or i64; negative ones count from the end; out of range is clamped into range.
    /// `(data, indices)`: numpy `take` along `axis`.
    Gather { axis: usize },
    /// `(data, indices)` of equal rank: numpy `take_along_axis`, except that the result has the shape of `indices`, whose extents
    /// on the other axes may be smaller than those of `data` (no broadcast).
    GatherElements { axis: usize },
    /// `(data, indices[.., k])`: index tuples in the last axis, after `batch` common leading axes.
    GatherNd { batch: usize },
    /// Scatter in three addressings; see [`Scatter`].
    Scatter(Scatter),
    /// Windows at run-time starts, which are clamped; see [`GatherWindow`]. Indices of any integer type, never from the end.
    GatherWindow(GatherWindow),
    /// Updates at run-time starts by a region; see [`ScatterWindow`].
    ScatterWindow(ScatterWindow),
    /// Resampling; arguments: data.
    Resize(Resize),

    // Selection: data-dependent algorithms.
    /// `-> (values, indices: i64)`.
    TopK(TopK),
    /// `(boxes [B, N, 4], scores [B, C, N], max_out: i64[], iou: f32[], score: f32[]) -> (i64[count, 3], i64[])`: the second
    /// result is `count`, the number of rows that are meant.
    Nms(Nms),
    /// `-> (i64[rank, count], i64[])`: row-major positions of non-zero elements. `count` is a dimension named in the payload.
    NonZero { count: Dim },

    // Extents.
    /// `i64[n] -> i64[n]`: extents told by a value; see [`ReadDims`].
    ReadDims(ReadDims),

    // Recurrent layers; see the payloads for arguments.
    /// Long short-term memory.
    Lstm(Lstm),
    /// Gated recurrent unit.
    Gru(Gru),

    // Scalar functions as regions.
    /// `(data.. n, init.. n) -> n`: folds the region `(accumulator.. n, element.. n) -> n` over `axes` (sorted), which vanish,
    /// from the initial values. The order is open where floats permit none to be named; `eval` goes row-major.
    ReduceWith { axes: Vec<usize>, region: RegionId },
    /// Windows reduced by a region; see [`WindowReduce`].
    WindowReduce(WindowReduce),
    /// `(operand, source, init)`; see [`SelectAndScatter`].
    SelectAndScatter(SelectAndScatter),
    /// `(data.. n) -> n`: sorts the tuples along an axis by the region `(a0, b0, a1, b1, ..) -> bool`, true where a comes
    /// before b. All that is lowered is stable; the flag records what was asked. A comparator that is no order (NaN under `<`)
    /// leaves the order open; `eval` merges, see `sort`.
    SortBy { axis: usize, stable: bool, region: RegionId },

    // Several participants, and the host. No program runs with them yet: they are kept, and refused where it is lowered.
    /// `(values.. n) -> n` among the members of a group; see [`Collective`].
    Collective(Collective),
    /// `(values.., token) -> (values.., token)`: effects, in the order of their tokens; see [`Channel`].
    Channel(Channel),

    // Control flow.
    /// `(cond: bool[], captures..)`; both regions take the captures.
    If(If),
    /// `(trip: i64[], cond: bool[], state.., captures..) -> (state.., scans..)`.
    Loop(Loop),

    // Made by passes.
    /// A fused group: one kernel. Arguments are the group's inputs.
    Fused(Arc<Body>),
    /// A fused group with a chosen tile.
    Tiled { body: Arc<Body>, tile: Tile },
}

impl Op {
    /// Name of the operation in the text form, in the manner of `matmul`, `unary.exp`.
    pub fn name(&self) -> String {
        let s = match self {
            Op::Constant(_) => "constant",
            Op::DimValue { .. } => "dim_value",
            Op::Iota { .. } => "iota",
            Op::Unary(u) => return u.name().to_string(),
            Op::Binary(b) => return b.name().to_string(),
            Op::Select => "select",
            Op::Cast { .. } => "cast",
            Op::Bitcast { .. } => "bitcast",
            Op::MatMul { .. } => "matmul",
            Op::Conv(_) => "conv",
            Op::ConvTranspose(_) => "conv_transpose",
            Op::Pool(_) => "pool",
            Op::Reduce { op, .. } => return format!("reduce_{}", op.name()),
            Op::ArgReduce { max: true, .. } => "argmax",
            Op::ArgReduce { .. } => "argmin",
            Op::Cumulative(_) => "cumulative",
            Op::Softmax { log: true, .. } => "log_softmax",
            Op::Softmax { .. } => "softmax",
            Op::Norm { kind: NormKind::Layer, .. } => "layer_norm",
            Op::Norm { .. } => "rms_norm",
            Op::Reshape { .. } => "reshape",
            Op::Transpose { .. } => "transpose",
            Op::Broadcast { .. } => "broadcast",
            Op::Slice(_) => "slice",
            Op::DynamicSlice { .. } => "dynamic_slice",
            Op::Pad { .. } => "pad",
            Op::Concat { .. } => "concat",
            Op::Reverse { .. } => "reverse",
            Op::Gather { .. } => "gather",
            Op::GatherElements { .. } => "gather_elements",
            Op::GatherNd { .. } => "gather_nd",
            Op::Scatter(_) => "scatter",
            Op::GatherWindow(_) => "gather_window",
            Op::ScatterWindow(_) => "scatter_window",
            Op::Resize(_) => "resize",
            Op::TopK(_) => "topk",
            Op::Nms(_) => "nms",
            Op::NonZero { .. } => "nonzero",
            Op::ReadDims(_) => "read_dims",
            Op::Lstm(_) => "lstm",
            Op::Gru(_) => "gru",
            Op::ReduceWith { .. } => "reduce_with",
            Op::WindowReduce(_) => "window_reduce",
            Op::SelectAndScatter(_) => "select_and_scatter",
            Op::SortBy { .. } => "sort_by",
            Op::Collective(p) => p.name(),
            Op::Channel(p) => p.name(),
            Op::If(_) => "if",
            Op::Loop(_) => "loop",
            Op::Fused(_) => "fused",
            Op::Tiled { .. } => "tiled",
        };
        s.to_string()
    }

    /// True for ops that compute each result element from the argument elements at the same (broadcast) position.
    pub fn is_elementwise(&self) -> bool {
        matches!(self, Op::Unary(_) | Op::Binary(_) | Op::Select | Op::Cast { .. } | Op::Bitcast { .. })
    }
}
