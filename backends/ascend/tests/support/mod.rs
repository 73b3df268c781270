//! What the tests share: the simulator as an object file, kernels run on it, plans walked kernel by kernel.

#![allow(dead_code)]

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use beiming_ascend::{emit, sim::chip_text};
use beiming_ir::graph::{Graph, Loc};
use beiming_ir::kernel::{Access, Buffer, Kernel, Unit};
use beiming_ir::ops::{Arg, BinaryOp, Body, BodyNode, Op, UnaryOp};
use beiming_ir::plan::{Place, Program, SlotId, Step};
use beiming_ir::target::Target;
use beiming_ir::target::npu::Npu;
use beiming_ir::tensor::{Num, Tensor};
use beiming_ir::types::{DType, Symbols, TensorType};
use beiming_ir::{eval, verify};
use beiming_passes::lower::{LowerOptions, lower_reported};
use tempfile::TempDir;

/// Runs g++ on the simulator's folder.
pub fn compiler(args: &[&OsStr]) {
    let sim = Path::new(env!("CARGO_MANIFEST_DIR")).join("sim");
    let done = Command::new("g++")
        .args(["-std=c++17", "-O0", "-Wall", "-Wextra", "-Werror", "-Iinclude", "-Itests"])
        .args(args)
        .current_dir(sim)
        .output()
        .expect("g++ runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// The simulator as one object file, built once.
pub fn simulator() -> &'static Path {
    static BUILT: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, object) = BUILT.get_or_init(|| {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let sim = Path::new(env!("CARGO_MANIFEST_DIR")).join("sim/src");
        let mut all: Vec<String> = std::fs::read_dir(sim)
            .expect("the simulator's sources")
            .map(|e| format!("#include \"../src/{}\"\n", e.expect("a file").file_name().to_string_lossy()))
            .collect();
        all.sort();
        let (source, object) = (dir.path().join("all.cpp"), dir.path().join("sim.o"));
        std::fs::write(&source, all.concat()).expect("a file of includes");
        // Thousands of runs are worth a slower build.
        let speed = if std::env::var_os("BEIMING_MUTATION").is_some() { "-O2" } else { "-O0" };
        compiler(&[speed.as_ref(), "-c".as_ref(), "-Isrc".as_ref(), source.as_ref(), "-o".as_ref(), object.as_ref()]);
        (dir, object)
    });
    object
}

/// A kernel called on some arguments, and what they should hold afterwards.
#[derive(Clone)]
pub struct Call {
    pub what: String,
    pub chip: String,
    pub kernel: Kernel,
    pub dims: Vec<i64>,
    pub points: i64,
    pub before: Vec<Tensor>,
    pub after: Vec<Tensor>,
    /// Arguments that the kernel writes in part: what it leaves out keeps what it held.
    pub partial: Vec<bool>,
}

/// Which arguments a kernel writes in part only: from other contents it leaves other contents.
fn partial(k: &Kernel, before: &[Tensor], after: &[Tensor], dims: &[i64]) -> Vec<bool> {
    let mut other: Vec<Tensor> = before.to_vec();
    for (t, b) in other.iter_mut().zip(&k.params).filter(|(_, b)| b.access == Access::Write) {
        let flip = if b.dtype == DType::Bool { 1 } else { 0x55 };
        t.data = t.bytes().iter().map(|x| x ^ flip).collect::<Vec<u8>>().into();
    }
    eval::kernel(k, &mut other, dims).unwrap_or_else(|e| panic!("{e}"));
    (0..before.len()).map(|i| k.params[i].access == Access::Write && other[i].bytes() != after[i].bytes()).collect()
}

