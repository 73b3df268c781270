//! Text form of programs: target, weights, kernels and the plan.
//!
//! ```text
//! program
//! target (name:"host",..)
//! weight 0 : f32[64, 64] = blob 0..16384 panels (batch:1,..)
//! kernel add(N) {
//!   ..
//! }
//! plan {
//!   dim N = 1..64
//!   input "x" s0
//!   output "y" s1
//!   slot s0 : f32[N, 64] input 0
//!   slot s1 : f32[N, 64] output 0
//!   arena 0 without_reuse 0
//!   launch 0 add(s0, s1) dims (N) grid (N) flops (64*N) bytes (512*N) @ "add_1"
//! }
//! ```

use std::fmt::Write;

use super::blob::{Constants, Sink, Source};
use super::kernel::{parse_body, print_kernel};
use super::lexer::{Cursor, Kind, ParseError, Parsed, escape};
use super::{list, parse_dim, parse_range, parse_ron, parse_symbol, parse_type, print_ron, print_symbols};
use crate::dim::quote;
use crate::kernel::Kernel;
use crate::ops::Op;
use crate::plan::{Launch, Origin, Place, Plan, Port, Program, Side, Slot, SlotId, Step, Subnormals, Weight};
use crate::types::Dim;

/// Deepest nesting of steps that is read.
const MAX_DEPTH: usize = 64;

/// Prints a program.
pub fn print_program(p: &Program, constants: Constants<'_>) -> String {
    let mut sink = Sink::new(constants);
    let mut out = format!("program\ntarget {}\n", print_ron(&p.target));
    for (i, w) in p.weights.iter().enumerate() {
        let panels = w.panels.as_ref().map_or(String::new(), |p| format!(" panels {}", print_ron(p)));
        let _ = writeln!(out, "weight {i} : {}{panels}", sink.tensor(&w.source));
    }
    p.kernels.iter().for_each(|k| out.push_str(&print_kernel(k)));
    let plan = &p.plan;
    out.push_str("plan {\n");
    print_symbols(&mut out, "  ", &plan.symbols);
    for (word, ports) in [("input", &plan.inputs), ("output", &plan.outputs)] {
        for port in ports {
            let _ = writeln!(out, "  {word} {} s{}", escape(&port.name), port.slot.0);
        }
    }
    for (i, s) in plan.slots.iter().enumerate() {
        let place = match s.place {
            Place::Input(n) => format!("input {n}"),
            Place::Output(n) => format!("output {n}"),
            Place::Arena(offset) => format!("arena {offset}"),
            Place::Weight(n) => format!("weight {n}"),
        };
        let _ = writeln!(out, "  slot s{i} : {} {place}", s.ty);
    }
    if plan.subnormals == Subnormals::Flush {
        out.push_str("  subnormals flush\n");
    }
    let _ = writeln!(out, "  arena {} without_reuse {}", plan.arena, plan.arena_without_reuse);
    print_steps(&plan.steps, &p.kernels, 1, &mut out);
    out.push_str("}\n");
    sink.finish(&mut out);
    out
}

fn slots(s: &[SlotId]) -> String {
    list(s, |s| format!("s{}", s.0))
}

fn print_steps(steps: &[Step], kernels: &[Kernel], depth: usize, out: &mut String) {
    let pad = "  ".repeat(depth);
    for s in steps {
        let line = match s {
            Step::Launch(l) => {
                // The name is for the reader; the number counts.
                let name = kernels.get(l.kernel as usize).map_or("_", |k| &k.name);
                format!(
                    "launch {} {}({}) dims ({}) grid ({}) flops ({}) bytes ({}) @ {}",
                    l.kernel,
                    super::kernel::name(name),
                    slots(&l.args),
                    list(&l.dims, Dim::to_string),
                    l.grid,
                    l.flops,
                    l.bytes,
                    escape(&l.name)
                )
            }
            Step::Host { op, args, results, name } => {
                format!("host {} ({}) -> ({}) @ {}", print_ron(op), slots(args), slots(results), escape(name))
            }
            Step::Copy { src, dst } => format!("copy s{} -> s{}", src.0, dst.0),
            Step::Transfer { slot, to } => {
                format!("transfer s{} to {}", slot.0, if *to == Side::Host { "host" } else { "device" })
            }
            Step::Store { src, dst, at } => format!("store s{} -> s{} at s{}", src.0, dst.0, at.0),
            Step::ReadDim { symbol, from } => format!("bind {} = s{}", quote(symbol), from.0),
            Step::If { cond, then, otherwise } => {
                let _ = writeln!(out, "{pad}if s{} {{", cond.0);
                print_steps(then, kernels, depth + 1, out);
                if !otherwise.is_empty() {
                    let _ = writeln!(out, "{pad}}} else {{");
                    print_steps(otherwise, kernels, depth + 1, out);
                }
                "}".into()
            }
            Step::Loop { trip, cond, iteration, trips, body } => {
                let trips = trips.as_ref().map_or(String::new(), |t| format!(" trips {}", quote(t)));
                let _ = writeln!(out, "{pad}loop s{} while s{} iteration s{}{trips} {{", trip.0, cond.0, iteration.0);
                print_steps(body, kernels, depth + 1, out);
                "}".into()
            }
        };
        let _ = writeln!(out, "{pad}{line}");
    }
}

