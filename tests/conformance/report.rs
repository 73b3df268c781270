//! What the runs come to: a table by suite, and failures by reason.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use crate::case::{Case, Outcome};
use crate::unjudged;

/// Numbers of one suite.
#[derive(Default)]
struct Sums {
    cases: usize,
    apart: usize,
    encodings: (usize, usize),
    functions: (usize, usize),
    imported: usize,
    equal: usize,
    judged: usize,
    eval: usize,
    cpu: usize,
    eval_nearer: usize,
    cpu_nearer: usize,
    eval_written: usize,
    cpu_written: usize,
}

impl Sums {
    /// What stands in [`COLUMNS`].
    fn cells(&self, only_eval: bool) -> [String; 11] {
        let of = |(n, all): (usize, usize)| format!("{n} of {all}");
        let passed = |n: usize, nearer: usize| if nearer == 0 { n.to_string() } else { format!("{n} +{nearer}") };
        let run = |text: String| if only_eval { "not run".to_string() } else { text };
        [
            self.cases.to_string(),
            self.apart.to_string(),
            of(self.encodings),
            of(self.functions),
            self.imported.to_string(),
            self.equal.to_string(),
            self.judged.to_string(),
            passed(self.eval, self.eval_nearer),
            run(passed(self.cpu, self.cpu_nearer)),
            self.eval_written.to_string(),
            run(self.cpu_written.to_string()),
        ]
    }
}

/// Whether a case takes part, imports, and checks anything.
fn judged(o: &Outcome) -> bool {
    o.apart.is_none() && o.import.is_none() && o.usual.checks > 0
}

fn sums<'a>(results: impl Iterator<Item = &'a Outcome>) -> Sums {
    let mut s = Sums::default();
    for o in results {
        s.cases += 1;
        if o.apart.is_some() {
            s.apart += 1;
            continue;
        }
        s.encodings = (s.encodings.0 + o.read.0, s.encodings.1 + o.read.1);
        s.functions = (s.functions.0 + o.functions.0, s.functions.1 + o.functions.1);
        let imported = o.import.is_none();
        s.imported += usize::from(imported);
        s.equal += usize::from(o.read.0 == o.read.1 && o.differ.is_none());
        let judged = judged(o);
        s.judged += usize::from(judged);
        s.eval += usize::from(judged && o.usual.eval.is_none());
        s.cpu += usize::from(judged && o.usual.cpu.is_none());
        s.eval_nearer += usize::from(judged && o.usual.eval_nearer);
        s.cpu_nearer += usize::from(judged && o.usual.cpu_nearer);
        s.eval_written += usize::from(judged && o.as_written.eval.is_none());
        s.cpu_written += usize::from(judged && o.as_written.cpu.is_none());
    }
    s
}

fn suites<'a>(results: &'a [(&Case, Outcome)]) -> Vec<(&'a str, Sums)> {
    let mut names: Vec<&str> = results.iter().map(|(c, _)| c.suite.as_str()).collect();
    names.dedup();
    let of = |n: &str| sums(results.iter().filter(|(c, _)| c.suite == n).map(|(_, o)| o));
    names.into_iter().map(|n| (n, of(n))).collect()
}

/// Messages without what differs between cases alike: numbers and names of values.
fn reason(message: &str) -> String {
    let line = message.lines().map(str::trim).find(|l| !l.is_empty() && !l.ends_with("not valid")).unwrap_or("");
    let line =
        message.lines().nth(1).filter(|_| message.contains(" not supported") || message.contains("not valid")).unwrap_or(line);
    let mut out = String::new();
    for c in line.trim().chars().take(200) {
        match c.is_ascii_digit() {
            true if out.ends_with('N') => {}
            true => out.push('N'),
            false => out.push(c),
        }
    }
    out
}

