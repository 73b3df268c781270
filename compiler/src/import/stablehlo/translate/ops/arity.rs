//! How many operands operations take, for those of which the number is fixed: by the definitions of the StableHLO dialect (specification
//! 1.20) and of CHLO. A converter reads the operands that it knows; this sees to it that there are no others.

use std::collections::HashMap;
use std::sync::OnceLock;

use crate::import::fail::{R, bad_arguments};

/// Operations by the number of their operands.
const OPERANDS: &[(usize, &[&str])] = &[
    (
        0,
        &[
            "chlo.constant",
            "stablehlo.constant",
            "stablehlo.create_token",
            "stablehlo.iota",
            "stablehlo.partition_id",
            "stablehlo.replica_id",
        ],
    ),
    (
        1,
        &[
            "chlo.acos",
            "chlo.acosh",
            "chlo.asin",
            "chlo.asinh",
            "chlo.atan",
            "chlo.atanh",
            "chlo.bessel_i1e",
            "chlo.conj",
            "chlo.constant_like",
            "chlo.cosh",
            "chlo.digamma",
            "chlo.erf",
            "chlo.erf_inv",
            "chlo.erfc",
            "chlo.is_inf",
            "chlo.is_neg_inf",
            "chlo.is_pos_inf",
            "chlo.lgamma",
            "chlo.sinh",
            "chlo.square",
            "chlo.tan",
            "chlo.top_k",
            "stablehlo.abs",
            "stablehlo.bitcast_convert",
            "stablehlo.broadcast",
            "stablehlo.broadcast_in_dim",
            "stablehlo.case",
            "stablehlo.cbrt",
            "stablehlo.ceil",
            "stablehlo.cholesky",
            "stablehlo.collective_permute",
            "stablehlo.convert",
            "stablehlo.cosine",
            "stablehlo.count_leading_zeros",
            "stablehlo.dynamic_iota",
            "stablehlo.exponential",
            "stablehlo.exponential_minus_one",
            "stablehlo.fft",
            "stablehlo.floor",
            "stablehlo.get_dimension_size",
            "stablehlo.get_tuple_element",
            "stablehlo.if",
            "stablehlo.imag",
            "stablehlo.is_finite",
            "stablehlo.log",
            "stablehlo.log_plus_one",
            "stablehlo.logistic",
            "stablehlo.negate",
            "stablehlo.not",
            "stablehlo.popcnt",
            "stablehlo.real",
            "stablehlo.reduce_precision",
            "stablehlo.reduce_scatter",
            "stablehlo.reshape",
            "stablehlo.reverse",
            "stablehlo.rng_bit_generator",
            "stablehlo.round_nearest_afz",
            "stablehlo.round_nearest_even",
            "stablehlo.rsqrt",
            "stablehlo.sign",
            "stablehlo.sine",
            "stablehlo.slice",
            "stablehlo.sqrt",
            "stablehlo.tan",
            "stablehlo.tanh",
            "stablehlo.transpose",
            "stablehlo.unary_einsum",
            "stablehlo.uniform_dequantize",
            "stablehlo.uniform_quantize",
        ],
    ),
    (
        2,
        &[
            "chlo.broadcast_add",
            "chlo.broadcast_and",
            "chlo.broadcast_atan2",
            "chlo.broadcast_compare",
            "chlo.broadcast_complex",
            "chlo.broadcast_divide",
            "chlo.broadcast_maximum",
            "chlo.broadcast_minimum",
            "chlo.broadcast_multiply",
            "chlo.broadcast_or",
            "chlo.broadcast_polygamma",
            "chlo.broadcast_power",
            "chlo.broadcast_remainder",
            "chlo.broadcast_shift_left",
            "chlo.broadcast_subtract",
            "chlo.broadcast_xor",
            "chlo.broadcast_zeta",
            "chlo.mulhi",
            "chlo.next_after",
            "chlo.polygamma",
            "chlo.zeta",
            "stablehlo.add",
            "stablehlo.and",
            "stablehlo.atan2",
            "stablehlo.compare",
            "stablehlo.complex",
            "stablehlo.convolution",
            "stablehlo.divide",
            "stablehlo.dot",
            "stablehlo.dot_general",
            "stablehlo.dynamic_broadcast_in_dim",
            "stablehlo.dynamic_reshape",
            "stablehlo.einsum",
            "stablehlo.gather",
            "stablehlo.maximum",
            "stablehlo.minimum",
            "stablehlo.multiply",
            "stablehlo.or",
            "stablehlo.pad",
            "stablehlo.power",
            "stablehlo.remainder",
            "stablehlo.set_dimension_size",
            "stablehlo.shift_left",
            "stablehlo.shift_right_arithmetic",
            "stablehlo.shift_right_logical",
            "stablehlo.subtract",
            "stablehlo.torch_index_select",
            "stablehlo.triangular_solve",
            "stablehlo.xor",
        ],
    ),
    (
        3,
        &[
            "chlo.broadcast_select",
            "chlo.ragged_dot",
            "stablehlo.batch_norm_training",
            "stablehlo.clamp",
            "stablehlo.dynamic_conv",
            "stablehlo.dynamic_gather",
            "stablehlo.rng",
            "stablehlo.select",
            "stablehlo.select_and_scatter",
        ],
    ),
    (4, &["stablehlo.real_dynamic_slice"]),
    (5, &["stablehlo.batch_norm_grad", "stablehlo.batch_norm_inference", "stablehlo.dynamic_pad"]),
];

/// Refuses an operation that has another number of operands than it takes.
pub fn check(name: &str, operands: usize) -> R<()> {
    static TABLE: OnceLock<HashMap<&str, usize>> = OnceLock::new();
    let table = TABLE.get_or_init(|| OPERANDS.iter().flat_map(|(n, names)| names.iter().map(|name| (*name, *n))).collect());
    match table.get(name) {
        Some(n) if *n != operands => {
            bad_arguments(format!("takes {n} operand{}, got {operands}", if *n == 1 { "" } else { "s" }))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_known_and_stand_once() {
        let mut all: Vec<&str> = OPERANDS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        let unknown: Vec<_> = all.iter().filter(|n| super::super::known(n).is_err()).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
        all.sort_unstable();
        assert!(all.windows(2).all(|w| w[0] != w[1]));
        assert!(check("stablehlo.abs", 1).is_ok() && check("stablehlo.concatenate", 7).is_ok());
        assert!(check("stablehlo.abs", 2).is_err() && check("stablehlo.clamp", 2).is_err());
    }
}
