//! What the reader accepts, and what it says about what it does not.

use super::*;

#[test]
fn smoke() {
    let src = b"func.func @main(%arg0: tensor<4xf32>) -> tensor<4xf32> {\n  %0 = stablehlo.add %arg0, %arg0 : tensor<4xf32>\n  return %0 : tensor<4xf32>\n}\n";
    let m = parse(src).expect("parses");
    assert_eq!(m.functions.len(), 1);
    assert_eq!(m.functions[0].body.ops.len(), 2);
}
