//! Parts of a tile in L1: rows of an operand that come in behind each other, and zeros around them (taps of a convolution).

use beiming_ir::kernel::BufId;

use super::file::Writer;
use super::text::Text;

/// Text of a field of 16 bits.
pub fn field(t: &Text) -> String {
    if t.known().is_some() { t.s.clone() } else { format!("static_cast<uint16_t>({})", t.s) }
}

fn minus(t: &Text) -> Text {
    Text::int(-1).times(t)
}

/// A tile that lies in fractals, column by column of them (Nz), and where in it the part starts.
pub struct Tile {
    /// The tensor.
    pub name: String,
    /// Type of its elements.
    pub ty: &'static str,
    /// Rows of the tile: from one column of fractals to the next.
    pub rows: usize,
    /// Elements along the long side of a fractal.
    pub k0: usize,
    /// First row and column; columns start at a fractal.
    pub at: [Text; 2],
}

/// Where a part comes from: rows of dense elements.
pub struct Source {
    /// The parameter.
    pub buffer: BufId,
    /// Its first element.
    pub first: Text,
    /// Elements from row to row.
    pub pitch: Text,
}

impl Tile {
    /// The tensor from a row of the part on.
    fn starting(&self, row: &Text, column: &Text) -> String {
        let k0 = Text::int(self.k0 as i64);
        let at = self.at[1].plus(column).times(&Text::int(self.rows as i64));
        let at = at.plus(&self.at[0].plus(row).times(&k0));
        if at.is_zero() { self.name.clone() } else { format!("{}[{}]", self.name, at.s) }
    }

    /// Columns of fractals that `columns` elements reach.
    pub fn reached(&self, columns: &Text) -> Text {
        match columns.known() {
            Some(n) => Text::int((n as usize).div_ceil(self.k0) as i64),
            None => Text::atom(format!("(({} + {}) / {})", columns.s, self.k0 - 1, self.k0)),
        }
    }

    /// Zeros in the rows from `start` to before `end`, in `wide` columns of fractals from `column` on.
    pub fn zeros(&self, w: &mut Writer, [start, end]: [&Text; 2], [column, wide]: [&Text; 2], why: &str) {
        let count = end.plus(&minus(start));
        if count.is_zero() || wide.is_zero() {
            return;
        }
        let line = format!(
            "InitConstValue({}, InitConstValueParams<{ty}>({}, {}, {}, {ty}(0)));  // {why}",
            self.starting(start, &column.times(&Text::int(self.k0 as i64))),
            field(wide),
            field(&count),
            field(&Text::int(self.rows as i64).plus(&minus(end)).plus(start)),
            ty = self.ty
        );
        let mut conditions = vec![];
        if count.known().is_none() {
            conditions.push(if start.is_zero() { format!("{} > 0", end.s) } else { format!("{} < {}", start.s, end.s) });
        }
        if wide.known().is_none() {
            conditions.push(format!("{} > 0", wide.s));
        }
        if conditions.is_empty() {
            w.line(&line);
            return;
        }
        w.open(&format!("if ({}) {{", conditions.join(" && ")));
        w.line(&line);
        w.close();
    }
}

/// A copy into a part of `filled` rows and columns: rows from `from` to before `there[0]` and the first `there[1]` columns come in,
/// the rest is zero. `within`: there are certainly no more rows than that.
pub fn to_l1(
    w: &mut Writer,
    tile: &Tile,
    source: &Source,
    [high, wide]: [Text; 2],
    from: Text,
    there: [Text; 2],
    within: bool,
) -> Result<(), String> {
    let (Some(_), Some(_)) = (high.known(), wide.known()) else { return Err("a part of a tile of open extents".into()) };
    let mut named = |name: &str, t: Text| -> Text {
        if t.known().is_some() {
            return t;
        }
        let name = format!("{}{name}", tile.name);
        w.line(&format!("const int64_t {name} = {};", t.s));
        Text::atom(name)
    };
    let smaller = |a: &Text, b: &Text| match (a.known(), b.known()) {
        (Some(x), Some(y)) => Text::int(x.min(y)),
        _ if a == b => a.clone(),
        _ => Text::atom(format!("Smaller({}, {})", a.s, b.s)),
    };
    let from = named("From", from);
    let end = if within { there[0].clone() } else { smaller(&there[0], &high) };
    let end = match (from.known(), end.known()) {
        (Some(0), _) => end,
        (Some(a), Some(b)) => Text::int(a.max(b)),
        _ => Text::atom(format!("Larger({}, {})", from.s, end.s)),
    };
    let to = named("To", end);
    let columns = named("Columns", smaller(&there[1], &wide));
    let count = to.plus(&minus(&from));
    let global = super::vector::at(w, source.buffer, &source.first.plus(&from.times(&source.pitch)));
    let line = format!(
        "DataCopy({}, {global}, Nd2NzParams(1, {}, {}, 0, {}, {}, 1, 0));",
        tile.starting(&from, &Text::int(0)),
        field(&count),
        field(&columns),
        field(&source.pitch),
        tile.rows
    );
    if count.known().is_some() {
        w.line(&line);
    } else {
        w.open(&format!("if ({} < {}) {{", from.s, to.s));
        w.line(&line);
        w.close();
    }
    let zero = Text::int(0);
    let reached = tile.reached(&columns);
    let unreached = tile.reached(&wide).plus(&minus(&reached));
    tile.zeros(w, [&zero, &from], [&zero, &reached], "zeros where the tap is before the first element");
    tile.zeros(w, [&to, &high], [&zero, &reached], "zeros where it is behind the last one");
    tile.zeros(w, [&zero, &high], [&reached, &unreached], "zeros behind the last channel");
    Ok(())
}
