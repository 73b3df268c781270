//! The schema of the `manifest` section: the model's face, the memory and the steps. JSON; buffers, kernels and weights are
//! numbers into the lists here. Dimensions are text, in the grammar of [`crate::dims`].
//!
//! What the lists must satisfy beyond their types (indices in range, extents that a symbol binds, weights inside their
//! section) is checked when a module is opened, in [`crate::program`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::dtype::DType;

/// A dimension expression: an integer, a symbol, or sums, products, `floordiv`, `mod`, `min` and `max` of them.
pub type DimText = String;

/// Alignment of every weight inside the weights section, and of every arena buffer, in bytes.
pub const BUFFER_ALIGN: u64 = 64;

/// Everything about a compiled model but its weights and its code.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The model's name.
    pub model: String,
    /// Who wrote the artifact: name and version.
    pub compiler: String,
    /// What the code is for: that of the host, where there is a device.
    pub target: Target,
    /// The device that some kernels are for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Device>,
    /// Ranges of the symbols. A symbol that is an extent of an input by itself is bound from it; the others by a step.
    pub symbols: BTreeMap<String, Range>,
    /// Inputs, in order.
    pub inputs: Vec<Port>,
    /// Outputs, in order.
    pub outputs: Vec<Port>,
    /// Buffers.
    pub slots: Vec<Slot>,
    /// Constants.
    pub weights: Vec<Weight>,
    /// Bytes of the arena: enough for every value of the symbols in range.
    pub arena: u64,
    /// Bytes all arena buffers would take without reuse, for reports.
    pub arena_without_reuse: u64,
    /// What the kernels do with subnormal numbers.
    #[serde(default)]
    pub subnormals: Subnormals,
    /// Kernels, in the order of the code's table.
    pub kernels: Vec<Kernel>,
    /// What to do, in order.
    pub steps: Vec<Step>,
}

/// What arithmetic does with subnormal numbers of f32 and f64.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subnormals {
    /// As IEEE 754 says.
    Keep,
    /// They are taken as zero, and zero is given for them: what artifacts that do not say mean.
    #[default]
    Flush,
}

/// What the code is for.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Name on the command line, for example `kunpeng920`.
    pub name: String,
    /// Triple; its first component names the instruction set.
    pub triple: String,
    /// CPU the code was tuned for.
    pub cpu: String,
    /// Feature string the code was generated with.
    pub features: String,
    /// CPU features that the machine must have, by their LLVM names (`avx2`, `dotprod`).
    pub required: Vec<String>,
}

/// A device beside the CPU.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// Name on the command line, for example `ascend910b1`.
    pub target: String,
    /// The chip's name as its driver spells it.
    pub soc: String,
    /// The architecture as its compiler spells it, for example `dav-2201`.
    pub arch: String,
}

/// A kernel of the device: its source lies in the section `ascendc`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceKernel {
    /// Cores that it runs on.
    pub unit: Unit,
    /// How many of these there are: a launch takes that many blocks, or as many as it has grid points, which are dealt out.
    pub cores: u32,
    /// First byte of its source within the section.
    pub offset: u64,
    /// Number of bytes.
    pub bytes: u64,
}

/// Cores of an NPU.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Vector cores.
    Vector,
    /// Cube cores.
    Cube,
    /// Groups of one cube core and its vector cores.
    Mix,
}

/// Where a buffer's contents are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The CPU's memory.
    Host,
    /// The device's memory.
    Device,
}

/// Inclusive range of a symbol.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// Smallest value.
    pub lo: i64,
    /// Largest value; `i64::MAX` when unbounded.
    pub hi: i64,
}

/// An input or output.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Port {
    /// The model's name.
    pub name: String,
    /// Its buffer.
    pub slot: u32,
}

/// A buffer: dense, row-major.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slot {
    /// Element type.
    pub dtype: DType,
    /// Extents.
    pub shape: Vec<DimText>,
    /// Where it lies.
    pub place: Place,
}

/// Where a buffer lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// Memory of the caller: the n-th input.
    Input(u32),
    /// Memory of the caller: the n-th output.
    Output(u32),
    /// The arena, at a byte offset, a multiple of [`BUFFER_ALIGN`].
    Arena(u64),
    /// The n-th weight.
    Weight(u32),
}

/// A constant, in the weights section.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weight {
    /// First byte within the section, a multiple of [`BUFFER_ALIGN`].
    pub offset: u64,
    /// Number of bytes.
    pub bytes: u64,
}

