//! Names of kernels. The grammar:
//!
//! ```text
//! name   = core "_" types ("_" detail)* ("_" op)* ("_etc")? "__" target
//! core   = name of the anchor op | "map"                   (map: no anchor)
//! types  = element type ("_" element type)*                (those of the inputs in order without repetition, then the result's)
//! detail = "t" rows "x" columns "x" depth | ...            (what the schedule chose)
//! op     = name of another op of the group, in order
//! target = name of the target
//! ```
//!
//! For example `matmul_f32_f32_t8x32x768_add_relu__x86_64_v4`. Every character that an identifier cannot hold becomes `_`; at most
//! eight ops are named. Kernels that differ but would share a name are told apart by `_2`, `_3`, .. at the end.

use beiming_ir::types::DType;

use super::body::{BodyCx, is_anchor};

/// Most ops that are spelled out.
const OPS: usize = 8;
/// Most characters before the target.
const LONGEST: usize = 120;

/// Name of a kernel of `cx`; `details` come from the schedule.
pub fn kernel(cx: &BodyCx, details: &[String]) -> String {
    let anchor = cx.body.nodes.iter().find(|n| is_anchor(&n.op));
    let mut parts = vec![anchor.map_or("map".to_string(), |n| n.op.name())];
    let mut types: Vec<&str> = vec![];
    for input in &cx.inputs {
        if !types.contains(&input.ty.dtype.name()) {
            types.push(input.ty.dtype.name());
        }
    }
    types.push(cx.out().dtype.name());
    parts.extend(types.into_iter().map(String::from));
    parts.extend(details.iter().cloned());
    let others: Vec<String> = cx.body.nodes.iter().filter(|n| !is_anchor(&n.op)).map(|n| n.op.name()).collect();
    parts.extend(others.iter().take(OPS).cloned());
    let mut name = parts.join("_");
    if others.len() > OPS || name.len() > LONGEST {
        name.truncate(LONGEST);
        name.push_str("_etc");
    }
    identifier(&format!("{name}__{}", cx.target.name))
}

/// Name of a kernel of `cx` that computes these elementwise ops and no anchor: one part of a body that takes several kernels.
pub fn map(cx: &BodyCx, details: &[String], from: &[DType], to: DType, ops: &[String]) -> String {
    let mut parts = vec!["map".to_string()];
    let mut types: Vec<&str> = vec![];
    for d in from {
        if !types.contains(&d.name()) {
            types.push(d.name());
        }
    }
    types.push(to.name());
    parts.extend(types.into_iter().map(String::from));
    parts.extend(details.iter().cloned());
    parts.extend(ops.iter().take(OPS).cloned());
    let mut name = parts.join("_");
    if ops.len() > OPS || name.len() > LONGEST {
        name.truncate(LONGEST);
        name.push_str("_etc");
    }
    identifier(&format!("{name}__{}", cx.target.name))
}

/// `s` with everything that an identifier cannot hold replaced.
pub fn identifier(s: &str) -> String {
    let mut out: String = s.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if !out.starts_with(|c: char| c.is_ascii_alphabetic()) {
        out.insert(0, 'k');
    }
    out
}
