//! What recurrent layers mean: one sequence at a time, in `f64`, rounded at the end. The arguments have passed `infer`.

use super::super::{Real, index};
use super::{Direction, Gru, Lstm};
use crate::eval::{Ctx, EvalError};
use crate::tensor::{Num, Tensor};

/// The arguments all layers share, as numbers.
struct Layer {
    steps: usize,
    batch: usize,
    size: usize,
    hidden: usize,
    gates: usize,
    direction: Direction,
    clip: f64,
    x: Vec<f64>,
    w: Vec<f64>,
    r: Vec<f64>,
    bias: Vec<f64>,
    lens: Vec<i64>,
}

impl Layer {
    fn new(direction: Direction, hidden: usize, gates: usize, clip: Option<Real>, args: &[Tensor]) -> Layer {
        let [x, w, r, bias] = [0, 1, 2, 3].map(|i| args[i].to_f64());
        let (steps, batch, size) = (args[0].shape[0], args[0].shape[1], args[0].shape[2]);
        let (clip, lens) = (clip.map_or(f64::INFINITY, Real::get), args[4].to_i64());
        Layer { steps, batch, size, hidden, gates, direction, clip, x, w, r, bias, lens }
    }

    /// The steps of sequence `b` in the order in which direction `d` takes them.
    fn order(&self, d: usize, b: usize) -> Vec<usize> {
        let n = usize::try_from(self.lens[b]).unwrap_or(0).min(self.steps);
        let backwards = self.direction == Direction::Reverse || d == 1;
        if backwards { (0..n).rev().collect() } else { (0..n).collect() }
    }

    /// `w·x + w's bias` for unit `j` of a gate.
    fn input(&self, d: usize, t: usize, b: usize, gate: usize, j: usize) -> f64 {
        let row = (d * self.gates + gate) * self.hidden + j;
        let x = &self.x[(t * self.batch + b) * self.size..][..self.size];
        let bias = self.bias[(2 * d * self.gates + gate) * self.hidden + j];
        dot(&self.w[row * self.size..][..self.size], x) + bias
    }

    /// `r·h + r's bias` for unit `j` of a gate.
    fn recurrent(&self, d: usize, h: &[f64], gate: usize, j: usize) -> f64 {
        let row = (d * self.gates + gate) * self.hidden + j;
        let bias = self.bias[((2 * d + 1) * self.gates + gate) * self.hidden + j];
        dot(&self.r[row * self.hidden..][..self.hidden], h) + bias
    }

    /// NaN stays.
    fn clipped(&self, v: f64) -> f64 {
        if v > self.clip {
            self.clip
        } else if v < -self.clip {
            -self.clip
        } else {
            v
        }
    }

    fn sigmoid(&self, v: f64) -> f64 {
        1.0 / (1.0 + (-self.clipped(v)).exp())
    }

    fn tanh(&self, v: f64) -> f64 {
        self.clipped(v).tanh()
    }

    /// Where the results of step `t` begin in `y`.
    fn place(&self, t: usize, d: usize, b: usize) -> usize {
        ((t * self.direction.count() + d) * self.batch + b) * self.hidden
    }

    fn shape(&self) -> [usize; 4] {
        [self.steps, self.direction.count(), self.batch, self.hidden]
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_lstm(p: &Lstm, args: &[Tensor], _ctx: &Ctx) -> Result<Vec<Tensor>, EvalError> {
    let l = Layer::new(p.direction, p.hidden, 4, p.clip, args);
    let n = l.hidden;
    let (mut hs, mut cs, peephole) = (args[5].to_f64(), args[6].to_f64(), args[7].to_f64());
    let mut y = index::zeros(&l.shape())?;
    for (d, b) in (0..p.direction.count()).flat_map(|d| (0..l.batch).map(move |b| (d, b))) {
        let h = &mut hs[(d * l.batch + b) * n..][..n];
        let c = &mut cs[(d * l.batch + b) * n..][..n];
        let peep = |gate: usize, j: usize| peephole[(d * 3 + gate) * n + j];
        for t in l.order(d, b) {
            let old = h.to_vec();
            let gate = |g: usize, j: usize| l.input(d, t, b, g, j) + l.recurrent(d, &old, g, j);
            for j in 0..n {
                // The cell of the step before goes to the input and forget gates, the new one to the output gate.
                let input = l.sigmoid(gate(0, j) + peep(0, j) * c[j]);
                let forget = if p.input_forget { 1.0 - input } else { l.sigmoid(gate(2, j) + peep(2, j) * c[j]) };
                c[j] = forget * c[j] + input * l.tanh(gate(3, j));
                h[j] = l.sigmoid(gate(1, j) + peep(1, j) * c[j]) * c[j].tanh();
            }
            y[l.place(t, d, b)..][..n].copy_from_slice(h);
        }
    }
    finish(args, &l, y, vec![hs, cs])
}

/// Results; see [`crate::eval::op`].
pub(crate) fn eval_gru(p: &Gru, args: &[Tensor], _ctx: &Ctx) -> Result<Vec<Tensor>, EvalError> {
    let l = Layer::new(p.direction, p.hidden, 3, p.clip, args);
    let n = l.hidden;
    let mut hs = args[5].to_f64();
    let mut y = index::zeros(&l.shape())?;
    for (d, b) in (0..p.direction.count()).flat_map(|d| (0..l.batch).map(move |b| (d, b))) {
        let h = &mut hs[(d * l.batch + b) * n..][..n];
        for t in l.order(d, b) {
            let old = h.to_vec();
            let gate = |g: usize, j: usize| l.sigmoid(l.input(d, t, b, g, j) + l.recurrent(d, &old, g, j));
            let reset: Vec<f64> = (0..n).map(|j| gate(1, j)).collect();
            let kept: Vec<f64> = reset.iter().zip(&old).map(|(r, h)| r * h).collect();
            for j in 0..n {
                let recurrent =
                    if p.linear_before_reset { reset[j] * l.recurrent(d, &old, 2, j) } else { l.recurrent(d, &kept, 2, j) };
                let (update, new) = (gate(0, j), l.tanh(l.input(d, t, b, 2, j) + recurrent));
                h[j] = (1.0 - update) * new + update * old[j];
            }
            y[l.place(t, d, b)..][..n].copy_from_slice(h);
        }
    }
    finish(args, &l, y, vec![hs])
}

fn finish(args: &[Tensor], l: &Layer, y: Vec<f64>, states: Vec<Vec<f64>>) -> Result<Vec<Tensor>, EvalError> {
    let dtype = args[0].dtype;
    let mut out = vec![index::rounded(dtype, &l.shape(), y.into_iter().map(Num::Float))?];
    for s in states {
        out.push(index::rounded(dtype, &l.shape()[1..], s.into_iter().map(Num::Float))?);
    }
    Ok(out)
}
