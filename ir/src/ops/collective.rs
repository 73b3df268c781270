//! Operations among the participants of a distributed program: every process of a group gives its values and gets those that
//! it is due. Programs run with one participant, so groups of several are kept, printed and checked here, and refused by name
//! where a program is to run.

use serde::{Deserialize, Serialize};

use super::infer::check_axis;
use super::region::check_reducer;
use super::{InferError, Op};
use crate::eval::EvalError;
use crate::graph::{Graph, RegionId};
use crate::types::{DType, Dim, TensorType};

/// Groups that a message lists; the rest is counted.
const MAX_LISTED: usize = 8;

/// What a group does with the values of its members. Of several arguments each goes its own way, but reducers take them together.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum CollectiveKind {
    /// Everybody gets the values of all, joined along an axis in the order of the group.
    Gather {
        /// The axis, which grows by the size of the group.
        axis: usize,
    },
    /// Everybody gets the values of all, folded by the region `(accumulator.. n, element.. n) -> n`.
    Reduce {
        /// The reducer, a scalar function.
        region: RegionId,
    },
    /// As `Reduce`, but only one participant of each group gets the result: see `root`.
    ReduceTo {
        /// The reducer, a scalar function.
        region: RegionId,
        /// Whether a last argument, one integer, says which; else it is the first of the group.
        root: bool,
    },
    /// As `Reduce`, but each member gets its part along an axis.
    ReduceScatter {
        /// The axis, which shrinks by the size of the group.
        axis: usize,
        /// The reducer, a scalar function.
        region: RegionId,
    },
    /// Each member cuts its value along `split` and gets its part of everybody's, joined along `concat`.
    Exchange {
        /// The axis that shrinks by the size of the group.
        split: usize,
        /// The axis that grows by the size of the group.
        concat: usize,
    },
    /// The values of the source of each pair go to its target; who is no target gets zeros.
    Permute,
    /// Everybody gets the values of one of the group.
    Broadcast {
        /// Whether a last argument, one integer, says of which; else it is the first of the group.
        root: bool,
    },
}

/// `(values.. n, root?) -> values.. n` among the members of a group.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Collective {
    /// What is done.
    pub kind: CollectiveKind,
    /// Numbers of the members of each group; of `Permute` pairs of source and target. None where all form one group.
    pub groups: Vec<Vec<i64>>,
    /// Processes of the largest group: more than the members that it lists where each stands for several.
    pub size: i64,
    /// The channel, positive where members are partitions of the program; 0 or less where they are replicas.
    pub channel: i64,
    /// Whether the numbers count the devices of all replicas and partitions.
    pub global: bool,
}

impl Collective {
    /// Name in the text form.
    pub(super) fn name(&self) -> &'static str {
        match self.kind {
            CollectiveKind::Gather { .. } => "all_gather",
            CollectiveKind::Reduce { .. } => "all_reduce",
            CollectiveKind::ReduceTo { .. } => "collective_reduce",
            CollectiveKind::ReduceScatter { .. } => "reduce_scatter",
            CollectiveKind::Exchange { .. } => "all_to_all",
            CollectiveKind::Permute => "collective_permute",
            CollectiveKind::Broadcast { .. } => "collective_broadcast",
        }
    }

    /// The reducer.
    pub(super) fn region(&self) -> Option<RegionId> {
        match self.kind {
            CollectiveKind::Reduce { region }
            | CollectiveKind::ReduceTo { region, .. }
            | CollectiveKind::ReduceScatter { region, .. } => Some(region),
            _ => None,
        }
    }

    /// The same with the reducer replaced by `f` of it.
    pub(super) fn map_region(&self, f: &mut dyn FnMut(RegionId) -> RegionId) -> Op {
        let kind = match self.kind {
            CollectiveKind::Reduce { region } => CollectiveKind::Reduce { region: f(region) },
            CollectiveKind::ReduceTo { region, root } => CollectiveKind::ReduceTo { region: f(region), root },
            CollectiveKind::ReduceScatter { axis, region } => CollectiveKind::ReduceScatter { axis, region: f(region) },
            ref kind => kind.clone(),
        };
        Op::Collective(Collective { kind, ..self.clone() })
    }

    /// Why it does not run.
    pub fn refusal(&self) -> String {
        let listed: Vec<String> = self.groups.iter().take(MAX_LISTED).map(|g| format!("{g:?}")).collect();
        let more = match self.groups.len().saturating_sub(MAX_LISTED) {
            0 => String::new(),
            n => format!(" and {n} more"),
        };
        match (&self.kind, self.groups.as_slice()) {
            (CollectiveKind::Permute, _) => {
                format!("values go between the participants {}{more}; programs run with one", listed.join(", "))
            }
            (_, []) => format!("all {} participants form a group; programs run with one", self.size),
            _ => format!("{} participants in each of the groups {}{more}; programs run with one", self.size, listed.join(", ")),
        }
    }
}