/// Walks a program: the kernels for the NPU with their arguments, and the outputs.
pub fn walk(what: &str, p: &Program, inputs: &[Tensor]) -> (Vec<Call>, Vec<Tensor>) {
    let mut dims = eval::Dims::default();
    for (port, t) in p.plan.inputs.iter().zip(inputs) {
        for (d, n) in p.plan.slots[port.slot.index()].ty.shape.iter().zip(&t.shape) {
            if let Some((s, v)) = d.solve(*n as i64) {
                dims.insert(s, v);
            }
        }
    }
    let value = |d: &beiming_ir::types::Dim| d.eval(&|n| dims.get(n).copied()).expect("a bound symbol");
    let mut arena = vec![0xCDu8; p.plan.arena as usize + 64];
    let mut inputs: Vec<Vec<u8>> = inputs.iter().map(|t| t.bytes().to_vec()).collect();
    let bytes_of = |s: SlotId| {
        let ty = &p.plan.slots[s.index()].ty;
        (ty.shape.iter().map(&value).product::<i64>() * ty.dtype.size() as i64) as usize
    };
    let mut outputs: Vec<Vec<u8>> = p.plan.outputs.iter().map(|o| vec![0; bytes_of(o.slot)]).collect();
    let weights: Vec<Tensor> = p
        .weights
        .iter()
        .map(|w| {
            let ty = w.ty();
            let shape = ty.static_shape().expect("a known shape");
            Tensor { dtype: ty.dtype, shape, data: w.data().expect("panels within the weight") }
        })
        .collect();
    let mut calls = vec![];
    for step in &p.plan.steps {
        match step {
            Step::Launch(l) => {
                let k = &p.kernels[l.kernel as usize];
                let d: Vec<i64> = l.dims.iter().map(&value).collect();
                let extent = |x: &beiming_ir::types::Dim| {
                    x.eval(&|n| k.symbols.iter().position(|s| &**s == n).map(|i| d[i])).expect("a symbol of the kernel") as usize
                };
                let mut params: Vec<Tensor> = vec![];
                for (b, s) in k.params.iter().zip(&l.args) {
                    let n = bytes_of(*s);
                    let bytes = match p.plan.slots[s.index()].place {
                        Place::Input(i) => inputs[i as usize][..n].to_vec(),
                        Place::Output(i) => outputs[i as usize][..n].to_vec(),
                        Place::Arena(at) => arena[at as usize..at as usize + n].to_vec(),
                        Place::Weight(i) => weights[i as usize].bytes().to_vec(),
                    };
                    params.push(Tensor { dtype: b.dtype, shape: b.shape.iter().map(extent).collect(), data: bytes.into() });
                }
                let before = params.clone();
                eval::kernel(k, &mut params, &d).unwrap_or_else(|e| panic!("{what}: {e}\n{}", beiming_ir::text::print_kernel(k)));
                for ((b, s), t) in k.params.iter().zip(&l.args).zip(&params) {
                    if b.access == Access::Read {
                        continue;
                    }
                    let n = bytes_of(*s);
                    let at = match p.plan.slots[s.index()].place {
                        Place::Input(i) => &mut inputs[i as usize][..n],
                        Place::Output(i) => &mut outputs[i as usize][..n],
                        Place::Arena(at) => &mut arena[at as usize..at as usize + n],
                        Place::Weight(_) => panic!("{what}: a kernel writes a weight"),
                    };
                    at.copy_from_slice(t.bytes());
                }
                if k.npu.is_some() {
                    let partial = partial(k, &before, &params, &d);
                    calls.push(Call {
                        partial,
                        what: what.into(),
                        chip: p.target.name.clone(),
                        kernel: k.clone(),
                        dims: d,
                        points: value(&l.grid),
                        before,
                        after: params,
                    });
                }
            }
            Step::Copy { src, dst } => {
                let n = bytes_of(*src);
                let bytes = match p.plan.slots[src.index()].place {
                    Place::Input(i) => inputs[i as usize][..n].to_vec(),
                    Place::Output(i) => outputs[i as usize][..n].to_vec(),
                    Place::Arena(at) => arena[at as usize..at as usize + n].to_vec(),
                    Place::Weight(i) => weights[i as usize].bytes().to_vec(),
                };
                match p.plan.slots[dst.index()].place {
                    Place::Output(i) => outputs[i as usize].copy_from_slice(&bytes),
                    Place::Arena(at) => arena[at as usize..at as usize + n].copy_from_slice(&bytes),
                    _ => panic!("{what}: a copy over an input"),
                }
            }
            other => panic!("{what}: {other:?} is not walked"),
        }
    }
    let out = p.plan.outputs.iter().zip(outputs).map(|(port, bytes)| {
        let ty = &p.plan.slots[port.slot.index()].ty;
        Tensor { dtype: ty.dtype, shape: ty.shape.iter().map(|d| value(d) as usize).collect(), data: bytes.into() }
    });
    (calls, out.collect())
}