/// A message without the function that it is about.
fn placeless(message: &str) -> String {
    match message.split_once(" at @") {
        Some((before, after)) => format!("{before}{}", after.find(": ").map_or("", |i| &after[i..])),
        None => message.to_string(),
    }
}

/// What stands in the way of a case, the first stage first.
fn obstacles(o: &Outcome) -> Vec<(&'static str, &String)> {
    let stages = [
        ("import", &o.import),
        ("encodings", &o.differ),
        ("eval", &o.usual.eval),
        ("cpu", &o.usual.cpu),
        ("eval as written", &o.as_written.eval),
        ("cpu as written", &o.as_written.cpu),
    ];
    stages.into_iter().filter_map(|(n, m)| m.as_ref().map(|m| (n, m))).collect()
}

/// A line a suite.
pub fn brief(results: &[(&Case, Outcome)], only_eval: bool, took: Duration) -> String {
    let mut out = String::new();
    for (name, s) in suites(results) {
        let each: Vec<String> = COLUMNS.iter().zip(s.cells(only_eval)).map(|(column, n)| format!("{column} {n}")).collect();
        let _ = writeln!(out, "{name}: {}", each.join(", "));
    }
    let mut slow: Vec<_> = results.iter().map(|(c, o)| (o.took, &c.name)).collect();
    slow.sort();
    let worst: Vec<String> = slow.iter().rev().take(5).map(|(t, n)| format!("{n} {:.1} s", t.as_secs_f64())).collect();
    let _ = writeln!(out, "{:.1} s; slowest: {}", took.as_secs_f64(), worst.join(", "));
    out
}

/// What stands above the table of suites.
const HEADER: &str = "\
# StableHLO conformance

Written by `make conformance CONFORMANCE=folder`; not edited by hand. Every encoding of a case must import to the same
graph; the program's own checks judge the evaluator's results and those of the code for this machine's CPU, with the tolerances of
StableHLO's own driver. Cases for several processes and for instruments of the reference interpreter stand apart. Programs over open
extents, which take arguments and check nothing, are held against the same program with numbers for the extents.

The suites expect the numbers of programs that were rounded as they were. Usually sums and products are kept wider than that and
rounded once. `+n`: cases in which all that the checks find wrong is nearer to the exact values (the program evaluated with every
float an f64) than the numbers that the suite expects; they do not count as passed. \"As written\" is the same program under
`--as-written`: every product and sum of floats by itself, in order, rounded to its type, as the reference interpreter does.

";

/// What is said of a suite.
const COLUMNS: [&str; 11] = [
    "cases",
    "apart",
    "encodings read",
    "functions",
    "imported",
    "equal graphs",
    "with checks",
    "eval",
    "CPU",
    "eval as written",
    "CPU as written",
];

