//! Mixed kernels: the cube core and its two vector cores run the same file, each its own part. Tiles pass between them through
//! the workspace, a few copies of each in a ring; flags say that one is filled, and that it may be filled again.

use beiming_ir::kernel::npu::{copy_bytes, for_stmts_on, workspace_bytes};
use beiming_ir::kernel::{BufId, Handover, Kernel, Pipe, Space, Stmt, Unit};

use super::file::Writer;

/// Name of a pipe.
fn name(p: Pipe) -> &'static str {
    match p {
        Pipe::S => "PIPE_S",
        Pipe::V => "PIPE_V",
        Pipe::M => "PIPE_M",
        Pipe::Mte1 => "PIPE_MTE1",
        Pipe::Mte2 => "PIPE_MTE2",
        Pipe::Mte3 => "PIPE_MTE3",
        Pipe::Fix => "PIPE_FIX",
    }
}

/// Both parts.
pub fn cores(w: &mut Writer) -> Result<(), String> {
    for (unit, guard) in [(Unit::Cube, "if ASCEND_IS_AIC {"), (Unit::Vector, "if ASCEND_IS_AIV {")] {
        w.open(guard);
        w.core(Some(unit))?;
        w.close();
    }
    Ok(())
}

/// The ends of flags that a core holds, each with its local.
fn ends(k: &Kernel, unit: Unit) -> Vec<(BufId, Handover, u8)> {
    let mut out = vec![];
    for_stmts_on(&k.body, Some(unit), &mut |s| {
        if let Stmt::Wait { buffers, handover: Some(h), .. } = s
            && let (Some(flag), [b]) = (h.flag, &buffers[..])
        {
            out.push((*b, *h, flag));
        }
    });
    out
}

/// True for the flag that hands a local back: who fills the local awaits it, who reads it signals it.
fn hands_back(k: &Kernel, unit: Unit, b: BufId, h: Handover) -> bool {
    let mut fills = false;
    for_stmts_on(&k.body, Some(unit), &mut |s| {
        if let Stmt::Vector { dst, .. } | Stmt::Copy { dst, .. } = s {
            fills |= dst.buffer == b;
        }
    });
    h.signal != fills
}

/// Before the first grid point: the core's places in the workspace, and the first signals of what it empties.
pub fn begin(w: &mut Writer, unit: Option<Unit>) -> Result<(), String> {
    let Some(unit) = unit else { return Ok(()) };
    let k = w.k;
    let group = if unit == Unit::Vector { "GetBlockIdx() / 2;  // both vector cores of a group" } else { "GetBlockIdx();" };
    w.line(&format!("const int64_t group = {group}"));
    let workspace = w.on.workspace.and_then(|p| k.params.get(p as usize)).map(|p| &p.name);
    let mut offset = 0;
    for l in (0..k.locals.len()).filter(|l| k.locals[*l].space == Space::Memory) {
        let b = BufId((k.params.len() + l) as u32);
        let (ty, name, bytes) = (w.element(b)?, &k.locals[l].name, copy_bytes(k, b) * u64::from(w.copies(b)));
        let workspace = workspace.ok_or("a local in global memory without a workspace")?;
        let at = format!("{workspace} + group * {} + {offset}", workspace_bytes(k));
        w.line(&format!("GlobalTensor<{ty}> {name}Ring;"));
        let n = bytes / k.locals[l].dtype.size() as u64;
        w.line(&format!("{name}Ring.SetGlobalBuffer(reinterpret_cast<__gm__ {ty}*>({at}), {n});"));
        w.line(&format!("int64_t {name}Round = 0;"));
        offset += bytes;
    }
    for (b, h, flag) in ends(w.k, unit) {
        if h.signal && hands_back(w.k, unit, b, h) {
            let copies = w.copies(b);
            w.open(&format!("for (int64_t copy = 0; copy < {copies}; ++copy) {{"));
            w.line(&format!("CrossCoreSetFlag<2, {}>({flag});  // every copy of {} is free", name(h.from), k.buffer(b).name));
            w.close();
        }
    }
    Ok(())
}

/// After the last grid point: the last signals of what others have emptied.
pub fn end(w: &mut Writer, unit: Option<Unit>) {
    let Some(unit) = unit else { return };
    for (b, h, flag) in ends(w.k, unit) {
        if !h.signal && hands_back(w.k, unit, b, h) {
            let copies = w.copies(b);
            w.open(&format!("for (int64_t copy = 0; copy < {copies}; ++copy) {{"));
            w.line(&format!("CrossCoreWaitFlag<2, {}>({flag});  // every copy of {} is free again", name(h.to), w.name(b)));
            w.close();
        }
    }
}

/// One end of a flag.
pub fn hand_over(w: &mut Writer, b: BufId, h: Handover, flag: u8, reason: &str) -> Result<(), String> {
    let (ty, tensor) = (w.element(b)?, w.name(b));
    if h.signal {
        w.line(&format!("CrossCoreSetFlag<2, {}>({flag});  // {reason}", name(h.from)));
        w.line(&format!("++{tensor}Round;"));
        return Ok(());
    }
    w.line(&format!("CrossCoreWaitFlag<2, {}>({flag});  // {reason}", name(h.to)));
    let elements = copy_bytes(w.k, b) / w.k.buffer(b).dtype.size() as u64;
    w.line(&format!("GlobalTensor<{ty}> {tensor} = {tensor}Ring[{tensor}Round % {} * {elements}];", w.copies(b)));
    Ok(())
}
