//! Inputs for a model: from a file, or random by a seed, the same on every machine.

use std::collections::BTreeMap;
use std::path::PathBuf;

use beiming_ir::num::encode;
use beiming_ir::tensor::Num;
use beiming_runtime::dims::Dims;
use beiming_runtime::format::manifest::Range;
use beiming_runtime::{DType, Module};

use super::failure::{Failure, Result};
use super::npz::{self, Array};
use super::output;

/// Where inputs come from.
#[derive(clap::Args, Clone, Debug, Default)]
#[group(skip)]
#[command(next_help_heading = "Inputs")]
pub struct Args {
    /// Inputs by the model's names, a .npz; or a .npy for a model with one input. Without it they are random.
    #[arg(long, value_name = "FILE")]
    pub inputs: Option<PathBuf>,
    /// Seed of random inputs.
    #[arg(long, default_value_t = 0, conflicts_with = "inputs")]
    pub seed: u64,
    /// What a random input holds: `NAME:normal`, `NAME:uniform` (0 to 1), `NAME:LO..HI` (HI excluded) or `NAME:VALUE`.
    /// Else floats are normal, integers 0 or 1.
    #[arg(long, value_name = "NAME:WHAT", conflicts_with = "inputs")]
    pub fill: Vec<String>,
}

/// Extents of random inputs that the model leaves open.
#[derive(clap::Args, Clone, Debug, Default)]
#[group(skip)]
#[command(next_help_heading = "Inputs")]
pub struct ShapeArgs {
    /// Shape of a random input: `input:1x3x224x224`.
    #[arg(long, value_name = "NAME:DIMS")]
    pub shape: Vec<String>,
    /// Value of a symbol in random inputs' shapes: `N=4`. Else the smallest that is allowed and not zero.
    #[arg(long, value_name = "SYMBOL=N")]
    pub dim: Vec<String>,
}

/// An input as the model declares it.
#[derive(Clone, PartialEq, Debug)]
pub struct Port {
    /// Name.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Extents, expressions over symbols.
    pub dims: Vec<String>,
}

/// The inputs of an artifact.
pub fn ports(module: &Module) -> Vec<Port> {
    let port = |p: &beiming_runtime::PortInfo| Port { name: p.name.clone(), dtype: p.dtype, dims: p.dims.clone() };
    module.inputs().iter().map(port).collect()
}

/// What a random input holds.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Fill {
    Normal,
    Uniform,
    Range(i64, i64),
    Value(f64),
}

/// The inputs.
pub fn arrays(args: &Args, shapes: &ShapeArgs, ports: &[Port], ranges: &BTreeMap<String, Range>) -> Result<Vec<Array>> {
    let Some(path) = &args.inputs else { return random(args, shapes, ports, ranges) };
    let mut arrays = npz::read(path)?;
    if let [one] = arrays.as_mut_slice()
        && one.name.is_empty()
    {
        let [port] = ports else {
            return Err(Failure::usage(format!("a .npy is one array, the model has {} inputs; use a .npz", ports.len())));
        };
        one.name = port.name.clone();
    }
    for a in &mut arrays {
        if let Some(p) = ports.iter().find(|p| p.name == a.name) {
            a.read_as(p.dtype);
        }
    }
    Ok(arrays)
}

