//! `TfIdfVectorizer` over integers: how often each known n-gram stands in a sequence.

use beiming_ir::ops::{BinaryOp, Op, ReduceOp, Scatter, ScatterMode, Slice};
use beiming_ir::tensor::Tensor;
use beiming_ir::types::{DType, Dim};

use super::super::node::{Cx, R, bad_arguments, bad_attribute, unsupported};
use super::{Row, row};
use crate::import::build::Build;
use crate::import::frame::V;

pub const OPS: &[Row] = &[row("TfIdfVectorizer", &[9], 1, tf_idf)];

/// Most elements of a result row.
const MAX_WIDTH: i64 = 1 << 24;

/// The n-grams of one length, with the place of each in a result row and its weight.
struct Grams {
    length: usize,
    items: Vec<Vec<i64>>,
    places: Vec<i64>,
    weights: Option<Vec<f64>>,
}

/// The attributes `pool_int64s`, `ngram_counts` (where the n-grams of each length begin) and `ngram_indexes`, for the wanted lengths.
/// Of an n-gram that stands twice the last counts.
fn grams(cx: &Cx<'_, '_>, lengths: std::ops::RangeInclusive<i64>) -> R<(Vec<Grams>, i64)> {
    let pool = match cx.int_list("pool_int64s")? {
        Some(p) if !p.is_empty() => p,
        _ if cx.attribute("pool_strings").is_some() => return unsupported("n-grams of strings"),
        _ => return bad_attribute("attribute `pool_int64s` is missing"),
    };
    let (Some(counts), Some(places)) = (cx.int_list("ngram_counts")?, cx.int_list("ngram_indexes")?) else {
        return bad_attribute("it needs the attributes `ngram_counts` and `ngram_indexes`");
    };
    let weights = cx.float_list("weights")?.filter(|w| !w.is_empty());
    if weights.as_ref().is_some_and(|w| w.len() != places.len()) {
        return bad_attribute(format!("attribute `weights` must hold {} numbers, one an n-gram", places.len()));
    }
    let end = pool.len() as i64;
    let ends = counts.iter().skip(1).copied().chain([end]);
    let (mut out, mut next, mut width) = (vec![], 0usize, 0);
    for (i, (from, to)) in counts.iter().copied().zip(ends).enumerate() {
        let length = i + 1;
        if from < 0 || to < from || to > end || (to - from) % length as i64 != 0 {
            return bad_attribute(format!("attribute `ngram_counts` is {counts:?}, for {end} elements of n-grams"));
        }
        let items: Vec<Vec<i64>> = pool[from as usize..to as usize].chunks(length).map(<[i64]>::to_vec).collect();
        let Some(own) = places.get(next..next + items.len()) else {
            return bad_attribute(format!(
                "attribute `ngram_indexes` holds {} numbers: fewer than there are n-grams",
                places.len()
            ));
        };
        if let Some(place) = own.iter().find(|p| !(0..MAX_WIDTH).contains(*p)) {
            return bad_attribute(format!("attribute `ngram_indexes` holds {place}"));
        }
        let begin = next;
        next += items.len();
        if lengths.contains(&(length as i64)) && !items.is_empty() {
            let last = |k: &usize| !items[k + 1..].contains(&items[*k]);
            let kept: Vec<usize> = (0..items.len()).filter(last).collect();
            let weights = weights.as_ref().map(|w| kept.iter().map(|k| w[begin + k]).collect());
            let (items, places) = (kept.iter().map(|k| items[*k].clone()).collect(), kept.iter().map(|k| own[*k]).collect());
            out.push(Grams { length, items, places, weights });
        }
    }
    places.iter().for_each(|p| width = width.max(p + 1));
    Ok((out, width))
}

