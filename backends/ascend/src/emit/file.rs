//! The file of a kernel: header comment, function, buffers, the loop over grid points, and its statements.

use std::fmt::Write as _;

use beiming_ir::kernel::npu::{
    copy_bytes, copy_pipe, for_stmts_on, is_mask, reduction_bytes, runs_on, tile_bytes, workspace_bytes,
};
use beiming_ir::kernel::{Access, BufId, Expr, ExprId, Handover, Kernel, Loop, OnNpu, Pipe, Space, Stmt, Unit, VarId};
use beiming_ir::ops::BinaryOp;
use beiming_ir::target::npu::{Generation, Npu};
use beiming_ir::types::Dim;

use super::listing::{self, Listing};
use super::text::{Printer, variable};
use super::{copy, cube, mixed, prelude, types, vector};

/// Text under way.
pub struct Writer<'k> {
    /// The kernel.
    pub k: &'k Kernel,
    /// The chip.
    pub npu: &'k Npu,
    /// Spells scalars.
    pub print: Printer<'k>,
    /// Rows with a tail go through the scalar unit: the functions for it are needed.
    pub tails: bool,
    /// Cores and copies.
    pub on: &'k OnNpu,
    /// The kind of core whose part is being spelled, outside of what vector cores run together.
    unit: Option<Unit>,
    /// Variables of the loops around.
    loops: Vec<VarId>,
    /// Numbers of the next names of scalars: places, counts.
    names: (u32, u32),
    /// Accumulators that were cleared, and how many loops were around.
    cleared: Vec<(BufId, usize)>,
    /// The statement that is being spelled.
    at: Option<&'k Stmt>,
    out: String,
    depth: usize,
}

/// The whole file, with what its lines come from.
pub fn write(k: &Kernel, npu: &Npu) -> Result<Listing, String> {
    let on = k.npu.as_ref().ok_or("it is none for an NPU")?;
    if on.copies.len() != k.locals.len() {
        return Err(format!("copies of {} locals, of which there are {}", on.copies.len(), k.locals.len()));
    }
    let print = Printer { k, named: vec![] };
    let (out, depth, names) = (String::new(), 0, (0, 0));
    let mut w =
        Writer { k, npu, print, tails: false, on, unit: None, loops: vec![], names, cleared: vec![], at: None, out, depth };
    w.function()?;
    let body = std::mem::take(&mut w.out);
    w.header();
    w.prelude(&body);
    Ok(Listing::new(k, &(w.out + &body)))
}

impl<'k> Writer<'k> {
    /// A line at the present depth, of the statement that is being spelled.
    pub fn line(&mut self, s: &str) {
        let pad = "    ".repeat(self.depth);
        if let Some(at) = self.at {
            self.out += &listing::mark(self.k, at);
        }
        // Writing to a string cannot fail.
        let _ = if s.is_empty() { writeln!(self.out) } else { writeln!(self.out, "{pad}{s}") };
    }

    /// A line that opens a block.
    pub fn open(&mut self, s: &str) {
        self.line(s);
        self.depth += 1;
    }

    /// Closes a block.
    pub fn close(&mut self) {
        self.depth -= 1;
        self.line("}");
    }

    /// Name of a buffer's tensor.
    pub fn name(&self, b: BufId) -> String {
        let name = &self.k.buffer(b).name;
        if self.is_local(b) { name.clone() } else { format!("{name}Global") }
    }

    /// True for a buffer of the kernel's own.
    pub fn is_local(&self, b: BufId) -> bool {
        b.index() >= self.k.params.len()
    }

    /// Copies of a local.
    pub fn copies(&self, b: BufId) -> u8 {
        self.on.copies[b.index() - self.k.params.len()]
    }

