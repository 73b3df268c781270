//! What operations mean: programs that say themselves what they should give, evaluated.

use beiming::import::stablehlo::{module, translate};
use beiming::import::{ImportError, ImportOptions};
use beiming_ir::eval;
use translate::{Criterion, Known, Settings, Translation};

pub fn translated(text: &str, known: Known) -> Result<Translation, ImportError> {
    let module = module(text.as_bytes().to_vec().into())?;
    translate::translate(&module, &ImportOptions::default(), Settings { checks: true, lift: false }, known)
}

/// Evaluates a program and holds its checks, of equality to the bit or within a tolerance.
#[track_caller]
pub fn holds(what: &str, text: &str) {
    let t = translated(text, Known::default()).unwrap_or_else(|e| panic!("{what}: {e}"));
    assert!(!t.checks.is_empty(), "{what}");
    let out = eval::graph(&t.graph, &[]).unwrap_or_else(|e| panic!("{what}: {e}"));
    for c in &t.checks {
        for k in c.first..c.first + c.count {
            let (got, want) = (&out[k], &out[k + c.count]);
            assert_eq!(got.ty(), want.ty(), "{what}: the check at {}", c.place);
            let near = |tolerance: f64| got.to_f64().iter().zip(want.to_f64()).all(|(g, w)| (g - w).abs() <= tolerance);
            match c.criterion {
                Criterion::AlmostEqual(tolerance) if near(tolerance) => {}
                _ => assert_eq!(got.bytes(), want.bytes(), "{what}: the check at {}: {:?}", c.place, got.to_f64()),
            }
        }
    }
}

/// A function of these lines.
pub fn main(lines: &str) -> String {
    format!("func.func @main() {{\n{lines}\n  return\n}}\n")
}

/// Checks `%value` of `ty` against a constant.
fn expect(value: &str, ty: &str, want: &str) -> String {
    format!("  check.expect_eq_const {value}, dense<{want}> : tensor<{ty}>\n")
}

#[test]
fn complex_numbers_are_ordered_as_words() {
    let operands = "  %a = stablehlo.constant dense<[(1.5, 2.5), (1.5, 7.5), (0.0, 1.5), (1.0, 1.0)]> : tensor<4xcomplex<f32>>
  %b = stablehlo.constant dense<[(7.5, 1.5), (1.5, 2.5), (-0.0, 2.5), (1.0, 1.0)]> : tensor<4xcomplex<f32>>\n";
    for (op, want) in [
        ("maximum", "[(7.5, 1.5), (1.5, 7.5), (-0.0, 2.5), (1.0, 1.0)]"),
        ("minimum", "[(1.5, 2.5), (1.5, 2.5), (0.0, 1.5), (1.0, 1.0)]"),
    ] {
        let line = format!("  %c = stablehlo.{op} %a, %b : tensor<4xcomplex<f32>>\n");
        holds(op, &main(&(operands.to_string() + &line + &expect("%c", "4xcomplex<f32>", want))));
    }
    for (direction, want) in [
        ("LT", "[true, false, true, false]"),
        ("LE", "[true, false, true, true]"),
        ("GT", "[false, true, false, false]"),
        ("GE", "[false, true, false, true]"),
        ("EQ", "[false, false, false, true]"),
        ("NE", "[true, true, true, false]"),
    ] {
        let ty = "(tensor<4xcomplex<f32>>, tensor<4xcomplex<f32>>) -> tensor<4xi1>";
        let line = format!("  %c = stablehlo.compare {direction}, %a, %b : {ty}\n");
        holds(direction, &main(&(operands.to_string() + &line + &expect("%c", "4xi1", want))));
    }
}

