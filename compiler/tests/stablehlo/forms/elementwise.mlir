// Elementwise operations, shapes, constants and types: pretty forms.
!row = tensor<4xf32>
#dims = array<i64: 1>
module @elementwise attributes {mhlo.num_partitions = 1 : i32} {
  func.func public @main(%arg0: !row {jax.arg_info = "x"} loc("x"), %arg1: tensor<4xi1>) -> (tensor<4xf32> {jax.result_info = "y"}) {
    %cst = stablehlo.constant dense<[1.0, -2.5e-1, 0x7F800000, 3.0]> : tensor<4xf32>
    %0 = stablehlo.add %arg0, %cst : tensor<4xf32> loc("add"("model.py":3:5))
    %1 = stablehlo.convert %0 : (tensor<4xf32>) -> tensor<4xbf16>
    %2 = stablehlo.convert %1 : (tensor<4xbf16>) -> tensor<4xf32>
    %3 = stablehlo.select %arg1, %2, %arg0 : tensor<4xi1>, tensor<4xf32>
    %4 = stablehlo.compare LT, %3, %0, FLOAT : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xi1>
    %5 = stablehlo.clamp %3, %3, %3 : tensor<4xf32>
    %6 = stablehlo.complex %5, %5 : tensor<4xcomplex<f32>>
    %7 = stablehlo.abs %6 : (tensor<4xcomplex<f32>>) -> tensor<4xf32>
    %8 = stablehlo.broadcast_in_dim %7, dims = [1] : (tensor<4xf32>) -> tensor<2x4xf32>
    %9 = stablehlo.transpose %8, dims = [1, 0] : (tensor<2x4xf32>) -> tensor<4x2xf32>
    %10 = stablehlo.slice %9 [0:4:2, 1:2] : (tensor<4x2xf32>) -> tensor<2x1xf32>
    %11 = stablehlo.reshape %10 : (tensor<2x1xf32>) -> tensor<2xf32>
    %c = stablehlo.constant dense<(1.0, -2.0)> : tensor<2xcomplex<f64>>
    %c_0 = stablehlo.constant dense<"0x01000000FFFFFFFF"> : tensor<2xi32>
    %c_1 = stablehlo.constant dense<18446744073709551615> : tensor<ui64>
    %c_2 = stablehlo.constant dense<[true, false]> : tensor<2xi1>
    %c_3 = stablehlo.constant dense<> : tensor<0x3xf16>
    %cst_s = stablehlo.constant dense<0.000000e+00> : tensor<f32>
    %12 = stablehlo.iota dim = 0 : tensor<4xi32>
    %13 = stablehlo.exponential %11 {result_accuracy = #stablehlo.result_accuracy<ulps = 1, mode = #stablehlo.result_accuracy_mode<TOLERANCE>>} : tensor<2xf32>
    %14 = stablehlo.pad %13, %cst_s, low = [1], high = [1], interior = [0] : (tensor<2xf32>, tensor<f32>) -> tensor<4xf32>
    %15 = chlo.erf %14 : tensor<4xf32> -> tensor<4xf32>
    %values, %indices = chlo.top_k(%15, k = 2) : tensor<4xf32> -> (tensor<2xf32>, tensor<2xi32>)
    return %15 : tensor<4xf32>
  }
}
