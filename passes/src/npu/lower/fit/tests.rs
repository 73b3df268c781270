//! Every family where a tile does not fit: on chips with less memory than there is, with tiles that are asked for, and with shapes
//! that no chip holds.

use beiming_ir::graph::{Graph, Loc};
use beiming_ir::ops::{Arg, BinaryOp, Body, BodyNode, Conv, NormKind, Op, Pool, PoolKind, ReduceOp, UnaryOp};
use beiming_ir::target::Target;
use beiming_ir::target::npu::{Core, Npu};
use beiming_ir::types::{DType, Symbols, TensorType};

use DType::{F16, F32, I64};

use super::super::{coupled, lower, matmul, mixed};
use super::*;
use crate::lower::builder::Operand;
use crate::lower::wanted::Wanted;

/// Ops with their arguments; inputs count from 100 on.
type Nodes = Vec<(Op, Vec<u32>)>;

struct Case {
    family: &'static str,
    chip: &'static str,
    /// Takes memory from a core.
    less: fn(&mut Core),
    inputs: Vec<(DType, Vec<usize>)>,
    nodes: Nodes,
    /// Asked for in place of what the tiler chooses.
    tile: Option<Vec<i64>>,
    by: fn(&mut BodyCx, &Npu) -> Result<(), String>,
    /// The buffers of the first memory that is too small.
    buffers: &'static str,
    /// What the last line says.
    says: &'static str,
}

impl Case {
    fn graph(&self) -> Graph {
        let mut g = Graph::new("g", Symbols::default());
        let inputs = self.inputs.iter().enumerate();
        let inputs: Vec<_> = inputs.map(|(i, (d, s))| g.add_input(&format!("x{i}"), TensorType::known(*d, s))).collect();
        let arg = |a: &u32| if *a < 100 { Arg::Node(*a) } else { Arg::Input(a - 100) };
        let nodes =
            self.nodes.iter().map(|(op, args)| BodyNode { op: op.clone(), args: args.iter().map(arg).collect() }).collect();
        let op = Op::Fused(Body { inputs: inputs.len() as u32, nodes }.into());
        let y = g.push1(op, &inputs, &Loc::default()).unwrap_or_else(|e| panic!("{}: {e}", self.family));
        g.add_output("y", y);
        g
    }

    fn npu(&self) -> Npu {
        let mut npu = Npu::by_name(self.chip).expect("a known chip");
        (self.less)(&mut npu.core);
        npu
    }

    /// The kernels with the tile `tile` in place of the one that the tiler chooses on the whole chip; else what is wrong with it.
    fn lowered(&self, tile: Option<&[i64]>) -> Result<Vec<String>, String> {
        let target = Target::ascend(self.chip, Target::x86_64_v4()).expect("a known chip");
        let g = self.graph();
        let made = |npu: &Npu, wanted: Option<&Wanted>| -> Result<Vec<String>, String> {
            let mut cx = BodyCx::new(&target, &g.symbols, &g, g.nodes().last().expect("a node")).expect("it types");
            cx.wanted = wanted;
            (self.by)(&mut cx, npu)?;
            Ok(cx.calls.iter().map(|c| c.kernel.name.clone()).collect())
        };
        let npu = self.npu();
        let Some(tile) = tile else { return made(&npu, None) };
        let own = made(&npu, None)?;
        let name = own.iter().find(|n| !n.starts_with("map_")).expect("a kernel with a tile");
        let wanted = Wanted::new([(name.clone(), tile.to_vec())].into());
        let done = made(&npu, Some(&wanted)).unwrap_or_default();
        let names: Vec<&str> = done.iter().map(String::as_str).collect();
        match wanted.missed(&names).pop() {
            Some((of, why)) => {
                assert_eq!(of, *name, "{}", self.family);
                Err(why)
            }
            None => Ok(done),
        }
    }
}

/// The numbers in the words of a tile.
fn numbers(words: &str) -> Vec<i64> {
    words.split(" x ").filter_map(|w| w.split(' ').next()?.parse().ok()).collect()
}

fn kib(text: &str) -> f64 {
    text.trim().strip_suffix(" KiB").and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("no KiB: {text}"))
}

