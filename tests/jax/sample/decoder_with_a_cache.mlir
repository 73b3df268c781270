module @jit_decode attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
  func.func public @main(%arg0: tensor<32xf32>, %arg1: tensor<32xf32>, %arg2: tensor<64x32xf32>, %arg3: tensor<32xf32>, %arg4: tensor<32xf32>, %arg5: tensor<32x32xf32>, %arg6: tensor<32x96xf32>, %arg7: tensor<32x64xf32>, %arg8: tensor<1x1x32xf32>) -> (tensor<i32> {jax.result_info = "result[0]"}, tensor<1x1x32xf32> {jax.result_info = "result[1]"}, tensor<1x8x4x8xf32> {jax.result_info = "result[2]"}, tensor<1x8x4x8xf32> {jax.result_info = "result[3]"}) {
    %cst = stablehlo.constant dense<0.000000e+00> : tensor<f32>
    %0 = stablehlo.broadcast_in_dim %cst, dims = [] : (tensor<f32>) -> tensor<1x8x4x8xf32>
    %c = stablehlo.constant dense<0> : tensor<i32>
    %1:8 = stablehlo.while(%iterArg = %arg3, %iterArg_0 = %arg0, %iterArg_1 = %arg6, %iterArg_2 = %arg5, %iterArg_3 = %c, %iterArg_4 = %arg8, %iterArg_5 = %0, %iterArg_6 = %0) : tensor<32xf32>, tensor<32xf32>, tensor<32x96xf32>, tensor<32x32xf32>, tensor<i32>, tensor<1x1x32xf32>, tensor<1x8x4x8xf32>, tensor<1x8x4x8xf32>
    cond {
      %c_7 = stablehlo.constant dense<6> : tensor<i32>
      %2 = stablehlo.compare LT, %iterArg_3, %c_7, SIGNED : (tensor<i32>, tensor<i32>) -> tensor<i1>
      stablehlo.return %2 : tensor<i1>
    } do {
      %cst_7 = stablehlo.constant dense<0.000000e+00> : tensor<f32>
      %2 = stablehlo.reduce(%iterArg_4 init: %cst_7) applies stablehlo.add across dimensions = [2] : (tensor<1x1x32xf32>, tensor<f32>) -> tensor<1x1xf32>
      %3 = stablehlo.broadcast_in_dim %2, dims = [0, 1] : (tensor<1x1xf32>) -> tensor<1x1x1xf32>
      %cst_8 = stablehlo.constant dense<3.200000e+01> : tensor<f32>
      %4 = stablehlo.broadcast_in_dim %cst_8, dims = [] : (tensor<f32>) -> tensor<1x1x1xf32>
      %5 = stablehlo.divide %3, %4 : tensor<1x1x1xf32>
      %6 = stablehlo.broadcast_in_dim %5, dims = [0, 1, 2] : (tensor<1x1x1xf32>) -> tensor<1x1x32xf32>
      %7 = stablehlo.subtract %iterArg_4, %6 : tensor<1x1x32xf32>
      %8 = stablehlo.multiply %7, %7 : tensor<1x1x32xf32>
      %cst_9 = stablehlo.constant dense<0.000000e+00> : tensor<f32>
      %9 = stablehlo.reduce(%8 init: %cst_9) applies stablehlo.add across dimensions = [2] : (tensor<1x1x32xf32>, tensor<f32>) -> tensor<1x1xf32>
      %10 = stablehlo.broadcast_in_dim %9, dims = [0, 1] : (tensor<1x1xf32>) -> tensor<1x1x1xf32>
      %cst_10 = stablehlo.constant dense<3.200000e+01> : tensor<f32>
      %11 = stablehlo.broadcast_in_dim %cst_10, dims = [] : (tensor<f32>) -> tensor<1x1x1xf32>
      %12 = stablehlo.divide %10, %11 : tensor<1x1x1xf32>
      %13 = stablehlo.broadcast_in_dim %5, dims = [0, 1, 2] : (tensor<1x1x1xf32>) -> tensor<1x1x32xf32>
      %14 = stablehlo.subtract %iterArg_4, %13 : tensor<1x1x32xf32>
      %cst_11 = stablehlo.constant dense<9.99999974E-6> : tensor<f32>
      %15 = stablehlo.broadcast_in_dim %cst_11, dims = [] : (tensor<f32>) -> tensor<1x1x1xf32>
      %16 = stablehlo.add %12, %15 : tensor<1x1x1xf32>
      %17 = stablehlo.rsqrt %16 : tensor<1x1x1xf32>
      %18 = stablehlo.broadcast_in_dim %17, dims = [0, 1, 2] : (tensor<1x1x1xf32>) -> tensor<1x1x32xf32>
      %19 = stablehlo.multiply %14, %18 : tensor<1x1x32xf32>
      %20 = stablehlo.broadcast_in_dim %iterArg, dims = [2] : (tensor<32xf32>) -> tensor<1x1x32xf32>
      %21 = stablehlo.multiply %19, %20 : tensor<1x1x32xf32>
      %22 = stablehlo.broadcast_in_dim %iterArg_0, dims = [2] : (tensor<32xf32>) -> tensor<1x1x32xf32>
      %23 = stablehlo.add %21, %22 : tensor<1x1x32xf32>
      %24 = stablehlo.dot_general %23, %iterArg_1, contracting_dims = [2] x [0], precision = [DEFAULT, DEFAULT] : (tensor<1x1x32xf32>, tensor<32x96xf32>) -> tensor<1x1x96xf32>
      %25 = stablehlo.slice %24 [0:1, 0:1, 0:32] : (tensor<1x1x96xf32>) -> tensor<1x1x32xf32>
      %26 = stablehlo.slice %24 [0:1, 0:1, 32:64] : (tensor<1x1x96xf32>) -> tensor<1x1x32xf32>
      %27 = stablehlo.slice %24 [0:1, 0:1, 64:96] : (tensor<1x1x96xf32>) -> tensor<1x1x32xf32>
      %28 = stablehlo.reshape %25 : (tensor<1x1x32xf32>) -> tensor<1x1x4x8xf32>
      %29 = stablehlo.reshape %26 : (tensor<1x1x32xf32>) -> tensor<1x1x4x8xf32>
      %30 = stablehlo.reshape %27 : (tensor<1x1x32xf32>) -> tensor<1x1x4x8xf32>
      %c_12 = stablehlo.constant dense<0> : tensor<i32>
      %31 = stablehlo.compare LT, %iterArg_3, %c_12, SIGNED : (tensor<i32>, tensor<i32>) -> tensor<i1>
      %32 = stablehlo.convert %iterArg_3 : tensor<i32>
      %c_13 = stablehlo.constant dense<8> : tensor<i32>
      %33 = stablehlo.add %32, %c_13 : tensor<i32>
      %34 = stablehlo.select %31, %33, %iterArg_3 : tensor<i1>, tensor<i32>
      %c_14 = stablehlo.constant dense<0> : tensor<i32>
      %c_15 = stablehlo.constant dense<0> : tensor<i32>
      %c_16 = stablehlo.constant dense<0> : tensor<i32>
      %35 = stablehlo.dynamic_update_slice %iterArg_5, %29, %c_14, %34, %c_15, %c_16 : (tensor<1x8x4x8xf32>, tensor<1x1x4x8xf32>, tensor<i32>, tensor<i32>, tensor<i32>, tensor<i32>) -> tensor<1x8x4x8xf32>
      %c_17 = stablehlo.constant dense<0> : tensor<i32>
      %36 = stablehlo.compare LT, %iterArg_3, %c_17, SIGNED : (tensor<i32>, tensor<i32>) -> tensor<i1>
      %37 = stablehlo.convert %iterArg_3 : tensor<i32>
      %c_18 = stablehlo.constant dense<8> : tensor<i32>
      %38 = stablehlo.add %37, %c_18 : tensor<i32>
      %39 = stablehlo.select %36, %38, %iterArg_3 : tensor<i1>, tensor<i32>
      %c_19 = stablehlo.constant dense<0> : tensor<i32>
      %c_20 = stablehlo.constant dense<0> : tensor<i32>
      %c_21 = stablehlo.constant dense<0> : tensor<i32>
      %40 = stablehlo.dynamic_update_slice %iterArg_6, %30, %c_19, %39, %c_20, %c_21 : (tensor<1x8x4x8xf32>, tensor<1x1x4x8xf32>, tensor<i32>, tensor<i32>, tensor<i32>, tensor<i32>) -> tensor<1x8x4x8xf32>
      %41 = stablehlo.iota dim = 0 : tensor<8xi32>
      %42 = stablehlo.convert %iterArg_3 : tensor<i32>
      %43 = stablehlo.broadcast_in_dim %42, dims = [] : (tensor<i32>) -> tensor<8xi32>
      %44 = stablehlo.compare LE, %41, %43, SIGNED : (tensor<8xi32>, tensor<8xi32>) -> tensor<8xi1>
      %45 = stablehlo.broadcast_in_dim %44, dims = [3] : (tensor<8xi1>) -> tensor<1x1x1x8xi1>
      %46 = stablehlo.dot_general %28, %35, batching_dims = [0, 2] x [0, 2], contracting_dims = [3] x [3], precision = [DEFAULT, DEFAULT] : (tensor<1x1x4x8xf32>, tensor<1x8x4x8xf32>) -> tensor<1x4x1x8xf32>
      %cst_22 = stablehlo.constant dense<2.82842708> : tensor<f32>
      %47 = stablehlo.broadcast_in_dim %cst_22, dims = [] : (tensor<f32>) -> tensor<1x4x1x8xf32>
      %48 = stablehlo.divide %46, %47 : tensor<1x4x1x8xf32>
      %cst_23 = stablehlo.constant dense<-1.000000e+09> : tensor<f32>
      %49 = func.call @_where(%45, %48, %cst_23) : (tensor<1x1x1x8xi1>, tensor<1x4x1x8xf32>, tensor<f32>) -> tensor<1x4x1x8xf32>
      %cst_24 = stablehlo.constant dense<0xFF800000> : tensor<f32>
      %50 = stablehlo.reduce(%49 init: %cst_24) applies stablehlo.maximum across dimensions = [3] : (tensor<1x4x1x8xf32>, tensor<f32>) -> tensor<1x4x1xf32>
      %cst_25 = stablehlo.constant dense<0xFF800000> : tensor<f32>
      %51 = stablehlo.broadcast_in_dim %cst_25, dims = [] : (tensor<f32>) -> tensor<1x4x1xf32>
      %52 = stablehlo.maximum %51, %50 : tensor<1x4x1xf32>
      %53 = stablehlo.broadcast_in_dim %52, dims = [0, 1, 2] : (tensor<1x4x1xf32>) -> tensor<1x4x1x1xf32>
      %54 = stablehlo.broadcast_in_dim %53, dims = [0, 1, 2, 3] : (tensor<1x4x1x1xf32>) -> tensor<1x4x1x8xf32>
      %55 = stablehlo.subtract %49, %54 : tensor<1x4x1x8xf32>
      %56 = stablehlo.exponential %55 : tensor<1x4x1x8xf32>
      %cst_26 = stablehlo.constant dense<0.000000e+00> : tensor<f32>
      %57 = stablehlo.reduce(%56 init: %cst_26) applies stablehlo.add across dimensions = [3] : (tensor<1x4x1x8xf32>, tensor<f32>) -> tensor<1x4x1xf32>
      %58 = stablehlo.broadcast_in_dim %57, dims = [0, 1, 2] : (tensor<1x4x1xf32>) -> tensor<1x4x1x1xf32>
      %59 = stablehlo.broadcast_in_dim %58, dims = [0, 1, 2, 3] : (tensor<1x4x1x1xf32>) -> tensor<1x4x1x8xf32>
      %60 = stablehlo.divide %56, %59 : tensor<1x4x1x8xf32>
      %61 = stablehlo.dot_general %40, %60, batching_dims = [0, 2] x [0, 1], contracting_dims = [1] x [3], precision = [DEFAULT, DEFAULT] : (tensor<1x8x4x8xf32>, tensor<1x4x1x8xf32>) -> tensor<1x4x8x1xf32>
      %62 = stablehlo.transpose %61, dims = [0, 3, 1, 2] : (tensor<1x4x8x1xf32>) -> tensor<1x1x4x8xf32>
      %63 = stablehlo.reshape %62 : (tensor<1x1x4x8xf32>) -> tensor<1x1x32xf32>
      %64 = stablehlo.dot_general %63, %iterArg_2, contracting_dims = [2] x [0], precision = [DEFAULT, DEFAULT] : (tensor<1x1x32xf32>, tensor<32x32xf32>) -> tensor<1x1x32xf32>
      %65 = stablehlo.add %iterArg_4, %64 : tensor<1x1x32xf32>
      %c_27 = stablehlo.constant dense<1> : tensor<i32>
      %66 = stablehlo.add %iterArg_3, %c_27 : tensor<i32>
      stablehlo.return %iterArg, %iterArg_0, %iterArg_1, %iterArg_2, %66, %65, %35, %40 : tensor<32xf32>, tensor<32xf32>, tensor<32x96xf32>, tensor<32x32xf32>, tensor<i32>, tensor<1x1x32xf32>, tensor<1x8x4x8xf32>, tensor<1x8x4x8xf32>
    }
    return %1#4, %1#5, %1#6, %1#7 : tensor<i32>, tensor<1x1x32xf32>, tensor<1x8x4x8xf32>, tensor<1x8x4x8xf32>
  }
  func.func private @_where(%arg0: tensor<1x1x1x8xi1>, %arg1: tensor<1x4x1x8xf32>, %arg2: tensor<f32>) -> tensor<1x4x1x8xf32> {
    %0 = stablehlo.convert %arg2 : tensor<f32>
    %1 = stablehlo.broadcast_in_dim %arg0, dims = [0, 1, 2, 3] : (tensor<1x1x1x8xi1>) -> tensor<1x4x1x8xi1>
    %2 = stablehlo.broadcast_in_dim %0, dims = [] : (tensor<f32>) -> tensor<1x4x1x8xf32>
    %3 = stablehlo.select %1, %arg1, %2 : tensor<1x4x1x8xi1>, tensor<1x4x1x8xf32>
    return %3 : tensor<1x4x1x8xf32>
  }
}
