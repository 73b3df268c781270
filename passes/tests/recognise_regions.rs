//! Scalar functions that are recognised: which op they become, and that it means the same.
#![allow(clippy::unwrap_used)]

use beiming_ir::eval;
use beiming_ir::graph::Graph;
use beiming_ir::ops::Op;
use beiming_ir::target::Target;
use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::text::parse_graph;
use beiming_ir::types::DType;
use beiming_passes::{OptimizeOptions, optimize};

/// The names of the ops, constants left out, of the rewritten graph; its results are those of the graph on random inputs.
fn recognised(text: &str) -> Vec<String> {
    recognised_where(text, true)
}

/// The same where floats may or may not be summed in another order.
fn recognised_where(text: &str, reassociate: bool) -> Vec<String> {
    let g = parse_graph(text, &[]).unwrap_or_else(|e| panic!("{e}\n{text}"));
    beiming_ir::verify::graph(g.clone()).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let options = OptimizeOptions { fuse: false, reassociate, ..OptimizeOptions::default() };
    let (found, _) = optimize(g.clone(), &Target::x86_64_v4(), &options).unwrap();
    let found = beiming_ir::verify::graph(found).unwrap_or_else(|e| panic!("{e}")).into_inner();
    for seed in 0..4 {
        let inputs: Vec<Tensor> = g.inputs.iter().enumerate().map(|(i, v)| random(&g, *v, seed * 16 + i as u64)).collect();
        let (want, got) = (eval::graph(&g, &inputs).unwrap(), eval::graph(&found, &inputs).unwrap());
        for (w, g) in want.iter().zip(&got) {
            assert_eq!((w.dtype, &w.shape), (g.dtype, &g.shape));
            for i in 0..w.len() {
                let (a, b) = (w.get(i), g.get(i));
                let close = (a.to_f64() - b.to_f64()).abs() <= 1e-4 * a.to_f64().abs().max(1.0);
                assert!(a == b || close, "element {i}: {b:?}, not {a:?}\n{text}");
            }
        }
    }
    let constant = |op: &Op| matches!(op, Op::Constant(_));
    found.nodes().iter().filter(|n| !constant(&n.op)).map(|n| n.op.name()).collect()
}

/// Small numbers with many repeats.
fn random(g: &Graph, v: beiming_ir::graph::ValueId, seed: u64) -> Tensor {
    let ty = g.ty(v);
    let mut s = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    Tensor::build(ty.dtype, &ty.static_shape().unwrap(), |_| {
        s ^= s << 13;
        s ^= s >> 7;
        s ^= s << 17;
        let n = (s >> 40) as i64 % 7 - if ty.dtype.is_unsigned_int() { 0 } else { 3 };
        match ty.dtype {
            DType::Bool => Num::Int(i128::from(n > 0)),
            d if d.is_float() => Num::Float(n as f64 / 2.0),
            _ => Num::Int(n.into()),
        }
    })
}

/// A region of one op over two scalars.
fn pair(op: &str, dtype: &str) -> String {
    format!(
        "graph \"f\" {{ %0 = input \"\" : {dtype}[] %1 = input \"\" : {dtype}[] %2 = Binary({op}) %0, %1 : {dtype}[] output \"\" %2 }}"
    )
}

fn reduce(op: &str, dtype: &str, init: &str) -> Vec<String> {
    recognised(&reduction(op, dtype, init))
}

fn reduction(op: &str, dtype: &str, init: &str) -> String {
    format!(
        "graph \"t\" {{ %0 = input \"x\" : {dtype}[3, 5] %1 = Constant(0) : {dtype}[]
           %2 = ReduceWith(axes:[1],region:0) %0, %1 : {dtype}[3] output \"y\" %2
           const 0 : {dtype}[] = [{init}] region 0 {} }}",
        pair(op, dtype)
    )
}

#[test]
fn plain_reducers() {
    for (op, dtype, init, want) in [
        ("Add", "f32", "0.0", "reduce_sum"),
        ("Add", "f32", "-0.0", "reduce_sum"),
        ("Add", "i8", "0", "reduce_sum"),
        ("Mul", "f64", "1.0", "reduce_prod"),
        ("Max", "f32", "-inf", "reduce_max"),
        ("Max", "u8", "0", "reduce_max"),
        ("Min", "i16", "32767", "reduce_min"),
        ("Or", "bool", "false", "reduce_any"),
        ("And", "bool", "true", "reduce_all"),
        ("Max", "bool", "false", "reduce_any"),
    ] {
        assert_eq!(reduce(op, dtype, init), [want], "{op} {dtype}");
    }
    // Another start is joined on; a function that is no reducer stays.
    assert_eq!(reduce("Add", "f32", "2.5"), ["reduce_sum", "add"]);
    assert_eq!(reduce("Max", "f32", "-3.0"), ["reduce_max", "max"]);
    assert_eq!(reduce("Sub", "f32", "0.0"), ["reduce_with"]);
    assert_eq!(reduce("Or", "i32", "0"), ["reduce_with"]);
}