/// Pseudo-random elements: floats in -2..2, integers in -3..=3 (unsigned in 0..=3).
pub fn random(dtype: DType, shape: &[usize], seed: u64) -> Tensor {
    let mut s = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    Tensor::build(dtype, shape, |_| {
        s ^= s << 13;
        s ^= s >> 7;
        s ^= s << 17;
        let u = (s >> 40) as f64 / (1u64 << 24) as f64;
        match dtype.int_range() {
            None => Num::Float(u * 4.0 - 2.0),
            Some((0, 1)) => Num::Int(i128::from(u > 0.5)),
            Some((lo, _)) => Num::Int((u * 7.0) as i128 + if lo < 0 { -3 } else { 0 }),
        }
    })
}

/// Largest difference relative to the size of what is expected, at least one.
pub fn difference(got: &Tensor, want: &Tensor) -> f64 {
    assert_eq!((got.dtype, &got.shape), (want.dtype, &want.shape));
    let one = |g: f64, w: f64| {
        if g == w || (g.is_nan() && w.is_nan()) {
            0.0
        } else if g.is_finite() && w.is_finite() {
            (g - w).abs() / w.abs().max(1.0)
        } else {
            f64::INFINITY
        }
    };
    got.to_f64().into_iter().zip(want.to_f64()).map(|(g, w)| one(g, w)).fold(0.0, f64::max)
}

/// How far a result may be from the evaluator's.
pub fn tolerance(dtype: DType) -> f64 {
    match dtype {
        DType::F32 => 1e-5,
        DType::F16 => 4e-3,
        DType::BF16 => 2e-2,
        _ => 0.0,
    }
}

/// Share of elements that may differ from the evaluator's at all: a result of 16 bits is the same but where another order of
/// summation, or another last bit of a function, falls on the other side of a tie. (Cutting instead of rounding differs in half of them.)
pub fn unequal(dtype: DType) -> f64 {
    match dtype {
        DType::F16 | DType::BF16 => 0.1,
        _ => 1.0,
    }
}

/// Lowers a graph for a chip; every node must be taken. The program's outputs are compared with the graph's, and the calls of
/// its kernels given back to be run on the simulator.
pub fn lowered(what: &str, g: &Graph, chip: &str, inputs: &[Tensor]) -> Vec<Call> {
    lowered_deep(what, g, chip, inputs, 0)
}

/// As [`lowered`], for products whose depth is `depth`: the graph sums in f64, the kernels in f32 with a rounding at each step.
pub fn lowered_deep(what: &str, g: &Graph, chip: &str, inputs: &[Tensor], depth: usize) -> Vec<Call> {
    lowered_with(what, g, chip, inputs, depth, &LowerOptions::default())
}

/// The same, as `options` say.
pub fn lowered_with(what: &str, g: &Graph, chip: &str, inputs: &[Tensor], depth: usize, options: &LowerOptions) -> Vec<Call> {
    let what = format!("{what} on {chip}");
    let target = Target::ascend(chip, Target::kunpeng920()).expect("a known chip");
    let (program, report) = lower_reported(g, &target, options).unwrap_or_else(|e| panic!("{what}: {e}"));
    assert!(report.on_host.is_empty(), "{what}: {:?}", report.on_host);
    let program = verify::program(program).unwrap_or_else(|e| panic!("{what}: {e}")).into_inner();
    let (calls, got) = walk(&what, &program, inputs);
    let want = eval::graph(g, inputs).unwrap_or_else(|e| panic!("{what}: {e}"));
    for (a, b) in got.iter().zip(&want) {
        let d = difference(a, b);
        assert!(
            d <= tolerance(b.dtype) + depth as f64 * f64::from(f32::EPSILON),
            "{what}: the kernels are {d} away from the graph"
        );
    }
    calls
}

/// One of each generation.
pub const CHIPS: [&str; 3] = ["ascend910b1", "ascend310p3", "ascend950"];

