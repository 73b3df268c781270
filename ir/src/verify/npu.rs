//! Kernels in which a cube core and vector cores work side by side: which core touches what, the memory between them, and the
//! flags, whose signals and waits must be equal in number however the loops go.

use std::collections::BTreeMap;

use super::Report;
use super::stmt::known;
use crate::kernel::npu::workspace_bytes;
use crate::kernel::{Access, BufId, Handover, Kernel, Loop, Space, Stmt, Unit};
use crate::types::DType;
use crate::walk::{for_roots, for_stmts};

/// Most vector cores of a group.
const MAX_CORES: i64 = 8;
/// Highest number of a flag that no library function takes for itself.
const MAX_FLAG: u8 = 10;

/// Checks what a kernel says about cores.
pub(super) fn check(k: &Kernel, report: &mut Report) {
    let in_memory = k.locals.iter().find(|b| b.space == Space::Memory);
    match (in_memory, k.npu.as_ref().and_then(|n| n.workspace)) {
        (Some(b), None) => {
            let place = format!("buffer `%{}`", b.name);
            report.add(&place, "a local buffer cannot lie in Memory without a workspace: only parameters do");
        }
        (_, Some(w)) => workspace(k, w, report),
        (None, None) => {}
    }
    let mixed = k.npu.as_ref().is_some_and(|n| n.unit == Unit::Mix);
    let mut walk = Walk { k, mixed, report, loops: vec![], on_vector: false, flags: BTreeMap::new() };
    walk.block(&k.body);
    walk.ends();
}

fn workspace(k: &Kernel, w: u32, report: &mut Report) {
    let Some(p) = k.params.get(w as usize) else {
        return report.add("", format!("the workspace is parameter {w}, of which there are {}", k.params.len()));
    };
    let place = format!("buffer `%{}`", p.name);
    let bytes = p.shape.iter().try_fold(1i64, |n, d| n.checked_mul(d.known()?));
    if p.access != Access::Write || p.dtype != DType::U8 || bytes.is_none_or(|b| b < 0 || (b as u64) < workspace_bytes(k)) {
        report.add(&place, format!("the workspace holds at least {} bytes (u8, write)", workspace_bytes(k)));
    }
    let mut named = false;
    for_stmts(&k.body, &mut |s| named |= buffers(k, s).contains(&BufId(w)));
    if named {
        report.add(&place, "the workspace is for locals; no statement names it");
    }
}

/// Buffers that a statement itself touches.
fn buffers(k: &Kernel, s: &Stmt) -> Vec<BufId> {
    let mut out = match s {
        Stmt::Vector { dst, .. } => vec![dst.buffer],
        Stmt::Copy { dst, src, .. } => vec![dst.buffer, src.buffer],
        Stmt::Mma { acc, a, b, .. } => vec![*acc, a.buffer, b.buffer],
        Stmt::For { .. } | Stmt::If { .. } | Stmt::Wait { .. } => vec![],
    };
    let mut stack = vec![];
    for_roots(s, &mut |e| stack.push(e));
    while let Some(e) = stack.pop() {
        let Some(x) = k.exprs.get(e.index()) else { continue };
        if let crate::kernel::Expr::Load(el, _) = x {
            out.push(el.buffer);
        }
        // Arguments point backwards in what is well-formed; anything else is reported elsewhere.
        crate::walk::for_args(x, |a| {
            if a < e {
                stack.push(a);
            }
        });
    }
    out
}

/// One end of a flag.
struct End {
    h: Handover,
    on_vector: bool,
    /// The loops and conditions around, but for that over the cores.
    loops: Vec<u32>,
}

struct Walk<'k, 'r> {
    k: &'k Kernel,
    mixed: bool,
    report: &'r mut Report,
    /// Numbers of the loops and conditions around, in order of the text.
    loops: Vec<u32>,
    on_vector: bool,
    flags: BTreeMap<u8, Vec<End>>,
}

impl Walk<'_, '_> {
    fn block(&mut self, body: &[Stmt]) {
        for s in body {
            self.stmt(s);
        }
    }

    fn stmt(&mut self, s: &Stmt) {
        match s {
            Stmt::For { extent, kind: Loop::Cores, body, .. } => {
                if !self.mixed || self.on_vector {
                    self.report.add("", "a loop over vector cores stands in a mixed kernel, and in no other such loop");
                }
                if known(self.k, *extent).is_none_or(|n| !(1..=MAX_CORES).contains(&n)) {
                    self.report.add("", format!("a loop over vector cores has a constant extent of 1 to {MAX_CORES}"));
                }
                let outer = std::mem::replace(&mut self.on_vector, true);
                self.block(body);
                self.on_vector = outer;
            }
            Stmt::For { var, body, .. } => {
                self.loops.push(var.0);
                self.block(body);
                self.loops.pop();
            }
            Stmt::If { cond, then } => {
                self.loops.push(cond.0);
                self.block(then);
                self.loops.pop();
            }
            Stmt::Wait { handover: Some(h), buffers, .. } => self.end(*h, buffers),
            Stmt::Wait { .. } => {}
            _ if self.mixed => self.touches(s),
            _ => {}
        }
    }

    fn touches(&mut self, s: &Stmt) {
        for b in buffers(self.k, s) {
            if b.index() >= self.k.params.len() + self.k.locals.len() {
                continue;
            }
            let buffer = self.k.buffer(b);
            let wrong = match buffer.space {
                Space::Ub => !self.on_vector,
                Space::L1 | Space::L0A | Space::L0B | Space::L0C => self.on_vector,
                Space::Memory | Space::Panel | Space::Register => false,
            };
            if wrong {
                let (is, has) = if self.on_vector { ("a vector core", "cube core") } else { ("the cube core", "vector cores") };
                let m = format!("{is} touches `%{}`, which only the {has} can", buffer.name);
                self.report.add("", m);
            }
        }
    }

    fn end(&mut self, h: Handover, buffers: &[BufId]) {
        let Some(flag) = h.flag else { return };
        if !self.mixed || flag > MAX_FLAG {
            self.report.add("", format!("flag {flag}: mixed kernels have flags 0 to {MAX_FLAG}"));
        }
        let local = |b: &BufId| {
            let l = b.index().checked_sub(self.k.params.len()).and_then(|l| self.k.locals.get(l));
            l.is_some_and(|b| b.space == Space::Memory)
        };
        if !buffers.iter().all(local) || buffers.len() != 1 {
            self.report.add("", format!("flag {flag} hands over one local in Memory"));
        }
        self.flags.entry(flag).or_default().push(End { h, on_vector: self.on_vector, loops: self.loops.clone() });
    }

    fn ends(&mut self) {
        for (flag, ends) in &self.flags {
            let paired = match &ends[..] {
                [a, b] => {
                    a.h.signal != b.h.signal
                        && (a.h.from, a.h.to) == (b.h.from, b.h.to)
                        && a.on_vector != b.on_vector
                        && a.loops == b.loops
                }
                _ => false,
            };
            if !paired {
                let m = format!(
                    "flag {flag} must be signalled by one kind of core and awaited by the other, once each, in the same loops"
                );
                self.report.add("", m);
            }
        }
    }
}