#[test]
fn scans_carry_along_an_axis() {
    let program = |attributes: &str, outputs: &str, carry: &str| {
        let scan = format!(
            "  %x = stablehlo.constant dense<[[1, 2, 3], [4, 5, 6]]> : tensor<2x3xi32>
  %i = stablehlo.constant dense<[0, 100]> : tensor<2xi32>
  %r:2 = chlo.scan(%x) inits(%i) dimension=1 {attributes} {{
  ^bb0(%e: tensor<2xi32>, %c: tensor<2xi32>):
    %n = stablehlo.add %e, %c : tensor<2xi32>
    %o = stablehlo.negate %n : tensor<2xi32>
    stablehlo.return %o, %n : tensor<2xi32>, tensor<2xi32>
  }} : (tensor<2x3xi32>, tensor<2xi32>) -> (tensor<2x3xi32>, tensor<2xi32>)\n"
        );
        main(&(scan + &expect("%r#0", "2x3xi32", outputs) + &expect("%r#1", "2xi32", carry)))
    };
    holds("forwards", &program("", "[[-1, -3, -6], [-104, -109, -115]]", "[6, 115]"));
    holds("backwards", &program("attributes {is_reverse = true}", "[[-6, -5, -3], [-115, -111, -106]]", "[6, 115]"));
    let wrong = program("", "[[0, 0, 0], [0, 0, 0]]", "[0, 0]").replace("dimension=1", "dimension=2");
    let e = translated(&wrong, Known::default()).unwrap_err().to_string();
    assert!(e.contains("`dimension` names axis 2, which a tensor of rank 2 does not have"), "{e}");
}

/// `#chlo.ragged_dot<..>` with batching, contracting, ragged and group dimensions.
fn ragged(batch: [&str; 2], contract: [&str; 2], ragged: &str, group: &str) -> String {
    format!(
        "{{ragged_dot_dimension_numbers = #chlo.ragged_dot<lhs_batching_dimensions = [{}], rhs_batching_dimensions = [{}], \
         lhs_contracting_dimensions = [{}], rhs_contracting_dimensions = [{}], lhs_ragged_dimensions = [{ragged}], \
         rhs_group_dimensions = [{group}]>}}",
        batch[0], batch[1], contract[0], contract[1]
    )
}

#[test]
fn products_in_groups() {
    let sizes = "  %g = stablehlo.constant dense<[1, 0, 2]> : tensor<3xi32>\n";
    // Rows 0 | | 1, 2 with a matrix of each group; row 3 is in none.
    let rows = "  %x = stablehlo.constant dense<[[1., 2.], [3., 4.], [5., 6.], [7., 8.]]> : tensor<4x2xf32>
  %y = stablehlo.constant dense<[[[1.], [10.]], [[0.], [0.]], [[2.], [20.]]]> : tensor<3x2x1xf32>\n";
    let op = |numbers: &str, types: &str| format!("  %r = \"chlo.ragged_dot\"(%x, %y, %g) {numbers} : {types}\n");
    let text =
        op(&ragged(["", ""], ["1", "1"], "0", "0"), "(tensor<4x2xf32>, tensor<3x2x1xf32>, tensor<3xi32>) -> tensor<4x1xf32>");
    let want = expect("%r", "4x1xf32", "[[21.], [86.], [130.], [0.]]");
    holds("ragged rows", &main(&(sizes.to_string() + rows + &text + &want)));

    // The same rows summed over: a matrix for each group.
    let depth = "  %x = stablehlo.constant dense<[[1., 2.], [3., 4.], [5., 6.], [7., 8.]]> : tensor<4x2xf32>
  %y = stablehlo.constant dense<[[1.], [10.], [100.], [0x7F800000]]> : tensor<4x1xf32>\n";
    let text =
        op(&ragged(["", ""], ["0", "0"], "0", ""), "(tensor<4x2xf32>, tensor<4x1xf32>, tensor<3xi32>) -> tensor<3x2x1xf32>");
    let want = expect("%r", "3x2x1xf32", "[[[1.], [2.]], [[0.], [0.]], [[530.], [640.]]]");
    holds("ragged depth", &main(&(sizes.to_string() + depth + &text + &want)));

    // A batch whose lists of sizes differ; the batch is not the first axis.
    let batch = "  %g = stablehlo.constant dense<[[1, 1], [2, 0]]> : tensor<2x2xi64>
  %x = stablehlo.constant dense<[[[1.], [2.]], [[3.], [4.]]]> : tensor<2x2x1xf32>
  %y = stablehlo.constant dense<[[[[1.]], [[10.]]], [[[2.]], [[20.]]]]> : tensor<2x2x1x1xf32>\n";
    let text = op(
        &ragged(["1", "1"], ["2", "2"], "0", "0"),
        "(tensor<2x2x1xf32>, tensor<2x2x1x1xf32>, tensor<2x2xi64>) -> tensor<2x2x1xf32>",
    );
    // Batch 0 has rows 1 | 3 with factors 1, 2; batch 1 has rows 2, 4 | with factor 10.
    let want = expect("%r", "2x2x1xf32", "[[[1.], [6.]], [[20.], [40.]]]");
    holds("ragged batch", &main(&(batch.to_string() + &text + &want)));
}

