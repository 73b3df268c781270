//! Programs for several participants, and programs that talk to others while they run: kept in the graph through its text and
//! the passes, in order, and refused by name where they are to run.

use beiming::import::ImportOptions;
use beiming::import::stablehlo::{module, translate};
use beiming_ir::eval;
use beiming_ir::graph::Graph;
use beiming_ir::ops::Op;
use beiming_ir::target::Target;
use beiming_ir::tensor::Tensor;
use beiming_ir::text::{Constants, parse_graph, print_graph};
use beiming_ir::types::DType;
use beiming_ir::verify;
use beiming_passes::lower::{LowerOptions, lower_reported};
use beiming_passes::{OptimizeOptions, optimize};
use translate::{Known, Settings};

use crate::meaning::holds;

fn read(text: &str) -> Result<Graph, String> {
    let module = module(text.as_bytes().to_vec().into()).map_err(|e| e.to_string())?;
    let read = translate::translate(&module, &ImportOptions::default(), Settings::default(), Known::default());
    read.map(|t| t.graph).map_err(|e| e.to_string())
}

/// The graph, after the verifier and the text form have seen it.
#[track_caller]
fn graph(what: &str, text: &str) -> Graph {
    let g = read(text).unwrap_or_else(|e| panic!("{what}: {e}"));
    let printed = print_graph(&g, Constants::Inline);
    let back = parse_graph(&printed, &[]).unwrap_or_else(|e| panic!("{what}: {e}\n{printed}"));
    assert_eq!(print_graph(&back, Constants::Inline), printed, "{what}");
    verify::graph(back).unwrap_or_else(|e| panic!("{what}: {e}")).into_inner()
}

/// The operations among others that a graph and its regions hold, in order.
fn kept(g: &Graph) -> Vec<String> {
    let mut out = vec![];
    for n in g.nodes() {
        if matches!(n.op, Op::Collective(_) | Op::Channel(_)) {
            out.push(n.op.name());
        }
        n.op.regions().iter().for_each(|r| out.extend(kept(g.region(*r))));
    }
    out
}

fn optimized(g: Graph) -> Graph {
    let target = Target::by_name("x86-64-v3").unwrap();
    optimize(g, &target, &OptimizeOptions::default()).unwrap().0
}

/// Why the graph is not lowered, a line each.
fn refused(g: &Graph) -> String {
    let target = Target::by_name("x86-64-v3").unwrap();
    lower_reported(g, &target, &LowerOptions::default()).err().unwrap().to_string()
}

const ADD: &str = "({
  ^bb0(%p: tensor<f32>, %q: tensor<f32>):
    %s = stablehlo.add %p, %q : tensor<f32>
    stablehlo.return %s : tensor<f32>
  })";

const TWO: &str = "replica_groups = dense<[[0, 1], [2, 3]]> : tensor<2x2xi64>";

/// A program of one operation on `%x`.
fn one(op: &str, attrs: &str, region: &str, from: &str, to: &str) -> String {
    format!(
        "func.func @main(%x: tensor<{from}>, %i: tensor<i32>) -> tensor<{to}> {{\n  %r = \"stablehlo.{op}\"(%x) {region} {{{attrs}}} \
         : (tensor<{from}>) -> tensor<{to}>\n  return %r : tensor<{to}>\n}}\n"
    )
}

