"builtin.module"() <{sym_name = "m"}> ({
  "func.func"() <{arg_attrs = [{a.b = 1 : i32}, {}], function_type = (tensor<4xi32>, tensor<4xi32>) -> tensor<4xi32>, res_attrs = [{j.r}], sym_name = "main", sym_visibility = "public"}> ({
  ^bb0(%arg0: tensor<4xi32>, %arg1: tensor<4xi32> loc("b")):
    %0 = "stablehlo.constant"() <{value = dense<[1, -2, 3, 0xFF]> : tensor<4xi32>}> : () -> tensor<4xi32>
    %1 = "stablehlo.add"(%arg0, %0) : (tensor<4xi32>, tensor<4xi32>) -> tensor<4xi32>
    %2:2 = "stablehlo.while"(%1, %arg1) ({
    ^bb0(%a: tensor<4xi32>, %b: tensor<4xi32>):
      %t = "stablehlo.constant"() {value = dense<false> : tensor<i1>} : () -> tensor<i1>
      "stablehlo.return"(%t) : (tensor<i1>) -> ()
    }, {
    ^bb0(%c: tensor<4xi32>, %d: tensor<4xi32>):
      "stablehlo.return"(%d, %c) : (tensor<4xi32>, tensor<4xi32>) -> ()
    }) : (tensor<4xi32>, tensor<4xi32>) -> (tensor<4xi32>, tensor<4xi32>)
    "func.return"(%2#1) : (tensor<4xi32>) -> ()
  }) {extra.attr = unit} : () -> ()
  "func.func"() <{function_type = (tensor<4xi32>) -> (), sym_name = "declared", sym_visibility = "private"}> ({
  }) : () -> ()
}) {mhlo.num_replicas = 1 : i32} : () -> ()
