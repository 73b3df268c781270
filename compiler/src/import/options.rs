//! What a user may say about a model before it is read: shapes of inputs, values or ranges of named dimensions, trust.

use std::collections::BTreeMap;

use beiming_ir::tensor::Tensor;
use beiming_ir::types::Dim;

/// What a named dimension is to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DimOverride {
    /// A number, or an expression over other symbols: `N=4`, `H=32*h`.
    Is(Dim),
    /// Any number of an inclusive range: `N=1..64`.
    Range(i64, i64),
}

/// Options of [`super::read`].
#[derive(Clone, Default, Debug)]
pub struct ImportOptions {
    /// Shape by name of input. An extent may be a number, a symbol or an expression over symbols.
    pub shapes: BTreeMap<String, Vec<Dim>>,
    /// Meaning of dimensions, by the name they have in the model (`dim_param`), or `input_d0` for the first axis of `input`
    /// where the model gives none, or a symbol used in `shapes`.
    pub dims: BTreeMap<String, DimOverride>,
    /// Inputs that always have the same value, by name: one number for every element, or one number an element in row-major
    /// order. They become constants, and are no inputs any more; a condition on one takes its branch.
    pub values: BTreeMap<String, Vec<f64>>,
    /// Tensors that inputs always are, by name of the input: weights that come beside the model. They become constants.
    pub bind: BTreeMap<String, Tensor>,
    /// Follow symbolic and hard links that lie in the model's folder when external data is opened. Model caches are made of
    /// such links; they may point anywhere, so this is for folders that the user trusts.
    pub allow_external_links: bool,
    /// The function of a StableHLO module to read, where that is not `main` or the only public one.
    pub function: Option<String>,
    /// Compute a StableHLO program as it is written: products and sums of floats one by one, in order, each rounded to the element
    /// type, as its reference interpreter does. Slow; for comparisons with that.
    pub as_written: bool,
}

impl ImportOptions {
    /// Adds a shape written as `name:1x3xHx640`, or with commas (`name:1,max_len`) where a symbol's name holds an `x`. The name
    /// of the input may hold colons; the last one counts. An empty list is a scalar.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn add_shape(&mut self, text: &str) -> Result<(), String> {
        let usage = || format!("`{text}` is not a shape; write for example `input:1x3x224x224`");
        let (name, dims) = text.rsplit_once(':').ok_or_else(usage)?;
        if name.is_empty() {
            return Err(usage());
        }
        let mut shape = vec![];
        if !dims.is_empty() {
            for d in dims.split(if dims.contains(',') { ',' } else { 'x' }) {
                let d = d.trim();
                let d: Dim = d.parse().map_err(|e| format!("{}: {e}", usage()))?;
                if d.known().is_some_and(|v| v < 0) {
                    return Err(format!("{}: the extent {d} is negative", usage()));
                }
                shape.push(d);
            }
        }
        self.shapes.insert(name.to_string(), shape);
        Ok(())
    }

    /// Adds a value written as `sr=16000` or `sizes=224,224`. The name may hold `=`; the last one counts.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn add_value(&mut self, text: &str) -> Result<(), String> {
        let usage = || format!("`{text}` is not a value; write for example `sr=16000`");
        let (name, list) = text.rsplit_once('=').filter(|(n, _)| !n.is_empty()).ok_or_else(usage)?;
        let numbers: Result<Vec<f64>, _> = list.split(',').map(|x| x.trim().parse::<f64>()).collect();
        self.values.insert(name.to_string(), numbers.map_err(|_| usage())?);
        Ok(())
    }

    /// Adds a dimension written as `N=4`, `N=1..64` or `H=32*h`.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn add_dim(&mut self, text: &str) -> Result<(), String> {
        let usage = || format!("`{text}` is not a dimension; write `N=4`, `N=1..64` or `H=32*h`");
        let (name, value) = text.split_once('=').ok_or_else(usage)?;
        let (name, value) = (name.trim(), value.trim());
        if name.is_empty() || value.is_empty() {
            return Err(usage());
        }
        let number = |s: &str| s.trim().parse::<i64>().map_err(|_| usage());
        let spec = match value.split_once("..") {
            Some((lo, hi)) => {
                let (lo, hi) = (number(lo)?, number(hi.trim_start_matches('='))?);
                if lo < 0 || hi < lo {
                    return Err(format!("{}: the range {lo}..{hi} is empty or negative", usage()));
                }
                DimOverride::Range(lo, hi)
            }
            None => {
                let d: Dim = value.parse().map_err(|e| format!("{}: {e}", usage()))?;
                if d.known().is_some_and(|v| v < 0) {
                    return Err(format!("{}: the value is negative", usage()));
                }
                DimOverride::Is(d)
            }
        };
        self.dims.insert(name.to_string(), spec);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_parse() {
        let mut o = ImportOptions::default();
        o.add_shape("x:1x3xHx640").unwrap();
        o.add_shape("a:b:").unwrap();
        o.add_shape("ids:1,max_len").unwrap();
        assert_eq!(o.shapes["ids"], vec![1.into(), Dim::sym("max_len")]);
        assert_eq!(o.shapes["x"], vec![1.into(), 3.into(), Dim::sym("H"), 640.into()]);
        assert_eq!(o.shapes["a:b"], vec![]);
        for (t, want) in [
            ("N=4", DimOverride::Is(4.into())),
            ("N=1..64", DimOverride::Range(1, 64)),
            ("N=1..=64", DimOverride::Range(1, 64)),
            ("N=32*h", DimOverride::Is(Dim::sym("h") * 32.into())),
        ] {
            o.add_dim(t).unwrap();
            assert_eq!(o.dims["N"], want, "{t}");
        }
    }

    #[test]
    fn values_parse() {
        let mut o = ImportOptions::default();
        o.add_value("sr=16000").unwrap();
        o.add_value("size=1, 2.5").unwrap();
        assert_eq!((o.values["sr"].as_slice(), o.values["size"].as_slice()), ([16000.0].as_slice(), [1.0, 2.5].as_slice()));
        for t in ["sr", "=1", "sr=", "sr=x"] {
            assert!(o.add_value(t).is_err(), "{t}");
        }
    }

    #[test]
    fn bad_options_are_refused() {
        let mut o = ImportOptions::default();
        for t in ["x", ":1x2", "x:1x-2", "x:1xx2", "x:99999999999999999999"] {
            assert!(o.add_shape(t).is_err(), "{t}");
        }
        for t in ["N", "=4", "N=", "N=4..1", "N=-1..3", "N=-2", "N=a..b", "N=(((("] {
            assert!(o.add_dim(t).is_err(), "{t}");
        }
    }
}
