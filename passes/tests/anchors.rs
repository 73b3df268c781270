//! The cost model for Ascend NPUs against published measurements. `make anchors` writes
//! predicted beside published into docs/ascend.md for every anchor that can be modelled, and what cannot be and why.
//!
//! The published times are those of Huawei's public examples and of open kernel libraries (asc-devkit's worked examples, PTO,
//! CATLASS). None was measured by this project.

use beiming_ir::target::npu::Npu;
use beiming_ir::types::DType;
use beiming_passes::npu::attention::{self, Attention};
use beiming_passes::npu::matmul::{self, Product, Split, Tile};
use beiming_passes::npu::streaming::{self, Stream, Work};

/// A published time and what the model says.
struct Row {
    chip: &'static str,
    what: String,
    published: f64,
    predicted: f64,
}

fn row(what: &str, npu: &Npu, published: f64, predicted: f64) -> Row {
    Row { chip: npu.name, what: what.into(), published, predicted }
}

fn chip(name: &str) -> Npu {
    Npu::by_name(name).expect("a known chip")
}

const F16_CUBE: Product = Product { batch: 1, m: 8192, n: 8192, k: 8192, operand: DType::F16, result: DType::F16 };

/// The worked example's steps from a naive product on one core to the final one.
fn ladder(npu: &Npu, best: (usize, usize), split: (usize, usize), published: [f64; 8]) -> Vec<Row> {
    let (bm, bn) = best;
    let one = Tile { bm: 64, bn: 64, bk: 64, split: Split::Runs, cores: 1, steps: 1, double_buffer: false };
    let base = Tile { bm, bn, ..one };
    let cores = npu.cube_cores as usize;
    let all = Tile { split: Split::Blocks(split.0, split.1), cores, ..base };
    let mdl = Tile { steps: 2, double_buffer: true, ..all };
    let full = Tile { steps: 4, ..mdl };
    let steps = [
        ("64x64x64 tile on one core", one),
        ("best base tile on one core", base),
        ("all cores", all),
        ("several tiles a copy, L1 double buffer", mdl),
        ("L1 filled", full),
        ("L2 split", full),
        ("constant tiling", full),
        ("unit flag", full),
    ];
    steps
        .iter()
        .zip(published)
        .map(|((what, t), us)| {
            let e = matmul::estimate(npu, &F16_CUBE, t).expect("f16 is multiplied");
            row(&format!("8192^3 f16, {what}"), npu, us, e.us)
        })
        .collect()
}

fn chosen(npu: &Npu, what: &str, p: Product, us: f64) -> Row {
    let (_, e) = matmul::choose(npu, &p).expect("the type is multiplied");
    row(what, npu, us, e.us)
}

fn product(m: usize, n: usize, k: usize, operand: DType, result: DType) -> Product {
    Product { batch: 1, m, n, k, operand, result }
}

const ADD: Work = Work { simple: 1.0, slow: 0.0, reduce: 0.0 };

fn adds(npu: &Npu, cores: usize, published: &[(f64, &str, bool, bool)]) -> Vec<Row> {
    let n = 8192.0 * 8192.0;
    let base = Stream {
        elements: n,
        dtype: DType::F16,
        read: 4.0 * n,
        written: 2.0 * n,
        work: ADD,
        cores,
        double_buffer: false,
        bypass_l2: false,
    };
    published
        .iter()
        .map(|(us, what, double_buffer, bypass_l2)| {
            let s = Stream { double_buffer: *double_buffer, bypass_l2: *bypass_l2, ..base };
            row(&format!("8192^2 f16 add, {what}"), npu, *us, streaming::estimate(npu, &s).us)
        })
        .collect()
}

/// `gelu` by its tanh form, in f32: two conversions, nine simple operations, an exponential and a quotient.
const GELU: Work = Work { simple: 11.0, slow: 2.0, reduce: 0.0 };

/// The product with a `gelu` after it, apart and fused.
fn gelu(npu: &Npu, published: [f64; 2]) -> Vec<Row> {
    let n = 8192.0 * 8192.0;
    let (_, product) = matmul::choose(npu, &F16_CUBE).expect("f16 is multiplied");
    let pass = Stream {
        elements: n,
        dtype: DType::F32,
        read: 2.0 * n,
        written: 2.0 * n,
        work: GELU,
        cores: npu.vector_cores as usize,
        double_buffer: true,
        bypass_l2: false,
    };
    let apart = product.us + streaming::estimate(npu, &pass).us;
    let vector = npu.us(GELU.cycles(npu, n / f64::from(npu.vector_cores), DType::F32));
    let fused = product.us.max(vector + npu.core.launch_us);
    vec![row("8192^3 f16 and gelu, apart", npu, published[0], apart), row("the same, fused", npu, published[1], fused)]
}

