//! What came of the mutants: the table, and why some of them are as right as the kernel they stem from.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use beiming_ir::kernel::Unit;

use crate::operators;
use crate::run::{Mutant, Verdict};

/// A reason why mutants of an operator survive: they do what the kernel does.
struct Equivalent {
    operator: &'static str,
    /// In the line as it was.
    line: &'static str,
    /// Kernels of this unit only.
    unit: Option<Unit>,
    why: &'static str,
}

const fn any(operator: &'static str, line: &'static str, why: &'static str) -> Equivalent {
    Equivalent { operator, line, unit: None, why }
}

const fn of(unit: Unit, operator: &'static str, line: &'static str, why: &'static str) -> Equivalent {
    Equivalent { operator, line, unit: Some(unit), why }
}

const RING: &str = "rows behind the last one, in this group's part of the workspace: no core reads them";
const LANE: &str = "one element more in the block that the row ends in: padding of both buffers, which nobody reads";
const REPEAT: &str = "one number a row: the buffer is a whole repeat and a tile has fewer rows";
const GUARD: &str =
    "asks whether a tap has a point inside: at these shapes it has several or none, and the loop within knows its own bounds";
const SCALAR: &str = "the compiler orders the scalar and the vector unit by itself, and nothing else touches what lies behind the last whole block";
const CLAMP: &str = "the bound of a number that is rounded to an integer afterwards: a quarter more is the same integer";

const PADDED: &str = "the last elements of a tile of rows are the padding of the last row";
const SCRATCH: &str = "more of the scratch set than the tile has rows: what is behind them is read by nobody";
const BEHIND: &str = "a row behind the last one, inside the tile of whole fractals: nobody reads it";
const AGAIN: &str = "the tile before has left the same numbers there";
const BY_SCALAR: &str = "the scalar unit alone reads it, which the compiler orders behind the copy; where a row is less than a block it has filled it too";

const ZEROS: &str =
    "of one operand, behind the depth, which multiply zeros of the other, or of a row or column beyond the result";

