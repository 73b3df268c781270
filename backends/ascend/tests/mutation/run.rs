//! Builds all mutants of a kernel into one program with the simulator, runs it, and reads the verdicts.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use beiming_ascend::{emit, sim::chip_text};
use beiming_ir::kernel::{Access, Unit};
use beiming_ir::target::npu::Npu;
use beiming_ir::types::DType;

use crate::operators::Operator;
use crate::source::{Edits, Source};
use crate::support::{Call, compiler, simulator, tolerance, unequal};

/// What gave a mutant away.
#[derive(Clone, PartialEq, Debug)]
pub enum Verdict {
    /// The checker found something: the text of the first finding.
    Finding(String),
    /// The result differs from the evaluator's.
    Numbers,
    /// The machine ended it: no end, or an access outside of the process.
    Stopped(String),
    Survived,
}

/// A mutant and its fate.
#[derive(Clone, Debug)]
pub struct Mutant {
    pub operator: &'static str,
    pub kernel: String,
    pub unit: Unit,
    /// The changed lines before and after.
    pub was: String,
    pub is: String,
    pub verdict: Verdict,
}

/// At most `most` of a list, spread over it.
fn spread<T>(mut all: Vec<T>, most: usize) -> Vec<T> {
    let n = all.len();
    if n > most {
        let keep: Vec<usize> = (0..most).map(|i| if most == 1 { n / 2 } else { i * (n - 1) / (most - 1) }).collect();
        let mut i = 0;
        all.retain(|_| {
            i += 1;
            keep.contains(&(i - 1))
        });
    }
    all
}

/// Applies every operator to a kernel, at up to `most` places each, and runs the mutants.
pub fn mutants(call: &Call, operators: &[Operator], most: usize) -> Vec<Mutant> {
    let npu = Npu::by_name(&call.chip).expect("a known chip");
    let mut k = call.kernel.clone();
    let name = std::mem::replace(&mut k.name, "KERNEL".into());
    let unit = k.npu.as_ref().expect("a kernel for the chip").unit;
    let text = emit::kernel(&k, &npu).unwrap_or_else(|e| panic!("{}: {e}", call.what));
    let source = Source::new(&text);
    let mut all: Vec<(&'static str, Edits)> = vec![("none", Edits::new())];
    for o in operators {
        all.extend(spread(o.sites(&source), most).into_iter().map(|e| (o.name, e)));
    }
    let verdicts = judge(call, &npu, &k, &source, &all);
    assert_eq!(verdicts[0], Verdict::Survived, "{name} ({}) without a mutation\n{text}", call.what);
    let lines = |e: &Edits, f: &dyn Fn(usize, &str) -> String| {
        e.iter().map(|(i, t)| f(*i, t)).map(|l| l.trim().to_string()).filter(|l| !l.is_empty()).collect::<Vec<_>>().join(" | ")
    };
    let mutant = |((operator, e), verdict): (&(&'static str, Edits), Verdict)| Mutant {
        operator,
        kernel: name.clone(),
        unit,
        was: lines(e, &|i, _| source.code(i).to_string()),
        is: lines(e, &|_, t| t.to_string()),
        verdict,
    };
    all.iter().zip(verdicts).skip(1).map(mutant).collect()
}

fn judge(call: &Call, npu: &Npu, k: &beiming_ir::kernel::Kernel, source: &Source, all: &[(&'static str, Edits)]) -> Vec<Verdict> {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut main = String::from("#include \"mutants.h\"\n");
    let args: Vec<String> = (0..k.params.len()).map(|n| format!("p[{n}]")).collect();
    for (i, (_, edits)) in all.iter().enumerate() {
        let text = source.with(edits).replace("KERNEL(", &format!("mutant{i}(")).replace("using namespace AscendC;", "");
        let _ = writeln!(main, "namespace m{i} {{\nusing namespace AscendC;\n{text}}}");
    }
    let _ = writeln!(main, "int main() {{\n    std::vector<Kernel> kernels;");
    for i in 0..all.len() {
        let _ = writeln!(
            main,
            "    kernels.push_back([](uint8_t** p, uint8_t* dims) {{ m{i}::mutant{i}({}, dims); }});",
            args.join(", ")
        );
    }
    // What is left in a workspace means nothing.
    let workspace = k.npu.as_ref().and_then(|n| n.workspace).map(|w| w as usize);
    let argument = |(i, (p, t)): (usize, (&beiming_ir::kernel::Buffer, &beiming_ir::tensor::Tensor))| {
        let letter = |d| if workspace == Some(i) { 'x' } else { letter(d) };
        let (use_, ty) = match p.access {
            Access::Read => ('r', letter(t.dtype)),
            Access::Write => ('w', letter(t.dtype)),
            Access::ReadWrite => ('b', letter(t.dtype)),
        };
        format!("{{{}, '{use_}', '{ty}', {:e}, {}}}", t.bytes().len(), tolerance(t.dtype), unequal(t.dtype))
    };
    let args: Vec<String> = k.params.iter().zip(&call.after).enumerate().map(argument).collect();
    let kind = match k.npu.as_ref().map(|n| n.unit) {
        Some(Unit::Cube) => "CubeOnly",
        Some(Unit::Vector) => "VectorOnly",
        Some(Unit::Mix) => "Mix",
        other => panic!("{}: a kernel for {other:?}", call.what),
    };
    let dims: Vec<String> = call.dims.iter().map(i64::to_string).collect();
    let _ = writeln!(
        main,
        "    return judge_all(kernels, \"chip\", sim::KernelKind::{kind}, {}, {{{}}}, {{{}}}, \"data\");\n}}",
        call.points.clamp(1, 2),
        args.join(", "),
        dims.join(", ")
    );
    let path = |name: &str| dir.path().join(name);
    let bytes = |all: &[beiming_ir::tensor::Tensor]| all.iter().flat_map(|t| t.bytes().to_vec()).collect::<Vec<u8>>();
    for (name, contents) in [
        ("main.cpp", main.into_bytes()),
        ("chip", chip_text(npu).into_bytes()),
        ("data.in", bytes(&call.before)),
        ("data.want", bytes(&call.after)),
    ] {
        std::fs::write(path(name), contents).expect("a file");
    }
    let here = format!("-I{}", Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support").display());
    let (source, exe) = (path("main.cpp"), path("mutants"));
    compiler(&["-w".as_ref(), here.as_ref(), source.as_ref(), simulator().as_ref(), "-o".as_ref(), exe.as_ref()]);
    let ran = Command::new(&exe).current_dir(dir.path()).output().expect("the program runs");
    assert!(ran.status.success(), "{}: {}", call.what, String::from_utf8_lossy(&ran.stderr));
    let out = String::from_utf8_lossy(&ran.stdout).into_owned();
    let verdicts: Vec<Verdict> = out.lines().filter_map(|l| verdict(l.split_once(' ')?.1)).collect();
    assert_eq!(verdicts.len(), all.len(), "{}: a verdict for each mutant", call.what);
    verdicts
}

fn verdict(text: &str) -> Option<Verdict> {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    Some(match word {
        "finding" => Verdict::Finding(rest.to_string()),
        "numbers" => Verdict::Numbers,
        "stopped" => Verdict::Stopped(rest.to_string()),
        "survived" => Verdict::Survived,
        _ => return None,
    })
}

fn letter(d: DType) -> char {
    match d {
        DType::F32 => 'f',
        DType::F16 => 'h',
        DType::BF16 => 'b',
        _ => 'i',
    }
}
