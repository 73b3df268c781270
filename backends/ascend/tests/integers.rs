//! Products of numbers of 8 bits on the cube cores, with what follows them, and the forms that importers write them in.

mod support;

use beiming_ir::eval;
use beiming_ir::graph::{Graph, Loc, ValueId};
use beiming_ir::kernel::Unit;
use beiming_ir::ops::{BinaryOp, Op, UnaryOp};
use beiming_ir::target::Target;
use beiming_ir::target::npu::Npu;
use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::types::{DType, Symbols, TensorType};
use beiming_passes::{OptimizeOptions, optimize};

use DType::{F16, F32, I8, I32, U8};
use support::{CHIPS, Call, Node, bin, cast, difference, fused, lowered_deep, simulate};

const SPLIT: [&str; 2] = ["ascend910b1", "ascend950"];

fn product() -> Node {
    (Op::MatMul { out: I32 }, vec![100, 101])
}

/// Every number of the type, in no order.
fn bytes(dtype: DType, shape: &[usize], seed: usize) -> Tensor {
    let low = if dtype == I8 { 128 } else { 0 };
    Tensor::build(dtype, shape, |i| Num::Int((((i + 1) * (2 * seed + 37) * 97 / 3) % 256) as i128 - low))
}

/// Rows, depth, columns: one, primes, around the sides of fractals of 16 x 32, several tiles and copies.
const SHAPES: [[usize; 3]; 8] =
    [[16, 32, 16], [1, 1, 2], [7, 33, 5], [31, 32, 33], [48, 80, 64], [130, 200, 50], [1, 300, 17], [33, 1030, 31]];

#[test]
fn whole_products_are_exact() {
    let mut all = vec![];
    for chip in SPLIT {
        for [m, k, n] in SHAPES {
            all.extend(fused("product", &[(I8, &[m, k]), (I8, &[k, n])], &[1], vec![product()], chip));
        }
        all.extend(fused("batch", &[(I8, &[3, 5, 40]), (I8, &[40, 18])], &[1], vec![product()], chip));
        // The right operand with its depth inside.
        let turned = vec![(Op::Transpose { perm: vec![1, 0] }, vec![101]), (Op::MatMul { out: I32 }, vec![100, 0])];
        all.extend(fused("right turned", &[(I8, &[19, 70]), (I8, &[21, 70])], &[], turned, chip));
    }
    assert!(all.iter().all(|c| c.kernel.npu.as_ref().map(|n| n.unit) == Some(Unit::Cube)));
    simulate(&all);
}

/// Scales of columns, a bias and an activation in the same kernel, on the vector cores.
#[test]
fn with_what_makes_floats_of_it() {
    let mut all = vec![];
    for chip in SPLIT {
        for [m, k, n] in SHAPES.into_iter().skip(2) {
            for to in [F32, F16] {
                let nodes = vec![
                    product(),
                    bin(BinaryOp::Sub, 0, 102),
                    cast(F32, 1),
                    bin(BinaryOp::Mul, 2, 103),
                    bin(BinaryOp::Add, 3, 104),
                    (Op::Cast { to }, vec![4]),
                ];
                let inputs: [(DType, &[usize]); 5] = [(I8, &[m, k]), (I8, &[k, n]), (I32, &[n]), (F32, &[n]), (F32, &[n])];
                let made = fused("scaled", &inputs, &[1], nodes, chip);
                let units: Vec<_> = made.iter().map(|c| c.kernel.npu.as_ref().map(|n| n.unit)).collect();
                // A copy pads rows of two widths up to 32 bytes; longer padding takes a kernel of its own.
                let want = if to == F32 || n % 16 == 0 || n % 16 > 8 {
                    vec![Some(Unit::Mix)]
                } else {
                    vec![Some(Unit::Cube), Some(Unit::Vector)]
                };
                assert_eq!(units, want, "{inputs:?} to {to} on {chip}");
                all.extend(made);
            }
        }
    }
    simulate(&all);
}

/// A graph as an importer writes it, built step by step.
struct Build {
    g: Graph,
}

impl Build {
    fn op(&mut self, op: Op, args: &[ValueId]) -> ValueId {
        self.g.push1(op, args, &Loc::default()).unwrap_or_else(|e| panic!("{e}"))
    }

    fn binary(&mut self, op: BinaryOp, a: ValueId, b: ValueId) -> ValueId {
        self.op(Op::Binary(op), &[a, b])
    }

    fn constant(&mut self, t: Tensor) -> ValueId {
        self.g.constant(t, &Loc::default())
    }

