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

const EQUIVALENT: &[Equivalent] = &[
    Equivalent { operator: "cross-pipe", line: "CrossCoreWaitFlag", why: "the last wait of a core: nothing follows it" },
    Equivalent { operator: "tail-missing", line: ") / ", why: "steps behind the end of the depth multiply zeros" },
    Equivalent { operator: "tail-more", line: ") / ", why: "steps behind the end of the depth multiply zeros" },
    Equivalent { operator: "row-pitch", line: "InitConstValue(", why: "there is no such edge at these shapes" },
    Equivalent {
        operator: "pad-off",
        line: "DataCopyPad",
        why: "the padding lies in the block that the row ends in, which is filled either way; what is computed there is copied nowhere",
    },
    Equivalent {
        operator: "pad-value",
        line: "DataCopyPad",
        why: "what is computed of the padding is copied nowhere, and reductions end with the row",
    },
    Equivalent {
        operator: "pad-count",
        line: "DataCopyPad",
        why: "a copy fills the last block whether asked to or not; what is computed there is copied nowhere",
    },
    Equivalent {
        operator: "constant",
        line: "Duplicate<",
        why: "fills a tile behind the last element, up to whole repeats for a comparison; what is computed there is copied nowhere",
    },
    Equivalent {
        operator: "count-more",
        line: "Duplicate<",
        why: "fills one element more behind the last one, which the next row or nobody reads, inside the buffer",
    },
    Equivalent { operator: "count-more", line: "ReduceSum<", why: "the element behind the row is padding, which is zero" },
    Equivalent {
        operator: "count-more",
        line: "ReduceMax<",
        why: "the maximum only keeps the exponentials finite: softmax is the same for every number that does; the element behind the row is padding",
    },
    Equivalent {
        operator: "count-less",
        line: "ReduceMax<",
        why: "the maximum only keeps the exponentials finite: softmax is the same for every number that does",
    },
    Equivalent {
        operator: "count-less",
        line: "(at",
        why: "the last elements of a tile of rows are the padding of the last row",
    },
    Equivalent {
        operator: "count-less",
        line: "Smaller(",
        why: "the last elements of a tile of rows are the padding of the last row",
    },
    Equivalent { operator: "count-less", line: ", 48);", why: "the last elements of a row of 45 are its padding up to 48" },
    Equivalent {
        operator: "buffer-half",
        line: "mBuffer",
        why: "one number a row: the buffer is a whole repeat and a tile has fewer rows",
    },
    Equivalent {
        operator: "buffer-half",
        line: "sBuffer",
        why: "one number a row: the buffer is a whole repeat and a tile has fewer rows",
    },
    Equivalent {
        operator: "buffer-half",
        line: "onesBuffer",
        why: "one number a row: the buffer is a whole repeat and a tile has fewer rows",
    },
    Equivalent {
        operator: "buffer-half",
        line: "partialBuffer",
        why: "twice what the instruction needs by its documentation is set aside",
    },
    Equivalent {
        operator: "buffers-overlap",
        line: "Buffer.Get<",
        why: "the other scratch is dead by then, or each element is read before it is written in its place",
    },
    Equivalent {
        operator: "drop-barrier",
        line: "PIPE_ALL",
        why: "the compiler orders the scalar and the vector unit by itself, and nothing else touches what lies behind the last whole block",
    },
    Equivalent {
        operator: "other-barrier",
        line: "PIPE_ALL",
        why: "the compiler orders the scalar and the vector unit by itself, and nothing else touches what lies behind the last whole block",
    },
    Equivalent { operator: "drop-barrier", line: "PIPE_M", why: "one product a tile: no other one accumulates into its result" },
    Equivalent { operator: "other-barrier", line: "PIPE_M", why: "one product a tile: no other one accumulates into its result" },
    Equivalent {
        operator: "tail-loop",
        line: "i < end",
        why: "one element of the padding is left as it was; what is computed of it is copied nowhere",
    },
    Equivalent {
        operator: "tail-fill",
        line: "T(0)",
        why: "what is computed of the padding is copied nowhere, and reductions end with the row",
    },
    Equivalent { operator: "grid-step", line: "point < 1;", why: "a grid of one point" },
    Equivalent { operator: "grid-start", line: "point < 1;", why: "a grid of one point" },
    Equivalent { operator: "row-pitch", line: "LoadData(", why: "a loop of one round: the first row lies at zero" },
    Equivalent { operator: "loop-long", line: "for (", why: "one row more inside the buffer, which nobody reads" },
    Equivalent {
        operator: "rounding-none",
        line: "Cast(",
        why: "without a mode the conversion rounds to nearest where something is lost",
    },
    Equivalent { operator: "rounding-other", line: "Cast(", why: "the numbers are whole before the conversion" },
    Equivalent {
        operator: "scalar-sign",
        line: "m.GetValue(",
        why: "softmax of finite exponentials is the same for every shift",
    },
    Equivalent { operator: "product-depth", line: ".k = ", why: "the last steps of the depth are zeros in both operands" },
    Equivalent { operator: "init-always", line: "cmatrixInitVal", why: "one product a tile" },
    Equivalent { operator: "nz-c0-stride", line: "Nd2NzParams", why: "one column of fractals: no stride" },
    Equivalent { operator: "nz-c0-short", line: "Nd2NzParams", why: "one column of fractals: no stride" },
    Equivalent {
        operator: "edge-drop",
        line: "InitConstValue",
        why: "no load reaches this edge, or there is none at these shapes",
    },
    Equivalent {
        operator: "edge-value",
        line: "InitConstValue",
        why: "rows and columns beyond the result: they leave through no fixpipe",
    },
    Equivalent {
        operator: "edge-blocks",
        line: "InitConstValue",
        why: "the block is behind what the loads reach, or of a row or column beyond the result",
    },
    Equivalent { operator: "edge-gap", line: "InitConstValue", why: "one column of fractals: no stride" },
    Equivalent { operator: "fixpipe-source", line: ".srcStride", why: "one column of fractals: no stride" },
];

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

/// Puts the table between the marks of a document; a file without marks becomes the table.
pub fn publish(path: &std::path::Path, table: &str) {
    const MARKS: [&str; 2] = ["<!-- mutation: written by `make mutation` -->\n", "<!-- end of mutation -->\n"];
    let old = std::fs::read_to_string(path).unwrap_or_default();
    let new = match (old.split_once(MARKS[0]), old.split_once(MARKS[1])) {
        (Some((before, _)), Some((_, after))) => format!("{before}{}{table}{}{after}", MARKS[0], MARKS[1]),
        _ => table.to_string(),
    };
    std::fs::write(path, new).expect("the table is written");
}

/// The table in Markdown.
pub fn text(all: &[Mutant]) -> String {
    let kernels: BTreeSet<&str> = all.iter().map(|m| m.kernel.as_str()).collect();
    let (applied, survived) = counts(all);
    let with = |v: fn(&Verdict) -> bool, of: &[&Mutant]| of.iter().filter(|m| v(&m.verdict)).count();
    let used = operators::all().iter().filter(|o| all.iter().any(|m| m.operator == o.name)).count();
    let mut out = format!(
        "{used} operators on {} kernels: {applied} mutants, {} killed ({:.1} %), {survived} survived, {} of them for no reason that is known.\n\n",
        kernels.len(),
        applied - survived,
        100.0 * (applied - survived) as f64 / applied.max(1) as f64,
        unexplained(all).len()
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
