//! The state of an evaluation, and what each statement and expression does to it.

use super::code::{Access, Code, Mma, Steps};
use super::memory::{Fault, LANE_BITS, Memory, Now};
use super::scalar;
use crate::eval::EvalError;
use crate::kernel::{BufId, Expr, ExprId, Kernel, Loop, Space};
use crate::ops::{BinaryOp, ReduceOp, UnaryOp, elementwise};
use crate::tensor::Num;
use crate::types::DType;

/// The state of an evaluation.
pub(super) struct Machine<'k> {
    k: &'k Kernel,
    types: Vec<DType>,
    values: Vec<Num>,
    vars: Vec<i64>,
    /// Variables in scope, for messages.
    bound: Vec<u32>,
    buffers: Vec<Memory>,
    now: Now,
    /// Vector loops started so far.
    vector_loops: u64,
    /// For each iteration of `Loop::Cores` its locals in the unified buffer, in order of their positions.
    cores: Vec<Vec<Memory>>,
}

impl<'k> Machine<'k> {
    /// Before the first grid point. `values` holds the constants of `k.exprs`.
    pub fn new(k: &'k Kernel, values: Vec<Num>, buffers: Vec<Memory>) -> Machine<'k> {
        Machine {
            k,
            types: types(k),
            values,
            vars: vec![0; k.vars as usize],
            bound: (0..k.grid.len() as u32).collect(),
            buffers,
            now: Now { point: 0, lane: 0 },
            vector_loops: 0,
            cores: vec![],
        }
    }

    /// Runs a point of the row-major grid.
    pub fn point(&mut self, point: u32, grid: &[usize], code: &[Code]) -> Result<(), EvalError> {
        self.now.point = point;
        let mut rest = point as usize;
        for (axis, &n) in grid.iter().enumerate().rev() {
            self.vars[axis] = (rest % n) as i64;
            rest /= n;
        }
        self.block(code)
    }

    /// The buffers, parameters first.
    pub fn into_buffers(self) -> Vec<Memory> {
        self.buffers
    }

    fn block(&mut self, body: &[Code]) -> Result<(), EvalError> {
        body.iter().try_for_each(|c| self.stmt(c))
    }

    fn stmt(&mut self, c: &Code) -> Result<(), EvalError> {
        match c {
            Code::For { var, extent, kind, body } => {
                let n = self.int(extent)?;
                self.bound.push(*var);
                let outer = self.now.lane;
                if *kind == Loop::Vector {
                    self.vector_loops += 1;
                }
                for i in 0..n {
                    self.vars[*var as usize] = i;
                    if *kind == Loop::Cores {
                        self.change_core(i as usize);
                        let done = self.block(body);
                        self.change_core(i as usize);
                        done?;
                        continue;
                    }
                    if *kind == Loop::Vector {
                        self.now.lane = self.vector_loops << LANE_BITS | i as u64 & ((1 << LANE_BITS) - 1);
                    }
                    self.block(body)?;
                }
                self.now.lane = outer;
                self.bound.pop();
                Ok(())
            }
            Code::If { cond, then } => match self.value(cond)? {
                Num::Int(0) => Ok(()),
                _ => self.block(then),
            },
            Code::Assign { dst, value, reduce } => self.assign(dst, value, *reduce),
            Code::Copy { vars, dst, src, fill } => {
                let mut extents = Vec::with_capacity(vars.len());
                for (v, steps, e) in vars {
                    self.run(steps)?;
                    extents.push((*v, self.values[e.index()].to_i128() as i64));
                    self.bound.push(*v);
                }
                self.copy(&extents, dst, src, fill.as_ref())?;
                self.bound.truncate(self.bound.len() - vars.len());
                Ok(())
            }
            Code::Mma(m) => self.mma(m),
        }
    }

    /// Takes the locals in the unified buffer of the n-th vector core, or puts them back.
    fn change_core(&mut self, n: usize) {
        let first = self.k.params.len();
        let own: Vec<usize> = (0..self.k.locals.len()).filter(|l| self.k.locals[*l].space == Space::Ub).collect();
        while self.cores.len() <= n {
            self.cores.push(own.iter().map(|l| self.buffers[first + l].another()).collect());
        }
        for (mine, l) in self.cores[n].iter_mut().zip(own) {
            std::mem::swap(mine, &mut self.buffers[first + l]);
        }
    }

    fn assign(&mut self, dst: &Access, value: &(Steps, ExprId), reduce: Option<ReduceOp>) -> Result<(), EvalError> {
        if !self.guard(dst)? {
            return Ok(());
        }
        let mut v = self.value(value)?;
        let at = self.position(dst)?;
        if let Some(r) = reduce {
            let op = match r {
                ReduceOp::Prod => BinaryOp::Mul,
                ReduceOp::Max => BinaryOp::Max,
                ReduceOp::Min => BinaryOp::Min,
                // `Sum`; a well-formed kernel has no other.
                _ => BinaryOp::Add,
            };
            let old = self.read(dst, at, true)?;
            v = scalar::binary(op, self.k.buffer(BufId(dst.buffer as u32)).dtype, old, v);
        }
        self.write(dst, at, v)
    }

    fn copy(&mut self, vars: &[(u32, i64)], dst: &Access, src: &Access, fill: Option<&(Steps, ExprId)>) -> Result<(), EvalError> {
        if let Some(((v, n), rest)) = vars.split_first() {
            for i in 0..*n {
                self.vars[*v as usize] = i;
                self.copy(rest, dst, src, fill)?;
            }
            return Ok(());
        }
        if !self.guard(dst)? {
            return Ok(());
        }
        let v = match fill {
            Some(f) if !self.guard(src)? => self.value(f)?,
            _ => {
                let at = self.position(src)?;
                self.read(src, at, false)?
            }
        };
        let at = self.position(dst)?;
        self.write(dst, at, v)
    }

    fn mma(&mut self, m: &Mma) -> Result<(), EvalError> {
        let depth = self.int(&m.depth)?;
        let [rows, cols] = self.buffers[m.acc].shape[..] else { return EvalError::fail("an accumulator has two axes") };
        self.bound.extend([m.i, m.j, m.k]);
        let mut right = vec![Num::Int(0); cols];
        for k in 0..depth {
            self.vars[m.k as usize] = k;
            // Neither element depends on the other's variable, so each is read once for a depth.
            for (j, r) in right.iter_mut().enumerate() {
                self.vars[m.j as usize] = j as i64;
                *r = self.operand(&m.b, m.dtype)?;
            }
            for i in 0..rows {
                self.vars[m.i as usize] = i as i64;
                let left = self.operand(&m.a, m.dtype)?;
                for (j, r) in right.iter().enumerate() {
                    self.vars[m.j as usize] = j as i64;
                    let (now, at) = (self.now, i * cols + j);
                    let acc = &mut self.buffers[m.acc];
                    let done = match acc.read(at, now, true) {
                        Ok(old) => acc.write(at, scalar::multiply_add(m.dtype, old, left, *r), now),
                        Err(f) => Err(f),
                    };
                    done.map_err(|f| self.fault(m.acc, &[i as i64, j as i64], &f))?;
                }
            }
        }
        self.bound.truncate(self.bound.len() - 3);
        Ok(())
    }

    /// An element of a matrix product; zero where its guard is false.
    fn operand(&mut self, a: &Access, dtype: DType) -> Result<Num, EvalError> {
        if !self.guard(a)? {
            return Ok(if dtype.is_float() { Num::Float(0.0) } else { Num::Int(0) });
        }
        let at = self.position(a)?;
        self.read(a, at, false)
    }

    fn guard(&mut self, a: &Access) -> Result<bool, EvalError> {
        match &a.guard {
            None => Ok(true),
            Some(g) => Ok(self.value(g)? != Num::Int(0)),
        }
    }

    fn int(&mut self, e: &(Steps, ExprId)) -> Result<i64, EvalError> {
        Ok(self.value(e)?.to_i128() as i64)
    }

    fn value(&mut self, (steps, e): &(Steps, ExprId)) -> Result<Num, EvalError> {
        self.run(steps)?;
        Ok(self.values[e.index()])
    }

    /// Computes expressions in order.
    fn run(&mut self, steps: &Steps) -> Result<(), EvalError> {
        let k = self.k;
        for &i in steps {
            let at = |e: &ExprId| e.index();
            let v = match &k.exprs[i as usize] {
                Expr::Const(_) | Expr::Dim(_) => continue,
                Expr::Var(v) => Num::Int(self.vars[v.index()].into()),
                Expr::Unary(op, a) => scalar::unary(*op, self.types[at(a)], self.values[at(a)]),
                Expr::Binary(op, a, b) => scalar::binary(*op, self.types[at(a)], self.values[at(a)], self.values[at(b)]),
                Expr::Select(c, a, b) => self.values[if self.values[at(c)] != Num::Int(0) { at(a) } else { at(b) }],
                Expr::Cast(to, a) => elementwise::cast(*to, self.values[at(a)]),
                Expr::Bitcast(to, a) => elementwise::bitcast(self.types[at(a)], *to, self.values[at(a)]),
                Expr::Load(el, other) => match (el.guard, other) {
                    (Some(g), Some(o)) if self.values[at(&g)] == Num::Int(0) => self.values[at(o)],
                    _ => {
                        let b = el.buffer.index();
                        let position = self.buffers[b].position(self.indices(&el.index));
                        let now = self.now;
                        let r = position.and_then(|p| self.buffers[b].read(p, now, false));
                        r.map_err(|f| self.fault(b, &self.indices(&el.index).collect::<Vec<_>>(), &f))?
                    }
                },
            };
            self.values[i as usize] = v;
        }
        Ok(())
    }

    fn indices<'a>(&'a self, index: &'a [ExprId]) -> impl Iterator<Item = i64> + 'a {
        index.iter().map(|e| self.values[e.index()].to_i128() as i64)
    }

    fn position(&mut self, a: &Access) -> Result<usize, EvalError> {
        self.run(&a.steps)?;
        self.buffers[a.buffer]
            .position(self.indices(&a.index))
            .map_err(|f| self.fault(a.buffer, &self.indices(&a.index).collect::<Vec<_>>(), &f))
    }

    fn read(&mut self, a: &Access, at: usize, reduction: bool) -> Result<Num, EvalError> {
        let now = self.now;
        let r = self.buffers[a.buffer].read(at, now, reduction);
        r.map_err(|f| self.fault(a.buffer, &self.indices(&a.index).collect::<Vec<_>>(), &f))
    }

    fn write(&mut self, a: &Access, at: usize, v: Num) -> Result<(), EvalError> {
        let now = self.now;
        let r = self.buffers[a.buffer].write(at, v, now);
        r.map_err(|f| self.fault(a.buffer, &self.indices(&a.index).collect::<Vec<_>>(), &f))
    }

    fn fault(&self, buffer: usize, index: &[i64], f: &Fault) -> EvalError {
        let b = self.k.buffer(BufId(buffer as u32));
        let vars: Vec<String> = self.bound.iter().map(|v| format!("i{v} = {}", self.vars[*v as usize])).collect();
        EvalError(format!(
            "kernel `{}`: {}: `%{}`{index:?} of shape {:?}, at grid point {}{}{}",
            self.k.name,
            f.message(),
            b.name,
            self.buffers[buffer].shape,
            self.now.point,
            if vars.is_empty() { "" } else { ", " },
            vars.join(", ")
        ))
    }
}

/// Type of every expression; [`Kernel::dtype`] would walk long chains again for each.
fn types(k: &Kernel) -> Vec<DType> {
    let mut types: Vec<DType> = Vec::with_capacity(k.exprs.len());
    for (i, e) in k.exprs.iter().enumerate() {
        let t = match e {
            Expr::Unary(op, a) if !matches!(op, UnaryOp::IsNan | UnaryOp::IsInf) => types[a.index()],
            Expr::Binary(op, a, _) if !op.is_compare() => types[a.index()],
            Expr::Select(_, a, _) => types[a.index()],
            _ => k.dtype(ExprId(i as u32)),
        };
        types.push(t);
    }
    types
}