/// The memories of a message, each with its buffers: all that is in it, more than there is.
fn memories(why: &str) -> Vec<Vec<&str>> {
    let mut out: Vec<(f64, f64, Vec<&str>)> = vec![];
    for line in why.lines() {
        if let Some((used, rest)) = line.split_once(" in ")
            && let Some((_, capacity)) = rest.split_once(", which has ")
        {
            let used = used.rsplit(": ").next().expect("the first part");
            let capacity = capacity.split(" on ").next().expect("the first part");
            assert!(kib(used) > kib(capacity), "{line}");
            out.push((kib(used), 0.0, vec![]));
        } else if let Some((buffer, size)) = line.strip_prefix("  ").and_then(|l| l.split_once(' '))
            && let Some((copies, size)) = size.split_once(" x ")
            && let (Ok(copies), true) = (copies.parse::<f64>(), size.ends_with(" KiB"))
        {
            let last = out.last_mut().expect("a memory before its buffers");
            last.1 += copies * kib(size);
            last.2.push(buffer);
        }
    }
    for (used, sum, buffers) in &out {
        assert!((used - sum).abs() < 0.1 * buffers.len() as f64 + 0.1, "{used} KiB, and the buffers take {sum}:\n{why}");
    }
    out.into_iter().map(|m| m.2).collect()
}

fn chip(_: &mut Core) {}

fn following(cx: &mut BodyCx, npu: &Npu) -> Result<(), String> {
    mixed::lower(cx, npu, anchor(cx), Operand::Output(0))
}

fn alone(cx: &mut BodyCx, npu: &Npu) -> Result<(), String> {
    let root = cx.result();
    matmul::lower(cx, npu, anchor(cx), root, Operand::Output(0))
}

fn on_both(cx: &mut BodyCx, npu: &Npu) -> Result<(), String> {
    let root = cx.result();
    coupled::lower(cx, npu, anchor(cx), root, Operand::Output(0))
}

fn anchor(cx: &BodyCx) -> usize {
    cx.anchor().expect("an anchor")
}

fn product(m: usize, n: usize, k: usize) -> (Vec<(DType, Vec<usize>)>, Nodes) {
    (vec![(F16, vec![m, k]), (F16, vec![k, n])], vec![(Op::MatMul { out: F16 }, vec![100, 101])])
}

/// A product, a sum with a row and an exponential.
fn more(m: usize, n: usize, k: usize) -> (Vec<(DType, Vec<usize>)>, Nodes) {
    let (mut inputs, mut nodes) = product(m, n, k);
    inputs.push((F16, vec![n]));
    nodes.extend([(Op::Binary(BinaryOp::Add), vec![0, 102]), (Op::Unary(UnaryOp::Exp), vec![1])]);
    (inputs, nodes)
}

fn conv(d: DType, groups: usize, channels: usize) -> (Vec<(DType, Vec<usize>)>, Nodes) {
    let c = Conv { strides: vec![1, 1], dilations: vec![1, 1], pads: vec![(1, 1), (1, 1)], groups };
    let inputs = vec![(d, vec![1, 28, 28, channels]), (d, vec![3, 3, channels / groups, channels])];
    (inputs, vec![(Op::Conv(c), vec![100, 101])])
}

fn attention(width: usize) -> (Vec<(DType, Vec<usize>)>, Nodes) {
    let of = |n: usize| (F16, vec![8, n, width]);
    let nodes = vec![
        (Op::Transpose { perm: vec![0, 2, 1] }, vec![101]),
        (Op::MatMul { out: F32 }, vec![100, 0]),
        (Op::Softmax { axis: 2, log: false }, vec![1]),
        (Op::Cast { to: F16 }, vec![2]),
        (Op::MatMul { out: F16 }, vec![3, 102]),
    ];
    (vec![of(256), of(256), of(256)], nodes)
}

fn rows(op: Op) -> (Vec<(DType, Vec<usize>)>, Nodes) {
    (vec![(F32, vec![4, 1000])], vec![(op, vec![100])])
}

const NONE: &str = "no tile fits: this is the smallest, of ";
const LARGEST: &str = "the largest tile that fits has ";

