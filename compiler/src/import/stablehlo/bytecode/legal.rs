//! From the attributes of a VHLO operation to those of the StableHLO operation: lists of integers, symbols, the structures that
//! VHLO takes apart, and the defaults that VHLO writes out.

use std::sync::Arc;

use super::cursor::{Read, problem};
use super::elements;
use super::pool::Pool;
use super::vhlo_attr::{index, structure};
use crate::import::stablehlo::syntax::{Attr, Attrs, Type};

/// The longest list of integers or booleans: a rank, with much room.
const LONGEST_LIST: usize = 1 << 12;

/// Attributes that are lists of integers or booleans, `array<i64: ..>`, of whatever operation.
const LISTS: &[&str] = &[
    "base_dilations",
    "broadcast_dimensions",
    "broadcast_sizes",
    "collapsed_slice_dims",
    "dimensions",
    "edge_padding_high",
    "edge_padding_low",
    "fft_length",
    "input_batching_dims",
    "input_spatial_dimensions",
    "inserted_window_dims",
    "interior_padding",
    "kernel_spatial_dimensions",
    "known_expanding_dimensions",
    "known_nonexpanding_dimensions",
    "lhs_batching_dimensions",
    "lhs_contracting_dimensions",
    "lhs_dilation",
    "limit_indices",
    "offset_dims",
    "operand_batching_dims",
    "output_spatial_dimensions",
    "permutation",
    "rhs_batching_dimensions",
    "rhs_contracting_dimensions",
    "rhs_dilation",
    "scatter_dims_to_operand_dims",
    "scatter_indices_batching_dims",
    "slice_sizes",
    "start_index_map",
    "start_indices",
    "start_indices_batching_dims",
    "strides",
    "update_window_dims",
    "window_dilations",
    "window_dimensions",
    "window_reversal",
    "window_strides",
];

/// Attributes that name functions.
const SYMBOLS: &[&str] = &["callee", "called_computations", "decomposition"];

/// Attributes that say something by being there.
const FLAGS: &[&str] = &["use_global_device_ids", "has_dynamic_root"];

/// A structure that VHLO takes apart.
struct Taken {
    ops: &'static [&'static str],
    attr: &'static str,
    name: &'static str,
    /// Name in VHLO, name in the structure; blank separated, `=` between them where they differ.
    fields: &'static str,
}

const TAKEN: &[Taken] = &[
    Taken {
        ops: &["convolution", "dynamic_conv"],
        attr: "dimension_numbers",
        name: "conv",
        fields: "input_batch_dimension input_feature_dimension input_spatial_dimensions kernel_input_feature_dimension \
                 kernel_output_feature_dimension kernel_spatial_dimensions output_batch_dimension output_feature_dimension \
                 output_spatial_dimensions",
    },
    Taken {
        ops: &["dot_general"],
        attr: "dot_dimension_numbers",
        name: "dot",
        fields: "lhs_batching_dimensions rhs_batching_dimensions lhs_contracting_dimensions rhs_contracting_dimensions",
    },
    Taken {
        ops: &["dot_general"],
        attr: "algorithm",
        name: "dot_algorithm",
        fields: "lhs_precision_type rhs_precision_type accumulation_type lhs_component_count rhs_component_count \
                 num_primitive_operations allow_imprecise_accumulation",
    },
    Taken {
        ops: &["gather", "dynamic_gather"],
        attr: "dimension_numbers",
        name: "gather",
        fields: "offset_dims collapsed_slice_dims operand_batching_dims start_indices_batching_dims start_index_map \
                 index_vector_dim",
    },
    Taken {
        ops: &["scatter"],
        attr: "scatter_dimension_numbers",
        name: "scatter",
        fields: "update_window_dims inserted_window_dims input_batching_dims scatter_indices_batching_dims \
                 scatter_dims_to_operand_dims index_vector_dim",
    },
    Taken {
        ops: &["send", "recv"],
        attr: "channel_handle",
        name: "channel_handle",
        fields: "channel_id=handle channel_type=type",
    },
];

