//! `SelectAndScatter`: per window the chosen position, then the update there. Axes with windows of one element in steps of one cannot
//! meet: they are the grid, and the last of them the lanes. The windows of the others run in order.

use beiming_ir::kernel::{Access, Element, ExprId, Loop, Space, Stmt, VarId};
use beiming_ir::ops::{Arg, BinaryOp, Op, UnaryOp};
use beiming_ir::types::{DType, Dim};

use super::body::BodyCx;
use super::builder::{KernelBuilder, Operand, repeat, store};
use super::inline::Inliner;
use super::{pointwise, region};

/// Lanes along an axis.
struct Lanes {
    axis: usize,
    width: i64,
    /// First position of the block.
    first: ExprId,
    /// Extent of the axis.
    extent: Dim,
}

impl Lanes {
    /// A fresh lane: its variable, its number, its position along the axis, and whether there is such.
    fn enter(&self, kb: &mut KernelBuilder) -> (VarId, ExprId, ExprId, Option<ExprId>) {
        let (var, lane) = kb.axis(&Dim::Known(self.width));
        let at = kb.add(self.first, lane);
        let exists = kb.below(at, &self.extent);
        (var, lane, at, exists)
    }
}

/// Lowers `SelectAndScatter`; there is no epilogue.
pub fn lower(cx: &mut BodyCx, anchor: usize) -> Result<(), String> {
    let node = cx.body.nodes[anchor].clone();
    let Op::SelectAndScatter(p) = &node.op else { return Err("not a select-and-scatter".into()) };
    let (select, scatter) = (region::find(cx, p.select)?, region::find(cx, p.scatter)?);
    let (x, s) = (cx.ty(node.args[0]).clone(), cx.ty(node.args[1]).clone());
    let (dtype, rank) = (x.dtype, x.rank());
    fill(cx, &node.args)?;
    if s.shape.iter().any(|d| d.is(0)) {
        return Ok(());
    }
    let alone = |a: usize| p.window[a] == 1 && p.strides[a] == 1;
    let free: Vec<usize> = (0..rank).filter(|a| alone(*a)).collect();
    let along = free.last().copied();
    let outer: Vec<usize> = free.iter().copied().filter(|a| Some(*a) != along).collect();
    let most = along.map_or(1, |a| s.shape[a].range(cx.symbols).hi).max(1);
    let width = most.min(2 * cx.lanes(dtype) as i64);
    let mut grid: Vec<Dim> = outer.iter().map(|a| s.shape[*a].clone()).collect();
    grid.extend(along.map(|a| s.shape[a].ceil_div(&Dim::Known(width))));
    let call = {
        let mut kb = KernelBuilder::new(cx.symbols, &grid);
        let mut inl = Inliner::new(cx);
        let zero = kb.int(0);
        let mut window = vec![zero; rank];
        for (a, g) in outer.iter().zip(kb.grid.clone()) {
            window[*a] = g;
        }
        let lanes = match along {
            Some(axis) => {
                let block = kb.grid[outer.len()];
                Lanes { axis, width, first: kb.scale(block, &Dim::Known(width)), extent: s.shape[axis].clone() }
            }
            // A single lane of an axis that is not there.
            None => Lanes { axis: rank, width: 1, first: zero, extent: Dim::Known(1) },
        };
        let mut loops = vec![];
        for a in (0..rank).filter(|a| !alone(*a)) {
            let (var, i) = kb.axis(&s.shape[a]);
            loops.push((var, kb.dim(&s.shape[a])));
            window[a] = i;
        }
        let registers = [("best", dtype), ("spot", DType::I64), ("better", DType::Bool)];
        let [best, spot, better] = registers.map(|(name, d)| kb.local(name, d, &[width as usize], Space::Register));
        let count = kb.int(width);
        let in_lanes = |var: VarId, body: Vec<Stmt>| repeat(var, count, Loop::Vector, body);
        let (none, start) = (kb.int(-1), kb.number(dtype, 0.0));

        let (var, lane, ..) = lanes.enter(&mut kb);
        let mut body = vec![in_lanes(var, vec![store(spot, &[lane], none), store(best, &[lane], start)])];

        let (mut taps, mut steps) = (vec![], vec![zero; rank]);
        for a in (0..rank).filter(|a| p.window[*a] > 1) {
            let extent = Dim::from(p.window[a]);
            let (var, t) = kb.axis(&extent);
            taps.push((var, kb.dim(&extent)));
            steps[a] = t;
        }
        let (var, lane, position, mut inside) = lanes.enter(&mut kb);
        let mut at = vec![];
        for a in 0..rank {
            let w = if a == lanes.axis { position } else { window[a] };
            let o = kb.scale(w, &Dim::from(p.strides[a]));
            let i = kb.add(o, steps[a]);
            let i = kb.offset(i, &Dim::Known(-p.pads[a].0));
            let g = kb.inside(i, &x.shape[a]);
            inside = kb.and(inside, g);
            at.push(i);
        }
        let v = inl.guarded(&mut kb, node.args[0], &at, inside)?;
        let (old, have) = (kb.load(best, &[lane]), kb.load(spot, &[lane]));
        let keep = region::call(&mut kb, select, &[old, v])?[0];
        let some = kb.binary(BinaryOp::Ge, have, zero);
        let keep = kb.binary(BinaryOp::And, some, keep);
        let mut take = kb.unary(UnaryOp::Not, keep);
        if let Some(g) = inside {
            take = kb.binary(BinaryOp::And, g, take);
        }
        let flag = kb.load(better, &[lane]);
        let here = kb.linear(&at, &x.shape);
        let (value, place) = (kb.select(flag, v, old), kb.select(flag, here, have));
        let choice = vec![store(better, &[lane], take), store(best, &[lane], value), store(spot, &[lane], place)];
        let mut choice = vec![in_lanes(var, choice)];
        for (var, count) in taps.into_iter().rev() {
            choice = vec![repeat(var, count, Loop::Serial, choice)];
        }
        body.extend(choice);

        let (var, lane, position, exists) = lanes.enter(&mut kb);
        let have = kb.load(spot, &[lane]);
        let some = kb.binary(BinaryOp::Ge, have, zero);
        let guard = kb.and(exists, Some(some));
        let out = kb.param(Operand::Output(0), dtype, &[x.numel()], Access::ReadWrite);
        let before = kb.load_if(out, &[have], guard, start);
        if along.is_some() {
            window[lanes.axis] = position;
        }
        let update = inl.guarded(&mut kb, node.args[1], &window, exists)?;
        let after = region::call(&mut kb, scatter, &[before, update])?[0];
        let to = Element { buffer: out, index: vec![have], guard };
        body.push(in_lanes(var, vec![Stmt::Vector { dst: to, value: after, reduce: None }]));
        for (var, count) in loops.into_iter().rev() {
            body = vec![repeat(var, count, Loop::Serial, body)];
        }
        let taps = Dim::from(p.window.iter().product::<usize>());
        kb.finish(super::name::kernel(cx, &[]), cx.op_names(), body, s.numel() * taps * Dim::from(select.nodes().len()))
    };
    cx.call(call);
    Ok(())
}

/// Sets the whole result to the initial value, the last argument.
fn fill(cx: &mut BodyCx, args: &[Arg]) -> Result<(), String> {
    let ty = cx.out().clone();
    let grain = Dim::Known(pointwise::GRAIN);
    let call = {
        let blocks = ty.numel().ceil_div(&grain);
        let mut kb = KernelBuilder::new(cx.symbols, std::slice::from_ref(&blocks));
        let v = Inliner::new(cx).value(&mut kb, args[2], &[])?;
        let out = kb.param(Operand::Output(0), ty.dtype, &[ty.numel()], Access::Write);
        let first = kb.scale(kb.grid[0], &grain);
        let left = kb.scale(first, &Dim::Known(-1));
        let left = kb.offset(left, &ty.numel());
        let count = kb.min_dim(left, &grain);
        let (var, i) = kb.axis(&grain);
        let to = kb.add(first, i);
        let body = vec![repeat(var, count, Loop::Vector, vec![store(out, &[to], v)])];
        kb.finish(super::name::kernel(cx, &["fill".into()]), cx.op_names(), body, Dim::Known(0))
    };
    cx.call(call);
    Ok(())
}
