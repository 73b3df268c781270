//! Text form of graphs, kernels and programs: prints, and parses back to the same IR.
//!
//! It is made to be read in a diff and written by hand in a test: a node, statement or step is one line, attributes are the
//! payload structs in RON, dimensions are written as in [`crate::types::Dim`]. Printing what was parsed gives the same text.
//!
//! ```text
//! graph "mlp" {
//!   dim N = 1..64
//!   %0 = input "x" : f32[N, 3]
//!   %1 = Constant(0) : f32[3]
//!   %2 = Binary(Add) %0, %1 : f32[N, 3] @ "add_1" "Add" "graph/node 0"
//!   output "y" %2
//!   const 0 : f32[3] = [1.0, 2.0, 3.0]
//! }
//! ```
//! ```text
//! kernel add(N) {
//!   param %x : f32[N, 64] read
//!   param %y : f32[N, 64] write
//!   grid (i0 < N)
//!   vector for i1 < 64 {
//!     %y[i0, i1] = %x[i0, i1] + 1.0:f32
//!   }
//! }
//! ```
//! The print functions show also IR that `verify` refuses; only what has the right structure (indices in range, unique buffer
//! names) is promised to parse back.

mod blob;
mod graph;
mod kernel;
mod lexer;
mod plan;

use std::fmt::Write;
use std::sync::Arc;

use ron::extensions::Extensions;

pub use self::blob::Constants;
pub use self::graph::{parse_graph, print_graph};
pub use self::kernel::{
    Located, Span, normalize_kernel, normalize_kernel_mapped, parse_kernel, print_kernel, print_kernel_located,
};
pub use self::lexer::ParseError;
pub use self::plan::{parse_program, print_program};

use self::lexer::{Cursor, Kind, Parsed};
use crate::dim::quote;
use crate::types::{DType, Dim, Symbols, TensorType};

/// How payloads are written: `Conv(strides: ..)`, not `Conv((strides: ..))`.
fn ron_options() -> ron::Options {
    ron::Options::default().with_default_extension(Extensions::UNWRAP_VARIANT_NEWTYPES)
}

/// A payload in RON. What RON cannot say (nothing in the IR) becomes a comment that does not parse.
fn print_ron<T: serde::Serialize>(v: &T) -> String {
    ron_options().to_string(v).unwrap_or_else(|e| format!("/* {e} */"))
}

/// Reads a payload: an identifier with a group in brackets, or a group alone.
fn parse_ron<T: serde::de::DeserializeOwned>(c: &mut Cursor<'_>, what: &str) -> Parsed<T> {
    let from = c.pos();
    if c.kind() == Kind::Ident {
        c.advance();
    } else if !c.sees("(") {
        return c.expected(what);
    }
    c.group()?;
    let source = c.since(from);
    ron_options().from_str(source).or_else(|e| {
        // RON's position is within the payload, which may span lines.
        let lines: usize = source.split_inclusive('\n').take(e.span.start.line.saturating_sub(1)).map(str::len).sum();
        let column = source[lines..].char_indices().nth(e.span.start.col.saturating_sub(1)).map_or(0, |(i, _)| i);
        c.error_at(from + lines + column, format!("{what}: {}", e.code))
    })
}

/// Reads a dimension up to one of `stops`.
fn parse_dim(c: &mut Cursor<'_>, stops: &[&str]) -> Parsed<Dim> {
    let (source, from) = c.until(stops)?;
    source.parse().or_else(|e: String| c.error_at(from, e))
}

/// Reads a symbol's name up to one of `stops`.
fn parse_symbol(c: &mut Cursor<'_>, stops: &[&str]) -> Parsed<Arc<str>> {
    let from = c.pos();
    let d = parse_dim(c, stops)?;
    match d.symbols().as_slice() {
        [s] if d == Dim::sym(s) => Ok(s.clone()),
        _ => c.error_at(from, "expected the name of a symbol"),
    }
}

fn parse_dtype(c: &mut Cursor<'_>) -> Parsed<DType> {
    let at = c.pos();
    let w = c.ident("an element type")?;
    w.parse().or_else(|e: String| c.error_at(at, e))
}

/// Reads `f32[N, 3]`.
fn parse_type(c: &mut Cursor<'_>) -> Parsed<TensorType> {
    let dtype = parse_dtype(c)?;
    c.expect("[")?;
    let mut shape = vec![];
    while !c.eat("]") {
        if !shape.is_empty() {
            c.expect(",")?;
        }
        shape.push(parse_dim(c, &[","])?);
    }
    Ok(TensorType { dtype, shape })
}

fn print_symbols(out: &mut String, indent: &str, symbols: &Symbols) {
    for (name, r) in &symbols.0 {
        let hi = if r.hi == i64::MAX { String::new() } else { r.hi.to_string() };
        let _ = writeln!(out, "{indent}dim {} = {}..{hi}", quote(name), r.lo);
    }
}

/// Reads the rest of `dim N = 1..64`, or `1..` where there is no upper bound.
fn parse_range(c: &mut Cursor<'_>, symbols: &mut Symbols) -> Parsed<()> {
    let at = c.pos();
    let name = parse_symbol(c, &["="])?;
    c.expect("=")?;
    let lo = c.int("an integer of 64 bits")?;
    c.expect("..")?;
    let hi = if c.kind() == Kind::Number || c.sees("-") { c.int("an integer of 64 bits")? } else { i64::MAX };
    if symbols.0.contains_key(&name) {
        return c.error_at(at, format!("symbol `{name}` has a range already"));
    }
    symbols.declare(&name, lo, hi);
    Ok(())
}

/// Joins the printed forms of `items` by commas.
fn list<T>(items: impl IntoIterator<Item = T>, f: impl Fn(T) -> String) -> String {
    items.into_iter().map(f).collect::<Vec<_>>().join(", ")
}
