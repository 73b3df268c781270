//! The operations of the VHLO dialect: every version, since when and until when artifacts contain it, and the attributes that
//! are its properties. The properties section has them in the order of their names. Operands, results and regions are what the
//! artifact says; the translation checks them.

use std::fmt;

/// A version of StableHLO.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Version(pub(super) u64, pub(super) u64, pub(super) u64);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// The newest version of StableHLO whose operations are all below.
pub(super) const NEWEST: Version = Version(1, 20, 0);

/// A version of an operation.
#[derive(Debug)]
pub(super) struct Op {
    /// Name without the dialect and the version.
    pub(super) name: &'static str,
    /// Version of the operation.
    pub(super) version: u32,
    /// The first artifacts that have it.
    pub(super) since: Version,
    /// The last ones, where a newer version has replaced it.
    pub(super) until: Option<Version>,
    /// Properties, separated by blanks.
    properties: &'static str,
}

impl Op {
    /// Names of the properties.
    pub(super) fn properties(&self) -> impl Iterator<Item = &'static str> {
        self.properties.split_ascii_whitespace()
    }
}

/// The operation that an artifact calls `name`, such as `add_v1`.
pub(super) fn find(name: &str) -> Option<&'static Op> {
    let (base, version) = name.rsplit_once("_v")?;
    let version: u32 = version.parse().ok()?;
    OPS.iter().find(|o| o.name == base && o.version == version)
}

/// The known versions of an operation.
pub(super) fn versions(base: &str) -> impl Iterator<Item = &'static Op> {
    OPS.iter().filter(move |o| o.name == base)
}

/// Version 1, in artifacts of every version.
const fn op(name: &'static str, properties: &'static str) -> Op {
    Op { name, version: 1, since: Version(0, 9, 0), until: None, properties }
}

/// Version 1 as long as there was no other; the last minor version follows. Before 1.0 the last was 0.20.
const fn old(name: &'static str, until: Version, properties: &'static str) -> Op {
    Op { name, version: 1, since: Version(0, 9, 0), until: Some(until), properties }
}

/// A version that came later.
const fn new(name: &'static str, version: u32, since: Version, properties: &'static str) -> Op {
    Op { name, version, since, until: None, properties }
}

