//! Ops with scalar functions: reductions, windows, sorts, gathers and scatters, against `eval` of the graph.

use beiming_ir::graph::{Graph, Loc, RegionId, ValueId};
use beiming_ir::ops::{BinaryOp, GatherWindow, Op, ScatterWindow, SelectAndScatter, WindowDims, WindowReduce};
use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::types::{
    DType::{self, BF16, Bool, F16, F32, F64, I8, I16, I32, I64, U8, U16, U32, U64},
    Symbols, TensorType,
};
use proptest::prelude::*;

use crate::check::{agree, agree_on, dims, graph, push, random, ty};

/// Adds a region over scalars of these types; `make` gives its results.
fn region(g: &mut Graph, types: &[DType], make: impl Fn(&mut Graph, &[ValueId]) -> Vec<ValueId>) -> RegionId {
    let mut r = Graph::new("f", Symbols::default());
    let inputs: Vec<ValueId> = types.iter().map(|d| r.add_input("", TensorType::scalar(*d))).collect();
    for v in make(&mut r, &inputs) {
        r.add_output("", v);
    }
    g.add_region(r)
}

/// Adds a region of one op over pairs of scalars.
fn pair(g: &mut Graph, op: BinaryOp, dtype: DType) -> RegionId {
    region(g, &[dtype; 2], |r, v| vec![push(r, Op::Binary(op), &v[..2])])
}

/// `a * 2 - b`: neither associative nor commutative.
fn odd(g: &mut Graph, dtype: DType) -> RegionId {
    region(g, &[dtype; 2], |r, v| {
        let twice = push(r, Op::Binary(BinaryOp::Add), &[v[0], v[0]]);
        vec![push(r, Op::Binary(BinaryOp::Sub), &[twice, v[1]])]
    })
}

/// The larger value and its index, as JAX writes it: NaN counts as the largest, the first of equal ones is kept.
fn arg_max(g: &mut Graph, value: DType, index: DType) -> RegionId {
    region(g, &[value, index, value, index], |r, v| {
        let [a, i, b, j] = [v[0], v[1], v[2], v[3]];
        let mut op = |op, x, y| push(r, Op::Binary(op), &[x, y]);
        let (gt, nan) = (op(BinaryOp::Gt, a, b), op(BinaryOp::Ne, a, a));
        let first = op(BinaryOp::Or, gt, nan);
        let (eq, lt) = (op(BinaryOp::Eq, a, b), op(BinaryOp::Lt, i, j));
        let tie = op(BinaryOp::And, eq, lt);
        let keep = op(BinaryOp::Or, first, tie);
        vec![push(r, Op::Select, &[first, a, b]), push(r, Op::Select, &[keep, i, j])]
    })
}

fn outputs(g: &mut Graph, op: Op, inputs: &[ValueId]) {
    for v in g.push(op, inputs, &Loc::default()).unwrap_or_else(|e| panic!("{e}")) {
        g.add_output("", v);
    }
}

#[test]
fn reductions_by_any_function() {
    for shape in ["7", "5 33", "3 4 40", "130 2"] {
        let rank = dims(shape).len();
        for mask in 0..1usize << rank {
            let axes: Vec<usize> = (0..rank).filter(|a| mask >> a & 1 == 1).collect();
            let mut g = graph(&[]);
            let (x, i) = (g.add_input("x", ty(I32, shape)), g.add_input("i", ty(I32, "")));
            let region = odd(&mut g, I32);
            outputs(&mut g, Op::ReduceWith { axes: axes.clone(), region }, &[x, i]);
            agree(&g, &[]);
            let mut g = graph(&[]);
            let inputs = [(F32, shape), (I64, shape), (F32, ""), (I64, "")].map(|(d, s)| g.add_input("x", ty(d, s)));
            let region = arg_max(&mut g, F32, I64);
            outputs(&mut g, Op::ReduceWith { axes, region }, &inputs);
            agree(&g, &[]);
        }
    }
}

