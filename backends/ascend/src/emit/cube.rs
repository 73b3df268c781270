//! The matrix path: into L1 in fractals (Nz), from there into the operand buffers in the layouts that the cube unit of each
//! generation reads, products, and results out through the fixpipe.
//!
//! Fractals are 16 rows of 32 bytes. L1 holds them column by column (Nz). L0A is wanted row by row (zZ) on 2201 and as L1 has
//! them on 3510; L0B row by row of the depth, transposed inside (Zn).

use beiming_ir::kernel::{BufId, Element, Expr, ExprId, Loop, Space, Stmt, VarId};
use beiming_ir::ops::BinaryOp;
use beiming_ir::target::npu::Generation;
use beiming_ir::types::DType;

use super::file::Writer;
use super::part::{self, Source, Tile, field};
use super::text::Text;
use super::types;

/// Elements along the short side of a fractal.
const SIDE: usize = 16;

/// Extents of a local of two axes.
fn extents(w: &Writer, b: BufId) -> Result<[usize; 2], String> {
    let buffer = w.k.buffer(b);
    let known: Option<Vec<usize>> = buffer.shape.iter().map(|d| d.known().map(|v| v as usize)).collect();
    match known.as_deref() {
        Some([r, c]) => Ok([*r, *c]),
        _ => Err(format!("`{}` must have two known axes", buffer.name)),
    }
}

/// Elements of 32 bytes: the long side of a fractal.
fn k0(dtype: DType) -> usize {
    32 / dtype.size()
}

/// A copy from global memory into L1.
pub fn to_l1(w: &mut Writer, vars: &[(VarId, ExprId)], dst: &Element, src: &Element) -> Result<(), String> {
    let [(vr, er), (vc, ec)] = vars else { return Err("a copy into L1 over other than two axes".into()) };
    let [rows, columns] = extents(w, dst.buffer)?;
    let dtype = w.k.buffer(dst.buffer).dtype;
    let (along, _) = w.print.split(src.index[0], *vc).ok_or("a copy whose addresses are not linear")?;
    let (pitch, _) = w.print.split(src.index[0], *vr).ok_or("a copy whose rows are not linear")?;
    if along.s != "1" || rows % SIDE != 0 || columns % k0(dtype) != 0 {
        return Err("a copy into L1 that is no whole fractals of dense rows".into());
    }
    let vars = [Some(*vr), Some(*vc)];
    let first = w.print.without(src.index[0], &vars).ok_or("a copy whose addresses are not linear")?;
    let to = [0, 1].map(|a| w.print.without(dst.index[a], &vars));
    let [Some(row), Some(column)] = to else { return Err("a copy into L1 whose place is not linear".into()) };
    // What of the tile is filled, and what of that there is.
    let filled = [er, ec].map(|e| w.print.scalar(*e));
    let [Some(fr), Some(fc)] = filled else { return Err("a copy into L1 of extents from data".into()) };
    let mut there = [fr.clone(), fc.clone()];
    let mut from_row = None;
    if let Some(g) = src.guard {
        limits(w, g, [*vr, *vc], &mut there, &mut from_row)?;
    }
    let name = w.name(dst.buffer);
    let ty = types::name(dtype).ok_or("elements of no type")?;
    if from_row.is_some() || !row.is_zero() || !column.is_zero() {
        if in_strips(w, dst.buffer) {
            return Err("a part of a tile that lies in strips".into());
        }
        let tile = Tile { name, ty, rows, k0: k0(dtype), at: [row, column] };
        let source = Source { buffer: src.buffer, first, pitch };
        let within = src.guard.and_then(|g| row_limit(w, g, *vr)).zip(fr.known()).is_some_and(|(most, filled)| most <= filled);
        return part::to_l1(w, &tile, &source, [fr, fc], from_row.unwrap_or(Text::int(0)), there, within);
    }
    let [r, c] = [0, 1].map(|a| {
        let most = [&fr, &fc][a];
        match (there[a].known(), most.known()) {
            (Some(n), Some(most)) => Text::int(n.min(most)),
            _ => {
                // What of the tile lies inside the operand.
                let name = format!("{}{}", w.name(dst.buffer), ["Rows", "Columns"][a]);
                w.line(&format!("const int64_t {name} = Smaller({}, {});", there[a].s, most.s));
                Text::atom(name)
            }
        }
    });
    let from = |w: &Writer, rest: &Text| super::vector::at(w, src.buffer, &first.plus(rest));
    if in_strips(w, dst.buffer) {
        return strips(w, &name, ty, columns, [&fr, &fc], [&r, &c], &pitch, &from);
    }
    if src.guard.is_some() {
        edges(w, &name, ty, rows, [&fr, &fc], [&r, &c], k0(dtype));
    }
    let from = from(w, &Text::int(0));
    w.line(&format!(
        "DataCopy({name}, {from}, Nd2NzParams(1, {}, {}, 0, {}, {rows}, 1, 0));",
        field(&r),
        field(&c),
        field(&pitch)
    ));
    Ok(())
}

