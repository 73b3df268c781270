//! Values between the ops, side by side with a reference.
//!
//! Fusion and layout leave few of a model's values in memory: those that kernels give. To look at them without changing what
//! runs, the *optimised* graph gets the results of all its nodes as outputs and is lowered again: the same kernels, which write
//! to other buffers ([`Layers::kernels`] counts them). `counterpart` finds the model's value that each of them stands for.
//! With `unfused` the model itself gets all its values as outputs, and every op is a kernel of its own.

use std::collections::{BTreeMap, BTreeSet};

use beiming_ir::graph::{Def, Graph, ValueId};
use beiming_ir::ops::Op;
use beiming_ir::tensor::Tensor;
use beiming_ir::text::print_kernel;
use serde::Serialize;

use super::counterpart::Counterparts;
use super::difference::{Difference, Tolerance};
use super::reference::Reference;
use super::{DebugError, Maker, OpInfo, Source};

/// What the comparison says of a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Within the tolerance.
    Agrees,
    /// Past the tolerance, but everything computed from it agrees: the model has no such value (rewriting made it), or the
    /// difference does not matter.
    Absorbed,
    /// Past the tolerance, and so is a result of the model that is computed from it.
    Differs,
}

/// A value, compared.
#[derive(Clone, Debug, Serialize)]
pub struct Layer {
    /// Name of the model's value.
    pub value: String,
    /// The operator that gives it.
    pub op: String,
    /// Its node.
    pub node: String,
    /// Where it stands in the model.
    pub place: String,
    /// Element type and extents, as the model has them.
    pub r#type: String,
    /// Core ops of the kernel that computed it, in order.
    pub group: Vec<String>,
    /// Nodes of the model in that kernel.
    pub group_nodes: String,
    /// Whether it agrees.
    pub verdict: Verdict,
    /// How it compares, in the layout of the model.
    #[serde(flatten)]
    pub difference: Difference,
}

/// All values that exist in both worlds.
#[derive(Clone, Debug, Serialize)]
pub struct Layers {
    /// In the order in which they are computed.
    pub layers: Vec<Layer>,
    /// Position of the first that differs.
    pub first: Option<usize>,
    /// The tolerance.
    pub tolerance: Tolerance,
    /// Kernels that ran and are kernels of the model as it is compiled, and all kernels of that.
    pub kernels: (usize, usize),
    /// Computed values that no value of the model has the size of, or that the reference does not know.
    pub alone: usize,
}

impl Layers {
    /// Whether the model's results agree.
    pub fn agrees(&self) -> bool {
        self.first.is_none()
    }
}

/// Compares values between the ops. `unfused` compiles every op as a kernel of its own and compares them all.
///
/// # Errors
/// Where the model cannot be compiled or run, and those of `reference`.
pub fn layers(
    source: &dyn Source,
    inputs: &[(String, Tensor)],
    maker: &Maker<'_>,
    reference: &mut Reference<'_>,
    tolerance: Tolerance,
    unfused: bool,
) -> Result<Layers, DebugError> {
    let mut wants = |names: &[String]| {
        let mut wants = reference(names)?;
        wants.extend(inputs.iter().cloned());
        Ok::<_, DebugError>(wants)
    };
    let (names, whole) = everything(source)?;
    let mut maker = maker.clone();
    if unfused {
        maker.options.optimize.fuse = false;
        let ran = maker.run(whole, inputs)?;
        let wants = wants(&names)?;
        let fused = &ran.built.fused;
        let rows = names.iter().zip(&ran.outputs).zip(&fused.outputs).map(|((n, got), v)| {
            let (group, nodes) = group(fused, *v);
            let difference = wants.get(n).map(|w| Difference::of(got, &as_type(w, got), tolerance));
            Row { at: *v, value: n.clone(), ty: got.ty().to_string(), group, nodes, difference }
        });
        let count = ran.built.program.kernels.len();
        return Ok(finish(source, fused, None, rows.collect(), tolerance, (count, count)));
    }
    let results = source.results();
    let plain = maker.build(source.whole(&results)?)?;
    let open = opened(&plain.fused);
    let ran = maker.run_fused(open, inputs)?;
    let wants = wants(&names)?;
    let mut find = Counterparts::new(source, &wants);
    let fused = &ran.built.fused;
    let bits = super::bits::of_floats(fused);
    let rows = fused.outputs.iter().zip(&ran.outputs).filter_map(|(v, got)| {
        let (group, nodes) = group(fused, *v);
        let loc = fused.def(*v).map(|n| n.loc.clone()).unwrap_or_default();
        // The model's own results are known; the others are found.
        let result = plain.fused.outputs.iter().position(|r| r == v).and_then(|k| results.get(k)).cloned();
        let known = result.filter(|n| wants.contains_key(n)).map(|n| (n, got.clone()));
        let Some((name, got)) = known.or_else(|| if bits.contains(v) { None } else { find.best(&loc, got, tolerance) }) else {
            return Some(Row { at: *v, value: String::new(), ty: got.ty().to_string(), group, nodes, difference: None });
        };
        let difference = Some(Difference::of(&got, &as_type(wants.get(&name)?, &got), tolerance));
        Some(Row { at: *v, value: name, ty: got.ty().to_string(), group, nodes, difference })
    });
    let texts = |p: &beiming_ir::plan::Program| p.kernels.iter().map(print_kernel).collect::<BTreeSet<String>>();
    let (before, now) = (texts(&plain.program), texts(&ran.built.program));
    let kernels = (before.intersection(&now).count(), before.len());
    // What the model gives, by the values of the optimised graph.
    let outputs = plain.fused.outputs.iter().map(|v| format!("%{}", v.0)).collect::<Vec<_>>();
    Ok(finish(source, fused, Some(&outputs), rows.collect(), tolerance, kernels))
}

