//! Reads and writes at computed positions.

use beiming_ir::ops::{BinaryOp, GatherWindow, Op, ScatterWindow, WindowDims};
use beiming_ir::types::{DType, Dim, TensorType};

use super::super::cx::{Cx, amounts, axes_in};
use super::super::value::{Val, flatten, rebuild};
use super::region;
use super::shape::{Starts, clamped, starts};
use super::{Row, any};
use crate::import::build::Build;
use crate::import::extents;
use crate::import::fail::{Fail, R, bad_arguments, bad_attribute};
use crate::import::frame::V;
use crate::import::stablehlo::syntax::{Attr, Attrs};

pub const OPS: &[Row] = &[
    any("stablehlo.dynamic_gather", dynamic_gather),
    any("stablehlo.dynamic_update_slice", update_slice),
    any("stablehlo.gather", gather),
    any("stablehlo.scatter", scatter),
    any("stablehlo.torch_index_select", index_select),
];

/// The names that gather and scatter have for the same relations.
struct Names {
    attr: &'static str,
    offsets: &'static str,
    collapsed: &'static str,
    data_batch: &'static str,
    indices_batch: &'static str,
    map: &'static str,
}

const GATHER: Names = Names {
    attr: "dimension_numbers",
    offsets: "offset_dims",
    collapsed: "collapsed_slice_dims",
    data_batch: "operand_batching_dims",
    indices_batch: "start_indices_batching_dims",
    map: "start_index_map",
};

const SCATTER: Names = Names {
    attr: "scatter_dimension_numbers",
    offsets: "update_window_dims",
    collapsed: "inserted_window_dims",
    data_batch: "input_batching_dims",
    indices_batch: "scatter_indices_batching_dims",
    map: "scatter_dims_to_operand_dims",
};

fn window_dims(cx: &Cx<'_, '_>, names: &Names, data: usize, indices: usize, windows: usize) -> R<WindowDims> {
    let Some(Attr::Struct(_, fields)) = cx.attr(names.attr) else {
        return bad_attribute(format!("attribute `{}` is missing", names.attr));
    };
    let list = |name: &str, rank: usize| axes_in(name, &field(fields, name), rank);
    let at = match fields.get("index_vector_dim") {
        Some(Attr::Int(i, _)) => axes_in("index_vector_dim", &[*i], indices + 1)?[0],
        _ => 0,
    };
    Ok(WindowDims {
        offsets: list(names.offsets, windows)?,
        collapsed: list(names.collapsed, data)?,
        data_batch: list(names.data_batch, data)?,
        indices_batch: list(names.indices_batch, indices)?,
        map: list(names.map, data)?,
        index_dim: at,
    })
}

fn field(fields: &Attrs, name: &str) -> Vec<i64> {
    fields.get(name).and_then(Attr::ints).unwrap_or_default()
}

fn gather(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let sizes = amounts("slice_sizes", &cx.ints("slice_sizes")?, 0)?.into_iter().map(Dim::from).collect();
    gathered(cx, sizes)
}

fn dynamic_gather(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let given = cx.plain(2)?;
    let sizes = match (cx.top().dims_of(given), cx.result_shape(0)?) {
        (None, Some(declared)) => {
            let sizes = declared_sizes(cx, &declared)?;
            extents::expect(cx, given, &sizes)?;
            sizes
        }
        _ => cx.dims(2)?,
    };
    gathered(cx, sizes)
}

/// The sizes of windows whose argument only the run knows: the declared result has them, but for the axes that it drops, where
/// they are 1. The run checks them.
fn declared_sizes(cx: &Cx<'_, '_>, declared: &[Dim]) -> R<Vec<Dim>> {
    let rank = cx.shape_of(&cx.val(0)?)?.len();
    let dims = window_dims(cx, &GATHER, rank, cx.rank(cx.plain(1)?), declared.len())?;
    let mut within = dims.offsets.iter().map(|o| declared[*o].clone());
    let dropped = |i: usize| dims.collapsed.contains(&i) || dims.data_batch.contains(&i);
    let sizes: Option<Vec<Dim>> = (0..rank).map(|i| if dropped(i) { Some(1.into()) } else { within.next() }).collect();
    sizes.map_or_else(|| bad_attribute(format!("`offset_dims` has fewer axes than the {rank} of the operand need")), Ok)
}

