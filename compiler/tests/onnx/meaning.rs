//! What models mean: imported and run by the evaluator, and what the graph looks like.

use beiming::import::onnx::proto::{
    AttributeProto, FunctionProto, NodeProto, OperatorSetIdProto, attribute_proto::AttributeType,
};
use beiming::import::{ImportOptions, onnx};
use beiming_ir::eval;
use beiming_ir::graph::Graph;
use beiming_ir::ops::Op;
use beiming_ir::tensor::Tensor;

use super::build::*;

fn ops(g: &Graph) -> Vec<String> {
    g.nodes().iter().map(|n| n.op.name()).collect()
}

fn run(g: &Graph, inputs: &[Tensor]) -> Vec<f64> {
    eval::graph(g, inputs).expect("the evaluator runs it")[0].to_f64()
}

#[test]
fn shape_arithmetic_leaves_no_nodes() {
    // Reshape to [Shape(x)[0], -1], as exporters write a flatten.
    let nodes = vec![
        node("Shape", "x", "s", vec![]),
        node("Gather", "s zero", "n", vec![int("axis", 0)]),
        node("Unsqueeze", "n axis", "n1", vec![]),
        node("Concat", "n1 minus", "to", vec![int("axis", 0)]),
        node("Reshape", "x to", "y", vec![]),
    ];
    let constants = vec![i64s("zero", &[], &[0]), i64s("axis", &[1], &[0]), i64s("minus", &[1], &[-1])];
    let g = import(&simple("N,3,W", constants, nodes)).unwrap();
    assert_eq!(ops(&g), ["reshape"]);
    assert_eq!(g.ty(g.outputs[0]).to_string(), "f32[N, 3*W]");
    assert_eq!(g.nodes()[0].loc.place.as_ref(), "graph/node 4");
}

#[test]
fn extents_become_data_where_they_are_used_as_data() {
    let nodes = vec![node("Size", "x", "s", vec![]), node("Cast", "s", "f", vec![int("to", 1)]), node("Div", "x f", "y", vec![])];
    let g = import(&simple("N,2", vec![], nodes)).unwrap();
    assert!(g.nodes().iter().any(|n| matches!(n.op, Op::DimValue { .. })));
    assert_eq!(run(&g, &[Tensor::f32(&[3, 2], &[6.0; 6])]), [1.0; 6]);
}

#[test]
fn broadcast_shapes_computed_by_where_fold() {
    // torch's expand: where(shape == -1, 1, shape).
    let nodes = vec![
        node("Shape", "x", "s", vec![]),
        node("Equal", "s minus", "is", vec![]),
        node("Where", "is one s", "to", vec![]),
        node("Expand", "w to", "y", vec![]),
    ];
    let constants = vec![i64s("minus", &[1], &[-1]), i64s("one", &[1], &[1]), f32s("w", &[1], &[2.5])];
    let g = import(&simple("N,2", constants, nodes)).unwrap();
    assert_eq!(ops(&g), ["constant", "broadcast"]);
    assert_eq!(g.ty(g.outputs[0]).to_string(), "f32[N, 2]");
}

#[test]
fn options_set_shapes_and_ranges() {
    let m = simple("N,3,?,?", vec![], vec![node("Relu", "x", "y", vec![])]);
    let ty = |shapes: &[&str], dims: &[&str]| -> Result<String, String> {
        let mut o = ImportOptions::default();
        shapes.iter().try_for_each(|s| o.add_shape(s))?;
        dims.iter().try_for_each(|d| o.add_dim(d))?;
        let g = onnx::read_model(&m, None, &o).map_err(|e| format!("{} {e}", e.code()))?;
        Ok(format!("{} {:?}", g.ty(g.inputs[0]), g.symbols.0))
    };
    assert_eq!(ty(&[], &[]).unwrap().split(" {").next(), Some("f32[N, 3, x_d2, x_d3]"));
    assert_eq!(ty(&["x:1x3x8x9"], &[]).unwrap(), "f32[1, 3, 8, 9] {}");
    assert_eq!(ty(&["x:Nx3x8x9"], &["N=1..64"]).unwrap(), "f32[N, 3, 8, 9] {\"N\": Range { lo: 1, hi: 64 }}");
    assert_eq!(ty(&["x:2x3x8x9"], &["N=2"]).unwrap(), "f32[2, 3, 8, 9] {}");
    for (shapes, dims) in [
        (vec!["x:1x4x8x9"], vec![]),
        (vec!["x:1x3x8"], vec![]),
        (vec!["z:1"], vec![]),
        (vec![], vec!["M=4"]),
        (vec!["x:1x3x8x9"], vec!["N=2"]),
    ] {
        assert!(ty(&shapes, &dims).unwrap_err().starts_with("E0501"), "{shapes:?} {dims:?}");
    }
}

fn branches() -> Vec<AttributeProto> {
    let side = |op: &str, o: &str| graph(vec![], vec![], vec![node(op, "x w", o, vec![])], vec![port(o, 1, "")]);
    vec![body("then_branch", side("Add", "a")), body("else_branch", side("Mul", "b"))]
}

