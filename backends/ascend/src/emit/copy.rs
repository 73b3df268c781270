//! Copies between global memory and the unified buffer. Where padded copies exist one call moves all rows, exact to the byte;
//! on 310P one call moves rows of whole blocks; others go one by one, what is behind their last block through the scalar unit.

use beiming_ir::kernel::{Element, Expr, ExprId, Space, VarId};
use beiming_ir::ops::BinaryOp;

use super::file::Writer;
use super::text::{Text, variable};
use super::types;
use super::vector::at;

/// A copy taken apart.
struct Parts {
    rows: Option<(VarId, Text)>,
    /// Elements written of a row.
    width: Text,
    /// Elements of a row there are; the rest is zero.
    there: Text,
    dst: (Text, Text),
    src: (Text, Text),
}

/// Writes a copy between global memory and the unified buffer.
pub fn write(w: &mut Writer, vars: &[(VarId, ExprId)], dst: &Element, src: &Element, fill: Option<ExprId>) -> Result<(), String> {
    let p = parts(w, vars, dst, src)?;
    if let Some(f) = fill {
        let zero = matches!(&w.k.exprs[f.index()], Expr::Const(s) if s.value.to_f64() == 0.0);
        if !zero {
            return Err("a copy that fills with something else than zero".into());
        }
    }
    let inward = w.k.buffer(dst.buffer).space == Space::Ub;
    let dtype = w.k.buffer(dst.buffer).dtype;
    let ty = types::name(dtype).ok_or_else(|| format!("elements of type {dtype}"))?;
    if w.npu.core.padded_copy {
        padded(w, &p, dst, src, inward, ty, dtype.size())
    } else {
        by_rows(w, &p, dst, src, inward, dtype.size())
    }
}

/// Writes a copy of rows of whole blocks within the unified buffer.
pub fn within(w: &mut Writer, vars: &[(VarId, ExprId)], dst: &Element, src: &Element) -> Result<(), String> {
    let p = parts(w, vars, dst, src)?;
    let size = w.k.buffer(dst.buffer).dtype.size() as i64;
    let blocks = |t: &Text| t.known().filter(|n| n * size % 32 == 0).map(|n| n * size / 32);
    let (Some((_, rows)), Some(width), Some(to), Some(from)) = (&p.rows, blocks(&p.width), blocks(&p.dst.1), blocks(&p.src.1))
    else {
        return Err("a copy within the unified buffer of other than rows of whole blocks".into());
    };
    let count = if rows.known().is_some() { rows.s.clone() } else { format!("static_cast<uint16_t>({})", rows.s) };
    let (to_at, from_at) = (at(w, dst.buffer, &p.dst.0), at(w, src.buffer, &p.src.0));
    w.line(&format!("DataCopy({to_at}, {from_at}, DataCopyParams({count}, {width}, {}, {}));", from - width, to - width));
    Ok(())
}

fn parts(w: &Writer, vars: &[(VarId, ExprId)], dst: &Element, src: &Element) -> Result<Parts, String> {
    let (rows, (lane, width)) = match vars {
        [c] => (None, *c),
        [r, c] => (Some(*r), *c),
        _ => return Err(format!("a copy over {} axes", vars.len())),
    };
    let place = |el: &Element| -> Result<(Text, Text), String> {
        let [index] = el.index[..] else { return Err("a buffer of several axes".into()) };
        let (along, _) = w.print.split(index, lane).ok_or("a copy whose addresses are not linear")?;
        if along.s != "1" {
            return Err(format!("a copy of elements {} apart", along.s));
        }
        // Both variables at zero: the address of the first element.
        let (pitch, _) = match rows {
            Some((r, _)) => w.print.split(index, r).ok_or("a copy whose rows are not linear")?,
            None => (Text::int(0), Text::int(0)),
        };
        let first = w.print.without(index, &[Some(lane), rows.map(|r| r.0)]).ok_or("a copy whose addresses are not linear")?;
        Ok((first, pitch))
    };
    let width = w.print.scalar(width).ok_or("a width of data")?;
    let there = match src.guard {
        None => width.clone(),
        Some(g) => match &w.k.exprs[g.index()] {
            Expr::Binary(BinaryOp::Lt, a, b) if matches!(&w.k.exprs[a.index()], Expr::Var(v) if *v == lane) => {
                w.print.scalar(*b).ok_or("a width of data")?
            }
            _ => return Err("a copy under a condition that is no width".into()),
        },
    };
    let rows = match rows {
        Some((v, n)) => Some((v, w.print.scalar(n).ok_or("a number of rows from data")?)),
        None => None,
    };
    Ok(Parts { rows, width, there, dst: place(dst)?, src: place(src)? })
}

fn uint(t: &Text) -> String {
    if t.known().is_some() { t.s.clone() } else { format!("static_cast<uint32_t>({})", t.s) }
}

