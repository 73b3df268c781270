//! What the vector unit of each generation computes in, as a table: the instruction families of Ascend C and the element types
//! they take. Everything that lowering emits is looked up here first, so that what a chip cannot do is said before emission.
//!
//! Source: the type tables of the instructions' pages in asc-devkit (2201, 3510) and of CANN 8.1's API reference (2002).

use beiming_ir::target::npu::{Generation, Npu};
use beiming_ir::types::DType;

/// Families of vector instructions whose members take the same types.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Instruction {
    /// `Add`, `Sub`, `Mul`, `Max`, `Min` and their forms with a scalar.
    Arithmetic,
    /// `Div`.
    Divide,
    /// `Exp`, `Ln`, `Sqrt`, `Abs`.
    Function,
    /// `Compare` and `CompareScalar` of any order.
    Compare,
    /// The same for equality.
    CompareEqual,
    /// `Select`; of other types of equal width it moves the bits.
    Select,
    /// `Duplicate`.
    Duplicate,
    /// `ReduceSum`, `ReduceMax`, `ReduceMin`.
    Reduce,
    /// `Cast` from f32 to f32, to a whole number.
    RoundInPlace,
}

use DType::{BF16, F16, F32, I8, I16, I32, I64, U8, U16, U32};

/// Types of 2201 and 3510, and of 2002 where they differ.
const TABLE: &[(Instruction, &[DType], &[DType])] = &[
    (Instruction::Arithmetic, &[F16, F32, I16, I32], &[F16, F32, I16, I32]),
    (Instruction::Divide, &[F16, F32], &[F16, F32]),
    (Instruction::Function, &[F16, F32], &[F16, F32]),
    (Instruction::Compare, &[F16, F32], &[F16, F32]),
    (Instruction::CompareEqual, &[F16, F32, I32], &[F16, F32]),
    (Instruction::Select, &[F16, F32, I16, I32], &[F16, F32, I16, I32]),
    (Instruction::Duplicate, &[F16, BF16, F32, I16, U16, I32, U32], &[F16, F32, I16, U16, I32, U32]),
    (Instruction::Reduce, &[F16, F32], &[F16, F32]),
    (Instruction::RoundInPlace, &[F32], &[]),
];

/// Conversions of every generation; those with bf16 need a chip that has it, and 2002 has none of 64-bit numbers.
const CASTS: &[(DType, DType)] = &[
    (F16, F32),
    (F32, F16),
    (BF16, F32),
    (F32, BF16),
    (I32, F32),
    (F32, I32),
    (I16, F32),
    (F32, I16),
    (I8, F16),
    (F16, I8),
    (U8, F16),
    (F16, U8),
    (I64, F32),
];

/// True where the chip's vector unit has the instruction in the type.
pub fn computes(npu: &Npu, instruction: Instruction, dtype: DType) -> bool {
    let row = TABLE.iter().find(|r| r.0 == instruction);
    row.is_some_and(|r| (if npu.core.generation == Generation::V2002 { r.2 } else { r.1 }).contains(&dtype))
}

/// True where the chip converts from one type to the other in one instruction.
pub fn converts(npu: &Npu, from: DType, to: DType) -> bool {
    let long = from == I64 && npu.core.generation == Generation::V2002;
    CASTS.contains(&(from, to)) && !long && (npu.core.bf16 || (from != BF16 && to != BF16))
}

/// True where elements of the type can be brought into the unified buffer.
pub fn moves(npu: &Npu, dtype: DType) -> bool {
    matches!(dtype, F32 | F16 | I32 | I16 | I8 | U8 | DType::Bool)
        || (dtype == BF16 && npu.core.bf16)
        || (dtype == I64 && npu.core.generation != Generation::V2002)
}
