//! Explicit broadcasts sink towards the outputs and vanish. Elementwise ops broadcast by themselves, so an argument that some
//! producers (StableHLO's among them) bring to the result's shape first is only harder to recognise and more to compute: the op
//! takes the narrow value, and what is left to repeat is repeated behind it. Constants that repeat themselves count as
//! broadcasts. Every value keeps its bits.

use beiming_ir::graph::{Graph, Loc, ValueId};
use beiming_ir::ops::{self, Op, Slice};
use beiming_ir::tensor::{Data, Tensor};
use beiming_ir::types::{Dim, TensorType};

use crate::fold;
use crate::layout;
use crate::rebuild::Rebuild;

/// What stands for `op(inputs)`, of type `ty`, with a broadcast less or one further down; `None` where there is none to move.
pub(crate) fn node(r: &mut Rebuild, op: &Op, inputs: &[ValueId], ty: &TensorType, loc: &Loc) -> Option<ValueId> {
    match op {
        op if op.is_elementwise() => elementwise(r, op, inputs, ty, loc),
        Op::MatMul { .. } => matmul(r, op, inputs, ty, loc),
        Op::Broadcast { shape } => repeats_nothing(&r.new, inputs[0], shape)
            .then(|| put(r, Op::Reshape { shape: shape.clone() }, inputs[0], loc))
            .flatten(),
        Op::Reshape { shape } => {
            // Which axes of the new shape repeat is clear where everything does.
            let x = source(&r.new, inputs[0]).filter(|x| r.new.ty(*x).numel().is(1))?;
            let scalar = put(r, Op::Reshape { shape: vec![] }, x, loc)?;
            r.push1(Op::Broadcast { shape: shape.clone() }, &[scalar], loc).ok()
        }
        Op::Transpose { perm } => {
            let x = source(&r.new, inputs[0])?;
            let x = full_rank(r, x, perm.len(), loc)?;
            let turned = put(r, Op::Transpose { perm: perm.clone() }, x, loc)?;
            r.push1(Op::Broadcast { shape: ty.shape.clone() }, &[turned], loc).ok()
        }
        Op::Slice(s) => {
            let x = source(&r.new, inputs[0])?;
            let x = full_rank(r, x, s.len.len(), loc)?;
            let from = r.new.ty(x).shape.clone();
            let whole = &r.new.ty(inputs[0]).shape;
            let repeated: Vec<bool> = from.iter().zip(whole).map(|(a, b)| a.is(1) && !b.is(1)).collect();
            let pick = |f: &dyn Fn(usize) -> Dim, one: i64| -> Vec<Dim> {
                (0..from.len()).map(|a| if repeated[a] { one.into() } else { f(a) }).collect()
            };
            let start = pick(&|a| s.start[a].clone(), 0);
            let len = pick(&|a| s.len[a].clone(), 1);
            let step = (0..from.len()).map(|a| if repeated[a] { 1 } else { s.step[a] }).collect();
            let all = len == from && start.iter().all(|d| d.is(0)) && repeated.iter().zip(&s.step).all(|(r, k)| *r || *k == 1);
            let x = if all { x } else { put(r, Op::Slice(Slice { start, len, step }), x, loc)? };
            r.push1(Op::Broadcast { shape: ty.shape.clone() }, &[x], loc).ok()
        }
        _ => None,
    }
}

/// True where a broadcast of a constant is better left as it is: every user looks through it.
pub(crate) fn looks_through(user: &Op, repeated: &TensorType) -> bool {
    user.is_elementwise()
        || matches!(user, Op::Broadcast { .. } | Op::Transpose { .. } | Op::Slice(_))
        || matches!(user, Op::Reshape { .. }) && repeated.numel().is(1)
}

/// The op on its arguments without their broadcasts, and a broadcast behind it where they alone make the shape.
fn elementwise(r: &mut Rebuild, op: &Op, inputs: &[ValueId], ty: &TensorType, loc: &Loc) -> Option<ValueId> {
    let mut args = vec![];
    for &v in inputs {
        args.push(match (source(&r.new, v), r.new.const_of(v).and_then(narrowed)) {
            (Some(x), _) => x,
            (None, Some(t)) => r.constant(&t, loc),
            (None, None) => v,
        });
    }
    if args == inputs {
        return None;
    }
    let types: Vec<&TensorType> = args.iter().map(|v| r.new.ty(*v)).collect();
    let result = ops::infer(op, &types, &r.new).ok()?.into_iter().next()?;
    let narrow = r.push1(op.clone(), &args, loc).ok()?;
    if result == *ty {
        return Some(narrow);
    }
    r.push1(Op::Broadcast { shape: ty.shape.clone() }, &[narrow], loc).ok()
}