/// Reads a program. `side` is the buffer that [`Constants::External`] filled, or empty.
pub fn parse_program(text: &str, side: &[u8]) -> Result<Program, ParseError> {
    let (text, source) = Source::split(text, side)?;
    let mut c = Cursor::new(text);
    c.expect("program")?;
    c.expect("target")?;
    let target = parse_ron(&mut c, "a target")?;
    let mut p = Program { target, kernels: vec![], weights: vec![], plan: Plan::default() };
    while c.eat("weight") {
        let (at, n) = (c.pos(), c.int::<usize>("a number")?);
        if n != p.weights.len() {
            return c.error_at(at, format!("weight {n} where {} comes next", p.weights.len()));
        }
        c.expect(":")?;
        let tensor = source.tensor(&mut c)?;
        let panels = if c.eat("panels") { Some(parse_ron(&mut c, "panels")?) } else { None };
        p.weights.push(Weight { source: tensor, panels });
    }
    while c.sees("kernel") {
        p.kernels.push(parse_body(&mut c)?);
    }
    c.expect("plan")?;
    c.expect("{")?;
    head(&mut c, &mut p.plan)?;
    p.plan.steps = steps(&mut c, &p.kernels, 0)?;
    if c.kind() == Kind::End { Ok(p) } else { c.expected("the end") }
}

/// Everything of a plan but its steps.
fn head(c: &mut Cursor<'_>, plan: &mut Plan) -> Parsed<()> {
    loop {
        if c.eat("dim") {
            parse_range(c, &mut plan.symbols)?;
        } else if c.sees("input") || c.sees("output") {
            let input = c.sees("input");
            c.advance();
            let port = Port { name: c.string()?.into(), slot: slot(c)? };
            if input { plan.inputs.push(port) } else { plan.outputs.push(port) }
        } else if c.eat("slot") {
            let at = c.pos();
            let n = slot(c)?.index();
            if n != plan.slots.len() {
                return c.error_at(at, format!("slot s{n} where s{} comes next", plan.slots.len()));
            }
            c.expect(":")?;
            let ty = parse_type(c)?;
            let at = c.pos();
            let place = match c.ident("`input`, `output`, `arena` or `weight`")? {
                "input" => Place::Input(c.int("a number")?),
                "output" => Place::Output(c.int("a number")?),
                "arena" => Place::Arena(c.int("a byte offset")?),
                "weight" => Place::Weight(c.int("a number")?),
                w => return c.error_at(at, format!("expected `input`, `output`, `arena` or `weight`, found `{w}`")),
            };
            plan.slots.push(Slot { ty, place });
        } else if c.eat("subnormals") {
            c.expect("flush")?;
            plan.subnormals = Subnormals::Flush;
        } else if c.eat("arena") {
            plan.arena = c.int("a number of bytes")?;
            c.expect("without_reuse")?;
            plan.arena_without_reuse = c.int("a number of bytes")?;
        } else {
            return Ok(());
        }
    }
}

/// `s3`.
fn slot(c: &mut Cursor<'_>) -> Parsed<SlotId> {
    let number = c.word().strip_prefix('s').filter(|d| d.bytes().all(|b| b.is_ascii_digit()));
    match number.and_then(|d| d.parse().ok()) {
        Some(n) => {
            c.advance();
            Ok(SlotId(n))
        }
        None => c.expected("a slot: s0, s1, .."),
    }
}