#[test]
fn collectives_are_kept_and_refused_by_name() {
    let groups = "2 participants in each of the groups [0, 1], [2, 3]; programs run with one";
    let split = format!("split_dimension = 1 : i64, concat_dimension = 0 : i64, split_count = 2 : i64, {TWO}");
    for (op, attrs, region, from, to, why) in [
        ("all_gather", format!("all_gather_dim = 1 : i64, {TWO}"), "", "4x8xf32", "4x16xf32", groups),
        ("all_gather", format!("all_gather_dim = 1 : i64, {TWO}"), "", "4x8xcomplex<f32>", "4x16xcomplex<f32>", groups),
        (
            "all_gather",
            "all_gather_dim = 0 : i64, replica_groups = dense<[[0], [1]]> : tensor<2x1xi64>".into(),
            "",
            "4x8xf32",
            "8x8xf32",
            "2 participants in each of the groups [0], [1]; programs run with one",
        ),
        ("all_reduce", TWO.into(), ADD, "4xf32", "4xf32", groups),
        ("all_reduce", TWO.into(), ADD, "4xf16", "4xf32", groups),
        ("reduce_scatter", format!("scatter_dimension = 0 : i64, {TWO}"), ADD, "4xf32", "2xf32", groups),
        ("all_to_all", split, "", "4x8xf32", "8x4xf32", groups),
        ("collective_broadcast", TWO.into(), "", "4xi8", "4xi8", groups),
        ("cross-replica-sum", TWO.into(), "", "4xf32", "4xf32", groups),
        (
            "collective_permute",
            "source_target_pairs = dense<[[0, 1], [1, 0]]> : tensor<2x2xi64>".into(),
            "",
            "4xf32",
            "4xf32",
            "values go between the participants [0, 1], [1, 0]; programs run with one",
        ),
    ] {
        let g = graph(op, &one(op, &attrs, region, from, to));
        let name = if op == "cross-replica-sum" { "all_reduce" } else { op };
        let planes = g.outputs.len();
        assert_eq!(kept(&g), [name], "{op}");
        let extents = g.ty(g.outputs[0]).static_shape().unwrap().iter().map(|e| format!("{e}x")).collect::<String>();
        assert!(to.starts_with(&extents) && planes <= 2, "{op}: {extents}");
        let g = optimized(g);
        assert_eq!(kept(&g), [name], "{op}");
        let message = refused(&g);
        assert!(message.contains(why) && message.contains(&format!("(stablehlo.{op}), 2:")), "{op}: {message}");
        let args: Vec<Tensor> = g
            .inputs
            .iter()
            .map(|v| {
                Tensor::from_f64(
                    g.ty(*v).dtype,
                    &g.ty(*v).static_shape().unwrap(),
                    &vec![0.0; 64][..g.ty(*v).numel().known().unwrap() as usize],
                )
            })
            .collect();
        let e = eval::graph(&g, &args).unwrap_err().to_string();
        assert!(e.contains(why), "{op}: {e}");
    }
}

#[test]
fn an_argument_says_whose_value_is_given() {
    let text = |root: &str| {
        format!(
            "func.func @main(%x: tensor<4xf32>, %i: tensor<{root}>) -> tensor<4xf32> {{
  %r = \"stablehlo.collective_broadcast\"(%x, %i) {{has_dynamic_root, {TWO}}} : (tensor<4xf32>, tensor<{root}>) -> tensor<4xf32>
  return %r : tensor<4xf32>
}}\n"
        )
    };
    for root in ["i32", "1xi32"] {
        assert_eq!(kept(&graph(root, &text(root))), ["collective_broadcast"]);
    }
    let e = read(&text("2xi32")).map(drop).unwrap_err();
    assert!(e.contains("must be one integer"), "{e}");
}

#[test]
fn groups_of_one_are_this_participant() {
    let groups = "replica_groups = dense<[[0], [1]]> : tensor<2x1xi64>";
    for (op, attrs, region, ty) in [
        ("all_gather", format!("all_gather_dim = 1 : i64, {groups}"), "", "2x3xf32"),
        ("all_reduce", groups.to_string(), ADD, "2x3xf32"),
        ("all_reduce", "replica_groups = dense<> : tensor<0x0xi64>".into(), ADD, "2x3xf32"),
        ("reduce_scatter", format!("scatter_dimension = 0 : i64, {groups}"), ADD, "2x3xf32"),
        ("collective_broadcast", "replica_groups = dense<0> : tensor<1x1xi64>".into(), "", "2x3xf32"),
        ("collective_permute", "source_target_pairs = dense<0> : tensor<1x2xi64>".into(), "", "2x3xf32"),
    ] {
        let g = graph(op, &one(op, &attrs, region, ty, ty));
        assert!(g.nodes().is_empty() && g.outputs == g.inputs[..1], "{op}");
    }
}