#[test]
fn floats_are_summed_in_order_where_that_is_asked() {
    for (op, dtype, init, want) in [
        ("Add", "f32", "0.0", "reduce_with"),
        ("Mul", "bf16", "1.0", "reduce_with"),
        ("Add", "i8", "0", "reduce_sum"),
        ("Max", "f32", "-inf", "reduce_max"),
        ("Or", "bool", "false", "reduce_any"),
    ] {
        assert_eq!(recognised_where(&reduction(op, dtype, init), false), [want], "{op} {dtype}");
    }
}

/// JAX's reducer of `argmax` and `argmin`, index in the type `i`.
fn choice(compare: &str, i: &str, nan: bool) -> String {
    let first = if nan { "%5 = Binary(Ne) %0, %0 : bool[]" } else { "%5 = Binary(Lt) %0, %0 : bool[]" };
    format!(
        "graph \"f\" {{ %0 = input \"\" : f32[] %1 = input \"\" : {i}[] %2 = input \"\" : f32[] %3 = input \"\" : {i}[]
           %4 = Binary({compare}) %0, %2 : bool[] {first} %6 = Binary(Or) %4, %5 : bool[]
           %7 = Binary(Eq) %0, %2 : bool[] %8 = Binary(Lt) %1, %3 : bool[] %9 = Binary(And) %7, %8 : bool[]
           %10 = Binary(Or) %6, %9 : bool[] %11 = Select %6, %0, %2 : f32[] %12 = Select %10, %1, %3 : {i}[]
           output \"\" %11 output \"\" %12 }}"
    )
}

#[test]
fn choices_of_value_and_index() {
    let graph = |region: String, init: &str, i: &str| {
        recognised(&format!(
            "graph \"t\" {{ %0 = input \"x\" : f32[4, 6, 3] %1 = Iota(dtype:\"{i}\",shape:[\"4\",\"6\",\"3\"],axis:1) : {i}[4, 6, 3]
               %2 = Constant(0) : f32[] %3 = Constant(1) : {i}[]
               %4, %5 = ReduceWith(axes:[1],region:0) %0, %1, %2, %3 : f32[4, 3], {i}[4, 3] output \"v\" %4 output \"i\" %5
               const 0 : f32[] = [{init}] const 1 : {i}[] = [0] region 0 {region} }}"
        ))
    };
    assert_eq!(graph(choice("Gt", "i64", true), "-inf", "i64"), ["reduce_max", "argmax"]);
    assert_eq!(graph(choice("Gt", "i32", true), "-inf", "i32"), ["reduce_max", "argmax", "cast"]);
    assert_eq!(graph(choice("Lt", "i32", true), "inf", "i32"), ["reduce_min", "argmin", "cast"]);
    // NaN is passed over, or the start is not the least: not what `ArgReduce` does.
    assert!(graph(choice("Gt", "i32", false), "-inf", "i32").contains(&"reduce_with".to_string()));
    assert!(graph(choice("Gt", "i32", true), "0.0", "i32").contains(&"reduce_with".to_string()));
}

fn window(op: &str, init: &str, shape: &str, result: &str, payload: &str) -> Vec<String> {
    recognised(&format!(
        "graph \"t\" {{ %0 = input \"x\" : f32[{shape}] %1 = Constant(0) : f32[]
           %2 = WindowReduce({payload},region:0) %0, %1 : f32[{result}] output \"y\" %2
           const 0 : f32[] = [{init}] region 0 {} }}",
        pair(op, "f32")
    ))
}

#[test]
fn windows() {
    let along = "window:[1,7],strides:[1,1],base_dilations:[1,1],window_dilations:[1,1]";
    assert_eq!(window("Add", "0.0", "3, 7", "3, 7", &format!("{along},pads:[(0,0),(6,0)]")), ["cumulative"]);
    assert_eq!(window("Max", "-inf", "3, 7", "3, 7", &format!("{along},pads:[(0,0),(0,6)]")), ["cumulative"]);
    assert_eq!(window("Add", "0.0", "3, 7", "3, 1", &format!("{along},pads:[(0,0),(0,0)]")), ["reduce_sum"]);
    assert_eq!(window("Add", "1.0", "3, 7", "3, 7", &format!("{along},pads:[(0,0),(6,0)]")), ["window_reduce"]);
    let last =
        "window:[1,3,2,1],strides:[1,2,2,1],base_dilations:[1,1,1,1],window_dilations:[1,1,1,1],pads:[(0,0),(1,1),(0,0),(0,0)]";
    assert_eq!(window("Max", "-inf", "2, 8, 8, 3", "2, 4, 4, 3", last), ["pool"]);
    let first =
        "window:[1,1,3,2],strides:[1,1,2,2],base_dilations:[1,1,1,1],window_dilations:[1,1,1,1],pads:[(0,0),(0,0),(1,1),(0,0)]";
    assert_eq!(window("Max", "-inf", "2, 3, 8, 8", "2, 3, 4, 4", first), ["transpose", "pool", "transpose"]);
    assert_eq!(window("Add", "0.0", "2, 3, 8, 8", "2, 3, 4, 4", first), ["window_reduce"]);
}