/// The numbers are those of the formulas of the specification, computed with numpy.
#[test]
fn batches_are_normalised() {
    let operands = "  %x = stablehlo.constant dense<[[[1., 2.], [3., 8.]], [[5., 4.], [7., 2.]]]> : tensor<2x2x2xf64>
  %g = stablehlo.constant dense<[[[1., 0.], [2., 1.]], [[0., 3.], [1., 4.]]]> : tensor<2x2x2xf64>
  %s = stablehlo.constant dense<[2., 4.]> : tensor<2xf64>
  %o = stablehlo.constant dense<[1., -1.]> : tensor<2xf64>
  %m = stablehlo.constant dense<[3., 5.]> : tensor<2xf64>
  %v = stablehlo.constant dense<[2.5, 6.5]> : tensor<2xf64>\n";
    let about = "{epsilon = 5.000000e-01 : f32, feature_index = 1 : i64}";
    let (data, list) = ("tensor<2x2x2xf64>", "tensor<2xf64>");
    let y = "[[[-1.30940108, -0.15470054], [-4.02371578, 3.53557368]], [[3.30940108, 2.15470054], [2.02371578, -5.53557368]]]";
    let dx = "[[[0.19245009, -1.05847549], [-1.18788834, 0.26997462]], [[-1.34715063, 2.21317603], [-0.32396955, 1.24188327]]]";
    let rounded = |value: &str, want: &str, ty: &str| {
        format!("  check.expect_almost_eq_const {value}, dense<{want}> : tensor<{ty}>, tolerance = 1.0e-8\n")
    };
    for (what, lines, checks) in [
        (
            "inference",
            format!(
                "  %y = \"stablehlo.batch_norm_inference\"(%x, %s, %o, %m, %v) {about} : ({data}, {list}, {list}, {list}, {list}) -> {data}\n"
            ),
            rounded("%y", y, "2x2x2xf64"),
        ),
        (
            "training",
            format!(
                "  %y:3 = \"stablehlo.batch_norm_training\"(%x, %s, %o) {about} : ({data}, {list}, {list}) -> ({data}, {list}, {list})\n"
            ),
            rounded("%y#0", y, "2x2x2xf64") + &expect("%y#1", "2xf64", "[3., 5.]") + &expect("%y#2", "2xf64", "[2.5, 6.5]"),
        ),
        (
            "gradient",
            format!(
                "  %y:3 = \"stablehlo.batch_norm_grad\"(%x, %s, %m, %v, %g) {about} : ({data}, {list}, {list}, {list}, {data}) -> ({data}, {list}, {list})\n"
            ),
            rounded("%y#0", dx, "2x2x2xf64")
                + &rounded("%y#1", "[0.57735027, -4.1576092]", "2xf64")
                + &expect("%y#2", "2xf64", "[4., 8.]"),
        ),
    ] {
        holds(what, &main(&(operands.to_string() + &lines + &checks)));
    }
}

#[test]
fn the_platform_is_chosen_when_the_model_is_read() {
    let text =
        "func.func @main(%p: tensor<i32> {jax.global_constant = \"_platform_index\"}, %x: tensor<2xf32>) -> tensor<2xf32> {
  %r = \"stablehlo.case\"(%p) ({
    stablehlo.return %x : tensor<2xf32>
  }, {
    %n = stablehlo.negate %x : tensor<2xf32>
    stablehlo.return %n : tensor<2xf32>
  }) : (tensor<i32>) -> tensor<2xf32>
  return %r : tensor<2xf32>
}";
    for (platform, inputs, nodes) in [(Some(0), 1, 0), (Some(1), 1, 1)] {
        let g = translated(text, Known { platform, ..Known::default() }).unwrap().graph;
        assert_eq!((g.inputs.len(), g.nodes().len()), (inputs, nodes), "{platform:?}");
        assert_eq!(&*g.value(g.inputs[0]).name, "arg0");
    }
    // A text does not say which number means what: the index stays an input.
    assert_eq!(translated(text, Known::default()).unwrap().graph.inputs.len(), 2);
    // A file of `jax.export` does.
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stablehlo/artifacts/platforms.jax");
    let g = beiming::import::read(&file, &ImportOptions::default()).unwrap();
    assert_eq!(g.inputs.iter().map(|v| &*g.value(*v).name).collect::<Vec<_>>(), ["x"]);
}

