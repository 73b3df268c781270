//! `optimize` end to end: the meaning stays, chains fuse, transposes go, and the work is linear.
#![allow(clippy::unwrap_used)]

use beiming_ir::eval;
use beiming_ir::graph::{Graph, Loc, ValueId};
use beiming_ir::ops::{BinaryOp, Conv, DimRule, NormKind, Op, ReadDims, ReduceOp, UnaryOp};
use beiming_ir::target::Target;
use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::types::{DType, Dim, Symbols, TensorType};
use beiming_passes::report::Stop;
use beiming_passes::saturate::rules::example::Gen;
use beiming_passes::{OptimizeOptions, Report, optimize};

/// A graph under construction.
struct Build {
    g: Graph,
    rng: Gen,
}

impl Build {
    fn new() -> Build {
        Build { g: Graph::new("test", Symbols::default()), rng: Gen::new(7) }
    }

    fn input(&mut self, shape: &[usize]) -> ValueId {
        self.g.add_input("x", TensorType::known(DType::F32, shape))
    }

    fn op(&mut self, op: Op, inputs: &[ValueId]) -> ValueId {
        self.g.push1(op, inputs, &Loc::default()).unwrap()
    }

    fn weights(&mut self, shape: &[usize]) -> ValueId {
        let n: usize = shape.iter().product();
        // Small, so that deep chains neither vanish nor overflow.
        let t = self.rng.numbers(shape);
        let scale = 0.7 / (n as f64).sqrt();
        let t = Tensor::build(DType::F32, shape, |i| Num::Float(t.get(i).to_f64() * scale));
        self.g.constant(t, &Loc::default())
    }

    fn scalar(&mut self, v: f64) -> ValueId {
        self.g.constant(Tensor::scalar(DType::F32, Num::Float(v)), &Loc::default())
    }

    fn unary(&mut self, u: UnaryOp, x: ValueId) -> ValueId {
        self.op(Op::Unary(u), &[x])
    }

    fn binary(&mut self, b: BinaryOp, x: ValueId, y: ValueId) -> ValueId {
        self.op(Op::Binary(b), &[x, y])
    }

    fn transpose(&mut self, perm: &[usize], x: ValueId) -> ValueId {
        self.op(Op::Transpose { perm: perm.to_vec() }, &[x])
    }

    fn reshape(&mut self, shape: &[usize], x: ValueId) -> ValueId {
        self.op(Op::Reshape { shape: shape.iter().map(|&d| Dim::from(d)).collect() }, &[x])
    }

    fn relu(&mut self, x: ValueId) -> ValueId {
        let zero = self.scalar(0.0);
        self.binary(BinaryOp::Max, x, zero)
    }

    /// A channels-first convolution as the importer writes it, with its bias.
    fn conv(&mut self, x: ValueId, c: usize, o: usize, k: usize, groups: usize) -> ValueId {
        let w = self.weights(&[o, c / groups, k, k]);
        let w = self.transpose(&[2, 3, 1, 0], w);
        let x = self.transpose(&[0, 2, 3, 1], x);
        let p = (k / 2) as i64;
        let conv = Conv { strides: vec![1, 1], dilations: vec![1, 1], pads: vec![(p, p); 2], groups };
        let y = self.op(Op::Conv(conv), &[x, w]);
        let b = self.weights(&[o]);
        let y = self.binary(BinaryOp::Add, y, b);
        self.transpose(&[0, 3, 1, 2], y)
    }

    fn linear(&mut self, x: ValueId, i: usize, o: usize) -> ValueId {
        let (w, b) = (self.weights(&[i, o]), self.weights(&[o]));
        let y = self.op(Op::MatMul { out: DType::F32 }, &[x, w]);
        self.binary(BinaryOp::Add, y, b)
    }

