//! The first op whose result differs when it is given the reference's values.
//!
//! A stretch of ops is cut out, fed with what the reference has at its border, compiled, run, and held against what the
//! reference has behind it. Halving the stretch that differs finds the op in about `2 log2(n)` such runs; and since every
//! stretch starts from right values, a difference that only builds up over the model is told from an op that is wrong.

use beiming_ir::tensor::Tensor;
use serde::Serialize;

use super::difference::{Difference, Tolerance};
use super::layers;
use super::{Cut, DebugError, Maker, OpInfo, Source, Values};

/// What was found.
#[derive(Serialize)]
pub struct Bisected {
    /// The ops, in order; empty where everything agrees. One, unless none of them differs alone.
    pub ops: Vec<OpInfo>,
    /// Core ops of the kernel that differs.
    pub group: Vec<String>,
    /// How their results compare.
    pub results: Vec<Compared>,
    /// How the whole model's results compare.
    pub whole: Vec<Compared>,
    /// Stretches compiled and run.
    pub runs: usize,
    /// Stretches that could not be: they are no model by themselves, or cannot be compiled. Why, for the first.
    pub skipped: (usize, Option<String>),
    /// The ops alone, with their inputs.
    #[serde(skip)]
    pub cut: Option<Cut>,
}

/// A value, compared.
#[derive(Clone, Debug, Serialize)]
pub struct Compared {
    /// Its name.
    pub value: String,
    /// How it compares.
    #[serde(flatten)]
    pub difference: Difference,
}

/// Finds the first op whose result differs from `values`, which are the reference's for the same inputs.
///
/// # Errors
/// Where the whole model cannot be compiled or run.
pub fn bisect(
    source: &dyn Source,
    inputs: &[(String, Tensor)],
    values: &Values,
    maker: &Maker<'_>,
    tolerance: Tolerance,
) -> Result<Bisected, DebugError> {
    let mut b = Search { source, values, maker, tolerance, runs: 0, skipped: (0, None) };
    let whole = results(source, inputs, values, maker, tolerance)?;
    let (mut lo, mut hi) = (0, source.ops().len());
    let mut found = b.differs(lo, hi);
    if found.is_none() {
        return Ok(b.done(whole, None));
    }
    let mut together = false;
    while hi - lo > 1 {
        let mid = lo + (hi - lo) / 2;
        if let Some(f) = b.differs(lo, mid) {
            (found, hi) = (Some(f), mid);
        } else if let Some(f) = b.differs(mid, hi) {
            (found, lo) = (Some(f), mid);
        } else {
            together = true;
            break;
        }
    }
    if together {
        // Neither half differs alone: the shortest stretch across the middle that does.
        let (mut end, mut short) = (hi, lo + (hi - lo) / 2);
        while end - short > 1 {
            let mid = short + (end - short) / 2;
            match b.differs(lo, mid) {
                Some(f) => (found, end) = (Some(f), mid),
                None => short = mid,
            }
        }
        let (mut start, mut late) = (lo, end - 1);
        while late - start > 1 {
            let mid = start + (late - start) / 2;
            match b.differs(mid, end) {
                Some(f) => (found, start) = (Some(f), mid),
                None => late = mid,
            }
        }
    }
    Ok(b.done(whole, found))
}

/// Compiles and runs the whole model and holds its results against `values`; results that these lack are left out.
///
/// # Errors
/// Where it cannot be compiled or run.
pub fn results(
    source: &dyn Source,
    inputs: &[(String, Tensor)],
    values: &Values,
    maker: &Maker<'_>,
    tolerance: Tolerance,
) -> Result<Vec<Compared>, DebugError> {
    let ran = maker.run(source.whole(&source.results())?, inputs)?;
    Ok(compared(&source.results(), &ran.outputs, values, tolerance))
}

struct Search<'a> {
    source: &'a dyn Source,
    values: &'a Values,
    maker: &'a Maker<'a>,
    tolerance: Tolerance,
    runs: usize,
    skipped: (usize, Option<String>),
}

/// A stretch that differs.
struct Found {
    cut: Cut,
    results: Vec<Compared>,
    group: Vec<String>,
}

impl Search<'_> {
    /// The ops `lo..hi`, if their results differ. Stretches that cannot be run say nothing.
    fn differs(&mut self, lo: usize, hi: usize) -> Option<Found> {
        if lo == hi {
            return None;
        }
        let keep: Vec<usize> = (lo..hi).collect();
        match run(self.source, &keep, self.values, self.maker, self.tolerance) {
            Ok(f) => {
                self.runs += 1;
                f
            }
            Err(e) => {
                self.skipped.0 += 1;
                self.skipped.1.get_or_insert(e.to_string());
                None
            }
        }
    }

    fn done(self, whole: Vec<Compared>, found: Option<Found>) -> Bisected {
        let ops = found.iter().flat_map(|f| &f.cut.ops).map(|i| self.source.ops()[*i].clone()).collect();
        let (cut, results, group) = found.map_or((None, vec![], vec![]), |f| (Some(f.cut), f.results, f.group));
        Bisected { ops, group, results, whole, runs: self.runs, skipped: self.skipped, cut }
    }
}

/// Cuts the ops out and runs them; what was found, where their results differ.
fn run(
    source: &dyn Source,
    keep: &[usize],
    values: &Values,
    maker: &Maker<'_>,
    tolerance: Tolerance,
) -> Result<Option<Found>, DebugError> {
    let cut = source.cut(keep, values)?;
    let ran = maker.run(cut.graph.clone(), &cut.inputs)?;
    let results = compared(&cut.outputs, &ran.outputs, values, tolerance);
    let Some(bad) = results.iter().position(|r| !r.difference.agrees()) else { return Ok(None) };
    let at = cut.outputs.iter().position(|n| *n == results[bad].value).unwrap_or(0);
    let group = ran.built.fused.outputs.get(at).map_or_else(Vec::new, |v| layers::group(&ran.built.fused, *v).0);
    Ok(Some(Found { cut, results, group }))
}

/// Whether the cut's results differ from the reference's.
///
/// # Errors
/// Where it cannot be compiled or run.
pub fn cut_differs(cut: &Cut, values: &Values, maker: &Maker<'_>, tolerance: Tolerance) -> Result<bool, DebugError> {
    let ran = maker.run(cut.graph.clone(), &cut.inputs)?;
    Ok(compared(&cut.outputs, &ran.outputs, values, tolerance).iter().any(|r| !r.difference.agrees()))
}

/// Results against the reference's; values that it lacks are left out.
fn compared(names: &[String], got: &[Tensor], values: &Values, tolerance: Tolerance) -> Vec<Compared> {
    let one = |(n, g): (&String, &Tensor)| {
        Some(Compared { value: n.clone(), difference: Difference::of(g, values.get(n)?, tolerance) })
    };
    names.iter().zip(got).filter_map(one).collect()
}