/// A kernel of the code section.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kernel {
    /// Its name. On the CPU it is called through the code's table, by position among the kernels of the CPU.
    pub symbol: String,
    /// Where it is a kernel of the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceKernel>,
    /// Bytes of scratch a thread needs, aligned to 64.
    pub scratch: u64,
    /// Parameters, in order.
    pub params: Vec<Param>,
    /// Names of the dimension values it takes, in order.
    pub symbols: Vec<String>,
    /// Parallel iteration space over those, outermost first, for reports; a launch states its product.
    pub grid: Vec<DimText>,
}

/// A parameter of a kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Param {
    /// Element type.
    pub dtype: DType,
    /// Whether the kernel writes it.
    pub write: bool,
}

/// A step.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// Calls a kernel.
    Launch {
        /// Index into [`Manifest::kernels`].
        kernel: u32,
        /// Buffers for its parameters.
        args: Vec<u32>,
        /// Values for its symbols.
        dims: Vec<DimText>,
        /// Number of grid points.
        grid: DimText,
        /// Names of the model's nodes it stands for.
        name: String,
        /// Arithmetic operations (a multiply-add counts two).
        flops: DimText,
        /// Bytes read and written in main memory.
        bytes: DimText,
    },
    /// Runs a data-dependent algorithm of the runtime.
    Host {
        /// Which.
        op: HostOp,
        /// Arguments.
        args: Vec<u32>,
        /// Results.
        results: Vec<u32>,
        /// Name of the model's node.
        name: String,
    },
    /// Copies a whole buffer of equal byte size.
    Copy {
        /// From.
        src: u32,
        /// To.
        dst: u32,
    },
    /// Copies a buffer to the same place on the other side.
    Transfer {
        /// Which.
        slot: u32,
        /// Where to.
        to: Side,
    },
    /// Copies `src` to row `at` (an `i64[]` buffer) of `dst`.
    Store {
        /// From.
        src: u32,
        /// To: one axis more than `src`.
        dst: u32,
        /// Row.
        at: u32,
    },
    /// Binds a symbol to the value of an `i64[]` buffer.
    ReadDim {
        /// Symbol.
        symbol: String,
        /// Buffer.
        from: u32,
    },
    /// Runs one of two step lists.
    If {
        /// `bool[]`.
        cond: u32,
        /// When true.
        then: Vec<Step>,
        /// When false.
        otherwise: Vec<Step>,
    },
    /// `for iteration in 0..trip while cond`: the body writes the next `cond`. Afterwards `trips` (if named) is bound to
    /// the number of iterations made.
    Loop {
        /// `i64[]`.
        trip: u32,
        /// `bool[]`, read before every iteration.
        cond: u32,
        /// `i64[]`, written before every iteration.
        iteration: u32,
        /// Symbol for the number of iterations.
        trips: Option<String>,
        /// Steps of one iteration.
        body: Vec<Step>,
    },
}

/// An algorithm that runs in the runtime.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum HostOp {
    /// `data -> (values, indices: i64)`: the `k` largest or smallest along an axis in order, ties by lower index.
    TopK {
        /// How many.
        k: DimText,
        /// Axis.
        axis: u32,
        /// Largest first, else smallest first.
        largest: bool,
    },
    /// `(boxes f32[B, N, 4], scores f32[B, C, N], max_out i64[], iou f32[], score f32[]) -> (i64[count, 3], i64[])`.
    Nms {
        /// Boxes are `(x_center, y_center, width, height)` instead of two corners `(y1, x1, y2, x2)`.
        center: bool,
        /// The extent that counts the results. A symbol is bound to the number found; rows beyond the number in a larger
        /// extent are zero.
        count: DimText,
    },
    /// `data -> (i64[rank, count], i64[])`: row-major positions of the non-zero elements.
    NonZero {
        /// As in `Nms`.
        count: DimText,
    },
    /// `i64[n] -> i64[n]`: gives on what it reads. Elements that do not keep to the rule are a run-time error.
    ReadDims {
        /// For every element, what it is held against.
        dims: Vec<DimText>,
        /// How.
        rule: DimRule,
    },
}

/// What `ReadDims` does with an element and its dimension.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DimRule {
    /// The dimension is a symbol, which gets the element as its value.
    Bind,
    /// The element is equal to the dimension.
    Equal,
    /// The element is one, or equal to the dimension.
    OneOrEqual,
    /// The element is at most the dimension.
    AtMost,
}

impl Manifest {
    /// The bytes of the section: the same for the same manifest.
    pub fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }

    /// Reads the section.
    pub fn from_bytes(bytes: &[u8]) -> Result<Manifest, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}
