//! Recognition of functions that a producer has expanded: a portable artifact knows no `chlo.erf`, but the hundred operations of its
//! approximation. Found, they are the function again, which has a kernel of its own and fuses as one op.
//!
//! A form is a graph of one input in the IR's text, beside this file; another version of a producer is another file. A form matches
//! where ops and constants are the same, all of them: results then differ by the rounding of two approximations of one function, so
//! the pass runs only where reassociation is allowed.

use std::collections::HashMap;
use std::sync::LazyLock;

use beiming_ir::graph::{Graph, ValueId};
use beiming_ir::ops::{Op, UnaryOp};
use beiming_ir::tensor::Num;
use beiming_ir::text::parse_graph;

use crate::rebuild::Rebuild;
use crate::{Budget, PassError, identities, simplify};

/// The functions and what they are expanded to.
const FORMS: &[(UnaryOp, &str)] = &[
    (UnaryOp::Erf, include_str!("recognise_functions/erf.f32.txt")),
    (UnaryOp::Erf, include_str!("recognise_functions/erf.f64.txt")),
    (UnaryOp::Erfc, include_str!("recognise_functions/erfc.f32.txt")),
    (UnaryOp::Erfc, include_str!("recognise_functions/erfc.f64.txt")),
];

/// A form, simplified as the graphs are in which it is looked for.
struct Form {
    function: UnaryOp,
    graph: Graph,
}

impl Form {
    fn ends_with(&self, op: &Op) -> bool {
        self.graph.def(self.graph.outputs[0]).is_some_and(|n| n.op == *op)
    }
}

static READ: LazyLock<Vec<Form>> = LazyLock::new(|| FORMS.iter().filter_map(|(function, text)| read(*function, text)).collect());

/// `None` for a text that is no graph of one input, which a test rules out.
fn read(function: UnaryOp, text: &str) -> Option<Form> {
    let graph = parse_graph(text, &[]).ok()?;
    let graph = simplify::run(graph, &mut Budget { per_result: 64, total: 4096 }).ok()?;
    (graph.inputs.len() == 1 && graph.outputs.len() == 1).then_some(Form { function, graph })
}

/// The graph with expanded functions replaced by the functions; `None` where there are none.
pub fn run(graph: &Graph) -> Result<Option<Graph>, PassError> {
    let mut found = HashMap::new();
    for node in graph.nodes() {
        let matches = |form: &Form| Some((form.function, source(graph, form, node.outputs[0])?));
        if let Some(f) = READ.iter().filter(|f| f.ends_with(&node.op)).find_map(matches) {
            found.insert(node.outputs[0], f);
        }
    }
    if found.is_empty() {
        return Ok(None);
    }
    let mut r = Rebuild::new(graph);
    for node in graph.nodes() {
        match found.get(&node.outputs[0]) {
            Some((function, x)) => {
                let x = r.get(*x)?;
                let fail = |source| PassError::Infer { node: node.loc.name.to_string(), source };
                let y = r.push1(Op::Unary(*function), &[x], &node.loc).map_err(fail)?;
                r.set(node.outputs[0], y);
            }
            None => r.copy(node)?,
        }
    }
    r.finish().map(Some)
}

/// The value of which `y` is the form's function.
fn source(graph: &Graph, form: &Form, y: ValueId) -> Option<ValueId> {
    // What each value of the form stands for; pairs still to be compared.
    let (mut stands, mut open) = (HashMap::new(), vec![(form.graph.outputs[0], y)]);
    while let Some((f, v)) = open.pop() {
        if let Some(known) = stands.insert(f, v) {
            if known != v {
                return None;
            }
            continue;
        }
        if form.graph.inputs[0] == f {
            continue;
        }
        if let Some(want) = identities::splat(&form.graph, f) {
            if !identities::splat(graph, v).is_some_and(|got| same(got, want)) {
                return None;
            }
            continue;
        }
        let (want, got) = (form.graph.def(f)?, graph.def(v)?);
        if want.op != got.op || want.inputs.len() != got.inputs.len() {
            return None;
        }
        open.extend(want.inputs.iter().copied().zip(got.inputs.iter().copied()));
    }
    let x = *stands.get(&form.graph.inputs[0])?;
    let (from, to) = (graph.ty(x), graph.ty(y));
    (from == to && from.dtype == form.graph.ty(form.graph.inputs[0]).dtype).then_some(x)
}

