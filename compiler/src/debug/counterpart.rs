//! Which value of the model a computed value stands for.
//!
//! Rewriting keeps no record of that: layouts change, ops are joined and rewritten, and the source of a node says only where
//! it comes from. So it is found by looking: of the values around the ops that a kernel comes from, in every order of axes that
//! gives the computed shape, the one that is closest. A wrong kernel's value is close to none of them and shows as different.

use std::collections::{BTreeMap, BTreeSet};

use beiming_ir::eval;
use beiming_ir::graph::{Graph, Loc};
use beiming_ir::ops::Op;
use beiming_ir::tensor::Tensor;
use beiming_ir::types::DType;

use super::difference::Tolerance;
use super::{Source, Values};

/// Elements that are looked at to tell candidates apart.
const SAMPLES: usize = 512;
/// Ops behind those that a node names whose values are looked at too.
const FOLLOWING: usize = 2;
/// Largest rank whose axes are permuted.
const MAX_RANK: usize = 5;

/// Finds the values that computed ones stand for.
pub struct Counterparts<'a> {
    source: &'a dyn Source,
    wants: &'a Values,
    by_place: BTreeMap<&'a str, usize>,
    by_name: BTreeMap<&'a str, usize>,
    users: BTreeMap<&'a str, Vec<usize>>,
    /// Values by number of elements, for nodes that do not say where they come from.
    by_size: BTreeMap<usize, Vec<&'a str>>,
}

impl<'a> Counterparts<'a> {
    /// Among `wants`, the reference's values.
    pub fn new(source: &'a dyn Source, wants: &'a Values) -> Counterparts<'a> {
        let ops = source.ops();
        let mut users: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (i, o) in ops.iter().enumerate() {
            o.inputs.iter().for_each(|v| users.entry(v).or_default().push(i));
        }
        let mut by_size: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
        for o in ops.iter().flat_map(|o| &o.outputs) {
            if let Some(t) = wants.get(o) {
                by_size.entry(t.len()).or_default().push(o);
            }
        }
        Counterparts {
            by_place: ops.iter().enumerate().map(|(i, o)| (o.place.as_str(), i)).collect(),
            by_name: ops.iter().enumerate().map(|(i, o)| (o.name.as_str(), i)).collect(),
            source,
            wants,
            users,
            by_size,
        }
    }

    /// The value that `got`, of a node from `loc`, stands for; and `got` in the layout of that value. `None` where no candidate
    /// has as many elements.
    pub fn best(&mut self, loc: &Loc, got: &Tensor, tolerance: Tolerance) -> Option<(String, Tensor)> {
        let members = self.members(loc);
        let ops = self.source.ops();
        let mut names: Vec<&str> = vec![];
        if members.is_empty() {
            names = self.by_size.get(&got.len()).cloned().unwrap_or_default();
        }
        // Results first, the last op's before the others': of equally close values the first found stays. A kernel may also give
        // what its ops take, in the layout they want it.
        for i in members.iter().rev() {
            names.extend(ops[*i].outputs.iter().map(String::as_str));
        }
        // An op that was rewritten may have lost its name: those that follow count too.
        let mut after: Vec<usize> = members.iter().copied().collect();
        for _ in 0..FOLLOWING {
            let users = |i: &usize| ops[*i].outputs.iter().filter_map(|v| self.users.get(v.as_str())).flatten().copied();
            after = after.iter().flat_map(users).collect::<BTreeSet<usize>>().into_iter().collect();
            names.extend(after.iter().flat_map(|i| &ops[*i].outputs).map(String::as_str));
        }
        for i in &members {
            names.extend(ops[*i].inputs.iter().map(String::as_str));
        }
        let mut best: Option<(f64, String, Tensor)> = None;
        for name in names {
            let Some(want) = self.wants.get(name).filter(|w| w.len() == got.len() && alike(w.dtype, got.dtype)) else { continue };
            for view in views(got, &want.shape) {
                let far = distance(&view, want, tolerance);
                if best.as_ref().is_none_or(|b| far < b.0) {
                    best = Some((far, name.to_string(), view));
                }
            }
        }
        best.map(|(_, name, t)| (name, t))
    }

    /// The ops that a node comes from.
    fn members(&self, loc: &Loc) -> BTreeSet<usize> {
        let places = loc.place.split('+').filter_map(|p| self.of_place(p));
        let names = loc.name.split('+').filter(|s| !s.is_empty()).filter_map(|s| self.by_name.get(s).copied());
        let mut members: BTreeSet<usize> = if loc.place.is_empty() { names.collect() } else { places.collect() };
        // Of a large group only the first ops are named: the rest are among those that follow alone.
        if loc.place.ends_with(" more") || loc.name.ends_with(" more") {
            let ops = self.source.ops();
            let mut at = members.last().copied();
            while let Some(i) = at
                && let [v] = ops[i].outputs.as_slice()
                && let Some([next]) = self.users.get(v.as_str()).map(Vec::as_slice)
                && members.insert(*next)
            {
                at = Some(*next);
            }
        }
        members
    }

    /// The op at a place. Nodes inside a function or a branch belong to the op they come from.
    fn of_place(&self, mut place: &str) -> Option<usize> {
        loop {
            if let Some(i) = self.by_place.get(place).filter(|_| !place.is_empty()) {
                return Some(*i);
            }
            place = &place[..place.rfind('/')?];
        }
    }
}