#[test]
fn what_does_not_fit_is_said() {
    for (op, attrs, region, from, to, why) in [
        ("all_gather", format!("all_gather_dim = 1 : i64, {TWO}"), "", "4x8xf32", "4x24xf32", "has the shape"),
        ("all_gather", format!("all_gather_dim = 2 : i64, {TWO}"), "", "4x8xf32", "4x16xf32", "names axis 2"),
        ("reduce_scatter", format!("scatter_dimension = 0 : i64, {TWO}"), ADD, "5xf32", "2xf32", "does not divide among 2"),
        ("all_reduce", "replica_groups = 1 : i64".into(), ADD, "5xf32", "5xf32", "must be `dense<..>`"),
        ("collective_permute", String::new(), "", "5xf32", "5xf32", "`source_target_pairs` is missing"),
        (
            "all_reduce",
            "replica_groups = #stablehlo.replica_group_mesh_axes<mesh = @m, axes = [#stablehlo.axis_ref<name = \"x\">]>".into(),
            ADD,
            "5xf32",
            "5xf32",
            "does not say how many participants",
        ),
    ] {
        let e = read(&one(op, &attrs, region, from, to)).map(drop).unwrap_err();
        assert!(e.contains(why), "{op}: {e}");
    }
}

const TALK: &str = "func.func @main(%x: tensor<2xf32>, %t: !stablehlo.token) -> (tensor<2xf32>, tensor<2xf32>, !stablehlo.token) {
  %a:2 = \"stablehlo.infeed\"(%t) {infeed_config = \"first\"} : (!stablehlo.token) -> (tensor<2xf32>, !stablehlo.token)
  %b:2 = \"stablehlo.infeed\"(%t) {infeed_config = \"first\"} : (!stablehlo.token) -> (tensor<2xf32>, !stablehlo.token)
  %dead = \"stablehlo.outfeed\"(%x, %t) {outfeed_config = \"\"} : (tensor<2xf32>, !stablehlo.token) -> !stablehlo.token
  %s = \"stablehlo.send\"(%a#0, %t) {channel_handle = #stablehlo.channel_handle<handle = 5, type = 1>, source_target_pairs = dense<[[0, 1]]> : tensor<1x2xi64>} : (tensor<2xf32>, !stablehlo.token) -> !stablehlo.token
  %r:2 = \"stablehlo.recv\"(%s) {channel_handle = #stablehlo.channel_handle<handle = 6, type = 3>, is_host_transfer = true} : (!stablehlo.token) -> (tensor<2xf32>, !stablehlo.token)
  return %b#0, %r#0, %r#1 : tensor<2xf32>, tensor<2xf32>, !stablehlo.token
}
";

#[test]
fn effects_stay_in_the_order_of_the_program() {
    let all = ["infeed", "infeed", "outfeed", "send", "recv"];
    let g = graph("talk", TALK);
    assert_eq!(kept(&g), all);
    assert_eq!(g.output_names.last().map(|n| &**n), Some("effects"));
    let g = optimized(g);
    assert_eq!(kept(&g), all);
    let message = refused(&g);
    for why in [
        "values come from the host's queue while it runs: make them arguments",
        "values go to the host's queue while it runs: make them results",
        "values go to another participant on channel 5 of the pairs [[0, 1]]; programs run with one",
        "values come from the host on channel 6 while it runs",
    ] {
        assert!(message.contains(why), "{message}");
    }
    assert_eq!(message.matches("stablehlo.infeed").count(), 2, "{message}");
    let x = Tensor::from_f64(DType::F32, &[2], &[1., 2.]);
    assert!(eval::graph(&g, &[x]).unwrap_err().to_string().contains("values come from the host's queue"));
}

