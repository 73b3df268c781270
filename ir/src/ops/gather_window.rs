//! Gathers and scatters of windows at run-time positions, with general dimension numbers (StableHLO's `gather` and `scatter`).
//!
//! Both relate three tensors: `data`; `indices`, whose axis `index_dim` holds index vectors (`index_dim` equal to the rank: one
//! index each); and windows: the gather's result, the scatter's updates. The windows' axes are the axes of `indices` without
//! `index_dim`, and, at the positions `offsets`, the axes of `data` without `collapsed` and `data_batch`. Entry `k` of an
//! index vector is the window's start on the axis `map[k]` of `data`; on the axis `data_batch[k]` the position is that on the
//! axis `indices_batch[k]` of `indices`.

mod eval;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub(crate) use self::eval::{eval_gather_window, eval_scatter_window};
use super::InferError;
use super::infer::{arity, check_shape, same_extent, unify_extent};
use super::reducer::common_shape;
use super::region::check_reducer;
use crate::graph::{Graph, RegionId};
use crate::types::{DType, Dim, TensorType};

/// How windows, indices and data relate; see the module.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct WindowDims {
    /// Axes of the windows tensor that run within a window, ascending.
    pub offsets: Vec<usize>,
    /// Axes of the data of window extent one that the windows tensor does not have, ascending.
    pub collapsed: Vec<usize>,
    /// Batch axes of the data, ascending.
    pub data_batch: Vec<usize>,
    /// Their partners in the indices.
    pub indices_batch: Vec<usize>,
    /// Axis of the data that each entry of an index vector addresses.
    pub map: Vec<usize>,
    /// Axis of the indices that holds the vectors, or their rank.
    pub index_dim: usize,
}

/// Gather: `(data, indices) -> windows`. A start is clamped so that its window fits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct GatherWindow {
    /// Relation of the axes.
    pub dims: WindowDims,
    /// Extents of the window, one an axis of the data; 1 (or 0) on collapsed and batch axes.
    pub sizes: Vec<Dim>,
    /// The starts ascend.
    pub sorted: bool,
}

/// Scatter: `(data.. n, indices, updates.. n) -> n`. In row-major order of the updates, `data = region(data, update)` at the
/// update's position; one whose position is out of range is skipped.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct ScatterWindow {
    /// Relation of the axes.
    pub dims: WindowDims,
    /// The starts ascend.
    pub sorted: bool,
    /// No two updates have the same position.
    pub unique: bool,
    /// `(data.. n, update.. n) -> n`, scalars.
    pub region: RegionId,
}

impl WindowDims {
    /// The axes of `rank` axes of windows that run over index vectors.
    pub fn lead(&self, rank: usize) -> Vec<usize> {
        (0..rank).filter(|a| !self.offsets.contains(a)).collect()
    }

    /// The axes of `rank` axes of data that the windows tensor has, in order.
    pub fn kept(&self, rank: usize) -> Vec<usize> {
        (0..rank).filter(|a| !self.collapsed.contains(a) && !self.data_batch.contains(a)).collect()
    }

    /// Which of the windows' leading axes runs along axis `a` of the indices; `None` for `index_dim`.
    pub fn lead_of(&self, a: usize) -> Option<usize> {
        match a.cmp(&self.index_dim) {
            std::cmp::Ordering::Less => Some(a),
            std::cmp::Ordering::Equal => None,
            std::cmp::Ordering::Greater => Some(a - 1),
        }
    }

    /// Axes of the indices other than `index_dim`.
    pub fn index_axes(&self, rank: usize) -> Vec<usize> {
        (0..rank).filter(|a| *a != self.index_dim).collect()
    }

    fn check(&self, data: &TensorType, indices: &TensorType, graph: &Graph) -> Result<(), InferError> {
        InferError::check(indices.dtype.is_int(), || format!("indices must be integers, got {indices}"))?;
        InferError::check(self.index_dim <= indices.rank(), || {
            format!("index_dim {} is past the rank of {indices}", self.index_dim)
        })?;
        let taken = [self.collapsed.as_slice(), &self.data_batch].concat();
        InferError::check(distinct(&taken) && taken.iter().all(|a| *a < data.rank()), || {
            format!("collapsed {:?} and batch axes {:?} are not distinct axes of {data}", self.collapsed, self.data_batch)
        })?;
        InferError::check(self.collapsed.is_sorted() && self.data_batch.is_sorted(), || {
            format!("collapsed {:?} and batch axes {:?} must ascend", self.collapsed, self.data_batch)
        })?;
        InferError::check(self.offsets.is_sorted_by(|a, b| a < b), || format!("offsets {:?} must ascend", self.offsets))?;
        InferError::check(self.offsets.len() + taken.len() == data.rank(), || {
            format!(
                "the {} axes of {data} are not the offsets {:?}, the collapsed {:?} and the batch axes {:?} together",
                data.rank(),
                self.offsets,
                self.collapsed,
                self.data_batch
            )
        })?;
        InferError::check(self.data_batch.len() == self.indices_batch.len(), || {
            format!("batch axes {:?} and {:?} differ in number", self.data_batch, self.indices_batch)
        })?;
        let partner = |a: &usize| *a < indices.rank() && *a != self.index_dim;
        InferError::check(distinct(&self.indices_batch) && self.indices_batch.iter().all(partner), || {
            format!("batch axes {:?} are not distinct axes of {indices} other than index_dim", self.indices_batch)
        })?;
        for (d, i) in self.data_batch.iter().zip(&self.indices_batch) {
            unify_extent(&data.shape[*d], &indices.shape[*i], &graph.symbols)?;
        }
        let addressed = [self.map.as_slice(), &self.data_batch].concat();
        InferError::check(distinct(&addressed) && addressed.iter().all(|a| *a < data.rank()), || {
            format!("the map {:?} and batch axes {:?} are not distinct axes of {data}", self.map, self.data_batch)
        })?;
        let entries = indices.shape.get(self.index_dim).cloned().unwrap_or(Dim::Known(1));
        InferError::check(same_extent(&entries, &self.map.len().into(), &graph.symbols), || {
            format!("index vectors of {indices} have {entries} entries, the map has {}", self.map.len())
        })
    }

