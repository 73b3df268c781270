//! A StableHLO module as it is written, before anybody asks what it means. The text parser and the bytecode reader both
//! make this, and the translation into a graph starts from it; it is the only thing they share.
//!
//! One vocabulary for all encodings: ops are called `stablehlo.add`, `chlo.erf`, `func.call` (a portable artifact's
//! `vhlo.add_v1` is renamed), attributes have the names of the StableHLO specification, and each attribute has the variant of
//! [`Attr`] that its doc comment names, whatever syntax it came in. What an encoding leaves out because it is the default is
//! simply absent: the translation knows the defaults.

use std::collections::BTreeMap;
use std::sync::Arc;

use beiming_ir::tensor::Tensor;
use beiming_ir::types::DType;

/// The longest list of integers that a splat is spread to.
const MAX_LIST: usize = 1 << 16;

/// One thing that is wrong with a module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// Where; line 0 in bytecode, whose `loc.name` says what part.
    pub loc: Loc,
    /// What is wrong, and what is allowed.
    pub message: String,
}

/// A module: its functions, in order, and what else is said about it.
#[derive(Clone, Debug, Default)]
pub struct Module {
    /// `module @name`; may be empty.
    pub name: Arc<str>,
    /// The module's own attributes, such as `mhlo.num_partitions`.
    pub attrs: Attrs,
    /// Functions, in order.
    pub functions: Vec<Function>,
    /// Ops at the level of the module that are no functions (`sdy.mesh`, ..): kept as annotations.
    pub others: Vec<Operation>,
}

/// A function.
#[derive(Clone, Debug, Default)]
pub struct Function {
    /// Name, without `@`.
    pub name: Arc<str>,
    /// True unless declared `private`.
    pub public: bool,
    /// The types of its arguments are those of the body's arguments.
    pub arg_attrs: Vec<Attrs>,
    /// Types of the results.
    pub results: Vec<Type>,
    /// What is said about each result, such as `jax.result_info`.
    pub result_attrs: Vec<Attrs>,
    /// The function's own attributes.
    pub attrs: Attrs,
    /// Its only block; a declaration's is empty.
    pub body: Block,
    /// Types of all values of the function and of the regions inside it, by [`Value`].
    pub values: Vec<Type>,
    /// Source.
    pub loc: Loc,
}

/// A value of a function; regions number on from their surroundings, whose values they see.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Value(pub u32);

impl Value {
    /// Position in [`Function::values`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A block. Every region of StableHLO has exactly one; the terminator (`return`) is its last operation.
#[derive(Clone, Debug, Default)]
pub struct Block {
    /// Arguments.
    pub args: Vec<Value>,
    /// What the locations of the arguments call them, in order and empty where they do not; may be shorter than `args`. JAX says
    /// there which part of which of its arguments each is: `states[0]`.
    pub names: Vec<Arc<str>>,
    /// Operations in order.
    pub ops: Vec<Operation>,
}

/// An operation.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Full name, `dialect.op`; for `func.return` and `stablehlo.return` alike.
    pub name: Arc<str>,
    /// Arguments.
    pub operands: Vec<Value>,
    /// Results; a pack `%0:2` is two values.
    pub results: Vec<Value>,
    /// Attributes and properties.
    pub attrs: Attrs,
    /// Regions.
    pub regions: Vec<Block>,
    /// Source.
    pub loc: Loc,
}

/// Attributes by name.
pub type Attrs = BTreeMap<Arc<str>, Attr>;

/// Where an operation stands.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Loc {
    /// Line in the text, from 1; 0 in bytecode.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
    /// What `loc(..)` says, such as `jit(f)/dot_general` or `model.py:3:5`; may be empty.
    pub name: Arc<str>,
}

/// Type of a value.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Type {
    /// `tensor<..>`.
    Tensor(TensorType),
    /// `tuple<..>`.
    Tuple(Vec<Type>),
    /// `!stablehlo.token`.
    Token,
    /// `(..) -> (..)`, in attributes.
    Function(Vec<Type>, Vec<Type>),
    /// `!stablehlo.future<..>`.
    Future(Vec<Type>),
    /// An element type that stands alone, as in `1 : i64`.
    Scalar(Element),
    /// `none`.
    None,
    /// Another dialect's type, as it was written.
    Other(Arc<str>),
}

/// A tensor type.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TensorType {
    /// Extents; `None` for `?`. A tensor without rank (`tensor<*xf32>`) is an error of the reader.
    pub shape: Vec<Option<u64>>,
    /// Upper bounds from `#stablehlo.bounds<..>`: empty, or one for each axis.
    pub bounds: Vec<Option<u64>>,
    /// Element type.
    pub element: Element,
}

