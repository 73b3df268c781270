//! Operands of a contraction: read through their views where the loops allow it, else computed into a temporary first.

use beiming_ir::kernel::{Access, Element, Expr, ExprId, Loop};
use beiming_ir::ops::Arg;
use beiming_ir::types::{Dim, TensorType};

use super::super::body::BodyCx;
use super::super::builder::{KernelBuilder, Operand, repeat, store};
use super::super::inline::Inliner;

/// Where an operand is read.
#[derive(Clone)]
pub enum Source {
    /// Through the body's views.
    View(Arg),
    /// From a temporary that holds it dense.
    Temp(Operand, TensorType),
}

/// How an argument's address depends on its index.
pub struct Strides {
    /// Elements between neighbours of each axis; `None` where the address is not affine in the axis.
    pub axes: Vec<Option<Dim>>,
    /// Address of the first element.
    pub base: Dim,
    /// The body's input it reads.
    pub input: u32,
    /// Elements outside the input are replaced (padding).
    pub guarded: bool,
}

/// The strides of an argument that is an input seen through views; `None` where it is computed, or an immediate.
pub fn strides(cx: &BodyCx, arg: Arg) -> Result<Option<Strides>, String> {
    let mut kb = KernelBuilder::new(cx.symbols, &[]);
    let mut inliner = Inliner::new(cx);
    let shape = cx.ty(arg).shape.clone();
    let axes: Vec<ExprId> = shape.iter().map(|d| kb.axis(d).1).collect();
    let Some((e, _)) = inliner.element(&mut kb, arg, &axes)? else { return Ok(None) };
    let [at] = e.index.as_slice() else { return Ok(None) };
    let affine = kb.affine(*at);
    let input = (0..cx.inputs.len() as u32).find(|n| inliner.input_buffer(&mut kb, *n) == e.buffer);
    let Some(input) = input else { return Ok(None) };
    let plain = |kb: &KernelBuilder, x: ExprId| matches!(kb.expr(x), Expr::Var(_));
    let all_plain = affine.terms.iter().all(|t| plain(&kb, t.0));
    let axes = axes
        .iter()
        .zip(&shape)
        .map(|(x, d)| {
            if d.is(1) {
                return Some(Dim::from(0));
            }
            let alone = all_plain || !affine.terms.iter().any(|t| !plain(&kb, t.0) && depends(&kb, t.0, *x));
            alone.then(|| affine.coefficient(*x))
        })
        .collect();
    Ok(Some(Strides { axes, base: affine.base, input, guarded: e.guard.is_some() }))
}

/// Whether an expression contains another.
fn depends(kb: &KernelBuilder, e: ExprId, x: ExprId) -> bool {
    e == x
        || match kb.expr(e) {
            Expr::Unary(_, a) | Expr::Cast(_, a) | Expr::Bitcast(_, a) => depends(kb, *a, x),
            Expr::Binary(_, a, b) => depends(kb, *a, x) || depends(kb, *b, x),
            Expr::Select(a, b, c) => [a, b, c].into_iter().any(|y| depends(kb, *y, x)),
            Expr::Load(el, other) => el.index.iter().chain(&el.guard).chain(other).any(|y| depends(kb, *y, x)),
            Expr::Const(_) | Expr::Var(_) | Expr::Dim(_) => false,
        }
}

impl Source {
    /// The element at an index. `guard` is added to what the views guard.
    pub fn element(
        &self,
        inliner: &mut Inliner,
        kb: &mut KernelBuilder,
        index: &[ExprId],
        guard: Option<ExprId>,
    ) -> Result<Element, String> {
        match self {
            Source::View(arg) => {
                let v = inliner.guarded(kb, *arg, index, guard)?;
                match kb.expr(v) {
                    Expr::Load(e, _) => Ok(e.clone()),
                    _ => Err("an operand of a contraction is not a plain element".into()),
                }
            }
            Source::Temp(operand, ty) => {
                let buffer = kb.param(*operand, ty.dtype, &[ty.numel()], Access::Read);
                let at = kb.linear(index, &ty.shape);
                Ok(Element { buffer, index: vec![at], guard })
            }
        }
    }
}

/// Computes an argument into a temporary, dense.
pub fn materialise(cx: &mut BodyCx, arg: Arg) -> Result<Source, String> {
    let ty = cx.ty(arg).clone();
    let temp = cx.temp(ty.clone());
    let (grid, last) = match ty.shape.split_last() {
        Some((last, outer)) => (outer.to_vec(), last.clone()),
        None => (vec![], Dim::from(1)),
    };
    let mut kb = KernelBuilder::new(cx.symbols, &grid);
    let mut inliner = Inliner::new(cx);
    let (v, x) = kb.axis(&last);
    let mut index = kb.grid.clone();
    if ty.rank() > 0 {
        index.push(x);
    }
    let value = inliner.value(&mut kb, arg, &index)?;
    let out = kb.param(temp, ty.dtype, &[ty.numel()], Access::Write);
    let at = kb.linear(&index, &ty.shape);
    let extent = kb.dim(&last);
    let body = vec![repeat(v, extent, Loop::Vector, vec![store(out, &[at], value)])];
    let call = kb.finish(super::label(cx, "copy", None), vec!["copy".into()], body, Dim::from(0));
    cx.call(call);
    Ok(Source::Temp(temp, ty))
}