    fn layer_norm(&mut self, x: ValueId, n: usize) -> ValueId {
        let mean = |b: &mut Build, x| b.op(Op::Reduce { op: ReduceOp::Mean, axes: vec![2], keep: true }, &[x]);
        let m = mean(self, x);
        let d = self.binary(BinaryOp::Sub, x, m);
        let two = self.scalar(2.0);
        let s = self.binary(BinaryOp::Pow, d, two);
        let v = mean(self, s);
        let eps = self.scalar(1e-5);
        let v = self.binary(BinaryOp::Add, v, eps);
        let v = self.unary(UnaryOp::Sqrt, v);
        let y = self.binary(BinaryOp::Div, d, v);
        let (w, b) = (self.weights(&[n]), self.weights(&[n]));
        let y = self.binary(BinaryOp::Mul, y, w);
        self.binary(BinaryOp::Add, y, b)
    }

    fn done(mut self, y: ValueId) -> Graph {
        self.g.add_output("y", y);
        self.g
    }
}

fn run(g: &Graph) -> (Graph, Report) {
    optimize(g.clone(), &Target::x86_64_v4(), &OptimizeOptions::default()).unwrap()
}

/// Optimises, compares the meaning, and returns the result.
fn check(g: &Graph, tolerance: f64) -> (Graph, Report) {
    let (h, report) = run(g);
    let mut rng = Gen::new(99);
    let x: Vec<Tensor> = g.inputs.iter().map(|v| rng.numbers(&g.ty(*v).static_shape().unwrap())).collect();
    let (want, got) = (eval::graph(g, &x).unwrap(), eval::graph(&h, &x).unwrap_or_else(|e| panic!("{e}\n{h:#?}")));
    assert_eq!(want.len(), got.len());
    for (w, g) in want.iter().zip(&got) {
        assert_eq!(w.ty(), g.ty());
        for (a, b) in w.to_f64().into_iter().zip(g.to_f64()) {
            assert!((a - b).abs() <= tolerance * a.abs().max(1.0) || a.is_nan() && b.is_nan(), "{a} became {b}\n{report}");
        }
    }
    (h, report)
}

/// Names of the ops that are kernels, constants and aliases left out; a group by its ops.
fn kernels(g: &Graph) -> Vec<String> {
    let name = |op: &Op| match op {
        Op::Fused(b) => b.nodes.iter().map(|n| n.op.name()).collect::<Vec<_>>().join("+"),
        op => op.name(),
    };
    let free = |op: &Op| matches!(op, Op::Constant(_) | Op::Reshape { .. });
    g.nodes().iter().filter(|n| !free(&n.op)).map(|n| name(&n.op)).collect()
}

#[test]
fn a_residual_network_has_one_kernel_a_convolution() {
    let mut b = Build::new();
    let x = b.input(&[1, 8, 6, 6]);
    let mut y = x;
    for i in 0..64 {
        let c = b.conv(y, 8, 8, 3, 1);
        let c = if i % 2 == 1 { b.binary(BinaryOp::Add, c, y) } else { c };
        y = b.relu(c);
    }
    let y = b.op(Op::Reduce { op: ReduceOp::Mean, axes: vec![2, 3], keep: true }, &[y]);
    let y = b.reshape(&[1, 8], y);
    let y = b.linear(y, 8, 5);
    let g = b.done(y);
    let (h, report) = check(&g, 1e-4);
    let k = kernels(&h);
    assert_eq!(k.iter().filter(|k| k.starts_with("conv+add")).count(), 64, "{k:#?}");
    assert_eq!(k.iter().filter(|k| *k == "conv+add+add+max").count(), 32);
    // The transpose of the model's input is the only one, and a kernel of its own since the channels are many.
    assert_eq!(k.iter().filter(|k| k.contains("transpose")).count(), 1, "{k:#?}");
    assert_eq!(k.len(), 64 + 3, "{k:#?}");
    assert!(report.saturations.iter().all(|s| s.stop == Stop::Saturated), "{report}");
    for s in &report.saturations {
        assert!(s.growth.last().unwrap() <= &(s.growth[0] * 4), "{s}");
    }
}