/// Element type.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Element {
    /// A type of the IR; signless MLIR integers are signed, `i1` is `Bool`.
    Plain(DType),
    /// `index`.
    Index,
    /// `!quant.uniform<..>`.
    Quantized(Arc<Quantized>),
}

/// A uniform quantized element type: `real = (stored - zero_point) * scale`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Quantized {
    /// Storage type.
    pub storage: DType,
    /// Least stored value.
    pub min: i64,
    /// Greatest stored value.
    pub max: i64,
    /// Type that it stands for.
    pub expressed: DType,
    /// The quantized axis; `None` where there is one scale for all.
    pub axis: Option<usize>,
    /// Scales, as bits of f64: one, or one for each position along the axis.
    pub scales: Vec<u64>,
    /// Zero points, as many.
    pub zero_points: Vec<i64>,
}

/// An attribute.
#[derive(Clone, Debug)]
pub enum Attr {
    /// Presence alone.
    Unit,
    /// `true`, `false`.
    Bool(bool),
    /// `1 : i64`; the type tells the width.
    Int(i64, Type),
    /// `1.0 : f32`.
    Float(f64, Type),
    /// A string, as bytes: MLIR strings need not be UTF-8.
    Str(Arc<[u8]>),
    /// `@name`, `@outer::@inner` joined by `::`.
    Symbol(Arc<str>),
    /// A type.
    Type(Type),
    /// `[..]`.
    Array(Vec<Attr>),
    /// `array<i64: 1, 2>`, `array<i1: true>` (as 0 and 1), and also `dense<[1, 2]> : tensor<2xi64>` where the specification
    /// has a list of integers: readers give what is written; [`Attr::ints`] takes either.
    Ints(Vec<i64>),
    /// `{..}`.
    Dict(Attrs),
    /// `dense<..>`, `dense_resource<..>`: the values. A splat is spread by whoever needs it: see [`Dense`].
    Dense(Dense),
    /// An enumerator of any of the enum attributes, `#stablehlo<comparison_direction EQ>`: `EQ`.
    Enum(Arc<str>),
    /// `#stablehlo.dot<..>`, `#stablehlo.conv<..>`, `#stablehlo.gather<..>`, `#stablehlo.scatter<..>`, `#stablehlo.channel_handle<..>`,
    /// `#stablehlo.dot_algorithm<..>`, `#stablehlo.output_operand_alias<..>`, ..: the name without the dialect, and the fields
    /// under the names of the specification, lists as `Ints`.
    ///
    /// `conv` has the integers `input_batch_dimension`, `input_feature_dimension`, `kernel_input_feature_dimension`,
    /// `kernel_output_feature_dimension`, `output_batch_dimension`, `output_feature_dimension` and the lists
    /// `input_spatial_dimensions`, `kernel_spatial_dimensions`, `output_spatial_dimensions`.
    Struct(Arc<str>, Attrs),
    /// An attribute of a dialect that is not ours, as it was written (text), or its name alone (bytecode).
    Other(Arc<str>),
}

/// Constant elements.
#[derive(Clone, Debug)]
pub struct Dense {
    /// Type.
    pub ty: TensorType,
    /// The elements; for a splat a tensor of one element and rank 0. Quantized elements are in their storage type.
    pub values: Tensor,
}

impl Attr {
    /// The integers of a list, whatever it is written as; `None` where it is no list of integers.
    pub fn ints(&self) -> Option<Vec<i64>> {
        match self {
            Attr::Ints(v) => Some(v.clone()),
            Attr::Array(v) => v.iter().map(|a| if let Attr::Int(i, _) = a { Some(*i) } else { None }).collect(),
            Attr::Dense(d) => {
                let count = d.ty.shape.iter().try_fold(1usize, |n, e| n.checked_mul(usize::try_from((*e)?).ok()?))?;
                let each = d.values.dtype.is_int().then(|| d.values.to_i64())?;
                let splat = d.values.shape.is_empty() && !d.ty.shape.is_empty();
                if splat { (count <= MAX_LIST).then(|| each.repeat(count)) } else { Some(each) }
            }
            _ => None,
        }
    }

    /// A string or an enumerator as text.
    pub fn text(&self) -> Option<&str> {
        match self {
            Attr::Str(s) => std::str::from_utf8(s).ok(),
            Attr::Enum(s) | Attr::Symbol(s) => Some(s),
            _ => None,
        }
    }
}
