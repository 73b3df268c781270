//! The plan: kernel calls in order, where buffers lie, weights and control flow. The host's part of a compiled model, as data.

use std::sync::Arc;

use crate::graph::{Loc, id};
use crate::kernel::Kernel;
use crate::ops::Op;
use crate::target::Target;
use crate::tensor::Tensor;
use crate::types::{Dim, Symbols, TensorType};

id!(/// A buffer of a plan.
    SlotId);

/// A compiled model before code generation: everything a backend needs.
#[derive(Clone, Debug)]
pub struct Program {
    /// Target it was scheduled for.
    pub target: Target,
    /// Kernels, each distinct.
    pub kernels: Vec<Kernel>,
    /// Constants, by `Place::Weight`.
    pub weights: Vec<Weight>,
    /// The calls.
    pub plan: Plan,
}

/// A constant of the program.
#[derive(Clone, Debug)]
pub struct Weight {
    /// Elements as the model has them.
    pub source: Tensor,
    /// Rearrangement made when the artifact is written; `None`: as they are.
    pub panels: Option<Panels>,
}

/// Packing of matrices for `Mma`: `out[b, p, k, r] = source[offset + b*batch_stride + k*row_stride + (p*nr + r)*col_stride]`,
/// zero where `p*nr + r >= cols`. Shape `[batch, ceil(cols / nr), rows, nr]`, strides in elements.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[allow(missing_docs)]
pub struct Panels {
    pub batch: usize,
    pub rows: usize,
    pub cols: usize,
    pub nr: usize,
    pub offset: usize,
    pub batch_stride: usize,
    pub row_stride: usize,
    pub col_stride: usize,
}

impl Panels {
    /// Shape of the packed weight.
    pub fn shape(&self) -> [usize; 4] {
        [self.batch, self.cols.div_ceil(self.nr), self.rows, self.nr]
    }
}

/// An input or output of the model.
#[derive(Clone, PartialEq, Debug)]
pub struct Port {
    /// The model's name.
    pub name: Arc<str>,
    /// Its buffer.
    pub slot: SlotId,
}

/// Where a buffer lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// Memory of the caller: the n-th input.
    Input(u32),
    /// Memory of the caller: the n-th output.
    Output(u32),
    /// The arena, at a byte offset (a multiple of 64).
    Arena(u64),
    /// The n-th weight.
    Weight(u32),
}

/// A buffer.
#[derive(Clone, PartialEq, Debug)]
pub struct Slot {
    /// Element type and shape over the plan's symbols.
    pub ty: TensorType,
    /// Where.
    pub place: Place,
}

/// What arithmetic does with subnormal numbers of f32 and f64. (Those of the smaller types are always kept.)
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subnormals {
    /// As IEEE 754 says: they are numbers like others, and may be many times slower.
    #[default]
    Keep,
    /// They are taken as zero, and zero is given for them.
    Flush,
}

/// The calls of a model.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Plan {
    /// Ranges of the symbols. Those that are an extent of an input are bound from it; the others by `Step::ReadDim` and by a host step's `ReadDims`.
    pub symbols: Symbols,
    /// Inputs.
    pub inputs: Vec<Port>,
    /// Outputs.
    pub outputs: Vec<Port>,
    /// Buffers.
    pub slots: Vec<Slot>,
    /// Bytes of the arena: enough for every value of the symbols in range.
    pub arena: u64,
    /// Sum of the sizes of all arena buffers without reuse, for the report.
    pub arena_without_reuse: u64,
    /// What the kernels do with subnormal numbers.
    pub subnormals: Subnormals,
    /// The calls in order.
    pub steps: Vec<Step>,
}

/// Whose memory, and whose cores. A kernel runs where [`Kernel::side`] says, every other step on the host.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Side {
    /// The CPU.
    Host,
    /// The NPU.
    Device,
}

impl Side {
    /// The other one.
    pub fn other(self) -> Side {
        match self {
            Side::Host => Side::Device,
            Side::Device => Side::Host,
        }
    }
}

/// One step.
#[derive(Clone, PartialEq, Debug)]
pub enum Step {
    /// Calls a kernel.
    Launch(Launch),
    /// Runs a data-dependent algorithm (`TopK`, `Nms`, `NonZero`) in the runtime, or `ReadDims`, whose symbols have their values from there on. Arguments, then results.
    Host {
        /// The graph's op.
        op: Op,
        /// Arguments.
        args: Vec<SlotId>,
        /// Results.
        results: Vec<SlotId>,
        /// Source, for messages.
        name: Arc<str>,
    },
    /// Copies a whole buffer of equal byte size.
    Copy {
        /// From.
        src: SlotId,
        /// To.
        dst: SlotId,
    },
    /// Copies a buffer to the same place on the other side. The two sides have arenas, inputs and outputs of the same layout;
    /// weights are on both from the start.
    Transfer {
        /// Which.
        slot: SlotId,
        /// Where to.
        to: Side,
    },
    /// Copies `src` to row `at` (an `i64[]` buffer) of `dst`.
    Store {
        /// From.
        src: SlotId,
        /// To: one axis more than `src`.
        dst: SlotId,
        /// Row.
        at: SlotId,
    },
    /// Binds a symbol to the value of an `i64[]` buffer. Out of its range is a run-time error.
    ReadDim {
        /// Symbol.
        symbol: Arc<str>,
        /// Buffer.
        from: SlotId,
    },
    /// Runs one of two step lists.
    If {
        /// `bool[]`.
        cond: SlotId,
        /// When true.
        then: Vec<Step>,
        /// When false.
        otherwise: Vec<Step>,
    },
    /// `for iteration in 0..trip while cond`: the body writes the next `cond`. Afterwards `trips` (if named) is bound to the
    /// number of iterations made.
    Loop {
        /// `i64[]`.
        trip: SlotId,
        /// `bool[]`, read before every iteration.
        cond: SlotId,
        /// `i64[]`, written before every iteration.
        iteration: SlotId,
        /// Symbol for the number of iterations.
        trips: Option<Arc<str>>,
        /// Steps of one iteration.
        body: Vec<Step>,
    },
}

/// Where what a kernel call computes comes from, for those who read what became of a model. It changes nothing that a program
/// means: it is equal to any other, and the text form leaves it out.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The ops of the graph's node in order, each with its source.
    pub ops: Arc<[(String, Loc)]>,
    /// For every expression of the kernel the ops it was made for, as positions in `ops`; none where it only drives the loops.
    pub exprs: Arc<[Vec<u32>]>,
    /// For every buffer of the kernel the ops it was made for.
    pub buffers: Arc<[Vec<u32>]>,
}

impl PartialEq for Origin {
    fn eq(&self, _: &Origin) -> bool {
        true
    }
}

/// A kernel call.
#[derive(Clone, PartialEq, Debug)]
pub struct Launch {
    /// Index into `Program::kernels`.
    pub kernel: u32,
    /// Buffers for the kernel's parameters: of the same element type and number of elements; a kernel may see a buffer under
    /// another shape (usually flat).
    pub args: Vec<SlotId>,
    /// Values for the kernel's symbols.
    pub dims: Vec<Dim>,
    /// Number of grid points (product of the kernel's grid).
    pub grid: Dim,
    /// Names of the model's nodes it stands for.
    pub name: Arc<str>,
    /// Arithmetic operations (a multiply-add counts two).
    pub flops: Dim,
    /// Bytes read and written in main memory, each buffer once.
    pub bytes: Dim,
    /// Ops of the model behind the parts of the kernel.
    pub origin: Origin,
}
