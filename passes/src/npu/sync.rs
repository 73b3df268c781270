//! The order between a core's pipes, made explicit. Every copy and every instruction is queued on its pipe; instructions of one
//! pipe run in order, of two in any order unless something orders them. This pass derives what has to be ordered from the
//! kernel's data dependences alone: a local that one pipe fills and another empties is handed over and handed back.
//!
//! ```text
//! await  C -> P   %x   before the first statement that fills %x: its last reader is done
//! signal P -> C   %x   after the last one that fills it
//! await  P -> C   %x   before the first one that reads it
//! signal C -> P   %x   after the last one
//! ```
//!
//! With two copies of a local the filling of one overlaps with the use of the other: the same four statements, one round apart.
//! A local in global memory is handed over between a cube core and its vector cores, by flags instead of events.

use std::collections::BTreeSet;

use beiming_ir::kernel::npu::{is_mixed, pipe, reduction_bytes, tile_bytes};
use beiming_ir::kernel::{BufId, Element, Expr, ExprId, Handover, Kernel, Loop, OnNpu, Pipe, Space, Stmt, Unit};
use beiming_ir::target::npu::Npu;

/// Copies of a local between cores: one is filled while the other is emptied.
pub const RING: u8 = 2;

/// Adds the handovers to a kernel and says how many copies its locals have. Errors where a local goes to and fro between pipes
/// within one list of statements: a fault of the lowering.
pub fn run(k: &mut Kernel, npu: &Npu) -> Result<(), String> {
    let mut body = std::mem::take(&mut k.body);
    let mut handed = BTreeSet::new();
    let mut flags = 0;
    for l in 0..k.locals.len() {
        let b = BufId((k.params.len() + l) as u32);
        if hand_over(k, &mut body, b, flags)? {
            handed.insert(l);
            flags += if k.locals[l].space == Space::Memory { 2 } else { 0 };
        }
    }
    k.body = body;
    let mut copies = vec![1; k.locals.len()];
    handed.iter().filter(|l| k.locals[**l].space == Space::Memory).for_each(|l| copies[*l] = RING);
    for space in [Space::Ub, Space::L1, Space::L0A, Space::L0B, Space::L0C] {
        let scratch = if space == Space::Ub { reduction_bytes(k) } else { 0 };
        let of = |n: u64| -> u64 {
            let bytes = |l: usize| tile_bytes(k, BufId((k.params.len() + l) as u32)) * if handed.contains(&l) { n } else { 1 };
            scratch + (0..k.locals.len()).filter(|l| k.locals[*l].space == space).map(bytes).sum::<u64>()
        };
        if of(2) <= capacity(npu, space) {
            handed.iter().filter(|l| k.locals[**l].space == space).for_each(|l| copies[*l] = 2);
        }
    }
    let cube = k.locals.iter().any(|b| b.space == Space::L0C);
    let unit = if is_mixed(k) {
        Unit::Mix
    } else if cube {
        Unit::Cube
    } else {
        Unit::Vector
    };
    let workspace = k.npu.as_ref().and_then(|n| n.workspace);
    k.npu = Some(OnNpu { unit, copies, workspace });
    Ok(())
}

/// Bytes of a memory of a core.
pub fn capacity(npu: &Npu, space: Space) -> u64 {
    u64::from(match space {
        Space::Ub => npu.core.ub,
        Space::L1 => npu.core.l1,
        Space::L0A => npu.core.l0a,
        Space::L0B => npu.core.l0b,
        Space::L0C => npu.core.l0c,
        Space::Memory | Space::Panel | Space::Register => 0,
    })
}

