//! The plain form of matrix products, convolutions and pooling: reductions over depth and taps, one load at a time. It serves
//! every type and rank; the contraction kernels take the shapes that are worth tiling.

use beiming_ir::kernel::ExprId;
use beiming_ir::ops::{Arg, BinaryOp, Op, PoolKind, ReduceOp, UnaryOp};
use beiming_ir::types::{DType, Dim};

use super::body::BodyCx;
use super::builder::{KernelBuilder, Operand};
use super::reduce::{Reduction, accumulator, mean, otherwise, reduction};
use super::rows::roles;

/// Lowers `MatMul`, `Conv`, `ConvTranspose` or `Pool` element by element.
pub fn lower(cx: &mut BodyCx, anchor: usize, root: Arg, dst: Operand) -> Result<(), String> {
    match &cx.body.nodes[anchor].op {
        Op::MatMul { .. } => matmul(cx, anchor, root, dst),
        Op::Conv(_) => conv(cx, anchor, root, dst),
        Op::ConvTranspose(_) => conv_transpose(cx, anchor, root, dst),
        Op::Pool(_) => pool(cx, anchor, root, dst),
        op => Err(format!("`{}` is no contraction", op.name())),
    }
}

/// Type that products of `a` and `b` giving `out` are summed in.
fn sum_type(out: DType) -> DType {
    accumulator(out)
}

fn product(kb: &mut KernelBuilder, acc: DType, a: ExprId, b: ExprId) -> ExprId {
    let (a, b) = (kb.cast(acc, a), kb.cast(acc, b));
    kb.binary(BinaryOp::Mul, a, b)
}

/// Position in the data, along one axis, of a tap of the window at an output position: `output * stride + tap * dilation - low`.
fn tap(kb: &mut KernelBuilder, (output, stride): (ExprId, usize), (tap, dilation): (ExprId, usize), low: i64) -> ExprId {
    let i = kb.scale(output, &Dim::from(stride));
    let t = kb.scale(tap, &Dim::from(dilation));
    let i = kb.add(i, t);
    kb.offset(i, &Dim::Known(-low))
}

fn matmul(cx: &mut BodyCx, anchor: usize, root: Arg, dst: Operand) -> Result<(), String> {
    let args = cx.body.nodes[anchor].args.clone();
    let (a, b) = (cx.ty(args[0]).shape.clone(), cx.ty(args[1]).shape.clone());
    let result = cx.types[anchor].clone();
    let depth = a[a.len() - 1].clone();
    let acc = sum_type(result.dtype);
    let mut shape = result.shape.clone();
    shape.push(depth.clone());
    let roles = roles(shape.len(), |a| a == result.rank());
    // Leading axes broadcast: an argument's axis of extent one stays at zero.
    let leading = |kb: &mut KernelBuilder, of: &[Dim], index: &[ExprId]| -> Vec<ExprId> {
        let (n, lead) = (of.len() - 2, index.len() - 3);
        (0..n)
            .map(|i| {
                let to = lead - n + i;
                if of[i].is(1) {
                    kb.int(0)
                } else if of[i] == result.shape[to] {
                    index[to]
                } else {
                    kb.min_dim(index[to], &(of[i].clone() - Dim::Known(1)))
                }
            })
            .collect()
    };
    let r = Reduction {
        anchor,
        shape,
        roles,
        result: &|_, index| index[..index.len() - 1].to_vec(),
        value: &|inl, kb, index, guard| {
            let n = index.len();
            let (i, j, k) = (index[n - 3], index[n - 2], index[n - 1]);
            let mut left = leading(kb, &a, index);
            left.extend([i, k]);
            let mut right = leading(kb, &b, index);
            right.extend([k, j]);
            let x = inl.guarded(kb, args[0], &left, guard)?;
            let y = inl.guarded(kb, args[1], &right, guard)?;
            Ok(product(kb, acc, x, y))
        },
        acc,
        op: ReduceOp::Sum,
        finish: &|kb, sum, _| kb.cast(result.dtype, sum),
        flops: result.numel() * depth * Dim::Known(2) + cx.elementwise_flops(),
    };
    reduction(cx, &r, root, dst)
}

