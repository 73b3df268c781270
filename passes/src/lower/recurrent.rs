//! Recurrent layers: the inputs of all steps are projected by one matrix product; then a serial loop over the steps, one grid
//! point a sequence, with the recurrent weights rearranged so that a block of gate units is a contiguous row for each
//! element of the state.

use beiming_ir::kernel::{Access, BufId, ExprId, Loop, Space, Stmt};
use beiming_ir::ops::{Arg, BinaryOp, Body, BodyNode, Direction, Op, ReduceOp, Slice, UnaryOp};
use beiming_ir::plan::Panels;
use beiming_ir::types::{DType, Dim, TensorType};

use super::body::BodyCx;
use super::builder::{Call, KernelBuilder, Operand, accumulate, repeat, store};
use super::inline::Inliner;
use super::reduce::accumulator;

/// What the layers share.
struct Layer {
    args: Vec<Arg>,
    gates: usize,
    hidden: usize,
    clip: Option<f64>,
    /// Direction written, and whether it runs backwards.
    number: usize,
    directions: usize,
    backwards: bool,
    steps: Dim,
    batch: Dim,
    dtype: DType,
    /// Type computed in.
    acc: DType,
    /// `w x + w's bias` of all steps: `[T * B, gates * H]`.
    projected: Operand,
}

/// The particular cell.
#[derive(Clone, Copy)]
enum Cell {
    Lstm { input_forget: bool },
    Gru { linear_before_reset: bool },
}

/// Lowers `Lstm` or `Gru`, always a body of its own.
pub fn lower(cx: &mut BodyCx, anchor: usize) -> Result<(), String> {
    let node = cx.body.nodes[anchor].clone();
    if cx.body.nodes.len() != 1 {
        return Err("a recurrent layer is not fused with other ops".into());
    }
    let (cell, direction, hidden, gates, clip) = match &node.op {
        Op::Lstm(p) => (Cell::Lstm { input_forget: p.input_forget }, p.direction, p.hidden, 4, p.clip),
        Op::Gru(p) => (Cell::Gru { linear_before_reset: p.linear_before_reset }, p.direction, p.hidden, 3, p.clip),
        _ => return Err("not a recurrent layer".into()),
    };
    let x = cx.ty(node.args[0]).clone();
    let directions = if direction == Direction::Bidirectional { 2 } else { 1 };
    for number in 0..directions {
        let projected = project(cx, &node.args, number, gates * hidden)?;
        let l = Layer {
            args: node.args.clone(),
            gates,
            hidden,
            clip: clip.map(|c| c.get()),
            number,
            directions,
            backwards: direction == Direction::Reverse || number == 1,
            steps: x.shape[0].clone(),
            batch: x.shape[1].clone(),
            dtype: x.dtype,
            acc: accumulator(x.dtype),
            projected,
        };
        let call = l.kernel(cx, cell)?;
        cx.call(call);
    }
    Ok(())
}

/// The matrix product for all steps of one direction, as a body of its own.
fn project(cx: &mut BodyCx, args: &[Arg], number: usize, units: usize) -> Result<Operand, String> {
    let x = cx.ty(args[0]).clone();
    let (rows, size) = (x.shape[0].clone() * x.shape[1].clone(), x.shape[2].clone());
    let bias = cx.ty(args[3]).shape.clone();
    let known = |v: usize| Dim::from(v);
    let slice = |start: Vec<Dim>, len: Vec<Dim>| Op::Slice(Slice { step: vec![1; start.len()], start, len });
    let mut nodes: Vec<BodyNode> = vec![];
    let mut types: Vec<TensorType> = vec![];
    let mut add = |op: Op, args: Vec<Arg>, shape: Vec<Dim>| {
        nodes.push(BodyNode { op, args });
        types.push(TensorType::new(x.dtype, shape));
        Arg::Node(nodes.len() as u32 - 1)
    };
    let flat = vec![rows.clone(), size.clone()];
    let data = add(Op::Reshape { shape: flat.clone() }, vec![args[0]], flat);
    let one = vec![known(1), known(units), size.clone()];
    let w = add(slice(vec![known(number), 0.into(), 0.into()], one.clone()), vec![args[1]], one);
    let w = add(Op::Reshape { shape: vec![known(units), size.clone()] }, vec![w], vec![known(units), size.clone()]);
    let w = add(Op::Transpose { perm: vec![1, 0] }, vec![w], vec![size, known(units)]);
    let result = vec![rows, known(units)];
    let product = add(Op::MatMul { out: x.dtype }, vec![data, w], result.clone());
    debug_assert!(bias.len() == 2);
    let b = add(slice(vec![known(number), 0.into()], vec![known(1), known(units)]), vec![args[3]], vec![known(1), known(units)]);
    add(Op::Binary(BinaryOp::Add), vec![product, b], result.clone());
    let ty = TensorType::new(x.dtype, result);
    let mut sub = BodyCx {
        body: Body { inputs: cx.inputs.len() as u32, nodes }.into(),
        types,
        outputs: vec![ty.clone()],
        calls: vec![],
        ..cx.clone()
    };
    let operand = sub.temp(ty);
    super::families::lower(&mut sub)?;
    cx.temps = sub.temps;
    for mut call in sub.calls {
        call.args.iter_mut().filter(|a| **a == Operand::Output(0)).for_each(|a| *a = operand);
        cx.call(call);
    }
    Ok(operand)
}