    fn header(&mut self) {
        let k = self.k;
        let shape = |s: &[Dim]| s.iter().map(|d| d.to_string()).collect::<Vec<_>>().join(", ");
        self.line(&format!("// {}", k.name));
        self.line("//");
        // Names of ops are the compiler's own; nothing of the model's gets here.
        self.line(&format!("// Fused: {}.", k.ops.join(", ")));
        self.line("// Arguments:");
        for p in &k.params {
            let how = match p.access {
                Access::Read => "read",
                Access::Write => "written",
                Access::ReadWrite => "read and written",
            };
            self.line(&format!("//   {}: {}[{}], {how}", p.name, p.dtype, shape(&p.shape)));
        }
        if !k.symbols.is_empty() {
            let names: Vec<&str> = k.symbols.iter().map(|s| &**s).collect();
            self.line(&format!("//   dims: int64_t[{}], the extents {}", names.len(), names.join(", ")));
        }
        let grid = if k.grid.is_empty() {
            "1".to_string()
        } else {
            k.grid.iter().map(|d| d.to_string()).collect::<Vec<_>>().join(" x ")
        };
        self.line(&format!("// Grid: {grid} points, dealt out to the cores in turns."));
        for (space, what, capacity) in [
            (Space::Ub, "Unified buffer", self.npu.core.ub),
            (Space::L1, "L1", self.npu.core.l1),
            (Space::L0A, "L0A", self.npu.core.l0a),
            (Space::L0B, "L0B", self.npu.core.l0b),
            (Space::L0C, "L0C", self.npu.core.l0c),
            (Space::Memory, "Workspace of a core", workspace_bytes(k) as u32),
        ] {
            let mut total = 0;
            let mut lines = vec![];
            for l in (0..k.locals.len()).filter(|l| k.locals[*l].space == space) {
                let b = BufId((k.params.len() + l) as u32);
                let (bytes, copies) = (copy_bytes(k, b), u64::from(self.copies(b)));
                total += bytes * copies;
                let local = &k.locals[l];
                let kind = if is_mask(k, b) { "mask".to_string() } else { local.dtype.to_string() };
                let times = if copies > 1 { format!("{copies} x ") } else { String::new() };
                lines.push(format!(
                    "//   {}: {kind}[{}], {times}{:.2} KiB",
                    local.name,
                    shape(&local.shape),
                    bytes as f64 / 1024.0
                ));
            }
            if space == Space::Ub && reduction_bytes(k) > 0 {
                total += reduction_bytes(k);
                lines.push(format!("//   partial results of reductions: {:.2} KiB", reduction_bytes(k) as f64 / 1024.0));
            }
            if !lines.is_empty() {
                self.line(&format!("// {what}: {:.1} of {:.1} KiB", total as f64 / 1024.0, f64::from(capacity) / 1024.0));
                lines.iter().for_each(|l| self.line(l));
            }
        }
        self.line("#include \"kernel_operator.h\"");
        self.line("");
        self.line("using namespace AscendC;");
        self.line("");
    }

    /// Functions that the body uses.
    fn prelude(&mut self, body: &str) {
        for (name, text) in prelude::ALL {
            if body.contains(name) {
                self.out.push_str(text);
                self.out.push('\n');
            }
        }
    }

    fn function(&mut self) -> Result<(), String> {
        let k = self.k;
        let params: Vec<String> = k.params.iter().map(|p| format!("GM_ADDR {}", p.name)).collect();
        // Unnamed where there are no extents to read.
        let dims = if k.symbols.is_empty() { "GM_ADDR" } else { "GM_ADDR dims" };
        self.open(&format!("extern \"C\" __global__ __aicore__ void {}({}, {dims}) {{", k.name, params.join(", ")));
        if self.npu.core.generation != Generation::V2002 {
            let kind = match self.on.unit {
                Unit::Vector => "KERNEL_TYPE_AIV_ONLY",
                Unit::Cube => "KERNEL_TYPE_AIC_ONLY",
                Unit::Mix => "KERNEL_TYPE_MIX_AIC_1_2",
            };
            self.line(&format!("KERNEL_TASK_TYPE_DEFAULT({kind});"));
        }
        for (i, s) in k.symbols.iter().enumerate() {
            self.line(&format!("const int64_t {s} = reinterpret_cast<__gm__ int64_t*>(dims)[{i}];"));
        }
        for (_, p) in k.params.iter().enumerate().filter(|(i, _)| self.on.workspace != Some(*i as u32)) {
            let ty = types::name(p.dtype).ok_or_else(|| format!("elements of type {}", p.dtype))?;
            let count = p.shape.iter().fold(Dim::Known(1), |a, d| a * d.clone());
            let n = self.print.dim(&count).s;
            self.line(&format!("GlobalTensor<{ty}> {}Global;", p.name));
            self.line(&format!("{0}Global.SetGlobalBuffer(reinterpret_cast<__gm__ {ty}*>({0}), {n});", p.name));
        }
        if self.on.unit == Unit::Mix {
            mixed::cores(self)?;
        } else {
            self.core(None)?;
        }
        self.close();
        Ok(())
    }