#[test]
fn reductions_of_every_type_and_of_symbols() {
    for dtype in [F64, F16, BF16, I8, I16, I64, U8, U16, U32, U64] {
        let mut g = graph(&[("N", 0, 40), ("C", 1, 100)]);
        let (x, i) = (g.add_input("x", ty(dtype, "N C 2")), g.add_input("i", ty(dtype, "")));
        for op in [BinaryOp::Add, BinaryOp::Max] {
            let region = pair(&mut g, op, dtype);
            outputs(&mut g, Op::ReduceWith { axes: vec![0], region }, &[x, i]);
        }
        for (n, c) in [(0, 5), (5, 17)] {
            agree(&g, &[("N", n), ("C", c)]);
        }
    }
    let mut g = graph(&[]);
    let (x, i) = (g.add_input("x", ty(Bool, "6 9")), g.add_input("i", ty(Bool, "")));
    for op in [BinaryOp::And, BinaryOp::Or, BinaryOp::Xor] {
        let region = pair(&mut g, op, Bool);
        outputs(&mut g, Op::ReduceWith { axes: vec![1], region }, &[x, i]);
    }
    agree(&g, &[]);
}

fn window(region: RegionId, rank: usize) -> WindowReduce {
    let ones = vec![1; rank];
    let [window, strides, base_dilations, window_dilations] = std::array::from_fn(|_| ones.clone());
    WindowReduce { window, strides, base_dilations, window_dilations, pads: vec![(0, 0); rank], region }
}

#[test]
fn windows_along_any_axes() {
    type Fill<'a> = &'a dyn Fn(&mut WindowReduce);
    let cases: [(&str, Fill); 7] = [
        ("9", &|p| (p.window, p.pads) = (vec![9], vec![(8, 0)])),
        ("2 8 8 5", &|p| {
            (p.window, p.strides, p.pads) = (vec![1, 3, 3, 1], vec![1, 2, 2, 1], vec![(0, 0), (1, 1), (0, 1), (0, 0)])
        }),
        ("2 5 8 8", &|p| (p.window, p.strides) = (vec![1, 1, 2, 2], vec![1, 1, 2, 2])),
        ("6 7", &|p| (p.window, p.base_dilations, p.pads) = (vec![2, 3], vec![2, 3], vec![(1, 0), (-1, 2)])),
        ("6 17", &|p| (p.window, p.window_dilations) = (vec![2, 3], vec![3, 4])),
        ("4 6", &|p| p.pads = vec![(-1, -2), (2, -3)]),
        ("3 2", &|p| p.window = vec![4, 1]),
    ];
    for (shape, change) in cases {
        for dtype in [F32, I32, F16] {
            let mut g = graph(&[]);
            let (x, i) = (g.add_input("x", ty(dtype, shape)), g.add_input("i", ty(dtype, "")));
            for op in [BinaryOp::Add, BinaryOp::Max] {
                let mut p = window(pair(&mut g, op, dtype), dims(shape).len());
                change(&mut p);
                outputs(&mut g, Op::WindowReduce(p), &[x, i]);
            }
            let mut p = window(odd(&mut g, dtype), dims(shape).len());
            change(&mut p);
            outputs(&mut g, Op::WindowReduce(p), &[x, i]);
            agree(&g, &[]);
        }
    }
    let mut g = graph(&[("N", 1, 20)]);
    let (x, i) = (g.add_input("x", ty(F32, "N 4")), g.add_input("i", ty(F32, "")));
    let p = WindowReduce { window: vec![3, 1], strides: vec![2, 1], ..window(pair(&mut g, BinaryOp::Add, F32), 2) };
    outputs(&mut g, Op::WindowReduce(p), &[x, i]);
    for n in [1, 3, 8, 20] {
        agree(&g, &[("N", n)]);
    }
}

#[test]
fn windows_of_tuples() {
    let mut g = graph(&[]);
    let inputs = [(F32, "3 12"), (I32, "3 12"), (F32, ""), (I32, "")].map(|(d, s)| g.add_input("x", ty(d, s)));
    let p = WindowReduce { window: vec![1, 4], strides: vec![1, 2], ..window(arg_max(&mut g, F32, I32), 2) };
    outputs(&mut g, Op::WindowReduce(p), &inputs);
    agree(&g, &[]);
}