/// The reference's tensor as of the computed type where numpy has no name for it and gives its bytes.
fn as_type(want: &Tensor, got: &Tensor) -> Tensor {
    let mut want = want.clone();
    if want.dtype != got.dtype && want.dtype.size() == got.dtype.size() && !want.dtype.is_float() {
        want.dtype = got.dtype;
    }
    want
}

/// A computed value.
struct Row {
    at: ValueId,
    value: String,
    ty: String,
    group: Vec<String>,
    nodes: String,
    difference: Option<Difference>,
}

/// Tells differences that reach a result from those that do not. `results` are names of outputs of `fused`; without them the
/// values are the model's own, and every difference is one.
fn finish(
    source: &dyn Source,
    fused: &Graph,
    results: Option<&[String]>,
    rows: Vec<Row>,
    tolerance: Tolerance,
    kernels: (usize, usize),
) -> Layers {
    let mut past: BTreeMap<ValueId, bool> = BTreeMap::new();
    for r in &rows {
        if let Some(d) = &r.difference {
            past.insert(r.at, !d.agrees());
        }
    }
    // From the last value to the first: past the tolerance, and a result or an argument of something that differs. A value that
    // could not be compared differs where something computed from it does.
    let exact = results.is_none();
    let results: BTreeSet<&str> = results.unwrap_or_default().iter().map(String::as_str).collect();
    let mut differs: BTreeSet<ValueId> = BTreeSet::new();
    for (name, v) in fused.output_names.iter().zip(&fused.outputs) {
        if results.contains(&**name) && past.get(v).copied().unwrap_or(false) {
            differs.insert(*v);
        }
    }
    for n in fused.nodes().iter().rev() {
        if n.outputs.iter().any(|v| differs.contains(v)) {
            differs.extend(n.inputs.iter().filter(|v| past.get(*v).copied().unwrap_or(true)));
        }
    }
    let owners: BTreeMap<&str, &OpInfo> =
        source.ops().iter().flat_map(|o| o.outputs.iter().map(move |v| (v.as_str(), o))).collect();
    let mut layers = vec![];
    let mut alone = 0;
    for r in rows {
        let Some(difference) = r.difference else {
            alone += 1;
            continue;
        };
        let op = owners.get(r.value.as_str());
        let verdict = match (difference.agrees(), exact || differs.contains(&r.at)) {
            (true, _) => Verdict::Agrees,
            (false, true) => Verdict::Differs,
            (false, false) => Verdict::Absorbed,
        };
        layers.push(Layer {
            op: op.map_or("input".into(), |o| o.op.clone()),
            node: op.map_or_else(String::new, |o| o.name.clone()),
            place: op.map_or_else(String::new, |o| o.place.clone()),
            value: r.value,
            r#type: r.ty,
            group: r.group,
            group_nodes: r.nodes,
            verdict,
            difference,
        });
    }
    let first = layers.iter().position(|l| l.verdict == Verdict::Differs);
    Layers { first, tolerance, kernels, alone, layers }
}

/// All values that can be outputs and are not known before a run, and the model with these as outputs.
pub(super) fn everything(source: &dyn Source) -> Result<(Vec<String>, Graph), DebugError> {
    let results = source.results();
    let mut seen = BTreeSet::new();
    let mut names: Vec<String> = source.all().into_iter().chain(results.iter().cloned()).collect();
    names.retain(|p| seen.insert(p.clone()));
    let whole = match source.whole(&names) {
        Ok(g) => g,
        // Some value is of a kind that cannot be an output (a sequence): they are found one by one.
        Err(_) => {
            names.retain(|p| results.contains(p) || source.whole(std::slice::from_ref(p)).is_ok());
            source.whole(&names)?
        }
    };
    let known: Vec<bool> = whole.outputs.iter().map(|v| whole.const_of(*v).is_some()).collect();
    if !known.contains(&true) {
        return Ok((names, whole));
    }
    let mut at = known.iter();
    names.retain(|p| !at.next().is_some_and(|k| *k) || results.contains(p));
    let whole = source.whole(&names)?;
    Ok((names, whole))
}

/// The graph with what all its nodes give as outputs, called `%7` by the value.
fn opened(fused: &Graph) -> Graph {
    let mut g = fused.clone();
    (g.outputs, g.output_names) = (vec![], vec![]);
    let results: BTreeSet<ValueId> = fused.outputs.iter().copied().collect();
    for (i, v) in fused.values().iter().enumerate() {
        let id = ValueId(i as u32);
        let computed = match v.def {
            Def::Node(n, _) => !matches!(fused.node(n).op, Op::Constant(_) | Op::Reshape { .. }),
            Def::Input(_) => false,
        };
        if computed || results.contains(&id) {
            g.add_output(&format!("%{i}"), id);
        }
    }
    g
}

/// Ops and nodes of the kernel that gives a value: through changes of shape and layout to what computes it.
pub(super) fn group(fused: &Graph, mut v: ValueId) -> (Vec<String>, String) {
    while let Some(n) = fused.def(v) {
        match &n.op {
            Op::Reshape { .. } | Op::Transpose { .. } if fused.def(n.inputs[0]).is_some() => v = n.inputs[0],
            Op::Fused(b) | Op::Tiled { body: b, .. } => {
                return (b.nodes.iter().map(|x| x.op.name()).collect(), n.loc.label().to_string());
            }
            op => return (vec![op.name()], n.loc.label().to_string()),
        }
    }
    (vec![], String::new())
}