fn random(args: &Args, shapes: &ShapeArgs, ports: &[Port], ranges: &BTreeMap<String, Range>) -> Result<Vec<Array>> {
    let mut fills = BTreeMap::new();
    for text in &args.fill {
        let (name, fill) = parse_fill(text)?;
        if !ports.iter().any(|p| p.name == name) {
            return Err(no_input(&name, ports));
        }
        fills.insert(name, fill);
    }
    let extents = extents(shapes, ports, ranges)?;
    let mut rng = Rng(args.seed);
    let one = |(p, shape): (&Port, Vec<i64>)| {
        let fill = fills.get(&p.name).copied().unwrap_or(if is_float(p.dtype) { Fill::Normal } else { Fill::Range(0, 2) });
        let count = shape.iter().try_fold(1i64, |a, d| a.checked_mul(*d)).filter(|n| *n <= 1 << 34);
        let count = count.ok_or_else(|| Failure::usage(format!("input `{}` of shape {shape:?} is too large", p.name)))?;
        let mut bytes = Vec::with_capacity(count as usize * p.dtype.size());
        let dtype = ir_type(p.dtype)?;
        (0..count).for_each(|_| encode(dtype, rng.draw(fill), &mut bytes));
        Ok(Array { name: p.name.clone(), dtype: p.dtype, shape, bytes })
    };
    ports.iter().zip(extents).map(one).collect()
}

/// The same element type in the IR's words.
pub fn ir_type(d: DType) -> Result<beiming_ir::types::DType> {
    d.name().parse().map_err(Failure::usage)
}

fn is_float(d: DType) -> bool {
    ir_type(d).is_ok_and(|d| d.is_float() || d.is_complex())
}

fn no_input(name: &str, ports: &[Port]) -> Failure {
    let names: Vec<&str> = ports.iter().map(|p| p.name.as_str()).collect();
    Failure::usage(format!("the model has no input `{name}`; it has: {}", names.join(", ")))
}

fn parse_fill(text: &str) -> Result<(String, Fill)> {
    let usage = || Failure::usage(format!("`{text}` is no --fill; write `x:normal`, `x:uniform`, `x:0..256` or `x:1.5`"));
    let (name, what) = text.rsplit_once(':').ok_or_else(usage)?;
    let fill = match (what, what.split_once("..")) {
        ("normal", _) => Fill::Normal,
        ("uniform", _) => Fill::Uniform,
        (_, Some((lo, hi))) => match (lo.parse(), hi.parse()) {
            (Ok(lo), Ok(hi)) if lo < hi => Fill::Range(lo, hi),
            _ => return Err(usage()),
        },
        _ => Fill::Value(what.parse().map_err(|_| usage())?),
    };
    Ok((name.into(), fill))
}

