//! Whether a kernel fits a chip, said before anything is emitted: every memory's buffers against its capacity, all of them listed
//! where they do not fit, and paths that a generation lacks.

use std::fmt::Write as _;

use beiming_ir::kernel::npu::{copy_pipe, reduction_bytes, tile_bytes};
use beiming_ir::kernel::{BufId, Kernel, Pipe, Space, Stmt, Unit};
use beiming_ir::target::npu::Npu;

use super::sync::capacity;

/// Name of a memory in messages.
fn name(space: Space) -> &'static str {
    match space {
        Space::Memory => "global memory",
        Space::Panel => "a CPU's scratch",
        Space::Register => "a CPU's registers",
        Space::L1 => "L1",
        Space::L0A => "L0A",
        Space::L0B => "L0B",
        Space::L0C => "L0C",
        Space::Ub => "the unified buffer",
    }
}

/// Errors say what does not fit, with every buffer and its size.
pub fn check(k: &Kernel, npu: &Npu) -> Result<(), String> {
    let Some(on) = &k.npu else { return Err("the kernel is none for an NPU".into()) };
    if on.unit == Unit::Mix && !npu.core.cross_core {
        return Err(format!("{} has no cores that wait for each other", npu.name));
    }
    if let Some(b) = k.locals.iter().find(|b| matches!(b.space, Space::Panel | Space::Register)) {
        return Err(format!("`{}` lies in {}, which {} does not have", b.name, name(b.space), npu.name));
    }
    for space in [Space::Ub, Space::L1, Space::L0A, Space::L0B, Space::L0C] {
        let mut total = 0;
        let mut list = String::new();
        for (l, b) in k.locals.iter().enumerate().filter(|(_, b)| b.space == space) {
            let copies = u64::from(on.copies.get(l).copied().unwrap_or(1));
            let bytes = copies * tile_bytes(k, BufId((k.params.len() + l) as u32));
            total += bytes;
            // Writing to a string cannot fail.
            let _ = write!(list, "\n  {} {copies} x {:.1} KiB", b.name, bytes as f64 / copies as f64 / 1024.0);
        }
        if space == Space::Ub && reduction_bytes(k) > 0 {
            total += reduction_bytes(k);
            let _ = write!(list, "\n  partial results of reductions {:.1} KiB", reduction_bytes(k) as f64 / 1024.0);
        }
        if total > capacity(npu, space) {
            let kib = |b: u64| b as f64 / 1024.0;
            return Err(format!(
                "{:.1} KiB in {}, which has {:.1} KiB on {}:{list}",
                kib(total),
                name(space),
                kib(capacity(npu, space)),
                npu.name
            ));
        }
    }
    let mut wrong = None;
    beiming_ir::kernel::npu::for_each_copy(k, &mut |s| {
        let Stmt::Copy { dst, src, .. } = s else { return };
        let (from, to) = (k.buffer(src.buffer).space, k.buffer(dst.buffer).space);
        match copy_pipe(from, to) {
            None => wrong = Some(format!("no path leads from {} to {}", name(from), name(to))),
            // Only where both units share a core.
            Some(_) if npu.core.cross_core && matches!((from, to), (Space::Ub, Space::L1) | (Space::L0C, Space::Ub)) => {
                wrong = Some(format!("no path leads from {} to {} on {}", name(from), name(to), npu.name));
            }
            Some(Pipe::Fix) if !npu.core.fixpipe => wrong = Some(format!("{} has no fixpipe", npu.name)),
            _ => {}
        }
    });
    wrong.map_or(Ok(()), Err)
}