impl Layer {
    fn kernel(&self, cx: &BodyCx, cell: Cell) -> Result<Call, String> {
        let mut k = Kernel::new(self, cx);
        let mut body = k.start()?;
        let mut step = k.step_body(cell)?;
        let (var, count) = k.loop_over_steps;
        let mut steps = vec![repeat(var, count, Loop::Serial, std::mem::take(&mut step))];
        body.append(&mut steps);
        body.extend(k.end()?);
        let work = Dim::from(2 * self.gates * self.hidden * (self.hidden + 4));
        let flops = self.steps.clone() * self.batch.clone() * work;
        let name = super::name::kernel(cx, &[format!("h{}", self.hidden)]);
        Ok(k.kb.finish(name, cx.op_names(), body, flops))
    }
}

/// The loop over the steps of one sequence.
struct Kernel<'l, 'c, 'a> {
    l: &'l Layer,
    kb: KernelBuilder<'a>,
    inl: Inliner<'c, 'a>,
    sequence: ExprId,
    /// Steps of this sequence, and the variable that counts them.
    length: ExprId,
    loop_over_steps: (beiming_ir::kernel::VarId, ExprId),
    /// Position of the current step.
    at: ExprId,
    h: BufId,
    c: BufId,
    /// Gate inputs, `[gates * H]`.
    pre: BufId,
    /// The next cell, or the reset state.
    next: BufId,
}

