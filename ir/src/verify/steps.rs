//! Steps of a plan one by one: arguments against parameters, types, and symbols bound before they are used.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::plan::step_place;
use super::{Report, same_value};
use crate::graph::Graph;
use crate::kernel::Access;
use crate::ops::{Op, infer};
use crate::plan::{Launch, Place, Program, Slot, SlotId, Step};
use crate::types::{DType, Dim, TensorType};

/// Symbols that have a value.
type Bound = BTreeSet<Arc<str>>;

/// Checks every step of a plan whose references are right.
pub(super) fn check(p: &Program, report: &mut Report) {
    // The runtime reads a symbol off an extent of an input that is a multiple of it (and a constant): one that can be solved.
    let extents = p.plan.inputs.iter().flat_map(|i| &p.plan.slots[i.slot.index()].ty.shape);
    let mut bound: Bound = extents.filter_map(|d| d.solve(d.eval(&|_| Some(1))?)).map(|(symbol, _)| symbol).collect();
    let mut c = Checker { p, report, graph: Graph::new("", p.plan.symbols.clone()) };
    c.list(&p.plan.steps, "", &mut bound);
    let at_end: Vec<_> = p.plan.outputs.iter().map(|o| (o, &p.plan.slots[o.slot.index()].ty)).collect();
    for (o, ty) in at_end {
        for d in &ty.shape {
            c.symbols(d, &bound, &format!("output `{}`", o.name), "its shape");
        }
    }
}

struct Checker<'a> {
    p: &'a Program,
    report: &'a mut Report,
    /// Gives `infer` the symbols.
    graph: Graph,
}