#[test]
fn squeeze_and_excite_keeps_one_layout() {
    let mut b = Build::new();
    let x = b.input(&[1, 3, 8, 8]);
    let y = b.conv(x, 3, 8, 3, 1);
    let s = b.unary(UnaryOp::Sigmoid, y);
    let y = b.binary(BinaryOp::Mul, y, s);
    let y = b.conv(y, 8, 8, 3, 8);
    let pooled = b.op(Op::Reduce { op: ReduceOp::Mean, axes: vec![2, 3], keep: true }, &[y]);
    let s = b.conv(pooled, 8, 2, 1, 1);
    let s = b.relu(s);
    let s = b.conv(s, 2, 8, 1, 1);
    let s = b.unary(UnaryOp::Sigmoid, s);
    let y = b.binary(BinaryOp::Mul, y, s);
    let y = b.conv(y, 8, 4, 1, 1);
    let y = b.transpose(&[0, 2, 3, 1], y);
    let g = b.done(y);
    let (h, _) = check(&g, 1e-5);
    let want =
        ["transpose+conv+add+sigmoid+mul", "conv+add", "reduce_mean", "conv+add+max", "conv+add+sigmoid", "mul", "conv+add"];
    assert_eq!(kernels(&h), want);
}

#[test]
fn hard_swish_chains_fuse_into_their_convolutions() {
    let mut b = Build::new();
    let mut y = b.input(&[1, 4, 5, 5]);
    for _ in 0..6 {
        let c = b.conv(y, 4, 4, 1, 1);
        let (three, six, zero) = (b.scalar(3.0), b.scalar(6.0), b.scalar(0.0));
        let t = b.binary(BinaryOp::Add, c, three);
        let t = b.binary(BinaryOp::Max, t, zero);
        let t = b.binary(BinaryOp::Min, t, six);
        let t = b.binary(BinaryOp::Div, t, six);
        y = b.binary(BinaryOp::Mul, c, t);
    }
    let g = b.done(y);
    let (h, _) = check(&g, 1e-5);
    let k = kernels(&h);
    // One layout change in front (a stem reads through it), one behind.
    assert_eq!(k.len(), 7, "{k:#?}");
    assert!(k[..6].iter().all(|k| k.contains("conv+add+add+max+min+mul+mul")), "{k:#?}");
    assert_eq!(k[6], "transpose");
}

fn transformer(layers: usize, s: usize, n: usize, heads: usize) -> Graph {
    let mut b = Build::new();
    let mut x = b.input(&[1, s, n]);
    for _ in 0..layers {
        let y = b.layer_norm(x, n);
        let split = |b: &mut Build, y: ValueId| {
            let y = b.linear(y, n, n);
            let y = b.reshape(&[1, s, heads, n / heads], y);
            b.transpose(&[0, 2, 1, 3], y)
        };
        let (q, k, v) = (split(&mut b, y), split(&mut b, y), split(&mut b, y));
        let k = b.transpose(&[0, 1, 3, 2], k);
        let scores = b.op(Op::MatMul { out: DType::F32 }, &[q, k]);
        let root = b.scalar(((n / heads) as f64).sqrt());
        let scores = b.binary(BinaryOp::Div, scores, root);
        let p = b.op(Op::Softmax { axis: 3, log: false }, &[scores]);
        let y = b.op(Op::MatMul { out: DType::F32 }, &[p, v]);
        let y = b.transpose(&[0, 2, 1, 3], y);
        let y = b.reshape(&[1, s, n], y);
        let y = b.linear(y, n, n);
        x = b.binary(BinaryOp::Add, x, y);
        let y = b.layer_norm(x, n);
        let y = b.linear(y, n, 4 * n);
        // GELU as exporters write it.
        let root2 = b.scalar(std::f64::consts::SQRT_2);
        let e = b.binary(BinaryOp::Div, y, root2);
        let e = b.unary(UnaryOp::Erf, e);
        let one = b.scalar(1.0);
        let e = b.binary(BinaryOp::Add, e, one);
        let y = b.binary(BinaryOp::Mul, y, e);
        let half = b.scalar(0.5);
        let y = b.binary(BinaryOp::Mul, y, half);
        let y = b.linear(y, 4 * n, n);
        x = b.binary(BinaryOp::Add, x, y);
    }
    b.done(x)
}