/// Every operation.
pub(super) static OPS: &[Op] = &[
    op("abs", ""),
    op("add", ""),
    op("after_all", ""),
    old("all_gather", Version(1, 4, 0), "all_gather_dim replica_groups channel_id use_global_device_ids"),
    new("all_gather", 2, Version(1, 5, 0), "all_gather_dim replica_groups channel_id use_global_device_ids"),
    old("all_reduce", Version(1, 4, 0), "replica_groups channel_id use_global_device_ids"),
    new("all_reduce", 2, Version(1, 5, 0), "replica_groups channel_id use_global_device_ids"),
    old("all_to_all", Version(1, 4, 0), "split_dimension concat_dimension split_count replica_groups channel_id"),
    new("all_to_all", 2, Version(1, 5, 0), "split_dimension concat_dimension split_count replica_groups channel_id"),
    op("and", ""),
    new("async_done", 1, Version(1, 15, 0), ""),
    new("async_start", 1, Version(1, 15, 0), ""),
    op("atan2", ""),
    op("batch_norm_grad", "epsilon feature_index"),
    op("batch_norm_inference", "epsilon feature_index"),
    op("batch_norm_training", "epsilon feature_index"),
    op("bitcast_convert", ""),
    op("broadcast", "broadcast_sizes"),
    op("broadcast_in_dim", "broadcast_dimensions"),
    op("call", "callee"),
    op("case", ""),
    old("cbrt", Version(1, 9, 0), ""),
    new("cbrt", 2, Version(1, 10, 0), "result_accuracy"),
    op("ceil", ""),
    op("cholesky", "lower"),
    op("clamp", ""),
    Op {
        name: "collective_broadcast",
        version: 1,
        since: Version(0, 16, 0),
        until: Some(Version(1, 19, 0)),
        properties: "replica_groups channel_id",
    },
    new("collective_broadcast", 2, Version(1, 20, 0), "replica_groups channel_id has_dynamic_root"),
    op("collective_permute", "source_target_pairs channel_id"),
    new("collective_reduce", 1, Version(1, 19, 0), "replica_groups channel_id use_global_device_ids has_dynamic_root"),
    op("compare", "comparison_direction compare_type"),
    op("complex", ""),
    Op {
        name: "composite",
        version: 1,
        since: Version(0, 19, 0),
        until: Some(Version(1, 13, 0)),
        properties: "name composite_attributes decomposition version",
    },
    new("composite", 2, Version(1, 14, 0), "name composite_attributes decomposition version"),
    op("concatenate", "dimension"),
    op("constant", "value"),
    op("convert", ""),
    op(
        "convolution",
        "window_strides padding lhs_dilation rhs_dilation window_reversal input_batch_dimension input_feature_dimension \
         input_spatial_dimensions kernel_input_feature_dimension kernel_output_feature_dimension kernel_spatial_dimensions \
         output_batch_dimension output_feature_dimension output_spatial_dimensions feature_group_count batch_group_count \
         precision_config",
    ),
    old("cosine", Version(1, 9, 0), ""),
    new("cosine", 2, Version(1, 10, 0), "result_accuracy"),
    op("count_leading_zeros", ""),
    op("create_token", ""),
    op("cross-replica-sum", "replica_groups"),
    old(
        "custom_call",
        Version(1, 17, 0),
        "call_target_name has_side_effect backend_config api_version called_computations operand_layouts result_layouts \
         output_operand_aliases",
    ),
    new(
        "custom_call",
        2,
        Version(1, 18, 0),
        "call_target_name has_side_effect backend_config api_version called_computations operand_layouts result_layouts \
         output_operand_aliases result_tilings",
    ),
    op("divide", ""),
    op("dot", "precision_config"),
    old(
        "dot_general",
        Version(1, 5, 0),
        "lhs_batching_dimensions rhs_batching_dimensions lhs_contracting_dimensions rhs_contracting_dimensions precision_config",
    ),
    new(
        "dot_general",
        2,
        Version(1, 6, 0),
        "lhs_batching_dimensions rhs_batching_dimensions lhs_contracting_dimensions rhs_contracting_dimensions precision_config \
         lhs_precision_type rhs_precision_type accumulation_type lhs_component_count rhs_component_count \
         num_primitive_operations allow_imprecise_accumulation",
    ),
    op("dynamic_broadcast_in_dim", "broadcast_dimensions known_expanding_dimensions known_nonexpanding_dimensions"),
    old(
        "dynamic_conv",
        Version(0, 19, 0),
        "window_strides padding lhs_dilation rhs_dilation window_reversal input_batch_dimension input_feature_dimension \
         input_spatial_dimensions kernel_input_feature_dimension kernel_output_feature_dimension kernel_spatial_dimensions \
         output_batch_dimension output_feature_dimension output_spatial_dimensions feature_group_count batch_group_count \
         precision_config",
    ),
    new(
        "dynamic_conv",
        2,
        Version(0, 20, 0),
        "window_strides lhs_dilation rhs_dilation window_reversal input_batch_dimension input_feature_dimension \
         input_spatial_dimensions kernel_input_feature_dimension kernel_output_feature_dimension kernel_spatial_dimensions \
         output_batch_dimension output_feature_dimension output_spatial_dimensions feature_group_count batch_group_count \
         precision_config",
    ),
    old(
        "dynamic_gather",
        Version(1, 0, 0),
        "offset_dims collapsed_slice_dims start_index_map index_vector_dim indices_are_sorted",
    ),
    new(
        "dynamic_gather",
        2,
        Version(1, 1, 0),
        "offset_dims collapsed_slice_dims operand_batching_dims start_indices_batching_dims start_index_map index_vector_dim \
         indices_are_sorted",
    ),
    op("dynamic_iota", "iota_dimension"),
    op("dynamic_pad", ""),
    op("dynamic_reshape", ""),
    op("dynamic_slice", "slice_sizes"),
    op("dynamic_update_slice", ""),
    op("einsum", "einsum_config"),
    old("exponential", Version(1, 8, 0), ""),
    new("exponential", 2, Version(1, 9, 0), "result_accuracy"),
    old("exponential_minus_one", Version(1, 9, 0), ""),
    new("exponential_minus_one", 2, Version(1, 10, 0), "result_accuracy"),
    op("fft", "fft_type fft_length"),
    op("floor", ""),
    op("func", "sym_name function_type sym_visibility arg_attrs res_attrs"),
    old(
        "gather",
        Version(1, 0, 0),
        "offset_dims collapsed_slice_dims start_index_map index_vector_dim slice_sizes indices_are_sorted",
    ),
    new(
        "gather",
        2,
        Version(1, 1, 0),
        "offset_dims collapsed_slice_dims operand_batching_dims start_indices_batching_dims start_index_map index_vector_dim \
         slice_sizes indices_are_sorted",
    ),
    op("get_dimension_size", "dimension"),
    op("get_tuple_element", "index"),
    op("if", ""),
    op("imag", ""),
    op("infeed", "infeed_config layout"),
    op("iota", "iota_dimension"),
    op("is_finite", ""),
    old("log", Version(1, 9, 0), ""),
    new("log", 2, Version(1, 10, 0), "result_accuracy"),
    old("log_plus_one", Version(1, 9, 0), ""),
    new("log_plus_one", 2, Version(1, 10, 0), "result_accuracy"),
    old("logistic", Version(1, 9, 0), ""),
    new("logistic", 2, Version(1, 10, 0), "result_accuracy"),
    op("map", "dimensions"),
    op("maximum", ""),
    op("minimum", ""),
    op("multiply", ""),
    op("negate", ""),
    op("not", ""),
    op("optimization_barrier", ""),
    op("or", ""),
    op("outfeed", "outfeed_config"),
    op("pad", "edge_padding_low edge_padding_high interior_padding"),
    op("partition_id", ""),
    op("popcnt", ""),
    op("power", ""),
    op("real", ""),
    op("real_dynamic_slice", ""),
    old("recv", Version(1, 11, 0), "channel_id channel_type is_host_transfer"),
    new("recv", 2, Version(1, 12, 0), "channel_id channel_type is_host_transfer source_target_pairs"),
    op("reduce", "dimensions"),
    op("reduce_precision", "exponent_bits mantissa_bits"),
    op("reduce_scatter", "scatter_dimension replica_groups channel_id use_global_device_ids"),
    op("reduce_window", "window_dimensions window_strides base_dilations window_dilations padding"),
    op("remainder", ""),
    op("replica_id", ""),
    op("reshape", ""),
    op("return", ""),
    op("reverse", "dimensions"),
    op("rng", "rng_distribution"),
    op("rng_bit_generator", "rng_algorithm"),
    op("round_nearest_afz", ""),
    op("round_nearest_even", ""),
    old("rsqrt", Version(1, 9, 0), ""),
    new("rsqrt", 2, Version(1, 10, 0), "result_accuracy"),
    old(
        "scatter",
        Version(1, 0, 0),
        "update_window_dims inserted_window_dims scatter_dims_to_operand_dims index_vector_dim indices_are_sorted unique_indices",
    ),
    new(
        "scatter",
        2,
        Version(1, 1, 0),
        "update_window_dims inserted_window_dims input_batching_dims scatter_indices_batching_dims scatter_dims_to_operand_dims \
         index_vector_dim indices_are_sorted unique_indices",
    ),
    op("select", ""),
    op("select_and_scatter", "window_dimensions window_strides padding"),
    old("send", Version(1, 11, 0), "channel_id channel_type is_host_transfer"),
    new("send", 2, Version(1, 12, 0), "channel_id channel_type is_host_transfer source_target_pairs"),
    op("set_dimension_size", "dimension"),
    op("shift_left", ""),
    op("shift_right_arithmetic", ""),
    op("shift_right_logical", ""),
    op("sign", ""),
    old("sine", Version(1, 9, 0), ""),
    new("sine", 2, Version(1, 10, 0), "result_accuracy"),
    op("slice", "start_indices limit_indices strides"),
    op("sort", "dimension is_stable"),
    old("sqrt", Version(1, 9, 0), ""),
    new("sqrt", 2, Version(1, 10, 0), "result_accuracy"),
    op("subtract", ""),
    Op { name: "tan", version: 1, since: Version(1, 4, 0), until: Some(Version(1, 9, 0)), properties: "" },
    new("tan", 2, Version(1, 10, 0), "result_accuracy"),
    old("tanh", Version(1, 9, 0), ""),
    new("tanh", 2, Version(1, 10, 0), "result_accuracy"),
    op("torch_index_select", "dim batch_dims"),
    op("transpose", "permutation"),
    op("triangular_solve", "left_side lower unit_diagonal transpose_a"),
    op("tuple", ""),
    op("unary_einsum", "einsum_config"),
    op("uniform_dequantize", ""),
    op("uniform_quantize", ""),
    op("while", ""),
    op("xor", ""),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_follow_one_another() {
        for o in OPS {
            assert!(o.since <= NEWEST && o.until.is_none_or(|u| o.since <= u), "{o:?}");
            let next = OPS.iter().find(|n| n.name == o.name && n.version == o.version + 1);
            assert_eq!(o.until.is_some(), next.is_some(), "{o:?}");
            if let (Some(until), Some(next)) = (o.until, next) {
                let follows = (next.since.0, next.since.1) == (until.0, until.1 + 1);
                assert!(follows, "{o:?} {next:?}");
            }
        }
        assert_eq!(OPS.len(), 145);
    }

    #[test]
    fn names() {
        assert_eq!(find("cross-replica-sum_v1").unwrap().name, "cross-replica-sum");
        assert_eq!(find("gather_v2").unwrap().properties().nth(2), Some("operand_batching_dims"));
        assert!(find("gather_v3").is_none() && find("gather").is_none());
        assert_eq!(versions("tanh").map(|o| o.version).collect::<Vec<_>>(), [1, 2]);
    }
}
