//! The text form: printing and parsing give the same IR back, for every op and for generated graphs and kernels, and a text
//! that is not IR is refused with the place.

use std::collections::BTreeSet;
use std::sync::Arc;

use beiming_ir::graph::{ConstId, Graph, Loc, RegionId, ValueId};
use beiming_ir::kernel::*;
use beiming_ir::ops::*;
use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::text::{Constants, normalize_kernel, parse_graph, parse_kernel, parse_program, print_graph, print_kernel};
use beiming_ir::types::{DType, Dim, Symbols, TensorType};
use proptest::prelude::*;

fn dim(s: &str) -> Dim {
    s.parse().expect("a dimension")
}

/// One or more of every variant, with every option of its payload.
fn every_op() -> Vec<Op> {
    let dims = || vec![dim("N"), dim("floordiv(4*N + 1, 2)"), dim("max(`a \"b`, 3)"), Dim::Known(7)];
    let conv = Conv { strides: vec![1, 2], dilations: vec![1, 1], pads: vec![(0, -1), (3, 3)], groups: 4 };
    let transposed = ConvTranspose { strides: vec![2], dilations: vec![1], pads: vec![(0, 1)], extra: vec![1], groups: 1 };
    let pool = |kind| Pool { kind, window: vec![2], strides: vec![2], dilations: vec![1], pads: vec![(0, 0)], ceil: true };
    let resize = |mode, coord| Resize {
        mode,
        coord,
        shape: dims(),
        scales: vec![None, Some(2.5.into())],
        roi: vec![(0.0.into(), 1.0.into())],
        antialias: true,
        exclude_outside: false,
        extrapolation: (-0.0).into(),
    };
    let body = Arc::new(Body {
        inputs: 2,
        nodes: vec![
            BodyNode { op: Op::MatMul { out: DType::F32 }, args: vec![Arg::Input(0), Arg::Input(1)] },
            BodyNode { op: Op::Reduce { op: ReduceOp::Sum, axes: vec![1], keep: true }, args: vec![Arg::Node(0)] },
        ],
    });
    let window_dims = || WindowDims {
        offsets: vec![3, 4],
        collapsed: vec![1],
        data_batch: vec![0],
        indices_batch: vec![1],
        map: vec![2, 1],
        index_dim: 3,
    };
    let mut ops = vec![
        Op::Constant(ConstId(0)),
        Op::DimValue { dims: dims() },
        Op::Iota { dtype: DType::I64, shape: dims(), axis: 1 },
        Op::Select,
        Op::Bitcast { to: DType::U32 },
        Op::MatMul { out: DType::F32 },
        Op::Conv(conv),
        Op::ConvTranspose(transposed),
        Op::ArgReduce { max: false, axis: 1, keep: true, last: false },
        Op::Cumulative(Cumulative { op: ReduceOp::Prod, axis: 0, exclusive: true, reverse: false }),
        Op::Softmax { axis: 1, log: true },
        Op::Norm { kind: NormKind::Layer, axis: 1, eps: 1e-5.into() },
        Op::Norm { kind: NormKind::Rms, axis: 1, eps: f64::INFINITY.into() },
        Op::Norm { kind: NormKind::Rms, axis: 1, eps: f64::from_bits(1).into() },
        Op::Reshape { shape: dims() },
        Op::Transpose { perm: vec![1, 0] },
        Op::Broadcast { shape: vec![] },
        Op::Slice(Slice { start: dims(), len: vec![Dim::Known(1)], step: vec![-1, i64::MIN] }),
        Op::DynamicSlice { shape: dims() },
        Op::Concat { axis: 3 },
        Op::Reverse { axes: vec![0, 2] },
        Op::Gather { axis: 1 },
        Op::GatherElements { axis: 0 },
        Op::GatherNd { batch: 2 },
        Op::Scatter(Scatter { mode: ScatterMode::Elements { axis: 1 }, reduce: None }),
        Op::Scatter(Scatter { mode: ScatterMode::Nd, reduce: Some(ReduceOp::Max) }),
        Op::TopK(TopK { k: dim("N"), axis: 1, largest: true }),
        Op::Nms(Nms { center: false, count: dim("boxes") }),
        Op::NonZero { count: dim("`non zero`") },
        Op::ReadDims(ReadDims { dims: vec![dim("`an extent`"), dim("s")], rule: DimRule::Bind }),
        Op::ReadDims(ReadDims { dims: vec![dim("2*N")], rule: DimRule::AtMost }),
        Op::Lstm(Lstm { direction: Direction::Bidirectional, hidden: 8, clip: Some(1.5.into()), input_forget: true }),
        Op::Gru(Gru { direction: Direction::Reverse, hidden: 8, clip: None, linear_before_reset: true }),
        Op::GatherWindow(GatherWindow { dims: window_dims(), sizes: dims(), sorted: true }),
        Op::ScatterWindow(ScatterWindow { dims: window_dims(), sorted: false, unique: true, region: RegionId(3) }),
        Op::ReduceWith { axes: vec![0, 2], region: RegionId(1) },
        Op::WindowReduce(WindowReduce {
            window: vec![3, 1],
            strides: vec![2, 1],
            base_dilations: vec![1, 2],
            window_dilations: vec![3, 1],
            pads: vec![(-1, 2), (0, 0)],
            region: RegionId(0),
        }),
        Op::SelectAndScatter(SelectAndScatter {
            window: vec![2],
            strides: vec![2],
            pads: vec![(0, -1)],
            select: RegionId(0),
            scatter: RegionId(1),
        }),
        Op::SortBy { axis: 1, stable: true, region: RegionId(0) },
        Op::Channel(Channel {
            kind: ChannelKind::Recv,
            channel: -1,
            host: true,
            config: "a \"b\"\n".into(),
            pairs: vec![vec![0, 1], vec![1, 0]],
            results: vec![TensorType::new(DType::F16, dims()), TensorType::scalar(DType::Bool)],
        }),
        Op::If(If { then_region: RegionId(0), else_region: RegionId(1) }),
        Op::Loop(beiming_ir::ops::Loop { body: RegionId(0), state: 2, trips: dim("T") }),
        Op::Fused(body.clone()),
        Op::Tiled { body, tile: Tile { mr: 6, nr: 16, mc: 72, nc: 256, kc: 512 } },
    ];
    let among = |kind| Collective { kind, groups: vec![vec![0, 2], vec![1, 3]], size: 4, channel: 1, global: true };
    let region = RegionId(0);
    ops.extend(
        [
            CollectiveKind::Gather { axis: 1 },
            CollectiveKind::Reduce { region },
            CollectiveKind::ReduceTo { region, root: true },
            CollectiveKind::ReduceScatter { axis: 0, region },
            CollectiveKind::Exchange { split: 0, concat: 1 },
            CollectiveKind::Permute,
            CollectiveKind::Broadcast { root: false },
        ]
        .map(|kind| Op::Collective(among(kind))),
    );
    ops.extend([ChannelKind::Send, ChannelKind::Infeed, ChannelKind::Outfeed].map(|kind| Op::Channel(Channel::new(kind))));
    ops.extend(UnaryOp::ALL.map(Op::Unary));
    ops.extend(BinaryOp::ALL.map(Op::Binary));
    ops.extend(DType::ALL.map(|to| Op::Cast { to }));
    ops.extend([PoolKind::Max, PoolKind::Avg { padded: true }, PoolKind::Lp { p: 3.0.into() }].map(|k| Op::Pool(pool(k))));
    let reducers = [ReduceOp::Sum, ReduceOp::Prod, ReduceOp::Max, ReduceOp::Min, ReduceOp::Mean, ReduceOp::All, ReduceOp::Any];
    ops.extend(reducers.map(|op| Op::Reduce { op, axes: vec![0, 1], keep: false }));
    let modes = [PadMode::Constant, PadMode::Reflect, PadMode::Edge, PadMode::Wrap];
    ops.extend(modes.map(|mode| Op::Pad { lo: vec![Dim::Known(-2)], hi: dims(), mode }));
    for nearest in [Nearest::RoundPreferFloor, Nearest::RoundPreferCeil, Nearest::Floor, Nearest::Ceil] {
        ops.push(Op::Resize(resize(ResizeMode::Nearest(nearest), Coord::Asymmetric)));
    }
    for coord in [
        Coord::HalfPixel,
        Coord::HalfPixelSymmetric,
        Coord::PytorchHalfPixel,
        Coord::AlignCorners,
        Coord::TfHalfPixelForNn,
        Coord::TfCropAndResize,
    ] {
        ops.push(Op::Resize(resize(ResizeMode::Linear, coord)));
        ops.push(Op::Resize(resize(ResizeMode::Cubic((-0.75).into()), coord)));
    }
    ops
}

