//! What follows from a kernel's statements when an NPU runs them: which pipe an instruction goes to, what a local takes.

use super::{BufId, Expr, ExprId, Kernel, Loop, Pipe, Space, Stmt, Unit, VarId, local_bytes};
use crate::types::DType;
use crate::walk::for_stmts;

/// Bytes of a line of the L2 cache.
const L2_LINE: u64 = 512;

/// The pipe that a copy between two memories goes through; `None` where no NPU has such a path.
pub fn copy_pipe(from: Space, to: Space) -> Option<Pipe> {
    Some(match (from, to) {
        (Space::Memory, Space::Ub | Space::L1) => Pipe::Mte2,
        (Space::Ub, Space::Memory | Space::L1) => Pipe::Mte3,
        (Space::L1, Space::L0A | Space::L0B) => Pipe::Mte1,
        (Space::L0C, Space::Memory) => Pipe::Fix,
        (Space::Ub | Space::L0C, Space::Ub) => Pipe::V,
        _ => return None,
    })
}

/// The pipe of one instruction: a copy, a product, or a loop of one assignment. `None`: a loop over several, or no instruction.
pub fn pipe(k: &Kernel, s: &Stmt) -> Option<Pipe> {
    match s {
        Stmt::Copy { dst, src, .. } => copy_pipe(k.buffer(src.buffer).space, k.buffer(dst.buffer).space),
        Stmt::Mma { .. } => Some(Pipe::M),
        // Accumulators are cleared by the cube unit and leave through the fixpipe; L1 is filled with a number by the copies in.
        Stmt::Vector { dst, .. } => Some(match k.buffer(dst.buffer).space {
            Space::L0C => Pipe::M,
            Space::L1 => Pipe::Mte2,
            Space::Memory => Pipe::Fix,
            _ => Pipe::V,
        }),
        Stmt::For { .. } | Stmt::If { .. } | Stmt::Wait { .. } => None,
    }
}

/// True for a local of truth values that instructions make and use as masks of one bit an element. One that a copy touches, or
/// that takes elements as they are from one that holds bytes, holds bytes as global memory does.
pub fn is_mask(k: &Kernel, b: BufId) -> bool {
    if k.buffer(b).dtype != DType::Bool {
        return false;
    }
    let mut bytes = copied(k, b);
    for_stmts(&k.body, &mut |s| {
        if let Stmt::Vector { dst, value, .. } = s
            && dst.buffer == b
            && let Expr::Load(el, _) = &k.exprs[value.index()]
        {
            bytes |= k.buffer(el.buffer).space == Space::Memory || copied(k, el.buffer);
        }
    });
    !bytes
}

/// True for a buffer that a copy reads or writes.
fn copied(k: &Kernel, b: BufId) -> bool {
    let mut found = false;
    for_stmts(&k.body, &mut |s| {
        if let Stmt::Copy { dst, src, .. } = s {
            found |= dst.buffer == b || src.buffer == b;
        }
    });
    found
}

/// Bytes of one copy of a local: whole blocks of 32.
pub fn tile_bytes(k: &Kernel, b: BufId) -> u64 {
    let bytes = local_bytes(k.buffer(b));
    if is_mask(k, b) { bytes.div_ceil(8).next_multiple_of(32) } else { bytes.next_multiple_of(32) }
}

/// Bytes of global memory that a core's locals in `Memory` take, all copies together: each on a line of the L2 cache.
pub fn workspace_bytes(k: &Kernel) -> u64 {
    let copies = |l: usize| k.npu.as_ref().and_then(|n| n.copies.get(l)).copied().unwrap_or(1);
    let local = |l: usize| u64::from(copies(l)) * copy_bytes(k, BufId((k.params.len() + l) as u32));
    (0..k.locals.len()).filter(|l| k.locals[*l].space == Space::Memory).map(local).sum()
}

/// Bytes from one copy of a local to the next: whole blocks, and lines of the L2 cache in `Memory`.
pub fn copy_bytes(k: &Kernel, b: BufId) -> u64 {
    let bytes = tile_bytes(k, b);
    if k.buffer(b).space == Space::Memory { bytes.next_multiple_of(L2_LINE) } else { bytes }
}

/// True where one kind of core of a mixed kernel has something to do with a statement: the bodies of `Loop::Cores` are the
/// vector cores', everything else is the cube core's, and loops and conditions are both's that hold something of both.
pub fn runs_on(s: &Stmt, unit: Unit) -> bool {
    match s {
        Stmt::For { kind: Loop::Cores, .. } => unit == Unit::Vector,
        Stmt::For { body, .. } | Stmt::If { then: body, .. } => body.iter().any(|s| runs_on(s, unit)),
        _ => unit != Unit::Vector,
    }
}

/// Calls `f` with every statement that one kind of core runs (`None`: with all), outer before inner.
pub fn for_stmts_on<'k>(body: &'k [Stmt], unit: Option<Unit>, f: &mut impl FnMut(&'k Stmt)) {
    for s in body.iter().filter(|s| unit.is_none_or(|u| runs_on(s, u))) {
        f(s);
        match s {
            Stmt::For { kind: Loop::Cores, body, .. } => for_stmts_on(body, None, f),
            Stmt::For { body, .. } | Stmt::If { then: body, .. } => for_stmts_on(body, unit, f),
            _ => {}
        }
    }
}

/// True for a kernel in which vector cores work beside cube cores.
pub fn is_mixed(k: &Kernel) -> bool {
    let mut mixed = false;
    for_stmts(&k.body, &mut |s| mixed |= matches!(s, Stmt::For { kind: Loop::Cores, .. }));
    mixed
}

/// Bytes of the unified buffer that reductions to one element need besides their operands: two partial results for every 256
/// bytes of the longest. 0 where there are none.
pub fn reduction_bytes(k: &Kernel) -> u64 {
    let mut most = 0;
    for_stmts(&k.body, &mut |s| {
        let Stmt::For { var, body, .. } = s else { return };
        if let [Stmt::Vector { dst, value, reduce: Some(_) }] = &body[..]
            && let Expr::Load(el, _) = &k.exprs[value.index()]
            && !dst.index.iter().any(|e| mentions(k, *e, *var))
        {
            let b = k.buffer(el.buffer);
            most = most.max((2 * local_bytes(b).div_ceil(256) * b.dtype.size() as u64).next_multiple_of(32));
        }
    });
    most
}

/// True where an index depends on a variable.
fn mentions(k: &Kernel, e: ExprId, var: VarId) -> bool {
    match &k.exprs[e.index()] {
        Expr::Var(v) => *v == var,
        Expr::Binary(_, a, b) => mentions(k, *a, var) || mentions(k, *b, var),
        Expr::Unary(_, a) | Expr::Cast(_, a) | Expr::Bitcast(_, a) => mentions(k, *a, var),
        Expr::Select(c, a, b) => [c, a, b].into_iter().any(|x| mentions(k, *x, var)),
        Expr::Const(_) | Expr::Dim(_) | Expr::Load(..) => false,
    }
}

/// Calls `f` for every copy of a kernel.
pub fn for_each_copy(k: &Kernel, f: &mut dyn FnMut(&Stmt)) {
    for_stmts(&k.body, &mut |s| {
        if matches!(s, Stmt::Copy { .. }) {
            f(s);
        }
    });
}