    /// What a core runs: its buffers and the loop over its grid points. `unit`: its kind, in a mixed kernel.
    pub fn core(&mut self, unit: Option<Unit>) -> Result<(), String> {
        let k = self.k;
        let body = &k.body;
        self.unit = unit;
        self.print.named.clear();
        self.names = (0, 0);
        self.buffers(unit)?;
        mixed::begin(self, unit)?;
        let points = k.grid.iter().fold(Dim::Known(1), |a, d| a * d.clone());
        let points = self.print.dim(&points).s;
        let group = if unit.is_some() { "group" } else { "GetBlockIdx()" };
        self.open(&format!("for (int64_t point = {group}; point < {points}; point += GetBlockNum()) {{"));
        // The statements first: a coordinate that none of them uses has no line.
        let before = std::mem::take(&mut self.out);
        self.name_repeated(body, None);
        self.block(body)?;
        let statements = std::mem::replace(&mut self.out, before);
        let mut inner = Dim::Known(1);
        let mut lines = vec![];
        for (i, d) in k.grid.iter().enumerate().rev() {
            let over = if inner.is(1) { "point".to_string() } else { self.print.over("point", &inner) };
            let text = if i == 0 { over } else { self.print.rest(&over, d) };
            if mentions(&statements, &format!("i{i}")) {
                lines.push(format!("const int64_t i{i} = {text};"));
            }
            inner = inner * d.clone();
        }
        lines.iter().rev().for_each(|l| self.line(l));
        self.out.push_str(&statements);
        self.close();
        mixed::end(self, unit);
        Ok(())
    }

    /// Queues for what is handed from pipe to pipe, plain buffers for the rest.
    fn buffers(&mut self, unit: Option<Unit>) -> Result<(), String> {
        let k = self.k;
        self.line("TPipe pipe;");
        for (l, local) in k.locals.iter().enumerate() {
            let here = match local.space {
                Space::Memory => false,
                Space::Ub => unit != Some(Unit::Cube),
                _ => unit != Some(Unit::Vector),
            };
            if !here {
                continue;
            }
            let b = BufId((k.params.len() + l) as u32);
            let bytes = tile_bytes(k, b);
            if self.queued(b) {
                let position = position(self.k, b, self.producer(b)?);
                self.line(&format!("TQue<TPosition::{position}, 1> {}Queue;", local.name));
                self.line(&format!("pipe.InitBuffer({}Queue, {}, {bytes});", local.name, self.copies(b)));
                continue;
            }
            let ty = self.element(b)?;
            let position = if local.space == Space::L1 { "A1" } else { "VECCALC" };
            self.line(&format!("TBuf<TPosition::{position}> {}Buffer;", local.name));
            self.line(&format!("pipe.InitBuffer({}Buffer, {bytes});", local.name));
            self.line(&format!("LocalTensor<{ty}> {0} = {0}Buffer.Get<{ty}>();", local.name));
        }
        let partial = reduction_bytes(k);
        if partial > 0 && unit != Some(Unit::Cube) {
            self.line("TBuf<TPosition::VECCALC> partialBuffer;");
            self.line(&format!("pipe.InitBuffer(partialBuffer, {partial});"));
            self.line("LocalTensor<float> partial = partialBuffer.Get<float>();");
        }
        Ok(())
    }