/// Result types; see [`super::infer()`].
pub(super) fn infer(p: &Collective, inputs: &[&TensorType], graph: &Graph) -> Result<Vec<TensorType>, InferError> {
    InferError::check(p.size >= 1, || format!("a group has {} participants", p.size))?;
    for g in &p.groups {
        let (n, fits) = match p.kind {
            CollectiveKind::Permute => ("two".to_string(), g.len() == 2),
            _ => (format!("one to {}", p.size), !g.is_empty() && g.len() as i64 <= p.size),
        };
        InferError::check(fits && g.iter().all(|m| *m >= 0), || format!("the group {g:?} must have {n} members, from 0 on"))?;
    }
    let inputs = match (&p.kind, inputs.split_last()) {
        (CollectiveKind::ReduceTo { root: true, .. } | CollectiveKind::Broadcast { root: true }, Some((root, values))) => {
            InferError::check(root.numel().is(1) && root.dtype.is_int(), || {
                format!("the number of the participant must be one integer, got {root}")
            })?;
            values
        }
        _ => inputs,
    };
    InferError::check(!inputs.is_empty(), || "takes one tensor or more".to_string())?;
    let same = || inputs.iter().map(|t| (*t).clone()).collect();
    let reducer = |region, inputs: &[&TensorType]| {
        let types: Vec<DType> = inputs.iter().map(|t| t.dtype).collect();
        check_reducer("reducer", graph, region, &types)
    };
    match p.kind {
        CollectiveKind::Gather { axis } => inputs.iter().map(|t| grown(t, axis, p.size)).collect(),
        CollectiveKind::ReduceScatter { axis, region } => {
            reducer(region, inputs)?;
            inputs.iter().map(|t| shrunk(t, axis, p.size)).collect()
        }
        CollectiveKind::Exchange { split, concat } => {
            inputs.iter().map(|t| grown(&shrunk(t, split, p.size)?, concat, p.size)).collect()
        }
        CollectiveKind::Reduce { region } | CollectiveKind::ReduceTo { region, .. } => {
            reducer(region, inputs)?;
            Ok(same())
        }
        CollectiveKind::Permute | CollectiveKind::Broadcast { .. } => Ok(same()),
    }
}

fn grown(t: &TensorType, axis: usize, by: i64) -> Result<TensorType, InferError> {
    check_axis(axis, t)?;
    let mut t = t.clone();
    t.shape[axis] = t.shape[axis].clone() * by.into();
    Ok(t)
}

fn shrunk(t: &TensorType, axis: usize, by: i64) -> Result<TensorType, InferError> {
    check_axis(axis, t)?;
    let extent = t.shape[axis].clone();
    InferError::check(extent.known().is_none_or(|e| e % by == 0), || {
        format!("axis {axis} of {t} does not divide among {by} participants")
    })?;
    let mut t = t.clone();
    t.shape[axis] = extent.floor_div(&Dim::from(by));
    Ok(t)
}