/// Makes the statements of one lane.
type Lane<'f, 'l, 'c, 'a> = dyn FnMut(&mut Kernel<'l, 'c, 'a>, ExprId) -> Result<Vec<Stmt>, String> + 'f;

impl<'l, 'c, 'a> Kernel<'l, 'c, 'a> {
    fn new(l: &'l Layer, cx: &'c BodyCx<'a>) -> Kernel<'l, 'c, 'a> {
        let mut kb = KernelBuilder::new(cx.symbols, std::slice::from_ref(&l.batch));
        let sequence = kb.grid[0];
        let h = kb.local("h", l.acc, &[l.hidden], Space::Panel);
        let c = kb.local("c", l.acc, &[l.hidden], Space::Panel);
        let pre = kb.local("pre", l.acc, &[l.gates * l.hidden], Space::Panel);
        let next = kb.local("next", l.acc, &[l.hidden], Space::Panel);
        let zero = kb.int(0);
        let (var, _) = kb.axis(&l.steps);
        let inl = Inliner::new(cx);
        Kernel { l, kb, inl, sequence, length: zero, loop_over_steps: (var, zero), at: zero, h, c, pre, next }
    }

    /// A vector loop over `0..n`.
    fn vector(&mut self, n: usize, f: &mut Lane<'_, 'l, 'c, 'a>) -> Result<Stmt, String> {
        let (var, j) = self.kb.axis(&Dim::from(n));
        let body = f(self, j)?;
        let count = self.kb.int(n as i64);
        Ok(repeat(var, count, Loop::Vector, body))
    }

    fn number(&mut self) -> ExprId {
        self.kb.int(self.l.number as i64)
    }

    /// The n-th argument at an index, in the type computed in.
    fn arg(&mut self, n: usize, index: &[ExprId]) -> Result<ExprId, String> {
        let v = self.inl.value(&mut self.kb, self.l.args[n], index)?;
        Ok(self.kb.cast(self.l.acc, v))
    }

    fn is_lstm(&self) -> bool {
        self.l.gates == 4
    }

    /// State from the arguments; length of the sequence.
    fn start(&mut self) -> Result<Vec<Stmt>, String> {
        let l = self.l;
        let len = self.inl.value(&mut self.kb, l.args[4], &[self.sequence])?;
        let len = self.kb.cast(DType::I64, len);
        let (zero, steps) = (self.kb.int(0), self.kb.dim(&l.steps));
        let len = self.kb.binary(BinaryOp::Max, len, zero);
        self.length = self.kb.binary(BinaryOp::Min, len, steps);
        self.kb.assume(self.length, Dim::Known(0), l.steps.clone());
        let (var, t) = self.kb.axis(&l.steps);
        self.loop_over_steps = (var, self.length);
        self.at = if l.backwards {
            let back = self.kb.sub(self.length, t);
            let back = self.kb.offset(back, &Dim::Known(-1));
            self.kb.bounded(back, &l.steps)
        } else {
            t
        };
        let d = self.number();
        let (h, c, b) = (self.h, self.c, self.sequence);
        let lstm = self.is_lstm();
        Ok(vec![self.vector(l.hidden, &mut |k, j| {
            let mut out = vec![store(h, &[j], k.arg(5, &[d, b, j])?)];
            if lstm {
                out.push(store(c, &[j], k.arg(6, &[d, b, j])?));
            }
            Ok(out)
        })?])
    }

    /// `pre[from..to] += r · state + r's bias`, where `pre` starts from the projected input.
    fn gate_inputs(&mut self, from: usize, to: usize, state: BufId, with_input: bool) -> Result<Vec<Stmt>, String> {
        let (l, units) = (self.l, to - from);
        let lanes = self.inl.cx.lanes(l.acc);
        let width = (1..=4).rev().map(|n| n * lanes).find(|w| units.is_multiple_of(*w)).unwrap_or(units.min(4 * lanes));
        let constant = match l.args[2] {
            Arg::Input(n) => self.inl.cx.inputs[n as usize].constant.filter(|t| t.len() > 1),
            Arg::Node(_) => None,
        };
        let rows = l.gates * l.hidden;
        let weights = constant.map(|t| {
            let panels = Panels {
                batch: 1,
                rows: l.hidden,
                cols: units,
                nr: width,
                offset: (l.number * rows + from) * l.hidden,
                batch_stride: 0,
                row_stride: 1,
                col_stride: l.hidden,
            };
            self.kb.weight(t.clone(), Some(panels))
        });
        let acc = self.kb.local("acc", l.acc, &[width], Space::Register);
        let blocks = Dim::from(units.div_ceil(width));
        let (block_var, block) = self.kb.axis(&blocks);
        let first = self.kb.scale(block, &Dim::from(width));
        let pre = self.pre;
        let end = Dim::from(units);
        // Unit `j` of the block among all gate units of the direction, and the condition that it exists.
        let unit = move |k: &mut Self, j: ExprId| {
            let x = k.kb.add(first, j);
            let guard = k.kb.below(x, &end);
            (k.kb.offset(x, &Dim::from(from)), guard)
        };
        let unit = &unit;
        let d = self.number();
        let mut body = vec![self.vector(width, &mut |k, j| {
            let (u, guard) = unit(k, j);
            let at = k.kb.offset(u, &Dim::from(rows));
            let bias = k.inl.guarded(&mut k.kb, l.args[3], &[d, at], guard)?;
            let mut v = k.kb.cast(l.acc, bias);
            if with_input {
                let x = k.projected(u, guard);
                v = k.kb.binary(BinaryOp::Add, v, x);
            }
            Ok(vec![store(acc, &[j], v)])
        })?];
        let (var, i) = self.kb.axis(&Dim::from(l.hidden));
        let inner = self.vector(width, &mut |k, j| {
            let w = match weights {
                Some(w) => {
                    let zero = k.kb.int(0);
                    k.kb.load(w, &[zero, block, i, j])
                }
                None => {
                    let (u, guard) = unit(k, j);
                    k.inl.guarded(&mut k.kb, l.args[2], &[d, u, i], guard)?
                }
            };
            let w = k.kb.cast(l.acc, w);
            let s = k.kb.load(state, &[i]);
            let v = k.kb.binary(BinaryOp::Mul, w, s);
            Ok(vec![accumulate(ReduceOp::Sum, acc, &[j], v)])
        })?;
        let count = self.kb.int(l.hidden as i64);
        body.push(repeat(var, count, Loop::Serial, vec![inner]));
        body.push(self.vector(width, &mut |k, j| {
            let (u, guard) = unit(k, j);
            let v = k.kb.load(acc, &[j]);
            Ok(vec![super::builder::store_if(pre, &[u], guard, v)])
        })?);
        let count = self.kb.dim(&blocks);
        Ok(vec![repeat(block_var, count, Loop::Serial, body)])
    }

    /// The projected input of unit `u` at the current step.
    fn projected(&mut self, u: ExprId, guard: Option<ExprId>) -> ExprId {
        let l = self.l;
        let units = Dim::from(l.gates * l.hidden);
        let shape = [l.steps.clone(), l.batch.clone(), units];
        let numel = shape.iter().fold(Dim::Known(1), |a, d| a * d.clone());
        let buffer = self.kb.param(l.projected, l.dtype, &[numel], Access::Read);
        let at = self.kb.linear(&[self.at, self.sequence, u], &shape);
        let other = self.kb.number(l.dtype, 0.0);
        let v = self.kb.load_if(buffer, &[at], guard, other);
        self.kb.cast(l.acc, v)
    }

    fn clipped(&mut self, v: ExprId) -> ExprId {
        let Some(c) = self.l.clip else { return v };
        let (lo, hi) = (self.kb.number(self.l.acc, -c), self.kb.number(self.l.acc, c));
        let v = self.kb.binary(BinaryOp::Max, v, lo);
        self.kb.binary(BinaryOp::Min, v, hi)
    }

    fn activated(&mut self, f: UnaryOp, v: ExprId) -> ExprId {
        let v = self.clipped(v);
        self.kb.unary(f, v)
    }

    /// Gate input `g` of unit `j`.
    fn gate(&mut self, g: usize, j: ExprId) -> ExprId {
        let at = self.kb.offset(j, &Dim::from(g * self.l.hidden));
        self.kb.load(self.pre, &[at])
    }

    /// Stores a value of unit `j` to `y` at step `t`.
    fn write_y(&mut self, t: ExprId, j: ExprId, v: ExprId) -> Stmt {
        let l = self.l;
        let shape = [l.steps.clone(), Dim::from(l.directions), l.batch.clone(), Dim::from(l.hidden)];
        let d = self.number();
        self.write(0, &shape, &[t, d, self.sequence, j], v)
    }

    fn write(&mut self, output: u32, shape: &[Dim], index: &[ExprId], v: ExprId) -> Stmt {
        let numel = shape.iter().fold(Dim::Known(1), |a, d| a * d.clone());
        let out = self.kb.param(Operand::Output(output), self.l.dtype, &[numel], Access::Write);
        let at = self.kb.linear(index, shape);
        let v = self.kb.cast(self.l.dtype, v);
        store(out, &[at], v)
    }

    fn step_body(&mut self, cell: Cell) -> Result<Vec<Stmt>, String> {
        match cell {
            Cell::Lstm { input_forget } => self.lstm(input_forget),
            Cell::Gru { linear_before_reset } => self.gru(linear_before_reset),
        }
    }

    fn lstm(&mut self, input_forget: bool) -> Result<Vec<Stmt>, String> {
        let l = self.l;
        let (n, h, c, next) = (l.hidden, self.h, self.c, self.next);
        let mut body = self.gate_inputs(0, 4 * n, h, true)?;
        let d = self.number();
        let at = self.at;
        body.push(self.vector(n, &mut |k, j| {
            use BinaryOp::{Add, Mul, Sub};
            let old = k.kb.load(c, &[j]);
            let new = k.kb.load(next, &[j]);
            let gate = |k: &mut Self, g: usize, peep: usize, cell: ExprId| -> Result<ExprId, String> {
                let p = k.kb.int((peep * n) as i64);
                let p = k.kb.add(p, j);
                let w = k.arg(7, &[d, p])?;
                let w = k.kb.binary(Mul, w, cell);
                let v = k.gate(g, j);
                let v = k.kb.binary(Add, v, w);
                Ok(k.activated(UnaryOp::Sigmoid, v))
            };
            let input = gate(k, 0, 0, old)?;
            let forget = if input_forget {
                let one = k.kb.number(l.acc, 1.0);
                k.kb.binary(Sub, one, input)
            } else {
                gate(k, 2, 2, old)?
            };
            let output = gate(k, 1, 1, new)?;
            let g = k.gate(3, j);
            let g = k.activated(UnaryOp::Tanh, g);
            let (kept, added) = (k.kb.binary(Mul, forget, old), k.kb.binary(Mul, input, g));
            let cell = k.kb.binary(Add, kept, added);
            let t = k.kb.unary(UnaryOp::Tanh, new);
            let result = k.kb.binary(Mul, output, t);
            let state = k.kb.load(h, &[j]);
            // The new cell first: what follows reads it back.
            Ok(vec![store(next, &[j], cell), store(h, &[j], result), store(c, &[j], new), k.write_y(at, j, state)])
        })?);
        Ok(body)
    }

    fn gru(&mut self, linear_before_reset: bool) -> Result<Vec<Stmt>, String> {
        use BinaryOp::{Add, Mul, Sub};
        let l = self.l;
        let (n, h, next, at) = (l.hidden, self.h, self.next, self.at);
        let mut body = self.gate_inputs(0, 2 * n, h, true)?;
        if linear_before_reset {
            body.extend(self.gate_inputs(2 * n, 3 * n, h, false)?);
        } else {
            body.push(self.vector(n, &mut |k, j| {
                let r = k.gate(1, j);
                let r = k.activated(UnaryOp::Sigmoid, r);
                let old = k.kb.load(h, &[j]);
                let v = k.kb.binary(Mul, r, old);
                Ok(vec![store(next, &[j], v)])
            })?);
            body.extend(self.gate_inputs(2 * n, 3 * n, next, true)?);
        }
        body.push(self.vector(n, &mut |k, j| {
            let z = k.gate(0, j);
            let z = k.activated(UnaryOp::Sigmoid, z);
            let mut v = k.gate(2, j);
            if linear_before_reset {
                let r = k.gate(1, j);
                let r = k.activated(UnaryOp::Sigmoid, r);
                let u = k.kb.offset(j, &Dim::from(2 * n));
                let x = k.projected(u, None);
                v = k.kb.binary(Mul, r, v);
                v = k.kb.binary(Add, v, x);
            }
            let new = k.activated(UnaryOp::Tanh, v);
            let old = k.kb.load(h, &[j]);
            let one = k.kb.number(l.acc, 1.0);
            let rest = k.kb.binary(Sub, one, z);
            let (a, b) = (k.kb.binary(Mul, rest, new), k.kb.binary(Mul, z, old));
            let v = k.kb.binary(Add, a, b);
            Ok(vec![store(h, &[j], v), k.write_y(at, j, old)])
        })?);
        Ok(body)
    }

    /// Zeros past the end of the sequence; the last state.
    fn end(&mut self) -> Result<Vec<Stmt>, String> {
        let l = self.l;
        let (var, t) = self.kb.axis(&l.steps);
        let steps = self.kb.dim(&l.steps);
        let count = self.kb.binary(BinaryOp::Sub, steps, self.length);
        let at = self.kb.add(self.length, t);
        let zero = self.kb.number(l.acc, 0.0);
        let clear = self.vector(l.hidden, &mut |k, j| Ok(vec![k.write_y(at, j, zero)]))?;
        let (h, c, d, b) = (self.h, self.c, self.number(), self.sequence);
        let shape = [Dim::from(l.directions), l.batch.clone(), Dim::from(l.hidden)];
        let lstm = self.is_lstm();
        let last = self.vector(l.hidden, &mut |k, j| {
            let v = k.kb.load(h, &[j]);
            let mut out = vec![k.write(1, &shape, &[d, b, j], v)];
            if lstm {
                let v = k.kb.load(c, &[j]);
                out.push(k.write(2, &shape, &[d, b, j], v));
            }
            Ok(out)
        })?;
        Ok(vec![repeat(var, count, Loop::Serial, vec![clear]), last])
    }
}
