//! A case: a small graph in the IR's own text, with lines that say how to try it.
//!
//! ```text
//! // What the case shows, in a line or two.
//! // weights: w b            these inputs become constants with random elements
//! // dim: N=1,5,64           values of a symbol, one a run
//! // fill: ids=-30..29       range of an input's elements; floats are in -2..2 and integers small otherwise
//! // tolerance: 0.01 0.01    absolute and relative, where less than f32 is asked for
//! // show: llvm assembly     also keep these as snapshots
//! graph "name" { .. }
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use beiming_ir::graph::{Graph, ValueId};
use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::text::parse_graph;
use beiming_ir::types::{DType, TensorType};

use crate::Named;
use crate::agree::Tolerance;

/// A case.
#[derive(Clone, Debug)]
pub struct Case {
    /// Name of the file.
    pub name: String,
    /// The graph's text as it stands in the file.
    pub text: String,
    /// The graph; its weights are constants.
    pub graph: Graph,
    /// Values of the symbols, a map a run.
    pub dims: Vec<BTreeMap<String, i64>>,
    /// Allowed difference.
    pub tolerance: Tolerance,
    /// Stages beyond the usual ones to keep as snapshots.
    pub show: Vec<String>,
    fill: BTreeMap<String, (f64, f64)>,
}

/// All cases of a folder, by name.
pub fn all(folder: &Path) -> Vec<Case> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<_> = entries.map(|e| e.expect("an entry").path()).collect();
    files.sort();
    let only = std::env::var("CASE").ok();
    let wanted = |p: &&std::path::PathBuf| only.as_ref().is_none_or(|n| p.file_stem().is_some_and(|s| s == n.as_str()));
    files.iter().filter(wanted).map(|p| read(p).unwrap_or_else(|e| panic!("{}: {e}", p.display()))).collect()
}

fn read(path: &Path) -> Result<Case, String> {
    let file = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
    let at = file.find("graph ").ok_or("no graph")?;
    let (head, text) = file.split_at(at);
    let parsed = parse_graph(text, &[]).map_err(|e| e.to_string())?;
    let mut case = Case {
        name: path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default(),
        text: text.to_string(),
        graph: Graph::default(),
        dims: vec![],
        tolerance: Tolerance { absolute: 1e-5, relative: 1e-4 },
        show: vec![],
        fill: BTreeMap::new(),
    };
    let mut weights = vec![];
    for (key, value) in head.lines().filter_map(|l| l.trim_start_matches('/').trim().split_once(": ")) {
        let words: Vec<&str> = value.split_whitespace().collect();
        let pairs = || words.iter().filter_map(|w| w.split_once('='));
        let number = |s: &str| s.parse::<f64>().map_err(|_| format!("`{s}` is not a number"));
        match key {
            "weights" => weights = words.iter().map(ToString::to_string).collect(),
            "show" => case.show = words.iter().map(ToString::to_string).collect(),
            "tolerance" => case.tolerance = Tolerance { absolute: number(words[0])?, relative: number(words[1])? },
            "fill" => {
                for (name, range) in pairs() {
                    let (lo, hi) = range.split_once("..").ok_or("a range is written lo..hi")?;
                    case.fill.insert(name.to_string(), (number(lo)?, number(hi)?));
                }
            }
            "dim" => {
                for (name, values) in pairs() {
                    for (run, v) in values.split(',').enumerate() {
                        case.dims.resize(case.dims.len().max(run + 1), BTreeMap::new());
                        case.dims[run].insert(name.to_string(), number(v)? as i64);
                    }
                }
            }
            // Prose may hold a colon.
            _ => {}
        }
    }
    if case.dims.is_empty() {
        case.dims.push(BTreeMap::new());
    }
    case.graph =
        with_constants(&parsed, |name, ty| weights.iter().any(|w| w == name).then(|| case.tensor(name, ty, &BTreeMap::new())));
    Ok(case)
}

/// The graph with some inputs replaced by constants.
fn with_constants(g: &Graph, constant: impl Fn(&str, &TensorType) -> Option<Tensor>) -> Graph {
    let mut out = Graph::new(&g.name, g.symbols.clone());
    (out.consts, out.regions) = (g.consts.clone(), g.regions.clone());
    let mut map = vec![ValueId(0); g.values().len()];
    for &v in &g.inputs {
        let (name, ty) = (g.value(v).name.clone(), g.ty(v));
        map[v.index()] = match constant(&name, ty) {
            Some(t) => out.constant(t, &Default::default()),
            None => out.add_input(&name, ty.clone()),
        };
    }
    for n in g.nodes() {
        let inputs = n.inputs.iter().map(|v| map[v.index()]).collect();
        let types = n.outputs.iter().map(|v| g.ty(*v).clone()).collect();
        let results = out.push_typed(n.op.clone(), inputs, types, n.loc.clone());
        n.outputs.iter().zip(results).for_each(|(old, new)| map[old.index()] = new);
    }
    g.outputs.iter().zip(&g.output_names).for_each(|(v, name)| out.add_output(name, map[v.index()]));
    out
}

impl Case {
    /// Random inputs for one run, by name; always the same ones.
    pub fn inputs(&self, dims: &BTreeMap<String, i64>) -> Named {
        let g = &self.graph;
        g.inputs.iter().map(|v| (g.value(*v).name.to_string(), self.tensor(&g.value(*v).name, g.ty(*v), dims))).collect()
    }

    fn tensor(&self, name: &str, ty: &TensorType, dims: &BTreeMap<String, i64>) -> Tensor {
        let extent = |d: &beiming_ir::types::Dim| d.eval(&|n| dims.get(n).copied());
        let shape: Vec<usize> = ty.shape.iter().map(|d| extent(d).expect("every symbol has a value") as usize).collect();
        let seed = name.bytes().fold(7u64, |h, b| h.wrapping_mul(31).wrapping_add(b.into()));
        let range = self.fill.get(name).copied().unwrap_or(match ty.dtype {
            DType::Bool => (0.0, 1.0),
            DType::U8 => (0.0, 255.0),
            DType::I8 => (-127.0, 127.0),
            _ if ty.dtype.is_float() => (-2.0, 2.0),
            _ => (-3.0, 3.0),
        });
        random(ty.dtype, &shape, range, seed)
    }
}

/// Elements of a fixed sequence within a range, both ends included for integers.
fn random(dtype: DType, shape: &[usize], (lo, hi): (f64, f64), seed: u64) -> Tensor {
    let mut s = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    Tensor::build(dtype, shape, |_| {
        s ^= s << 13;
        s ^= s >> 7;
        s ^= s << 17;
        let u = (s >> 11) as f64 / (1u64 << 53) as f64;
        if dtype.is_float() { Num::Float(lo + u * (hi - lo)) } else { Num::Int((lo + u * (hi - lo + 1.0)).floor() as i128) }
    })
}
