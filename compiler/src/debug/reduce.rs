//! A small model that still shows what the large one shows: by leaving out ops as long as a check still fails (delta debugging,
//! Zeller and Hildebrandt 2002). Whatever is left out, the rest is a valid model: what it took from the ops that are gone becomes
//! an input, fed with the reference's value.

use super::{Cut, DebugError, Source, Values};

/// The smallest model that was found.
pub struct Reduced {
    /// The model.
    pub cut: Cut,
    /// Models that were tried.
    pub tried: usize,
    /// Of these, those that were refused before the check.
    pub invalid: usize,
}

/// Leaves out ops while `fails` holds of the rest, until no single op can be left out. `None` where it does not hold of all
/// ops together, or no model can be cut at all.
///
/// # Errors
/// Those of `fails`: that it could not be told. They end the search.
pub fn reduce(
    source: &dyn Source,
    values: &Values,
    fails: &mut dyn FnMut(&Cut) -> Result<bool, DebugError>,
) -> Result<Option<Reduced>, DebugError> {
    let mut keep: Vec<usize> = (0..source.ops().len()).collect();
    let (mut tried, mut invalid) = (0, 0);
    let mut check = |keep: &[usize]| {
        tried += 1;
        match source.cut(keep, values) {
            Ok(cut) if !cut.outputs.is_empty() => Ok(fails(&cut)?.then_some(cut)),
            _ => {
                invalid += 1;
                Ok::<_, DebugError>(None)
            }
        }
    };
    let Some(mut best) = check(&keep)? else { return Ok(None) };
    let mut pieces = 2;
    while keep.len() > 1 {
        let size = keep.len().div_ceil(pieces);
        let chunks: Vec<Vec<usize>> = keep.chunks(size).map(<[usize]>::to_vec).collect();
        let rest = |i: usize| -> Vec<usize> {
            chunks.iter().enumerate().filter(|(k, _)| *k != i).flat_map(|(_, c)| c.iter().copied()).collect()
        };
        // A piece alone, then all but a piece. With two pieces these are the same.
        let alone = chunks.iter().cloned().map(|c| (c, 2));
        let without = (0..chunks.len()).filter(|_| chunks.len() > 2).map(|i| (rest(i), pieces.saturating_sub(1).max(2)));
        let mut smaller = None;
        for (candidate, next) in alone.chain(without) {
            if candidate.len() < keep.len()
                && let Some(cut) = check(&candidate)?
            {
                smaller = Some((candidate, next, cut));
                break;
            }
        }
        match smaller {
            Some((candidate, next, cut)) => (keep, pieces, best) = (candidate, next, cut),
            None if size == 1 => break,
            None => pieces = (pieces * 2).min(keep.len()),
        }
    }
    Ok(Some(Reduced { cut: best, tried, invalid }))
}