#[test]
fn einstein_sums() {
    let ab = "  %a = stablehlo.constant dense<[[1, 2], [3, 4]]> : tensor<2x2xi32>
  %b = stablehlo.constant dense<[[5, 6], [7, 8]]> : tensor<2x2xi32>\n";
    for (config, shape, want) in [
        ("ij,jk->ik", "2x2", "[[19, 22], [43, 50]]"),
        ("ij,jk->ki", "2x2", "[[19, 43], [22, 50]]"),
        ("ij,ij->", "", "70"),
        ("ij,ij->i", "2", "[17, 53]"),
        ("ij,kl->ik", "2x2", "[[33, 45], [77, 105]]"),
        ("ii,ij->j", "2", "[33, 38]"),
        ("...i,...i->...", "2", "[17, 53]"),
        ("i...,ij->j...", "2x2", "[[26, 38], [30, 44]]"),
    ] {
        let to = if shape.is_empty() { "i32".to_string() } else { format!("{shape}xi32") };
        let ty = format!("(tensor<2x2xi32>, tensor<2x2xi32>) -> tensor<{to}>");
        let line = format!("  %c = \"stablehlo.einsum\"(%a, %b) {{einsum_config = \"{config}\"}} : {ty}\n");
        holds(config, &main(&(ab.to_string() + &line + &expect("%c", &to, want))));
    }
    for (config, to, want) in [("ij->ji", "2x2xi32", "[[1, 3], [2, 4]]"), ("ii->", "i32", "5"), ("ii->i", "2xi32", "[1, 4]")] {
        let ty = format!("(tensor<2x2xi32>) -> tensor<{to}>");
        let line = format!("  %c = \"stablehlo.unary_einsum\"(%a) {{einsum_config = \"{config}\"}} : {ty}\n");
        holds(config, &main(&(ab.to_string() + &line + &expect("%c", to, want))));
    }
    let line = "  %c = \"stablehlo.einsum\"(%a, %b) {einsum_config = \"ij,jk->iz\"} : (tensor<2x2xi32>, tensor<2x2xi32>) -> tensor<2x2xi32>\n";
    let e = translated(&main(&(ab.to_string() + line)), Known::default()).unwrap_err().to_string();
    assert!(e.contains("einsum `ij,jk->iz`: axes are named by letters"), "{e}");
}

#[test]
fn a_participant_alone() {
    let x = "  %x = stablehlo.constant dense<[1, 2]> : tensor<2xi32>\n";
    let reduce = |op: &str, groups: &str| {
        format!(
            "\"stablehlo.{op}\"(%x) ({{
    ^bb0(%a: tensor<i32>, %b: tensor<i32>):
      %s = stablehlo.add %a, %b : tensor<i32>
      stablehlo.return %s : tensor<i32>
    }}) {{replica_groups = dense<{groups}>, channel_handle = #stablehlo.channel_handle<handle = 0, type = 0>}} : (tensor<2xi32>) -> tensor<2xi32>\n"
        )
    };
    let same = expect("%y", "2xi32", "[1, 2]");
    for (op, groups) in [
        ("all_reduce", "0> : tensor<1x1xi64"),
        ("all_reduce", "[[0], [1]]> : tensor<2x1xi64"),
        ("collective_reduce", "0> : tensor<1x1xi64"),
    ] {
        holds(op, &main(&format!("{x}  %y = {}{same}", reduce(op, groups))));
    }
    let later = format!(
        "{x}  %f = \"stablehlo.async_start\"(%x) ({{
    %z = {}    stablehlo.return %z : tensor<2xi32>
  }}) : (tensor<2xi32>) -> !stablehlo.future<tensor<2xi32>>
  %y = \"stablehlo.async_done\"(%f) : (!stablehlo.future<tensor<2xi32>>) -> tensor<2xi32>\n{same}",
        reduce("all_reduce", "0> : tensor<1x1xi64")
    );
    holds("async", &main(&later));
}

