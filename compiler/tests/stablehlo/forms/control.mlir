// Regions and calls: pretty and generic forms in one file.
module {
  func.func @main(%arg0: tensor<2x3xf32>, %arg1: tensor<i32>) -> (tensor<2xf32>, tensor<i32>) {
    %init = stablehlo.constant dense<0.0> : tensor<f32>
    %0 = stablehlo.reduce(%arg0 init: %init) applies stablehlo.add across dimensions = [1] : (tensor<2x3xf32>, tensor<f32>) -> tensor<2xf32>
    %1:2 = stablehlo.reduce(%arg0 init: %init), (%arg0 init: %init) across dimensions = [1] : (tensor<2x3xf32>, tensor<2x3xf32>, tensor<f32>, tensor<f32>) -> (tensor<2xf32>, tensor<2xf32>)
     reducer(%a: tensor<f32>, %b: tensor<f32>) (%c: tensor<f32>, %d: tensor<f32>)  {
      %s = stablehlo.add %a, %b : tensor<f32>
      %m = stablehlo.maximum %c, %d : tensor<f32>
      stablehlo.return %s, %m : tensor<f32>, tensor<f32>
    }
    %n = stablehlo.constant dense<10> : tensor<i32>
    %2:2 = stablehlo.while(%i = %arg1, %x = %1#0) : tensor<i32>, tensor<2xf32>
    cond {
      %p = stablehlo.compare LT, %i, %n, SIGNED : (tensor<i32>, tensor<i32>) -> tensor<i1>
      stablehlo.return %p : tensor<i1>
    } do {
      %one = stablehlo.constant dense<1> : tensor<i32>
      %next = stablehlo.add %i, %one : tensor<i32>
      %y = func.call @double(%x) : (tensor<2xf32>) -> tensor<2xf32>
      stablehlo.return %next, %y : tensor<i32>, tensor<2xf32>
    }
    %3 = "stablehlo.case"(%2#0) ({
      stablehlo.return %2#1 : tensor<2xf32>
    }, {
      %z = stablehlo.negate %2#1 : tensor<2xf32>
      stablehlo.return %z : tensor<2xf32>
    }) : (tensor<i32>) -> tensor<2xf32>
    %4 = "stablehlo.sort"(%3) <{dimension = 0 : i64, is_stable = true}> ({
    ^bb0(%l: tensor<f32>, %r: tensor<f32>):
      %lt = stablehlo.compare LT, %l, %r, TOTALORDER : (tensor<f32>, tensor<f32>) -> tensor<i1>
      stablehlo.return %lt : tensor<i1>
    }) : (tensor<2xf32>) -> tensor<2xf32>
    %5:2 = stablehlo.optimization_barrier %4, %2#0 : tensor<2xf32>, tensor<i32>
    return %5#0, %5#1 : tensor<2xf32>, tensor<i32>
  }
  func.func private @double(%arg0: tensor<2xf32>) -> tensor<2xf32> {
    %0 = stablehlo.add %arg0, %arg0 : tensor<2xf32>
    return %0 : tensor<2xf32>
  }
  func.func private @elsewhere(tensor<2xf32>) -> tensor<2xf32>
}