/// The variant of an op; a new one does not compile until it is listed here, and is missed until it has an example.
fn variant(op: &Op) -> u32 {
    match op {
        Op::Constant(_) => 0,
        Op::DimValue { .. } => 1,
        Op::Iota { .. } => 2,
        Op::Unary(_) => 3,
        Op::Binary(_) => 4,
        Op::Select => 5,
        Op::Cast { .. } => 6,
        Op::Bitcast { .. } => 7,
        Op::MatMul { .. } => 8,
        Op::Conv(_) => 9,
        Op::ConvTranspose(_) => 10,
        Op::Pool(_) => 11,
        Op::Reduce { .. } => 12,
        Op::ArgReduce { .. } => 13,
        Op::Cumulative(_) => 14,
        Op::Softmax { .. } => 15,
        Op::Norm { .. } => 16,
        Op::Reshape { .. } => 17,
        Op::Transpose { .. } => 18,
        Op::Broadcast { .. } => 19,
        Op::Slice(_) => 20,
        Op::DynamicSlice { .. } => 21,
        Op::Pad { .. } => 22,
        Op::Concat { .. } => 23,
        Op::Reverse { .. } => 24,
        Op::Gather { .. } => 25,
        Op::GatherElements { .. } => 26,
        Op::GatherNd { .. } => 27,
        Op::Scatter(_) => 28,
        Op::Resize(_) => 29,
        Op::TopK(_) => 30,
        Op::Nms(_) => 31,
        Op::NonZero { .. } => 32,
        Op::Lstm(_) => 33,
        Op::Gru(_) => 34,
        Op::If(_) => 35,
        Op::Loop(_) => 36,
        Op::Fused(_) => 37,
        Op::Tiled { .. } => 38,
        Op::GatherWindow(_) => 39,
        Op::ScatterWindow(_) => 40,
        Op::ReduceWith { .. } => 41,
        Op::WindowReduce(_) => 42,
        Op::SelectAndScatter(_) => 43,
        Op::SortBy { .. } => 44,
        Op::Collective(_) => 45,
        Op::Channel(_) => 46,
        Op::ReadDims(_) => 47,
    }
}

