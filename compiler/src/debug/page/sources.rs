//! What the compiler wrote for each kernel, with what links its lines: the kernel's own text, LLVM IR, assembly, and for every
//! launch the model's ops behind the expressions of its kernel. Packed, since a page may hold hundreds and shows one at a time.

use std::io::{Cursor, Read, Write};

use beiming_cpu::{Code, Listing, Listings};
use beiming_ir::kernel::{BufId, Expr, Kernel, Stmt};
use beiming_ir::plan::{Launch, Origin, Program, Step};
use beiming_ir::text::{Located, print_kernel_located};
use beiming_ir::walk::for_stmts;
use serde_json::{Value, json};

use crate::debug::DebugError;
use crate::driver::{CompileError, Next, Product, Watch};

/// Sources of every kernel, by position in the program.
#[derive(Default)]
pub struct Sources {
    kernels: Vec<Written>,
    /// Machine code's texts.
    code: Vec<Listings>,
    /// The launches among the steps, in the order of the steps, those of branches and loops after their own.
    launches: Vec<Option<Made>>,
    /// Cores that predictions are for.
    pub cores: u32,
}

/// A kernel's text.
struct Written {
    text: Located,
    /// Ops of the kernel where nothing is known of a launch.
    ops: Vec<String>,
    /// Origins of its launches, each different one once.
    origins: Vec<Value>,
}

/// What a launch is made of.
struct Made {
    /// Op, name of the model's node, its operator, its place.
    parts: Value,
    /// Those of the ops that left something in the kernel.
    does: Vec<u32>,
    /// Position among the origins of its kernel.
    origin: usize,
}

/// Keeps the sources of a compilation that it watches. The compilation must be asked for origins.
impl Watch for Sources {
    fn product(&mut self, product: Product<'_>) -> Result<Next, CompileError> {
        match product {
            Product::Program(p, _) => self.program(p),
            Product::Code(c) => self.code(c),
            _ => {}
        }
        Ok(Next::Continue)
    }
}

impl Sources {
    fn program(&mut self, p: &Program) {
        let written = |k: &Kernel| Written { text: print_kernel_located(k), ops: k.ops.clone(), origins: vec![] };
        self.kernels = p.kernels.iter().map(written).collect();
        self.cores = p.target.cores;
        self.steps(p, &p.plan.steps);
    }

    fn steps(&mut self, p: &Program, list: &[Step]) {
        for s in list {
            let made = if let Step::Launch(l) = s { self.launch(p, l) } else { None };
            self.launches.push(made);
            match s {
                Step::If { then, otherwise, .. } => {
                    self.steps(p, then);
                    self.steps(p, otherwise);
                }
                Step::Loop { body, .. } => self.steps(p, body),
                _ => {}
            }
        }
    }

    fn launch(&mut self, p: &Program, l: &Launch) -> Option<Made> {
        let (k, written) = (p.kernels.get(l.kernel as usize)?, self.kernels.get_mut(l.kernel as usize)?);
        // A program that was read from its text has no origins.
        if l.origin.ops.is_empty() {
            return None;
        }
        let origins = origins(k, &l.origin);
        let origin = written.origins.iter().position(|o| *o == origins).unwrap_or_else(|| {
            written.origins.push(origins);
            written.origins.len() - 1
        });
        let part = |(op, loc): &(String, beiming_ir::graph::Loc)| json!([op, *loc.name, *loc.op, *loc.place]);
        let mut does: Vec<u32> = l.origin.exprs.iter().chain(&*l.origin.buffers).flatten().copied().collect();
        does.sort_unstable();
        does.dedup();
        Some(Made { parts: l.origin.ops.iter().map(part).collect(), does, origin })
    }

    fn code(&mut self, c: &Code) {
        self.code.clone_from(&c.listings);
    }

    /// Number of kernels.
    pub fn kernels(&self) -> usize {
        self.kernels.len()
    }

    /// The ops of kernel `i`, as it names them.
    pub fn ops(&self, i: usize) -> Option<&[String]> {
        self.kernels.get(i).map(|k| k.ops.as_slice())
    }