#[test]
fn effects_in_branches_and_loops() {
    let branch = "func.func @main(%c: tensor<i1>, %x: tensor<f32>, %t: !stablehlo.token) -> tensor<f32> {
  %k = \"stablehlo.outfeed\"(%x, %t) : (tensor<f32>, !stablehlo.token) -> !stablehlo.token
  %r = \"stablehlo.if\"(%c) ({
    %u = func.call @tell(%x, %t) : (tensor<f32>, !stablehlo.token) -> !stablehlo.token
    stablehlo.return %x : tensor<f32>
  }, {
    %n = stablehlo.negate %x : tensor<f32>
    stablehlo.return %n : tensor<f32>
  }) : (tensor<i1>) -> tensor<f32>
  return %r : tensor<f32>
}
func.func private @tell(%x: tensor<f32>, %t: !stablehlo.token) -> !stablehlo.token {
  %u = \"stablehlo.outfeed\"(%x, %t) : (tensor<f32>, !stablehlo.token) -> !stablehlo.token
  return %u : !stablehlo.token
}
";
    let repeat = "func.func @main(%n: tensor<i32>, %t: !stablehlo.token) -> tensor<i32> {
  %z = stablehlo.constant dense<0> : tensor<i32>
  %r:2 = stablehlo.while(%i = %z, %k = %t) : tensor<i32>, !stablehlo.token
    cond {
      %c = stablehlo.compare LT, %i, %n : (tensor<i32>, tensor<i32>) -> tensor<i1>
      stablehlo.return %c : tensor<i1>
    } do {
      %one = stablehlo.constant dense<1> : tensor<i32>
      %j = stablehlo.add %i, %one : tensor<i32>
      %f:2 = \"stablehlo.infeed\"(%k) : (!stablehlo.token) -> (tensor<i32>, !stablehlo.token)
      %u = \"stablehlo.outfeed\"(%f#0, %f#1) : (tensor<i32>, !stablehlo.token) -> !stablehlo.token
      stablehlo.return %j, %u : tensor<i32>, !stablehlo.token
    }
  return %r#0 : tensor<i32>
}
";
    for (what, text, all) in [("branch", branch, &["outfeed", "outfeed"][..]), ("loop", repeat, &["infeed", "outfeed"][..])] {
        let g = graph(what, text);
        assert_eq!(kept(&g), all, "{what}");
        assert_eq!(g.output_names.last().map(|n| &**n), Some("effects"), "{what}");
        let g = optimized(g);
        assert_eq!(kept(&g), all, "{what}");
        let message = refused(&g);
        assert_eq!(message.matches("while it runs").count(), all.len(), "{what}: {message}");
    }
    let asks = repeat.replace(
        "%c = stable",
        "%q:2 = \"stablehlo.infeed\"(%k) : (!stablehlo.token) -> (tensor<i32>, !stablehlo.token)\n      %c = stable",
    );
    let e = read(&asks).map(drop).unwrap_err();
    assert!(e.contains("in the condition of a loop"), "{e}");
}

#[test]
fn what_is_sent_to_itself_is_received() {
    let program = |send: &str, recv: &str| {
        format!(
            "func.func @main() {{
  %x = stablehlo.constant dense<[(1., 2.), (3., 4.)]> : tensor<2xcomplex<f32>>
  %t = stablehlo.create_token : !stablehlo.token
  %s = \"stablehlo.send\"(%x, %t) {{channel_handle = #stablehlo.channel_handle<handle = 1, type = 1>{send}}} : (tensor<2xcomplex<f32>>, !stablehlo.token) -> !stablehlo.token
  %r:2 = \"stablehlo.recv\"(%s) {{channel_handle = #stablehlo.channel_handle<handle = 1, type = 1>{recv}}} : (!stablehlo.token) -> (tensor<2xcomplex<f32>>, !stablehlo.token)
  check.expect_eq %r#0, %x : tensor<2xcomplex<f32>>
  return
}}
"
        )
    };
    let own = ", source_target_pairs = dense<0> : tensor<1x2xi64>";
    holds("no pairs", &program("", ""));
    holds("pairs", &program(own, own));
    for (send, recv) in [
        (", is_host_transfer = true", ""),
        ("", ", is_host_transfer = true"),
        (own, ", source_target_pairs = dense<[[1, 0]]> : tensor<1x2xi64>"),
    ] {
        assert_eq!(kept(&graph("others", &program(send, recv))), ["send", "recv"]);
    }
}