fn cases() -> Vec<Case> {
    let case = |family, chip, less, (inputs, nodes), buffers, says| Case {
        family,
        chip,
        less,
        inputs,
        nodes,
        tile: None,
        by: lower,
        buffers,
        says,
    };
    let asked = |tile: &[i64], c: Case| Case { tile: Some(tile.to_vec()), ..c };
    let by = |by, c: Case| Case { by, ..c };
    let sum = (vec![(F32, vec![70, 33]); 2], vec![(Op::Binary(BinaryOp::Add), vec![100, 101])]);
    let pool = |window: usize, channels: usize, most: usize| {
        let p = Pool {
            kind: PoolKind::Max,
            window: vec![1, window],
            strides: vec![1, 1],
            dilations: vec![1, 1],
            pads: vec![(0, 0); 2],
            ceil: false,
        };
        (vec![(F32, vec![1, 1, window + most - 1, channels])], vec![(Op::Pool(p), vec![100])])
    };
    let reduce = |axes: &[usize]| Op::Reduce { op: ReduceOp::Sum, axes: axes.to_vec(), keep: false };
    let embedding = || {
        let nodes = vec![(Op::Gather { axis: 0 }, vec![100, 101])];
        (vec![(F32, vec![50, 640]), (I64, vec![70])], nodes)
    };
    let transpose = (vec![(F32, vec![64, 128])], vec![(Op::Transpose { perm: vec![1, 0] }, vec![100])]);
    vec![
        case("elementwise", "ascend910b1", |c| c.ub = 1 << 10, sum.clone(), "x0 x1 y", NONE),
        case("elementwise", "ascend310p3", |c| c.ub = 1 << 10, sum, "x0 x1 y", NONE),
        case(
            "softmax",
            "ascend910b1",
            |c| c.ub = 3 << 10,
            rows(Op::Softmax { axis: 1, log: false }),
            "m s here next scale x0 t ones x08 y t10 partial",
            NONE,
        ),
        case(
            "norm",
            "ascend950",
            |c| c.ub = 3 << 10,
            rows(Op::Norm { kind: NormKind::Layer, axis: 1, eps: 1e-5.into() }),
            "m s here x0 x04 q ones x07 y t partial",
            NONE,
        ),
        case("reduction", "ascend310p3", |c| c.ub = 2 << 10, rows(reduce(&[1])), "s here x0 y partial", NONE),
        case("reduction across", "ascend910b1", |c| c.ub = 64, rows(reduce(&[0])), "sums x y", NONE),
        case("pool", "ascend910b1", |c| c.ub = 128, pool(3, 24, 4), "sums x y", NONE),
        case("huge window", "ascend910b1", chip, pool(60_000, 24, 4), "sums x y", NONE),
        case("depthwise", "ascend950", |c| c.ub = 512, conv(F32, 16, 16), "sums weights weightsWide x y", NONE),
        case("window", "ascend310p3", |c| c.ub = 128, conv(F32, 1, 16), "sums x weights y", NONE),
        asked(&[60, 24, 1], case("pool", "ascend910b1", |c| c.ub = 4 << 10, pool(3, 24, 60), "sums x y", LARGEST)),
        asked(&[28, 64, 64], case("window", "ascend310p3", |c| c.ub = 20 << 10, conv(F32, 1, 64), "sums x weights y", LARGEST)),
        case("gather", "ascend910b1", |c| c.ub = 1 << 10, embedding(), "x y", LARGEST),
        case("transpose", "ascend910b1", |c| c.ub = 16 << 10, transpose, "offsets x y", LARGEST),
        by(alone, case("product", "ascend910b1", |c| c.l0a = 256, product(300, 200, 700), "a2", NONE)),
        by(alone, case("product", "ascend910b1", |c| c.l0c = 512, product(300, 200, 700), "acc", NONE)),
        by(alone, case("product", "ascend950", |c| c.l1 = 512, product(300, 200, 700), "a1 b1", NONE)),
        asked(&[512, 512, 256], case("product", "ascend910b1", chip, product(600, 600, 700), "a1 b1", LARGEST)),
        asked(&[64, 64, 64], case("product", "ascend950", |c| c.l0b = 4 << 10, product(600, 600, 700), "b2", LARGEST)),
        by(following, case("mixed", "ascend910b1", |c| c.ub = 1 << 10, more(300, 200, 700), "x x0 row0 y t0 t1", NONE)),
        asked(&[256, 256, 128], by(following, case("mixed", "ascend910b1", chip, more(600, 600, 700), "acc", LARGEST))),
        by(on_both, case("coupled", "ascend310p3", |c| c.ub = 3 << 10, product(300, 200, 700), "a az b bz cz rounded c", NONE)),
        by(on_both, case("coupled", "ascend310p3", |c| c.l0b = 256, product(300, 200, 700), "b2", NONE)),
        by(
            on_both,
            case(
                "coupled and more",
                "ascend310p3",
                |c| c.ub = 4 << 10,
                more(300, 200, 700),
                "a az b bz cz rounded x x0 row0 y t0 t1",
                NONE,
            ),
        ),
        asked(
            &[128, 256, 64],
            by(on_both, case("coupled", "ascend310p3", chip, product(600, 600, 700), "a az b bz cz rounded c", LARGEST)),
        ),
        asked(
            &[128, 256, 64],
            by(
                on_both,
                case(
                    "coupled and more",
                    "ascend310p3",
                    chip,
                    more(600, 600, 700),
                    "a az b bz cz rounded x x0 row0 y t0 t1",
                    LARGEST,
                ),
            ),
        ),
        case("conv", "ascend910b1", |c| (c.l0a, c.ub) = (256, 128), conv(F16, 1, 64), "a2", NONE),
        case("conv", "ascend310p3", |c| (c.l0a, c.ub) = (256, 128), conv(F16, 1, 64), "a az b bz cz rounded c", NONE),
        asked(&[112, 64, 64], case("conv", "ascend910b1", |c| c.l0b = 4 << 10, conv(F16, 1, 64), "b2", LARGEST)),
        asked(&[400, 64, 64], case("conv", "ascend310p3", chip, conv(F16, 1, 64), "a az b bz cz rounded c", LARGEST)),
        case("attention", "ascend910b1", |c| c.l0c = 1 << 10, attention(64), "scored summed", NONE),
        case(
            "attention",
            "ascend310p3",
            |c| c.ub = 8 << 10,
            attention(64),
            "greatest total scale sum q qz k kz sz here next x y weights wz v vz oz part ones y30 partial",
            NONE,
        ),
        case(
            "huge heads",
            "ascend910b1",
            chip,
            attention(4096),
            "greatest total scale sum here next x y weights part ones y24 partial",
            NONE,
        ),
        asked(&[128, 128], case("attention", "ascend950", |c| c.l0c = 40 << 10, attention(64), "scored summed", LARGEST)),
        asked(
            &[128, 128],
            case(
                "attention",
                "ascend310p3",
                chip,
                attention(256),
                "greatest total scale sum q qz k kz sz here next x y weights wz v vz oz part ones y30 partial",
                LARGEST,
            ),
        ),
    ]
}