    /// What step `i` is made of: its ops with their sources, those with code in the kernel, and which of the origins of its kernel
    /// are its.
    pub fn made(&self, i: usize) -> Option<Value> {
        let m = self.launches.get(i)?.as_ref()?;
        Some(json!({ "parts": m.parts, "does": m.does, "origin": m.origin }))
    }

    /// The sources of kernel `i`, packed: a JSON object, deflated, in base 64.
    pub fn packed(&self, i: usize) -> Result<String, DebugError> {
        let Some(k) = self.kernels.get(i) else { return Ok(String::new()) };
        let spans: Vec<u32> = k.text.spans.iter().flat_map(|s| [s.line, s.from, s.to, s.expr.0]).collect();
        let code = self.code.get(i);
        let listing = |l: Option<&Listing>| {
            // Lines count from 1; an expression of its own that the kernel does not have belongs to its statement.
            let at = l.iter().flat_map(|l| &l.origins).flat_map(|o| match o {
                Some(o) => [i64::from(o.line), o.expr.map_or(-1, |e| i64::from(e.0))],
                None => [0, -1],
            });
            json!({ "text": l.map_or("", |l| l.text.trim_end()), "at": at.collect::<Vec<i64>>() })
        };
        let doc = json!({
            "ir": { "text": k.text.text.trim_end(), "statements": k.text.statements, "spans": spans },
            "llvm": listing(code.map(|c| &c.llvm_ir)), "asm": listing(code.map(|c| &c.assembly)),
            "origins": k.origins,
        });
        Ok(base64(&deflate(doc.to_string().as_bytes())?))
    }
}

/// For every expression and every statement (outer before inner) the ops it was made for, as positions among the launch's.
fn origins(k: &Kernel, o: &Origin) -> Value {
    let of = |e: usize| o.exprs.get(e).map_or(&[][..], Vec::as_slice);
    // Loop variables, extents and constants are shared by all that are alike: they go with what uses them.
    let neutral = |e: &Expr| matches!(e, Expr::Var(_) | Expr::Dim(_) | Expr::Const(_));
    let exprs: Vec<&[u32]> = k.exprs.iter().enumerate().map(|(i, e)| if neutral(e) { &[][..] } else { of(i) }).collect();
    let buffer = |b: &BufId| o.buffers.get(b.index()).map_or(&[][..], Vec::as_slice);
    let mut statements = vec![];
    for_stmts(&k.body, &mut |s| {
        statements.push(match s {
            Stmt::Vector { dst, value, reduce } => {
                let value = exprs.get(value.index()).copied().unwrap_or_default();
                if reduce.is_some() || value.is_empty() { buffer(&dst.buffer) } else { value }
            }
            Stmt::Copy { dst, .. } => buffer(&dst.buffer),
            Stmt::Mma { acc, .. } => buffer(acc),
            _ => &[],
        });
    });
    json!({ "exprs": exprs, "statements": statements })
}

/// The raw deflate stream, taken out of an archive of one file.
fn deflate(bytes: &[u8]) -> Result<Vec<u8>, DebugError> {
    let fail = |e: zip::result::ZipError| DebugError::Io(format!("cannot pack: {e}"));
    let io = |e: std::io::Error| DebugError::Io(format!("cannot pack: {e}"));
    let mut zip = zip::ZipWriter::new(Cursor::new(vec![]));
    let options = zip::write::SimpleFileOptions::default()
        .compression_method(zip::CompressionMethod::Deflated)
        .last_modified_time(zip::DateTime::default());
    zip.start_file("x", options).map_err(fail)?;
    zip.write_all(bytes).map_err(io)?;
    let mut archive = zip::ZipArchive::new(zip.finish().map_err(fail)?).map_err(fail)?;
    let mut out = vec![];
    archive.by_index_raw(0).map_err(fail)?.read_to_end(&mut out).map_err(io)?;
    Ok(out)
}

/// Base 64 (RFC 4648).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for c in bytes.chunks(3) {
        let word = (0..3).fold(0u32, |w, k| w << 8 | u32::from(c.get(k).copied().unwrap_or(0)));
        for k in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * k) & 63) as usize] as char;
            out.push(if k <= c.len() { digit } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_the_standard_s() {
        for (plain, want) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(plain.as_bytes()), want);
        }
    }
}
