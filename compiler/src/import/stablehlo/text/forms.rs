//! The pretty forms of operations, as a table: what stands in which order. The forms are those of the StableHLO, CHLO, `func`,
//! `check`, `interpreter` and `sdy` dialects; whatever has no row here has the generic form only.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::Parser;
use super::cursor::Result;
use super::custom;
use super::op::Draft;

/// One part of a form.
pub(super) enum Part {
    /// Punctuation.
    Mark(&'static str),
    /// A word.
    Word(&'static str),
    /// One value.
    Operand,
    /// Any number of values, with commas between.
    Operands,
    /// Any number of values, each with a comma behind it.
    Leading,
    /// `{..}`, where it stands.
    Attrs,
    /// An integer of 64 bits, and one of 32.
    Int(&'static str),
    Int32(&'static str),
    /// A list of integers.
    Ints(&'static str),
    /// The bare name of an enumerator.
    Enum(&'static str),
    /// A string.
    Text(&'static str),
    /// `true` or `false`, and a float, both without a type.
    Flag(&'static str),
    Real(&'static str),
    /// An integer of 64 bits without a sign.
    Unsigned(&'static str),
    /// A symbol's name, kept as a string.
    Target(&'static str),
    /// Parts that stand together or not at all; the first decides.
    Maybe(&'static [Part]),
    /// `(types) -> types`.
    Signature,
    /// One type for all operands and the result, or a signature.
    Same,
    /// A type for each operand, and the results have the same.
    Each,
    /// Types of the operands, then `->` and the results.
    Arrow,
    /// Types of operands alone.
    Types,
    /// Types of the results alone.
    Results,
    /// The predicate's type and the result's, or a signature.
    Select,
    /// The complex type of the result, or a signature.
    Complex,
    /// The tuple type of the result.
    Tuple,
    /// A text in brackets, kept as it is written between a name and its end.
    Kept(&'static str, &'static str, &'static str),
    /// `(%a: type, ..) { .. }`: a region with its arguments before it.
    Body,
    /// The parts of another form.
    Then(&'static [Part]),
    /// Something of its own.
    Own(for<'p, 'a> fn(&'p mut Parser<'a>, &'p mut Draft) -> Result<()>),
}

use Part::{
    Arrow, Attrs, Each, Enum, Flag, Int, Int32, Ints, Leading, Mark, Maybe, Operand, Operands, Own, Real, Results, Same,
    Signature, Target, Text, Types, Unsigned, Word,
};

pub(super) const COLON: Part = Mark(":");
const COMMA: Part = Mark(",");
pub(super) const EQUALS: Part = Mark("=");
const DIMS: Part = Word("dims");

const UNARY: &[Part] = &[Operand, Attrs, COLON, Same];
const BINARY: &[Part] = &[Operand, COMMA, Operand, Attrs, COLON, Same];
const FUNCTIONAL: &[Part] = &[Operands, Attrs, COLON, Signature];
const NULLARY: &[Part] = &[Attrs, COLON, Results];
const MAPPED: &[Part] = &[Operand, Attrs, COLON, Arrow];
const MAPPED_TWO: &[Part] = &[Operand, COMMA, Operand, Attrs, COLON, Arrow];
const BROADCAST: &[Part] = &[Operands, Attrs, COLON, Signature];

/// Names that share a form.
const FAMILIES: &[(&str, &[&str], &[Part])] = &[
    (
        "stablehlo",
        &[
            "abs",
            "cbrt",
            "ceil",
            "convert",
            "count_leading_zeros",
            "cosine",
            "exponential",
            "exponential_minus_one",
            "floor",
            "imag",
            "is_finite",
            "log",
            "log_plus_one",
            "logistic",
            "not",
            "negate",
            "popcnt",
            "real",
            "round_nearest_afz",
            "round_nearest_even",
            "rsqrt",
            "sign",
            "sine",
            "sqrt",
            "tan",
            "tanh",
            "uniform_quantize",
            "uniform_dequantize",
        ],
        UNARY,
    ),
    (
        "stablehlo",
        &[
            "add",
            "atan2",
            "divide",
            "maximum",
            "minimum",
            "multiply",
            "power",
            "remainder",
            "shift_left",
            "shift_right_arithmetic",
            "shift_right_logical",
            "subtract",
            "and",
            "or",
            "xor",
        ],
        BINARY,
    ),
    (
        "stablehlo",
        &["dynamic_update_slice", "bitcast_convert", "reshape", "dynamic_reshape", "real_dynamic_slice", "dynamic_pad"],
        FUNCTIONAL,
    ),
    ("stablehlo", &["create_token", "replica_id", "partition_id"], NULLARY),
    (
        "chlo",
        &[
            "_asin_acos_kernel",
            "acos",
            "acosh",
            "asin",
            "asinh",
            "atan",
            "atanh",
            "bessel_i1e",
            "conj",
            "cosh",
            "digamma",
            "erf",
            "erf_inv",
            "erfc",
            "is_inf",
            "is_neg_inf",
            "is_pos_inf",
            "lgamma",
            "sinh",
            "square",
            "tan",
        ],
        MAPPED,
    ),
    ("chlo", &["next_after", "polygamma", "zeta", "mulhi"], MAPPED_TWO),
    (
        "chlo",
        &[
            "broadcast_add",
            "broadcast_and",
            "broadcast_atan2",
            "broadcast_compare",
            "broadcast_complex",
            "broadcast_divide",
            "broadcast_maximum",
            "broadcast_minimum",
            "broadcast_multiply",
            "broadcast_next_after",
            "broadcast_or",
            "broadcast_polygamma",
            "broadcast_power",
            "broadcast_remainder",
            "broadcast_select",
            "broadcast_shift_left",
            "broadcast_shift_right_arithmetic",
            "broadcast_shift_right_logical",
            "broadcast_subtract",
            "broadcast_xor",
            "broadcast_zeta",
        ],
        BROADCAST,
    ),
];

pub(super) const RETURN: &[Part] = &[Own(custom::returned)];
const CHECK_TWO: &[Part] =
    &[Operand, COMMA, Operand, Maybe(&[COMMA, Word("tolerance"), EQUALS, Real("tolerance")]), Attrs, COLON, Types];

/// Forms of one operation each.
const SINGLE: &[(&str, &[Part])] = &[
    ("func.return", RETURN),
    ("stablehlo.return", RETURN),
    ("func.call", &[Own(custom::callee), Mark("("), Operands, Mark(")"), Attrs, COLON, Signature]),
    ("stablehlo.constant", &[Own(custom::constant)]),
    ("chlo.constant", &[Own(custom::constant)]),
    ("stablehlo.iota", &[Word("dim"), EQUALS, Int("iota_dimension"), Attrs, COLON, Results]),
    ("stablehlo.dynamic_iota", &[Operand, COMMA, Word("dim"), EQUALS, Int("iota_dimension"), Attrs, COLON, Signature]),
    ("stablehlo.after_all", &[Operands, Attrs, COLON, Same]),
    ("stablehlo.complex", &[Operands, Attrs, COLON, Part::Complex]),
    ("stablehlo.get_tuple_element", &[Operand, Mark("["), Int32("index"), Mark("]"), Attrs, COLON, Signature]),
    ("stablehlo.tuple", &[Operands, Attrs, COLON, Part::Tuple]),
    (
        "stablehlo.compare",
        &[
            Enum("comparison_direction"),
            COMMA,
            Operand,
            COMMA,
            Operand,
            Maybe(&[COMMA, Enum("compare_type")]),
            Attrs,
            COLON,
            Signature,
        ],
    ),
    ("stablehlo.slice", &[Operand, Own(custom::slice_ranges), Attrs, COLON, Signature]),
    ("stablehlo.dynamic_slice", &[Operand, COMMA, Leading, Word("sizes"), EQUALS, Ints("slice_sizes"), Attrs, COLON, Signature]),
    ("stablehlo.broadcast", &[Operand, COMMA, Word("sizes"), EQUALS, Ints("broadcast_sizes"), Attrs, COLON, Signature]),
    ("stablehlo.broadcast_in_dim", &[Operand, COMMA, DIMS, EQUALS, Ints("broadcast_dimensions"), Attrs, COLON, Signature]),
    (
        "stablehlo.dynamic_broadcast_in_dim",
        &[Operand, COMMA, Operand, COMMA, DIMS, EQUALS, Ints("broadcast_dimensions"), Attrs, COLON, Signature],
    ),
    ("stablehlo.cholesky", &[Operand, Maybe(&[COMMA, Word("lower"), EQUALS, Flag("lower")]), Attrs, COLON, Same]),
    ("stablehlo.clamp", &[Operand, COMMA, Operand, COMMA, Operand, Attrs, COLON, Same]),
    ("stablehlo.concatenate", &[Leading, Word("dim"), EQUALS, Int("dimension"), Attrs, COLON, Signature]),
    ("stablehlo.composite", &[Own(custom::composite)]),
    ("stablehlo.convolution", &[Own(custom::convolution), Attrs, COLON, Signature]),
    ("stablehlo.custom_call", &[Target("call_target_name"), Mark("("), Operands, Mark(")"), Attrs, COLON, Signature]),
    ("stablehlo.dot", &[Operand, COMMA, Operand, Own(custom::precision_and_algorithm), Attrs, COLON, Signature]),
    (
        "stablehlo.dot_general",
        &[
            Operand,
            COMMA,
            Operand,
            COMMA,
            Own(custom::dot_dimensions),
            Own(custom::precision_and_algorithm),
            Attrs,
            COLON,
            Signature,
        ],
    ),
    (
        "stablehlo.einsum",
        &[Operand, COMMA, Operand, COMMA, Word("config"), EQUALS, Text("einsum_config"), Attrs, COLON, Signature],
    ),
    ("stablehlo.unary_einsum", &[Operand, COMMA, Word("config"), EQUALS, Text("einsum_config"), Attrs, COLON, Signature]),
    (
        "stablehlo.fft",
        &[
            Operand,
            COMMA,
            Word("type"),
            EQUALS,
            Enum("fft_type"),
            COMMA,
            Word("length"),
            EQUALS,
            Ints("fft_length"),
            Attrs,
            COLON,
            Signature,
        ],
    ),
    ("stablehlo.get_dimension_size", &[Operand, COMMA, Word("dim"), EQUALS, Int("dimension"), Attrs, COLON, Signature]),
    (
        "stablehlo.set_dimension_size",
        &[Operand, COMMA, Operand, COMMA, Word("dim"), EQUALS, Int("dimension"), Attrs, COLON, Signature],
    ),
    ("stablehlo.select", &[Operands, Attrs, COLON, Part::Select]),
    ("stablehlo.reverse", &[Operand, COMMA, DIMS, EQUALS, Ints("dimensions"), Attrs, COLON, Same]),
    (
        "stablehlo.pad",
        &[
            Operand,
            COMMA,
            Operand,
            COMMA,
            Word("low"),
            EQUALS,
            Ints("edge_padding_low"),
            COMMA,
            Word("high"),
            EQUALS,
            Ints("edge_padding_high"),
            COMMA,
            Word("interior"),
            EQUALS,
            Ints("interior_padding"),
            Attrs,
            COLON,
            Signature,
        ],
    ),
    ("stablehlo.transpose", &[Operand, COMMA, DIMS, EQUALS, Ints("permutation"), Attrs, COLON, Signature]),
    ("stablehlo.optimization_barrier", &[Own(custom::barrier)]),
    (
        "stablehlo.rng",
        &[
            Operand,
            COMMA,
            Operand,
            COMMA,
            Operand,
            COMMA,
            Word("distribution"),
            EQUALS,
            Enum("rng_distribution"),
            Attrs,
            COLON,
            Signature,
        ],
    ),
    ("stablehlo.rng_bit_generator", &[Operand, COMMA, Word("algorithm"), EQUALS, Enum("rng_algorithm"), Attrs, COLON, Signature]),
    ("stablehlo.reduce_precision", &[Operand, COMMA, Word("format"), EQUALS, Own(custom::exponent_mantissa), Attrs, COLON, Same]),
    ("stablehlo.reduce", &[Own(custom::reduce)]),
    ("stablehlo.while", &[Own(custom::while_loop)]),
    ("chlo.scan", &[Own(custom::scan)]),
    (
        "chlo.top_k",
        &[
            Mark("("),
            Operand,
            COMMA,
            Word("k"),
            EQUALS,
            Int("k"),
            Maybe(&[COMMA, Word("is_stable"), EQUALS, Flag("is_stable")]),
            Mark(")"),
            Attrs,
            COLON,
            Arrow,
        ],
    ),
    ("check.expect_eq_const", &[Operand, COMMA, Own(custom::checked_value), Attrs]),
    (
        "check.expect_almost_eq_const",
        &[Operand, COMMA, Own(custom::checked_value), Maybe(&[COMMA, Word("tolerance"), EQUALS, Real("tolerance")]), Attrs],
    ),
    ("check.expect_eq", CHECK_TWO),
    ("check.expect_almost_eq", CHECK_TWO),
    (
        "check.expect_close",
        &[
            Operand,
            COMMA,
            Operand,
            COMMA,
            Word("max_ulp_difference"),
            EQUALS,
            Unsigned("max_ulp_difference"),
            Maybe(&[COMMA, Word("min_ulp_difference"), EQUALS, Unsigned("min_ulp_difference")]),
            COLON,
            Attrs,
            Types,
        ],
    ),
    (
        "check.expect_serialized_eq",
        &[
            Operand,
            COMMA,
            Word("probe_id"),
            EQUALS,
            Text("probe_id"),
            Maybe(&[COMMA, Word("iter"), EQUALS, Int32("iteration")]),
            Attrs,
            COLON,
            Types,
        ],
    ),
    ("interpreter.print", &[Operand, Attrs, COLON, Types]),
    ("interpreter.probe", &[Operand, COMMA, Word("probe_id"), EQUALS, Text("probe_id"), Attrs, COLON, Each]),
];

static TABLE: LazyLock<HashMap<String, &'static [Part]>> = LazyLock::new(|| {
    let families =
        FAMILIES.iter().flat_map(|(dialect, names, form)| names.iter().map(move |n| (format!("{dialect}.{n}"), *form)));
    families.chain(SINGLE.iter().chain(super::sdy::FORMS).map(|(name, form)| ((*name).to_owned(), *form))).collect()
});

/// The pretty form of an operation, where it has one.
pub(super) fn find(name: &str) -> Option<&'static [Part]> {
    TABLE.get(name).copied()
}