fn gathered(cx: &mut Cx<'_, '_>, sizes: Vec<Dim>) -> R<Vec<Val>> {
    let (x, indices) = (cx.val(0)?, cx.plain(1)?);
    let shape = cx.shape_of(&x)?;
    let dims = window_dims(cx, &GATHER, shape.len(), cx.rank(indices), cx.result_tensor(0)?.shape.len())?;
    if sizes.len() != shape.len() {
        return bad_attribute(format!("{} slice sizes for a tensor of rank {}", sizes.len(), shape.len()));
    }
    if let Some(axis) = whole_rows(&dims, &sizes, &shape) {
        return Ok(vec![take(cx, &x, indices, &dims, axis)?]);
    }
    if let Some(axis) = along_axis(cx, &dims, shape.len(), indices) {
        let at = dropped_vector(cx, indices, dims.index_dim)?;
        let at = from_the_start(cx, at, &shape[axis])?;
        return Ok(vec![cx.map(&x, |cx, v| cx.emit(Op::GatherElements { axis }, &[v, at]))?]);
    }
    let sorted = cx.flag("indices_are_sorted")?;
    let op = GatherWindow { dims, sizes, sorted };
    Ok(vec![cx.map(&x, |cx, v| cx.emit(Op::GatherWindow(op.clone()), &[v, indices]))?])
}

/// The axis of which whole rows (slices) are taken, where that is all a gather does.
fn whole_rows(dims: &WindowDims, sizes: &[Dim], shape: &[Dim]) -> Option<usize> {
    let ([axis], [map]) = (dims.collapsed.as_slice(), dims.map.as_slice()) else { return None };
    let whole = (0..shape.len()).all(|i| if i == *axis { sizes[i].is(1) } else { sizes[i] == shape[i] });
    (axis == map && whole && dims.data_batch.is_empty() && !shape[*axis].is(0)).then_some(*axis)
}

/// The axis along which a gather takes single elements, one for each position on the others.
fn along_axis(cx: &Cx<'_, '_>, dims: &WindowDims, rank: usize, indices: V) -> Option<usize> {
    let ([axis], [map]) = (dims.collapsed.as_slice(), dims.map.as_slice()) else { return None };
    let index_rank = cx.rank(indices) - usize::from(dims.index_dim < cx.rank(indices));
    let others: Vec<usize> = (0..rank).filter(|a| a != axis).collect();
    let paired: Vec<usize> = dims.indices_batch.iter().map(|a| a - usize::from(*a > dims.index_dim)).collect();
    let fits = axis == map && dims.offsets.is_empty() && index_rank == rank && dims.data_batch == others && paired == others;
    fits.then_some(*axis)
}

/// Index vectors of one entry as plain indices.
fn dropped_vector(cx: &mut Cx<'_, '_>, indices: V, index_dim: usize) -> R {
    let mut shape = cx.shape(indices);
    if index_dim < shape.len() {
        shape.remove(index_dim);
    }
    cx.reshape(indices, shape)
}

/// Indices for core ops, where negative ones count from the end; here they are clamped to the start.
fn from_the_start(cx: &mut Cx<'_, '_>, indices: V, extent: &Dim) -> R {
    if let Some(i) = cx.top().wrapped_index(indices, extent)
        && cx.ty(i).numel() == cx.ty(indices).numel()
        && matches!(cx.dtype(i), DType::I32 | DType::I64)
    {
        return cx.reshape(i, cx.shape(indices));
    }
    let unsigned = cx.dtype(indices).is_unsigned_int();
    let known = cx.top().const_of(indices).is_some_and(|t| t.len() <= 1 << 16 && t.to_i64().iter().all(|i| *i >= 0));
    let v = match cx.dtype(indices) {
        DType::I32 | DType::I64 => indices,
        _ => super::shape::index(cx, indices)?,
    };
    if unsigned || known { Ok(v) } else { cx.with(BinaryOp::Max, v, 0.0) }
}

/// Slices along `axis` by index, brought to the declared order of axes.
fn take(cx: &mut Cx<'_, '_>, x: &Val, indices: V, dims: &WindowDims, axis: usize) -> R<Val> {
    let at = dropped_vector(cx, indices, dims.index_dim)?;
    let extent = cx.shape_of(x)?[axis].clone();
    let at = from_the_start(cx, at, &extent)?;
    let count = cx.rank(at);
    cx.map(x, |cx, v| {
        let out = cx.emit(Op::Gather { axis }, &[v, at])?;
        // Core: data axes before, index axes, data axes after. Here the data's axes stand at `offsets`.
        let rank = cx.rank(out);
        let mut data = (0..axis).chain(axis + count..rank);
        let mut index = axis..axis + count;
        let perm = (0..rank).map(|a| if dims.offsets.contains(&a) { data.next() } else { index.next() });
        match perm.collect::<Option<Vec<usize>>>() {
            Some(perm) => cx.transpose(out, perm),
            None => bad_attribute("`offset_dims` does not fit the data and the indices"),
        }
    })
}