fn rows() -> Vec<Row> {
    let (b1, b2, b3, a3, n950) =
        (chip("ascend910b1"), chip("ascend910b2"), chip("ascend910b3"), chip("ascend910c"), chip("ascend950"));
    let mut all =
        ladder(&b1, (128, 256), (4, 6), [759_363.98, 249_467.08, 12_283.84, 5039.86, 4156.76, 4088.36, 4053.44, 4012.44]);
    all.extend(ladder(&n950, (256, 256), (4, 8), [1_096_626.4, 130_560.5, 4332.6, 2668.2, 2591.4, 2589.9, 2589.1, 2558.2]));
    for (m, us) in [(1536, 38.8), (3072, 206.7), (6144, 1506.0), (7680, 3168.0)] {
        all.push(chosen(&a3, &format!("PTO gemm {m}^3 f16 -> f32"), product(m, m, m, DType::F16, DType::F32), us));
    }
    let half = |m, n, k| product(m, n, k, DType::F16, DType::F16);
    all.push(chosen(&b1, "PTO gemm 5416x6144x1408 f16", half(5416, 6144, 1408), 368.1));
    all.push(chosen(&n950, "PTO gemm 5416x6144x1408 f16", half(5416, 6144, 1408), 323.2));
    for (m, n, k, us) in [(1024, 576, 6144, 48.6), (20, 6144, 16384, 139.6), (160, 6144, 2048, 35.3)] {
        all.push(chosen(&b3, &format!("CATLASS {m}x{n}x{k} f16, tuned"), half(m, n, k), us));
    }
    all.push(chosen(&b3, "CATLASS 1x768x5120 f32, tuned", product(1, 768, 5120, DType::F32, DType::F32), 15.5));
    for (m, n, k, us) in
        [(1024, 1024, 1024, 15.08), (2048, 2048, 256, 12.09), (2208, 2048, 1024, 30.5), (1024, 2368, 2048, 34.25)]
    {
        all.push(chosen(&n950, &format!("CATLASS basic {m}x{n}x{k} f16"), half(m, n, k), us));
    }
    all.push(chosen(&b3, "128x24576x512 f16, preloaded", half(128, 24576, 512), 28.5));
    all.push(chosen(&b3, "128x30720x1024 f16, several tiles a copy", half(128, 30720, 1024), 53.4));
    all.extend(adds(&b1, 1, &[(6909.6, "one core", false, false)]));
    all.extend(adds(
        &b1,
        48,
        &[
            (306.58, "all cores", false, false),
            (268.5, "longer copies", false, false),
            (264.02, "double buffer", true, false),
            (187.68, "past L2", true, true),
            (184.52, "no bank conflicts", true, true),
        ],
    ));
    all.extend(adds(&n950, 1, &[(8924.0, "one core", false, false)]));
    all.extend(adds(
        &n950,
        64,
        &[
            (310.5, "all cores", false, false),
            (251.7, "longer copies", false, false),
            (247.7, "double buffer", true, false),
            (182.0, "past L2", true, true),
        ],
    ));
    all.extend(gelu(&b1, [4597.4, 4236.9]));
    all.extend(gelu(&n950, [2950.0, 2573.6]));
    for (s, us) in [(1024, 20.96), (2048, 32.5), (4096, 88.9), (8192, 292.6), (16384, 909.0), (32768, 3263.0)] {
        let a = Attention { heads: 1, queries: s, keys: s, width: 128, block: 128 };
        let e = attention::estimate(&b2, &a).expect("f16 is multiplied");
        all.push(row(&format!("PTO flash attention, {s} x 128 f16"), &b2, us, e.us));
    }
    let lite = Attention { heads: 1, queries: 131_072, keys: 131_072, width: 128, block: 128 };
    let e = attention::estimate(&n950, &lite).expect("f16 is multiplied");
    all.push(row("flash_attn_lite v8, 131072 x 128 (bf16)", &n950, 21_264.0, e.us));
    all
}

/// Anchors that the model has no say on.
const NOT_MODELLED: [(&str, &str); 6] = [
    ("add, scalar, one core (two rows)", "the latency of scalar loads from global memory is not published"),
    ("flash_attn_lite v0 to v5", "steps of an example whose schedules are not described"),
    ("softmax 128x128 f32 on a 950 (four rows)", "issue of two instructions a cycle and register reuse are not modelled"),
    (
        "UB bank conflicts (2390, 3751, 4167 cycles)",
        "addresses of the published runs are not stated; the rules are the simulator's",
    ),
    ("copies of 302 MB (ten rows)", "the share of memory bandwidth that streams reach is derived from one of them"),
    (
        "MatmulAllReduce, MXFP4, linear attention, L2 reuse",
        "communication, block scales and that kernel's algorithm are not modelled",
    ),
];

