//! Reads that no plain copy brings along the lanes (across rows, at positions that data say) are moved into a temporary before,
//! by a kernel that does nothing else; the group then reads the temporary row by row.

use std::collections::BTreeMap;

use beiming_ir::kernel::{Expr, ExprId};
use beiming_ir::target::npu::Npu;
use beiming_ir::types::{DType, Dim, TensorType};

use super::{gather, turn};
use crate::lower::body::BodyCx;
use crate::lower::builder::{KernelBuilder, Operand};
use crate::lower::index::Affine;

/// Elements to be moved: one read of a group, over the axes that it depends on.
pub struct Elements<'e, 'k> {
    /// Where the expressions are.
    pub kb: &'e KernelBuilder<'k>,
    /// What is read.
    pub load: ExprId,
    /// The group's axes, as indices and extents.
    pub at: &'e [ExprId],
    /// See `at`.
    pub extents: &'e [Dim],
    /// Those that the read depends on, outermost first.
    pub axes: Vec<usize>,
    /// Its address.
    pub address: Affine,
    /// Parts of the address that data say.
    pub computed: Vec<(ExprId, Dim)>,
    /// Element type.
    pub dtype: DType,
}

/// Where reads were moved to: the operand, and the distance between neighbours along each of the group's axes.
pub type Moved = BTreeMap<ExprId, (Operand, Vec<Dim>)>;

/// Moves the reads among `loads` that need it. A group that is nothing but one such read is moved straight into `whole`; the
/// result then says so.
pub fn run(
    cx: &mut BodyCx,
    npu: &Npu,
    kb: &KernelBuilder,
    loads: &[ExprId],
    at: &[ExprId],
    extents: &[Dim],
    whole: Option<Operand>,
) -> Result<(Moved, bool), String> {
    let mut moved = Moved::new();
    for load in loads {
        let Some(e) = elements(kb, *load, at, extents)? else { continue };
        let straight = whole.filter(|_| e.axes.len() == extents.iter().filter(|d| !d.is(1)).count());
        let shape: Vec<Dim> = e.axes.iter().map(|a| extents[*a].clone()).collect();
        let dst = match straight {
            Some(dst) => dst,
            None => cx.temp(TensorType::new(e.dtype, shape.clone())),
        };
        if e.computed.is_empty() {
            turn::lower(cx, npu, &e, dst)?;
        } else {
            gather::lower(cx, npu, &e, dst)?;
        }
        if straight.is_some() {
            return Ok((moved, true));
        }
        let mut strides = vec![Dim::Known(0); at.len()];
        let mut stride = Dim::Known(1);
        for (a, d) in e.axes.iter().zip(&shape).rev() {
            strides[*a] = stride.clone();
            stride = stride * d.clone();
        }
        moved.insert(*load, (dst, strides));
    }
    Ok((moved, false))
}

/// The elements of a read that has to be moved; `None` for one that copies bring along the lanes.
fn elements<'e, 'k>(
    kb: &'e KernelBuilder<'k>,
    load: ExprId,
    at: &'e [ExprId],
    extents: &'e [Dim],
) -> Result<Option<Elements<'e, 'k>>, String> {
    let Expr::Load(el, _) = kb.expr(load) else { return Ok(None) };
    if el.guard.is_some() {
        return Ok(None);
    }
    let address = kb.affine(el.index[0]);
    let computed: Vec<(ExprId, Dim)> = address.terms.iter().filter(|(a, _)| !at.contains(a)).cloned().collect();
    let lane = at.last().map_or(Dim::Known(0), |a| address.coefficient(*a));
    if computed.is_empty() && (lane.is(0) || lane.is(1)) {
        return Ok(None);
    }
    let mut axes = vec![];
    for (i, a) in at.iter().enumerate().filter(|(i, _)| !extents[*i].is(1)) {
        let within = computed.iter().any(|(c, _)| depends(kb, *c, *a));
        if within || !address.coefficient(*a).is(0) {
            axes.push(i);
        }
    }
    let dtype = kb.buffer(el.buffer).dtype;
    Ok(Some(Elements { kb, load, at, extents, axes, address, computed, dtype }))
}

/// True where an expression depends on an index.
pub fn depends(kb: &KernelBuilder, e: ExprId, on: ExprId) -> bool {
    if e == on {
        return true;
    }
    match kb.expr(e) {
        Expr::Load(el, other) => el.index.iter().chain(&el.guard).chain(other).any(|x| depends(kb, *x, on)),
        Expr::Unary(_, a) | Expr::Cast(_, a) | Expr::Bitcast(_, a) => depends(kb, *a, on),
        Expr::Binary(_, a, b) => depends(kb, *a, on) || depends(kb, *b, on),
        Expr::Select(c, a, b) => [c, a, b].into_iter().any(|x| depends(kb, *x, on)),
        Expr::Const(_) | Expr::Var(_) | Expr::Dim(_) => false,
    }
}