fn slot_list(c: &mut Cursor<'_>) -> Parsed<Vec<SlotId>> {
    let mut out = vec![];
    c.expect("(")?;
    while !c.eat(")") {
        if !out.is_empty() {
            c.expect(",")?;
        }
        out.push(slot(c)?);
    }
    Ok(out)
}

/// A word and a dimension in parentheses.
fn labelled(c: &mut Cursor<'_>, word: &str) -> Parsed<Dim> {
    c.expect(word)?;
    c.expect("(")?;
    let d = parse_dim(c, &[])?;
    c.expect(")")?;
    Ok(d)
}

/// Steps up to the closing brace, which is taken.
fn steps(c: &mut Cursor<'_>, kernels: &[Kernel], depth: usize) -> Parsed<Vec<Step>> {
    if depth > MAX_DEPTH {
        return c.error(format!("steps are nested more than {MAX_DEPTH} deep"));
    }
    let mut out = vec![];
    while !c.eat("}") {
        let at = c.pos();
        out.push(match c.ident("a step")? {
            "launch" => Step::Launch(launch(c, kernels)?),
            "host" => {
                let op: Op = parse_ron(c, "an operation")?;
                let args = slot_list(c)?;
                c.expect("->")?;
                let results = slot_list(c)?;
                c.expect("@")?;
                Step::Host { op, args, results, name: c.string()?.into() }
            }
            "copy" => {
                let src = slot(c)?;
                c.expect("->")?;
                Step::Copy { src, dst: slot(c)? }
            }
            "transfer" => {
                let slot = slot(c)?;
                c.expect("to")?;
                let to = if c.eat("device") { Side::Device } else { Side::Host };
                if to == Side::Host {
                    c.expect("host")?;
                }
                Step::Transfer { slot, to }
            }
            "store" => {
                let src = slot(c)?;
                c.expect("->")?;
                let dst = slot(c)?;
                c.expect("at")?;
                Step::Store { src, dst, at: slot(c)? }
            }
            "bind" => {
                let symbol = parse_symbol(c, &["="])?;
                c.expect("=")?;
                Step::ReadDim { symbol, from: slot(c)? }
            }
            "if" => {
                let cond = slot(c)?;
                c.expect("{")?;
                let then = steps(c, kernels, depth + 1)?;
                let mut otherwise = vec![];
                if c.eat("else") {
                    c.expect("{")?;
                    otherwise = steps(c, kernels, depth + 1)?;
                }
                Step::If { cond, then, otherwise }
            }
            "loop" => {
                let trip = slot(c)?;
                c.expect("while")?;
                let cond = slot(c)?;
                c.expect("iteration")?;
                let iteration = slot(c)?;
                let trips = if c.eat("trips") { Some(parse_symbol(c, &["{"])?) } else { None };
                c.expect("{")?;
                Step::Loop { trip, cond, iteration, trips, body: steps(c, kernels, depth + 1)? }
            }
            w => return c.error_at(at, format!("expected a step, found `{w}`")),
        });
    }
    Ok(out)
}

fn launch(c: &mut Cursor<'_>, kernels: &[Kernel]) -> Parsed<Launch> {
    let kernel: u32 = c.int("a kernel's number")?;
    let at = c.pos();
    let name = if c.kind() == Kind::Str { c.string()? } else { c.ident("the kernel's name")?.to_string() };
    if let Some(k) = kernels.get(kernel as usize).filter(|k| k.name != name) {
        return c.error_at(at, format!("kernel {kernel} is `{}`", k.name));
    }
    let args = slot_list(c)?;
    c.expect("dims")?;
    c.expect("(")?;
    let mut dims = vec![];
    while !c.eat(")") {
        if !dims.is_empty() {
            c.expect(",")?;
        }
        dims.push(parse_dim(c, &[","])?);
    }
    let (grid, flops, bytes) = (labelled(c, "grid")?, labelled(c, "flops")?, labelled(c, "bytes")?);
    c.expect("@")?;
    Ok(Launch { kernel, args, dims, grid, name: c.string()?.into(), flops, bytes, origin: Origin::default() })
}