/// A sort of keys `k` and values `v` by a comparator over `(k0, k1, v0, v1)`.
fn sort(k: &str, v: &str, body: &str, constants: &str) -> Vec<String> {
    recognised(&format!(
        "graph \"t\" {{ %0 = input \"k\" : {k}[3, 9] %1 = input \"v\" : {v}[3, 9]
           %2, %3 = SortBy(axis:1,stable:true,region:0) %0, %1 : {k}[3, 9], {v}[3, 9] output \"k\" %2 output \"v\" %3
           region 0 graph \"f\" {{ %0 = input \"\" : {k}[] %1 = input \"\" : {k}[] %2 = input \"\" : {v}[] %3 = input \"\" : {v}[]
             {body} {constants} }} }}"
    ))
}

#[test]
fn comparators() {
    for k in ["f32", "f64", "f16", "i32", "u8", "bool"] {
        for op in ["Lt", "Gt"] {
            let body = format!("%4 = Binary({op}) %0, %1 : bool[] output \"\" %4");
            assert_eq!(sort(k, "i32", &body, ""), ["topk", "gather_elements"], "{op} {k}");
        }
    }
    assert_eq!(sort("i32", "i32", "%4 = Binary(Gt) %1, %0 : bool[] output \"\" %4", ""), ["topk", "gather_elements"]);
    // By a function of the key: the remainder; the bits of a float in total order.
    let body = "%4 = Constant(0) : i32[] %5 = Binary(Mod) %0, %4 : i32[] %6 = Binary(Mod) %1, %4 : i32[]
                %7 = Binary(Lt) %5, %6 : bool[] output \"\" %7";
    assert_eq!(sort("i32", "f32", body, "const 0 : i32[] = [3]"), ["mod", "topk", "gather_elements", "gather_elements"]);
    let body = "%4 = Bitcast(to:\"i32\") %0 : i32[] %5 = Bitcast(to:\"i32\") %1 : i32[] %6 = Constant(0) : i32[] %7 = Constant(1) : i32[]
                %8 = Binary(Shr) %4, %6 : i32[] %9 = Binary(And) %8, %7 : i32[] %10 = Binary(Xor) %4, %9 : i32[]
                %11 = Binary(Shr) %5, %6 : i32[] %12 = Binary(And) %11, %7 : i32[] %13 = Binary(Xor) %5, %12 : i32[]
                %14 = Binary(Lt) %10, %13 : bool[] output \"\" %14";
    let found = sort("f32", "f32", body, "const 0 : i32[] = [31] const 1 : i32[] = [2147483647]");
    assert_eq!(found.iter().filter(|n| *n == "topk").count(), 1, "{found:?}");
    // Two keys, the second in the other direction; written with logic and with a choice.
    let body = "%4 = Binary(Lt) %0, %1 : bool[] %5 = Binary(Eq) %0, %1 : bool[] %6 = Binary(Gt) %2, %3 : bool[]
                %7 = Binary(And) %5, %6 : bool[] %8 = Binary(Or) %4, %7 : bool[] output \"\" %8";
    let two = ["topk", "gather_elements", "topk", "gather_elements", "gather_elements", "gather_elements"];
    assert_eq!(sort("i32", "f32", body, ""), two);
    let body = "%4 = Binary(Lt) %0, %1 : bool[] %5 = Binary(Eq) %0, %1 : bool[] %6 = Binary(Gt) %2, %3 : bool[]
                %7 = Select %5, %6, %4 : bool[] output \"\" %7";
    assert_eq!(sort("i32", "f32", body, ""), two);
    // No order by keys of one side each.
    let body = "%4 = Binary(Add) %0, %3 : i32[] %5 = Binary(Lt) %4, %1 : bool[] output \"\" %5";
    assert_eq!(sort("i32", "i32", body, ""), ["sort_by"]);
    assert_eq!(sort("i32", "i32", "%4 = Binary(Le) %0, %1 : bool[] output \"\" %4", ""), ["sort_by"]);
}
