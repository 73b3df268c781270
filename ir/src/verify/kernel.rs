//! Kernels: header and buffers, then expressions, statements and bounds.

use std::collections::BTreeSet;

use super::expr::MAX_VARS;
use super::{Finding, Report, bounds, expr, npu, stmt};
use crate::kernel::{Access, Buffer, Kernel, Space, local_bytes};
use crate::types::Dim;

/// Most bytes of a `Register` buffer.
const MAX_REGISTER_BYTES: u64 = 64 << 10;
/// Most bytes of scratch of one thread.
const MAX_SCRATCH_BYTES: u64 = 1 << 30;
/// Most axes of a buffer or grid.
const MAX_RANK: usize = 64;

/// Everything that is wrong with a kernel.
pub fn kernel(k: &Kernel) -> Vec<Finding> {
    check(k, true)
}

/// What `eval` relies on: all but the bounds of indices, which it checks at every access.
pub(crate) fn well_formed(k: &Kernel) -> Vec<Finding> {
    check(k, false)
}

fn check(k: &Kernel, with_bounds: bool) -> Vec<Finding> {
    let mut report = Report::new(format!("kernel `{}`", k.name));
    header(k, &mut report);
    if k.vars > MAX_VARS || (k.vars as usize) < k.grid.len() {
        report.add(
            "",
            format!("{} loop variables; there is one for each of {} grid axes, and at most {MAX_VARS}", k.vars, k.grid.len()),
        );
        return report.found;
    }
    let facts = expr::check(k, &mut report);
    stmt::check(k, &facts, &mut report);
    npu::check(k, &mut report);
    if with_bounds && report.found.is_empty() {
        bounds::check(k, &facts, &mut report);
    }
    report.found
}

/// True for a name that every backend can use as it is.
fn is_identifier(s: &str) -> bool {
    s.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && s.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn header(k: &Kernel, report: &mut Report) {
    if !is_identifier(&k.name) {
        report.add("", "its name is not an identifier");
    }
    let mut symbols = BTreeSet::new();
    for s in &k.symbols {
        if !symbols.insert(s) {
            report.add("", format!("symbol `{s}` is passed twice"));
        }
    }
    let foreign = |d: &Dim| d.symbols().into_iter().find(|s| !symbols.contains(s));
    if k.grid.len() > MAX_RANK {
        report.add("", format!("the grid has {} axes; {MAX_RANK} are allowed", k.grid.len()));
    }
    for d in &k.grid {
        if let Some(s) = foreign(d) {
            report.add("", format!("symbol `{s}` of grid extent `{d}` is not one of the kernel's"));
        }
        if d.known().is_some_and(|v| v < 0) {
            report.add("", format!("grid extent {d} is negative"));
        }
    }
    let mut names = BTreeSet::new();
    for (i, b) in k.params.iter().chain(&k.locals).enumerate() {
        let place = format!("buffer `%{}`", b.name);
        if !is_identifier(&b.name) {
            report.add(&place, "the name is not an identifier");
        }
        if !names.insert(&b.name) {
            report.add(&place, "another buffer has the same name");
        }
        if b.shape.len() > MAX_RANK {
            report.add(&place, format!("{} axes; {MAX_RANK} are allowed", b.shape.len()));
        }
        for d in &b.shape {
            if let Some(s) = foreign(d) {
                report.add(&place, format!("symbol `{s}` of extent `{d}` is not one of the kernel's"));
            }
            if d.known().is_some_and(|v| v < 0) {
                report.add(&place, format!("extent {d} is negative"));
            }
        }
        if i < k.params.len() {
            if b.space != Space::Memory {
                report.add(&place, format!("a parameter lies in Memory, not {:?}", b.space));
            }
        } else {
            local(b, &place, report);
        }
    }
    if k.scratch() > MAX_SCRATCH_BYTES {
        report.add("", format!("its panels take {} bytes of scratch; {MAX_SCRATCH_BYTES} are allowed", k.scratch()));
    }
}

fn local(b: &Buffer, place: &str, report: &mut Report) {
    if b.access != Access::ReadWrite {
        report.add(place, "a local buffer is ReadWrite");
    }
    if let Some(d) = b.shape.iter().find(|d| d.known().is_none()) {
        report.add(place, format!("extent `{d}` of a local buffer must be known"));
    } else if b.space == Space::Register && local_bytes(b) > MAX_REGISTER_BYTES {
        report.add(place, format!("{} bytes in registers; {MAX_REGISTER_BYTES} are allowed", local_bytes(b)));
    }
}