const EQUIVALENT: &[Equivalent] = &[
    any("constant", "Duplicate<half>(bz", ZEROS),
    of(Unit::Cube, "tail-fill", "T(0)", ZEROS),
    any("global-size", ", 1);", "a length of none leaves it open: the buffer is as long as the memory behind it"),
    any("loop-short", "i51 < 19", "softmax is the same for every shift, and the last row's greatest score is in its first block"),
    any("count-less", "Cast(rounded", "the last element of the last fractal is of a row or column beyond the result"),
    any("count-less", "Muls<float>(y, sums, 1.0f", PADDED),
    any("count-less", "(weightsWide, weights", "the last elements of the last tap are its padding up to a block"),
    any("row-pitch", "y[i10 * 40]", "a loop of one round: the row lies at zero"),
    any("tail-missing", "count0 = Smaller(19 - i2 * 16, 16)", SCRATCH),
    any("tail-more", "count0 = Smaller(19 - i2 * 16, 16)", SCRATCH),
    any("tail-missing", "Smaller(105 - i0 * 85, 85); ++i4", SCRATCH),
    any("tail-more", "Smaller(105 - i0 * 85, 85); ++i4", SCRATCH),
    any("tail-less", "Smaller(105 - i0 * 85, 85); ++i4", AGAIN),
    any("tail-missing", "ArithProgression<int32_t>(offsets", SCRATCH),
    any("tail-more", "ArithProgression<int32_t>(offsets", SCRATCH),
    any("tail-less", "ArithProgression<int32_t>(offsets", AGAIN),
    any("tail-missing", "CopyIn(x[", "zeros behind the row, up to its pitch: read by nobody"),
    any("tail-more", "CopyIn(x[", "zeros behind the row, up to its pitch: read by nobody"),
    any("tail-less", "CopyIn(x[", "fewer zeros asked for than elements copied: none either way"),
    any("tail-more", "for (int64_t i6 = 0; i6 < Smaller(i2 * 8", "one row more inside the buffer, which nobody reads"),
    any("skip-queue", "xQueue.EnQue(x); | x = xQueue.DeQue", BY_SCALAR),
    any("queue-position", "TQue<TPosition::VECIN, 1> xQueue", BY_SCALAR),
    any("drop-copy", "DataCopy(dst, src, whole)", "rows of fewer elements than a block: there are no whole blocks to copy"),
    any("constant", "-128.0f", CLAMP),
    any("constant", "127.0f", CLAMP),
    any("count-more", "Add(sums", LANE),
    any("count-more", "Max(sums", LANE),
    any("count-less", "count0 * ", PADDED),
    any("count-less", "Add(y, x, x0, static_cast<int32_t>(count3 * 32))", PADDED),
    any("apart-rows-more", "DataCopy(x[i", BEHIND),
    any("apart-rows-more", "DataCopy(part[i", BEHIND),
    any("tail-more", "for (int64_t i5 = 0", "one row more inside the buffer, which nobody reads"),
    of(Unit::Mix, "fixpipe-rows-more", "out.mSize", RING),
    of(Unit::Mix, "global-size", "Ring.", RING),
    any("tail-less", "if ((Smaller(", GUARD),
    any("tail-more", "if ((Smaller(", GUARD),
    any("tail-missing", "if ((Smaller(", GUARD),
    of(Unit::Mix, "tail-missing", "out.mSize", RING),
    of(Unit::Mix, "tail-more", "out.mSize", RING),
    any("cross-pipe", "CrossCoreWaitFlag", "the last wait of a core: nothing follows it"),
    any("tail-missing", ") / ", "steps behind the end of the depth multiply zeros"),
    any("tail-more", ") / ", "steps behind the end of the depth multiply zeros"),
    any("row-pitch", "InitConstValue(", "there is no such edge at these shapes"),
    any(
        "pad-off",
        "DataCopyPad",
        "the padding lies in the block that the row ends in, which is filled either way; what is computed there is copied nowhere",
    ),
    any("pad-value", "DataCopyPad", "what is computed of the padding is copied nowhere, and reductions end with the row"),
    any(
        "pad-count",
        "DataCopyPad",
        "a copy fills the last block whether asked to or not; what is computed there is copied nowhere",
    ),
    any(
        "constant",
        "Duplicate<",
        "fills a tile behind the last element, up to whole repeats for a comparison; what is computed there is copied nowhere",
    ),
    any(
        "count-more",
        "Duplicate<",
        "fills one element more behind the last one, which the next row or nobody reads, inside the buffer",
    ),
    any("count-more", "ReduceSum<", "the element behind the row is padding, which is zero"),
    any(
        "count-more",
        "ReduceMax<",
        "the maximum only keeps the exponentials finite: softmax is the same for every number that does; the element behind the row is padding",
    ),
    any(
        "count-less",
        "ReduceMax<",
        "the maximum only keeps the exponentials finite: softmax is the same for every number that does",
    ),
    any("count-less", "(at", PADDED),
    any("count-less", "Smaller(", PADDED),
    any("count-less", ", 48);", "the last elements of a row of 45 are its padding up to 48"),
    any("buffer-half", "mBuffer", REPEAT),
    any("buffer-half", "sBuffer", REPEAT),
    any("buffer-half", "onesBuffer", REPEAT),
    any("buffer-half", "scaleBuffer", REPEAT),
    any("buffer-half", "greatestBuffer", REPEAT),
    any("buffer-half", "totalBuffer", REPEAT),
    any("buffer-half", "hereBuffer", REPEAT),
    any("buffer-half", "nextBuffer", REPEAT),
    any("buffer-half", "partialBuffer", "twice what the instruction needs by its documentation is set aside"),
    any(
        "buffers-overlap",
        "Buffer.Get<",
        "the other scratch is dead by then, or each element is read before it is written in its place",
    ),
    any("drop-barrier", "PIPE_ALL", SCALAR),
    any("other-barrier", "PIPE_ALL", SCALAR),
    any("drop-barrier", "PIPE_M", "one product a tile: no other one accumulates into its result"),
    any("other-barrier", "PIPE_M", "one product a tile: no other one accumulates into its result"),
    any("tail-loop", "i < end", "one element of the padding is left as it was; what is computed of it is copied nowhere"),
    any("tail-fill", "T(0)", "what is computed of the padding is copied nowhere, and reductions end with the row"),
    any("row-pitch", "LoadData(", "a loop of one round: the first row lies at zero"),
    any("loop-long", "for (", "one row more inside the buffer, which nobody reads"),
    any("rounding-none", "Cast(", "without a mode the conversion rounds to nearest where something is lost"),
    any("rounding-other", "Cast(", "the numbers are whole before the conversion"),
    any("scalar-sign", "m.GetValue(", "softmax of finite exponentials is the same for every shift"),
    any("product-depth", ".k = ", "the last steps of the depth are zeros in both operands"),
    any("init-always", "cmatrixInitVal", "one product a tile"),
    any("nz-c0-stride", "Nd2NzParams", "one column of fractals: no stride"),
    any("nz-c0-short", "Nd2NzParams", "one column of fractals: no stride"),
    any("edge-drop", "InitConstValue", "no load reaches this edge, or there is none at these shapes"),
    any("edge-value", "InitConstValue", "rows and columns beyond the result: they leave through no fixpipe"),
    any("edge-blocks", "InitConstValue", "the block is behind what the loads reach, or of a row or column beyond the result"),
    any("edge-gap", "InitConstValue", "one column of fractals: no stride"),
    any("fixpipe-source", ".srcStride", "one column of fractals: no stride"),
];

fn reason(m: &Mutant) -> Option<&'static Equivalent> {
    EQUIVALENT.iter().find(|e| e.operator == m.operator && m.was.contains(e.line) && e.unit.is_none_or(|u| u == m.unit))
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
