//! What came of the mutants: the table, and why some of them are as right as the kernel they stem from.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use beiming_ir::kernel::Unit;

use crate::operators;
use crate::run::{Mutant, Verdict};

/// A reason why mutants survive: they do what the kernel does.
struct Equivalent {
    operators: &'static [&'static str],
    /// In the line as it was.
    line: &'static str,
    /// In the kernel's name, one of these; empty: any kernel.
    kernels: &'static [&'static str],
    /// Kernels of this unit only.
    unit: Option<Unit>,
    why: &'static str,
}

impl Equivalent {
    fn explains(&self, m: &Mutant) -> bool {
        self.operators.contains(&m.operator)
            && m.was.contains(self.line)
            && (self.kernels.is_empty() || self.kernels.iter().any(|k| m.kernel.contains(k)))
            && self.unit.is_none_or(|u| u == m.unit)
    }
}

const fn any(operators: &'static [&'static str], line: &'static str, why: &'static str) -> Equivalent {
    Equivalent { operators, line, kernels: &[], unit: None, why }
}

const fn of(unit: Unit, operators: &'static [&'static str], line: &'static str, why: &'static str) -> Equivalent {
    Equivalent { operators, line, kernels: &[], unit: Some(unit), why }
}

/// What holds for the numbers of some kernels only.
const fn at(
    kernels: &'static [&'static str],
    operators: &'static [&'static str],
    line: &'static str,
    why: &'static str,
) -> Equivalent {
    Equivalent { operators, line, kernels, unit: None, why }
}

const ATTENTION: &[&str] = &["_attention_t32x128x32_transpose_mul_cast__ascend"];
const ATTENTION_310P: &[&str] = &["_attention_t32x128x32_transpose_mul_cast__ascend310p3"];
const ADD_310P: &[&str] = &["map_f32_f32_t85x24_add__ascend310p3"];
const CAST_I8: &[&str] = &["map_f32_i8_t2048_cast__ascend910b1"];
const CONV: &[&str] = &["conv_f32_f32_t16x16x16_add__ascend910b1"];
const CONV_310P: &[&str] = &["conv_f16_f16_t32x32x32_add__ascend310p3"];
const TRANSPOSE_310P: &[&str] = &["map_f32_f32_t64x128_transpose__ascend310p3"];
const WINDOW_310P: &[&str] = &["conv_f32_f32_t8x24x5__ascend310p3"];

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
const ONCE: &str = "a loop of one round, whose number nothing reads: the second round does the same again";
const MORE: &str = "one row more inside the buffer, which nobody reads";
const BY_SCALAR: &str = "the scalar unit alone reads it, which the compiler orders behind the copy; where a row is less than a block it has filled it too";
const ZEROS: &str =
    "of one operand, behind the depth, which multiply zeros of the other, or of a row or column beyond the result";
const DEPTH: &str = "steps behind the end of the depth multiply zeros";
const DEEP: &str = "the last steps of the depth are zeros in both operands";
const BEYOND: &str = "rows and columns beyond the result: they leave through no fixpipe";
const COLUMN: &str = "one column of fractals: no stride";
const FINITE: &str = "the maximum only keeps the exponentials finite: softmax is the same for every number that does";
const LOWEST: &str = "so large that a quarter more is the same number";
const ALONE: &str = "one product a tile: no other one accumulates into its result";

