//! LAPACK calls as JAX writes them for a CPU, on matrices whose factors are known. (JAX itself is held against in `tests/jax`.)

use super::meaning::{holds, main};

/// A call: routine, letters of its configuration, arguments with their types, types of the results.
fn call(routine: &str, config: &str, args: &[(&str, &str)], results: &[&str]) -> String {
    let values: Vec<String> = (0..args.len()).map(|i| format!("%a{i}")).collect();
    let of = |t: &&str| format!("tensor<{t}>");
    let constants: String =
        args.iter().enumerate().map(|(i, (v, t))| format!("  %a{i} = stablehlo.constant dense<{v}> : tensor<{t}>\n")).collect();
    let types: Vec<String> = args.iter().map(|(_, t)| of(t)).collect();
    let results: Vec<String> = results.iter().map(of).collect();
    format!(
        "{constants}  %r:{} = stablehlo.custom_call @lapack_{routine}_ffi({}) {{mhlo.backend_config = {{{config}}}}} : ({}) -> ({})\n",
        results.len(),
        values.join(", "),
        types.join(", "),
        results.join(", ")
    )
}

/// Holds result `i` within 1e-9.
fn near(i: usize, ty: &str, want: &str) -> String {
    format!(
        "  %w{i} = stablehlo.constant dense<{want}> : tensor<{ty}>
  \"check.expect_almost_eq\"(%r#{i}, %w{i}) {{tolerance = 1.0e-9 : f64}} : (tensor<{ty}>, tensor<{ty}>) -> ()\n"
    )
}

#[test]
fn factors_are_those_of_lapack() {
    let z2 = "2x2xcomplex<f64>";
    for (what, program, checks) in [
        (
            "rows exchanged, complex",
            call("zgetrf", "", &[("[[(0.0, 1.0), (1.0, 0.0)], [(0.0, 2.0), (4.0, 0.0)]]", z2)], &[z2, "2xi32", "i32"]),
            near(0, z2, "[[(0.0, 2.0), (4.0, 0.0)], [(0.5, 0.0), (-1.0, 0.0)]]")
                + "  check.expect_eq_const %r#1, dense<[2, 2]> : tensor<2xi32>\n",
        ),
        (
            "a reflection, complex",
            call("zgeqrf", "", &[("[[(0.0, 3.0), (1.0, 0.0)], [(4.0, 0.0), (0.0, 0.0)]]", z2)], &[z2, "2xcomplex<f64>"]),
            // beta = -5, tau = 1 + 3i/5, v = 4 / (5 + 3i)
            near(0, z2, "[[(-5.0, 0.0), (0.0, 0.6)], [(0.5882352941176471, -0.35294117647058826), (0.8, 0.0)]]"),
        ),
        (
            "the longest column first",
            call("dgeqp3", "", &[("[[1.0, 0.0], [0.0, 2.0]]", "2x2xf64"), ("0", "2xi32")], &["2x2xf64", "2xi32", "2xf64"]),
            near(0, "2x2xf64", "[[-2.0, 0.0], [1.0, -1.0]]")
                + "  check.expect_eq_const %r#1, dense<[2, 1]> : tensor<2xi32>\n"
                + &near(2, "2xf64", "[1.0, 0.0]"),
        ),
        (
            "Hessenberg form",
            call(
                "dgehrd",
                "low = 1 : i32, high = 3 : i32",
                &[("[[1.0, 2.0, 3.0], [3.0, 1.0, 0.0], [4.0, 0.0, 2.0]]", "3x3xf64")],
                &["3x3xf64", "2xf64", "i32"],
            ),
            near(0, "3x3xf64", "[[1.0, -3.6, 0.2], [-5.0, 1.64, -0.48], [0.5, -0.48, 1.36]]") + &near(1, "2xf64", "[1.6, 0.0]"),
        ),
        (
            "a tridiagonal system that exchanges rows",
            call(
                "dgtsv",
                "",
                &[
                    ("[0.0, 1.0, 4.0]", "3xf64"),
                    ("[0.0, 2.0, 1.0]", "3xf64"),
                    ("[1.0, 1.0, 0.0]", "3xf64"),
                    ("[[2.0], [8.0], [11.0]]", "3x1xf64"),
                ],
                &["3xf64", "3xf64", "3xf64", "3x1xf64", "i32"],
            ),
            near(3, "3x1xf64", "[[1.0], [2.0], [3.0]]"),
        ),
        (
            "tridiagonal form of an upper triangle",
            call(
                "dsytrd",
                "uplo = 85 : ui8",
                &[("[[1.0, 2.0, 3.0], [90.0, 4.0, 4.0], [80.0, 70.0, 7.0]]", "3x3xf64")],
                &["3x3xf64", "3xf64", "2xf64", "2xf64", "i32"],
            ),
            // The column above the last diagonal element is (3, 4): beta = -5, tau = 1 + 4/5, v = (1/3, 1).
            near(1, "3xf64", "[0.16, 4.84, 7.0]")
                + &near(2, "2xf64", "[0.88, -5.0]")
                + &near(3, "2xf64", "[0.0, 1.8]")
                + &near(0, "3x3xf64", "[[0.16, 0.88, 0.333333333333], [90.0, 4.84, -5.0], [80.0, 70.0, 7.0]]"),
        ),
        (
            "values of a Hermitian matrix",
            call(
                "zheevd",
                "mode = 86 : ui8, uplo = 76 : ui8",
                &[("[[(2.0, 0.0), (9.0, 9.0)], [(0.0, 1.0), (2.0, 0.0)]]", z2)],
                &[z2, "2xf64", "i32"],
            ),
            near(1, "2xf64", "[1.0, 3.0]"),
        ),
        (
            "all vectors of a matrix that has none",
            call("dgesdd", "mode = 65 : ui8", &[("0.0", "3x1xf64")], &["3x1xf64", "1xf64", "3x3xf64", "1x1xf64", "i32"]),
            near(1, "1xf64", "0.0") + &near(2, "3x3xf64", "[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]"),
        ),
    ] {
        holds(what, &main(&(program + &checks)));
    }
}