/// Always an error; see [`crate::eval::op`].
pub(crate) fn eval<T>(p: &Collective) -> Result<T, EvalError> {
    EvalError::fail(p.refusal())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{self, ty};
    use crate::ops::{BinaryOp, infer};

    fn graph() -> Graph {
        let mut g = testing::graph();
        let mut r = Graph::new("sum", g.symbols.clone());
        let f = || TensorType::scalar(DType::F32);
        let (a, b) = (r.add_input("a", f()), r.add_input("b", f()));
        let sum = r.push1(Op::Binary(BinaryOp::Add), &[a, b], &Default::default()).unwrap();
        r.add_output("", sum);
        g.add_region(r);
        g
    }

    fn of(kind: CollectiveKind, groups: &[&[i64]], size: i64) -> Collective {
        Collective { kind, groups: groups.iter().map(|g| g.to_vec()).collect(), size, channel: 0, global: false }
    }

    #[test]
    fn extents_by_the_size_of_the_group() {
        let region = RegionId(0);
        let two: &[&[i64]] = &[&[0, 2], &[1, 3]];
        let pairs: &[&[i64]] = &[&[0, 1], &[1, 2], &[2, 0]];
        for (p, arg, want) in [
            (of(CollectiveKind::Gather { axis: 1 }, two, 2), "3, 4", Ok("3, 8")),
            (of(CollectiveKind::Gather { axis: 0 }, two, 4), "N, 4", Ok("4*N, 4")),
            (of(CollectiveKind::Gather { axis: 0 }, &[], 3), "2", Ok("6")),
            (of(CollectiveKind::Gather { axis: 2 }, two, 2), "3, 4", Err("axis 2 is out of range")),
            (of(CollectiveKind::Gather { axis: 0 }, two, 1), "3, 4", Err("[0, 2] must have one to 1 members")),
            (of(CollectiveKind::Gather { axis: 0 }, &[&[-1, 2]], 2), "3", Err("members, from 0 on")),
            (of(CollectiveKind::Gather { axis: 0 }, &[], 0), "3", Err("a group has 0 participants")),
            (of(CollectiveKind::Reduce { region }, two, 2), "3, N", Ok("3, N")),
            (of(CollectiveKind::Reduce { region: RegionId(1) }, two, 2), "3", Err("region 1 does not exist")),
            (of(CollectiveKind::ReduceTo { region, root: false }, two, 2), "3, 4", Ok("3, 4")),
            (of(CollectiveKind::Broadcast { root: true }, two, 2), "3, 4", Err("must be one integer")),
            (of(CollectiveKind::ReduceScatter { axis: 1, region }, two, 2), "3, 4", Ok("3, 2")),
            (of(CollectiveKind::ReduceScatter { axis: 0, region }, two, 2), "3, 4", Err("does not divide among 2 participants")),
            (of(CollectiveKind::Exchange { split: 1, concat: 0 }, two, 2), "3, 4", Ok("6, 2")),
            (of(CollectiveKind::Exchange { split: 0, concat: 0 }, two, 2), "4", Ok("4")),
            (of(CollectiveKind::Exchange { split: 0, concat: 1 }, two, 2), "3, 4", Err("does not divide")),
            (of(CollectiveKind::Permute, pairs, 2), "3, 4", Ok("3, 4")),
            (of(CollectiveKind::Permute, &[&[0, 1, 2]], 2), "3", Err("must have two members")),
            (of(CollectiveKind::Broadcast { root: false }, two, 2), "3", Ok("3")),
        ] {
            let got = infer(&Op::Collective(p.clone()), &[&ty(&format!("f32[{arg}]"))], &graph());
            match (got, want) {
                (Ok(t), Ok(want)) => assert_eq!(t, [ty(&format!("f32[{want}]"))], "{p:?}"),
                (Err(e), Err(want)) => assert!(e.message.contains(want), "{p:?}: {e}"),
                (got, want) => panic!("{p:?}: {got:?} instead of {want:?}"),
            }
        }
    }

    #[test]
    fn refusals_name_the_groups() {
        let p = of(CollectiveKind::Gather { axis: 0 }, &[&[0, 1], &[2, 3]], 2);
        assert_eq!(p.refusal(), "2 participants in each of the groups [0, 1], [2, 3]; programs run with one");
        let p = of(CollectiveKind::Permute, &[&[0i64, 1] as &[i64]; 10], 2);
        assert!(p.refusal().ends_with("[0, 1] and 2 more; programs run with one"), "{}", p.refusal());
        assert_eq!(
            of(CollectiveKind::Broadcast { root: false }, &[], 4).refusal(),
            "all 4 participants form a group; programs run with one"
        );
    }
}
