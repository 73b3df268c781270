// Products, windows, indices, quantization, shardings, resources, locations.
#loc = loc(unknown)
module @"odd name" {
  sdy.mesh @mesh = <["x"=2]>
  func.func @main(%arg0: tensor<1x8x8x3xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"x"}, {}, {}, {}]>}, %arg1: tensor<3x3x3x4xf32>, %arg2: tensor<?x4xf32, #stablehlo.bounds<16, ?>>) -> tensor<1x4x4x4xf32> {
    %0 = stablehlo.convolution(%arg0, %arg1) dim_numbers = [b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f], window = {stride = [2, 2], pad = [[1, 1], [1, 1]], rhs_dilate = [1, 1], reverse = [false, false]} {batch_group_count = 1 : i64, feature_group_count = 1 : i64, precision_config = [#stablehlo<precision HIGH>, #stablehlo<precision DEFAULT>]} : (tensor<1x8x8x3xf32>, tensor<3x3x3x4xf32>) -> tensor<1x4x4x4xf32> loc(#loc2)
    %1 = stablehlo.dot_general %arg0, %arg1, batching_dims = [] x [], contracting_dims = [3] x [2], precision = [DEFAULT, DEFAULT], algorithm = <lhs_precision_type = tf32, rhs_precision_type = tf32, accumulation_type = f32, lhs_component_count = 1, rhs_component_count = 1, num_primitive_operations = 1, allow_imprecise_accumulation = false> : (tensor<1x8x8x3xf32>, tensor<3x3x3x4xf32>) -> tensor<1x8x8x3x3x4xf32>
    %2 = stablehlo.constant dense_resource<weights> : tensor<2xf32>
    %i = stablehlo.constant dense<[[0], [1]]> : tensor<2x1xi64>
    %3 = "stablehlo.gather"(%2, %i) <{dimension_numbers = #stablehlo.gather<collapsed_slice_dims = [0], start_index_map = [0], index_vector_dim = 1>, slice_sizes = array<i64: 1>}> : (tensor<2xf32>, tensor<2x1xi64>) -> tensor<2xf32>
    %4 = stablehlo.uniform_quantize %3 : (tensor<2xf32>) -> tensor<2x!quant.uniform<i8<-127:127>:f32:0, {1.0e-1:3, 0.5}>>
    %5 = stablehlo.custom_call @foo(%3) {api_version = 4 : i32, backend_config = {k = 7 : ui8, "quoted key" = [1, 2.0 : f32, "s\22\0A", @f::@g, unit]}, output_operand_aliases = [#stablehlo.output_operand_alias<output_tuple_indices = [], operand_index = 0, operand_tuple_indices = []>]} : (tensor<2xf32>) -> tensor<2xf32>
    %6 = "stablehlo.all_reduce"(%5) <{channel_handle = #stablehlo.channel_handle<handle = 1, type = 0>, replica_groups = dense<0> : tensor<1x1xi64>}> ({
    ^bb0(%a: tensor<f32>, %b: tensor<f32>):
      %s = stablehlo.add %a, %b : tensor<f32>
      stablehlo.return %s : tensor<f32>
    }) : (tensor<2xf32>) -> tensor<2xf32>
    %7 = sdy.sharding_constraint %6 <@mesh, [{"x"}]> : tensor<2xf32>
    %8 = stablehlo.create_token : !stablehlo.token
    %9 = stablehlo.tuple %7, %8 : tuple<tensor<2xf32>, !stablehlo.token>
    %10 = stablehlo.reduce_precision %7, format = e5m10 : tensor<2xf32>
    return %0 : tensor<1x4x4x4xf32> loc(#loc1)
  } loc(callsite("f"("a.py":1:2 to 3:4) at fused<"m">["b.py":5:6, #loc1]))
}
#loc1 = loc("model.py":3:4)
#loc2 = loc("conv"(#loc1))

{-#
  dialect_resources: {
    builtin: {
      weights: "0x040000000000803F00000040"
    }
  }
#-}
