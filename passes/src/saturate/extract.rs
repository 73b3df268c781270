//! Extraction: one node for every class that the outputs need, so that the sum of costs, shared parts counted once, is small.
//!
//! Greedy on the DAG cost, leaf first: a class keeps the set of classes its best node needs, and a node's cost is the sum over
//! the union of its arguments' sets. (The cost of a tree would count a residual stream once a path, which doubles at every
//! block.) Nodes are visited in a fixed order and only a strictly smaller cost replaces a choice, so the result is always the
//! same.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use egg::Id;

use super::facts::Eg;
use super::language::ENode;

/// Added to every node, in seconds: with it a class always costs more than its arguments, so no cycle of free nodes is chosen.
const NODE: f64 = 1e-12;
/// Looks at a node, as a multiple of the number of nodes; far more than a fixed point takes.
const STEPS: usize = 64;

/// What was chosen.
pub struct Extraction {
    index: HashMap<Id, usize>,
    nodes: Vec<Option<ENode>>,
    /// Cost of the outputs in seconds, shared parts counted once.
    pub cost: f64,
}

impl Extraction {
    /// The node that stands for a class.
    pub fn node(&self, eg: &Eg, id: Id) -> Option<&ENode> {
        self.nodes[*self.index.get(&eg.find(id))?].as_ref()
    }
}

/// One node as the extractor sees it.
struct Choice<'a> {
    class: usize,
    node: &'a ENode,
    children: Vec<usize>,
    cost: f64,
}

#[derive(Clone)]
struct Best {
    choice: usize,
    total: f64,
    needs: Rc<Bits>,
}

/// A set of classes.
#[derive(Clone)]
struct Bits(Vec<u64>);

impl Bits {
    fn has(&self, i: usize) -> bool {
        self.0[i / 64] >> (i % 64) & 1 == 1
    }

    fn set(&mut self, i: usize) {
        self.0[i / 64] |= 1 << (i % 64);
    }

    fn join(&mut self, o: &Bits) {
        self.0.iter_mut().zip(&o.0).for_each(|(a, b)| *a |= b);
    }

    fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().flat_map(|(w, &bits)| {
            let mut bits = bits;
            std::iter::from_fn(move || {
                let i = bits.trailing_zeros() as usize;
                (bits != 0).then(|| {
                    bits &= bits - 1;
                    w * 64 + i
                })
            })
        })
    }
}

/// Chooses nodes for the classes `roots` need. `cost` is in seconds and not negative. The e-graph is rebuilt.
pub fn extract(eg: &Eg, roots: &[Id], cost: &dyn Fn(Id, &ENode) -> f64) -> Extraction {
    let mut ids: Vec<Id> = eg.classes().map(|c| c.id).collect();
    ids.sort_unstable();
    let index: HashMap<Id, usize> = ids.iter().enumerate().map(|(i, id)| (*id, i)).collect();
    let mut choices: Vec<Choice> = vec![];
    let mut parents: Vec<Vec<usize>> = vec![vec![]; ids.len()];
    for (class, id) in ids.iter().enumerate() {
        for node in &eg[*id].nodes {
            let mut children: Vec<usize> = node.children.iter().map(|c| index[&eg.find(*c)]).collect();
            children.sort_unstable();
            children.dedup();
            // A node that needs its own class can never be chosen.
            if children.contains(&class) {
                continue;
            }
            children.iter().for_each(|c| parents[*c].push(choices.len()));
            choices.push(Choice { class, node, children, cost: cost(*id, node) + NODE });
        }
    }

    let mut best: Vec<Option<Best>> = vec![None; ids.len()];
    // Nodes near the leaves first: a class is looked at when its arguments are mostly settled, and changes do not run through
    // the whole graph again and again.
    let levels = levels(&choices, ids.len());
    let key = |c: usize| (levels[choices[c].class], c);
    let mut work: BTreeSet<(usize, usize)> = (0..choices.len()).filter(|c| choices[*c].children.is_empty()).map(key).collect();
    let mut steps = STEPS * choices.len();
    while let Some((_, c)) = work.pop_first() {
        if steps == 0 {
            break;
        }
        steps -= 1;
        let Some(found) = evaluate(&choices, &best, c, ids.len()) else { continue };
        let slot = &mut best[choices[c].class];
        if slot.as_ref().is_none_or(|b| found.total < b.total) {
            *slot = Some(found);
            work.extend(parents[choices[c].class].iter().map(|p| key(*p)));
        }
    }

    let roots: Vec<usize> = roots.iter().map(|r| index[&eg.find(*r)]).collect();
    let mut chosen: Vec<Option<usize>> = best.iter().map(|b| b.as_ref().map(|b| b.choice)).collect();
    if !is_acyclic(&choices, &chosen, &roots) {
        chosen = by_tree_cost(&choices, ids.len());
    }
    let mut needed = vec![false; ids.len()];
    let mut stack = roots;
    let mut total = 0.0;
    while let Some(c) = stack.pop() {
        if std::mem::replace(&mut needed[c], true) {
            continue;
        }
        if let Some(k) = chosen[c] {
            total += choices[k].cost;
            stack.extend(&choices[k].children);
        }
    }
    let nodes = chosen.into_iter().map(|c| c.map(|c| choices[c].node.clone())).collect();
    Extraction { index, nodes, cost: total }
}