#[test]
fn selections_scattered() {
    for (shape, source, window, strides, pads) in [
        ("4 2", "2 2", vec![3, 1], vec![2, 1], vec![(0, 1), (0, 0)]),
        ("1 8 8 3", "1 4 4 3", vec![1, 3, 3, 1], vec![1, 2, 2, 1], vec![(0, 0), (1, 0), (0, 1), (0, 0)]),
        ("2 3 6 6", "2 3 3 3", vec![1, 1, 2, 2], vec![1, 1, 2, 2], vec![(0, 0); 4]),
        ("5", "3", vec![1], vec![3], vec![(1, 2)]),
    ] {
        let mut g = graph(&[]);
        let (x, s, i) = (g.add_input("x", ty(F32, shape)), g.add_input("s", ty(F32, source)), g.add_input("i", ty(F32, "")));
        let select = pair(&mut g, BinaryOp::Ge, F32);
        for scatter in [pair(&mut g, BinaryOp::Add, F32), odd(&mut g, F32)] {
            let p = SelectAndScatter { window: window.clone(), strides: strides.clone(), pads: pads.clone(), select, scatter };
            outputs(&mut g, Op::SelectAndScatter(p), &[x, s, i]);
        }
        agree(&g, &[]);
    }
}

/// A comparator of the first of several pairs.
fn first(g: &mut Graph, op: BinaryOp, types: &[DType]) -> RegionId {
    let doubled: Vec<DType> = types.iter().flat_map(|d| [*d, *d]).collect();
    region(g, &doubled, |r, v| vec![push(r, Op::Binary(op), &v[..2])])
}

#[test]
fn sorts_of_every_type_along_any_axis() {
    for dtype in [F64, F32, F16, BF16, I8, I16, I32, I64, U8, U16, U32, U64, Bool] {
        let mut g = graph(&[]);
        let (x, i) = (g.add_input("x", ty(dtype, "3 21 2")), g.add_input("i", ty(I32, "3 21 2")));
        for axis in 0..3 {
            let op = if axis == 1 { BinaryOp::Gt } else { BinaryOp::Lt };
            let region = first(&mut g, op, &[dtype, I32]);
            outputs(&mut g, Op::SortBy { axis, stable: true, region }, &[x, i]);
        }
        agree(&g, &[]);
    }
    let mut g = graph(&[("N", 0, 50)]);
    let x = g.add_input("x", ty(F32, "2 N"));
    let region = first(&mut g, BinaryOp::Lt, &[F32]);
    outputs(&mut g, Op::SortBy { axis: 1, stable: true, region }, &[x]);
    for n in [0, 1, 2, 3, 5, 16, 33, 50] {
        agree(&g, &[("N", n)]);
    }
}

#[test]
fn a_comparator_that_is_no_order() {
    let mut g = graph(&[]);
    let x = g.add_input("x", ty(F32, "16"));
    let region = first(&mut g, BinaryOp::Lt, &[F32]);
    outputs(&mut g, Op::SortBy { axis: 0, stable: false, region }, &[x]);
    let v: Vec<f32> = (0..16).map(|i| if i % 3 == 1 { f32::NAN } else { (i * 7 % 16) as f32 - 8.0 }).collect();
    agree_on(&g, &[Tensor::f32(&[16], &v)]);
}

fn indices(dtype: DType, shape: &[usize], v: &[i64]) -> Tensor {
    Tensor::build(dtype, shape, |i| Num::Int(v[i % v.len()].into()))
}