fn assert_same(a: &Graph, b: &Graph) {
    assert_eq!((&a.name, &a.symbols, &a.inputs, &a.outputs), (&b.name, &b.symbols, &b.inputs, &b.outputs));
    assert_eq!(a.output_names, b.output_names);
    let nodes = |g: &Graph| {
        g.nodes().iter().map(|n| (n.op.clone(), n.inputs.clone(), n.outputs.clone(), n.loc.clone())).collect::<Vec<_>>()
    };
    assert_eq!(nodes(a), nodes(b));
    let values = |g: &Graph| g.values().iter().map(|v| (v.ty.clone(), v.def, v.name.clone())).collect::<Vec<_>>();
    assert_eq!(values(a), values(b));
    let consts = |g: &Graph| g.consts.iter().map(|t| (t.ty(), t.bytes().to_vec())).collect::<Vec<_>>();
    assert_eq!(consts(a), consts(b));
    assert_eq!(a.regions.len(), b.regions.len());
    a.regions.iter().zip(&b.regions).for_each(|(a, b)| assert_same(a, b));
}

fn round_trips(g: &Graph) -> String {
    let text = print_graph(g, Constants::Inline);
    let back = parse_graph(&text, &[]).unwrap_or_else(|e| panic!("{e}\n{text}"));
    assert_same(g, &back);
    assert_eq!(print_graph(&back, Constants::Inline), text);
    let mut side = vec![];
    let short = print_graph(g, Constants::External(&mut side));
    assert_same(g, &parse_graph(&short, &side).unwrap_or_else(|e| panic!("{e}\n{short}")));
    text
}

