//! What every command takes that holds results against a reference: `compare`, `debug bisect`, `debug reduce`.

use super::{feed, model};
use crate::debug::{Against, Tolerance};

/// Arguments.
#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
pub struct Args {
    #[command(flatten)]
    pub model: model::Args,
    #[command(flatten)]
    pub feed: feed::Args,
    /// Value of a symbol that stays open, in random inputs: `N=4`. Else the smallest that is allowed and not zero.
    #[arg(long, value_name = "SYMBOL=N")]
    pub size: Vec<String>,
    /// What says how values should be. [default: onnxruntime for ONNX models, else eval]
    #[arg(long)]
    pub against: Option<Against>,
    /// Threads that run it.
    #[arg(long, default_value_t = 1)]
    pub threads: usize,
    /// Allowed difference, as a share of the reference's value.
    #[arg(long, default_value_t = 1e-3)]
    rtol: f64,
    /// Allowed difference, absolute; both are added.
    #[arg(long, default_value_t = 1e-4)]
    atol: f64,
}

impl Args {
    /// What difference is allowed.
    pub fn tolerance(&self) -> Tolerance {
        Tolerance { rtol: self.rtol, atol: self.atol }
    }

    /// What was asked for, or onnxruntime for ONNX models and the evaluator for everything else.
    pub fn reference(&self, is_onnx: bool) -> Against {
        self.against.unwrap_or(if is_onnx { Against::Onnxruntime } else { Against::Eval })
    }

    /// Shapes of random inputs: what the command line fixes for the model holds for its inputs too, whether what runs was
    /// compiled with it or before.
    pub fn shapes(&self) -> feed::ShapeArgs {
        let is_number = |d: &str| d.trim().parse::<i64>().is_ok();
        let is_known =
            |s: &&String| s.rsplit_once(':').is_some_and(|x| x.1.split(['x', ',']).all(|d| d.is_empty() || is_number(d)));
        let is_value = |d: &&String| d.split_once('=').is_some_and(|x| is_number(x.1));
        feed::ShapeArgs {
            shape: self.model.shape.iter().filter(is_known).cloned().collect(),
            dim: self.size.iter().chain(self.model.dim.iter().filter(is_value)).cloned().collect(),
        }
    }

    /// The options that make `compare` do the same again on another model.
    pub fn again(&self, against: Against) -> Vec<String> {
        let mut out: Vec<String> =
            ["--against", if against == Against::Eval { "eval" } else { "onnxruntime" }].map(String::from).into();
        let mut option = |name: &str, value: String| out.extend([name.to_string(), value]);
        option("--rtol", self.rtol.to_string());
        option("--atol", self.atol.to_string());
        option("--threads", self.threads.to_string());
        let m = &self.model;
        if let Some(t) = &m.target {
            option("--target", t.clone());
        }
        if let Some(l) = m.opt_level {
            option("-O", l.to_string());
        }
        out.extend(
            [("--exact", m.exact), ("--as-written", m.as_written), ("--no-reuse", m.no_reuse)]
                .iter()
                .filter(|f| f.1)
                .map(|f| f.0.to_string()),
        );
        out
    }
}