    /// `x - zero` in a type.
    fn centred(&mut self, to: DType, x: ValueId, zero: Option<ValueId>) -> ValueId {
        let x = self.op(Op::Cast { to }, &[x]);
        match zero {
            None => x,
            Some(z) => {
                let z = self.op(Op::Cast { to }, &[z]);
                self.binary(BinaryOp::Sub, x, z)
            }
        }
    }
}

/// How a zero point is given.
#[derive(Clone, Copy, Debug)]
enum Zero {
    None,
    Constant(i64),
    /// A value of the run.
    Open(i64),
}

/// The graph with the weights multiplied out to floats, as an importer that folds constants gives it.
fn folded(g: &Graph) -> Graph {
    let mut b = Build { g: Graph::new("folded", Symbols::default()) };
    let mut made: Vec<(ValueId, ValueId)> =
        g.inputs.iter().map(|v| (*v, b.g.add_input(&g.value(*v).name, g.ty(*v).clone()))).collect();
    let mut known: Vec<(ValueId, Tensor)> = vec![];
    for n in g.nodes() {
        let constants: Option<Vec<Tensor>> =
            n.inputs.iter().map(|v| known.iter().find(|k| k.0 == *v).map(|k| k.1.clone())).collect();
        let value = match (g.const_of(n.outputs[0]), constants) {
            (Some(t), _) => Some(t.clone()),
            (None, Some(args)) if !args.is_empty() => {
                eval::op(&n.op, &args, g, &eval::Dims::new()).ok().and_then(|mut t| t.pop())
            }
            _ => None,
        };
        let v = match value {
            Some(t) => {
                known.push((n.outputs[0], t.clone()));
                b.constant(t)
            }
            None => {
                let of = |v: &ValueId| made.iter().find(|m| m.0 == *v).map(|m| m.1).expect("made before");
                let args: Vec<ValueId> = n.inputs.iter().map(of).collect();
                b.op(n.op.clone(), &args)
            }
        };
        made.push((n.outputs[0], v));
    }
    let y = made.iter().find(|m| m.0 == g.outputs[0]).expect("the result").1;
    b.g.add_output("y", y);
    b.g
}

/// `MatMulInteger` and what `DequantizeLinear`s around a product of floats come to.
fn quantised(scaled: bool, [m, k, n]: [usize; 3], x: DType, w: DType, zeros: [Zero; 2], turned: bool) -> (Graph, Vec<Tensor>) {
    let mut b = Build { g: Graph::new("quantised", Symbols::default()) };
    let mut given = vec![bytes(x, &[m, k], 3)];
    let data = b.g.add_input("x", TensorType::known(x, &[m, k]));
    let mut zero = |b: &mut Build, z: Zero, d: DType| match z {
        Zero::None => None,
        Zero::Constant(v) => Some(b.constant(Tensor::build(d, &[], |_| Num::Int(v.into())))),
        Zero::Open(v) => {
            given.push(Tensor::build(d, &[], |_| Num::Int(v.into())));
            Some(b.g.add_input("zero", TensorType::known(d, &[])))
        }
    };
    let (zx, zw) = (zero(&mut b, zeros[0], x), zero(&mut b, zeros[1], w));
    let stored = if turned { vec![n, k] } else { vec![k, n] };
    let weights = b.constant(bytes(w, &stored, 5));
    let to = if scaled { F32 } else { I32 };
    let (mut left, mut right) = (b.centred(to, data, zx), b.centred(to, weights, zw));
    if scaled {
        let sx = b.constant(Tensor::f32(&[], &[0.013]));
        left = b.binary(BinaryOp::Mul, left, sx);
        let of_columns: Vec<f32> = (0..n).map(|i| 0.002 + 0.0003 * i as f32).collect();
        let sw = b.constant(Tensor::f32(&if turned { [n, 1] } else { [1, n] }, &of_columns));
        right = b.binary(BinaryOp::Mul, right, sw);
    }
    if turned {
        right = b.op(Op::Transpose { perm: vec![1, 0] }, &[right]);
    }
    let mut y = b.op(Op::MatMul { out: to }, &[left, right]);
    if scaled {
        let bias = b.constant(Tensor::f32(&[n], &(0..n).map(|i| i as f32 * 0.1 - 0.3).collect::<Vec<_>>()));
        y = b.binary(BinaryOp::Add, y, bias);
        let zero = b.constant(Tensor::f32(&[], &[0.0]));
        y = b.binary(BinaryOp::Max, y, zero);
    }
    b.g.add_output("y", y);
    (b.g, given)
}