#[test]
fn every_op_round_trips() {
    let mut g = Graph::new("all", Symbols::default());
    let x = g.add_input("x", TensorType::new(DType::F32, [dim("N"), Dim::Known(3)]));
    let mut seen = BTreeSet::new();
    for op in every_op() {
        seen.insert(variant(&op));
        let name: Arc<str> = op.name().into();
        let loc = Loc { op: name, ..Loc::default() };
        g.push_typed(op, vec![x, x], vec![TensorType::scalar(DType::F32), TensorType::known(DType::Bool, &[0])], loc);
    }
    assert_eq!(seen.len(), 48, "an example of every variant");
    let text = round_trips(&g);
    assert!(text.contains("Conv(strides:[1,2],dilations:[1,1],pads:[(0,-1),(3,3)],groups:4) %0, %0 : f32[], bool[0]"), "{text}");
}

#[test]
fn constants_keep_their_bits() {
    let mut g = Graph::new("c", Symbols::default());
    for d in DType::ALL {
        for n in [0, 3, 100] {
            // Values of the type, and for those of whole bytes every bit pattern: NaN payloads, signed zeros.
            g.consts.push(Tensor::build(d, &[n], |i| {
                if d.is_float() { Num::Float(i as f64 / 3.0 - 1.0) } else { Num::Int(i as i128 * 77 - 9) }
            }));
            if d.bits() >= 8 {
                let bytes: Vec<u8> = (0..n * d.size()).map(|i| (i * 151 + 127) as u8).collect();
                g.consts.push(Tensor::new(d, vec![n, 1], bytes.into()).unwrap());
            }
        }
    }
    let f = |bits: &[u32]| {
        Tensor::new(DType::F32, vec![bits.len()], bits.iter().flat_map(|b| b.to_le_bytes()).collect::<Vec<_>>().into())
    };
    g.consts.extend(f(&[0x8000_0000, 0x7f80_0000, 0xff80_0000, 0x0000_0001, 0x3dcc_cccd]));
    g.consts.extend(f(&[0x7fc0_0000]));
    g.consts.extend(f(&[0xffc0_1234]));
    let text = round_trips(&g);
    assert!(text.contains("f32[5] = [-0.0, inf, -inf, 1e-45, 0.1]"), "{text}");
    assert!(text.contains("f32[1] = [NaN]") && text.contains("f32[1] = hex \"3412c0ff\""), "{text}");
}

