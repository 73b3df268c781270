//! Tiles that do not fit: a family that has a tile tries kernels with others, so that the error says which one would. Kernels are
//! made and checked for it, so that what is named is what the check lets through.

use beiming_ir::target::npu::Npu;

use super::finish_tile;
use crate::lower::body::BodyCx;
use crate::lower::builder::Call;
use crate::npu::matmul::{Product, base_tiles};

/// What the numbers of a family's tiles count.
pub type Terms = &'static [&'static str];

/// Of products.
const PRODUCT: Terms = &["rows", "columns", "of the depth"];
/// Of convolutions as products.
const CONV: Terms = &["positions", "channels", "of the depth"];
/// Of windows on the vector unit.
pub const WINDOW: Terms = &["positions", "channels", "input channels"];
/// Of tiles and of chunks of a row on the vector unit.
pub const ELEMENTS: Terms = &["elements"];
/// Of attentions.
pub const ATTENTION: Terms = &["queries", "keys"];

/// A tile in words.
fn words(tile: &[i64], terms: Terms) -> String {
    let term = |n: i64, t: &'static str| if n == 1 { t.strip_suffix('s').unwrap_or(t) } else { t };
    tile.iter().zip(terms).map(|(n, t)| format!("{n} {}", term(*n, t))).collect::<Vec<_>>().join(" x ")
}

/// Whether the last kernel that was made fits; `tiles`: what is said of other tiles where it does not.
fn check(made: &BodyCx, npu: &Npu, tiles: &str) -> Result<(), String> {
    let Some(call) = made.calls.last() else { return Err("a group that computes nothing".into()) };
    finish_tile(&mut call.clone(), npu, Some(tiles))
}

/// Whether a kernel fits whose tile is the smallest that its family makes.
pub fn smallest(call: &Call, npu: &Npu, tile: &[i64], terms: Terms) -> Result<(), String> {
    finish_tile(&mut call.clone(), npu, Some(&none(tile, terms)))
}

/// What is said where the smallest tile does not fit.
fn none(tile: &[i64], terms: Terms) -> String {
    format!("no tile fits: this is the smallest, of {}", words(tile, terms))
}

/// The first of `tiles` whose kernel fits, as the last call of what `make` gives. Where none does, the error lists what the
/// smallest one takes.
pub fn first<'a, const N: usize>(
    npu: &Npu,
    terms: Terms,
    tiles: impl IntoIterator<Item = [i64; N]>,
    make: &mut dyn FnMut(&[i64; N]) -> Result<BodyCx<'a>, String>,
) -> Result<([i64; N], BodyCx<'a>), String> {
    let (mut smallest, mut other): (Option<(i64, String)>, Option<String>) = (None, None);
    for t in tiles {
        let made = match make(&t) {
            Ok(made) => made,
            Err(why) => {
                other.get_or_insert(why);
                continue;
            }
        };
        match check(&made, npu, &none(&t, terms)) {
            Ok(()) => return Ok((t, made)),
            Err(why) => {
                let size = t.iter().product();
                if smallest.as_ref().is_none_or(|s| size < s.0) {
                    smallest = Some((size, why));
                }
            }
        }
    }
    Err(smallest.map(|s| s.1).or(other).unwrap_or_else(|| "there is no tile".into()))
}

/// `made`, which has the tile `tile`, if it fits. Else an error that lists what it takes and names the first of `smaller`, the
/// largest first, that does.
fn all_of<'a, const N: usize>(
    npu: &Npu,
    terms: Terms,
    (tile, made): ([i64; N], BodyCx<'a>),
    smaller: impl IntoIterator<Item = [i64; N]>,
    make: &mut dyn FnMut(&[i64; N]) -> Result<BodyCx<'a>, String>,
) -> Result<BodyCx<'a>, String> {
    if check(&made, npu, "").is_err() {
        let (fits, _) = first(npu, terms, smaller, make)?;
        let [fits, tile] = [fits, tile].map(|t| words(&t, terms));
        check(&made, npu, &format!("the largest tile that fits has {fits} in place of {tile}"))?;
    }
    Ok(made)
}

/// Name of the last kernel that was made.
fn name(made: &BodyCx) -> String {
    made.calls.last().map(|c| c.kernel.name.clone()).unwrap_or_default()
}

/// The tiles that may be asked for.
struct Choice<'t, const N: usize> {
    holds: &'t dyn Fn(&[i64; N]) -> bool,
    /// Which they are.
    words: &'t str,
}

