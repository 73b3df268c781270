//! Whether a kernel fits a chip, said before anything is emitted: every memory's buffers against its capacity, all of them listed
//! where they do not fit, with the largest tile that would, and paths that a generation lacks.

use std::fmt::Write as _;

use beiming_ir::kernel::npu::{copy_pipe, reduction_bytes, tile_bytes};
use beiming_ir::kernel::{BufId, Kernel, Pipe, Space, Stmt, Unit};
use beiming_ir::target::npu::Npu;
use beiming_ir::types::Dim;

use super::account::memories;
use super::lower::WHOLE_REPEATS;
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
    let full: Vec<String> =
        overfull(k, npu).into_iter().map(|(space, list)| format!("{list}\n  {}", advice(k, npu, space))).collect();
    if !full.is_empty() {
        return Err(full.join("\n"));
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

/// The memories that a kernel's buffers do not fit, and each with the list of all its buffers.
fn overfull(k: &Kernel, npu: &Npu) -> Vec<(Space, String)> {
    let kib = |b: u64| b as f64 / 1024.0;
    let mut out = vec![];
    for used in memories(k, npu).into_iter().filter(|m| m.bytes() > m.capacity) {
        // Where one digit does not tell them apart, three do: a KiB has 32 blocks.
        let digits = if (used.bytes() - used.capacity) * 10 < 1024 { 3 } else { 1 };
        let mut list = format!(
            "{:.digits$} KiB in {}, which has {:.digits$} KiB on {}:",
            kib(used.bytes()),
            name(used.space),
            kib(used.capacity),
            npu.name
        );
        for (buffer, copies, bytes) in &used.buffers {
            // Writing to a string cannot fail.
            let digits = if *bytes * 10 < 1024 { 3 } else { 1 };
            let _ = write!(list, "\n  {buffer} {copies} x {:.digits$} KiB", kib(*bytes));
        }
        out.push((used.space, list));
    }
    out
}

/// As [`check`] where a family of kernels has searched for a tile itself: what does not fit, every buffer of it, and what `tiles`
/// says of the search.
pub fn check_tile(k: &Kernel, npu: &Npu, tiles: &str) -> Result<(), String> {
    let full: Vec<String> = overfull(k, npu).into_iter().map(|(_, list)| list).collect();
    if full.is_empty() { check(k, npu) } else { Err(format!("{}\n  {tiles}", full.join("\n"))) }
}

/// Bytes of a memory that a kernel takes.
fn taken(k: &Kernel, space: Space) -> u64 {
    let copies = |l: usize| u64::from(k.npu.as_ref().and_then(|on| on.copies.get(l).copied()).unwrap_or(1));
    let local = |l: usize| copies(l) * tile_bytes(k, BufId((k.params.len() + l) as u32));
    let partial = if space == Space::Ub { reduction_bytes(k) } else { 0 };
    partial + (0..k.locals.len()).filter(|l| k.locals[*l].space == space).map(local).sum::<u64>()
}

/// The largest tile that would fit a memory: the buffers with the most elements hold a tile each, and grow and shrink together,
/// row by row of fractals, or by whole repeats of the vector unit; the others stay as they are.
fn advice(k: &Kernel, npu: &Npu, space: Space) -> String {
    let shape = |l: usize| k.locals[l].shape.iter().map(|d| d.known().unwrap_or(0)).collect::<Vec<i64>>();
    let all: Vec<usize> = (0..k.locals.len()).filter(|l| k.locals[*l].space == space).collect();
    let elements = |l: &usize| shape(*l).iter().product::<i64>();
    let Some(tile) = all.iter().copied().max_by_key(elements) else { return "no buffer is a tile's".into() };
    let of_tile: Vec<usize> = all.iter().copied().filter(|l| elements(l) == elements(&tile)).collect();
    let (whole, step) = (shape(tile), if shape(tile).len() > 1 { 16 } else { WHOLE_REPEATS });
    let mut smaller = k.clone();
    let mut taken_by = |rows: i64| {
        for l in &of_tile {
            smaller.locals[*l].shape[0] = Dim::Known(rows * shape(*l)[0] / whole[0]);
        }
        taken(&smaller, space)
    };
    let text = |s: &[i64]| s.iter().map(|n| n.to_string()).collect::<Vec<_>>().join(" x ");
    // Steps that fit, and the fewest that are known not to.
    let (mut fit, mut over) = (0, (whole[0] - 1) / step + 1);
    while over - fit > 1 {
        let middle = (fit + over) / 2;
        if taken_by(middle * step) > capacity(npu, space) { over = middle } else { fit = middle }
    }
    let rows = fit * step;
    if rows > 0 {
        let fits = [&[rows], &whole[1..]].concat();
        return format!("the largest tile that fits has {} elements in place of {}", text(&fits), text(&whole));
    }
    // What no tile changes.
    let least = taken_by(step.min(whole[0]));
    let alone = |l: &usize| tile_bytes(&smaller, BufId((k.params.len() + l) as u32));
    let widest = all.iter().copied().max_by_key(alone).unwrap_or(tile);
    format!(
        "no tile fits: with the smallest, of {} elements, {:.1} KiB are taken, {:.1} KiB of them by {}",
        text(&[&[step.min(whole[0])], &whole[1..]].concat()),
        least as f64 / 1024.0,
        alone(&widest) as f64 / 1024.0,
        k.locals[widest].name
    )
}

#[cfg(test)]
mod tests {
    use beiming_ir::kernel::{Access, Buffer, OnNpu};
    use beiming_ir::types::DType;

    use super::*;

    /// A kernel of locals alone: name, type, extents, memory, copies.
    fn kernel(locals: &[(&str, DType, &[i64], Space, u8)]) -> Kernel {
        let buffer = |(name, dtype, shape, space, _): &(&str, DType, &[i64], Space, u8)| Buffer {
            name: (*name).into(),
            dtype: *dtype,
            shape: shape.iter().map(|d| Dim::Known(*d)).collect(),
            space: *space,
            access: Access::ReadWrite,
        };
        let copies = locals.iter().map(|l| l.4).collect();
        let npu = Some(OnNpu { unit: Unit::Vector, copies, workspace: None });
        Kernel { locals: locals.iter().map(buffer).collect(), npu, ..Kernel::default() }
    }

    #[test]
    fn what_does_not_fit_is_listed_with_the_largest_tile_that_would() {
        use {DType::F16, DType::F32, Space::L0A, Space::L0C, Space::L1, Space::Ub};
        for (chip, locals, want) in [
            // 20 bytes an element, two copies of the operand and the result: 180 KiB less 8 and a quarter hold 9344.
            (
                "ascend910b1",
                &[("x0", F32, &[16384][..], Ub, 2), ("t0", F32, &[16384], Ub, 1), ("y", F32, &[16384], Ub, 2)][..],
                "320.0 KiB in the unified buffer, which has 183.8 KiB on ascend910b1:\n  x0 2 x 64.0 KiB\n  t0 1 x 64.0 KiB\n  \
                 y 2 x 64.0 KiB\n  the largest tile that fits has 9344 elements in place of 16384",
            ),
            // What holds one number a row stays.
            (
                "ascend950",
                &[("x0", F16, &[100_000], Ub, 2), ("s", F32, &[512], Ub, 1)],
                "392.6 KiB in the unified buffer, which has 248.0 KiB on ascend950:\n  x0 2 x 195.3 KiB\n  s 1 x 2.0 KiB\n  \
                 the largest tile that fits has 62976 elements in place of 100000",
            ),
            (
                "ascend910b1",
                &[("acc", F32, &[256, 256], L0C, 1)],
                "256.0 KiB in L0C, which has 128.0 KiB on ascend910b1:\n  acc 1 x 256.0 KiB\n  the largest tile that fits has \
                 128 x 256 elements in place of 256 x 256",
            ),
            (
                "ascend910b1",
                &[("a2", F16, &[16, 4096], L0A, 1)],
                "128.0 KiB in L0A, which has 64.0 KiB on ascend910b1:\n  a2 1 x 128.0 KiB\n  no tile fits: with the smallest, of \
                 16 x 4096 elements, 128.0 KiB are taken, 128.0 KiB of them by a2",
            ),
            (
                "ascend310p3",
                &[("a1", F16, &[512, 512], L1, 2), ("b1", F16, &[512, 64], L1, 1)],
                "1088.0 KiB in L1, which has 1024.0 KiB on ascend310p3:\n  a1 2 x 512.0 KiB\n  b1 1 x 64.0 KiB\n  the largest tile \
                 that fits has 480 x 512 elements in place of 512 x 512",
            ),
        ] {
            let npu = Npu::by_name(chip).expect("a known chip");
            assert_eq!(check(&kernel(locals), &npu).as_ref().map_err(String::as_str), Err(want));
        }
    }

    #[test]
    fn the_tile_that_is_named_fits_and_the_next_does_not() {
        let npu = Npu::by_name("ascend910b1").expect("a known chip");
        let of = |n: i64| {
            [
                ("x0", DType::F32, &[n][..], Space::Ub, 2),
                ("m", DType::Bool, &[n], Space::Ub, 1),
                ("y", DType::F16, &[n], Space::Ub, 2),
            ]
            .map(|(name, d, s, space, c)| (name, d, s.to_vec(), space, c))
        };
        let check_of = |n: i64| {
            let owned = of(n);
            let locals: Vec<_> = owned.iter().map(|(a, d, s, p, c)| (*a, *d, &s[..], *p, *c)).collect();
            check(&kernel(&locals), &npu)
        };
        let why = check_of(50_000).expect_err("it does not fit");
        let named: i64 = why.rsplit("has ").next().and_then(|t| t.split(' ').next()?.parse().ok()).expect("a number");
        assert_eq!((check_of(named), check_of(named + WHOLE_REPEATS).is_err()), (Ok(()), true), "{why}");
    }
}