/// The kernels of a graph after all passes; its meaning is held against the evaluator's before and after.
fn compiled(what: &str, g: &Graph, chip: &str, inputs: &[Tensor]) -> Vec<Call> {
    let target = Target::ascend(chip, Target::kunpeng920()).expect("a known chip");
    let (made, _) = optimize(g.clone(), &target, &OptimizeOptions::default()).unwrap_or_else(|e| panic!("{what}: {e}"));
    let [got, want] = [&made, g].map(|g| eval::graph(g, inputs).unwrap_or_else(|e| panic!("{what}: {e}")));
    let d = difference(&got[0], &want[0]);
    assert!(d <= if want[0].dtype.is_int() { 0.0 } else { 1e-5 }, "{what} on {chip}: {d} away from what was imported");
    lowered_deep(what, &made, chip, inputs, 0)
}

fn multiplies_bytes(c: &Call) -> bool {
    c.kernel.locals.iter().any(|b| b.space == beiming_ir::kernel::Space::L0C && b.dtype == I32)
}

#[test]
fn the_forms_of_importers() {
    let mut all = vec![];
    for chip in CHIPS {
        for (scaled, shape, x, w, zeros, turned) in [
            (false, [5, 40, 33], I8, I8, [Zero::None, Zero::None], false),
            (false, [17, 33, 20], U8, I8, [Zero::Constant(131), Zero::Constant(0)], false),
            (false, [1, 64, 16], U8, I8, [Zero::Open(7), Zero::None], false),
            (false, [3, 40, 18], I8, U8, [Zero::Open(-5), Zero::Constant(128)], false),
            (false, [9, 31, 7], U8, I8, [Zero::Constant(128), Zero::None], true),
            (true, [5, 40, 33], I8, I8, [Zero::None, Zero::None], false),
            (true, [17, 33, 20], U8, I8, [Zero::Constant(131), Zero::Constant(0)], false),
            (true, [31, 70, 19], U8, I8, [Zero::Open(200), Zero::None], true),
            (true, [2, 48, 32], I8, U8, [Zero::Constant(-3), Zero::Constant(128)], false),
        ] {
            let (g, inputs) = quantised(scaled, shape, x, w, zeros, turned);
            let what = format!("{} {shape:?} {x} {w} {zeros:?}", if scaled { "scaled" } else { "whole" });
            for g in [folded(&g), g] {
                let made = compiled(&what, &g, chip, &inputs);
                let native = made.iter().filter(|c| multiplies_bytes(c)).count();
                assert_eq!(native, usize::from(chip != "ascend310p3"), "{what} on {chip}");
                all.extend(made);
            }
        }
    }
    simulate(&all);
}

/// What no form of it holds exactly stays as it was, and is said.
#[test]
fn what_is_left() {
    let target = |chip| Target::ascend(chip, Target::kunpeng920()).expect("a known chip");
    for (what, chip, shape, w, zero) in [
        ("weights of nine bits", "ascend910b1", [4, 32, 8], U8, Zero::Constant(3)),
        ("sums that f32 does not hold", "ascend310p3", [4, 4000, 8], I8, Zero::None),
    ] {
        let (g, inputs) = quantised(false, shape, I8, w, [Zero::None, zero], false);
        let (made, _) = optimize(g.clone(), &target(chip), &OptimizeOptions::default()).unwrap_or_else(|e| panic!("{what}: {e}"));
        let [got, want] = [&made, &g].map(|g| eval::graph(g, &inputs).unwrap_or_else(|e| panic!("{what}: {e}")));
        assert_eq!(difference(&got[0], &want[0]), 0.0, "{what}");
        let options = beiming_passes::lower::LowerOptions::default();
        let (_, report) = beiming_passes::lower::lower_reported(&made, &target(chip), &options).unwrap_or_else(|e| panic!("{e}"));
        assert!(
            report.on_host.iter().any(|h| h.why.contains("products of i32 by i32 are not written")),
            "{what}: {:?}",
            report.on_host
        );
    }
}

/// What a reader of the emitted code sees.
#[test]
fn spelling() {
    for chip in SPLIT {
        let nodes = vec![product(), cast(F32, 0), bin(BinaryOp::Mul, 1, 102), (Op::Unary(UnaryOp::Sigmoid), vec![2])];
        let made = fused("scaled", &[(I8, &[300, 100]), (I8, &[100, 130]), (F32, &[130])], &[1], nodes, chip);
        let npu = Npu::by_name(chip).expect("a known chip");
        let text = beiming_ascend::emit::kernel(&made[0].kernel, &npu).expect("a spelling");
        insta::assert_snapshot!(format!("scaled_i8__{chip}"), text);
    }
}