/// A known shape for every input.
fn extents(args: &ShapeArgs, ports: &[Port], ranges: &BTreeMap<String, Range>) -> Result<Vec<Vec<i64>>> {
    let mut values: BTreeMap<String, i64> = BTreeMap::new();
    for text in &args.dim {
        let usage = || Failure::usage(format!("`{text}` is no --dim; write `N=4`"));
        let (name, value) = text.split_once('=').ok_or_else(usage)?;
        values.insert(name.trim().into(), value.trim().parse().map_err(|_| usage())?);
    }
    let mut shapes: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for text in &args.shape {
        let usage = || Failure::usage(format!("`{text}` is no --shape; write `input:1x3x224x224`"));
        let (name, dims) = text.rsplit_once(':').ok_or_else(usage)?;
        let split = dims.split(['x', ',']).filter(|d| !d.is_empty());
        shapes.insert(name, split.map(|d| d.trim().parse().map_err(|_| usage())).collect::<Result<_>>()?);
        let port = ports.iter().find(|p| p.name == name).ok_or_else(|| no_input(name, ports))?;
        // A symbol that stands alone is known from here on for the other inputs too.
        for (dim, value) in port.dims.iter().zip(&shapes[name]) {
            let symbol = dim.trim_matches('`');
            if ranges.contains_key(symbol) {
                values.entry(symbol.into()).or_insert(*value);
            }
        }
    }
    let mut assumed = vec![];
    let mut all = vec![];
    for p in ports {
        if let Some(s) = shapes.get(p.name.as_str()) {
            all.push(s.clone());
            continue;
        }
        let mut shape = vec![];
        for text in &p.dims {
            let mut dims = Dims::default();
            let bad = |e| Failure::usage(format!("input `{}` has an extent that cannot be read: {e}", p.name));
            let id = dims.intern(text).map_err(bad)?;
            let mut value = |name: &String| {
                let least = || ranges.get(name).map_or(1, |r| r.lo.max(1));
                *values.entry(name.clone()).or_insert_with(|| {
                    assumed.push(format!("{name} = {}", least()));
                    least()
                })
            };
            let symbols: Vec<Option<i64>> = dims.symbols().iter().map(|n| Some(value(n))).collect();
            shape.push(dims.eval(id, &symbols).unwrap_or(0).max(0));
        }
        all.push(shape);
    }
    if !assumed.is_empty() {
        output::note(&format!("note: {} in the random inputs; --dim or --shape sets them", assumed.join(", ")));
    }
    Ok(all)
}

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// At least 0, below 1.
    fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn draw(&mut self, fill: Fill) -> Num {
        match fill {
            // A sum of twelve uniforms: close to normal, and made of additions alone, which round the same everywhere.
            Fill::Normal => Num::Float((0..12).map(|_| self.uniform()).sum::<f64>() - 6.0),
            Fill::Uniform => Num::Float(self.uniform()),
            Fill::Range(lo, hi) => Num::Int(i128::from(lo) + i128::from(self.next()) % (i128::from(hi) - i128::from(lo))),
            Fill::Value(v) if v.fract() == 0.0 => Num::Int(v as i128),
            Fill::Value(v) => Num::Float(v),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports() -> (Vec<Port>, BTreeMap<String, Range>) {
        let port = |name: &str, dtype, dims: &[&str]| Port {
            name: name.into(),
            dtype,
            dims: dims.iter().map(|s| s.to_string()).collect(),
        };
        let ports = vec![port("x", DType::F32, &["N", "3"]), port("ids", DType::I64, &["N", "2*T + 1"])];
        (ports, [("N".to_string(), Range { lo: 1, hi: 64 }), ("T".to_string(), Range { lo: 5, hi: 9 })].into())
    }

    #[test]
    fn random_inputs_follow_shapes_and_seeds() {
        let (ports, ranges) = ports();
        let shapes = ShapeArgs { shape: vec!["x:4x3".into()], dim: vec![] };
        let args = Args { fill: vec!["ids:10..20".into()], ..Args::default() };
        let a = arrays(&args, &shapes, &ports, &ranges).expect("random");
        assert_eq!((a[0].shape.as_slice(), a[1].shape.as_slice()), (&[4, 3][..], &[4, 11][..]));
        let ids = a[1].bytes.chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().expect("8 bytes")));
        assert!(ids.into_iter().all(|i| (10..20).contains(&i)));
        assert_eq!(arrays(&args, &shapes, &ports, &ranges).expect("random"), a);
        let other = Args { seed: 1, ..args };
        assert_ne!(arrays(&other, &shapes, &ports, &ranges).expect("random")[0], a[0]);
    }

    #[test]
    fn normal_is_normal() {
        let mut rng = Rng(7);
        let v: Vec<f64> = (0..20000).map(|_| rng.draw(Fill::Normal).to_f64()).collect();
        let mean = v.iter().sum::<f64>() / v.len() as f64;
        let var = v.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / v.len() as f64;
        assert!(mean.abs() < 0.03 && (var - 1.0).abs() < 0.05, "{mean} {var}");
    }

    #[test]
    fn bad_options_are_usage_errors() {
        let (ports, ranges) = ports();
        for (fill, shape, dim) in
            [("y:normal", "", ""), ("x:2..1", "", ""), ("x", "", ""), ("", "x:ax3", ""), ("", "z:1", ""), ("", "", "N")]
        {
            let list = |s: &str| if s.is_empty() { vec![] } else { vec![s.to_string()] };
            let args = Args { fill: list(fill), ..Args::default() };
            let shapes = ShapeArgs { shape: list(shape), dim: list(dim) };
            let e = arrays(&args, &shapes, &ports, &ranges).expect_err("refused");
            assert_eq!(e.exit, crate::cli::failure::Exit::Usage, "{fill}{shape}{dim}");
        }
    }
}
