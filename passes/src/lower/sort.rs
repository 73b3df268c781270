//! Sorting by a comparator: a bottom-up merge sort of positions, one line a grid point, with the comparator written out. What
//! `eval` defines, step by step, so that a comparator that is no order gives the same here.
//!
//! ```text
//! for pass in 0..passes: if width < n:                    width = 1 << pass
//!     for every pair of runs [lo, mid) [mid, hi):
//!         for k in 0..hi - lo: the smaller head goes to place lo + k of the other half of `order`
//! ```

use beiming_ir::kernel::{Access, BufId, Expr, ExprId, Loop, Space, Stmt};
use beiming_ir::ops::{BinaryOp, Op, UnaryOp};
use beiming_ir::types::{DType, Dim, TensorType};

use super::body::BodyCx;
use super::builder::{KernelBuilder, Operand, repeat, store};
use super::inline::Inliner;
use super::region;

/// Lowers `SortBy`.
pub fn lower(cx: &mut BodyCx, anchor: usize) -> Result<(), String> {
    let node = cx.body.nodes[anchor].clone();
    let Op::SortBy { axis, region, .. } = node.op else { return Err("not a sort".into()) };
    let less = region::find(cx, region)?;
    let shape = cx.out().shape.clone();
    let n = shape[axis].clone();
    let mut grid = shape.clone();
    grid.remove(axis);
    let lines = grid.iter().fold(Dim::Known(1), |a, d| a * d.clone());
    let order_shape = [lines.clone(), Dim::Known(2), n.clone()];
    let order_of = cx.temp(TensorType::new(DType::I64, order_shape.clone()));
    let types = cx.outputs.clone();
    number(cx, order_of, &lines, &n);
    let call = {
        let mut kb = KernelBuilder::new(cx.symbols, &grid);
        let mut inl = Inliner::new(cx);
        let others = kb.grid.clone();
        let line = kb.linear(&others, &grid);
        let order =
            kb.param(order_of, DType::I64, &[order_shape.iter().fold(Dim::Known(1), |a, d| a * d.clone())], Access::ReadWrite);
        let registers = ["half", "left", "right", "a", "b"].map(|name| kb.local(name, DType::I64, &[1], Space::Register));
        let [half, left, right, a, b] = registers;
        let take = kb.local("take", DType::Bool, &[1], Space::Register);
        let (zero, one) = (kb.int(0), kb.int(1));
        let get = |kb: &mut KernelBuilder, r: BufId| kb.load(r, &[zero]);
        let set = |r: BufId, v: ExprId| store(r, &[zero], v);
        let extent = kb.dim(&n);
        // Place `i` of half `h` of the line's order.
        let place = |kb: &mut KernelBuilder, h: ExprId, i: ExprId| {
            let first = kb.scale(line, &(n.clone() * Dim::Known(2)));
            let skip = kb.binary(BinaryOp::Mul, h, extent);
            let at = kb.binary(BinaryOp::Add, first, skip);
            kb.binary(BinaryOp::Add, at, i)
        };
        let at_axis = |i: ExprId| {
            let mut at = others.clone();
            at.insert(axis, i);
            at
        };

        let mut body = vec![set(half, zero)];

        let most = n.range(cx.symbols).hi.max(1) as u64;
        let passes = i64::from(most.next_power_of_two().trailing_zeros().min(48));
        let (pass_var, pass) = kb.axis(&Dim::Known(passes.max(2)));
        let width = kb.binary(BinaryOp::Shl, one, pass);
        let two = kb.binary(BinaryOp::Add, width, width);
        let run_var = kb.kernel.var();
        let run = kb.raw(Expr::Var(run_var));
        let lo = kb.binary(BinaryOp::Mul, run, two);
        let bound = |kb: &mut KernelBuilder, from: ExprId, by: ExprId| {
            let end = kb.binary(BinaryOp::Add, from, by);
            kb.binary(BinaryOp::Min, end, extent)
        };
        let (mid, hi) = (bound(&mut kb, lo, width), bound(&mut kb, lo, two));
        let step_var = kb.kernel.var();
        let step = kb.raw(Expr::Var(step_var));

        let (h, l, r) = (get(&mut kb, half), get(&mut kb, left), get(&mut kb, right));
        let (in_left, in_right) = (kb.binary(BinaryOp::Lt, l, mid), kb.binary(BinaryOp::Lt, r, hi));
        let head = |kb: &mut KernelBuilder, at: ExprId, guard: ExprId| {
            let from = place(kb, h, at);
            kb.load_if(order, &[from], Some(guard), zero)
        };
        let (head_a, head_b) = (head(&mut kb, l, in_left), head(&mut kb, r, in_right));
        let (ia, ib) = (get(&mut kb, a), get(&mut kb, b));
        let mut pairs = vec![];
        for arg in &node.args {
            pairs.push(inl.value(&mut kb, *arg, &at_axis(ib))?);
            pairs.push(inl.value(&mut kb, *arg, &at_axis(ia))?);
        }
        let first = region::call(&mut kb, less, &pairs)?[0];
        let no_left = kb.unary(UnaryOp::Not, in_left);
        let first = kb.binary(BinaryOp::Or, no_left, first);
        let first = kb.binary(BinaryOp::And, in_right, first);
        let taken = get(&mut kb, take);
        let from = kb.select(taken, ib, ia);
        let other = kb.binary(BinaryOp::Sub, one, h);
        let k = kb.binary(BinaryOp::Add, lo, step);
        let to = place(&mut kb, other, k);
        let as_int = kb.cast(DType::I64, taken);
        let kept = kb.binary(BinaryOp::Sub, one, as_int);
        let (l2, r2) = (kb.binary(BinaryOp::Add, l, kept), kb.binary(BinaryOp::Add, r, as_int));
        let merge =
            vec![set(a, head_a), set(b, head_b), set(take, first), store(order, &[to], from), set(left, l2), set(right, r2)];
        let length = kb.binary(BinaryOp::Sub, hi, lo);
        let pair = vec![set(left, lo), set(right, mid), repeat(step_var, length, Loop::Serial, merge)];
        let last = kb.binary(BinaryOp::Sub, two, one);
        let runs = kb.binary(BinaryOp::Add, extent, last);
        let runs = kb.binary(BinaryOp::Div, runs, two);
        let needed = kb.binary(BinaryOp::Lt, width, extent);
        let one_pass = Stmt::If { cond: needed, then: vec![repeat(run_var, runs, Loop::Serial, pair), set(half, other)] };
        let count = kb.int(passes);
        body.push(repeat(pass_var, count, Loop::Serial, vec![one_pass]));

        let (var, i) = kb.axis(&n);
        let from = place(&mut kb, h, i);
        let from = kb.load(order, &[from]);
        let mut moves = vec![];
        for (k, ty) in types.iter().enumerate() {
            let v = inl.value(&mut kb, node.args[k], &at_axis(from))?;
            let out = kb.param(Operand::Output(k as u32), ty.dtype, &[ty.numel()], Access::Write);
            let to = kb.linear(&at_axis(i), &ty.shape);
            moves.push(store(out, &[to], v));
        }
        body.push(repeat(var, extent, Loop::Serial, moves));
        let flops = lines * n.clone() * Dim::Known(passes) * Dim::from(less.nodes().len() + 4);
        kb.finish(super::name::kernel(cx, &[]), cx.op_names(), body, flops)
    };
    cx.call(call);
    Ok(())
}

/// Fills the first half of every line's order with the positions 0, 1, ..
fn number(cx: &mut BodyCx, order: Operand, lines: &Dim, n: &Dim) {
    let call = {
        let mut kb = KernelBuilder::new(cx.symbols, std::slice::from_ref(lines));
        let total = lines.clone() * n.clone() * Dim::Known(2);
        let out = kb.param(order, DType::I64, &[total], Access::Write);
        let (var, i) = kb.axis(n);
        let first = kb.scale(kb.grid[0], &(n.clone() * Dim::Known(2)));
        let to = kb.add(first, i);
        let body = vec![repeat(var, kb.dim(n), Loop::Vector, vec![store(out, &[to], i)])];
        kb.finish(super::name::kernel(cx, &["positions".into()]), cx.op_names(), body, Dim::Known(0))
    };
    cx.call(call);
}
