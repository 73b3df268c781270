//! What gathers and scatters of windows mean. The arguments have passed `infer`.

use super::{GatherWindow, ScatterWindow, WindowDims};
use crate::eval::{Ctx, EvalError};
use crate::num::encode;
use crate::ops::index;
use crate::ops::region::Callee;
use crate::tensor::{Num, Tensor};

/// The parts of a position in the windows tensor.
struct Position<'a> {
    dims: &'a WindowDims,
    lead: Vec<usize>,
    kept: Vec<usize>,
    index_axes: Vec<usize>,
    index_strides: Vec<usize>,
}

impl<'a> Position<'a> {
    fn new(dims: &'a WindowDims, data: usize, indices: &Tensor, windows: usize) -> Position<'a> {
        Position {
            dims,
            lead: dims.lead(windows),
            kept: dims.kept(data),
            index_axes: dims.index_axes(indices.shape.len()),
            index_strides: index::strides(&indices.shape),
        }
    }

    /// The start that the index vector for the window at `at` names on each addressed axis, in the order of the map.
    fn starts(&self, indices: &Tensor, at: &[usize]) -> Vec<i128> {
        let base: usize = self.index_axes.iter().zip(&self.lead).map(|(i, w)| self.index_strides[*i] * at[*w]).sum();
        let step = self.index_strides.get(self.dims.index_dim).copied().unwrap_or(0);
        (0..self.dims.map.len()).map(|k| indices.get(base + k * step).to_i128()).collect()
    }

    /// Position in the data for starts on the addressed axes.
    fn place(&self, rank: usize, starts: &[i128], at: &[usize]) -> Vec<i128> {
        let mut full = vec![0i128; rank];
        for (a, s) in self.dims.map.iter().zip(starts) {
            full[*a] = *s;
        }
        for (d, i) in self.dims.data_batch.iter().zip(&self.dims.indices_batch) {
            // A batch axis is never `index_dim`.
            full[*d] = self.dims.lead_of(*i).map_or(0, |l| at[self.lead[l]] as i128);
        }
        for (a, o) in self.kept.iter().zip(&self.dims.offsets) {
            full[*a] += at[*o] as i128;
        }
        full
    }
}

/// The row-major position of `at`; `None` out of range.
fn inside(at: &[i128], shape: &[usize]) -> Option<usize> {
    let mut flat = 0;
    for (&i, &n) in at.iter().zip(shape) {
        flat = flat * n + usize::try_from(i).ok().filter(|i| *i < n)?;
    }
    Some(flat)
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_gather_window(p: &GatherWindow, args: &[Tensor], ctx: &Ctx) -> Result<Vec<Tensor>, EvalError> {
    let (data, indices) = (&args[0], &args[1]);
    let sizes = ctx.shape(&p.sizes)?;
    let types = [data.ty(), indices.ty()];
    let types = super::infer_gather_window(p, &types.iter().collect::<Vec<_>>(), ctx.graph).map_err(|e| EvalError(e.message))?;
    let shape = ctx.shape(&types[0].shape)?;
    let position = Position::new(&p.dims, data.shape.len(), indices, shape.len());
    let size = data.dtype.size();
    let mut out = index::buffer(data.dtype, &shape)?;
    index::for_each(&shape, |at| {
        let mut starts = position.starts(indices, at);
        for (s, a) in starts.iter_mut().zip(&p.dims.map) {
            // A window fits its axis (`infer`), so there is room of zero or more.
            *s = (*s).clamp(0, data.shape[*a].saturating_sub(sizes[*a]) as i128);
        }
        let from = inside(&position.place(data.shape.len(), &starts, at), &data.shape)
            .ok_or_else(|| EvalError(format!("a window reads past the data {}", data.ty())))?;
        out.extend_from_slice(&data.bytes()[from * size..(from + 1) * size]);
        Ok(())
    })?;
    Ok(vec![index::tensor(data.dtype, &shape, out)?])
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_scatter_window(p: &ScatterWindow, args: &[Tensor], ctx: &Ctx) -> Result<Vec<Tensor>, EvalError> {
    let n = args.len() / 2;
    let (data, indices, updates) = (&args[..n], &args[n], &args[n + 1..]);
    let mut callee = Callee::new(ctx.graph, p.region, ctx.dims)?;
    let (shape, windows) = (&data[0].shape, &updates[0].shape);
    let position = Position::new(&p.dims, shape.len(), indices, windows.len());
    let mut out: Vec<Vec<u8>> = data.iter().map(|t| t.bytes().to_vec()).collect();
    let (mut values, mut results) = (Vec::<Num>::new(), vec![]);
    let mut next = 0;
    index::for_each(windows, |at| {
        let starts = position.starts(indices, at);
        let from = next;
        next += 1;
        let Some(to) = inside(&position.place(shape.len(), &starts, at), shape) else { return Ok(()) };
        values.clear();
        for (t, bytes) in data.iter().zip(&out) {
            let size = t.dtype.size();
            values.push(crate::num::decode(t.dtype, &bytes[to * size..(to + 1) * size]));
        }
        values.extend(updates.iter().map(|t| t.get(from)));
        callee.call(&values, &mut results)?;
        for ((t, bytes), v) in data.iter().zip(&mut out).zip(&results) {
            let (size, mut one) = (t.dtype.size(), Vec::with_capacity(16));
            encode(t.dtype, *v, &mut one);
            bytes[to * size..(to + 1) * size].copy_from_slice(&one);
        }
        Ok(())
    })?;
    data.iter().zip(out).map(|(t, bytes)| index::tensor(t.dtype, shape, bytes)).collect()
}
