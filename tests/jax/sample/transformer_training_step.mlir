module @jit_train_block attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
  func.func public @main(%arg0: tensor<32xf32>, %arg1: tensor<32xf32>, %arg2: tensor<64x32xf32>, %arg3: tensor<32xf32>, %arg4: tensor<32xf32>, %arg5: tensor<32x32xf32>, %arg6: tensor<32x96xf32>, %arg7: tensor<32x64xf32>, %arg8: tensor<2x6x32xf32>, %arg9: tensor<2x6x32xf32>) -> (tensor<f32> {jax.result_info = "result[0]"}, tensor<32xf32> {jax.result_info = "result[1]['b1']"}, tensor<32xf32> {jax.result_info = "result[1]['b2']"}, tensor<64x32xf32> {jax.result_info = "result[1]['down']"}, tensor<32xf32> {jax.result_info = "result[1]['g1']"}, tensor<32xf32> {jax.result_info = "result[1]['g2']"}, tensor<32x32xf32> {jax.result_info = "result[1]['o']"}, tensor<32x96xf32> {jax.result_info = "result[1]['qkv']"}, tensor<32x64xf32> {jax.result_info = "result[1]['up']"}) {
    %cst = stablehlo.constant dense<0.000000e+00> : tensor<f32>
    %0 = stablehlo.reduce(%arg8 init: %cst) applies stablehlo.add across dimensions = [2] : (tensor<2x6x32xf32>, tensor<f32>) -> tensor<2x6xf32>
    %1 = stablehlo.broadcast_in_dim %0, dims = [0, 1] : (tensor<2x6xf32>) -> tensor<2x6x1xf32>
    %cst_0 = stablehlo.constant dense<3.200000e+01> : tensor<f32>
    %2 = stablehlo.broadcast_in_dim %cst_0, dims = [] : (tensor<f32>) -> tensor<2x6x1xf32>
    %3 = stablehlo.divide %1, %2 : tensor<2x6x1xf32>
    %4 = stablehlo.broadcast_in_dim %3, dims = [0, 1, 2] : (tensor<2x6x1xf32>) -> tensor<2x6x32xf32>
    %5 = stablehlo.subtract %arg8, %4 : tensor<2x6x32xf32>
    %6 = stablehlo.multiply %5, %5 : tensor<2x6x32xf32>
    %cst_1 = stablehlo.constant dense<0.000000e+00> : tensor<f32>
    %7 = stablehlo.reduce(%6 init: %cst_1) applies stablehlo.add across dimensions = [2] : (tensor<2x6x32xf32>, tensor<f32>) -> tensor<2x6xf32>
    %8 = stablehlo.broadcast_in_dim %7, dims = [0, 1] : (tensor<2x6xf32>) -> tensor<2x6x1xf32>
    %cst_2 = stablehlo.constant dense<3.200000e+01> : tensor<f32>
    %9 = stablehlo.broadcast_in_dim %cst_2, dims = [] : (tensor<f32>) -> tensor<2x6x1xf32>
    %10 = stablehlo.divide %8, %9 : tensor<2x6x1xf32>
    %11 = stablehlo.broadcast_in_dim %3, dims = [0, 1, 2] : (tensor<2x6x1xf32>) -> tensor<2x6x32xf32>
    %12 = stablehlo.subtract %arg8, %11 : tensor<2x6x32xf32>
    %cst_3 = stablehlo.constant dense<9.99999974E-6> : tensor<f32>
    %13 = stablehlo.broadcast_in_dim %cst_3, dims = [] : (tensor<f32>) -> tensor<2x6x1xf32>
    %14 = stablehlo.add %10, %13 : tensor<2x6x1xf32>
    %15 = stablehlo.rsqrt %14 : tensor<2x6x1xf32>
    %16 = stablehlo.broadcast_in_dim %15, dims = [0, 1, 2] : (tensor<2x6x1xf32>) -> tensor<2x6x32xf32>
    %17 = stablehlo.multiply %12, %16 : tensor<2x6x32xf32>
    %18 = stablehlo.broadcast_in_dim %arg3, dims = [2] : (tensor<32xf32>) -> tensor<1x1x32xf32>
    %19 = stablehlo.broadcast_in_dim %18, dims = [0, 1, 2] : (tensor<1x1x32xf32>) -> tensor<2x6x32xf32>
    %20 = stablehlo.multiply %17, %19 : tensor<2x6x32xf32>
    %21 = stablehlo.broadcast_in_dim %arg0, dims = [2] : (tensor<32xf32>) -> tensor<1x1x32xf32>
    %22 = stablehlo.broadcast_in_dim %21, dims = [0, 1, 2] : (tensor<1x1x32xf32>) -> tensor<2x6x32xf32>
    %23 = stablehlo.add %20, %22 : tensor<2x6x32xf32>
    %24 = stablehlo.dot_general %23, %arg6, contracting_dims = [2] x [0], precision = [DEFAULT, DEFAULT] : (tensor<2x6x32xf32>, tensor<32x96xf32>) -> tensor<2x6x96xf32>
    %25 = stablehlo.slice %24 [0:2, 0:6, 0:32] : (tensor<2x6x96xf32>) -> tensor<2x6x32xf32>
    %26 = stablehlo.slice %24 [0:2, 0:6, 32:64] : (tensor<2x6x96xf32>) -> tensor<2x6x32xf32>
    %27 = stablehlo.slice %24 [0:2, 0:6, 64:96] : (tensor<2x6x96xf32>) -> tensor<2x6x32xf32>
    %28 = stablehlo.reshape %25 : (tensor<2x6x32xf32>) -> tensor<2x6x4x8xf32>
    %29 = stablehlo.reshape %26 : (tensor<2x6x32xf32>) -> tensor<2x6x4x8xf32>
    %30 = stablehlo.reshape %27 : (tensor<2x6x32xf32>) -> tensor<2x6x4x8xf32>
    %c = stablehlo.constant dense<true> : tensor<i1>
    %31 = stablehlo.broadcast_in_dim %c, dims = [] : (tensor<i1>) -> tensor<6x6xi1>
    %32 = call @tril(%31) : (tensor<6x6xi1>) -> tensor<6x6xi1>
    %33 = stablehlo.dot_general %28, %29, batching_dims = [0, 2] x [0, 2], contracting_dims = [3] x [3], precision = [DEFAULT, DEFAULT] : (tensor<2x6x4x8xf32>, tensor<2x6x4x8xf32>) -> tensor<2x4x6x6xf32>
    %cst_4 = stablehlo.constant dense<2.82842708> : tensor<f32>
    %34 = stablehlo.broadcast_in_dim %cst_4, dims = [] : (tensor<f32>) -> tensor<2x4x6x6xf32>
    %35 = stablehlo.divide %33, %34 : tensor<2x4x6x6xf32>
    %cst_5 = stablehlo.constant dense<-1.000000e+09> : tensor<f32>
    %36:3 = call @_where(%32, %35, %cst_5) : (tensor<6x6xi1>, tensor<2x4x6x6xf32>, tensor<f32>) -> (tensor<2x4x6x6xf32>, tensor<2x4x6x6xi1>, tensor<2x4x6x6xf32>)
    %cst_6 = stablehlo.constant dense<0xFF800000> : tensor<f32>
    %37 = stablehlo.reduce(%36#0 init: %cst_6) applies stablehlo.maximum across dimensions = [3] : (tensor<2x4x6x6xf32>, tensor<f32>) -> tensor<2x4x6xf32>
    %38 = stablehlo.reshape %37 : (tensor<2x4x6xf32>) -> tensor<2x4x6x1xf32>
    %39 = stablehlo.broadcast_in_dim %38, dims = [0, 1, 2, 3] : (tensor<2x4x6x1xf32>) -> tensor<2x4x6x6xf32>
    %40 = stablehlo.compare EQ, %36#0, %39, FLOAT : (tensor<2x4x6x6xf32>, tensor<2x4x6x6xf32>) -> tensor<2x4x6x6xi1>
    %41 = stablehlo.convert %40 : (tensor<2x4x6x6xi1>) -> tensor<2x4x6x6xf32>
    %cst_7 = stablehlo.constant dense<0.000000e+00> : tensor<f32>
    %42 = stablehlo.reduce(%41 init: %cst_7) applies stablehlo.add across dimensions = [3] : (tensor<2x4x6x6xf32>, tensor<f32>) -> tensor<2x4x6xf32>
    %cst_8 = stablehlo.constant dense<0xFF800000> : tensor<f32>
    %43 = stablehlo.broadcast_in_dim %cst_8, dims = [] : (tensor<f32>) -> tensor<2x4x6xf32>
    %44 = stablehlo.maximum %43, %37 : tensor<2x4x6xf32>
    %45 = stablehlo.compare EQ, %37, %44, FLOAT : (tensor<2x4x6xf32>, tensor<2x4x6xf32>) -> tensor<2x4x6xi1>
    %cst_9 = stablehlo.constant dense<1.000000e+00> : tensor<f32>
    %46 = stablehlo.broadcast_in_dim %cst_9, dims = [] : (tensor<f32>) -> tensor<2x4x6xf32>
    %cst_10 = stablehlo.constant dense<0.000000e+00> : tensor<f32>
    %47 = stablehlo.broadcast_in_dim %cst_10, dims = [] : (tensor<f32>) -> tensor<2x4x6xf32>
    %48 = stablehlo.select %45, %46, %47 : tensor<2x4x6xi1>, tensor<2x4x6xf32>
    %cst_11 = stablehlo.constant dense<0xFF800000> : tensor<f32>
    %49 = stablehlo.broadcast_in_dim %cst_11, dims = [] : (tensor<f32>) -> tensor<2x4x6xf32>
    %50 = stablehlo.compare EQ, %49, %44, FLOAT : (tensor<2x4x6xf32>, tensor<2x4x6xf32>) -> tensor<2x4x6xi1>
    %cst_12 = stablehlo.constant dense<2.000000e+00> : tensor<f32>
    %51 = stablehlo.broadcast_in_dim %cst_12, dims = [] : (tensor<f32>) -> tensor<2x4x6xf32>
    %cst_13 = stablehlo.constant dense<1.000000e+00> : tensor<f32>
    %52 = stablehlo.broadcast_in_dim %cst_13, dims = [] : (tensor<f32>) -> tensor<2x4x6xf32>
    %53 = stablehlo.select %50, %51, %52 : tensor<2x4x6xi1>, tensor<2x4x6xf32>
    %54 = stablehlo.divide %48, %53 : tensor<2x4x6xf32>
    %55 = stablehlo.broadcast_in_dim %44, dims = [0, 1, 2] : (tensor<2x4x6xf32>) -> tensor<2x4x6x1xf32>
    %56 = stablehlo.broadcast_in_dim %55, dims = [0, 1, 2, 3] : (tensor<2x4x6x1xf32>) -> tensor<2x4x6x6xf32>
    %57 = stablehlo.subtract %36#0, %56 : tensor<2x4x6x6xf32>
    %58 = stablehlo.exponential %57 : tensor<2x4x6x6xf32>
    %cst_14 = stablehlo.constant dense<0.000000e+00> : tensor<f32>
    %59 = stablehlo.reduce(%58 init: %cst_14) applies stablehlo.add across dimensions = [3] : (tensor<2x4x6x6xf32>, tensor<f32>) -> tensor<2x4x6xf32>
    %60 = stablehlo.broadcast_in_dim %59, dims = [0, 1, 2] : (tensor<2x4x6xf32>) -> tensor<2x4x6x1xf32>
    %61 = stablehlo.broadcast_in_dim %60, dims = [0, 1, 2, 3] : (tensor<2x4x6x1xf32>) -> tensor<2x4x6x6xf32>
    %62 = stablehlo.divide %58, %61 : tensor<2x4x6x6xf32>
    %63 = stablehlo.multiply %60, %60 : tensor<2x4x6x1xf32>
    %cst_15 = stablehlo.constant dense<1.000000e+00> : tensor<f32>
    %64 = stablehlo.broadcast_in_dim %cst_15, dims = [] : (tensor<f32>) -> tensor<2x4x6x1xf32>
    %65 = stablehlo.divide %64, %63 : tensor<2x4x6x1xf32>
    %66 = stablehlo.dot_general %30, %62, batching_dims = [0, 2] x [0, 1], contracting_dims = [1] x [3], precision = [DEFAULT, DEFAULT] : (tensor<2x6x4x8xf32>, tensor<2x4x6x6xf32>) -> tensor<2x4x8x6xf32>
    %67 = stablehlo.transpose %66, dims = [0, 3, 1, 2] : (tensor<2x4x8x6xf32>) -> tensor<2x6x4x8xf32>
    %68 = stablehlo.reshape %67 : (tensor<2x6x4x8xf32>) -> tensor<2x6x32xf32>
    %69 = stablehlo.dot_general %68, %arg5, contracting_dims = [2] x [0], precision = [DEFAULT, DEFAULT] : (tensor<2x6x32xf32>, tensor<32x32xf32>) -> tensor<2x6x32xf32>
    %70 = stablehlo.add %arg8, %69 : tensor<2x6x32xf32>
    %cst_16 = stablehlo.constant dense<0.000000e+00> : tensor<f32>
    %71 = stablehlo.reduce(%70 init: %cst_16) applies stablehlo.add across dimensions = [2] : (tensor<2x6x32xf32>, tensor<f32>) -> tensor<2x6xf32>
    %72 = stablehlo.broadcast_in_dim %71, dims = [0, 1] : (tensor<2x6xf32>) -> tensor<2x6x1xf32>
    %cst_17 = stablehlo.constant dense<3.200000e+01> : tensor<f32>
    %73 = stablehlo.broadcast_in_dim %cst_17, dims = [] : (tensor<f32>) -> tensor<2x6x1xf32>
    %74 = stablehlo.divide %72, %73 : tensor<2x6x1xf32>
    %75 = stablehlo.broadcast_in_dim %74, dims = [0, 1, 2] : (tensor<2x6x1xf32>) -> tensor<2x6x32xf32>
    %76 = stablehlo.subtract %70, %75 : tensor<2x6x32xf32>
    %77 = stablehlo.multiply %76, %76 : tensor<2x6x32xf32>
    %cst_18 = stablehlo.constant dense<2.000000e+00> : tensor<f32>
    %78 = stablehlo.broadcast_in_dim %cst_18, dims = [] : (tensor<f32>) -> tensor<2x6x32xf32>
    %79 = stablehlo.multiply %78, %76 : tensor<2x6x32xf32>
    %cst_19 = stablehlo.constant dense<0.000000e+00> : tensor<f32>
    %80 = stablehlo.reduce(%77 init: %cst_19) applies stablehlo.add across dimensions = [2] : (tensor<2x6x32xf32>, tensor<f32>) -> tensor<2x6xf32>
    %81 = stablehlo.broadcast_in_dim %80, dims = [0, 1] : (tensor<2x6xf32>) -> tensor<2x6x1xf32>
    %cst_20 = stablehlo.constant dense<3.200000e+01> : tensor<f32>
    %82 = stablehlo.broadcast_in_dim %cst_20, dims = [] : (tensor<f32>) -> tensor<2x6x1xf32>
    %83 = stablehlo.divide %81, %82 : tensor<2x6x1xf32>
    %84 = stablehlo.broadcast_in_dim %74, dims = [0, 1, 2] : (tensor<2x6x1xf32>) -> tensor<2x6x32xf32>
    %85 = stablehlo.subtract %70, %84 : tensor<2x6x32xf32>
    %cst_21 = stablehlo.constant dense<9.99999974E-6> : tensor<f32>
    %86 = stablehlo.broadcast_in_dim %cst_21, dims = [] : (tensor<f32>) -> tensor<2x6x1xf32>
    %87 = stablehlo.add %83, %86 : tensor<2x6x1xf32>
    %88 = stablehlo.rsqrt %87 : tensor<2x6x1xf32>
    %89 = stablehlo.divide %88, %87 : tensor<2x6x1xf32>
    %cst_22 = stablehlo.constant dense<-5.000000e-01> : tensor<f32>
    %90 = stablehlo.broadcast_in_dim %cst_22, dims = [] : (tensor<f32>) -> tensor<2x6x1xf32>
    %91 = stablehlo.multiply %90, %89 : tensor<2x6x1xf32>
    %92 = stablehlo.broadcast_in_dim %88, dims = [0, 1, 2] : (tensor<2x6x1xf32>) -> tensor<2x6x32xf32>
    %93 = stablehlo.multiply %85, %92 : tensor<2x6x32xf32>
    %94 = stablehlo.broadcast_in_dim %arg4, dims = [2] : (tensor<32xf32>) -> tensor<1x1x32xf32>
    %95 = stablehlo.broadcast_in_dim %94, dims = [0, 1, 2] : (tensor<1x1x32xf32>) -> tensor<2x6x32xf32>
    %96 = stablehlo.multiply %93, %95 : tensor<2x6x32xf32>
    %97 = stablehlo.broadcast_in_dim %arg1, dims = [2] : (tensor<32xf32>) -> tensor<1x1x32xf32>
    %98 = stablehlo.broadcast_in_dim %97, dims = [0, 1, 2] : (tensor<1x1x32xf32>) -> tensor<2x6x32xf32>
    %99 = stablehlo.add %96, %98 : tensor<2x6x32xf32>
    %100 = stablehlo.dot_general %99, %arg7, contracting_dims = [2] x [0], precision = [DEFAULT, DEFAULT] : (tensor<2x6x32xf32>, tensor<32x64xf32>) -> tensor<2x6x64xf32>
    %101 = stablehlo.multiply %100, %100 : tensor<2x6x64xf32>
    %102 = stablehlo.multiply %101, %100 : tensor<2x6x64xf32>
    %103 = stablehlo.multiply %100, %100 : tensor<2x6x64xf32>
    %cst_23 = stablehlo.constant dense<3.000000e+00> : tensor<f32>
    %104 = stablehlo.broadcast_in_dim %cst_23, dims = [] : (tensor<f32>) -> tensor<2x6x64xf32>
    %105 = stablehlo.multiply %104, %103 : tensor<2x6x64xf32>
    %cst_24 = stablehlo.constant dense<4.471500e-02> : tensor<f32>
    %106 = stablehlo.broadcast_in_dim %cst_24, dims = [] : (tensor<f32>) -> tensor<2x6x64xf32>
    %107 = stablehlo.multiply %106, %102 : tensor<2x6x64xf32>
    %108 = stablehlo.add %100, %107 : tensor<2x6x64xf32>
    %cst_25 = stablehlo.constant dense<0.797884583> : tensor<f32>
    %109 = stablehlo.broadcast_in_dim %cst_25, dims = [] : (tensor<f32>) -> tensor<2x6x64xf32>
    %110 = stablehlo.multiply %109, %108 : tensor<2x6x64xf32>
    %111 = stablehlo.tanh %110 : tensor<2x6x64xf32>
    %cst_26 = stablehlo.constant dense<1.000000e+00> : tensor<f32>
    %112 = stablehlo.broadcast_in_dim %cst_26, dims = [] : (tensor<f32>) -> tensor<2x6x64xf32>
    %113 = stablehlo.subtract %112, %111 : tensor<2x6x64xf32>
    %cst_27 = stablehlo.constant dense<1.000000e+00> : tensor<f32>
    %114 = stablehlo.broadcast_in_dim %cst_27, dims = [] : (tensor<f32>) -> tensor<2x6x64xf32>
    %115 = stablehlo.add %114, %111 : tensor<2x6x64xf32>
    %cst_28 = stablehlo.constant dense<5.000000e-01> : tensor<f32>
    %116 = stablehlo.broadcast_in_dim %cst_28, dims = [] : (tensor<f32>) -> tensor<2x6x64xf32>
    %117 = stablehlo.multiply %116, %115 : tensor<2x6x64xf32>
    %118 = stablehlo.multiply %100, %117 : tensor<2x6x64xf32>
    %119 = stablehlo.dot_general %118, %arg2, contracting_dims = [2] x [0], precision = [DEFAULT, DEFAULT] : (tensor<2x6x64xf32>, tensor<64x32xf32>) -> tensor<2x6x32xf32>
    %120 = stablehlo.add %70, %119 : tensor<2x6x32xf32>
    %121 = stablehlo.subtract %120, %arg9 : tensor<2x6x32xf32>
    %122 = stablehlo.multiply %121, %121 : tensor<2x6x32xf32>
    %cst_29 = stablehlo.constant dense<2.000000e+00> : tensor<f32>
    %123 = stablehlo.broadcast_in_dim %cst_29, dims = [] : (tensor<f32>) -> tensor<2x6x32xf32>
    %124 = stablehlo.multiply %123, %121 : tensor<2x6x32xf32>
    %cst_30 = stablehlo.constant dense<0.000000e+00> : tensor<f32>
    %125 = stablehlo.reduce(%122 init: %cst_30) applies stablehlo.add across dimensions = [0, 1, 2] : (tensor<2x6x32xf32>, tensor<f32>) -> tensor<f32>
    %cst_31 = stablehlo.constant dense<3.840000e+02> : tensor<f32>
    %126 = stablehlo.divide %125, %cst_31 : tensor<f32>
    %cst_32 = stablehlo.constant dense<1.000000e+00> : tensor<f32>
    %cst_33 = stablehlo.constant dense<3.840000e+02> : tensor<f32>
    %127 = stablehlo.divide %cst_32, %cst_33 : tensor<f32>
    %128 = stablehlo.broadcast_in_dim %127, dims = [] : (tensor<f32>) -> tensor<2x6x32xf32>
    %129 = stablehlo.multiply %128, %124 : tensor<2x6x32xf32>
    %130 = stablehlo.dot_general %129, %118, contracting_dims = [0, 1] x [0, 1], precision = [DEFAULT, DEFAULT] : (tensor<2x6x32xf32>, tensor<2x6x64xf32>) -> tensor<32x64xf32>
    %131 = stablehlo.transpose %130, dims = [1, 0] : (tensor<32x64xf32>) -> tensor<64x32xf32>
    %132 = stablehlo.dot_general %129, %arg2, contracting_dims = [2] x [1], precision = [DEFAULT, DEFAULT] : (tensor<2x6x32xf32>, tensor<64x32xf32>) -> tensor<2x6x64xf32>
    %133 = stablehlo.multiply %100, %132 : tensor<2x6x64xf32>
    %134 = stablehlo.multiply %132, %117 : tensor<2x6x64xf32>
    %cst_34 = stablehlo.constant dense<5.000000e-01> : tensor<f32>
    %135 = stablehlo.broadcast_in_dim %cst_34, dims = [] : (tensor<f32>) -> tensor<2x6x64xf32>
    %136 = stablehlo.multiply %135, %133 : tensor<2x6x64xf32>
    %137 = stablehlo.multiply %136, %113 : tensor<2x6x64xf32>
    %138 = stablehlo.multiply %137, %111 : tensor<2x6x64xf32>
    %139 = stablehlo.add %137, %138 : tensor<2x6x64xf32>
    %cst_35 = stablehlo.constant dense<0.797884583> : tensor<f32>
    %140 = stablehlo.broadcast_in_dim %cst_35, dims = [] : (tensor<f32>) -> tensor<2x6x64xf32>
    %141 = stablehlo.multiply %140, %139 : tensor<2x6x64xf32>
    %142 = stablehlo.add %134, %141 : tensor<2x6x64xf32>
    %cst_36 = stablehlo.constant dense<4.471500e-02> : tensor<f32>
    %143 = stablehlo.broadcast_in_dim %cst_36, dims = [] : (tensor<f32>) -> tensor<2x6x64xf32>
    %144 = stablehlo.multiply %143, %141 : tensor<2x6x64xf32>
    %145 = stablehlo.multiply %144, %105 : tensor<2x6x64xf32>
    %146 = stablehlo.add %142, %145 : tensor<2x6x64xf32>
    %147 = stablehlo.dot_general %146, %99, contracting_dims = [0, 1] x [0, 1], precision = [DEFAULT, DEFAULT] : (tensor<2x6x64xf32>, tensor<2x6x32xf32>) -> tensor<64x32xf32>
    %148 = stablehlo.transpose %147, dims = [1, 0] : (tensor<64x32xf32>) -> tensor<32x64xf32>
    %149 = stablehlo.dot_general %146, %arg7, contracting_dims = [2] x [1], precision = [DEFAULT, DEFAULT] : (tensor<2x6x64xf32>, tensor<32x64xf32>) -> tensor<2x6x32xf32>
    %cst_37 = stablehlo.constant dense<0.000000e+00> : tensor<f32>
    %150 = stablehlo.reduce(%149 init: %cst_37) applies stablehlo.add across dimensions = [0, 1] : (tensor<2x6x32xf32>, tensor<f32>) -> tensor<32xf32>
    %151 = stablehlo.reshape %150 : (tensor<32xf32>) -> tensor<1x1x32xf32>
    %cst_38 = stablehlo.constant dense<0.000000e+00> : tensor<f32>
    %152 = stablehlo.reduce(%151 init: %cst_38) applies stablehlo.add across dimensions = [0, 1] : (tensor<1x1x32xf32>, tensor<f32>) -> tensor<32xf32>
    %153 = stablehlo.multiply %93, %149 : tensor<2x6x32xf32>
    %cst_39 = stablehlo.constant dense<0.000000e+00> : tensor<f32>
    %154 = stablehlo.reduce(%153 init: %cst_39) applies stablehlo.add across dimensions = [0, 1] : (tensor<2x6x32xf32>, tensor<f32>) -> tensor<32xf32>
    %155 = stablehlo.reshape %154 : (tensor<32xf32>) -> tensor<1x1x32xf32>
    %156 = stablehlo.broadcast_in_dim %94, dims = [0, 1, 2] : (tensor<1x1x32xf32>) -> tensor<2x6x32xf32>
    %157 = stablehlo.multiply %149, %156 : tensor<2x6x32xf32>
    %cst_40 = stablehlo.constant dense<0.000000e+00> : tensor<f32>
    %158 = stablehlo.reduce(%155 init: %cst_40) applies stablehlo.add across dimensions = [0, 1] : (tensor<1x1x32xf32>, tensor<f32>) -> tensor<32xf32>
    %159 = stablehlo.multiply %85, %157 : tensor<2x6x32xf32>
    %cst_41 = stablehlo.constant dense<0.000000e+00> : tensor<f32>
    %160 = stablehlo.reduce(%159 init: %cst_41) applies stablehlo.add across dimensions = [2] : (tensor<2x6x32xf32>, tensor<f32>) -> tensor<2x6xf32>
    %161 = stablehlo.reshape %160 : (tensor<2x6xf32>) -> tensor<2x6x1xf32>
    %162 = stablehlo.broadcast_in_dim %88, dims = [0, 1, 2] : (tensor<2x6x1xf32>) -> tensor<2x6x32xf32>
    %163 = stablehlo.multiply %157, %162 : tensor<2x6x32xf32>
    %164 = stablehlo.multiply %161, %91 : tensor<2x6x1xf32>
    %165 = stablehlo.negate %163 : tensor<2x6x32xf32>
    %cst_42 = stablehlo.constant dense<0.000000e+00> : tensor<f32>
    %166 = stablehlo.reduce(%165 init: %cst_42) applies stablehlo.add across dimensions = [2] : (tensor<2x6x32xf32>, tensor<f32>) -> tensor<2x6xf32>
    %167 = stablehlo.reshape %166 : (tensor<2x6xf32>) -> tensor<2x6x1xf32>
    %168 = stablehlo.add %129, %163 : tensor<2x6x32xf32>
    %cst_43 = stablehlo.constant dense<3.200000e+01> : tensor<f32>
    %169 = stablehlo.broadcast_in_dim %cst_43, dims = [] : (tensor<f32>) -> tensor<2x6x1xf32>
    %170 = stablehlo.divide %164, %169 : tensor<2x6x1xf32>
    %cst_44 = stablehlo.constant dense<0.000000e+00> : tensor<f32>
    %171 = stablehlo.reduce(%170 init: %cst_44) applies stablehlo.add across dimensions = [2] : (tensor<2x6x1xf32>, tensor<f32>) -> tensor<2x6xf32>
    %172 = stablehlo.broadcast_in_dim %171, dims = [0, 1] : (tensor<2x6xf32>) -> tensor<2x6x32xf32>
    %173 = stablehlo.multiply %172, %79 : tensor<2x6x32xf32>
    %174 = stablehlo.negate %173 : tensor<2x6x32xf32>
    %cst_45 = stablehlo.constant dense<0.000000e+00> : tensor<f32>
    %175 = stablehlo.reduce(%174 init: %cst_45) applies stablehlo.add across dimensions = [2] : (tensor<2x6x32xf32>, tensor<f32>) -> tensor<2x6xf32>
    %176 = stablehlo.reshape %175 : (tensor<2x6xf32>) -> tensor<2x6x1xf32>
    %177 = stablehlo.add %168, %173 : tensor<2x6x32xf32>
    %178 = stablehlo.add %167, %176 : tensor<2x6x1xf32>
    %cst_46 = stablehlo.constant dense<3.200000e+01> : tensor<f32>
    %179 = stablehlo.broadcast_in_dim %cst_46, dims = [] : (tensor<f32>) -> tensor<2x6x1xf32>
    %180 = stablehlo.divide %178, %179 : tensor<2x6x1xf32>
    %cst_47 = stablehlo.constant dense<0.000000e+00> : tensor<f32>
    %181 = stablehlo.reduce(%180 init: %cst_47) applies stablehlo.add across dimensions = [2] : (tensor<2x6x1xf32>, tensor<f32>) -> tensor<2x6xf32>
    %182 = stablehlo.broadcast_in_dim %181, dims = [0, 1] : (tensor<2x6xf32>) -> tensor<2x6x32xf32>
    %183 = stablehlo.add %177, %182 : tensor<2x6x32xf32>
    %184 = stablehlo.dot_general %183, %68, contracting_dims = [0, 1] x [0, 1], precision = [DEFAULT, DEFAULT] : (tensor<2x6x32xf32>, tensor<2x6x32xf32>) -> tensor<32x32xf32>
    %185 = stablehlo.transpose %184, dims = [1, 0] : (tensor<32x32xf32>) -> tensor<32x32xf32>
    %186 = stablehlo.dot_general %183, %arg5, contracting_dims = [2] x [1], precision = [DEFAULT, DEFAULT] : (tensor<2x6x32xf32>, tensor<32x32xf32>) -> tensor<2x6x32xf32>
    %187 = stablehlo.reshape %186 : (tensor<2x6x32xf32>) -> tensor<2x6x4x8xf32>
    %188 = stablehlo.transpose %187, dims = [0, 2, 3, 1] : (tensor<2x6x4x8xf32>) -> tensor<2x4x8x6xf32>
    %189 = stablehlo.dot_general %188, %30, batching_dims = [0, 1] x [0, 2], contracting_dims = [2] x [3], precision = [DEFAULT, DEFAULT] : (tensor<2x4x8x6xf32>, tensor<2x6x4x8xf32>) -> tensor<2x4x6x6xf32>
    %190 = stablehlo.dot_general %188, %62, batching_dims = [0, 1] x [0, 1], contracting_dims = [3] x [2], precision = [DEFAULT, DEFAULT] : (tensor<2x4x8x6xf32>, tensor<2x4x6x6xf32>) -> tensor<2x4x8x6xf32>
    %191 = stablehlo.transpose %190, dims = [0, 3, 1, 2] : (tensor<2x4x8x6xf32>) -> tensor<2x6x4x8xf32>
    %192 = stablehlo.broadcast_in_dim %65, dims = [0, 1, 2, 3] : (tensor<2x4x6x1xf32>) -> tensor<2x4x6x6xf32>
    %193 = stablehlo.multiply %189, %192 : tensor<2x4x6x6xf32>
    %194 = stablehlo.multiply %193, %58 : tensor<2x4x6x6xf32>
    %cst_48 = stablehlo.constant dense<0.000000e+00> : tensor<f32>
    %195 = stablehlo.reduce(%194 init: %cst_48) applies stablehlo.add across dimensions = [3] : (tensor<2x4x6x6xf32>, tensor<f32>) -> tensor<2x4x6xf32>
    %196 = stablehlo.reshape %195 : (tensor<2x4x6xf32>) -> tensor<2x4x6x1xf32>
    %197 = stablehlo.negate %196 : tensor<2x4x6x1xf32>
    %198 = stablehlo.broadcast_in_dim %60, dims = [0, 1, 2, 3] : (tensor<2x4x6x1xf32>) -> tensor<2x4x6x6xf32>
    %199 = stablehlo.divide %189, %198 : tensor<2x4x6x6xf32>
    %cst_49 = stablehlo.constant dense<0.000000e+00> : tensor<f32>
    %200 = stablehlo.reduce(%197 init: %cst_49) applies stablehlo.add across dimensions = [3] : (tensor<2x4x6x1xf32>, tensor<f32>) -> tensor<2x4x6xf32>
    %201 = stablehlo.broadcast_in_dim %200, dims = [0, 1, 2] : (tensor<2x4x6xf32>) -> tensor<2x4x6x6xf32>
    %202 = stablehlo.add %199, %201 : tensor<2x4x6x6xf32>
    %203 = stablehlo.multiply %202, %58 : tensor<2x4x6x6xf32>
    %204 = call @_where_0(%36#1, %36#2, %203) : (tensor<2x4x6x6xi1>, tensor<2x4x6x6xf32>, tensor<2x4x6x6xf32>) -> tensor<2x4x6x6xf32>
    %cst_50 = stablehlo.constant dense<2.82842708> : tensor<f32>
    %205 = stablehlo.broadcast_in_dim %cst_50, dims = [] : (tensor<f32>) -> tensor<2x4x6x6xf32>
    %206 = stablehlo.divide %204, %205 : tensor<2x4x6x6xf32>
    %207 = stablehlo.dot_general %206, %28, batching_dims = [0, 1] x [0, 2], contracting_dims = [2] x [1], precision = [DEFAULT, DEFAULT] : (tensor<2x4x6x6xf32>, tensor<2x6x4x8xf32>) -> tensor<2x4x6x8xf32>
    %208 = stablehlo.transpose %207, dims = [0, 2, 1, 3] : (tensor<2x4x6x8xf32>) -> tensor<2x6x4x8xf32>
    %209 = stablehlo.dot_general %206, %29, batching_dims = [0, 1] x [0, 2], contracting_dims = [3] x [1], precision = [DEFAULT, DEFAULT] : (tensor<2x4x6x6xf32>, tensor<2x6x4x8xf32>) -> tensor<2x4x6x8xf32>
    %210 = stablehlo.transpose %209, dims = [0, 2, 1, 3] : (tensor<2x4x6x8xf32>) -> tensor<2x6x4x8xf32>
    %211 = stablehlo.reshape %191 : (tensor<2x6x4x8xf32>) -> tensor<2x6x32xf32>
    %212 = stablehlo.reshape %208 : (tensor<2x6x4x8xf32>) -> tensor<2x6x32xf32>
    %213 = stablehlo.reshape %210 : (tensor<2x6x4x8xf32>) -> tensor<2x6x32xf32>
    %214 = stablehlo.concatenate %213, %212, %211, dim = 2 : (tensor<2x6x32xf32>, tensor<2x6x32xf32>, tensor<2x6x32xf32>) -> tensor<2x6x96xf32>
    %215 = stablehlo.dot_general %214, %23, contracting_dims = [0, 1] x [0, 1], precision = [DEFAULT, DEFAULT] : (tensor<2x6x96xf32>, tensor<2x6x32xf32>) -> tensor<96x32xf32>
    %216 = stablehlo.transpose %215, dims = [1, 0] : (tensor<96x32xf32>) -> tensor<32x96xf32>
    %217 = stablehlo.dot_general %214, %arg6, contracting_dims = [2] x [1], precision = [DEFAULT, DEFAULT] : (tensor<2x6x96xf32>, tensor<32x96xf32>) -> tensor<2x6x32xf32>
    %cst_51 = stablehlo.constant dense<0.000000e+00> : tensor<f32>
    %218 = stablehlo.reduce(%217 init: %cst_51) applies stablehlo.add across dimensions = [0, 1] : (tensor<2x6x32xf32>, tensor<f32>) -> tensor<32xf32>
    %219 = stablehlo.reshape %218 : (tensor<32xf32>) -> tensor<1x1x32xf32>
    %cst_52 = stablehlo.constant dense<0.000000e+00> : tensor<f32>
    %220 = stablehlo.reduce(%219 init: %cst_52) applies stablehlo.add across dimensions = [0, 1] : (tensor<1x1x32xf32>, tensor<f32>) -> tensor<32xf32>
    %221 = stablehlo.multiply %17, %217 : tensor<2x6x32xf32>
    %cst_53 = stablehlo.constant dense<0.000000e+00> : tensor<f32>
    %222 = stablehlo.reduce(%221 init: %cst_53) applies stablehlo.add across dimensions = [0, 1] : (tensor<2x6x32xf32>, tensor<f32>) -> tensor<32xf32>
    %223 = stablehlo.reshape %222 : (tensor<32xf32>) -> tensor<1x1x32xf32>
    %cst_54 = stablehlo.constant dense<0.000000e+00> : tensor<f32>
    %224 = stablehlo.reduce(%223 init: %cst_54) applies stablehlo.add across dimensions = [0, 1] : (tensor<1x1x32xf32>, tensor<f32>) -> tensor<32xf32>
    %cst_55 = stablehlo.constant dense<1.000000e-01> : tensor<f32>
    %225 = stablehlo.broadcast_in_dim %cst_55, dims = [] : (tensor<f32>) -> tensor<32xf32>
    %226 = stablehlo.multiply %225, %220 : tensor<32xf32>
    %227 = stablehlo.subtract %arg0, %226 : tensor<32xf32>
    %cst_56 = stablehlo.constant dense<1.000000e-01> : tensor<f32>
    %228 = stablehlo.broadcast_in_dim %cst_56, dims = [] : (tensor<f32>) -> tensor<32xf32>
    %229 = stablehlo.multiply %228, %152 : tensor<32xf32>
    %230 = stablehlo.subtract %arg1, %229 : tensor<32xf32>
    %cst_57 = stablehlo.constant dense<1.000000e-01> : tensor<f32>
    %231 = stablehlo.broadcast_in_dim %cst_57, dims = [] : (tensor<f32>) -> tensor<64x32xf32>
    %232 = stablehlo.multiply %231, %131 : tensor<64x32xf32>
    %233 = stablehlo.subtract %arg2, %232 : tensor<64x32xf32>
    %cst_58 = stablehlo.constant dense<1.000000e-01> : tensor<f32>
    %234 = stablehlo.broadcast_in_dim %cst_58, dims = [] : (tensor<f32>) -> tensor<32xf32>
    %235 = stablehlo.multiply %234, %224 : tensor<32xf32>
    %236 = stablehlo.subtract %arg3, %235 : tensor<32xf32>
    %cst_59 = stablehlo.constant dense<1.000000e-01> : tensor<f32>
    %237 = stablehlo.broadcast_in_dim %cst_59, dims = [] : (tensor<f32>) -> tensor<32xf32>
    %238 = stablehlo.multiply %237, %158 : tensor<32xf32>
    %239 = stablehlo.subtract %arg4, %238 : tensor<32xf32>
    %cst_60 = stablehlo.constant dense<1.000000e-01> : tensor<f32>
    %240 = stablehlo.broadcast_in_dim %cst_60, dims = [] : (tensor<f32>) -> tensor<32x32xf32>
    %241 = stablehlo.multiply %240, %185 : tensor<32x32xf32>
    %242 = stablehlo.subtract %arg5, %241 : tensor<32x32xf32>
    %cst_61 = stablehlo.constant dense<1.000000e-01> : tensor<f32>
    %243 = stablehlo.broadcast_in_dim %cst_61, dims = [] : (tensor<f32>) -> tensor<32x96xf32>
    %244 = stablehlo.multiply %243, %216 : tensor<32x96xf32>
    %245 = stablehlo.subtract %arg6, %244 : tensor<32x96xf32>
    %cst_62 = stablehlo.constant dense<1.000000e-01> : tensor<f32>
    %246 = stablehlo.broadcast_in_dim %cst_62, dims = [] : (tensor<f32>) -> tensor<32x64xf32>
    %247 = stablehlo.multiply %246, %148 : tensor<32x64xf32>
    %248 = stablehlo.subtract %arg7, %247 : tensor<32x64xf32>
    return %126, %227, %230, %233, %236, %239, %242, %245, %248 : tensor<f32>, tensor<32xf32>, tensor<32xf32>, tensor<64x32xf32>, tensor<32xf32>, tensor<32xf32>, tensor<32x32xf32>, tensor<32x96xf32>, tensor<32x64xf32>
  }
  func.func private @tril(%arg0: tensor<6x6xi1>) -> tensor<6x6xi1> {
    %0 = stablehlo.iota dim = 0 : tensor<6x6xi32>
    %c = stablehlo.constant dense<0> : tensor<i32>
    %1 = stablehlo.broadcast_in_dim %c, dims = [] : (tensor<i32>) -> tensor<6x6xi32>
    %2 = stablehlo.add %0, %1 : tensor<6x6xi32>
    %3 = stablehlo.iota dim = 1 : tensor<6x6xi32>
    %4 = stablehlo.compare GE, %2, %3, SIGNED : (tensor<6x6xi32>, tensor<6x6xi32>) -> tensor<6x6xi1>
    %c_0 = stablehlo.constant dense<false> : tensor<i1>
    %5 = stablehlo.broadcast_in_dim %c_0, dims = [] : (tensor<i1>) -> tensor<6x6xi1>
    %6 = stablehlo.select %4, %arg0, %5 : tensor<6x6xi1>, tensor<6x6xi1>
    return %6 : tensor<6x6xi1>
  }
  func.func private @_where(%arg0: tensor<6x6xi1>, %arg1: tensor<2x4x6x6xf32>, %arg2: tensor<f32>) -> (tensor<2x4x6x6xf32>, tensor<2x4x6x6xi1>, tensor<2x4x6x6xf32>) {
    %0 = stablehlo.convert %arg2 : tensor<f32>
    %1 = stablehlo.broadcast_in_dim %arg0, dims = [2, 3] : (tensor<6x6xi1>) -> tensor<2x4x6x6xi1>
    %2 = stablehlo.broadcast_in_dim %0, dims = [] : (tensor<f32>) -> tensor<2x4x6x6xf32>
    %3 = stablehlo.select %1, %arg1, %2 : tensor<2x4x6x6xi1>, tensor<2x4x6x6xf32>
    %cst = stablehlo.constant dense<0.000000e+00> : tensor<f32>
    %4 = stablehlo.broadcast_in_dim %cst, dims = [] : (tensor<f32>) -> tensor<2x4x6x6xf32>
    return %3, %1, %4 : tensor<2x4x6x6xf32>, tensor<2x4x6x6xi1>, tensor<2x4x6x6xf32>
  }
  func.func private @_where_0(%arg0: tensor<2x4x6x6xi1>, %arg1: tensor<2x4x6x6xf32>, %arg2: tensor<2x4x6x6xf32>) -> tensor<2x4x6x6xf32> {
    %cst = stablehlo.constant dense<0.000000e+00> : tensor<f32>
    %0 = stablehlo.broadcast_in_dim %cst, dims = [] : (tensor<f32>) -> tensor<2x4x6x6xf32>
    %1 = stablehlo.select %arg0, %arg2, %0 : tensor<2x4x6x6xi1>, tensor<2x4x6x6xf32>
    return %1 : tensor<2x4x6x6xf32>
  }
}
