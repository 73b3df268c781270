//! Pretty forms of the sharding dialect, as JAX and its partitioner print them. What they say about shardings is kept as it
//! is written, with the name that the generic form gives it.

use super::forms::Part::{self, Attrs, Body, Kept, Mark, Maybe, Operand, Operands, Own, Same, Signature, Target, Text, Word};
use super::forms::{COLON, EQUALS, RETURN};

const SHARDING: Part = Kept("sharding", "#sdy.sharding", "");
const OUT: &[Part] = &[Word("out_sharding"), EQUALS, Kept("out_sharding", "#sdy.sharding", ""), Attrs, COLON, Same];
const IN_SHARDINGS: &[Part] = &[Word("in_shardings"), EQUALS, Kept("in_shardings", "#sdy.sharding_per_value<", ">")];
const OUT_SHARDINGS: &[Part] = &[Word("out_shardings"), EQUALS, Kept("out_shardings", "#sdy.sharding_per_value<", ">")];
const LISTS: &str = "#sdy<list_of_axis_refs";

/// The forms, by operation.
pub(super) const FORMS: &[(&str, &[Part])] = &[
    ("sdy.return", RETURN),
    ("sdy.mesh", &[Target("sym_name"), EQUALS, Kept("mesh", "#sdy.mesh", ""), Attrs]),
    ("sdy.sharding_constraint", &[Operand, SHARDING, Attrs, COLON, Same]),
    ("sdy.reshard", &[Operand, SHARDING, Attrs, COLON, Same]),
    (
        "sdy.manual_computation",
        &[
            Mark("("),
            Operands,
            Mark(")"),
            Maybe(IN_SHARDINGS),
            Maybe(OUT_SHARDINGS),
            Word("manual_axes"),
            EQUALS,
            Kept("manual_axes", "#sdy<manual_axes", ">"),
            Body,
            Attrs,
            COLON,
            Signature,
        ],
    ),
    (
        "sdy.named_computation",
        &[
            Mark("<"),
            Text("name"),
            Mark(">"),
            Mark("("),
            Operands,
            Mark(")"),
            Maybe(IN_SHARDINGS),
            Maybe(OUT_SHARDINGS),
            Body,
            Attrs,
            COLON,
            Signature,
        ],
    ),
    ("sdy.sharding_group", &[Operand, Word("group_id"), EQUALS, Part::Int("group_id"), Attrs, COLON, Part::Types]),
    ("sdy.data_flow_edge", &[Operand, Maybe(&[Word("sharding"), EQUALS, SHARDING]), Attrs, COLON, Same]),
    ("sdy.func_data_flow_edge", &[Operand, Attrs, COLON, Same]),
    (
        "sdy.propagation_barrier",
        &[Operand, Word("allowed_direction"), EQUALS, Part::Enum("allowed_direction"), Attrs, COLON, Same],
    ),
    ("sdy.constant", &[Own(super::custom::constant)]),
    ("sdy.all_gather", &[Kept("gathering_axes", LISTS, ">"), Operand, Part::Then(OUT)]),
    ("sdy.all_slice", &[Kept("slicing_axes", LISTS, ">"), Operand, Part::Then(OUT)]),
    ("sdy.all_to_all", &[Kept("params", "#sdy<all_to_all_param_list", ">"), Operand, Part::Then(OUT)]),
    ("sdy.collective_permute", &[Operand, Part::Then(OUT)]),
    ("sdy.all_reduce", &[Kept("reduction_axes", "#sdy<axis_ref_list", ">"), Operand, Part::Then(OUT)]),
    ("sdy.reduce_scatter", &[Kept("reduce_scatter_axes", LISTS, ">"), Operand, Part::Then(OUT)]),
    ("sdy.sharded_to_unreduced", &[Kept("axes", LISTS, ">"), Operand, Part::Then(OUT)]),
    ("sdy.replicated_to_unreduced", &[Kept("axes", "#sdy<axis_ref_list", ">"), Operand, Part::Then(OUT)]),
];