#[test]
fn eigenvalues_of_any_matrix() {
    // A turn by a right angle has none that are real; a triangle's stand on its diagonal.
    let turn = call(
        "dgeev",
        "compute_left = 78 : ui8, compute_right = 86 : ui8",
        &[("[[0.0, -2.0], [2.0, 0.0]]", "2x2xf64")],
        &["2xf64", "2xf64", "2x2xcomplex<f64>", "2x2xcomplex<f64>", "i32"],
    );
    let squares = "  %s = stablehlo.multiply %r#1, %r#1 : tensor<2xf64>
  %w = stablehlo.constant dense<4.0> : tensor<2xf64>
  \"check.expect_almost_eq\"(%s, %w) {tolerance = 1.0e-9 : f64} : (tensor<2xf64>, tensor<2xf64>) -> ()\n";
    holds("geev", &main(&(turn + &near(0, "2xf64", "0.0") + squares)));
    let z2 = "2x2xcomplex<f64>";
    let triangle = call(
        "zgees",
        "mode = 86 : ui8, sort = 78 : ui8",
        &[("[[(1.0, 1.0), (5.0, 0.0)], [(0.0, 0.0), (2.0, -1.0)]]", z2)],
        &[z2, z2, "2xcomplex<f64>", "i32", "i32"],
    );
    holds("gees", &main(&(triangle + &near(2, "2xcomplex<f64>", "[(1.0, 1.0), (2.0, -1.0)]"))));
}

/// The program `call` of `dgees` on an `n` x `n` matrix, and checks that its results make up the matrix.
fn real_schur(n: usize, matrix: &str, checks: &str) -> String {
    let (m, list) = (format!("{n}x{n}xf64"), format!("{n}xf64"));
    let program = call("dgees", "mode = 86 : ui8, sort = 78 : ui8", &[(matrix, &m)], &[&m, &m, &list, &list, "i32", "i32"]);
    let (dot, plain) = ("stablehlo.dot_general", format!("(tensor<{m}>, tensor<{m}>) -> tensor<{m}>"));
    let same = "tolerance = 1.0e-9 : f64";
    main(&format!(
        "{program}  check.expect_eq_const %r#5, dense<0> : tensor<i32>
  %qt = {dot} %r#1, %r#0, contracting_dims = [1] x [0] : {plain}
  %whole = {dot} %qt, %r#1, contracting_dims = [1] x [1] : {plain}
  \"check.expect_almost_eq\"(%whole, %a0) {{{same}}} : (tensor<{m}>, tensor<{m}>) -> ()
  %square = {dot} %r#1, %r#1, contracting_dims = [0] x [0] : {plain}
  %i = stablehlo.iota dim = 0 : tensor<{m}>
  %j = stablehlo.iota dim = 1 : tensor<{m}>
  %on = stablehlo.compare EQ, %i, %j : (tensor<{m}>, tensor<{m}>) -> tensor<{n}x{n}xi1>
  %eye = stablehlo.convert %on : (tensor<{n}x{n}xi1>) -> tensor<{m}>
  \"check.expect_almost_eq\"(%square, %eye) {{{same}}} : (tensor<{m}>, tensor<{m}>) -> ()\n{checks}"
    ))
}

#[test]
fn real_schur_forms_are_those_of_lapack() {
    let near = |i, n: usize, want: &str| near(i, &if i < 2 { format!("{n}x{n}xf64") } else { format!("{n}xf64") }, want);
    let same = |m: &str, im: &str| near(0, 2, m) + &near(3, 2, im);
    for (what, n, matrix, checks) in [
        ("one number", 1, "[[3.0]]", near(0, 1, "[[3.0]]") + &near(1, 1, "[[1.0]]") + &near(2, 1, "3.0") + &near(3, 1, "0.0")),
        ("a standard block", 2, "[[0.0, -2.0], [8.0, 0.0]]", same("[[0.0, -2.0], [8.0, 0.0]]", "[4.0, -4.0]")),
        ("real eigenvalues", 2, "1.0", same("[[2.0, 0.0], [0.0, 0.0]]", "0.0")),
        ("a lower triangle", 2, "[[1.0, 0.0], [3.0, 2.0]]", same("[[2.0, -3.0], [0.0, 1.0]]", "0.0")),
        // Its eigenvalues are determined to half the digits only.
        ("a double eigenvalue", 2, "[[1.0, 4.0], [-1.0, 5.0]]", String::new()),
        // A cyclic permutation: only an exceptional shift gets it apart.
        ("roots of one", 3, "[[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]", String::new()),
        (
            "blocks of both kinds",
            4,
            "[[4.0, 2.0, 3.0, 4.0], [-1.0, 1.0, 2.0, 1.0], [1.0, -2.0, 6.0, 5.0], [2.0, 1.0, 1.0, 1.0]]",
            near(2, 4, "[8.796625443693152, -0.5371591897340096, 1.8702668730204373, 1.8702668730204373]")
                + &near(3, 4, "[0.0, 0.0, 2.081460490182362, -2.081460490182362]"),
        ),
        ("a matrix that is triangular", 3, "[[1.0, 2.0, 3.0], [0.0, 4.0, 5.0], [0.0, 0.0, 6.0]]", near(2, 3, "[1.0, 4.0, 6.0]")),
    ] {
        holds(what, &real_schur(n, matrix, &checks));
    }
}