fn index_select(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let (x, indices) = (cx.val(0)?, cx.plain(1)?);
    let shape = cx.shape_of(&x)?;
    let axis = cx.axis("dim", shape.len())?;
    if cx.int_opt("batch_dims")?.unwrap_or(0) != 0 {
        return Err(Fail::Unsupported("batch axes".into()));
    }
    let at = from_the_start(cx, indices, &shape[axis])?;
    Ok(vec![cx.map(&x, |cx, v| cx.emit(Op::Gather { axis }, &[v, at]))?])
}

fn scatter(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let n = cx.args.len() / 2;
    if n == 0 || cx.args.len().is_multiple_of(2) {
        return bad_arguments("it takes data, indices and as many updates as data");
    }
    let block = cx.block(0)?;
    let (data, updates) = (cx.args[..n].to_vec(), cx.args[n + 1..].to_vec());
    let indices = cx.plain(n)?;
    let rank = cx.shape_of(&data[0])?.len();
    let dims = window_dims(cx, &SCATTER, rank, cx.rank(indices), cx.shape_of(&updates[0])?.len())?;
    let region = region::reducer(cx, block, &data)?;
    // The reference interpreter takes no promise about the indices into account: updates are applied one after another.
    let promised = |name: &str| R::Ok(cx.flag(name)? && !cx.walk.as_written);
    let op = ScatterWindow { dims, sorted: promised("indices_are_sorted")?, unique: promised("unique_indices")?, region };
    let args: Vec<V> = flatten(&data).into_iter().chain([indices]).chain(flatten(&updates)).collect();
    let outs = cx.emit_all(Op::ScatterWindow(op), &args)?;
    rebuild(&data, &outs).ok_or(Fail::Poisoned)
}

/// The tensor with a window from `at` on, which lies inside, in place of what it has there.
pub fn overwrite(cx: &mut Cx<'_, '_>, x: V, at: V, window: V) -> R {
    let all: Vec<usize> = (0..cx.rank(x)).collect();
    let dims = WindowDims { offsets: all.clone(), map: all, ..WindowDims::default() };
    let ty = TensorType::scalar(cx.dtype(x));
    let region = cx.walk.region("overwrite", &[ty.clone(), ty], |_, formals| Ok(vec![formals[1]]))?;
    let region = cx.frame().graph.add_region(region.frame.graph);
    cx.emit(Op::ScatterWindow(ScatterWindow { dims, sorted: true, unique: true, region }), &[x, at, window])
}

fn update_slice(cx: &mut Cx<'_, '_>) -> R<Vec<Val>> {
    let (x, update) = (cx.val(0)?, cx.val(1)?);
    let (shape, window) = (cx.shape_of(&x)?, cx.shape_of(&update)?);
    if shape.len() != window.len() {
        return bad_arguments(format!("data of rank {} and an update of rank {}", shape.len(), window.len()));
    }
    let partial: Vec<usize> = (0..shape.len()).filter(|i| shape[*i] != window[*i]).collect();
    let at = starts(cx, 2, shape.len())?;
    let pair = [x, update];
    match (at, partial.as_slice()) {
        (_, []) => Ok(vec![pair[1].clone()]),
        // What stands before, the update, what stands after.
        (Starts::Known(at), [axis]) => {
            let axis = *axis;
            let start = clamped(cx, &at[axis], &shape[axis], &window[axis]);
            let end = start.clone() + window[axis].clone();
            Ok(vec![cx.zip(&pair, |cx, v| {
                let mut parts = vec![];
                if !start.is(0) {
                    parts.push(cx.slice_axis(v[0], axis, 0.into(), start.clone())?);
                }
                parts.push(v[1]);
                if end != shape[axis] {
                    parts.push(cx.slice_axis(v[0], axis, end.clone(), shape[axis].clone() - end.clone())?);
                }
                cx.concat(&parts, axis)
            })?])
        }
        (at, _) => {
            let at = match at {
                Starts::Computed(v) => v,
                Starts::Known(d) => cx.dim_vector(d),
            };
            // One window, whose start is brought to where it fits.
            let room = shape.iter().zip(&window).map(|(e, w)| e.clone() - w.clone()).collect();
            let most = cx.dim_vector(room);
            let at = cx.binary(BinaryOp::Min, at, most)?;
            let at = cx.with(BinaryOp::Max, at, 0.0)?;
            Ok(vec![cx.zip(&pair, |cx, v| overwrite(cx, v[0], at, v[1]))?])
        }
    }
}