/// A product repeats its arguments along the leading axes by itself.
fn matmul(r: &mut Rebuild, op: &Op, inputs: &[ValueId], ty: &TensorType, loc: &Loc) -> Option<ValueId> {
    let mut args = inputs.to_vec();
    for i in 0..args.len() {
        let Some(x) = source(&r.new, args[i]) else { continue };
        let saved = std::mem::replace(&mut args[i], x);
        let types: Vec<&TensorType> = args.iter().map(|v| r.new.ty(*v)).collect();
        if !ops::infer(op, &types, &r.new).is_ok_and(|t| t.len() == 1 && t[0] == *ty) {
            args[i] = saved;
        }
    }
    if args == inputs { None } else { r.push1(op.clone(), &args, loc).ok() }
}

/// What a value is a broadcast of.
fn source(g: &Graph, v: ValueId) -> Option<ValueId> {
    g.def(v).filter(|n| matches!(n.op, Op::Broadcast { .. })).map(|n| n.inputs[0])
}

/// A broadcast that only adds axes of extent one.
fn repeats_nothing(g: &Graph, v: ValueId, shape: &[Dim]) -> bool {
    let from = &g.ty(v).shape;
    from.len() < shape.len() && shape.ends_with(from) && shape[..shape.len() - from.len()].iter().all(|d| d.is(1))
}

/// `x` with leading axes of extent one, up to `rank`.
fn full_rank(r: &mut Rebuild, x: ValueId, rank: usize, loc: &Loc) -> Option<ValueId> {
    let own = r.new.ty(x).shape.clone();
    let missing = rank.checked_sub(own.len())?;
    if missing == 0 {
        return Some(x);
    }
    put(r, Op::Reshape { shape: std::iter::repeat_n(Dim::from(1), missing).chain(own).collect() }, x, loc)
}

/// Adds a shape op of one argument; of a constant, the constant that it makes.
fn put(r: &mut Rebuild, op: Op, x: ValueId, loc: &Loc) -> Option<ValueId> {
    let folded = match (&op, r.new.const_of(x)) {
        (Op::Reshape { shape }, Some(t)) => t.reshaped(&known(shape)?),
        (Op::Transpose { perm }, Some(t)) => fold::transpose(t, perm),
        _ => None,
    };
    match folded {
        Some(t) => Some(r.constant(&t, loc)),
        None if matches!(&op, Op::Reshape { shape } if r.new.ty(x).shape == *shape) => Some(x),
        None if matches!(&op, Op::Transpose { perm } if layout::is_identity(perm)) => Some(x),
        None => r.push1(op, &[x], loc).ok(),
    }
}

fn known(shape: &[Dim]) -> Option<Vec<usize>> {
    shape.iter().map(|d| usize::try_from(d.known()?).ok()).collect()
}

/// A constant without the axes along which it repeats itself: extent one there, leading ones dropped. `None` where it does not.
fn narrowed(t: &Tensor) -> Option<Tensor> {
    if t.is_empty() || t.shape.iter().all(|&n| n == 1) {
        return None;
    }
    let mut shape = t.shape.clone();
    let mut bytes = std::borrow::Cow::Borrowed(t.bytes());
    let mut inner = t.dtype.size();
    for axis in (0..shape.len()).rev() {
        let n = shape[axis];
        if n > 1 && bytes.chunks_exact(inner * n).all(|run| run[inner..].chunks_exact(inner).all(|c| c == &run[..inner])) {
            bytes = bytes.chunks_exact(inner * n).flat_map(|run| &run[..inner]).copied().collect::<Vec<u8>>().into();
            shape[axis] = 1;
        }
        inner *= shape[axis];
    }
    if shape == t.shape {
        return None;
    }
    let lead = shape.iter().take_while(|&&n| n == 1).count();
    Tensor::new(t.dtype, shape.split_off(lead), Data::from(bytes.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_lose_the_axes_along_which_they_repeat() {
        let t = |shape: &[usize], f: &dyn Fn(usize) -> f32| {
            Tensor::f32(shape, &(0..shape.iter().product()).map(f).collect::<Vec<f32>>())
        };
        let n = |t: &Tensor| narrowed(t).map(|t| (t.shape.clone(), t.to_f64()));
        assert_eq!(n(&t(&[2, 3], &|_| 5.0)), Some((vec![], vec![5.0])));
        assert_eq!(n(&t(&[4, 2, 3], &|i| (i % 3) as f32)), Some((vec![3], vec![0.0, 1.0, 2.0])));
        assert_eq!(n(&t(&[2, 3, 2], &|i| (i / 2 % 3) as f32)), Some((vec![3, 1], vec![0.0, 1.0, 2.0])));
        assert_eq!(n(&t(&[2, 3], &|i| (i / 3) as f32)), Some((vec![2, 1], vec![0.0, 1.0])));
        assert_eq!(n(&t(&[2, 3], &|i| i as f32)), None);
        assert_eq!(n(&t(&[1, 1], &|_| 1.0)), None);
        assert_eq!(n(&t(&[0, 3], &|_| 1.0)), None);
        // Zeros of both signs are two values.
        assert_eq!(n(&t(&[2], &|i| if i == 0 { 0.0 } else { -0.0 })), None);
    }
}
