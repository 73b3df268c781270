//! Values that come from, or go to, others while a program runs: to another participant, or to the host. They are effects:
//! each takes the token of the one before it and gives one, so the data flow holds their order, and the last token is an output
//! of the graph (or region), so none is left out as dead. A token is a tensor without elements.

use serde::{Deserialize, Serialize};

use super::InferError;
use crate::eval::EvalError;
use crate::tensor::Tensor;
use crate::types::{DType, Dim, TensorType};

/// What is done.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum ChannelKind {
    /// `(values.., token) -> token`: to the participant, or the host, at the other end of the channel.
    Send,
    /// `(token) -> (values.., token)`: from the other end of the channel.
    Recv,
    /// `(token) -> (values.., token)`: from the host's queue of inputs.
    Infeed,
    /// `(values.., token) -> token`: to the host's queue of outputs.
    Outfeed,
}

/// Values through a channel.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Channel {
    /// What is done.
    pub kind: ChannelKind,
    /// Number of the channel of `Send` and `Recv`.
    pub channel: i64,
    /// Whether the other end is the host.
    pub host: bool,
    /// What the queue of `Infeed` or `Outfeed` is told.
    pub config: String,
    /// Pairs of source and target of `Send` and `Recv` between participants; none where it is not said.
    pub pairs: Vec<Vec<i64>>,
    /// Types of the values that come, without the token.
    pub results: Vec<TensorType>,
}

impl Channel {
    /// A channel without a number, of which nothing more is said.
    pub fn new(kind: ChannelKind) -> Channel {
        let (config, pairs, results) = (String::new(), vec![], vec![]);
        Channel { kind, channel: 0, host: false, config, pairs, results }
    }

    /// Name in the text form.
    pub(super) fn name(&self) -> &'static str {
        match self.kind {
            ChannelKind::Send => "send",
            ChannelKind::Recv => "recv",
            ChannelKind::Infeed => "infeed",
            ChannelKind::Outfeed => "outfeed",
        }
    }

    /// Why it does not run.
    pub fn refusal(&self) -> String {
        let pairs = match self.pairs.as_slice() {
            [] => String::new(),
            p => format!(" of the pairs {p:?}"),
        };
        match self.kind {
            ChannelKind::Send if self.host => format!("values go to the host on channel {} while it runs", self.channel),
            ChannelKind::Recv if self.host => format!("values come from the host on channel {} while it runs", self.channel),
            ChannelKind::Send => {
                format!("values go to another participant on channel {}{pairs}; programs run with one", self.channel)
            }
            ChannelKind::Recv => {
                format!("values come from another participant on channel {}{pairs}; programs run with one", self.channel)
            }
            ChannelKind::Infeed => "values come from the host's queue while it runs: make them arguments".to_string(),
            ChannelKind::Outfeed => "values go to the host's queue while it runs: make them results".to_string(),
        }
    }
}

/// The type of tokens.
pub fn token() -> TensorType {
    TensorType::new(DType::Bool, vec![Dim::Known(0)])
}

/// A token of nothing that has happened.
pub fn start() -> Tensor {
    Tensor::build(DType::Bool, &[0], |_| crate::tensor::Num::Int(0))
}

/// Result types; see [`super::infer()`].
pub(super) fn infer(p: &Channel, inputs: &[&TensorType]) -> Result<Vec<TensorType>, InferError> {
    let last = inputs.last().is_some_and(|t| **t == token());
    InferError::check(last, || format!("its last argument must be a token, {}", token()))?;
    let takes = matches!(p.kind, ChannelKind::Send | ChannelKind::Outfeed);
    InferError::check(takes || inputs.len() == 1, || format!("takes a token only, got {} arguments", inputs.len()))?;
    InferError::check(!takes || p.results.is_empty(), || "gives a token only".to_string())?;
    Ok(p.results.iter().cloned().chain([token()]).collect())
}

/// Always an error; see [`crate::eval::op`].
pub(crate) fn eval<T>(p: &Channel) -> Result<T, EvalError> {
    EvalError::fail(p.refusal())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Graph;
    use crate::ops::{Op, infer};

    #[test]
    fn tokens_come_last() {
        let x = TensorType::new(DType::F32, vec![2.into()]);
        let of = |kind, results: &[&TensorType]| {
            let results = results.iter().map(|t| (*t).clone()).collect();
            Channel { results, ..Channel::new(kind) }
        };
        let t = token();
        for (p, args, want) in [
            (of(ChannelKind::Send, &[]), vec![&x, &x, &t], Ok(vec![&t])),
            (of(ChannelKind::Send, &[]), vec![&t], Ok(vec![&t])),
            (of(ChannelKind::Send, &[]), vec![&x], Err("its last argument must be a token, bool[0]")),
            (of(ChannelKind::Send, &[&x]), vec![&x, &t], Err("gives a token only")),
            (of(ChannelKind::Outfeed, &[]), vec![&x, &t], Ok(vec![&t])),
            (of(ChannelKind::Recv, &[&x]), vec![&t], Ok(vec![&x, &t])),
            (of(ChannelKind::Infeed, &[&x, &x]), vec![&t], Ok(vec![&x, &x, &t])),
            (of(ChannelKind::Infeed, &[&x]), vec![&x, &t], Err("takes a token only, got 2 arguments")),
            (of(ChannelKind::Recv, &[&x]), vec![], Err("must be a token")),
        ] {
            match (infer(&Op::Channel(p.clone()), &args, &Graph::default()), want) {
                (Ok(got), Ok(want)) => assert_eq!(got.iter().collect::<Vec<_>>(), want, "{p:?}"),
                (Err(e), Err(want)) => assert!(e.message.contains(want), "{p:?}: {e}"),
                (got, want) => panic!("{p:?}: {got:?} instead of {want:?}"),
            }
        }
    }

    #[test]
    fn refusals_name_the_channel() {
        let p = Channel { channel: 7, pairs: vec![vec![0, 1]], ..Channel::new(ChannelKind::Recv) };
        let want = "values come from another participant on channel 7 of the pairs [[0, 1]]; programs run with one";
        assert_eq!(eval::<()>(&p).unwrap_err().0, want);
        let p = Channel { host: true, ..p };
        assert_eq!(p.refusal(), "values come from the host on channel 7 while it runs");
    }
}