/// As `jax.lax.approx_max_k` and `approx_min_k` are written.
#[test]
fn approximate_selection_is_exact() {
    let program = |direction: &str, config: &str, values: &str, places: &str| {
        let call = format!(
            "  %x = stablehlo.constant dense<[[3.0, 1.0, 9.0, -2.0], [0.5, 8.0, 8.0, 7.0]]> : tensor<2x4xf32>
  %i = stablehlo.iota dim = 1 : tensor<2x4xi32>
  %x0 = stablehlo.constant dense<0xFF800000> : tensor<f32>
  %i0 = stablehlo.constant dense<-1> : tensor<i32>
  %r:2 = stablehlo.custom_call @ApproxTopK(%x, %i, %x0, %i0) {{called_computations = [@before], {config}}} : \
             (tensor<2x4xf32>, tensor<2x4xi32>, tensor<f32>, tensor<i32>) -> (tensor<2x2xf32>, tensor<2x2xi32>)\n"
        );
        let before = format!(
            "func.func private @before(%a: tensor<f32>, %b: tensor<f32>, %i: tensor<i32>, %j: tensor<i32>) -> tensor<i1> {{
  %c = stablehlo.compare {direction}, %a, %b, TOTALORDER : (tensor<f32>, tensor<f32>) -> tensor<i1>
  return %c : tensor<i1>
}}\n"
        );
        main(&(call + &expect("%r#0", "2x2xf32", values) + &expect("%r#1", "2x2xi32", places))) + &before
    };
    let told = "{aggregate_to_topk = true, recall_target = 0.949999988 : f32, reduction_dim = 1 : i64, \
                reduction_input_size_override = -1 : i64, top_k = 2 : i64}";
    for (direction, values, places) in
        [("GT", "[[9.0, 3.0], [8.0, 8.0]]", "[[2, 0], [1, 2]]"), ("LT", "[[-2.0, 1.0], [0.5, 7.0]]", "[[3, 1], [0, 3]]")]
    {
        holds(direction, &program(direction, &format!("mhlo.backend_config = {told}"), values, places));
        holds(direction, &program(direction, &format!("api_version = 4 : i32, backend_config = {told}"), values, places));
    }
    for (config, why) in [
        (told.replace("reduction_dim = 1", "reduction_dim = 2"), "names axis 2"),
        (told.replace("top_k = 2", "top_k = 3"), "fewer than the 3 that it selects"),
        (told.replace(", top_k = 2 : i64", ""), "must have the integer `top_k`"),
    ] {
        let text = program("GT", &format!("mhlo.backend_config = {config}"), "[[0.0, 0.0], [0.0, 0.0]]", "[[0, 0], [0, 0]]");
        let e = translated(&text, Known::default()).unwrap_err().to_string();
        assert!(e.contains(why), "{e}");
    }
}

/// The driver of StableHLO's interpreter judges custom calls more leniently than the operations, and reads no attributes of theirs.
#[test]
fn checks_are_as_strict_as_the_driver() {
    let pair = "(%x, %x)";
    let types = "(tensor<1xf32>, tensor<1xf32>) -> ()";
    for (line, want) in [
        (format!("\"check.expect_almost_eq\"{pair} : {types}"), Criterion::AlmostEqual(1e-4)),
        (format!("\"check.expect_almost_eq\"{pair} {{tolerance = 2.0e-2 : f64}} : {types}"), Criterion::AlmostEqual(2e-2)),
        (format!("stablehlo.custom_call @check.expect_almost_eq{pair} : {types}"), Criterion::AlmostEqual(1e-3)),
        (format!("stablehlo.custom_call @check.expect_close{pair} : {types}"), Criterion::Close { min: 0, max: 3 }),
        (format!("stablehlo.custom_call @check.expect_eq{pair} : {types}"), Criterion::Equal),
    ] {
        let text = main(&format!("  %x = stablehlo.constant dense<1.0> : tensor<1xf32>\n  {line}"));
        let t = translated(&text, Known::default()).unwrap_or_else(|e| panic!("{line}: {e}"));
        assert_eq!(t.checks.iter().map(|c| c.criterion).collect::<Vec<_>>(), [want], "{line}");
    }
}

#[test]
fn operands_that_an_operation_does_not_take() {
    let lines = r#"%a = stablehlo.constant dense<[1.0, -2.0]> : tensor<2xf32>
    %b = "stablehlo.abs"(%a, %a) : (tensor<2xf32>, tensor<2xf32>) -> tensor<2xf32>
    %c = "stablehlo.add"(%a) : (tensor<2xf32>) -> tensor<2xf32>"#;
    let e = translated(&main(lines), Known::default()).expect_err("two operations with other operands");
    let ImportError::Invalid { errors, .. } = e else { panic!("{e}") };
    let said: Vec<&str> = errors.iter().map(|e| e.message.as_str()).collect();
    assert_eq!(said, ["takes 1 operand, got 2", "takes 2 operands, got 1"]);
}