/// What an attribute is where nobody says otherwise.
enum Default {
    False,
    Zero,
    One,
    MinusOne,
    Empty,
    /// All elements of a list or tensor are this number.
    All(i64),
    Named(&'static str),
    /// `result_accuracy<mode = DEFAULT>`.
    Accuracy,
}

/// Defaults: operation (or `*`), attribute, value.
const DEFAULTS: &[(&str, &str, Default)] = &[
    ("*", "api_version", Default::One),
    ("*", "backend_config", Default::Empty),
    ("*", "base_dilations", Default::All(1)),
    ("*", "called_computations", Default::Empty),
    ("*", "compare_type", Default::Named("NOTYPE")),
    ("*", "composite_attributes", Default::Empty),
    ("*", "has_dynamic_root", Default::False),
    ("*", "has_side_effect", Default::False),
    ("*", "indices_are_sorted", Default::False),
    ("*", "infeed_config", Default::Empty),
    ("*", "is_host_transfer", Default::False),
    ("*", "is_stable", Default::False),
    ("*", "known_expanding_dimensions", Default::Empty),
    ("*", "known_nonexpanding_dimensions", Default::Empty),
    ("*", "layout", Default::Empty),
    ("*", "lhs_dilation", Default::All(1)),
    ("*", "outfeed_config", Default::Empty),
    ("*", "output_operand_aliases", Default::Empty),
    ("*", "padding", Default::All(0)),
    ("*", "precision_config", Default::Named("DEFAULT")),
    ("*", "result_accuracy", Default::Accuracy),
    ("*", "result_tilings", Default::Empty),
    ("*", "rhs_dilation", Default::All(1)),
    ("*", "unique_indices", Default::False),
    ("*", "use_global_device_ids", Default::False),
    ("*", "version", Default::Zero),
    ("*", "window_dilations", Default::All(1)),
    ("*", "window_reversal", Default::All(0)),
    ("*", "window_strides", Default::All(1)),
    ("cholesky", "lower", Default::False),
    ("recv", "source_target_pairs", Default::Empty),
    ("send", "source_target_pairs", Default::Empty),
    ("sort", "dimension", Default::MinusOne),
];

/// Makes the attributes of a VHLO operation those of the StableHLO operation of the same name; `inherent` are its properties.
pub(super) fn attributes(pool: &mut Pool<'_>, op: &str, inherent: &mut Attrs) -> Read<()> {
    if op == "dynamic_conv" {
        // The first version had a padding beside the operand of that meaning, which replaces it.
        inherent.remove("padding");
    }
    let names: Vec<Arc<str>> = inherent.keys().cloned().collect();
    for name in names {
        let Some(attr) = inherent.get(&name) else { continue };
        let new = if LISTS.contains(&&*name) {
            list(pool, op, &name, attr)?
        } else if SYMBOLS.contains(&&*name) {
            symbol(op, &name, attr)?
        } else {
            None
        };
        if let Some(new) = new {
            inherent.insert(name.clone(), new);
        }
        if inherent.get(&name).is_some_and(|attr| is_default(op, &name, attr)) {
            inherent.remove(&name);
        } else if FLAGS.contains(&&*name) {
            inherent.insert(name, Attr::Unit);
        }
    }
    // Layouts are written for both sides or for neither.
    let none = |name: &str| inherent.get(name).is_none_or(is_empty);
    if none("operand_layouts") && none("result_layouts") {
        inherent.remove("operand_layouts");
        inherent.remove("result_layouts");
    }
    put_together(op, inherent);
    Ok(())
}

/// A list of integers out of a constant.
fn list(pool: &mut Pool<'_>, op: &str, name: &str, attr: &Attr) -> Read<Option<Attr>> {
    match attr {
        Attr::Dense(dense) => {
            let Some(list) = elements::list(dense, LONGEST_LIST) else {
                return Err(problem(format!("artifact, stablehlo.{op}"), format!("`{name}` is no list of integers")));
            };
            pool.pay(list.len() as u64 / 4)?;
            Ok(Some(Attr::Ints(list)))
        }
        _ => Ok(None),
    }
}

/// The name of a function, or several, out of strings.
fn symbol(op: &str, name: &str, attr: &Attr) -> Read<Option<Attr>> {
    let one = |attr: &Attr| match attr {
        Attr::Str(s) => Ok(Attr::Symbol(String::from_utf8_lossy(s).into())),
        Attr::Symbol(s) => Ok(Attr::Symbol(s.clone())),
        _ => Err(problem(format!("artifact, stablehlo.{op}"), format!("`{name}` does not name a function"))),
    };
    match attr {
        Attr::Array(all) => Ok(Some(Attr::Array(all.iter().map(one).collect::<Read<_>>()?))),
        attr => Ok(Some(one(attr)?)),
    }
}

/// True where nothing is in it.
fn is_empty(attr: &Attr) -> bool {
    match attr {
        Attr::Array(v) => v.is_empty(),
        Attr::Dict(v) => v.is_empty(),
        Attr::Str(v) => v.is_empty(),
        Attr::Ints(v) => v.is_empty(),
        Attr::Dense(d) => d.values.is_empty(),
        _ => false,
    }
}

/// True where the attribute says what is meant without it.
fn is_default(op: &str, name: &str, attr: &Attr) -> bool {
    let default = DEFAULTS.iter().find(|d| (d.0 == "*" || d.0 == op) && d.1 == name);
    let Some((_, _, default)) = default else { return false };
    match (default, attr) {
        (Default::False, Attr::Bool(v)) => !v,
        (Default::Zero, Attr::Int(v, _)) => *v == 0,
        (Default::One, Attr::Int(v, _)) => *v == 1,
        (Default::MinusOne, Attr::Int(v, _)) => *v == -1,
        (Default::Empty, attr) => is_empty(attr),
        (Default::All(want), Attr::Ints(v)) => v.iter().all(|x| x == want),
        (Default::All(want), Attr::Dense(d)) => d.values.dtype.is_int() && d.values.to_i64().iter().all(|x| x == want),
        (Default::Named(want), Attr::Enum(v)) => **v == **want,
        (Default::Named(_), Attr::Array(v)) => v.iter().all(|x| is_default(op, name, x)),
        (Default::Accuracy, Attr::Struct(_, fields)) => fields.iter().all(|(_, v)| match v {
            Attr::Float(v, _) => *v == 0.0,
            Attr::Int(v, _) => *v == 0,
            Attr::Enum(v) => &**v == "DEFAULT",
            _ => false,
        }),
        _ => false,
    }
}

/// Puts together the structures that VHLO takes apart. Empty lists are left out, and the index vector's axis where it is the
/// first, as the text does.
fn put_together(op: &str, attrs: &mut Attrs) {
    for taken in TAKEN.iter().filter(|t| t.ops.contains(&op)) {
        let mut fields = vec![];
        for field in taken.fields.split_ascii_whitespace() {
            let (from, to) = field.split_once('=').unwrap_or((field, field));
            let Some(attr) = attrs.remove(from) else { continue };
            let first = from == "index_vector_dim" && matches!(attr, Attr::Int(0, _));
            if !first && !is_empty(&attr) && !matches!(attr, Attr::Type(Type::None)) {
                fields.push((to, attr));
            }
        }
        let optional = taken.name == "dot_algorithm" && fields.is_empty();
        if !optional {
            attrs.insert(taken.attr.into(), structure(taken.name, fields));
        }
    }
    // Collectives have only the number of the channel; 0 is none.
    if let Some(id) = attrs.remove("channel_id").filter(|id| !matches!(id, Attr::Int(0, _))) {
        attrs.insert("channel_handle".into(), structure("channel_handle", [("handle", id), ("type", index(0))]));
    }
}