/// True for a local in L1 whose 32-bit elements are transposed on the way out: that takes two fractals side by side, so that they
/// lie in strips of 16 rows, fractal by fractal along each (zZ).
fn in_strips(w: &Writer, b: BufId) -> bool {
    let mut turned = false;
    beiming_ir::kernel::npu::for_each_copy(w.k, &mut |s| {
        let Stmt::Copy { vars, dst, src, .. } = s else { return };
        let to = w.k.buffer(dst.buffer).space;
        let [(vi, _), (vj, _)] = vars[..] else { return };
        if src.buffer == b && matches!(to, Space::L0A | Space::L0B) {
            // The depth: the columns of the left operand, the rows of the right one.
            let depth = if to == Space::L0A { vj } else { vi };
            turned |= src.index.first().is_some_and(|e| w.print.uses(*e, depth));
        }
    });
    turned && w.k.buffer(b).dtype.size() == 4
}

/// A copy into strips, and zeros beyond the edges.
#[allow(clippy::too_many_arguments)]
fn strips(
    w: &mut Writer,
    name: &str,
    ty: &str,
    columns: usize,
    [filled_rows, filled_columns]: [&Text; 2],
    [r, c]: [&Text; 2],
    pitch: &Text,
    from: &dyn Fn(&Writer, &Text) -> String,
) -> Result<(), String> {
    let (k0, strip) = (8, SIDE * columns);
    let Some(all) = filled_columns.known().map(|n| n / k0) else { return Err("strips of an open width".into()) };
    let minus = |t: &Text| Text::int(-1).times(t);
    let up = |t: &Text, by: i64| match t.known() {
        Some(n) => Text::int((n + by - 1) / by),
        None => Text::atom(format!("(({} + {}) / {by})", t.s, by - 1)),
    };
    let (there, filled, reached) = (up(r, SIDE as i64), up(filled_rows, SIDE as i64), up(c, k0));
    w.open(&format!("for (int64_t strip = 0; strip < {}; ++strip) {{", there.s));
    let rows = match r.known() {
        Some(n) if n % SIDE as i64 == 0 => Text::int(SIDE as i64),
        _ => Text::atom(format!("Smaller({} - strip * {SIDE}, {SIDE})", r.s)),
    };
    let each = Text::atom("strip");
    let at = from(w, &each.times(&Text::int(SIDE as i64)).times(pitch));
    w.line(&format!(
        "DataCopy({name}[strip * {strip}], {at}, Nd2NzParams(1, {}, {}, 0, {}, {SIDE}, 1, 0));",
        field(&rows),
        field(c),
        field(pitch)
    ));
    w.close();
    let params =
        |repeats: &str, blocks: &str, gap: &str| format!("InitConstValueParams<{ty}>({repeats}, {blocks}, {gap}, {ty}(0))");
    if r.known().is_none_or(|n| n % SIDE as i64 != 0) {
        w.open(&format!("if ({} % {SIDE} > 0) {{", r.s));
        let p = params(
            &field(&reached),
            &format!("static_cast<uint16_t>({SIDE} - {} % {SIDE})", r.s),
            &format!("static_cast<uint16_t>({} % {SIDE})", r.s),
        );
        w.line(&format!(
            "InitConstValue({name}[{0} / {SIDE} * {strip} + {0} % {SIDE} * {k0}], {p});  // zeros behind the last row",
            r.s
        ));
        w.close();
    }
    if there != filled {
        w.open(&format!("if ({} < {}) {{", there.s, filled.s));
        let blocks = filled.plus(&minus(&there)).times(&Text::int((strip * 4 / 32) as i64));
        let p = params("1", &field(&blocks), "0");
        w.line(&format!(
            "InitConstValue({name}[{}], {p});  // zeros in strips of no rows",
            there.times(&Text::int(strip as i64)).s
        ));
        w.close();
    }
    if reached.known() != Some(all) {
        w.open(&format!("if ({} < {all}) {{", reached.s));
        let side = Text::int(SIDE as i64);
        let p =
            params(&field(&there), &field(&Text::int(all).plus(&minus(&reached)).times(&side)), &field(&reached.times(&side)));
        let first = reached.times(&Text::int(SIDE as i64 * k0));
        w.line(&format!("InitConstValue({name}[{}], {p});  // zeros behind the last column", first.s));
        w.close();
    }
    Ok(())
}