fn same(a: Num, b: Num) -> bool {
    match (a, b) {
        (Num::Float(a), Num::Float(b)) => a.to_bits() == b.to_bits(),
        (a, b) => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use beiming_ir::eval;
    use beiming_ir::graph::Loc;
    use beiming_ir::ops::BinaryOp;
    use beiming_ir::tensor::Tensor;
    use beiming_ir::types::DType;

    #[test]
    fn every_form_is_read() {
        assert_eq!(READ.len(), FORMS.len());
    }

    /// Values over the whole range of a type, of both signs: exponents from the least to the most, and finely where the functions bend.
    fn points(dtype: DType) -> Vec<f64> {
        let most = if dtype == DType::F32 { 127 } else { 1023 };
        let exponents = (-most..=most).step_by(5).flat_map(|e| [1.0, 1.37].map(|m| m * 2f64.powi(e)));
        let positive: Vec<f64> = exponents.chain((0..1500).map(|i| f64::from(i) / 100.0)).chain([f64::INFINITY]).collect();
        positive.iter().flat_map(|x| [*x, -*x]).chain([f64::NAN]).collect()
    }

    /// A form is its function to within what its type can tell apart, so that either may stand for the other.
    #[test]
    fn forms_are_their_functions() {
        for form in READ.iter() {
            let dtype = form.graph.ty(form.graph.inputs[0]).dtype;
            let (epsilon, smallest) = if dtype == DType::F32 { (f64::from(f32::EPSILON), 1e-37) } else { (f64::EPSILON, 1e-300) };
            for x in points(dtype) {
                // The square that is rounded and then exponentiated carries its error times itself.
                let relative = epsilon * (16.0 + x.abs().min(32.0).powi(2));
                let x = Tensor::scalar(dtype, Num::Float(x));
                let expanded = eval::graph(&form.graph, std::slice::from_ref(&x)).expect("the form runs")[0].get(0).to_f64();
                let mut g = Graph::new("f", Default::default());
                let v = g.add_input("x", x.ty());
                let y = g.push1(Op::Unary(form.function), &[v], &Loc::default()).expect("a float");
                g.add_output("y", y);
                let want = eval::graph(&g, std::slice::from_ref(&x)).expect("the function runs")[0].get(0).to_f64();
                let close = (expanded - want).abs() <= relative * want.abs() + smallest;
                assert!(
                    close || expanded.is_nan() && want.is_nan(),
                    "{:?} {dtype}: of {x:?} {expanded:e}, not {want:e}",
                    form.function
                );
            }
        }
    }

    /// `0.5 x (1 + f(x))` with the function expanded, and what becomes of it.
    #[test]
    fn expanded_functions_are_found_within_others() {
        for (function, text) in FORMS {
            let mut g = parse_graph(text, &[]).expect("a form");
            let (x, y) = (g.inputs[0], g.outputs[0]);
            let z = g.push1(Op::Binary(BinaryOp::Mul), &[x, y], &Loc::default()).expect("one type");
            g.outputs[0] = z;
            let g = simplify::run(g, &mut Budget { per_result: 64, total: 4096 }).expect("a graph");
            let h = run(&g).expect("a graph").expect("the function is in it");
            let h = simplify::run(h, &mut Budget { per_result: 64, total: 4096 }).expect("a graph");
            let ops: Vec<Op> = h.nodes().iter().map(|n| n.op.clone()).collect();
            assert_eq!(ops, [Op::Unary(*function), Op::Binary(BinaryOp::Mul)]);
        }
    }

    #[test]
    fn another_coefficient_is_another_function() {
        let text = FORMS[0].1.replace("[1.0]", "[1.5]");
        let g = simplify::run(parse_graph(&text, &[]).expect("a graph"), &mut Budget { per_result: 64, total: 4096 });
        assert!(run(&g.expect("a graph")).expect("a graph").is_none());
    }
}