fn conv(cx: &mut BodyCx, anchor: usize, root: Arg, dst: Operand) -> Result<(), String> {
    let node = cx.body.nodes[anchor].clone();
    let Op::Conv(c) = &node.op else { return Err("not a convolution".into()) };
    let (x, w) = (cx.ty(node.args[0]).shape.clone(), cx.ty(node.args[1]).shape.clone());
    let result = cx.types[anchor].clone();
    let spatial = c.strides.len();
    let acc = sum_type(result.dtype);
    let (groups, depth, out) = (Dim::from(c.groups), w[spatial].clone(), w[spatial + 1].clone());
    let each = out.floor_div(&groups);
    // [N, S'.., group, O / group | K.., C / group]
    let mut shape = result.shape[..=spatial].to_vec();
    shape.extend([groups.clone(), each.clone()]);
    let kept = shape.len();
    shape.extend(w[..spatial].iter().cloned());
    shape.push(depth.clone());
    let roles = roles(shape.len(), |a| a >= kept);
    let taps = w[..spatial].iter().fold(depth.clone(), |a, d| a * d.clone());
    let channels = Dim::from(c.groups) * depth.clone();
    let r = Reduction {
        anchor,
        shape,
        roles,
        result: &|kb, index| {
            let mut at = index[..=spatial].to_vec();
            at.push(kb.linear(&index[spatial + 1..kept], &[groups.clone(), each.clone()]));
            at
        },
        value: &|inl, kb, index, guard| {
            let mut at = vec![index[0]];
            let mut inside = guard;
            for s in 0..spatial {
                let i = tap(kb, (index[1 + s], c.strides[s]), (index[kept + s], c.dilations[s]), c.pads[s].0);
                let g = kb.inside(i, &x[1 + s]);
                inside = kb.and(inside, g);
                at.push(i);
            }
            let (g, o, k) = (index[spatial + 1], index[spatial + 2], index[index.len() - 1]);
            at.push(kb.linear(&[g, k], &[groups.clone(), depth.clone()]));
            debug_assert!(channels == x[spatial + 1] || channels.known().is_none());
            let mut weight = index[kept..].to_vec();
            weight.push(kb.linear(&[g, o], &[groups.clone(), each.clone()]));
            let x = inl.guarded(kb, node.args[0], &at, inside)?;
            let zero = {
                let d = kb.dtype(x);
                kb.number(d, 0.0)
            };
            let x = otherwise(kb, inside, x, zero);
            let y = inl.guarded(kb, node.args[1], &weight, guard)?;
            Ok(product(kb, acc, x, y))
        },
        acc,
        op: ReduceOp::Sum,
        finish: &|kb, sum, _| kb.cast(result.dtype, sum),
        flops: result.numel() * taps * Dim::Known(2) + cx.elementwise_flops(),
    };
    reduction(cx, &r, root, dst)
}