/// A node of a fused group with its arguments: from 100 on the group's inputs.
pub type Node = (Op, Vec<u32>);

pub fn un(op: UnaryOp, a: u32) -> Node {
    (Op::Unary(op), vec![a])
}

pub fn bin(op: BinaryOp, a: u32, b: u32) -> Node {
    (Op::Binary(op), vec![a, b])
}

pub fn cast(to: DType, a: u32) -> Node {
    (Op::Cast { to }, vec![a])
}

/// The kernels of one fused node; inputs named in `constant` are known to the graph. Sums are as deep as the largest extent.
pub fn fused(name: &str, inputs: &[(DType, &[usize])], constant: &[usize], nodes: Vec<Node>, chip: &str) -> Vec<Call> {
    let depth = inputs.iter().flat_map(|(_, s)| s.iter().copied()).max().unwrap_or(0);
    fused_deep(name, inputs, constant, nodes, chip, depth)
}

/// As [`fused`], for sums of products of a given depth; 0 where there are none.
pub fn fused_deep(
    name: &str,
    inputs: &[(DType, &[usize])],
    constant: &[usize],
    nodes: Vec<Node>,
    chip: &str,
    depth: usize,
) -> Vec<Call> {
    let mut g = Graph::new(name, Symbols::default());
    let tensors: Vec<Tensor> = inputs.iter().enumerate().map(|(i, (d, s))| random(*d, s, i as u64 + 7)).collect();
    let values: Vec<_> = tensors
        .iter()
        .enumerate()
        .map(|(i, t)| match constant.contains(&i) {
            true => g.constant(t.clone(), &Loc::default()),
            false => g.add_input(&format!("x{i}"), TensorType::known(t.dtype, &t.shape)),
        })
        .collect();
    let arg = |a: u32| if a >= 100 { Arg::Input(a - 100) } else { Arg::Node(a) };
    let nodes = nodes.into_iter().map(|(op, args)| BodyNode { op, args: args.into_iter().map(arg).collect() }).collect();
    let op = Op::Fused(Body { inputs: values.len() as u32, nodes }.into());
    let out = g.push1(op, &values, &Loc::default()).unwrap_or_else(|e| panic!("{name}: {e}"));
    g.add_output("y", out);
    let given: Vec<Tensor> = tensors.iter().enumerate().filter(|(i, _)| !constant.contains(i)).map(|(_, t)| t.clone()).collect();
    lowered_deep(&format!("{name} {inputs:?}"), &g, chip, &given, depth)
}

/// The parameter whose content means nothing.
fn workspace(k: &Kernel) -> Option<&Buffer> {
    k.params.get(k.npu.as_ref()?.workspace? as usize)
}

/// Whether a graph holds an op.
pub fn has(g: &Graph, f: impl Fn(&Op) -> bool) -> bool {
    g.nodes().iter().any(|n| f(&n.op))
}