/// The tensor with its axes in every order that gives `shape`; at least its elements as they are under that shape.
fn views(t: &Tensor, shape: &[usize]) -> Vec<Tensor> {
    let mut out: Vec<Tensor> = t.reshaped(shape).into_iter().collect();
    let rank = shape.len();
    if t.shape.len() != rank || !(2..=MAX_RANK).contains(&rank) {
        return out;
    }
    let mut perm: Vec<usize> = vec![];
    permute(&mut perm, &t.shape, shape, &mut |perm| {
        // Axes of one element may stand anywhere: only the order of the others counts.
        let moved: Vec<usize> = perm.iter().copied().filter(|a| t.shape[*a] != 1).collect();
        if !moved.is_sorted() {
            let op = Op::Transpose { perm: perm.to_vec() };
            let turned = eval::op(&op, std::slice::from_ref(t), &Graph::default(), &eval::Dims::new());
            out.extend(turned.into_iter().flatten());
        }
    });
    out
}

/// Calls `f` with every order of the axes of `from` whose extents are `to`.
fn permute(perm: &mut Vec<usize>, from: &[usize], to: &[usize], f: &mut dyn FnMut(&[usize])) {
    if perm.len() == to.len() {
        return f(perm);
    }
    // Axes of one element are alike: the first free one stands for all.
    let mut one = false;
    for a in 0..from.len() {
        if perm.contains(&a) || from[a] != to[perm.len()] || one && from[a] == 1 {
            continue;
        }
        one |= from[a] == 1;
        perm.push(a);
        permute(perm, from, to, f);
        perm.pop();
    }
}

/// Whether one tensor can stand for another by their element types: the same one, or floats of two widths, since a kernel may keep
/// more digits than the model asks for. Positions are no counterpart of what was sorted.
fn alike(a: DType, b: DType) -> bool {
    a == b || a.is_float() && b.is_float() && a.size() != b.size()
}

/// How far two tensors are apart, by some of their elements: the mean error in units of the tolerance, each at most 1000.
fn distance(got: &Tensor, want: &Tensor, t: Tolerance) -> f64 {
    let n = got.len();
    let step = (n / SAMPLES).max(1) | 1;
    let mut sum = 0.0;
    let mut count = 0;
    for i in (0..n).step_by(step) {
        let (g, w) = (got.get(i).to_f64(), want.get(i).to_f64());
        let error = (g - w).abs() / (t.atol + t.rtol * w.abs()).max(f64::MIN_POSITIVE);
        sum += if g == w || g.is_nan() && w.is_nan() {
            0.0
        } else if error.is_nan() {
            1000.0
        } else {
            error.min(1000.0)
        };
        count += 1;
    }
    sum / f64::from(count.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_are_all_orders_of_the_axes() {
        let t = Tensor::f32(&[2, 3, 2], &(0..12).map(|i| i as f32).collect::<Vec<_>>());
        // As it is, and two swaps of the axes of extent 2 around the 3.
        assert_eq!(views(&t, &[2, 3, 2]).len(), 2);
        let first: Vec<Vec<f64>> = views(&t, &[3, 2, 2]).iter().map(|v| v.to_f64()[..4].to_vec()).collect();
        assert_eq!(first, [[0., 1., 2., 3.], [0., 1., 6., 7.], [0., 6., 1., 7.]]);
        assert_eq!(views(&t, &[12]).len(), 1);
        let ones = Tensor::f32(&[1, 1, 3, 1], &[1., 2., 3.]);
        assert_eq!(views(&ones, &[1, 3, 1, 1]).len(), 1);
    }
}