#[test]
fn a_transformer_layer_becomes_few_kernels() {
    let (h, _) = check(&transformer(1, 6, 8, 2), 1e-4);
    let k = kernels(&h);
    let count = |what: &str| k.iter().filter(|k| k.split('+').any(|p| p == what)).count();
    assert_eq!(count("layer_norm"), 2, "{k:#?}");
    assert_eq!(count("softmax"), 1);
    assert!(k.iter().all(|k| k != "transpose"), "{k:#?}");
    assert!(k.iter().any(|k| k.starts_with("matmul+add") && k.contains("erf")), "{k:#?}");
    assert!(k.len() <= 11, "{k:#?}");
}

#[test]
fn residuals_fuse_through_flattened_products() {
    // Exporters that know only two-dimensional products put reshapes around each.
    let mut b = Build::new();
    let x = b.input(&[1, 6, 8]);
    let mut y = b.unary(UnaryOp::Tanh, x);
    for _ in 0..6 {
        let n = b.layer_norm(y, 8);
        let n = b.reshape(&[6, 8], n);
        let m = b.linear(n, 8, 8);
        let m = b.reshape(&[1, 6, 8], m);
        y = b.binary(BinaryOp::Add, m, y);
    }
    let g = b.done(y);
    let (h, _) = check(&g, 1e-4);
    let k = kernels(&h);
    assert_eq!(k.iter().filter(|k| *k == "matmul+add+add").count(), 6, "{k:#?}");
    assert_eq!(k.len(), 13, "{k:#?}");
}

#[test]
fn layer_norm_is_one_kernel() {
    let mut b = Build::new();
    let x = b.input(&[2, 3, 16]);
    let y = b.layer_norm(x, 16);
    let g = b.done(y);
    let (h, _) = check(&g, 1e-5);
    assert_eq!(kernels(&h), ["layer_norm+mul+add"]);
    let norm = h.nodes().iter().find_map(|n| match &n.op {
        Op::Fused(body) => body.nodes.first().map(|n| n.op.clone()),
        _ => None,
    });
    assert!(matches!(norm, Some(Op::Norm { kind: NormKind::Layer, axis: 2, eps }) if eps.get() as f32 == 1e-5));
}

#[test]
fn optimising_is_deterministic_and_settles() {
    for g in [transformer(2, 6, 8, 2), random(3)] {
        let ((a, ra), (b, rb)) = (run(&g), run(&g));
        assert_eq!(format!("{a:?}"), format!("{b:?}"));
        assert_eq!(ra.to_string(), rb.to_string());
        let (again, _) = run(&a);
        assert_eq!(kernels(&a).len(), kernels(&again).len());
    }
}

/// A random graph of small ops over rank-3 tensors of one shape.
fn random(seed: u64) -> Graph {
    let mut b = Build::new();
    b.rng = Gen::new(seed);
    let shape = [2, 3, 4];
    let mut values = vec![b.input(&shape), b.input(&shape)];
    for _ in 0..14 {
        let pick = |b: &mut Build, v: &[ValueId]| v[b.rng.below(v.len())];
        let (x, y) = (pick(&mut b, &values), pick(&mut b, &values));
        let v = match b.rng.below(12) {
            0 => b.unary(UnaryOp::Tanh, x),
            1 => b.unary(UnaryOp::Neg, x),
            2 | 3 => b.binary(BinaryOp::Add, x, y),
            4 => b.binary(BinaryOp::Max, x, y),
            5 => {
                let p = b.rng.perm(3);
                let t = b.transpose(&p, x);
                let s = b.unary(UnaryOp::Sin, t);
                b.transpose(&beiming_passes::layout::inverse(&p), s)
            }
            6 => {
                let r = b.reshape(&[6, 4], x);
                let w = b.weights(&[4, 4]);
                let m = b.op(Op::MatMul { out: DType::F32 }, &[r, w]);
                b.reshape(&shape, m)
            }
            7 => {
                let axis = b.rng.below(3);
                b.op(Op::Softmax { axis, log: false }, &[x])
            }
            8 => {
                let axes = vec![b.rng.below(3)];
                let m = b.op(Op::Reduce { op: ReduceOp::Mean, axes, keep: true }, &[x]);
                b.binary(BinaryOp::Sub, y, m)
            }
            9 => {
                let axes = vec![b.rng.below(3)];
                b.op(Op::Reverse { axes }, &[x])
            }
            10 => {
                let axis = b.rng.below(3);
                let c = b.op(Op::Concat { axis }, &[x, y]);
                let (mut len, mut start) = (shape.map(Dim::from).to_vec(), vec![Dim::from(0); 3]);
                start[axis] = Dim::from(b.rng.below(shape[axis] + 1));
                len[axis] = Dim::from(shape[axis]);
                b.op(Op::Slice(beiming_ir::ops::Slice { start, len, step: vec![1; 3] }), &[c])
            }
            _ => {
                let s = b.scalar(0.5);
                b.binary(BinaryOp::Mul, x, s)
            }
        };
        values.push(v);
    }
    let n = values.len();
    for (i, v) in values[n - 3..].iter().enumerate() {
        b.g.add_output(&format!("y{i}"), *v);
    }
    b.g
}