#[test]
fn gathers_and_scatters_with_general_numbers() {
    // data, indices, dimension numbers, window extents, shape of the windows
    let cases = [
        ("9 5", "7 1", (vec![1], vec![0], vec![], vec![], vec![0], 1), "1 5", "7 5"),
        ("9 5", "7", (vec![1], vec![0], vec![], vec![], vec![0], 1), "1 5", "7 5"),
        ("9 5", "2 4", (vec![0, 1], vec![], vec![], vec![], vec![1, 0], 0), "3 2", "3 2 4"),
        ("2 3 4 2", "2 2 3 2", (vec![3, 4], vec![1], vec![0], vec![1], vec![2, 1], 3), "1 1 2 2", "2 2 3 2 2"),
        ("2 3 4 2", "2 2 3 2", (vec![0, 2], vec![1], vec![0], vec![1], vec![2, 1], 3), "1 1 2 2", "2 2 2 2 3"),
        ("6", "2 3 1", (vec![], vec![0], vec![], vec![], vec![0], 2), "1", "2 3"),
        ("4 300", "3", (vec![1], vec![0], vec![], vec![], vec![0], 1), "1 300", "3 300"),
    ];
    for (data, at, (offsets, collapsed, data_batch, indices_batch, map, index_dim), sizes, windows) in cases {
        let d = WindowDims { offsets, collapsed, data_batch, indices_batch, map, index_dim };
        let shape: Vec<usize> = ty(I32, at).static_shape().expect("known");
        for dtype in [I32, I64, U8, U64, I8] {
            let at_values =
                indices(dtype, &shape, if dtype == U8 || dtype == U64 { &[0, 3, 1, 2, 250] } else { &[0, 3, -1, 2, 100] });
            let mut g = graph(&[]);
            let (x, i, u) =
                (g.add_input("x", ty(F32, data)), g.add_input("i", ty(dtype, at)), g.add_input("u", ty(F32, windows)));
            outputs(&mut g, Op::GatherWindow(GatherWindow { dims: d.clone(), sizes: dims(sizes), sorted: false }), &[x, i]);
            let second = region(&mut g, &[F32; 2], |_, v| vec![v[1]]);
            for region in [second, pair(&mut g, BinaryOp::Add, F32), odd(&mut g, F32)] {
                let p = ScatterWindow { dims: d.clone(), sorted: false, unique: false, region };
                outputs(&mut g, Op::ScatterWindow(p), &[x, i, u]);
            }
            let tensor = |shape: &str, seed| random(F32, &ty(F32, shape).static_shape().expect("known"), seed);
            agree_on(&g, &[tensor(data, 3), at_values, tensor(windows, 5)]);
        }
    }
}

#[test]
fn scatters_of_tuples_and_unique_ones() {
    let mut g = graph(&[]);
    let inputs = [(F32, "8 3"), (I32, "8 3"), (I32, "5 1"), (F32, "5 3"), (I32, "5 3")].map(|(d, s)| g.add_input("x", ty(d, s)));
    let d = WindowDims { offsets: vec![1], collapsed: vec![0], map: vec![0], index_dim: 1, ..Default::default() };
    let region = arg_max(&mut g, F32, I32);
    outputs(&mut g, Op::ScatterWindow(ScatterWindow { dims: d.clone(), sorted: false, unique: false, region }), &inputs);
    agree(&g, &[]);
    let mut g = graph(&[("N", 4, 300)]);
    let inputs = [(F16, "8 N"), (I32, "2 1"), (F16, "2 N")].map(|(d, s)| g.add_input("x", ty(d, s)));
    let region = pair(&mut g, BinaryOp::Max, F16);
    outputs(&mut g, Op::ScatterWindow(ScatterWindow { dims: d, sorted: true, unique: true, region }), &inputs);
    let at = indices(I32, &[2, 1], &[6, 1]);
    for n in [4, 257] {
        agree_on(&g, &[random(F16, &[8, n], 1), at.clone(), random(F16, &[2, n], 2)]);
    }
}

