//! From a module to a graph.
//!
//! [`walk`] inlines the entry function, and everything it calls, into frames (one for the graph, one for each region); a
//! program's value is a [`value::Val`] of the frame it belongs to. `ops` has a small converter for each operation. Frames fold
//! constants and shape arithmetic as they go, so extents that the program computes arrive in payloads as expressions.
//!
//! Extents written `?` become symbols of the inputs. What a program asserts about them (`shape_assertion`) or takes for granted
//! is learned ([`learn`]): the translation starts again with what it has met.

mod border;
mod cx;
mod effects;
mod learn;
mod math;
mod ops;
mod value;
mod walk;

use beiming_ir::graph::Graph;
use beiming_ir::tensor::Tensor;
use beiming_ir::types::Dim;

use super::super::error::{Code, ImportError, ModelError};
use super::super::fail::Fail;
use super::super::options::ImportOptions;
use super::syntax::{Function, Module};
use walk::Walk;

/// How often a translation starts again because of what it has learned about symbols.
const MAX_ROUNDS: usize = 64;

/// What the caller wants besides the graph; both are for tests of modules that judge themselves.
#[derive(Clone, Copy, Default, Debug)]
pub struct Settings {
    /// Each check of the module becomes a pair of outputs. Otherwise checks are dropped.
    pub checks: bool,
    /// Constants of a program without arguments become inputs, so that the compiler does not compute the whole of it.
    pub lift: bool,
}

/// How a check compares its two values.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Criterion {
    /// The same bits; all NaN are one.
    Equal,
    /// `|a - b|` of floats at most so much.
    AlmostEqual(f64),
    /// Between so many representable numbers of each other.
    Close {
        /// Least distance in units in the last place.
        min: u64,
        /// Greatest distance.
        max: u64,
    },
}

/// A check of the module: `outputs[first + i]` against `outputs[first + count + i]` for all `i < count`.
#[derive(Clone, Debug)]
pub struct Check {
    /// How.
    pub criterion: Criterion,
    /// The first output.
    pub first: usize,
    /// Planes of each side: 1, or 2 for complex values.
    pub count: usize,
    /// Where it stands.
    pub place: String,
}

/// What the file around a module says more than the module.
#[derive(Clone, Default, Debug)]
pub struct Known {
    /// Meanings of symbols of its arguments (`arg0_d1`).
    pub extents: Vec<(std::sync::Arc<str>, Dim)>,
    /// Arguments that are read as extents, by name.
    pub valued: std::collections::BTreeSet<std::sync::Arc<str>>,
    /// The number of the platform that it is for, among those it was lowered for.
    pub platform: Option<i64>,
}

/// A translated module.
#[derive(Debug)]
pub struct Translation {
    /// The graph.
    pub graph: Graph,
    /// Checks, where they were asked for.
    pub checks: Vec<Check>,
    /// Values of the last inputs, where constants were lifted.
    pub lifted: Vec<Tensor>,
}

/// Translates the entry function of a module.
///
/// # Errors
/// Everything that is wrong or not supported, at once.
pub fn translate(
    module: &Module,
    options: &ImportOptions,
    settings: Settings,
    mut known: Known,
) -> Result<Translation, ImportError> {
    let entry = entry(module, options)?;
    let settings = Settings { lift: settings.lift && entry.body.args.is_empty(), ..settings };
    for _ in 0..MAX_ROUNDS {
        let mut walk = round(module, entry, options, settings, &known)?;
        if walk.learned.is_empty() {
            return done(walk);
        }
        known.add(std::mem::take(&mut walk.learned));
    }
    Err(ModelError::new(Code::Limit, "its shape assertions do not settle").into())
}

/// One translation, with the symbols of which something was learned replaced.
fn round<'m>(
    module: &'m Module,
    entry: &'m Function,
    options: &ImportOptions,
    settings: Settings,
    known: &Known,
) -> Result<Walk<'m>, ImportError> {
    let border = border::Inputs::of(entry, options, known)?;
    let mut walk = Walk::new(module, border.symbols.clone(), settings);
    walk.as_written = options.as_written;
    walk.frame().asked.clone_from(&border.made);
    let args = border.define(&mut walk);
    let loc = beiming_ir::graph::Loc::new(entry.name.clone(), "func.func", "module");
    match walk.call(entry, &args) {
        Ok(results) => border::outputs(&mut walk, entry, &results),
        Err(f) => walk.fail(&loc, f),
    }
    Ok(walk)
}

fn done(walk: Walk<'_>) -> Result<Translation, ImportError> {
    let mut walk = walk;
    if walk.errors.is_empty() && walk.unsupported.is_empty() {
        walk.errors = crate::import::border::not_made(&walk.frame().asked);
    }
    let (errors, unsupported) = (std::mem::take(&mut walk.errors), std::mem::take(&mut walk.unsupported));
    match (errors.is_empty(), unsupported.is_empty()) {
        (true, true) => {
            let (checks, lifted) = (std::mem::take(&mut walk.checks), std::mem::take(&mut walk.lifted));
            Ok(Translation { graph: walk.finish(), checks, lifted })
        }
        (true, false) => Err(ImportError::Unsupported { ops: unsupported }),
        (false, _) => Err(ImportError::Invalid { errors, unsupported }),
    }
}

/// The function to translate: the one that the user names, `main`, or the only public one.
fn entry<'m>(module: &'m Module, options: &ImportOptions) -> Result<&'m Function, ImportError> {
    let named = |name: &str| module.functions.iter().find(|f| &*f.name == name);
    let public: Vec<&Function> = module.functions.iter().filter(|f| f.public).collect();
    let names = || public.iter().map(|f| format!("@{}", f.name)).collect::<Vec<_>>().join(", ");
    if let Some(name) = &options.function {
        let fail = || ModelError::new(Code::Option, format!("the module has no function `{name}`; it has {}", names()));
        return Ok(named(name).ok_or_else(fail)?);
    }
    match (named("main"), public.as_slice()) {
        (Some(f), _) => Ok(f),
        (None, [f]) => Ok(*f),
        (None, []) => Err(ModelError::new(Code::NoGraph, "the module has no public function").into()),
        (None, _) => {
            let message = format!("the module has several public functions: name one, of {}", names());
            Err(ModelError::new(Code::NoGraph, message).into())
        }
    }
}

/// Names of the operations that are supported, sorted.
pub fn supported_ops() -> Vec<&'static str> {
    ops::names()
}

impl Walk<'_> {
    /// Records a check of the program's own results.
    pub fn check(&mut self, criterion: Criterion, got: &value::Val, want: &value::Val, place: &str) -> Result<(), Fail> {
        if !self.settings.checks {
            return Ok(());
        }
        if !self.outermost() {
            return Err(Fail::Unsupported("a check inside of a region".into()));
        }
        let (got, want) = (value::flatten(std::slice::from_ref(got)), value::flatten(std::slice::from_ref(want)));
        if got.len() != want.len() {
            return Err(Fail::Invalid(Code::Arguments, "it compares values of different kinds".into()));
        }
        let number = self.checks.len();
        let frame = self.frame();
        let first = frame.graph.outputs.len();
        for (side, values) in [("got", &got), ("want", &want)] {
            for (i, v) in values.iter().enumerate() {
                let id = frame.materialize(*v);
                frame.graph.add_output(&format!("check{number}.{side}{i}"), id);
            }
        }
        self.checks.push(Check { criterion, first, count: got.len(), place: place.to_string() });
        Ok(())
    }
}