/// Zeros in what lies beyond the edges of an operand, as far as the tile is filled: behind its last row in every column of
/// fractals that it reaches, and in the columns that it does not reach. (A copy fills the last reached column itself.)
fn edges(w: &mut Writer, name: &str, ty: &str, pitch: usize, filled: [&Text; 2], [r, c]: [&Text; 2], k0: usize) {
    let columns = |t: &Text| match t.known() {
        Some(n) => Text::int((n as usize).div_ceil(k0) as i64),
        None => Text::atom(format!("(({} + {}) / {k0})", t.s, k0 - 1)),
    };
    let (reached, all) = (columns(c), columns(filled[1]));
    let minus = |t: &Text| Text::int(-1).times(t);
    // L1 is filled with numbers of 16 or 32 bits: zeros of 8 two at a time.
    let (view, ty) = if ty == "int8_t" { (".ReinterpretCast<int16_t>()", "int16_t") } else { ("", ty) };
    // True where there is nothing between the two; a condition where only the run tells.
    let none = |a: &Text, b: &Text| a == b || matches!((a.known(), b.known()), (Some(a), Some(b)) if a >= b);
    let asks = |a: &Text, b: &Text| a.known().is_none() || b.known().is_none();
    if !none(r, filled[0]) {
        if asks(r, filled[0]) {
            w.open(&format!("if ({} < {}) {{", r.s, filled[0].s));
        }
        let behind = filled[0].plus(&minus(r));
        w.line(&format!(
            "InitConstValue({name}[{}]{view}, InitConstValueParams<{ty}>({}, {}, {}, {ty}(0)));  // zeros behind the last row",
            r.times(&Text::int(k0 as i64)).s,
            field(&reached),
            field(&behind),
            field(&Text::int(pitch as i64).plus(&minus(filled[0])).plus(r))
        ));
        if asks(r, filled[0]) {
            w.close();
        }
    }
    if !none(&reached, &all) {
        if asks(&reached, &all) {
            w.open(&format!("if ({} < {}) {{", reached.s, all.s));
        }
        let behind = all.plus(&minus(&reached)).times(&Text::int(pitch as i64));
        w.line(&format!(
            "InitConstValue({name}[{}]{view}, InitConstValueParams<{ty}>(1, {}, 0, {ty}(0)));  // zeros behind the last column",
            reached.times(&Text::int((pitch * k0) as i64)).s,
            field(&behind)
        ));
        if asks(&reached, &all) {
            w.close();
        }
    }
}

/// The most rows that a guard lets through, where that is plain to see.
fn row_limit(w: &Writer, guard: ExprId, row: VarId) -> Option<i64> {
    fn at_most(w: &Writer, e: ExprId) -> Option<i64> {
        match &w.k.exprs[e.index()] {
            Expr::Binary(BinaryOp::Min, a, b) => [at_most(w, *a), at_most(w, *b)].into_iter().flatten().min(),
            _ => w.print.unnamed(e)?.known(),
        }
    }
    match &w.k.exprs[guard.index()] {
        Expr::Binary(BinaryOp::And, a, b) => row_limit(w, *a, row).or_else(|| row_limit(w, *b, row)),
        Expr::Binary(BinaryOp::Lt, a, b) if matches!(w.k.exprs[a.index()], Expr::Var(v) if v == row) => at_most(w, *b),
        _ => None,
    }
}

