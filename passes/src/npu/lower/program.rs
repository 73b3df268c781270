//! A tile's worth of arithmetic as vector instructions: every value is a whole tile, every step one instruction of the unit.
//! Values are numbered in order and shared where they are equal.

use std::collections::HashMap;

use beiming_ir::kernel::Scalar;
use beiming_ir::ops::{BinaryOp, UnaryOp};
use beiming_ir::target::npu::Npu;
use beiming_ir::tensor::Num;
use beiming_ir::types::DType;

use crate::npu::capability::{Instruction, computes, converts};

/// A value of a program.
pub type V = usize;

/// The right-hand side of an instruction with two operands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Right {
    /// A tile.
    Tile(V),
    /// One number for all elements.
    Number(Scalar),
}

/// One instruction.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Step {
    /// The n-th operand, as it lies in memory.
    Operand(usize),
    /// A number in every element.
    Splat(Scalar),
    /// `Abs`, `Exp`, `Log`, `Sqrt`, and rounding to whole numbers.
    Unary(UnaryOp, V),
    /// Arithmetic.
    Binary(BinaryOp, V, Right),
    /// A comparison: a mask, one bit an element.
    Compare(BinaryOp, V, Right),
    /// By a mask.
    Select(V, V, Right),
    /// Conversion.
    Cast(DType, V),
}

impl Step {
    /// The tiles it reads.
    pub fn args(&self) -> Vec<V> {
        let right = |r: &Right| match r {
            Right::Tile(v) => Some(*v),
            Right::Number(_) => None,
        };
        match self {
            Step::Operand(_) | Step::Splat(_) => vec![],
            Step::Unary(_, a) | Step::Cast(_, a) => vec![*a],
            Step::Binary(_, a, b) | Step::Compare(_, a, b) => [Some(*a), right(b)].into_iter().flatten().collect(),
            Step::Select(m, a, b) => [Some(*m), Some(*a), right(b)].into_iter().flatten().collect(),
        }
    }
}

/// Instructions in order.
#[derive(Clone, Debug)]
pub struct Program<'a> {
    npu: &'a Npu,
    /// Each value's instruction and element type; `Bool` is a mask, but for an operand.
    pub steps: Vec<(Step, DType)>,
    /// The body's node that what is added now is made for; `None`: the anchor, or none.
    pub now: Option<u32>,
    /// Of each value the node it was first made for.
    pub nodes: Vec<Option<u32>>,
    seen: HashMap<Step, V>,
}

/// A number of a type.
pub fn number(dtype: DType, x: f64) -> Scalar {
    let value = if dtype.is_float() { Num::Float(x) } else { Num::Int(x as i128) };
    Scalar { dtype, value: beiming_ir::num::round_to(dtype, value) }
}

impl<'a> Program<'a> {
    /// An empty program for a chip.
    pub fn new(npu: &'a Npu) -> Program<'a> {
        Program { npu, steps: vec![], now: None, nodes: vec![], seen: HashMap::new() }
    }

    /// The chip.
    pub fn npu(&self) -> &'a Npu {
        self.npu
    }

    /// Element type of a value.
    pub fn dtype(&self, v: V) -> DType {
        self.steps[v].1
    }

    fn push(&mut self, step: Step, dtype: DType) -> V {
        *self.seen.entry(step).or_insert_with(|| {
            self.steps.push((step, dtype));
            self.nodes.push(self.now);
            self.steps.len() - 1
        })
    }

    fn needs(&self, instruction: Instruction, dtype: DType, what: &str) -> Result<(), String> {
        if computes(self.npu, instruction, dtype) {
            return Ok(());
        }
        Err(format!("the vector unit of {} has no `{what}` in {dtype}", self.npu.name))
    }

    /// An operand.
    pub fn operand(&mut self, n: usize, dtype: DType) -> V {
        self.push(Step::Operand(n), dtype)
    }

    /// A number in every element.
    pub fn splat(&mut self, s: Scalar) -> Result<V, String> {
        self.needs(Instruction::Duplicate, s.dtype, "duplicate")?;
        Ok(self.push(Step::Splat(s), s.dtype))
    }

    /// A function of one argument.
    pub fn unary(&mut self, op: UnaryOp, a: V) -> Result<V, String> {
        let dtype = self.dtype(a);
        let rounds = matches!(op, UnaryOp::Floor | UnaryOp::Ceil | UnaryOp::Round | UnaryOp::RoundAway | UnaryOp::Trunc);
        let family = if rounds { Instruction::RoundInPlace } else { Instruction::Function };
        self.needs(family, dtype, op.name())?;
        Ok(self.push(Step::Unary(op, a), dtype))
    }

    /// Arithmetic on two tiles.
    pub fn binary(&mut self, op: BinaryOp, a: V, b: V) -> Result<V, String> {
        let dtype = self.dtype(a);
        self.needs(if op == BinaryOp::Div { Instruction::Divide } else { Instruction::Arithmetic }, dtype, op.name())?;
        Ok(self.push(Step::Binary(op, a, Right::Tile(b)), dtype))
    }

    /// Addition, product, maximum or minimum with a number.
    pub fn with(&mut self, op: BinaryOp, a: V, x: f64) -> Result<V, String> {
        let dtype = self.dtype(a);
        self.scalar(op, a, number(dtype, x))
    }

    /// As [`Program::with`], the number given exactly.
    pub fn scalar(&mut self, op: BinaryOp, a: V, s: Scalar) -> Result<V, String> {
        let dtype = self.dtype(a);
        self.needs(Instruction::Arithmetic, dtype, op.name())?;
        Ok(self.push(Step::Binary(op, a, Right::Number(s)), dtype))
    }

    /// A comparison: a mask.
    pub fn compare(&mut self, op: BinaryOp, a: V, b: Right) -> Result<V, String> {
        let family = if op == BinaryOp::Eq { Instruction::CompareEqual } else { Instruction::Compare };
        self.needs(family, self.dtype(a), op.name())?;
        Ok(self.push(Step::Compare(op, a, b), DType::Bool))
    }

    /// A selection by a mask.
    pub fn select(&mut self, mask: V, a: V, b: Right) -> Result<V, String> {
        let dtype = self.dtype(a);
        self.needs(Instruction::Select, dtype, "select")?;
        Ok(self.push(Step::Select(mask, a, b), dtype))
    }

    /// A conversion in one instruction.
    pub fn cast(&mut self, to: DType, a: V) -> Result<V, String> {
        let from = self.dtype(a);
        if from == to {
            return Ok(a);
        }
        // Bytes that hold 0 or 1 convert as numbers.
        let byte = |d: DType| if d == DType::Bool { DType::U8 } else { d };
        if !converts(self.npu, byte(from), byte(to)) {
            return Err(format!("the vector unit of {} does not convert {from} to {to}", self.npu.name));
        }
        Ok(self.push(Step::Cast(to, a), to))
    }

    /// Values that `root` needs, itself included, in order.
    pub fn needed(&self, roots: &[V]) -> Vec<bool> {
        let mut need = vec![false; self.steps.len()];
        roots.iter().for_each(|r| need[*r] = true);
        for v in (0..self.steps.len()).rev() {
            if need[v] {
                self.steps[v].0.args().into_iter().for_each(|a| need[a] = true);
            }
        }
        need
    }
}