/// Adds the handovers of one local; false where one pipe alone uses it. Between cores they are the flags `flag` (filled) and
/// the next one (emptied).
fn hand_over(k: &Kernel, body: &mut Vec<Stmt>, b: BufId, flag: u8) -> Result<bool, String> {
    let touching: Vec<(usize, BTreeSet<Pipe>)> = body
        .iter()
        .enumerate()
        .map(|(i, s)| {
            let mut pipes = BTreeSet::new();
            pipes_of(k, s, b, &mut pipes);
            (i, pipes)
        })
        .filter(|(_, p)| !p.is_empty())
        .collect();
    if let [(i, pipes)] = &touching[..]
        && pipes.len() > 1
    {
        return match &mut body[*i] {
            Stmt::For { body, .. } | Stmt::If { then: body, .. } => hand_over(k, body, b, flag),
            _ => Err(format!("`{}` is used by two pipes in one statement", k.buffer(b).name)),
        };
    }
    let mut phases: Vec<(Pipe, usize, usize)> = vec![];
    for (i, pipes) in touching {
        let mut pipes = pipes.into_iter();
        let (Some(p), None) = (pipes.next(), pipes.next()) else {
            return Err(format!("`{}` is used by two pipes in one statement", k.buffer(b).name));
        };
        match phases.last_mut() {
            Some(last) if last.0 == p => last.2 = i,
            _ => phases.push((p, i, i)),
        }
    }
    let [(from, start, filled), (to, used, end)] = phases[..] else {
        return match phases.len() {
            0 | 1 => Ok(false),
            _ => Err(format!("`{}` goes to and fro between pipes", k.buffer(b).name)),
        };
    };
    let name = &k.buffer(b).name;
    if (from, k.buffer(b).space) == (Pipe::Mte3, Space::L1) {
        // No queue leads from the unified buffer to L1: all pipes meet.
        let wait = |reason: String| Stmt::Wait { buffers: vec![b], handover: None, reason };
        body.insert(end + 1, wait(format!("{name} is free again")));
        body.insert(filled + 1, wait(format!("{name} is complete")));
        return Ok(false);
    }
    let across = k.buffer(b).space == Space::Memory;
    let wait = |from, to, signal, flag: u8, reason: String| {
        let flag = across.then_some(flag);
        Stmt::Wait { buffers: vec![b], handover: Some(Handover { from, to, signal, flag }), reason }
    };
    let fills = wait(to, from, false, flag + 1, format!("{} fills {name}, once its last reader is done", unit(from)));
    let complete = wait(from, to, true, flag, format!("{name} is complete"));
    let reads = wait(from, to, false, flag, format!("{} reads {name}", unit(to)));
    let done = wait(to, from, true, flag + 1, format!("{} is done with {name}", unit(to)));
    // From the last to the first, so that positions stay.
    around(body, used, end, reads, done);
    around(body, start, filled, fills, complete);
    Ok(true)
}

/// Puts a statement before the `first` of a list and one behind the `last`: on the vector cores where those run it alone.
fn around(body: &mut Vec<Stmt>, first: usize, last: usize, before: Stmt, behind: Stmt) {
    if first == last
        && let Stmt::For { kind: Loop::Cores, body, .. } = &mut body[first]
    {
        let n = body.len();
        return around(body, 0, n.saturating_sub(1), before, behind);
    }
    body.insert(last + 1, behind);
    body.insert(first, before);
}

fn unit(p: Pipe) -> &'static str {
    match p {
        Pipe::S => "the scalar unit",
        Pipe::V => "the vector unit",
        Pipe::M => "the cube unit",
        Pipe::Mte1 => "the load into the operand buffers",
        Pipe::Mte2 => "the copy in",
        Pipe::Mte3 => "the copy out",
        Pipe::Fix => "the fixpipe",
    }
}

/// The pipes that touch `b` within a statement.
fn pipes_of(k: &Kernel, s: &Stmt, b: BufId, out: &mut BTreeSet<Pipe>) {
    match s {
        Stmt::For { body, .. } | Stmt::If { then: body, .. } => body.iter().for_each(|s| pipes_of(k, s, b, out)),
        Stmt::Wait { .. } => {}
        Stmt::Vector { dst, value, .. } => {
            if dst.buffer == b || reads(k, *value, b) {
                out.extend(pipe(k, s));
            }
        }
        Stmt::Copy { dst, src, .. } => touch(k, s, &[dst, src], b, out),
        Stmt::Mma { acc, a, b: right, .. } => {
            if *acc == b {
                out.insert(Pipe::M);
            }
            touch(k, s, &[a, right], b, out);
        }
    }
}

fn touch(k: &Kernel, s: &Stmt, elements: &[&Element], b: BufId, out: &mut BTreeSet<Pipe>) {
    if elements.iter().any(|e| e.buffer == b) {
        out.extend(pipe(k, s));
    }
}

/// True where an expression reads `b`.
fn reads(k: &Kernel, root: ExprId, b: BufId) -> bool {
    let mut stack = vec![root];
    while let Some(e) = stack.pop() {
        match &k.exprs[e.index()] {
            Expr::Load(el, other) => {
                if el.buffer == b {
                    return true;
                }
                stack.extend(other);
            }
            Expr::Unary(_, a) | Expr::Cast(_, a) | Expr::Bitcast(_, a) => stack.push(*a),
            Expr::Binary(_, a, c) => stack.extend([*a, *c]),
            Expr::Select(c, a, d) => stack.extend([*c, *a, *d]),
            Expr::Const(_) | Expr::Var(_) | Expr::Dim(_) => {}
        }
    }
    false
}