/// How much of a tile there is, from `r >= first && r < x && c < y`.
fn limits(w: &Writer, guard: ExprId, vars: [VarId; 2], there: &mut [Text; 2], first: &mut Option<Text>) -> Result<(), String> {
    match &w.k.exprs[guard.index()] {
        Expr::Binary(BinaryOp::And, a, b) => {
            limits(w, *a, vars, there, first)?;
            limits(w, *b, vars, there, first)
        }
        Expr::Binary(BinaryOp::Ge, a, b) => {
            if !matches!(w.k.exprs[a.index()], Expr::Var(v) if v == vars[0]) {
                return Err("a lower limit of what is no row".into());
            }
            *first = Some(w.print.scalar(*b).ok_or("a limit from data")?);
            Ok(())
        }
        Expr::Binary(BinaryOp::Lt, a, b) => {
            let Expr::Var(v) = w.k.exprs[a.index()] else { return Err("a limit of what is no coordinate".into()) };
            let axis = vars.iter().position(|x| *x == v).ok_or("a limit of another variable")?;
            there[axis] = w.print.scalar(*b).ok_or("a limit from data")?;
            Ok(())
        }
        _ => Err("a copy into L1 under another condition than limits".into()),
    }
}

/// A matrix that lies in fractals on both sides: from the unified buffer to L1, or from the accumulators to the unified buffer.
pub fn fractals(w: &mut Writer, dst: &Element, src: &Element) -> Result<(), String> {
    let from_acc = w.k.buffer(src.buffer).space == Space::L0C;
    let [rows, columns] = extents(w, if from_acc { src.buffer } else { dst.buffer })?;
    let (to, from) = (w.name(dst.buffer), w.name(src.buffer));
    let line = if from_acc {
        let squares = rows / SIDE * (columns / SIDE);
        let enhanced = "DataCopyEnhancedParams{BlockMode::BLOCK_MODE_MATRIX}";
        format!("DataCopy({to}, {from}, DataCopyParams(1, {squares}, 0, 0), {enhanced});")
    } else {
        format!("DataCopy({to}, {from}, {});", rows * columns)
    };
    w.line(&line);
    Ok(())
}

/// A load from L1 into an operand buffer.
pub fn to_l0(w: &mut Writer, vars: &[(VarId, ExprId)], dst: &Element, src: &Element) -> Result<(), String> {
    let [(vi, _), (vj, _)] = vars else { return Err("a load over other than two axes".into()) };
    let left = w.k.buffer(dst.buffer).space == Space::L0A;
    let dtype = w.k.buffer(dst.buffer).dtype;
    let [rows, columns] = extents(w, dst.buffer)?;
    let [l1_rows, _] = extents(w, src.buffer)?;
    let k0 = k0(dtype);
    // Along which axis of L1 do the rows of the operand run, and where along the depth does this step start?
    let (along, _) = w.print.split(src.index[0], *vi).ok_or("a load that is not linear")?;
    let turned = along.is_zero();
    let (outer_l0, depth_l0) = if left { (rows, columns) } else { (columns, rows) };
    let depth_axis = usize::from(left != turned);
    let within = w.print.without(src.index[depth_axis], &[Some(*vi), Some(*vj)]).ok_or("a load that is not linear")?;
    let (to, from) = (w.name(dst.buffer), w.name(src.buffer));
    let (outer, deep) = (outer_l0 / SIDE, depth_l0 / k0);
    // Depth runs along the long side of fractals in L1, or across it, where each is transposed on the way.
    let along_depth = depth_axis == 1;
    if !along_depth && dtype.size() == 4 && w.npu.core.generation == Generation::V2201 {
        return to_l0_turned(w, [&to, &from], left, [outer, deep], &within);
    }
    if !along_depth && dtype.size() != 2 {
        return Err("fractals of other than 16-bit elements are not transposed on the way".into());
    }
    let elements = 512 / dtype.size();
    let step = |per: usize| match within.known() {
        Some(v) => Text::int(v / per as i64),
        None => Text::atom(format!("({} / {per})", within.s)),
    };
    let rows_of_fractals = left && w.npu.core.generation != Generation::V3510;
    let transpose = if along_depth { "false" } else { "true" };
    // In L1: fractal (outer, depth) lies at depth * (l1 rows / 16) + outer, or at outer * (l1 rows / 16) + depth.
    let column = (l1_rows / SIDE) as i64;
    let start = step(if along_depth { k0 } else { SIDE });
    let load = |to: String, index: Text, repeat: usize, stride: i64| {
        let index = if index.known().is_some() { index.s } else { format!("static_cast<uint16_t>({})", index.s) };
        format!("LoadData({to}, {from}, LoadData2DParams({index}, {repeat}, {stride}, 0, 0, {transpose}, 0));")
    };
    let (count, repeat) = if rows_of_fractals { (outer, deep) } else { (deep, outer) };
    if repeat > 255 {
        return Err(format!("{repeat} fractals in one load, of at most 255"));
    }
    let i = Text::atom("f");
    // Start and stride of one load, by the fractal row or column that it fills.
    let (index, stride) = match (rows_of_fractals, along_depth) {
        (true, true) => (start.times(&Text::int(column)).plus(&i), column),
        (true, false) => (i.times(&Text::int(column)).plus(&start), 1),
        (false, true) => (start.plus(&i).times(&Text::int(column)), 1),
        (false, false) => (start.plus(&i), column),
    };
    w.open(&format!("for (uint16_t f = 0; f < {count}; ++f) {{"));
    let line = load(format!("{to}[f * {}]", repeat * elements), index, repeat, stride);
    w.line(&line);
    w.close();
    Ok(())
}