/// For every class, the height of its lowest term.
fn levels(choices: &[Choice], classes: usize) -> Vec<usize> {
    let mut levels = vec![usize::MAX; classes];
    let mut changed = true;
    while std::mem::take(&mut changed) {
        for c in choices {
            let below = c.children.iter().map(|x| levels[*x]).max().unwrap_or(0);
            if below < usize::MAX && below + 1 < levels[c.class] {
                levels[c.class] = below + 1;
                changed = true;
            }
        }
    }
    levels
}

fn evaluate(choices: &[Choice], best: &[Option<Best>], c: usize, classes: usize) -> Option<Best> {
    let choice = &choices[c];
    let mut needs = match choice.children.as_slice() {
        [] => Bits(vec![0; classes.div_ceil(64)]),
        [first, ..] => (*best[*first].as_ref()?.needs).clone(),
    };
    for child in choice.children.iter().skip(1) {
        needs.join(&best[*child].as_ref()?.needs);
    }
    if needs.has(choice.class) {
        return None;
    }
    let mut total = choice.cost;
    for k in needs.iter() {
        total += best[k].as_ref().map_or(0.0, |b| choices[b.choice].cost);
    }
    needs.set(choice.class);
    Some(Best { choice: c, total, needs: Rc::new(needs) })
}

fn is_acyclic(choices: &[Choice], chosen: &[Option<usize>], roots: &[usize]) -> bool {
    // 0: not seen, 1: open, 2: done.
    let mut state = vec![0u8; chosen.len()];
    let mut stack: Vec<(usize, usize)> = roots.iter().rev().map(|r| (*r, 0)).collect();
    while let Some((class, next)) = stack.pop() {
        if next == 0 {
            if state[class] == 2 {
                continue;
            }
            state[class] = 1;
        }
        let Some(k) = chosen[class] else { return false };
        match choices[k].children.get(next) {
            Some(&child) => {
                stack.push((class, next + 1));
                match state[child] {
                    0 => stack.push((child, 0)),
                    1 => return false,
                    _ => {}
                }
            }
            None => state[class] = 2,
        }
    }
    true
}

/// The choice by the cost of trees, in which every argument costs less than the whole: never a cycle. Only for the case that
/// the limit on steps cut the other one short.
fn by_tree_cost(choices: &[Choice], classes: usize) -> Vec<Option<usize>> {
    let mut cost = vec![f64::INFINITY; classes];
    let mut chosen = vec![None; classes];
    let mut changed = true;
    while std::mem::take(&mut changed) {
        for (k, c) in choices.iter().enumerate() {
            let total = c.cost + c.children.iter().map(|x| cost[*x]).sum::<f64>();
            if total < cost[c.class] {
                cost[c.class] = total;
                chosen[c.class] = Some(k);
                changed = true;
            }
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::saturate::facts::{Facts, add, add_typed};
    use crate::saturate::language::Head;
    use beiming_ir::graph::Graph;
    use beiming_ir::ops::{BinaryOp, Op, UnaryOp};
    use beiming_ir::types::{DType, TensorType};

    #[test]
    fn shared_parts_cost_once() {
        // y = f(x); f(x) costs 10. Two uses of it together cost less than two other nodes of 6 each.
        let mut eg = Eg::new(Facts::new(&Graph::default()));
        let ty = TensorType::known(DType::F32, &[4]);
        let x = add_typed(&mut eg, ENode { head: Head::Input(0), children: [].into() }, ty);
        let unary = |eg: &mut Eg, u, x| add(eg, Op::Unary(u), &[x]).unwrap();
        let shared = unary(&mut eg, UnaryOp::Exp, x);
        let (a, b) = (unary(&mut eg, UnaryOp::Sin, shared), unary(&mut eg, UnaryOp::Cos, shared));
        let (c, d) = (unary(&mut eg, UnaryOp::Erf, x), unary(&mut eg, UnaryOp::Tanh, x));
        eg.union(a, c);
        eg.union(b, d);
        let both = add(&mut eg, Op::Binary(BinaryOp::Add), &[a, b]).unwrap();
        eg.rebuild();
        let cost = |_: Id, n: &ENode| match n.as_op() {
            Some(Op::Unary(UnaryOp::Exp)) => 10.0,
            Some(Op::Unary(UnaryOp::Erf | UnaryOp::Tanh)) => 6.0,
            Some(_) => 1.0,
            None => 0.0,
        };
        let e = extract(&eg, &[both], &cost);
        assert!((e.cost - 13.0).abs() < 1e-6, "{}", e.cost);
    }

    #[test]
    fn a_long_residual_chain_is_linear() {
        let mut eg = Eg::new(Facts::new(&Graph::default()));
        let ty = TensorType::known(DType::F32, &[4]);
        let mut x = add_typed(&mut eg, ENode { head: Head::Input(0), children: [].into() }, ty);
        for _ in 0..500 {
            let y = add(&mut eg, Op::Unary(UnaryOp::Exp), &[x]).unwrap();
            x = add(&mut eg, Op::Binary(BinaryOp::Add), &[x, y]).unwrap();
        }
        eg.rebuild();
        let e = extract(&eg, &[x], &|_, n| if n.as_op().is_some() { 1.0 } else { 0.0 });
        assert!((e.cost - 1000.0).abs() < 1e-3, "{}", e.cost);
    }
}