/// What `make` gives with the tile that is asked for in place of that of the kernel `own`, if one is.
fn asked<'a, const N: usize, T>(
    cx: &BodyCx<'a>,
    own: &str,
    choice: Choice<N>,
    make: &mut dyn FnMut([i64; N]) -> Result<T, String>,
) -> Option<Result<T, String>> {
    let tile = cx.wanted?.tile(own)?;
    Some(match <[i64; N]>::try_from(tile) {
        Ok(t) if (choice.holds)(&t) => make(t),
        _ => Err(format!("a tile of this kernel has {}", choice.words)),
    })
}

/// Says what came of a tile that was asked for in place of that of the kernel `own`.
fn came<'a>(cx: &BodyCx<'a>, own: &str, what: Result<BodyCx<'a>, String>) -> Result<BodyCx<'a>, String> {
    if let Some(w) = cx.wanted {
        w.came(own, &what.as_ref().map(|m| name(m)).map_err(String::clone));
    }
    what
}

/// Lowers with one of `tiles`, the best first; `make` gives what has the kernel of a tile as its last call. In place of the first
/// that fits it is the one that is asked for, where that fits.
pub fn one_of<'a, const N: usize>(
    cx: &BodyCx<'a>,
    npu: &Npu,
    terms: Terms,
    tiles: &[[i64; N]],
    make: &mut dyn FnMut(&[i64; N]) -> Result<BodyCx<'a>, String>,
) -> Result<([i64; N], BodyCx<'a>), String> {
    let found = first(npu, terms, tiles.iter().copied(), make)?;
    let all: Vec<String> = tiles.iter().map(|t| t.map(|n| n.to_string()).join("x")).collect();
    let words = format!("{}: {}", terms.join(" x "), all.join(", "));
    let choice = Choice { holds: &|t| tiles.contains(t), words: &words };
    instead(cx, npu, terms, found, choice, &|t| within(tiles.to_vec(), t), make)
}

/// `found`, or what `make` gives for the tile that is asked for in its place, if it fits; `smaller`: tiles within a larger one, the
/// largest first.
fn instead<'a, const N: usize>(
    cx: &BodyCx<'a>,
    npu: &Npu,
    terms: Terms,
    found: ([i64; N], BodyCx<'a>),
    choice: Choice<N>,
    smaller: &dyn Fn(&[i64; N]) -> Vec<[i64; N]>,
    make: &mut dyn FnMut(&[i64; N]) -> Result<BodyCx<'a>, String>,
) -> Result<([i64; N], BodyCx<'a>), String> {
    let own = name(&found.1);
    let Some(wanted) = asked(cx, &own, choice, &mut |t| Ok((t, make(&t)?))) else {
        return Ok(found);
    };
    let fitting = wanted.and_then(|(t, made)| Ok((t, all_of(npu, terms, (t, made), smaller(&t), make)?)));
    let tile = fitting.as_ref().map_or(found.0, |f| f.0);
    Ok((tile, came(cx, &own, fitting.map(|f| f.1))?))
}

/// Those of `tiles` that another one holds, the largest first.
fn within<const N: usize>(mut tiles: Vec<[i64; N]>, whole: &[i64; N]) -> Vec<[i64; N]> {
    tiles.retain(|t| t != whole && (0..N).all(|i| t[i] <= whole[i]));
    tiles.sort_by_key(|t| std::cmp::Reverse(t.iter().product::<i64>()));
    tiles
}