/// A load from strips in L1, each square of two fractals transposed: `deep` fractals of 8 along the depth.
fn to_l0_turned(
    w: &mut Writer,
    [to, from]: [&str; 2],
    left: bool,
    [outer, deep]: [usize; 2],
    within: &Text,
) -> Result<(), String> {
    if outer > 255 {
        return Err(format!("{outer} squares in one load, of at most 255"));
    }
    let strip = outer * SIDE * SIDE;
    let first = match within.known() {
        Some(n) => Text::int(n / SIDE as i64),
        None => Text::atom(format!("({} / {SIDE})", within.s)),
    };
    // The fractals of a square follow each other in the left operand, and lie a row of fractals apart in the right one.
    let (step, gap, apart) = if left { (2 * 128, deep - 1, 0) } else { (2 * outer * 128, 0, outer - 1) };
    w.open(&format!("for (uint16_t f = 0; f < {}; ++f) {{", deep / 2));
    let at = first.plus(&Text::atom("f")).times(&Text::int(strip as i64));
    w.line(&format!(
        "LoadDataWithTranspose({to}[f * {step}], {from}[{}], LoadData2dTransposeParams(0, {outer}, 1, {gap}, {apart}));",
        at.s
    ));
    w.close();
    Ok(())
}

/// The accumulators of `for i { for j { acc[i, j] = 0 } }`; `None` where a loop is not that.
pub fn cleared(w: &Writer, body: &[Stmt]) -> Option<BufId> {
    let [Stmt::For { kind: Loop::Vector, body, .. }] = body else { return None };
    let (dst, value, None) = super::vector::single(body)? else { return None };
    let zero = matches!(&w.k.exprs[value.index()], Expr::Const(s) if s.value.to_f64() == 0.0);
    (zero && w.k.buffer(dst.buffer).space == Space::L0C).then_some(dst.buffer)
}