#[test]
fn errors_show_the_place() {
    let e = parse_graph("graph \"g\" {\n  %0 = input \"x\" : f32[2]\n  %1 = Binary(Plus) %0, %0 : f32[2]\n}\n", &[]).unwrap_err();
    assert_eq!((e.line, e.column), (3, 15), "{e}");
    assert!(e.to_string().contains("\n  |   %1 = Binary(Plus) %0, %0 : f32[2]\n  |               ^"), "{e}");
    let rows = [
        ("graph", "1:6: expected a string, found the end"),
        ("graph \"g\" {\n  output \"y\" %3\n}", "2:14: %3 is not defined yet"),
        ("graph \"g\" {\n  %1 = input \"x\" : f32[]\n}", "2:3: %1 where %0 comes next"),
        ("graph \"g\" {\n  %0 = input \"x\" : f33[]\n}", "2:20: unknown element type `f33`"),
        ("graph \"g\" {\n  %0 = input \"x\" : f32[N +]\n}", "2:24: expected a dimension"),
        ("graph \"g\" {\n  const 0 : f32[3] = [1.0]\n}", "2:22: these are not as many bytes as f32[3] has"),
        ("graph \"g\" {\n  const 0 : f32[30] = blob 0..120\n}", "2:23: the blob has 0 bytes"),
        ("graph \"g", "1:7: unterminated quotes"),
        ("graph \"g\" {\n  dim N = 1..2\n  dim N = 1..2\n}", "3:7: symbol `N` has a range already"),
    ];
    for (text, want) in rows {
        let got = parse_graph(text, &[]).unwrap_err().to_string();
        assert!(got.starts_with(want), "{text}\n{got}");
    }
    let rows = [
        ("kernel k() {\n  i0 := 1 < 2 < 3\n}", "2:15: comparisons do not chain"),
        ("kernel k() {\n  %x[0] = 1\n}", "2:4: there is no buffer `%x`"),
        ("kernel k() {\n  for i0 < f(2) {\n", "2:12: `f` is no function and names no expression"),
        ("kernel k() {\n  t0 := (((1)\n}", "3:1: expected `)`, found `}`"),
    ];
    for (text, want) in rows {
        let got = parse_kernel(text).unwrap_err().to_string();
        assert!(got.starts_with(want), "{text}\n{got}");
    }
}

#[test]
fn deep_texts_are_refused() {
    let n = 100_000;
    for text in [
        format!("kernel k() {{ t0 := {}1", "(".repeat(n)),
        format!("kernel k() {{ t0 := {}1", "exp(".repeat(n)),
        format!("kernel k() {{ {}", "if true { ".repeat(n)),
        format!("kernel k() {{ param %x : f32[{}", "(".repeat(n)),
        format!("kernel k() {{ param %x : f32[{}1{}]", "(".repeat(n), ")".repeat(n)),
    ] {
        assert!(parse_kernel(&text).is_err());
    }
    assert!(parse_graph(&"graph \"\" { region 0 ".repeat(n), &[]).is_err());
    assert!(parse_graph(&format!("graph \"\" {{ _ = {}", "Fused((".repeat(n)), &[]).is_err());
    assert!(parse_program(&format!("program target ({}", "(".repeat(n)), &[]).is_err());
}

/// A long chain of additions, each used twice: printed with names, not as a tree of exponential size or depth.
#[test]
fn shared_expressions_are_named() {
    let mut k = Kernel { name: "chain".into(), ..Kernel::default() };
    k.params.push(Buffer { name: "y".into(), dtype: DType::I64, shape: vec![], space: Space::Memory, access: Access::Write });
    let mut e = k.expr(Expr::Const(Scalar { dtype: DType::I64, value: Num::Int(1) }));
    for _ in 0..5000 {
        e = k.expr(Expr::Binary(BinaryOp::Add, e, e));
    }
    for _ in 0..5000 {
        e = k.expr(Expr::Unary(UnaryOp::Neg, e));
    }
    k.body.push(Stmt::Vector { dst: Element { buffer: BufId(0), index: vec![], guard: None }, value: e, reduce: None });
    let text = print_kernel(&k);
    assert!(text.len() < 200_000, "{}", text.len());
    assert_eq!(parse_kernel(&text).unwrap(), k);
}

fn any_type() -> impl Strategy<Value = TensorType> {
    (
        0usize..DType::ALL.len(),
        prop::collection::vec(prop_oneof![(0i64..9).prop_map(Dim::from), Just(dim("N")), Just(dim("2*N - M"))], 0..4),
    )
        .prop_map(|(d, shape)| TensorType { dtype: DType::ALL[d], shape })
}

