//! Text form of kernels. Statements are lines; expressions are infix where arithmetic is, and functions elsewhere.
//!
//! An expression that is large and used several times gets a name, `t3 := ..`, before its first use. The name stands for the
//! expression, not for a value: it is evaluated where it is used, with the loop variables and buffers of that place.
//!
//! Expressions of a kernel have an order and no meaning of their own. [`normalize_kernel`] brings them into the order of the
//! text, without repetitions and without those that nothing uses; such a kernel prints in the readable form. Any other prints
//! in a form marked `raw`, that lists every expression in order.

mod expr;
mod located;
mod parse;
mod parse_expr;
mod print;

pub use self::located::{Located, Span, print_kernel_located};
pub(super) use self::parse::kernel as parse_body;
pub(super) use self::print::name;

use std::collections::HashMap;

use super::lexer::{Cursor, Kind, ParseError};
use crate::kernel::{Access, Expr, ExprId, Kernel, Pipe, Space, Unit};
use crate::walk::for_args_mut;

/// Prints a kernel.
pub fn print_kernel(k: &Kernel) -> String {
    readable(k).unwrap_or_else(|| print::kernel(k, true))
}

/// The readable form, where the kernel has one that reads back as the same.
fn readable(k: &Kernel) -> Option<String> {
    let text = print::is_sound(k).then(|| print::kernel(k, false))?;
    (parse_kernel(&text).as_ref() == Ok(k)).then_some(text)
}

/// Reads a kernel.
pub fn parse_kernel(text: &str) -> Result<Kernel, ParseError> {
    let mut c = Cursor::new(text);
    let k = parse_body(&mut c)?;
    if c.kind() == Kind::End { Ok(k) } else { c.expected("the end") }
}

/// The same kernel with its expressions in the order of the text form, each once, and none unused. A kernel that is not sound
/// (`verify` says how) is given back as it is.
pub fn normalize_kernel(k: Kernel) -> Kernel {
    normalize_kernel_mapped(k).0
}

/// As [`normalize_kernel`]; and for every expression of `k` the one that stands for it, if any does.
pub fn normalize_kernel_mapped(k: Kernel) -> (Kernel, Vec<Option<ExprId>>) {
    let new = match print::is_sound(&k) {
        true => parse_kernel(&print::kernel(&print::deduplicated(&k), false)).ok(),
        false => None,
    };
    let Some(new) = new else {
        let same = (0..k.exprs.len() as u32).map(|i| Some(ExprId(i))).collect();
        return (k, same);
    };
    let at: HashMap<&Expr, ExprId> = new.exprs.iter().enumerate().map(|(i, e)| (e, ExprId(i as u32))).collect();
    let mut places: Vec<Option<ExprId>> = Vec::with_capacity(k.exprs.len());
    for mut e in k.exprs {
        // What has an unused argument is unused itself.
        let mut used = true;
        for_args_mut(&mut e, |a| match places[a.index()] {
            Some(new) => *a = new,
            None => used = false,
        });
        places.push(at.get(&e).copied().filter(|_| used));
    }
    (new, places)
}

/// Names of spaces in the text.
const SPACES: [(Space, &str); 8] = [
    (Space::Memory, "memory"),
    (Space::Panel, "panel"),
    (Space::Register, "register"),
    (Space::L1, "l1"),
    (Space::L0A, "l0a"),
    (Space::L0B, "l0b"),
    (Space::L0C, "l0c"),
    (Space::Ub, "ub"),
];

/// Names of accesses in the text.
const ACCESSES: [(Access, &str); 3] = [(Access::Read, "read"), (Access::Write, "write"), (Access::ReadWrite, "readwrite")];

/// Names of pipes in the text.
const PIPES: [(Pipe, &str); 7] = [
    (Pipe::S, "s"),
    (Pipe::V, "v"),
    (Pipe::M, "m"),
    (Pipe::Mte1, "mte1"),
    (Pipe::Mte2, "mte2"),
    (Pipe::Mte3, "mte3"),
    (Pipe::Fix, "fix"),
];

/// Names of the cores of an NPU in the text.
const UNITS: [(Unit, &str); 3] = [(Unit::Vector, "vector"), (Unit::Cube, "cube"), (Unit::Mix, "mix")];

fn name_of<T: PartialEq + Copy>(table: &[(T, &'static str)], v: T) -> &'static str {
    table.iter().find(|t| t.0 == v).map_or("?", |t| t.1)
}

fn by_name<T: Copy>(table: &[(T, &'static str)], name: &str) -> Option<T> {
    table.iter().find(|t| t.1 == name).map(|t| t.0)
}
