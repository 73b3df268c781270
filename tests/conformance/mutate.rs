//! Programs of the suites with small changes: `--mutate N` makes N of each text. What they mean is nobody's business; none of them may
//! panic, at import, in the evaluator or in the compiler, or take long. Prints each that does.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use beiming::import::ImportOptions;
use beiming::import::stablehlo::{self, translate};
use beiming_ir::graph::{Graph, ValueId};
use beiming_ir::target::Target;
use beiming_tests::compiled;
use translate::{Known, Settings};

use crate::case::Case;

/// Texts that are longer have data in them rather than ops.
const LONGEST: usize = 6000;
/// Elements of a value up to which a program is run.
const ELEMENTS: i64 = 20_000;
/// What no program so small may take.
const SLOW: Duration = Duration::from_secs(5);

const NUMBERS: &[&str] =
    &["0", "1", "2", "3", "7", "-1", "-2", "64", "65536", "2147483648", "9223372036854775807", "-9223372036854775808"];
const TYPES: &[&str] = &["f32", "f64", "f16", "bf16", "i1", "i4", "i8", "i32", "i64", "ui8", "ui64", "f8E4M3FN", "complex<f32>"];

/// Numbers from a state (SplitMix64: Steele, Lea and Flood, Fast Splittable Pseudorandom Number Generators, 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n.max(1) as u64) as usize
    }

    fn of<'a, T: ?Sized>(&mut self, list: &[&'a T]) -> Option<&'a T> {
        list.get(self.below(list.len())).copied()
    }
}

/// Words, numbers and single characters; blanks stay with what they follow.
fn tokens(text: &str) -> Vec<String> {
    let mut out: Vec<String> = vec![];
    let word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '@' | '%' | '#');
    let mut before = ' ';
    for c in text.chars() {
        // `3x4xf32` is five tokens.
        let dims = before.is_ascii_digit() && c == 'x' || before == 'x' && out.last().is_some_and(|t| t == "x");
        match out.last_mut() {
            Some(t) if (word(c) && word(before) && !dims) || c.is_whitespace() => t.push(c),
            _ => out.push(c.into()),
        }
        before = c;
    }
    out
}

/// A text with one to three changes, in lines of ops that are no constants; one of four of them is a tensor type that becomes another
/// everywhere.
fn changed(text: &str, names: &[&str], r: &mut Random) -> String {
    let mut lines: Vec<String> = text.lines().map(|l| format!("{l}\n")).collect();
    let ops: Vec<usize> =
        (0..lines.len()).filter(|&i| lines[i].contains("stablehlo.") && !lines[i].contains("onstant")).collect();
    for _ in 0..=r.below(3) {
        let Some(&line) = ops.get(r.below(ops.len())) else { break };
        if r.below(4) > 0 {
            lines[line] = changed_line(&lines[line], names, r);
            continue;
        }
        let types: Vec<&str> =
            lines[line].match_indices("tensor<").filter_map(|(i, _)| lines[line][i..].split_inclusive('>').next()).collect();
        if let Some(old) = r.of(&types).map(str::to_string) {
            let new = changed_line(&old, &[], r);
            lines.iter_mut().for_each(|l| *l = l.replace(&old, new.trim()));
        }
    }
    lines.concat()
}

/// A line with one change.
fn changed_line(text: &str, names: &[&str], r: &mut Random) -> String {
    let mut all = tokens(text);
    let at = r.below(all.len());
    let near = |of: &dyn Fn(&str) -> bool| (at..all.len()).chain(0..at).find(|&i| of(all[i].trim()));
    let number = |t: &str| t.parse::<f64>().is_ok();
    let (place, new) = match r.below(7) {
        0..3 => (near(&number), r.of(NUMBERS)),
        3 => (near(&|t| TYPES.contains(&t)), r.of(TYPES)),
        4 => (near(&|t| t.contains("stablehlo.") || t.contains("chlo.")), r.of(names)),
        5 => (near(&number), Some("?")),
        _ => {
            let numbers: Vec<usize> = (0..all.len()).filter(|&i| number(all[i].trim())).collect();
            if let (Some(&a), Some(&b)) = (numbers.get(r.below(numbers.len())), numbers.get(r.below(numbers.len()))) {
                all.swap(a, b);
            }
            (None, None)
        }
    };
    if let (Some(i), Some(new)) = (place, new) {
        let blanks = all[i][all[i].trim_end().len()..].to_string();
        all[i] = format!("{new}{blanks}");
    }
    all.concat()
}