const EQUIVALENT: &[Equivalent] = &[
    at(CONV_310P, &["constant"], "Duplicate<half>(bz", ZEROS),
    at(CONV_310P, &["tail-fill"], "T(0)", ZEROS),
    at(CONV_310P, &["count-less"], "Add(y, x, x0, static_cast<int32_t>(count3 * 32))", PADDED),
    at(CONV_310P, &["apart-rows-more"], "DataCopy(x[i", BEHIND),
    at(ATTENTION_310P, &["apart-rows-more"], "DataCopy(x[i", BEHIND),
    at(ATTENTION_310P, &["apart-rows-more"], "DataCopy(part[i", BEHIND),
    at(
        ATTENTION_310P,
        &["global-size"],
        ", 1);",
        "a length of none leaves it open: the buffer is as long as the memory behind it",
    ),
    at(
        ATTENTION_310P,
        &["loop-short"],
        "i51 < 19",
        "softmax is the same for every shift, and the last row's greatest score is in its first block",
    ),
    at(ATTENTION_310P, &["constant"], "Duplicate<float>(edge, -3e38f", LOWEST),
    at(ATTENTION, &["constant"], "Duplicate<float>(greatest, -3e38f", LOWEST),
    at(
        ATTENTION,
        &["constant"],
        "Duplicate<float>(sum, 0.0f",
        "what is there before the first block is scaled by the exponential of the lowest score's distance, which is zero",
    ),
    at(ATTENTION, &["tail-missing", "tail-more"], "count0 = Smaller(19 - i2 * 16, 16)", SCRATCH),
    at(ADD_310P, &["tail-missing", "tail-more"], "Smaller(105 - i0 * 85, 85); ++i4", SCRATCH),
    at(ADD_310P, &["tail-less"], "Smaller(105 - i0 * 85, 85); ++i4", AGAIN),
    at(TRANSPOSE_310P, &["tail-missing", "tail-more"], "ArithProgression<int32_t>(offsets", SCRATCH),
    at(TRANSPOSE_310P, &["tail-less"], "ArithProgression<int32_t>(offsets", AGAIN),
    at(TRANSPOSE_310P, &["tail-missing", "tail-more"], "CopyIn(x[", "zeros behind the row, up to its pitch: read by nobody"),
    at(TRANSPOSE_310P, &["tail-less"], "CopyIn(x[", "fewer zeros asked for than elements copied: none either way"),
    at(WINDOW_310P, &["tail-more"], "for (int64_t i6 = 0; i6 < Smaller(i2 * 8", MORE),
    at(WINDOW_310P, &["tail-less", "tail-more", "tail-missing"], "if ((Smaller(", GUARD),
    at(WINDOW_310P, &["queue-position"], "TQue<TPosition::VECIN, 1> xQueue", BY_SCALAR),
    at(
        &["conv_f32_f32_t8x24x5__ascend310p3", "conv_f32_f32_t4x24x5__ascend950"],
        &["skip-queue"],
        "xQueue.EnQue(x); | x = xQueue.DeQue",
        BY_SCALAR,
    ),
    at(
        WINDOW_310P,
        &["drop-copy"],
        "DataCopy(dst, src, whole)",
        "rows of fewer elements than a block: there are no whole blocks to copy",
    ),
    at(CAST_I8, &["constant"], "-128.0f", CLAMP),
    at(CAST_I8, &["constant"], "127.0f", CLAMP),
    at(&["reduce_sum_f32_f32_t1x33x1__ascend310p3"], &["row-pitch"], "y[i10 * 40]", "a loop of one round: the row lies at zero"),
    any(&["count-less"], "Muls<float>(y, sums, 1.0f", PADDED),
    any(&["count-less"], "(weightsWide, weights", "the last elements of the last tap are its padding up to a block"),
    any(&["count-more"], "Add(sums", LANE),
    any(&["count-more"], "Max(sums", LANE),
    any(&["count-less"], "count0 * ", PADDED),
    of(Unit::Mix, &["fixpipe-rows-more", "tail-missing", "tail-more"], "out.mSize", RING),
    of(Unit::Mix, &["global-size"], "Ring.", RING),
    any(&["cross-pipe"], "CrossCoreWaitFlag", "the last wait of a core: nothing follows it"),
    any(&["tail-missing", "tail-more"], ") / ", DEPTH),
    any(
        &["pad-off"],
        "DataCopyPad",
        "the padding lies in the block that the row ends in, which is filled either way; what is computed there is copied nowhere",
    ),
    any(&["pad-value"], "DataCopyPad", "what is computed of the padding is copied nowhere, and reductions end with the row"),
    any(
        &["pad-count"],
        "DataCopyPad",
        "a copy fills the last block whether asked to or not; what is computed there is copied nowhere",
    ),
    at(
        &["_select__"],
        &["constant"],
        "Duplicate<",
        "fills a tile behind the last element, up to whole repeats for a comparison; what is computed there is copied nowhere",
    ),
    any(
        &["count-more"],
        "Duplicate<",
        "fills one element more behind the last one, which the next row or nobody reads, inside the buffer",
    ),
    any(&["count-more"], "ReduceSum<", "the element behind the row is padding, which is zero"),
    any(&["count-less"], "ReduceMax<", FINITE),
    at(
        &["map_f32_f32_t51x37_add_max__ascend", "layer_norm_f32_f32_t32x45_add_mul_add__ascend310p3"],
        &["count-less"],
        "(at",
        PADDED,
    ),
    at(
        &["map_f32_f32_t51x37_add_max__ascend310p3", "map_f32_f32_t12x33_gather__ascend310p3"],
        &["count-less"],
        "Smaller(",
        PADDED,
    ),
    at(&["softmax_f32_f32_t"], &["count-less"], ", 48);", "the last elements of a row of 45 are its padding up to 48"),
    any(&["buffer-half"], "mBuffer", REPEAT),
    any(&["buffer-half"], "sBuffer", REPEAT),
    any(&["buffer-half"], "greatestBuffer", REPEAT),
    any(&["buffer-half"], "totalBuffer", REPEAT),
    any(&["buffer-half"], "partialBuffer", "twice what the instruction needs by its documentation is set aside"),
    any(
        &["buffers-overlap"],
        "Buffer.Get<",
        "the other scratch is dead by then, or each element is read before it is written in its place",
    ),
    any(&["drop-barrier", "other-barrier"], "PIPE_ALL", SCALAR),
    any(&["drop-barrier", "other-barrier"], "PIPE_M", ALONE),
    any(&["tail-loop"], "i < end", "one element of the padding is left as it was; what is computed of it is copied nowhere"),
    any(&["tail-fill"], "T(0)", "what is computed of the padding is copied nowhere, and reductions end with the row"),
    at(&["__ascend310p3"], &["loop-long"], " < 1; ++", ONCE),
    at(&["layer_norm_f16_f16_t"], &["loop-long"], "i6 < count0;", MORE),
    any(&["rounding-none"], "Cast(", "without a mode the conversion rounds to nearest where something is lost"),
    at(
        &["conv_f16_f16_t3x40x1__ascend910b1"],
        &["rounding-other"],
        "Cast(y, sums",
        "the sums of these numbers are exact in the narrower type",
    ),
    at(
        &["map_f32_i8_t2048_cast__", "map_i32_f32_t2048_cast__", "_transpose_sub_cast_mul__"],
        &["rounding-other"],
        "Cast(",
        "the numbers are whole before the conversion",
    ),
    at(CONV, &["product-depth"], ".k = ", DEEP),
    at(CONV_310P, &["product-depth"], ".k = ", DEEP),
    at(CONV, &["nz-c0-stride", "nz-c0-short"], "Nd2NzParams(1, static_cast<uint16_t>(a1To - a1From), 5, ", COLUMN),
    at(CONV, &["fixpipe-source"], ".srcStride = 16", COLUMN),
    at(
        &["matmul_f16_f32_f32_t48x16x128_mul_add_sigmoid__ascend950"],
        &["nz-c0-stride", "nz-c0-short"],
        "Nd2NzParams(1, static_cast<uint16_t>(b1Rows), 16, ",
        COLUMN,
    ),
    at(&["_t48x16x256_transpose", "_t48x16x128_mul_add_sigmoid__"], &["fixpipe-source"], ".srcStride = 48", COLUMN),
    any(&["edge-drop"], "InitConstValue(b1[((b1Columns", BEYOND),
    any(&["edge-value"], "InitConstValue", BEYOND),
    any(
        &["edge-blocks"],
        "InitConstValue(b1[((b1Columns",
        "the block is behind what the loads reach, or of a row or column beyond the result",
    ),
];

fn reason(m: &Mutant) -> Option<&'static Equivalent> {
    EQUIVALENT.iter().find(|e| e.explains(m))
}

/// Reasons that no survivor of a whole run needs: they would only hide the next one.
pub fn idle(all: &[Mutant]) -> Vec<String> {
    let survivors = || all.iter().filter(|m| m.verdict == Verdict::Survived);
    let needed = |e: &Equivalent| survivors().any(|m| reason(m).is_some_and(|r| std::ptr::eq(r, e)));
    EQUIVALENT.iter().filter(|e| !needed(e)).map(|e| format!("{:?} at `{}` in {:?}", e.operators, e.line, e.kernels)).collect()
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