#[test]
fn branches_capture_what_they_use() {
    let nodes = vec![
        node("ReduceSum", "x", "s", vec![int("keepdims", 0)]),
        node("Greater", "s zero", "c", vec![]),
        node("If", "c", "y", branches()),
    ];
    let g = import(&simple("2", vec![f32s("zero", &[], &[0.0]), f32s("w", &[2], &[3.0, 4.0])], nodes)).unwrap();
    assert_eq!(g.regions.len(), 2);
    assert_eq!(g.regions[0].nodes()[1].loc.place.as_ref(), "graph/node 2/then_branch/node 0");
    assert_eq!(run(&g, &[Tensor::f32(&[2], &[1.0, 2.0])]), [4.0, 6.0]);
    assert_eq!(run(&g, &[Tensor::f32(&[2], &[-1.0, -2.0])]), [-3.0, -8.0]);
}

#[test]
fn a_known_condition_takes_its_branch() {
    let nodes = vec![node("Shape", "x", "s", vec![]), node("Equal", "s two", "c", vec![]), node("If", "c", "y", branches())];
    let constants = vec![i64s("two", &[1], &[2]), f32s("w", &[2], &[3.0, 4.0])];
    let g = import(&simple("2", constants, nodes)).unwrap();
    assert_eq!(ops(&g), ["constant", "add"]);
}

#[test]
fn loops_carry_state_and_stack_results() {
    let inside = graph(
        vec![port("i", 7, ""), port("go", 9, ""), port("h", 1, "2")],
        vec![],
        vec![node("Add", "h x", "h2", vec![]), node("Identity", "go", "go2", vec![]), node("Identity", "h2", "scan", vec![])],
        vec![port("go2", 9, ""), port("h2", 1, "2"), port("scan", 1, "2")],
    );
    let mut m = simple("2", vec![i64s("n", &[], &[3])], vec![node("Loop", "n _ x", "y ys", vec![body("body", inside)])]);
    m.graph.as_mut().unwrap().output = vec![port("ys", 1, "3,2")];
    let g = import(&m).unwrap();
    assert_eq!(g.ty(g.outputs[0]).to_string(), "f32[3, 2]");
    assert_eq!(run(&g, &[Tensor::f32(&[2], &[1.0, 10.0])]), [2.0, 20.0, 3.0, 30.0, 4.0, 40.0]);
}

#[test]
fn functions_are_inlined_with_their_attributes() {
    let reference = |name: &str| AttributeProto {
        name: Some(name.into()),
        ref_attr_name: Some("slope".into()),
        r#type: Some(AttributeType::Float as i32),
        ..Default::default()
    };
    let call = |v: Option<f32>| -> Graph {
        let mut n = node("Leak", "x", "y", vec![]);
        n.domain = Some("my".into());
        n.attribute = v
            .map(|f| AttributeProto {
                name: Some("slope".into()),
                f: Some(f),
                r#type: Some(AttributeType::Float as i32),
                ..Default::default()
            })
            .into_iter()
            .collect();
        let mut m = simple("2", vec![], vec![n]);
        m.opset_import.push(OperatorSetIdProto { domain: Some("my".into()), version: Some(1) });
        let inner = NodeProto { attribute: vec![reference("alpha")], ..node("LeakyRelu", "a", "b", vec![]) };
        m.functions.push(FunctionProto {
            name: Some("Leak".into()),
            domain: Some("my".into()),
            input: vec!["a".into()],
            output: vec!["b".into()],
            attribute: vec!["slope".into()],
            node: vec![inner],
            opset_import: vec![OperatorSetIdProto { domain: None, version: Some(16) }],
            ..Default::default()
        });
        import(&m).unwrap()
    };
    let x = [Tensor::f32(&[2], &[-8.0, 8.0])];
    assert_eq!(run(&call(Some(0.5)), &x), [-4.0, 8.0]);
    // Without a value the inner attribute is absent and has its own default.
    let y = run(&call(None), &x);
    assert!((y[0] + 0.08).abs() < 1e-6 && y[1] == 8.0);
    assert_eq!(call(None).nodes()[0].loc.place.as_ref(), "graph/node 0/function Leak/node 0");
}

#[test]
fn weights_are_windows_of_the_file() {
    use prost::Message;
    let values: Vec<f32> = (0..1000).map(|i| i as f32).collect();
    let m = simple("1000", vec![f32s("w", &[1000], &values)], vec![node("Add", "x w", "y", vec![])]);
    let bytes = bytes::Bytes::from(m.encode_to_vec());
    let g = onnx::read_bytes(bytes.clone(), None, &ImportOptions::default()).unwrap();
    let inside = bytes.as_ptr_range();
    assert!(inside.contains(&g.consts[0].bytes().as_ptr()), "the weights were copied");
}

#[test]
fn data_dependent_extents_get_a_symbol_with_a_range() {
    let mut m = simple("4,3", vec![], vec![node("NonZero", "x", "y", vec![])]);
    m.graph.as_mut().unwrap().output = vec![port("y", 7, "2,?")];
    let g = import(&m).unwrap();
    let name = g.ty(g.outputs[0]).shape[1].to_string();
    assert_eq!(g.symbols.range(&name).hi, 12);
    // A shape of which not even the number of extents is known is an error that says which input.
    let nodes = vec![node("NonZero", "x", "p", vec![]), node("Reshape", "x p", "y", vec![])];
    let text = import(&simple("4,3", vec![], nodes)).unwrap_err().to_string();
    assert!(text.contains("its input 1, `p`") && text.contains("Reshape"), "{text}");
}