#[test]
fn random_graphs_keep_their_meaning() {
    for seed in 0..120 {
        check(&random(seed), 1e-4);
    }
}

#[test]
fn large_graphs_take_linear_work() {
    let g = transformer(24, 4, 8, 2);
    assert!(g.nodes().len() > 1000);
    let (h, report) = run(&g);
    assert!(kernels(&h).len() <= 24 * 11);
    for s in &report.saturations {
        assert_eq!(s.stop, Stop::Saturated, "{s}");
        assert!(s.growth.last().unwrap() <= &(s.growth[0] * 4), "{s}");
        assert!(s.growth.len() <= 9, "{s}");
    }
}

/// Attention as `jax.nn.dot_product_attention` writes it: an axis of extent one for a group of heads, which softmax's sums see in
/// another place than its product; the values' product turned around.
#[test]
fn attention_behind_axes_of_extent_one() {
    let mut b = Build::new();
    let [q, k, v] = [0; 3].map(|_| b.input(&[1, 16, 4, 8]));
    let q = b.op(Op::Transpose { perm: vec![0, 2, 1, 3] }, &[q]);
    let k = b.op(Op::Transpose { perm: vec![0, 2, 3, 1] }, &[k]);
    let s = b.op(Op::MatMul { out: DType::F32 }, &[q, k]);
    let s = b.reshape(&[1, 4, 16, 1, 16], s);
    let m = b.op(Op::Reduce { op: ReduceOp::Max, axes: vec![4], keep: false }, &[s]);
    let m = b.reshape(&[1, 1, 4, 16, 1], m);
    let s = b.op(Op::Transpose { perm: vec![3, 0, 1, 2, 4] }, &[s]);
    let d = b.binary(BinaryOp::Sub, s, m);
    let e = b.unary(UnaryOp::Exp, d);
    let n = b.op(Op::Reduce { op: ReduceOp::Sum, axes: vec![4], keep: true }, &[e]);
    let p = b.binary(BinaryOp::Div, e, n);
    let v = b.op(Op::Transpose { perm: vec![0, 2, 3, 1] }, &[v]);
    let p = b.op(Op::Transpose { perm: vec![1, 2, 4, 0, 3] }, &[p]);
    let p = b.reshape(&[1, 4, 16, 16], p);
    let y = b.op(Op::MatMul { out: DType::F32 }, &[v, p]);
    let y = b.reshape(&[1, 4, 8, 1, 16], y);
    let y = b.op(Op::Transpose { perm: vec![3, 0, 4, 1, 2] }, &[y]);
    let y = b.op(Op::Transpose { perm: vec![1, 2, 3, 0, 4] }, &[y]);
    let y = b.reshape(&[1, 16, 4, 8], y);
    let g = b.done(y);
    let (h, report) = check(&g, 1e-4);
    assert_eq!(kernels(&h), ["transpose+transpose+matmul", "softmax", "transpose+matmul", "transpose"], "{report}");
}