/// What is wrong with a case's message.
fn judge(c: &Case) -> Result<(), String> {
    let Err(why) = c.lowered(c.tile.as_deref()) else { return Err("it fits".into()) };
    let listed = memories(&why);
    let first = listed.first().ok_or_else(|| format!("no memory: {why}"))?.join(" ");
    if first != c.buffers {
        return Err(format!("{first}\n{why}"));
    }
    let last = why.lines().last().unwrap_or_default().trim();
    let words = last.strip_prefix(c.says).ok_or(&why)?;
    let named = numbers(words.split(" in place of ").next().unwrap_or_default());
    if named.is_empty() {
        return Err(why);
    }
    // What is named is what goes through where it is asked for.
    match &c.tile {
        Some(tile) if *tile == named => Err(why),
        Some(_) => c.lowered(Some(&named)).map(|_| ()).map_err(|e| format!("{named:?}: {e}")),
        None => Ok(()),
    }
}

#[test]
fn every_buffer_is_listed_and_the_largest_tile_named() {
    let judged = |c: &Case| judge(c).err().map(|why| format!("{} on {}: {why}", c.family, c.chip));
    let wrong: Vec<String> = cases().iter().filter_map(judged).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_larger_tile_fits_than_the_one_that_is_named() {
    for (chip, on_l0b, tile) in [("ascend910b1", 4 << 10, [64, 64, 64]), ("ascend310p3", 2 << 10, [48, 64, 32])] {
        let (inputs, nodes) = product(600, 600, 700);
        let less: fn(&mut Core) = if on_l0b == 4 << 10 { |c| c.l0b = 4 << 10 } else { |c| c.l0b = 2 << 10 };
        let c = Case { family: "product", chip, less, inputs, nodes, tile: None, by: lower, buffers: "", says: "" };
        let why = c.lowered(Some(&tile)).expect_err("it does not fit");
        let words = why.lines().last().and_then(|l| l.trim().strip_prefix(LARGEST)).unwrap_or_else(|| panic!("{why}"));
        let named: i64 = numbers(words.split(" in place of ").next().expect("the first part")).iter().product();
        for bm in (16..=tile[0]).step_by(16) {
            for bn in (16..=tile[1]).step_by(16) {
                for bk in [16, 32, 64].into_iter().filter(|k| *k <= tile[2] && bm * bn * k > named) {
                    assert!(c.lowered(Some(&[bm, bn, bk])).is_err(), "{bm} x {bn} x {bk} on {chip} is larger than {words}");
                }
            }
        }
    }
}

#[test]
fn tiles_that_the_tiler_does_not_choose_from_are_refused() {
    let of = |tile: &[i64]| {
        let (inputs, nodes) = product(100, 600, 700);
        let c = Case {
            family: "product",
            chip: "ascend910b1",
            less: chip,
            inputs,
            nodes,
            tile: None,
            by: lower,
            buffers: "",
            says: "",
        };
        c.lowered(Some(tile)).map(|names| names.join(" "))
    };
    let choice = "a tile of this kernel has rows x columns x depth: rows and columns in steps of 16 up to the product's own and 512, \
                  the depth by powers of two";
    for tile in [&[16, 16][..], &[24, 16, 16], &[0, 16, 16], &[128, 16, 16], &[16, 528, 16], &[16, 16, 48], &[-16, 16, 16]] {
        assert_eq!(of(tile), Err(choice.into()), "{tile:?}");
    }
    assert_eq!(of(&[48, 80, 32]).as_deref(), Ok("matmul_f16_f16_t48x80x32__ascend910b1"));
}