    /// Name of the type of a buffer's elements.
    pub fn element(&self, b: BufId) -> Result<&'static str, String> {
        let d = self.k.buffer(b).dtype;
        types::name(d).ok_or_else(|| format!("elements of type {d}"))
    }

    /// True for a local that is handed over.
    fn queued(&self, b: BufId) -> bool {
        let mut found = false;
        visit(&self.k.body, &mut |s| found |= matches!(s, Stmt::Wait { buffers, handover: Some(_), .. } if buffers.contains(&b)));
        found
    }

    /// The pipe that fills a local that is handed over.
    fn producer(&self, b: BufId) -> Result<Pipe, String> {
        let mut first = None;
        visit(&self.k.body, &mut |s| {
            if let Stmt::Wait { buffers, handover: Some(Handover { to, signal: false, .. }), .. } = s
                && buffers.contains(&b)
                && first.is_none()
            {
                first = Some(*to);
            }
        });
        first.ok_or_else(|| format!("`{}` is handed over and never awaited", self.k.buffer(b).name))
    }

    /// Gives names to scalars that are used more than once in `body`, and depend on `inside` (a loop variable) where that is
    /// given, else on the grid's coordinates alone.
    fn name_repeated(&mut self, body: &[Stmt], inside: Option<VarId>) {
        let k = self.k;
        let mut uses = vec![0u32; k.exprs.len()];
        for_stmts_on(body, self.unit, &mut |s| scalars(s, &mut |e| uses[e.index()] += 1));
        for i in (0..k.exprs.len()).rev() {
            match &k.exprs[i] {
                _ if uses[i] == 0 => {}
                Expr::Binary(_, a, b) => [a, b].into_iter().for_each(|x| uses[x.index()] += 1),
                Expr::Load(el, _) => el.index.iter().for_each(|x| uses[x.index()] += 1),
                Expr::Unary(_, a) | Expr::Cast(_, a) => uses[a.index()] += 1,
                Expr::Select(c, a, b) => [c, a, b].into_iter().for_each(|x| uses[x.index()] += 1),
                _ => {}
            }
        }
        let grid = k.grid.len() as u32;
        let mut fixed = vec![false; k.exprs.len()];
        for i in 0..k.exprs.len() {
            let e = ExprId(i as u32);
            fixed[i] = match &k.exprs[i] {
                Expr::Const(_) | Expr::Dim(_) => true,
                Expr::Var(v) => v.0 < grid || inside.is_some() && self.loops.contains(v),
                Expr::Binary(op, a, b) => !op.is_compare() && fixed[a.index()] && fixed[b.index()],
                _ => false,
            };
            let Expr::Binary(op, ..) = &k.exprs[i] else { continue };
            if self.print.named.iter().any(|n| n.0 == e) || inside.is_some_and(|v| !self.print.uses(e, v)) {
                continue;
            }
            let (true, true, Some(text)) = (fixed[i], uses[i] > 1, self.print.unnamed(e)) else { continue };
            if text.known().is_some() || inside.is_some() && !text.s.contains(' ') {
                continue;
            }
            let n = if matches!(op, BinaryOp::Min) { &mut self.names.1 } else { &mut self.names.0 };
            let word = if matches!(op, BinaryOp::Min) { "count" } else { "at" };
            let name = format!("{word}{n}");
            *n += 1;
            self.line(&format!("const int64_t {name} = {};", text.s));
            self.print.named.push((e, name));
        }
    }

    /// The body of a loop: in kernels of both units what it uses more than once has names of its own.
    fn inside(&mut self, var: VarId, body: &'k [Stmt]) -> Result<(), String> {
        let known = self.print.named.len();
        self.loops.push(var);
        let coupled = self.on.unit == Unit::Cube && self.npu.core.generation == Generation::V2002;
        if self.on.unit == Unit::Mix || coupled {
            self.name_repeated(body, Some(var));
        }
        self.block(body)?;
        self.loops.pop();
        self.print.named.truncate(known);
        Ok(())
    }

    fn block(&mut self, body: &'k [Stmt]) -> Result<(), String> {
        let mut at = 0;
        while at < body.len() {
            // A reduction and the value it starts from are one instruction; what is awaited between them comes before.
            let waits = body[at + 1..].iter().take_while(|s| matches!(s, Stmt::Wait { .. })).count();
            if let Some(line) = body.get(at + 1 + waits).and_then(|next| vector::reduction(self, &body[at], next)) {
                body[at + 1..at + 1 + waits].iter().try_for_each(|s| self.stmt(s))?;
                let around = self.at.replace(innermost(&body[at + 1 + waits]));
                self.line(&line?);
                self.at = around;
                at += waits + 2;
                continue;
            }
            self.stmt(&body[at])?;
            at += 1;
        }
        Ok(())
    }

    fn stmt(&mut self, s: &'k Stmt) -> Result<(), String> {
        if self.unit.is_some_and(|u| !runs_on(s, u)) {
            return Ok(());
        }
        let around = self.at.replace(s);
        let done = self.spell(s);
        self.at = around;
        done
    }

    fn spell(&mut self, s: &'k Stmt) -> Result<(), String> {
        match s {
            Stmt::For { var, extent, body, .. } if vector::single(body).is_some() => {
                let Some((dst, value, reduce)) = vector::single(body) else { return Ok(()) };
                let count = self.print.scalar(*extent).ok_or("a count from data")?;
                self.at = Some(innermost(s));
                match reduce {
                    Some(op) => vector::accumulate(self, *var, &count, dst, value, op),
                    None => vector::instruction(self, *var, &count, dst, value),
                }
            }
            Stmt::For { var, extent, kind: Loop::Cores, body } => {
                if self.print.scalar(*extent).and_then(|n| n.known()) != Some(2) {
                    return Err("a loop over other than the two vector cores of a group".into());
                }
                self.open("{");
                self.line(&format!("const int64_t {} = GetSubBlockIdx();", variable(*var)));
                let unit = self.unit.take();
                self.inside(*var, body)?;
                self.unit = unit;
                self.close();
                Ok(())
            }
            Stmt::For { var, extent, body, .. } => {
                if let Some(acc) = cube::cleared(self, body) {
                    self.cleared.retain(|c| c.0 != acc);
                    self.cleared.push((acc, self.loops.len()));
                    return Ok(());
                }
                if let Some(lines) = cube::leave(self, *var, *extent, body) {
                    self.at = Some(innermost(s));
                    self.open("{");
                    lines?.iter().for_each(|l| self.line(l));
                    self.close();
                    return Ok(());
                }
                if let Some(done) = cube::zeros(self, *var, *extent, body) {
                    return done;
                }
                let n = self.print.scalar(*extent).ok_or("a number of rounds from data")?.s;
                let i = variable(*var);
                self.open(&format!("for (int64_t {i} = 0; {i} < {n}; ++{i}) {{"));
                self.inside(*var, body)?;
                self.close();
                Ok(())
            }
            Stmt::If { cond, then } => {
                let c = self.print.scalar(*cond).ok_or("a condition on data")?.s;
                self.open(&format!("if ({c}) {{"));
                self.block(then)?;
                self.close();
                Ok(())
            }
            Stmt::Copy { vars, dst, src, fill } => {
                let (from, to) = (self.k.buffer(src.buffer).space, self.k.buffer(dst.buffer).space);
                match copy_pipe(from, to) {
                    Some(Pipe::Mte3) if to == Space::L1 => cube::fractals(self, dst, src),
                    Some(Pipe::V) if from == Space::L0C => cube::fractals(self, dst, src),
                    Some(Pipe::V) => copy::within(self, vars, dst, src),
                    Some(Pipe::Mte2 | Pipe::Mte3) if from == Space::Ub || to == Space::Ub => {
                        copy::write(self, vars, dst, src, *fill)
                    }
                    Some(Pipe::Mte2) => cube::to_l1(self, vars, dst, src),
                    Some(Pipe::Mte1) => cube::to_l0(self, vars, dst, src),
                    _ => Err(format!("a copy from {from:?} to {to:?}")),
                }
            }
            Stmt::Wait { buffers, handover: Some(h), reason } => {
                for b in buffers {
                    self.hand_over(*b, *h, reason)?;
                }
                Ok(())
            }
            Stmt::Wait { reason, .. } => {
                self.line(&format!("PipeBarrier<PIPE_ALL>();  // {reason}"));
                Ok(())
            }
            Stmt::Mma { acc, depth, a, b, .. } => {
                let Some((_, around)) = self.cleared.iter().find(|c| c.0 == *acc) else {
                    return Err("a product into accumulators that were not cleared".into());
                };
                let first: Vec<String> = self.loops[*around..].iter().map(|v| format!("{} == 0", variable(*v))).collect();
                let first = if first.is_empty() { "true".to_string() } else { first.join(" && ") };
                cube::product(self, *acc, a, b, *depth, &first)
            }
            Stmt::Vector { .. } => Err("an assignment outside of a loop over lanes".into()),
        }
    }

    fn hand_over(&mut self, b: BufId, h: Handover, reason: &str) -> Result<(), String> {
        if let Some(flag) = h.flag {
            return mixed::hand_over(self, b, h, flag, reason);
        }
        let name = self.k.buffer(b).name.clone();
        let ty = self.element(b)?;
        let producer = self.producer(b)?;
        let line = match (h.signal, h.from == producer) {
            (false, false) => format!("LocalTensor<{ty}> {name} = {name}Queue.AllocTensor<{ty}>();"),
            (true, true) => format!("{name}Queue.EnQue({name});"),
            (false, true) => format!("{name} = {name}Queue.DeQue<{ty}>();"),
            (true, false) => format!("{name}Queue.FreeTensor({name});"),
        };
        self.line(&format!("{line}  // {reason}"));
        Ok(())
    }
}