    /// Shape of the windows tensor, from the extents of a window on the axes of the data it has.
    fn windows(&self, indices: &TensorType, sizes: Vec<Dim>) -> Result<Vec<Dim>, InferError> {
        let lead = self.index_axes(indices.rank());
        let rank = lead.len() + sizes.len();
        InferError::check(self.offsets.iter().all(|a| *a < rank), || {
            format!("offsets {:?} are not axes of windows of rank {rank}", self.offsets)
        })?;
        let (mut lead, mut sizes) = (lead.into_iter(), sizes.into_iter());
        // There are as many offsets as sizes, so each side runs out exactly at the end.
        let axis = |a: usize| {
            let extent = if self.offsets.contains(&a) { sizes.next() } else { lead.next().map(|i| indices.shape[i].clone()) };
            extent.ok_or_else(|| InferError::new(format!("offsets {:?} do not leave {rank} axes", self.offsets)))
        };
        (0..rank).map(axis).collect()
    }
}

fn distinct(v: &[usize]) -> bool {
    (1..v.len()).all(|i| !v[..i].contains(&v[i]))
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_gather_window(
    p: &GatherWindow,
    inputs: &[&TensorType],
    graph: &Graph,
) -> Result<Vec<TensorType>, InferError> {
    arity(inputs, 2)?;
    let (data, indices) = (inputs[0], inputs[1]);
    p.dims.check(data, indices, graph)?;
    InferError::check(p.sizes.len() == data.rank(), || format!("{} window extents for {data}", p.sizes.len()))?;
    for (a, (size, n)) in p.sizes.iter().zip(&data.shape).enumerate() {
        let (s, room) = (size.range(&graph.symbols), (n.clone() - size.clone()).range(&graph.symbols));
        InferError::check(s.hi >= 0 && room.hi >= 0, || format!("a window of {size} does not fit axis {a} of {data}"))?;
        let single = p.dims.collapsed.contains(&a) || p.dims.data_batch.contains(&a);
        InferError::check(!single || s.lo <= 1, || format!("the window's extent on axis {a} of {data} must be 1, not {size}"))?;
    }
    let kept = p.dims.kept(data.rank()).into_iter().map(|a| p.sizes[a].clone()).collect();
    Ok(vec![TensorType::new(data.dtype, p.dims.windows(indices, kept)?)])
}

/// Result types; see [`super::infer()`].
pub(super) fn infer_scatter_window(
    p: &ScatterWindow,
    inputs: &[&TensorType],
    graph: &Graph,
) -> Result<Vec<TensorType>, InferError> {
    let n = inputs.len() / 2;
    InferError::check(n > 0 && inputs.len() % 2 == 1, || {
        format!("takes n data tensors, indices and n updates, got {} arguments", inputs.len())
    })?;
    let (data, indices, updates) = (&inputs[..n], inputs[n], &inputs[n + 1..]);
    let types: Vec<DType> = data.iter().map(|t| t.dtype).collect();
    for (d, u) in data.iter().zip(updates) {
        InferError::check(d.dtype == u.dtype, || format!("updates {u} and data {d} differ in element type"))?;
    }
    let shape = common_shape(data, &graph.symbols)?;
    let given = common_shape(updates, &graph.symbols)?;
    let whole = TensorType::new(types[0], shape.clone());
    p.dims.check(&whole, indices, graph)?;
    let offset = |a: &usize| {
        given.get(*a).cloned().ok_or_else(|| InferError::new(format!("offset {a} is not an axis of updates {}", updates[0])))
    };
    let sizes = p.dims.offsets.iter().map(offset).collect::<Result<Vec<Dim>, _>>()?;
    for (size, a) in sizes.iter().zip(p.dims.kept(shape.len())) {
        let room = (shape[a].clone() - size.clone()).range(&graph.symbols);
        InferError::check(room.hi >= 0, || format!("a window of {size} does not fit axis {a} of {whole}"))?;
    }
    let want = p.dims.windows(indices, sizes)?;
    check_shape(&want, &given, &graph.symbols, || {
        let want = TensorType::new(types[0], want.clone());
        format!("updates are {}; indices {indices} into data {whole} need {want}", updates[0])
    })?;
    check_reducer("update function", graph, p.region, &types)?;
    Ok(types.into_iter().map(|d| TensorType::new(d, shape.clone())).collect())
}