fn conv_transpose(cx: &mut BodyCx, anchor: usize, root: Arg, dst: Operand) -> Result<(), String> {
    let node = cx.body.nodes[anchor].clone();
    let Op::ConvTranspose(c) = &node.op else { return Err("not a transposed convolution".into()) };
    let (x, w) = (cx.ty(node.args[0]).shape.clone(), cx.ty(node.args[1]).shape.clone());
    let result = cx.types[anchor].clone();
    let spatial = c.strides.len();
    let acc = sum_type(result.dtype);
    let groups = Dim::from(c.groups);
    let depth = w[spatial].floor_div(&groups);
    let each = w[spatial + 1].clone();
    let mut shape = result.shape[..=spatial].to_vec();
    shape.extend([groups.clone(), each.clone()]);
    let kept = shape.len();
    shape.extend(w[..spatial].iter().cloned());
    shape.push(depth.clone());
    let roles = roles(shape.len(), |a| a >= kept);
    // Each input element meets each tap once.
    let flops = x.iter().chain(&w[..spatial]).fold(each.clone() * Dim::Known(2), |a, d| a * d.clone());
    let r = Reduction {
        anchor,
        shape,
        roles,
        result: &|kb, index| {
            let mut at = index[..=spatial].to_vec();
            at.push(kb.linear(&index[spatial + 1..kept], &[groups.clone(), each.clone()]));
            at
        },
        // Gathered: output o takes tap k from input (o + lo - dilation * k) / stride where that is whole and in range.
        value: &|inl, kb, index, guard| {
            let mut at = vec![index[0]];
            let mut inside = guard;
            for s in 0..spatial {
                let t = kb.scale(index[kept + s], &(Dim::from(c.dilations[s]) * Dim::Known(-1)));
                let i = kb.add(index[1 + s], t);
                let i = kb.offset(i, &Dim::Known(c.pads[s].0));
                let stride = Dim::from(c.strides[s]);
                let rest = kb.remainder(i, &stride);
                let i = kb.quotient(i, &stride);
                let low = kb.below(rest, &Dim::Known(1));
                let g = kb.inside(i, &x[1 + s]);
                let g = kb.and(low, g);
                inside = kb.and(inside, g);
                at.push(i);
            }
            let (g, o, k) = (index[spatial + 1], index[spatial + 2], index[index.len() - 1]);
            let channel = kb.linear(&[g, k], &[groups.clone(), depth.clone()]);
            at.push(channel);
            let mut weight = index[kept..kept + spatial].to_vec();
            weight.extend([channel, o]);
            let x = inl.guarded(kb, node.args[0], &at, inside)?;
            let zero = {
                let d = kb.dtype(x);
                kb.number(d, 0.0)
            };
            let x = otherwise(kb, inside, x, zero);
            let y = inl.guarded(kb, node.args[1], &weight, guard)?;
            Ok(product(kb, acc, x, y))
        },
        acc,
        op: ReduceOp::Sum,
        finish: &|kb, sum, _| kb.cast(result.dtype, sum),
        flops: flops + cx.elementwise_flops(),
    };
    reduction(cx, &r, root, dst)
}