/// The table in Markdown, with the median and the worst error.
fn table(rows: &[Row], median: f64, worst: f64) -> String {
    let mut out = String::from("| Chip | Kernel | Published us | Predicted us | Error |\n| --- | --- | ---: | ---: | ---: |\n");
    for r in rows {
        let (published, predicted) = (r.published, r.predicted);
        let error = 100.0 * (predicted / published - 1.0);
        out += &format!("| {} | {} | {published:.1} | {predicted:.1} | {error:+.1} % |\n", r.chip, r.what);
    }
    out += &format!("\n{} anchors: median error {:.1} %, worst {:.1} %.\n", rows.len(), 100.0 * median, 100.0 * worst);
    out += "\n| Not modelled | Why |\n| --- | --- |\n";
    NOT_MODELLED.iter().for_each(|(what, why)| out += &format!("| {what} | {why} |\n"));
    out
}

/// Puts the table between its marks in a document.
fn publish(path: &std::path::Path, table: &str) {
    const MARKS: [&str; 2] = ["<!-- anchors: written by `make anchors` -->\n", "<!-- anchors: end -->\n"];
    let old = std::fs::read_to_string(path).expect("the document is there");
    let (before, _) = old.split_once(MARKS[0]).expect("the document has the first mark");
    let (_, after) = old.split_once(MARKS[1]).expect("the document has the last mark");
    std::fs::write(path, format!("{before}{}{table}{}{after}", MARKS[0], MARKS[1])).expect("the table is written");
}

/// `BEIMING_ANCHORS` names a document that gets the table.
#[test]
fn predictions_beside_published_times() {
    let rows = rows();
    let mut errors: Vec<f64> = rows.iter().map(|r| (r.predicted / r.published - 1.0).abs()).collect();
    errors.sort_by(f64::total_cmp);
    let (median, worst) = (errors[errors.len() / 2], errors[errors.len() - 1]);
    let table = table(&rows, median, worst);
    println!("{table}");
    if let Some(path) = std::env::var_os("BEIMING_ANCHORS") {
        publish(std::path::Path::new(&path), &table);
    }
    assert!(median < 0.12 && worst < 0.7, "the model has moved away from the published times");
}

#[test]
fn the_tiler_finds_the_vendors_tile_or_a_better_one() {
    for (name, vendor) in [("ascend910b1", (128, 256)), ("ascend950", (256, 256))] {
        let npu = chip(name);
        let (tile, e) = matmul::choose(&npu, &F16_CUBE).expect("f16 is multiplied");
        let theirs = Tile { bm: vendor.0, bn: vendor.1, bk: 64, steps: 4, ..tile };
        assert!(matmul::fits(&npu, &F16_CUBE, &theirs), "{name}: the vendor's tile fits");
        let them = matmul::estimate(&npu, &F16_CUBE, &theirs).expect("f16 is multiplied");
        println!("{name}: {tile:?} {:.0} us; vendor's tile {:.0} us; {} balance {:.3}", e.us, them.us, e.bound.name(), e.balance);
        assert!(e.us <= them.us, "{name}: {tile:?} at {} against {}", e.us, them.us);
    }
}

#[test]
fn a_balanced_split_beats_the_published_one() {
    let npu = chip("ascend910b1");
    let (_, e) = matmul::choose(&npu, &F16_CUBE).expect("f16 is multiplied");
    let flops = 2.0 * 8192f64.powi(3) / (e.us * 1e-6);
    let share = flops / npu.cube_flops(DType::F16).expect("f16 is multiplied");
    println!("8192^3 on ascend910b1: {:.1} % of peak, balance {:.3} (published: 75 %)", 100.0 * share, e.balance);
    assert!(share >= 0.85 && e.balance > 0.98, "{share} {}", e.balance);
}

#[test]
fn what_does_not_fit_is_listed_buffer_by_buffer() {
    let npu = chip("ascend310p3");
    let t = Tile { bm: 256, bn: 256, bk: 128, split: Split::Runs, cores: 8, steps: 8, double_buffer: true };
    let over: Vec<_> = matmul::needs(&npu, &F16_CUBE, &t).into_iter().filter(|n| n.bytes > n.capacity).map(|n| n.what).collect();
    assert_eq!(
        over,
        ["L0A, two steps of the left operand", "L0B, two steps of the right operand", "L1, both operands of a copy"]
    );
    let (chosen, _) = matmul::choose(&npu, &F16_CUBE).expect("f16 is multiplied");
    assert!(matmul::fits(&npu, &F16_CUBE, &chosen));
}
