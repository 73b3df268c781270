//! The meaning of kernels: an interpreter that runs every statement as the scalar loops it stands for, in order, and checks
//! every access.
//!
//! What it refuses, each with the kernel, the buffer, the index and the loop variables: an index out of range; a read of an
//! element of a local (or of a `Write` parameter) that this grid point never wrote; a write to a `Read` parameter; an element
//! that two grid points write, or that one writes and another reads; an element that one iteration of a vector loop writes and
//! a later one reads, but for reductions.
//!
//! Matrix products accumulate in the accumulator's type with one rounding per product and sum, as fused multiply-adds do.

mod code;
mod machine;
mod memory;
mod scalar;

use self::code::compile;
use self::machine::Machine;
use self::memory::Memory;
use super::EvalError;
use crate::kernel::{Expr, Kernel, Loop, Stmt};
use crate::tensor::{Num, Tensor, numel};
use crate::types::Dim;

/// Runs a kernel over its whole grid. `params` are replaced by their contents afterwards; `dims` are the symbols' values, in
/// the order of [`Kernel::symbols`]. On an error `params` are as before.
pub fn kernel(k: &Kernel, params: &mut [Tensor], dims: &[i64]) -> Result<(), EvalError> {
    let wrong = crate::verify::well_formed(k);
    if !wrong.is_empty() {
        return EvalError::fail(wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
    }
    let fail = |m: String| EvalError::fail(format!("kernel `{}`: {m}", k.name));
    if dims.len() != k.symbols.len() {
        return fail(format!("{} symbol values for {} symbols", dims.len(), k.symbols.len()));
    }
    if params.len() != k.params.len() {
        return fail(format!("{} arguments for {} parameters", params.len(), k.params.len()));
    }
    // Every dimension's symbols are the kernel's (well-formed), so each has a value.
    let value = |d: &Dim| d.eval(&|n| k.symbols.iter().position(|s| &**s == n).map(|i| dims[i])).unwrap_or(0);
    let lanes = has_vector_loop(&k.body);
    let mut buffers = Vec::with_capacity(k.params.len() + k.locals.len());
    for (b, t) in k.params.iter().zip(params.iter()) {
        let shape: Vec<i64> = b.shape.iter().map(value).collect();
        if t.dtype != b.dtype || !t.shape.iter().map(|&n| n as i64).eq(shape.iter().copied()) {
            return fail(format!("parameter `%{}` is {}{shape:?}; the argument is {}{:?}", b.name, b.dtype, t.dtype, t.shape));
        }
        buffers.push(Memory::param(b, t, lanes));
    }
    for b in &k.locals {
        buffers.push(Memory::local(b.dtype, b.shape.iter().map(|d| value(d).max(0) as usize).collect(), lanes));
    }
    let grid: Vec<usize> = k.grid.iter().map(|d| value(d).max(0) as usize).collect();
    let points = match numel(&grid).and_then(|n| u32::try_from(n).ok()) {
        Some(n) if n < u32::MAX - 1 => n,
        _ => return fail(format!("a grid of {grid:?} is too large to evaluate")),
    };
    let values = k
        .exprs
        .iter()
        .map(|e| match e {
            Expr::Const(s) => s.value,
            Expr::Dim(d) => Num::Int(value(d).into()),
            _ => Num::Int(0),
        })
        .collect();
    let mut machine = Machine::new(k, values, buffers);
    let code = compile(k);
    for point in 0..points {
        machine.point(point, &grid, &code)?;
    }
    for (t, b) in params.iter_mut().zip(machine.into_buffers()) {
        if let Some(bytes) = b.into_written() {
            t.data = bytes.into();
        }
    }
    Ok(())
}

fn has_vector_loop(body: &[Stmt]) -> bool {
    body.iter().any(|s| match s {
        Stmt::For { kind, body, .. } => *kind == Loop::Vector || has_vector_loop(body),
        Stmt::If { then, .. } => has_vector_loop(then),
        _ => false,
    })
}