fn any_graph(depth: u32) -> BoxedStrategy<Graph> {
    let step = (
        any::<prop::sample::Index>(),
        prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        prop::collection::vec(any_type(), 1..3),
        any::<(String, String, String)>(),
        any::<bool>(),
    );
    let regions = if depth == 0 { Just(vec![]).boxed() } else { prop::collection::vec(any_graph(depth - 1), 0..3).boxed() };
    (
        any::<String>(),
        prop::collection::vec(step, 0..8),
        regions,
        prop::collection::vec((0usize..DType::ALL.len(), 0usize..40), 0..3),
    )
        .prop_map(|(name, steps, regions, consts)| {
            let ops = every_op();
            let mut g = Graph::new(&name, Symbols::default());
            g.symbols.declare("N", 1, i64::MAX);
            g.symbols.declare(&format!("s {name}"), 0, 7);
            for (op, args, types, (a, b, c), input) in steps {
                if input {
                    g.add_input(&a, types[0].clone());
                    continue;
                }
                let n = g.values().len();
                let args = args.iter().filter(|_| n > 0).map(|i| ValueId(i.index(n.max(1)) as u32)).collect();
                let loc = Loc::new(a.as_str(), b.as_str(), c);
                let outs = g.push_typed(ops[op.index(ops.len())].clone(), args, types, loc);
                g.value_mut(outs[0]).name = b.into();
                g.add_output(&a, outs[0]);
            }
            g.regions = regions;
            g.consts = consts.into_iter().map(|(d, n)| Tensor::build(DType::ALL[d], &[n], |i| Num::Int(i as i128 - 3))).collect();
            g
        })
        .boxed()
}

/// What to make an expression of: a choice, and where its arguments are among those before.
type Choice = (u8, [prop::sample::Index; 4], i64, u64);

fn expression((what, args, int, bits): &Choice, n: usize) -> Expr {
    let arg = |i: usize| ExprId(args[i].index(n.max(1)) as u32);
    let element = |guard| Element { buffer: BufId((*bits % 3) as u32), index: vec![arg(0), arg(1)], guard };
    let scalar = |dtype, value| Expr::Const(Scalar { dtype, value });
    match (n, what % 13) {
        (_, 0) => scalar(DType::I64, Num::Int((*int).into())),
        (_, 1) => scalar(DType::F32, Num::Float(f64::from_bits(*bits))),
        (_, 2) => scalar(DType::ALL[*bits as usize % DType::ALL.len()], Num::Int((*int % 3).into())),
        (_, 3) => Expr::Dim(Dim::sym("N") * Dim::Known(*int % 1000) + Dim::Known(4)),
        (0, _) | (_, 4) => Expr::Var(VarId((*bits % 9) as u32)),
        (_, 5) => Expr::Unary(UnaryOp::ALL[*bits as usize % 32], arg(0)),
        (_, 6) => Expr::Select(arg(0), arg(1), arg(2)),
        (_, 7) => Expr::Cast(DType::ALL[*bits as usize % DType::ALL.len()], arg(0)),
        (_, 8) => Expr::Bitcast(DType::ALL[*bits as usize % DType::ALL.len()], arg(0)),
        (_, 9) => Expr::Load(element((*bits & 4 > 0).then(|| arg(2))), (*bits & 8 > 0).then(|| arg(3))),
        _ => Expr::Binary(BinaryOp::ALL[*bits as usize % 21], arg(0), arg(1)),
    }
}