#[test]
fn deep_chains_fuse_in_bounded_kernels() {
    let mut b = Build::new();
    let mut y = b.input(&[64]);
    for i in 0..2000 {
        let c = b.scalar(0.5 + f64::from(i % 7));
        y = if i % 2 == 0 { b.binary(BinaryOp::Add, y, c) } else { b.unary(UnaryOp::Sin, y) };
    }
    let g = b.done(y);
    let (h, _) = check(&g, 1e-4);
    assert!((2000 / 256..2000 / 128).contains(&kernels(&h).len()), "{}", kernels(&h).len());
}

#[test]
fn symbolic_layer_norm_is_one_kernel() {
    let mut b = Build::new();
    let shape = vec![Dim::sym("N"), "floordiv(120*N*T + 120*N, 120*N)".parse().unwrap(), Dim::from(120)];
    let x = b.g.add_input("x", TensorType::new(DType::F32, shape));
    let y = b.unary(UnaryOp::Tanh, x);
    let z = b.layer_norm(y, 120);
    let z = b.binary(BinaryOp::Add, y, z);
    let g = b.done(z);
    let (h, report) = run(&g);
    assert_eq!(kernels(&h), ["tanh", "layer_norm+mul+add+add"], "{report}");
}

/// Symbols that nodes give values to stand in types and payloads that do not depend on those nodes otherwise.
#[test]
fn what_tells_extents_stays_and_stays_first() {
    let mut symbols = Symbols::default();
    symbols.declare("s", 0, 9);
    symbols.declare("found", 0, 6);
    let mut b = Build { g: Graph::new("test", symbols), rng: Gen::new(7) };
    let x = b.input(&[6]);
    let n = b.g.add_input("n", TensorType::known(DType::I64, &[1]));
    let sym = |name: &str| vec![Dim::sym(name)];
    b.op(Op::NonZero { count: Dim::sym("found") }, &[x]);
    let one = b.scalar(1.0);
    let ones = b.op(Op::Broadcast { shape: sym("found") }, &[one]);
    let m = b.op(Op::Binary(BinaryOp::Add), &[n, n]);
    b.op(Op::ReadDims(ReadDims { dims: sym("s"), rule: DimRule::Bind }), &[m]);
    b.op(Op::ReadDims(ReadDims { dims: vec![8.into()], rule: DimRule::AtMost }), &[m]);
    let count = b.op(Op::Iota { dtype: DType::F32, shape: sym("s"), axis: 0 }, &[]);
    let e = b.unary(UnaryOp::Exp, count);
    let sum = b.op(Op::Reduce { op: ReduceOp::Sum, axes: vec![0], keep: false }, &[e]);
    let all = b.binary(BinaryOp::Add, ones, sum);
    b.g.add_output("all", all);
    b.g.add_output("e", e);
    let g = beiming_ir::verify::graph(b.g).unwrap().into_inner();
    let (o, _) = optimize(g.clone(), &Target::x86_64_v4(), &OptimizeOptions::default()).unwrap();
    let o = beiming_ir::verify::graph(o).unwrap().into_inner();
    assert_eq!(o.nodes().iter().filter(|n| matches!(n.op, Op::ReadDims(_))).count(), 2);
    let x = Tensor::f32(&[6], &[0.0, 1.0, 0.0, 2.0, 3.0, 0.0]);
    for n in 0..=4i64 {
        let inputs = [x.clone(), Tensor::i64(&[1], &[n])];
        let (want, got) = (eval::graph(&g, &inputs).unwrap(), eval::graph(&o, &inputs).unwrap());
        assert_eq!((want[0].shape.as_slice(), want[1].shape.as_slice()), (&[3][..], &[2 * n as usize][..]));
        for (w, g) in want.iter().zip(&got) {
            let (w, g) = (w.to_f64(), g.to_f64());
            assert!(w.len() == g.len() && w.iter().zip(&g).all(|(a, b)| (a - b).abs() <= 1e-5 * a.abs()), "{w:?} {g:?}");
        }
    }
    let e = eval::graph(&o, &[x, Tensor::i64(&[1], &[5])]).unwrap_err().to_string();
    assert!(e.contains("`s` is 10"), "{e}");
}
