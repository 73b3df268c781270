//! What came of the mutants: the table, and why some of them are as right as the kernel they stem from.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::operators;
use crate::run::{Mutant, Verdict};

/// A reason why mutants of an operator survive: they do what the kernel does.
struct Equivalent {
    operator: &'static str,
    /// In the line as it was.
    line: &'static str,
    why: &'static str,
}

const EQUIVALENT: &[Equivalent] = &[];

fn reason(m: &Mutant) -> Option<&'static Equivalent> {
    EQUIVALENT.iter().find(|e| e.operator == m.operator && m.was.contains(e.line))
}

/// Survivors without a reason.
pub fn unexplained(all: &[Mutant]) -> Vec<&Mutant> {
    all.iter().filter(|m| m.verdict == Verdict::Survived && reason(m).is_none()).collect()
}

/// Mutants, and those that survived.
pub fn counts(all: &[Mutant]) -> (usize, usize) {
    (all.len(), all.iter().filter(|m| m.verdict == Verdict::Survived).count())
}

/// The table in Markdown.
pub fn text(all: &[Mutant]) -> String {
    let kernels: BTreeSet<&str> = all.iter().map(|m| m.kernel.as_str()).collect();
    let (applied, survived) = counts(all);
    let with = |v: fn(&Verdict) -> bool, of: &[&Mutant]| of.iter().filter(|m| v(&m.verdict)).count();
    let used = operators::all().iter().filter(|o| all.iter().any(|m| m.operator == o.name)).count();
    let mut out = format!(
        "{used} operators on {} kernels: {applied} mutants, {} killed ({:.1} %), {survived} survived.\n\n",
        kernels.len(),
        applied - survived,
        100.0 * (applied - survived) as f64 / applied.max(1) as f64
    );
    out += "| operator | what it does | applied | by a finding | by wrong numbers | ended by the machine | survived |\n|---|---|---:|---:|---:|---:|---:|\n";
    for o in operators::all() {
        let of: Vec<&Mutant> = all.iter().filter(|m| m.operator == o.name).collect();
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} |",
            o.name,
            o.what,
            of.len(),
            with(|v| matches!(v, Verdict::Finding(_)), &of),
            with(|v| *v == Verdict::Numbers, &of),
            with(|v| matches!(v, Verdict::Stopped(_)), &of),
            with(|v| *v == Verdict::Survived, &of)
        );
    }
    let mut why: BTreeMap<(&str, &str), (usize, &Mutant)> = BTreeMap::new();
    for m in all.iter().filter(|m| m.verdict == Verdict::Survived) {
        let e = why.entry((m.operator, reason(m).map_or("NOT EXPLAINED", |e| e.why))).or_insert((0, m));
        e.0 += 1;
    }
    out += "\n| survivors of | number | for example | why they are equivalent |\n|---|---:|---|---|\n";
    for ((operator, reason), (n, m)) in why {
        let cell = |s: &str| s.replace('|', "\\|");
        let _ = writeln!(out, "| {operator} | {n} | `{}` becomes `{}` in `{}` | {reason} |", cell(&m.was), cell(&m.is), m.kernel);
    }
    out
}