/// The queue position of a memory by the pipe that fills it.
fn position(k: &Kernel, b: BufId, producer: Pipe) -> &'static str {
    let mut right = false;
    visit(&k.body, &mut |s| {
        if let Stmt::Copy { dst, src, .. } = s {
            right |= src.buffer == b && k.buffer(dst.buffer).space == Space::L0B;
        }
    });
    match (k.buffer(b).space, producer) {
        (Space::L1, _) if right => "B1",
        (Space::L1, _) => "A1",
        (Space::L0A, _) => "A2",
        (Space::L0B, _) => "B2",
        (Space::L0C, _) => "CO1",
        (_, Pipe::Mte2) => "VECIN",
        _ => "VECOUT",
    }
}

/// The statement that a nest of loops is about.
fn innermost(mut s: &Stmt) -> &Stmt {
    while let Stmt::For { body, .. } | Stmt::If { then: body, .. } = s
        && let [one] = &body[..]
    {
        s = one;
    }
    s
}

/// True where a text holds a name as a word of its own.
fn mentions(text: &str, name: &str) -> bool {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices(name).any(|(at, _)| !text[..at].ends_with(part) && !text[at + name.len()..].starts_with(part))
}

fn visit(body: &[Stmt], f: &mut dyn FnMut(&Stmt)) {
    for s in body {
        f(s);
        match s {
            Stmt::For { body, .. } | Stmt::If { then: body, .. } => visit(body, f),
            _ => {}
        }
    }
}

/// The expressions a statement holds itself.
fn scalars(s: &Stmt, f: &mut dyn FnMut(ExprId)) {
    match s {
        Stmt::For { extent, .. } => f(*extent),
        Stmt::If { cond, .. } => f(*cond),
        Stmt::Vector { dst, value, .. } => {
            dst.index.iter().for_each(|e| f(*e));
            f(*value);
        }
        Stmt::Copy { vars, dst, src, .. } => {
            vars.iter().for_each(|v| f(v.1));
            dst.index.iter().chain(&src.index).chain(&src.guard).for_each(|e| f(*e));
        }
        Stmt::Mma { depth, a, b, .. } => {
            f(*depth);
            a.index.iter().chain(&b.index).chain(&a.guard).chain(&b.guard).for_each(|e| f(*e));
        }
        Stmt::Wait { .. } => {}
    }
}