/// Lowers with the tile `own`, of those that `sides` lists along each of its axes, or the largest within it that fits, or with the
/// one that is asked for in its place. Where that does not fit, the error lists what it takes and names the largest one that does.
/// `may`: false for tiles of which one copy of each buffer is too large.
pub fn of_sides<'a, const N: usize>(
    cx: &BodyCx<'a>,
    npu: &Npu,
    terms: Terms,
    own: [i64; N],
    sides: &[Vec<i64>; N],
    may: &dyn Fn(&[i64; N]) -> bool,
    make: &mut dyn FnMut(&[i64; N]) -> Result<BodyCx<'a>, String>,
) -> Result<BodyCx<'a>, String> {
    let smaller = |t: &[i64; N]| {
        let mut all: Vec<[i64; N]> = vec![[1; N]];
        for (i, side) in sides.iter().enumerate() {
            let with = |a: &[i64; N]| side.iter().map(|n| std::array::from_fn(|j| if j == i { *n } else { a[j] })).collect();
            all = all.iter().flat_map(|a| -> Vec<[i64; N]> { with(a) }).collect();
        }
        let least = sides.each_ref().map(|s| s.iter().copied().min().unwrap_or(1));
        let mut all = within(all, t);
        all.retain(|t| may(t) && *t != least);
        all.push(least);
        all
    };
    let found = first(npu, terms, std::iter::once(own).chain(std::iter::once_with(|| smaller(&own)).flatten()), make)?;
    let holds = |t: &[i64; N]| t.iter().zip(sides).all(|(n, side)| side.contains(n));
    let list = |side: &Vec<i64>| side.iter().map(i64::to_string).collect::<Vec<_>>().join(" ");
    let each = terms.iter().zip(sides).map(|(term, side)| format!("{term} {}", list(side)));
    let words = each.collect::<Vec<_>>().join(" x ");
    Ok(instead(cx, npu, terms, found, Choice { holds: &holds, words: &words }, &smaller, make)?.1)
}

/// What an attempt at a product's kernel used, and what else there is.
pub struct Made<'n> {
    /// Rows, columns and depth of its tile.
    pub tile: [i64; 3],
    /// It is of a window: rows are output positions, and its depth are taps and channels.
    pub of_window: bool,
    /// What the tile is for.
    pub product: Product,
    /// False for a base tile of which one copy of each buffer is too large: its kernel need not be made to see that.
    pub may: Box<dyn Fn([i64; 3]) -> bool + 'n>,
}

impl Made<'_> {
    fn terms(&self) -> Terms {
        if self.of_window { CONV } else { PRODUCT }
    }

    /// Smaller tiles of those that the tiler chooses from, the largest first; the last is the smallest there is.
    fn smaller(&self, npu: &Npu) -> Vec<[i64; 3]> {
        let all: Vec<[i64; 3]> = base_tiles(npu, &self.product).into_iter().flatten().map(|t| t.map(|n| n as i64)).collect();
        let least = all.first().copied();
        let mut out = within(all, &self.tile);
        out.retain(|t| (self.may)(*t));
        out.extend(least);
        out
    }
}

/// Appends a product's kernel, with its own tile or with the given one.
pub type Attempt<'t, 'a, 'n> = dyn FnMut(&mut BodyCx<'a>, Option<[i64; 3]>) -> Result<Made<'n>, String> + 't;

/// Lowers a product by `attempt`: with the tile that it chooses itself, or with the one that is asked for.
/// Where that does not fit, the error lists what it takes and names the largest one that does.
pub fn product<'a, 'n>(cx: &mut BodyCx<'a>, npu: &'n Npu, attempt: &mut Attempt<'_, 'a, 'n>) -> Result<(), String> {
    let mut made = cx.clone();
    let chosen = attempt(&mut made, None)?;
    let (product, own) = (chosen.product, name(&made));
    let of_window = chosen.of_window;
    let exists = |t: &[i64; 3]| match of_window {
        // Its depth is what divides a copy of taps and channels.
        true => t.iter().all(|n| (16..=512).contains(n) && n % 16 == 0),
        false => base_tiles(npu, &product).is_some_and(|mut all| all.any(|b| b.map(|n| n as i64) == *t)),
    };
    let words_of_choice = match of_window {
        true => "positions x channels x depth, each in steps of 16 up to 512",
        false => {
            "rows x columns x depth: rows and columns in steps of 16 up to the product's own and 512, the depth by powers of two"
        }
    };
    let mut exactly = |t: [i64; 3]| {
        let mut tried = cx.clone();
        let with = attempt(&mut tried, Some(t))?;
        if with.tile == t {
            Ok((with, tried))
        } else {
            Err(format!("the nearest tile of this kernel has {}", words(&with.tile, with.terms())))
        }
    };
    let wanted = asked(cx, &own, Choice { holds: &exists, words: words_of_choice }, &mut exactly);
    let (asked_for, wanted) = match wanted {
        Some(wanted) => (true, wanted),
        None => (false, Ok((chosen, made))),
    };
    let checked = wanted.and_then(|(with, tried)| {
        let smaller = std::iter::once_with(|| with.smaller(npu)).flatten();
        all_of(npu, with.terms(), (with.tile, tried), smaller, &mut |t| Ok(exactly(*t)?.1))
    });
    *cx = if asked_for { came(cx, &own, checked)? } else { checked? };
    Ok(())
}

#[cfg(test)]
mod tests;