/// `for i { for j { l1[row + i, column + j] = 0 } }` filled with zeros; `None` where a loop is not that.
pub fn zeros(w: &mut Writer, var: VarId, extent: ExprId, body: &[Stmt]) -> Option<Result<(), String>> {
    let [Stmt::For { var: lane, extent: columns, kind: Loop::Vector, body }] = body else { return None };
    let (dst, value, None) = super::vector::single(body)? else { return None };
    let zero = matches!(&w.k.exprs[value.index()], Expr::Const(s) if s.value.to_f64() == 0.0);
    if !zero || w.k.buffer(dst.buffer).space != Space::L1 {
        return None;
    }
    let mut write = || -> Result<(), String> {
        let [rows, _] = extents(w, dst.buffer)?;
        let dtype = w.k.buffer(dst.buffer).dtype;
        let ty = types::name(dtype).ok_or("elements of no type")?;
        let at = [0, 1].map(|a| w.print.without(dst.index[a], &[Some(var), Some(*lane)]));
        let counts = [extent, *columns].map(|e| w.print.scalar(e));
        let ([Some(row), Some(column)], [Some(high), Some(wide)]) = (at, counts) else {
            return Err("zeros whose place or extents are data".into());
        };
        let tile = Tile { name: w.name(dst.buffer), ty, rows, k0: k0(dtype), at: [row, column] };
        let zero = Text::int(0);
        tile.zeros(w, [&zero, &high], [&zero, &tile.reached(&wide)], "zeros where no tap reaches");
        Ok(())
    };
    Some(write())
}

/// A product. `first`: the condition under which the accumulators start from zero.
pub fn product(w: &mut Writer, acc: BufId, a: &Element, b: &Element, depth: ExprId, first: &str) -> Result<(), String> {
    let [m, n] = extents(w, acc)?;
    let k = w.print.scalar(depth).and_then(|t| t.known()).ok_or("a depth that is no number")?;
    w.open("{");
    w.line("MmadParams product;");
    w.line(&format!("product.m = {m};"));
    w.line(&format!("product.n = {n};"));
    w.line(&format!("product.k = {k};"));
    w.line(&format!("product.cmatrixInitVal = {first};  // the first product overwrites"));
    w.line(&format!("Mmad({}, {}, {}, product);", w.name(acc), w.name(a.buffer), w.name(b.buffer)));
    if (m / SIDE) * (n / SIDE) < 10 {
        w.line("PipeBarrier<PIPE_M>();  // products of fewer than ten fractals overtake each other");
    }
    w.close();
    Ok(())
}

/// `for i < rows { for j < columns { result[..] = cast(acc[i, j]) } }` through the fixpipe; `None` where a loop is not that.
pub fn leave(w: &Writer, var: VarId, extent: ExprId, body: &[Stmt]) -> Option<Result<Vec<String>, String>> {
    let [Stmt::For { var: lane, extent: columns, kind: Loop::Vector, body }] = body else { return None };
    let (dst, value, None) = super::vector::single(body)? else { return None };
    if w.k.buffer(dst.buffer).space != Space::Memory {
        return None;
    }
    let load = match &w.k.exprs[value.index()] {
        Expr::Cast(_, a) => *a,
        _ => value,
    };
    let Expr::Load(el, None) = &w.k.exprs[load.index()] else { return None };
    if w.k.buffer(el.buffer).space != Space::L0C {
        return None;
    }
    let lines = || -> Result<Vec<String>, String> {
        let [m, _] = extents(w, el.buffer)?;
        let (pitch, _) = w.print.split(dst.index[0], var).ok_or("a result whose rows are not linear")?;
        let first = w.print.without(dst.index[0], &[Some(var), Some(*lane)]).ok_or("a result whose addresses are not linear")?;
        let count = |e: ExprId| -> Result<String, String> {
            let t = w.print.scalar(e).ok_or("a count from data")?;
            Ok(if t.known().is_some() { t.s } else { format!("static_cast<uint16_t>({})", t.s) })
        };
        let quant = match w.k.buffer(dst.buffer).dtype {
            DType::F32 | DType::I32 => "NoQuant",
            DType::F16 => "F322F16",
            DType::BF16 => "F322BF16",
            d => return Err(format!("the fixpipe does not make {d}")),
        };
        let pitch = if pitch.known().is_some() { pitch.s } else { format!("static_cast<uint32_t>({})", pitch.s) };
        Ok(vec![
            "FixpipeParamsV220 out;".into(),
            format!("out.nSize = {};", count(*columns)?),
            format!("out.mSize = {};", count(extent)?),
            format!("out.srcStride = {m};"),
            format!("out.dstStride = {pitch};"),
            format!("out.quantPre = QuantMode_t::{quant};"),
            format!("Fixpipe({}, {}, out);", super::vector::at(w, dst.buffer, &first), w.name(el.buffer)),
        ])
    };
    Some(lines())
}