/// Emits all kernels, builds them into one program with the simulator, runs it, and compares: values with the evaluator's, and
/// no finding of the checker.
pub fn simulate(calls: &[Call]) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = |name: String| dir.path().join(name);
    let mut main = String::from("#include \"emitted.h\"\n");
    let mut table = String::new();
    let mut chips: Vec<String> = vec![];
    for (i, c) in calls.iter().enumerate() {
        let npu = Npu::by_name(&c.chip).expect("a known chip");
        let mut k = c.kernel.clone();
        k.name = format!("case{i}");
        let text = emit::kernel(&k, &npu).unwrap_or_else(|e| panic!("{}: {e}\n{}", c.what, beiming_ir::text::print_kernel(&k)));
        std::fs::write(path(format!("case{i}.cpp")), text).expect("a kernel's file");
        let _ = writeln!(main, "namespace n{i} {{\n#include \"case{i}.cpp\"\n}}");
        if !chips.contains(&c.chip) {
            std::fs::write(path(format!("{}.txt", c.chip)), chip_text(&npu)).expect("a chip's file");
            chips.push(c.chip.clone());
        }
        let blocks = c.points.clamp(1, 3);
        let args: Vec<String> = (0..k.params.len()).map(|n| format!("p[{n}]")).collect();
        let dims: Vec<String> = c.dims.iter().map(|d| d.to_string()).collect();
        let kind = match c.kernel.npu.as_ref().map(|n| n.unit) {
            Some(Unit::Cube) => "CubeOnly",
            Some(Unit::Mix) => "Mix",
            _ => "VectorOnly",
        };
        let writes: String = k
            .params
            .iter()
            .zip(&c.partial)
            .map(|(p, partial)| {
                if p.access == Access::Read {
                    'r'
                } else if p.access == Access::Write && !partial {
                    'w'
                } else {
                    'b'
                }
            })
            .collect();
        let sizes: Vec<String> = c.before.iter().map(|t| t.bytes().len().to_string()).collect();
        let _ = writeln!(
            table,
            "    run({{{i}, \"{}\", sim::KernelKind::{kind}, {}, {{{}}}, {{{}}}, \"{writes}\"}}, [](uint8_t** p, uint8_t* dims) {{ n{i}::case{i}({}, dims); }});",
            c.chip,
            if c.points > 0 { blocks } else { 0 },
            dims.join(", "),
            sizes.join(", "),
            args.join(", ")
        );
        let bytes: Vec<u8> = c.before.iter().flat_map(|t| t.bytes().to_vec()).collect();
        std::fs::write(path(format!("case{i}.in")), bytes).expect("a case's input");
    }
    let _ = writeln!(main, "int main() {{\n{table}}}");
    let source = path("main.cpp".into());
    std::fs::write(&source, &main).expect("the program");
    let exe = path("test".into());
    let include = format!("-I{}", dir.path().display());
    let here = format!("-I{}", Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support").display());
    compiler(&[include.as_ref(), here.as_ref(), source.as_ref(), simulator().as_ref(), "-o".as_ref(), exe.as_ref()]);
    let ran = Command::new(&exe).current_dir(dir.path()).output().expect("the program runs");
    let findings = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(ran.status.success(), "{findings}{}", String::from_utf8_lossy(&ran.stderr));
    let mut wrong = vec![];
    for (i, c) in calls.iter().enumerate() {
        let out = std::fs::read(path(format!("case{i}.out"))).expect("a case's output");
        let mut at = 0;
        let mut say = |m: String| {
            let text = std::fs::read_to_string(path(format!("case{i}.cpp"))).unwrap_or_default();
            wrong.push(format!("{}: {m}\n{text}", c.what));
        };
        let mine: Vec<&str> = findings.lines().filter(|l| l.starts_with(&format!("case{i} "))).collect();
        if !mine.is_empty() {
            say(mine.join("\n"));
        }
        for (t, b) in c.after.iter().zip(&c.kernel.params) {
            let n = t.bytes().len();
            let got = Tensor { dtype: t.dtype, shape: t.shape.clone(), data: out[at..at + n].to_vec().into() };
            at += n;
            if workspace(&c.kernel) == Some(b) {
                continue;
            }
            let d = difference(&got, t);
            let others = got.to_f64().iter().zip(t.to_f64()).filter(|(g, w)| *g != w && !(g.is_nan() && w.is_nan())).count();
            if others as f64 > unequal(t.dtype) * t.len().max(10) as f64 {
                say(format!("`{}` has {others} elements that are not the evaluator's", b.name));
            }
            if d > tolerance(t.dtype) {
                say(format!("`{}` is {d} away from the evaluator", b.name));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} cases:\n{}",
        wrong.len(),
        calls.len(),
        wrong.into_iter().take(2).collect::<Vec<_>>().join("\n")
    );
}

/// The text of the only kernel that a graph becomes.
pub fn spelled(g: &Graph, chip: &str) -> String {
    let target = Target::ascend(chip, Target::kunpeng920()).expect("a known chip");
    let (program, report) = lower_reported(g, &target, &LowerOptions::default()).unwrap_or_else(|e| panic!("{e}"));
    assert!(report.on_host.is_empty(), "{:?}", report.on_host);
    let [k] = &program.kernels[..] else { panic!("{} kernels", program.kernels.len()) };
    emit::kernel(k, &Npu::by_name(chip).expect("a known chip")).unwrap_or_else(|e| panic!("{e}"))
}