/// `[B, C]` or `[C]` to `[B, width]` or `[width]`: counts, or by `mode` weights or weighed counts.
fn tf_idf(cx: &mut Cx<'_, '_>) -> R<Vec<V>> {
    let x = cx.input(0)?;
    let shape = cx.shape(x);
    let (single, columns) = match shape.as_slice() {
        [_] => (true, cx.extent(x, 0, "the length of the sequence")?),
        [_, _] => (false, cx.extent(x, 1, "the length of the sequence")?),
        _ => return bad_arguments(format!("its data must have rank 1 or 2, not {}", shape.len())),
    };
    let (least, most, skips) = (cx.int("min_gram_length", 1)?, cx.int("max_gram_length", 1)?, cx.int("max_skip_count", 0)?);
    if least < 1 || most < least || skips < 0 {
        return bad_attribute(format!("n-grams of {least} to {most} elements that skip {skips}"));
    }
    let mode = cx.string("mode", "")?;
    if !["TF", "IDF", "TFIDF"].contains(&mode.as_str()) {
        return bad_attribute(format!("attribute `mode` is `{mode}`; allowed are TF, IDF, TFIDF"));
    }
    let (kinds, width) = grams(cx, least..=most)?;
    let batch = if single { Dim::from(1) } else { shape[0].clone() };
    let x = cx.cast(x, DType::I64)?;
    let x = cx.reshape(x, vec![batch.clone(), columns.into()])?;
    let zero = cx.scalar(DType::F32, 0.0);
    // Rows are places, so that what is found for n-grams is added up by row.
    let mut y = cx.broadcast(zero, vec![width.into(), batch.clone()])?;
    for kind in &kinds {
        let number = kind.items.len();
        let mut found = None;
        // A single element skips nothing. Past the length of the sequence no n-gram fits.
        for step in 1..=if kind.length == 1 { 1 } else { (skips as usize).saturating_add(1).min(columns) } {
            let Some(starts) = columns.checked_sub((kind.length - 1) * step).filter(|n| *n > 0) else { break };
            let mut equal = None;
            for k in 0..kind.length {
                let window =
                    Slice { start: vec![0.into(), (k * step).into()], len: vec![batch.clone(), starts.into()], step: vec![1, 1] };
                let window = cx.emit(Op::Slice(window), &[x])?;
                let window = cx.unsqueeze(window, 2)?;
                let wanted: Vec<i64> = kind.items.iter().map(|g| g[k]).collect();
                let wanted = cx.constant(Tensor::i64(&[1, 1, number], &wanted));
                let hit = cx.binary(BinaryOp::Eq, window, wanted)?;
                equal = Some(match equal {
                    Some(e) => cx.binary(BinaryOp::And, e, hit)?,
                    None => hit,
                });
            }
            let Some(equal) = equal else { continue };
            let ones = cx.cast(equal, DType::F32)?;
            let count = cx.reduce(ReduceOp::Sum, ones, vec![1], false)?;
            found = Some(match found {
                Some(f) => cx.binary(BinaryOp::Add, f, count)?,
                None => count,
            });
        }
        let Some(mut found) = found else { continue };
        let weights = kind.weights.as_ref().map(|w| cx.constant(Tensor::from_f64(DType::F32, &[number], w)));
        match (mode.as_str(), weights) {
            ("IDF", weights) => {
                let some = cx.with(BinaryOp::Gt, found, 0.0)?;
                let weight = weights.unwrap_or_else(|| cx.scalar(DType::F32, 1.0));
                found = cx.select(some, weight, zero)?;
            }
            ("TFIDF", Some(w)) => found = cx.binary(BinaryOp::Mul, found, w)?,
            _ => {}
        }
        let found = cx.transpose(found, vec![1, 0])?;
        let at = cx.constant(Tensor::i64(&[number, 1], &kind.places));
        y = cx.emit(Op::Scatter(Scatter { mode: ScatterMode::Nd, reduce: Some(ReduceOp::Sum) }), &[y, at, found])?;
    }
    let y = cx.transpose(y, vec![1, 0])?;
    Ok(vec![if single { cx.reshape(y, vec![width.into()])? } else { y }])
}