#[test]
fn a_region_that_is_no_scalar_function_is_named() {
    let mut g = graph(&[]);
    let (x, i) = (g.add_input("x", ty(F32, "4")), g.add_input("i", ty(F32, "")));
    let region = region(&mut g, &[F32; 2], |r, v| {
        let wide = push(r, Op::Broadcast { shape: dims("3") }, &[v[0]]);
        let sum = push(r, Op::Reduce { op: beiming_ir::ops::ReduceOp::Sum, axes: vec![0], keep: false }, &[wide]);
        vec![push(r, Op::Binary(BinaryOp::Add), &[sum, v[1]])]
    });
    outputs(&mut g, Op::ReduceWith { axes: vec![0], region }, &[x, i]);
    let e = beiming_passes::lower::lower(&g, &beiming_ir::target::Target::x86_64_v4(), &Default::default()).unwrap_err();
    assert!(e.to_string().contains("`broadcast`, whose result is not a scalar"), "{e}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// Random windows with random steps, holes and pads.
    #[test]
    fn random_windows(
        axes in prop::collection::vec((1i64..7, 1usize..4, 1usize..3, 1usize..3, 1usize..3, -1i64..3, -1i64..3), 1..4),
        general in any::<bool>(),
    ) {
        let mut g = graph(&[]);
        let shape: Vec<String> = axes.iter().map(|a| a.0.to_string()).collect();
        let (x, i) = (g.add_input("x", ty(I32, &shape.join(" "))), g.add_input("i", ty(I32, "")));
        let region = if general { odd(&mut g, I32) } else { pair(&mut g, BinaryOp::Min, I32) };
        let p = WindowReduce {
            window: axes.iter().map(|a| a.1).collect(),
            strides: axes.iter().map(|a| a.2).collect(),
            base_dilations: axes.iter().map(|a| a.3).collect(),
            window_dilations: axes.iter().map(|a| a.4).collect(),
            pads: axes.iter().map(|a| (a.5, a.6)).collect(),
            region,
        };
        outputs(&mut g, Op::WindowReduce(p), &[x, i]);
        agree(&g, &[]);
    }

    /// Random dimension numbers: which axes of the data are collapsed, batched, moved by indices, and where the windows' axes stand.
    #[test]
    fn random_dimension_numbers(
        data in prop::collection::vec((1usize..4, 0u8..4, any::<bool>()), 1..4),
        extra in 0usize..3,
        lead_first in any::<bool>(),
        add in any::<bool>(),
        unordered in any::<u64>(),
    ) {
        let rank = data.len();
        // Kinds: 0 collapsed, 1 batch, 2 and 3 in the window (3: of one element).
        let of = |k: u8| (0..rank).filter(|a| data[*a].1 == k).collect::<Vec<usize>>();
        let (collapsed, data_batch) = (of(0), of(1));
        let kept: Vec<usize> = (0..rank).filter(|a| data[*a].1 > 1).collect();
        let map: Vec<usize> = (0..rank).filter(|a| data[*a].1 != 1 && data[*a].2).collect();
        let sizes: Vec<usize> = (0..rank).map(|a| if data[a].1 == 2 { data[a].0 } else { 1 }).collect();
        // Indices: an extra axis, the batch axes, the vector.
        let mut at = vec![extra + 1];
        at.extend(data_batch.iter().map(|a| data[*a].0));
        let indices_batch: Vec<usize> = (1..at.len()).collect();
        let lead = at.len();
        let index_dim = lead;
        at.push(map.len());
        let total = lead + kept.len();
        let offsets: Vec<usize> = if lead_first { (lead..total).collect() } else { (0..kept.len()).collect() };
        let windows: Vec<usize> = {
            let (mut l, mut k) = (at.iter().copied(), kept.iter().map(|a| sizes[*a]));
            (0..total).map(|a| if offsets.contains(&a) { k.next() } else { l.next() }.expect("an extent")).collect()
        };
        let d = WindowDims { offsets, collapsed, data_batch, indices_batch, map, index_dim };
        let known = |s: &[usize]| s.iter().map(|n| (*n).into()).collect::<Vec<beiming_ir::types::Dim>>();
        let shape: Vec<usize> = data.iter().map(|a| a.0).collect();
        let mut g = graph(&[]);
        let x = g.add_input("x", TensorType::known(I32, &shape));
        let i = g.add_input("i", TensorType::known(I32, &at));
        let u = g.add_input("u", TensorType::known(I32, &windows));
        outputs(&mut g, Op::GatherWindow(GatherWindow { dims: d.clone(), sizes: known(&sizes), sorted: false }), &[x, i]);
        let region = if add { pair(&mut g, BinaryOp::Add, I32) } else { odd(&mut g, I32) };
        outputs(&mut g, Op::ScatterWindow(ScatterWindow { dims: d, sorted: false, unique: false, region }), &[x, i, u]);
        agree_on(&g, &[random(I32, &shape, 1), random(I32, &at, unordered), random(I32, &windows, 2)]);
    }
}