/// What is wrong with one way of running a case.
type Run = (&'static str, fn(&Outcome) -> &Option<String>);

/// The ways in which cases are run.
const RUNS: [Run; 4] = [
    ("eval", |o| &o.usual.eval),
    ("CPU", |o| &o.usual.cpu),
    ("eval as written", |o| &o.as_written.eval),
    ("CPU as written", |o| &o.as_written.cpu),
];

/// The failures of `testdata`, those apart that StableHLO's own interpreter does not judge.
fn unjudged(results: &[(&Case, Outcome)], only_eval: bool) -> String {
    let all: Vec<&(&Case, Outcome)> = results.iter().filter(|(c, o)| c.suite == "testdata" && judged(o)).collect();
    let runs: Vec<Run> = RUNS.into_iter().filter(|(name, _)| !only_eval || name.starts_with("eval")).collect();
    let mut out = String::new();
    if all.is_empty() {
        return out;
    }
    let _ = write!(
        out,
        "\nStableHLO's own interpreter does not judge {} of the cases of testdata: their lines `RUN` are switched off (commit {} of\n\
         openxla/stablehlo). They count like others; this says which failures are among them.\n\n\
         | testdata | fail | of those judged there | not judged there |\n|---|--:|--:|--:|\n",
        all.iter().filter(|(_, o)| o.unjudged.is_some()).count(),
        &unjudged::COMMIT[..12]
    );
    for (name, message) in &runs {
        let failed = || all.iter().filter(|(_, o)| message(o).is_some());
        let apart = failed().filter(|(_, o)| o.unjudged.is_some()).count();
        let _ = writeln!(out, "| {name} | {} | {} | {apart} |", failed().count(), failed().count() - apart);
    }
    let names: Vec<&str> = runs.iter().map(|r| r.0).collect();
    let _ = write!(out, "\n| not judged there, and failing here | why | {} |\n|---|---|", names.join(" | "));
    out += &"---|".repeat(runs.len());
    out.push('\n');
    for (c, o) in all {
        let Some(why) = o.unjudged.filter(|_| runs.iter().any(|r| r.1(o).is_some())) else { continue };
        let how: Vec<&str> = runs.iter().map(|r| if r.1(o).is_some() { "fails" } else { "passes" }).collect();
        let _ = writeln!(out, "| {} | {why} | {} |", c.name, how.join(" | "));
    }
    out
}

/// The table for the documentation.
pub fn table(results: &[(&Case, Outcome)], only_eval: bool) -> String {
    let mut out = String::from(HEADER);
    let _ = writeln!(out, "| suite | {} |\n|---|{}", COLUMNS.join(" | "), "--:|".repeat(COLUMNS.len()));
    for (name, s) in suites(results) {
        let _ = writeln!(out, "| {name} | {} |", s.cells(only_eval).join(" | "));
    }
    out += &unjudged(results, only_eval);
    let mut reasons: BTreeMap<(usize, String), Vec<&str>> = BTreeMap::new();
    let mut count: BTreeMap<String, usize> = BTreeMap::new();
    let of = |o: &Outcome| obstacles(o).first().map(|(stage, m)| format!("{stage}: {}", reason(m)));
    for (_, o) in results {
        if let Some(r) = of(o) {
            *count.entry(r).or_default() += 1;
        }
    }
    for (c, o) in results {
        if let Some(r) = of(o) {
            // The most frequent first.
            reasons.entry((usize::MAX - count[&r], r)).or_default().push(&c.name);
        }
    }
    if !reasons.is_empty() {
        out.push_str("\n| cases | first obstacle | for example |\n|--:|---|---|\n");
    }
    for ((_, r), names) in reasons {
        let _ = writeln!(out, "| {} | {} | {} |", names.len(), r.replace('|', "\\|"), names[0]);
    }
    let mut refused: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    // A module of one function is a case of its own.
    for (c, o) in results.iter().filter(|(_, o)| o.functions.1 > 1) {
        for m in &o.refused {
            refused.entry(reason(&placeless(m))).or_default().push(&c.name);
        }
    }
    if !refused.is_empty() {
        out.push_str("\n| functions | why modules of many do not import all | for example |\n|--:|---|---|\n");
    }
    let mut refused: Vec<_> = refused.into_iter().collect();
    refused.sort_by_key(|(r, names)| (std::cmp::Reverse(names.len()), r.clone()));
    for (r, names) in refused {
        let _ = writeln!(out, "| {} | {} | {} |", names.len(), r.replace('|', "\\|"), names[0]);
    }
    out
}

/// A line for each thing that went wrong.
pub fn failures(results: &[(&Case, Outcome)]) -> String {
    let mut out = String::new();
    for (c, o) in results {
        for m in o.refused.iter().skip(1) {
            let _ = writeln!(out, "{}\t{}\tfunction\t{}", c.suite, c.name, m.replace(['\n', '\t'], " "));
        }
        for (stage, m) in obstacles(o) {
            let _ = writeln!(out, "{}\t{}\t{stage}\t{}", c.suite, c.name, m.replace(['\n', '\t'], " "));
        }
    }
    out
}