fn pool(cx: &mut BodyCx, anchor: usize, root: Arg, dst: Operand) -> Result<(), String> {
    let node = cx.body.nodes[anchor].clone();
    let Op::Pool(p) = &node.op else { return Err("not a pooling".into()) };
    let x = cx.ty(node.args[0]).shape.clone();
    let result = cx.types[anchor].clone();
    let spatial = p.window.len();
    let acc = accumulator(result.dtype);
    let kept = result.rank();
    let mut shape = result.shape.clone();
    shape.extend(p.window.iter().map(|&k| Dim::from(k)));
    let roles = roles(shape.len(), |a| a >= kept);
    let op = if p.kind == PoolKind::Max { ReduceOp::Max } else { ReduceOp::Sum };
    let taps: Dim = p.window.iter().fold(Dim::Known(1), |a, &k| a * Dim::from(k));
    let r = Reduction {
        anchor,
        shape,
        roles,
        result: &|_, index| index[..kept].to_vec(),
        value: &|inl, kb, index, guard| {
            let mut at = index[..kept].to_vec();
            let mut inside = guard;
            for s in 0..spatial {
                let i = tap(kb, (index[1 + s], p.strides[s]), (index[kept + s], p.dilations[s]), p.pads[s].0);
                let g = kb.inside(i, &x[1 + s]);
                inside = kb.and(inside, g);
                at[1 + s] = i;
            }
            let mut v = inl.guarded(kb, node.args[0], &at, inside)?;
            let dtype = kb.dtype(v);
            let outside = kb.identity(op, dtype);
            v = otherwise(kb, inside, v, outside);
            v = kb.cast(acc, v);
            if let PoolKind::Lp { p } = p.kind {
                v = kb.unary(UnaryOp::Abs, v);
                v = if p.get() == 1.0 {
                    v
                } else if p.get() == 2.0 {
                    kb.binary(BinaryOp::Mul, v, v)
                } else {
                    let e = kb.number(acc, p.get());
                    kb.binary(BinaryOp::Pow, v, e)
                };
            }
            Ok(v)
        },
        acc,
        op,
        finish: &|kb, sum, index| {
            let v = match p.kind {
                PoolKind::Max => sum,
                PoolKind::Avg { padded } => {
                    let mut n = kb.int(1);
                    for s in 0..spatial {
                        let c = taps_inside(kb, p, s, index[1 + s], &x[1 + s], padded);
                        n = kb.binary(BinaryOp::Mul, n, c);
                    }
                    let n = if padded_everywhere(kb, n) { kb.dim(&taps) } else { n };
                    mean(kb, sum, n, acc)
                }
                PoolKind::Lp { p } if p.get() == 1.0 => sum,
                PoolKind::Lp { p } if p.get() == 2.0 => kb.unary(UnaryOp::Sqrt, sum),
                PoolKind::Lp { p } => {
                    let e = kb.number(acc, 1.0 / p.get());
                    kb.binary(BinaryOp::Pow, sum, e)
                }
            };
            kb.cast(result.dtype, v)
        },
        flops: result.numel() * taps.clone() + cx.elementwise_flops(),
    };
    reduction(cx, &r, root, dst)
}

/// Number of taps of the window at output position `o` that count along one axis: those inside the data, or (`padded`) inside
/// the padded range.
fn taps_inside(kb: &mut KernelBuilder, p: &beiming_ir::ops::Pool, s: usize, o: ExprId, n: &Dim, padded: bool) -> ExprId {
    let (lo, hi) = p.pads[s];
    let window = p.window[s];
    let (low, extent) = if padded { (0, n.clone() + Dim::Known(lo + hi)) } else { (lo, n.clone()) };
    // Position of tap 0 in the counted range, and of the last tap.
    let first = kb.scale(o, &Dim::from(p.strides[s]));
    let first = kb.offset(first, &Dim::Known(-low));
    let step = Dim::from(p.dilations[s]);
    let last = kb.offset(first, &(step.clone() * Dim::Known(window as i64 - 1)));
    if kb.within(&kb.affine(first), &extent) && kb.within(&kb.affine(last), &extent) {
        return kb.int(window as i64);
    }
    // Taps before the range: ceil(-first / step) where first < 0; taps up to its end: floor((extent - 1 - first) / step) + 1.
    let zero = kb.int(0);
    let minus = kb.scale(first, &Dim::Known(-1));
    let before = kb.offset(minus, &(step.clone() - Dim::Known(1)));
    let before = kb.quotient(before, &step);
    let before = kb.binary(BinaryOp::Max, before, zero);
    let upto = kb.offset(minus, &(extent - Dim::Known(1)));
    let upto = kb.quotient(upto, &step);
    let upto = kb.offset(upto, &Dim::Known(1));
    let most = kb.int(window as i64);
    let upto = kb.binary(BinaryOp::Min, upto, most);
    kb.binary(BinaryOp::Sub, upto, before)
}

fn padded_everywhere(kb: &KernelBuilder, n: ExprId) -> bool {
    // A product of constants is left as it was built: all windows whole.
    use beiming_ir::kernel::Expr;
    match kb.expr(n) {
        Expr::Const(_) => true,
        Expr::Binary(BinaryOp::Mul, a, b) => padded_everywhere(kb, *a) && padded_everywhere(kb, *b),
        _ => false,
    }
}