impl Checker<'_> {
    fn list(&mut self, steps: &[Step], path: &str, bound: &mut Bound) {
        for (i, s) in steps.iter().enumerate() {
            self.step(s, &step_place(path, i, s), bound);
        }
    }

    fn slot(&self, s: SlotId) -> &Slot {
        &self.p.plan.slots[s.index()]
    }

    fn step(&mut self, s: &Step, at: &str, bound: &mut Bound) {
        match s {
            Step::Launch(l) => self.launch(l, at, bound),
            Step::Host { op, args, results, .. } => self.host(op, args, results, at, bound),
            Step::Copy { src, dst } => {
                self.written(*dst, at);
                let (from, to) = (self.slot(*src).ty.clone(), self.slot(*dst).ty.clone());
                if !same_value(&from.bytes(), &to.bytes(), &self.p.plan.symbols) {
                    self.report.add(at, format!("copies {from} to {to}, which has another size"));
                }
                from.shape.iter().for_each(|d| self.symbols(d, bound, at, "the size"));
            }
            Step::Transfer { slot, .. } => {
                let ty = self.slot(*slot).ty.clone();
                ty.shape.iter().for_each(|d| self.symbols(d, bound, at, "the size"));
            }
            Step::Store { src, dst, at: row } => {
                self.written(*dst, at);
                self.scalar(*row, DType::I64, "the row", at);
                let (from, to) = (&self.slot(*src).ty, &self.slot(*dst).ty);
                let rows = to.shape.split_first().map(|(_, r)| TensorType::new(to.dtype, r));
                let fits =
                    rows.is_some_and(|r| r.dtype == from.dtype && same_value(&r.numel(), &from.numel(), &self.p.plan.symbols));
                if !fits {
                    let m = format!("stores {from} as a row of {to}");
                    self.report.add(at, m);
                }
            }
            Step::ReadDim { symbol, from } => {
                self.scalar(*from, DType::I64, "the value of a symbol", at);
                bound.insert(symbol.clone());
            }
            Step::If { cond, then, otherwise } => {
                self.scalar(*cond, DType::Bool, "the condition", at);
                let mut other = bound.clone();
                self.list(then, &format!("{at} then"), bound);
                self.list(otherwise, &format!("{at} else"), &mut other);
                bound.retain(|s| other.contains(s));
            }
            Step::Loop { trip, cond, iteration, trips, body } => {
                self.scalar(*trip, DType::I64, "the trip count", at);
                self.scalar(*cond, DType::Bool, "the condition", at);
                self.scalar(*iteration, DType::I64, "the iteration", at);
                self.written(*iteration, at);
                self.list(body, at, &mut bound.clone());
                bound.extend(trips.clone());
            }
        }
    }

    fn launch(&mut self, l: &Launch, at: &str, bound: &Bound) {
        let p = self.p;
        let k = &p.kernels[l.kernel as usize];
        let symbols = &p.plan.symbols;
        if l.args.len() != k.params.len() || l.dims.len() != k.symbols.len() {
            let m = format!(
                "{} arguments and {} symbol values for kernel `{}`, which has {} parameters and {} symbols",
                l.args.len(),
                l.dims.len(),
                k.name,
                k.params.len(),
                k.symbols.len()
            );
            self.report.add(at, m);
            return;
        }
        let outer = |d: &Dim| d.substitute(&|n| k.symbols.iter().position(|s| &**s == n).map(|i| l.dims[i].clone()));
        for (b, s) in k.params.iter().zip(&l.args) {
            let ty = &self.slot(*s).ty;
            let want = TensorType { dtype: b.dtype, shape: b.shape.iter().map(outer).collect() };
            // A buffer is dense: a kernel may see it under another shape.
            if ty.dtype != want.dtype || !same_value(&ty.numel(), &want.numel(), symbols) {
                let m = format!("slot s{} is {ty}; parameter `%{}` of kernel `{}` is {want}", s.0, b.name, k.name);
                self.report.add(at, m);
            }
            if b.access != Access::Read {
                self.written(*s, at);
            }
        }
        let points = k.grid.iter().fold(Dim::Known(1), |a, d| a * outer(d));
        if !same_value(&points, &l.grid, symbols) {
            self.report.add(at, format!("{} grid points; kernel `{}` has {points}", l.grid, k.name));
        }
        for d in l.dims.iter().chain([&l.grid, &l.flops, &l.bytes]) {
            self.symbols(d, bound, at, "a dimension of the call");
        }
    }

    fn host(&mut self, op: &Op, args: &[SlotId], results: &[SlotId], at: &str, bound: &mut Bound) {
        if !matches!(op, Op::TopK(_) | Op::Nms(_) | Op::NonZero { .. } | Op::ReadDims(_)) {
            self.report.add(at, format!("`{}` is not an operation of the runtime", op.name()));
            return;
        }
        results.iter().for_each(|s| self.written(*s, at));
        if let Op::ReadDims(p) = op {
            bound.extend(p.bound());
            p.dims.iter().for_each(|d| self.symbols(d, bound, at, "what is read is held against"));
        }
        let types: Vec<&TensorType> = args.iter().map(|s| &self.slot(*s).ty).collect();
        match infer(op, &types, &self.graph) {
            Err(e) => self.report.add(at, e.message),
            Ok(want) => {
                let got: Vec<&TensorType> = results.iter().map(|s| &self.slot(*s).ty).collect();
                let symbols = &self.p.plan.symbols;
                let same = want.len() == got.len()
                    && want.iter().zip(&got).all(|(a, b)| a.dtype == b.dtype && same_value(&a.numel(), &b.numel(), symbols));
                if !same {
                    let show = |t: &[&TensorType]| t.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                    let m = format!("results are {}; the op gives {}", show(&got), show(&want.iter().collect::<Vec<_>>()));
                    self.report.add(at, m);
                }
            }
        }
    }

    /// A slot that a step writes is not the caller's input nor a weight.
    fn written(&mut self, s: SlotId, at: &str) {
        let what = match self.slot(s).place {
            Place::Input(n) => format!("input {n}"),
            Place::Weight(n) => format!("weight {n}"),
            Place::Arena(_) | Place::Output(_) => return,
        };
        self.report.add(at, format!("writes slot s{}, which is {what}", s.0));
    }

    fn scalar(&mut self, s: SlotId, dtype: DType, what: &str, at: &str) {
        let ty = self.slot(s).ty.clone();
        if ty.dtype != dtype || !ty.numel().is(1) {
            self.report.add(at, format!("{what} is {ty} (slot s{}), not {dtype}[]", s.0));
        }
    }

    fn symbols(&mut self, d: &Dim, bound: &Bound, at: &str, what: &str) {
        for s in d.symbols() {
            if !bound.contains(&s) {
                self.report.add(at, format!("{what}, `{d}`, depends on symbol `{s}`, which has no value here"));
            }
        }
    }
}