fn statement((what, args, int, bits): &Choice, n: usize, inner: Vec<Stmt>) -> Stmt {
    let arg = |i: usize| ExprId(args[i].index(n) as u32);
    let var = |i: u64| VarId(((bits >> 8) % 7 + i) as u32);
    let element =
        |b: u64, g: bool| Element { buffer: BufId((b % 3) as u32), index: vec![arg(1), arg(2)], guard: g.then(|| arg(3)) };
    let reduce = [None, Some(ReduceOp::Sum), Some(ReduceOp::Prod), Some(ReduceOp::Max), Some(ReduceOp::Min)];
    match what % 6 {
        0 => {
            use beiming_ir::kernel::Loop;
            let kind = [Loop::Serial, Loop::Unroll, Loop::Vector, Loop::Cores];
            Stmt::For { var: var(0), extent: arg(0), kind: kind[*bits as usize % 4], body: inner }
        }
        1 => Stmt::If { cond: arg(0), then: inner },
        2 => Stmt::Copy {
            vars: (0..bits % 3).map(|i| (var(i), arg(i as usize))).collect(),
            dst: element(*bits, bits & 4 > 0),
            src: element(*bits >> 1, bits & 8 > 0),
            fill: (bits & 16 > 0).then(|| arg(0)),
        },
        3 => Stmt::Mma {
            acc: BufId((bits % 3) as u32),
            i: var(0),
            j: var(1),
            k: var(2),
            depth: arg(0),
            a: element(*bits, bits & 4 > 0),
            b: element(*bits >> 1, bits & 8 > 0),
        },
        4 => Stmt::Wait {
            buffers: (0..bits % 3).map(|b| BufId(b as u32)).collect(),
            handover: (bits & 8 > 0).then_some(Handover {
                from: Pipe::Mte2,
                to: Pipe::V,
                signal: bits & 16 > 0,
                flag: (bits & 32 > 0).then_some(3),
            }),
            reason: format!("wait  {int}\n"),
        },
        _ => Stmt::Vector { dst: element(*bits, bits & 4 > 0), value: arg(0), reduce: reduce[*bits as usize % 5] },
    }
}

fn any_kernel() -> impl Strategy<Value = Kernel> {
    let choice = || (any::<u8>(), any::<[prop::sample::Index; 4]>(), any::<i64>(), any::<u64>());
    (
        prop::collection::vec(choice(), 1..60),
        prop::collection::vec((choice(), 0u8..3), 0..12),
        any::<bool>(),
        0u32..4,
        any::<String>(),
    )
        .prop_map(|(exprs, stmts, share, extra, op)| {
            let mut k = Kernel { name: "k".into(), ops: vec![op], symbols: vec!["N".into(), "a b".into()], ..Kernel::default() };
            k.npu = (extra == 1).then(|| OnNpu { unit: Unit::Mix, copies: vec![2], workspace: Some(1) });
            for (i, access) in [Access::Read, Access::Write, Access::ReadWrite].into_iter().enumerate() {
                let space = if i == 2 { Space::L0C } else { Space::Memory };
                let b = Buffer { name: format!("b{i}"), dtype: DType::F16, shape: vec![dim("N"), dim("2")], space, access };
                if i == 2 { k.locals.push(b) } else { k.params.push(b) }
            }
            k.grid = vec![dim("N"), dim("floordiv(N, 3)")];
            for c in &exprs {
                let e = expression(c, k.exprs.len());
                if share {
                    k.expr(e);
                } else {
                    k.exprs.push(e);
                }
            }
            let n = k.exprs.len();
            let mut open: Vec<Stmt> = vec![];
            for (c, take) in &stmts {
                let from = open.len() - (*take as usize).min(open.len());
                let inner = if c.0 % 6 < 2 { open.split_off(from) } else { vec![] };
                open.push(statement(c, n, inner));
            }
            k.body = open;
            k.vars = 9 + extra;
            k
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn graphs_round_trip(g in any_graph(2)) {
        round_trips(&g);
    }

    #[test]
    fn kernels_round_trip(k in any_kernel()) {
        let text = print_kernel(&k);
        let back = parse_kernel(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
        prop_assert_eq!(&back, &k, "{}", text);
        prop_assert_eq!(print_kernel(&back), text);
        let n = normalize_kernel(k);
        let text = print_kernel(&n);
        prop_assert!(!text.contains("\n  raw\n"), "{}", text);
        prop_assert_eq!(&normalize_kernel(n.clone()), &n, "{}", text);
    }

    #[test]
    fn no_text_panics(text in "[a-z0-9%(){}\\[\\]:=.,<>\"`\\\\\n/@#é -]{0,80}") {
        let _ = (parse_graph(&text, &[]), parse_kernel(&text), parse_program(&text, &[]));
        let _ = parse_kernel(&format!("kernel k() {{ {text}"));
        let _ = parse_graph(&format!("graph \"\" {{ {text}"), &[]);
        let _ = text.parse::<Dim>();
    }
}