fn padded(w: &mut Writer, p: &Parts, dst: &Element, src: &Element, inward: bool, ty: &str, size: usize) -> Result<(), String> {
    let bytes = |t: &Text| t.times(&Text::int(size as i64));
    let rows = p.rows.as_ref().map_or(Text::int(1), |r| r.1.clone());
    let minus = |t: &Text| Text::int(-1).times(t);
    // Gaps in global memory are in bytes.
    let gap = |pitch: &Text| if p.rows.is_some() { bytes(&pitch.plus(&minus(&p.there))) } else { Text::int(0) };
    // In the unified buffer a row starts on the next block; what rows there lie further apart is counted in blocks.
    let blocks = |pitch: &Text| -> String {
        let block = 32 / size as i64;
        let (Some(apart), true) = (pitch.known(), p.rows.is_some()) else { return "0".into() };
        match p.width.known() {
            Some(n) => (apart / block - (n + block - 1) / block).max(0).to_string(),
            None => format!("static_cast<uint32_t>({} - ({} + {}) / {block})", apart / block, p.width.s, block - 1),
        }
    };
    let (to, from) = (at(w, dst.buffer, &p.dst.0), at(w, src.buffer, &p.src.0));
    let count = format!("static_cast<uint16_t>({})", rows.s);
    let count = if rows.known().is_some() { rows.s } else { count };
    if inward {
        let pad = p.width.plus(&minus(&p.there));
        let (is, right) = if p.width == p.there {
            ("false", "0".to_string())
        } else {
            (
                "true",
                if pad.known().is_some() { pad.s } else { format!("static_cast<uint8_t>({} - {})", p.width.s, tight(&p.there)) },
            )
        };
        w.line(&format!(
            "DataCopyPad({to}, {from}, DataCopyExtParams({count}, {}, {}, {}, 0), DataCopyPadExtParams<{ty}>({is}, 0, {right}, {ty}(0)));",
            uint(&bytes(&p.there)),
            uint(&gap(&p.src.1)),
            blocks(&p.dst.1)
        ));
    } else {
        w.line(&format!(
            "DataCopyPad({to}, {from}, DataCopyExtParams({count}, {}, {}, {}, 0));",
            uint(&bytes(&p.there)),
            blocks(&p.src.1),
            uint(&gap(&p.dst.1))
        ));
    }
    Ok(())
}

fn tight(t: &Text) -> String {
    if t.s.contains(' ') { format!("({})", t.s) } else { t.s.clone() }
}

/// Most rows of one copy, and blocks of a row or between two.
const MOST: [i64; 2] = [4095, 65535];

/// Rows of whole blocks as one copy: the blocks of a row, and those between two rows of the source and of the destination.
/// `None` where a gap is open, is no whole blocks, or is more than one copy counts.
fn blocks(w: &Writer, p: &Parts, local: &Element, size: usize) -> Option<[i64; 3]> {
    let block = (32 / size) as i64;
    let whole = |n: i64| (n % block == 0).then_some(n / block);
    let width = p.width.known()?;
    let elements = w.k.buffer(local.buffer).shape.iter().try_fold(1, |n, d| Some(n * d.known()?))?;
    let gap = |pitch: &Text| whole(pitch.known()? - width).filter(|g| (0..=MOST[1]).contains(g));
    let out = [whole(width)?, gap(&p.src.1)?, gap(&p.dst.1)?];
    (elements / width.max(1) <= MOST[0] && out[0] <= MOST[1]).then_some(out)
}

fn by_rows(w: &mut Writer, p: &Parts, dst: &Element, src: &Element, inward: bool, size: usize) -> Result<(), String> {
    let block = (32 / size) as i64;
    let whole = p.width == p.there && p.width.known().is_some_and(|n| n % block == 0);
    let place = |(first, pitch): &(Text, Text)| match &p.rows {
        Some((v, _)) => first.plus(&Text::atom(variable(*v)).times(pitch)),
        None => first.clone(),
    };
    // Rows without gaps are one run.
    let dense = p.rows.is_some() && whole && p.dst.1 == p.width && p.src.1 == p.width;
    if let (true, Some((_, n))) = (dense, &p.rows) {
        let count = n.times(&p.width);
        let line = format!("DataCopy({}, {}, {});", at(w, dst.buffer, &p.dst.0), at(w, src.buffer, &p.src.0), uint(&count));
        w.line(&line);
        return Ok(());
    }
    if let (true, Some((_, n))) = (whole, &p.rows)
        && let Some([width, from, to]) = blocks(w, p, if inward { dst } else { src }, size)
    {
        let count = if n.known().is_some() { n.s.clone() } else { format!("static_cast<uint16_t>({})", n.s) };
        let (to_at, from_at) = (at(w, dst.buffer, &p.dst.0), at(w, src.buffer, &p.src.0));
        w.line(&format!("DataCopy({to_at}, {from_at}, DataCopyParams({count}, {width}, {from}, {to}));"));
        return Ok(());
    }
    if let Some((v, n)) = &p.rows {
        let i = variable(*v);
        w.open(&format!("for (int64_t {i} = 0; {i} < {}; ++{i}) {{", n.s));
    }
    let (to, from) = (at(w, dst.buffer, &place(&p.dst)), at(w, src.buffer, &place(&p.src)));
    let line = match (whole, inward) {
        (true, _) => format!("DataCopy({to}, {from}, {});", uint(&p.width)),
        (false, true) => format!("CopyIn({to}, {from}, {}, {});", uint(&p.there), uint(&p.width)),
        (false, false) => format!("CopyOut({to}, {from}, {});", uint(&p.there)),
    };
    w.line(&line);
    if p.rows.is_some() {
        w.close();
    }
    w.tails |= !whole;
    Ok(())
}