/// The ops' names in texts.
fn names(texts: &[String]) -> Vec<String> {
    let word = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    let mut all: Vec<String> = texts.iter().flat_map(|t| t.split(|c| !word(c))).map(str::to_string).collect();
    all.retain(|w| w.starts_with("stablehlo.") || w.starts_with("chlo."));
    all.sort();
    all.dedup();
    all
}

/// Whether every value is known and small.
fn small(g: &Graph) -> bool {
    let value = |v: ValueId| g.ty(v).shape.iter().try_fold(1i64, |n, d| d.known().and_then(|d| n.checked_mul(d)));
    let mut all = g.inputs.iter().chain(g.nodes().iter().flat_map(|n| &n.outputs));
    all.all(|v| value(*v).is_some_and(|n| n <= ELEMENTS)) && g.regions.iter().all(small)
}

/// How far a text came.
fn attempt(text: &str) -> &'static str {
    let Ok(module) = stablehlo::module(text.as_bytes().to_vec().into()) else { return "refused by the reader" };
    let settings = Settings { checks: true, lift: false };
    let Ok(t) = translate::translate(&module, &ImportOptions::default(), settings, Known::default()) else {
        return "refused by the import";
    };
    if !small(&t.graph) || t.graph.inputs.len() != t.lifted.len() {
        return "imported, and not run: too large, or with arguments";
    }
    let evaluated = beiming_ir::eval::graph(&t.graph, &t.lifted).is_ok();
    match (evaluated, compiled::compile(&t.graph, &Target::host())) {
        (true, Ok(_)) => "compiled",
        (true, Err(_)) => "evaluated, and refused by the compiler",
        (false, _) => "refused by the evaluator",
    }
}

/// Makes and tries `times` changed texts of each case, on `threads` threads; false where one panics or is slow.
pub fn run(cases: &[Case], times: usize, threads: usize) -> bool {
    let read = |p: &Path| std::fs::read_to_string(p).ok().filter(|t| t.len() <= LONGEST);
    let texts: Vec<String> = cases.iter().filter_map(|c| read(c.files.first()?)).collect();
    let names = names(&texts);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let part = |k: usize| {
        let (mut ends, mut bad) = (BTreeMap::new(), vec![]);
        for (i, text) in texts.iter().enumerate().filter(|(i, _)| i % threads == k) {
            for n in 0..times {
                let text = changed(text, &names, &mut Random((i * times + n) as u64));
                let started = Instant::now();
                let end = catch_unwind(AssertUnwindSafe(|| attempt(&text)));
                if end.is_err() || started.elapsed() > SLOW {
                    bad.push((end.is_err(), started.elapsed(), text));
                }
                *ends.entry(end.unwrap_or("panicked")).or_insert(0usize) += 1;
            }
        }
        (ends, bad)
    };
    let (mut ends, mut well) = (BTreeMap::new(), true);
    std::thread::scope(|s| {
        let spawn = |k| std::thread::Builder::new().stack_size(64 << 20).spawn_scoped(s, move || part(k));
        for thread in (0..threads).map(spawn).collect::<Vec<_>>() {
            let Ok(Ok((e, bad))) = thread.map(|t| t.join()) else {
                well = false;
                continue;
            };
            e.into_iter().for_each(|(end, n)| *ends.entry(end).or_insert(0) += n);
            for (panicked, took, text) in bad {
                well = false;
                println!("{} after {:.1} s:\n{text}\n", if panicked { "panicked" } else { "ended" }, took.as_secs_f64());
            }
        }
    });
    ends.iter().for_each(|(end, n)| println!("{n} {end}"));
    well
}
