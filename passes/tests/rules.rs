//! Soundness of every rewrite rule: its left side is generated, the rule applied, and both sides run through `eval`.
#![allow(clippy::unwrap_used)]

use beiming_ir::eval;
use beiming_ir::graph::Graph;
use beiming_ir::tensor::{Num, Tensor};
use beiming_passes::Limits;
use beiming_passes::saturate::rules::example::Gen;
use beiming_passes::saturate::rules::{Promise, Rule, rewrites};
use beiming_passes::saturate::{extract, run};

/// Generated examples for a rule.
const CASES: u64 = 24;

fn inputs(g: &Graph, seed: u64) -> Vec<Tensor> {
    let mut gen_ = Gen::new(seed);
    let shapes = g.inputs.iter().map(|v| g.ty(*v).static_shape().unwrap());
    shapes.map(|s| gen_.numbers(&s)).collect()
}

/// The graph in which every node that the rule added is preferred, and how often the rule applied.
fn applied(rule: &Rule, g: &Graph) -> (Graph, usize, usize) {
    let (mut eg, ids) = run::load(g).unwrap();
    let outputs: Vec<_> = g.outputs.iter().map(|v| ids[v.index()]).collect();
    let original: Vec<_> = eg.classes().flat_map(|c| c.nodes.clone()).collect();
    let (uses, _, _) = run::saturate(&mut eg, &[rule], &Limits { iterations: 3, ..Limits::default() }).unwrap();
    let original: std::collections::HashSet<_> =
        original.into_iter().map(|n| egg::Language::map_children(n, |c| eg.find(c))).collect();
    let cost = |_, n: &_| if original.contains(n) { 100.0 } else { 1.0 };
    let chosen = extract::extract(&eg, &outputs, &cost);
    let hits = uses.iter().map(|u| u.hits).sum();
    let refused = uses.iter().map(|u| u.refused).sum();
    (run::graph(&eg, &chosen, g, &outputs).unwrap(), hits, refused)
}

#[test]
fn every_rule_is_sound() {
    for rule in rewrites() {
        let (mut hits, mut changed) = (0, 0);
        for seed in 0..CASES {
            let g = (rule.example)(&mut Gen::new(seed));
            assert_eq!(g.outputs.len(), 1, "{}: the example does not type: {}", rule.name, g.name);
            let (h, n, refused) = applied(rule, &g);
            assert_eq!(refused, 0, "{}: seed {seed}: the right side has another type", rule.name);
            hits += n;
            changed += usize::from(format!("{:?}", h.nodes()) != format!("{:?}", g.nodes()));
            let x = inputs(&g, seed + 1000);
            let want = eval::graph(&g, &x).unwrap_or_else(|e| panic!("{}: {e}", rule.name));
            let got = eval::graph(&h, &x).unwrap_or_else(|e| panic!("{}: {e}", rule.name));
            for (w, g) in want.iter().zip(&got) {
                compare(rule, seed, w, g);
            }
        }
        // Some examples are of shapes that a rule rightly leaves alone; most must be rewritten.
        assert!(hits > 0 && changed >= CASES as usize / 3, "{}: {hits} hits, {changed} graphs changed", rule.name);
    }
}

fn compare(rule: &Rule, seed: u64, want: &Tensor, got: &Tensor) {
    assert_eq!((want.dtype, &want.shape), (got.dtype, &got.shape), "{}", rule.name);
    for i in 0..want.len() {
        let ok = match (rule.promise, want.get(i), got.get(i)) {
            (Promise::Exact, a, b) => same_bits(a, b),
            (Promise::Reassociates, a, b) => {
                let (a, b) = (a.to_f64(), b.to_f64());
                (a - b).abs() <= 1e-5 * a.abs().max(1.0) || a.is_nan() && b.is_nan() || a == b
            }
        };
        assert!(ok, "{}: seed {seed}: element {i}: {:?} became {:?}", rule.name, want.get(i), got.get(i));
    }
}

fn same_bits(a: Num, b: Num) -> bool {
    match (a, b) {
        (Num::Float(x), Num::Float(y)) => x.to_bits() == y.to_bits() || x.is_nan() && y.is_nan(),
        _ => a == b,
    }
}

#[test]
fn rule_names_are_unique() {
    let mut names: Vec<_> = rewrites().iter().map(|r| r.name).collect();
    names.sort_unstable();
    let all = names.len();
    names.dedup();
    assert_eq!(names.len(), all);
}
