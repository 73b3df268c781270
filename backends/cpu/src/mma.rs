//! Matrix multiply-accumulate on a register tile.
//!
//! The accumulator is held in vectors along the columns. Each step of the depth loop loads a row of `b` as vectors and, for
//! every row of the tile, multiplies it by one element of `a` in all lanes: a broadcast load where the machine folds it into
//! the multiply-add (x86), a lane of a loaded vector elsewhere (NEON). Sums live in phi nodes, so nothing of the tile is in
//! memory inside the loop. Rows whose guard is false read a page of zeros in place of `a`.

use beiming_ir::kernel::{BufId, Element, Expr, ExprId, VarId};
use beiming_ir::ops::BinaryOp;
use beiming_ir::tensor::Num;
use beiming_ir::types::DType;

use crate::EmitError;
use crate::facts::{affine_element, bit};
use crate::kernel::Gen;
use crate::ll::*;
use crate::vector::Lanes;

/// Parts of the statement.
pub struct Mma<'s> {
    /// Accumulator.
    pub acc: BufId,
    /// Row variable.
    pub i: VarId,
    /// Column variable.
    pub j: VarId,
    /// Depth variable.
    pub k: VarId,
    /// Depth.
    pub depth: ExprId,
    /// Left element.
    pub a: &'s Element,
    /// Right element.
    pub b: &'s Element,
}

/// Bytes of zeros a guarded row may need; beyond, rows are blended behind the loop.
const ZERO_PAGE: u64 = 64 << 10;

/// Where the rows of `a` come from.
enum Left {
    /// A pointer a row, and the stride in `k`; `even`: the rows are equally far apart.
    Rows { pointers: Vec<V>, stride: V, even: bool },
    /// All rows of a `k` follow one another: pointer and stride in `k`.
    Packed(V, V),
    /// Written anew for each element.
    General,
}

/// Where the rows of `b` come from.
enum Right {
    /// Pointer and stride in `k`; columns follow one another.
    Rows(V, V),
    /// Written anew for each vector.
    General,
}

struct Tile {
    dtype: DType,
    rows: usize,
    /// First column and lanes of each vector of a row.
    columns: Vec<(usize, usize)>,
    depth: V,
}

impl Gen<'_, '_> {
    /// Writes a multiply-accumulate.
    pub fn mma(&mut self, m: &Mma<'_>) -> Result<(), EmitError> {
        let buffer = self.k.buffer(m.acc);
        let dtype = buffer.dtype;
        let extents: Vec<i64> = buffer.shape.iter().filter_map(|d| d.known()).collect();
        let (&[rows, cols], false) = (extents.as_slice(), dtype == DType::Bool) else {
            return self.unsupported(format!("accumulator `{}` without two known extents", buffer.name));
        };
        let lanes = self.t.lanes(if dtype.is_float() { dtype.size().max(4) } else { dtype.size() });
        let mut columns = vec![];
        let (mut at, mut n) = (0, lanes);
        while at < cols as usize {
            while n > cols as usize - at {
                n /= 2;
            }
            columns.push((at, n));
            at += n;
        }
        let depth = self.scalar(m.depth)?;
        let tile = Tile { dtype, rows: rows as usize, columns, depth };
        let right = self.right(m)?;
        let (ij, ik) = (bit(m.i), bit(m.i) | bit(m.k));
        let affine = affine_element(self.k, &self.facts, m.a, ik);
        let Some(guard) = m.a.guard else {
            let left = self.left(m, &tile, affine)?;
            return self.multiply(m, &tile, &left, &right, &[]);
        };
        if !affine_element(self.k, &self.facts, m.a, bit(m.k)) {
            return self.multiply(m, &tile, &Left::General, &right, &[]);
        }
        if self.facts[guard.index()].vars & ij == 0 {
            // One guard for all rows: nothing is added where it is false.
            let c = self.scalar(guard)?;
            return self.branch(c, |g| {
                let left = g.left(m, &tile, affine)?;
                g.multiply(m, &tile, &left, &right, &[])
            });
        }
        let guards = self.row_values(m, tile.rows, &mut |g| g.scalar(guard))?;
        let all = guards.iter().skip(1).fold(guards[0], |a, &b| self.ll.and(a, b));
        self.branch(all, |g| {
            let left = g.left(m, &tile, affine)?;
            g.multiply(m, &tile, &left, &right, &[])
        })?;
        let any = guards.iter().skip(1).fold(guards[0], |a, &b| self.ll.or(a, b));
        let some = self.ll.and(any, self.ll.not(all));
        self.branch(some, |g| g.guarded(m, &tile, &right, &guards))
    }

    /// Some rows are absent: they read zeros, or where the depth has no bound the row of another and are blended away.
    fn guarded(&mut self, m: &Mma<'_>, tile: &Tile, right: &Right, guards: &[V]) -> Result<(), EmitError> {
        let a = m.a;
        let rows = self.row_values(m, tile.rows, &mut |g| g.address(a, bit(m.k)))?;
        let stride = self.stride(a, m.k)?;
        let ll = self.ll;
        let size = u64::from(self.places[a.buffer.index()].size);
        let bytes = match (self.upper(m.depth), ll.known(stride)) {
            (Some(d), Some(s)) if d >= 0 && s >= 0 => {
                (d as u64).checked_mul(s.max(1) as u64).and_then(|n| n.checked_mul(size)).filter(|n| *n <= ZERO_PAGE)
            }
            _ => None,
        };
        if let Some(bytes) = bytes {
            let zeros = self.zeros(bytes.max(64));
            let rows = rows.iter().zip(guards).map(|(p, g)| ll.select(*g, *p, zeros)).collect();
            return self.multiply(m, tile, &Left::Rows { pointers: rows, stride, even: false }, right, &[]);
        }
        let mut safe = rows[0];
        for (p, g) in rows.iter().zip(guards) {
            safe = ll.select(*g, *p, safe);
        }
        let rows = rows.iter().zip(guards).map(|(p, g)| ll.select(*g, *p, safe)).collect();
        self.multiply(m, tile, &Left::Rows { pointers: rows, stride, even: false }, right, guards)
    }

    /// A value for each row, with the row variable bound to its number.
    fn row_values(
        &mut self,
        m: &Mma<'_>,
        rows: usize,
        f: &mut dyn FnMut(&mut Self) -> Result<V, EmitError>,
    ) -> Result<Vec<V>, EmitError> {
        (0..rows)
            .map(|r| {
                self.scope(false);
                self.bind(m.i, self.ll.ci64(r as i64));
                let v = f(self);
                self.close();
                v
            })
            .collect()
    }

    fn left(&mut self, m: &Mma<'_>, tile: &Tile, affine: bool) -> Result<Left, EmitError> {
        let a = m.a;
        if !affine_element(self.k, &self.facts, a, bit(m.k)) {
            return Ok(Left::General);
        }
        let k_stride = self.stride(a, m.k)?;
        if !affine {
            let pointers = self.row_values(m, tile.rows, &mut |g| g.address(a, bit(m.k)))?;
            return Ok(Left::Rows { pointers, stride: k_stride, even: false });
        }
        let first = self.address(a, bit(m.i) | bit(m.k))?;
        let i_stride = self.stride(a, m.i)?;
        if self.ll.known(i_stride) == Some(1) && !self.t.broadcast_from_memory {
            return Ok(Left::Packed(first, k_stride));
        }
        let pointers = (0..tile.rows).map(|r| self.offset(a, first, self.ll.nmul(i_stride, self.ll.ci64(r as i64)))).collect();
        Ok(Left::Rows { pointers, stride: k_stride, even: true })
    }

    fn right(&mut self, m: &Mma<'_>) -> Result<Right, EmitError> {
        let jk = bit(m.j) | bit(m.k);
        if m.b.guard.is_some() || !affine_element(self.k, &self.facts, m.b, jk) {
            return Ok(Right::General);
        }
        let j_stride = self.stride(m.b, m.j)?;
        if self.ll.known(j_stride) != Some(1) {
            return Ok(Right::General);
        }
        Ok(Right::Rows(self.address(m.b, jk)?, self.stride(m.b, m.k)?))
    }

    /// The largest value of an extent, where it is plain.
    fn upper(&self, e: ExprId) -> Option<i64> {
        match &self.k.exprs[e.index()] {
            Expr::Const(s) => match s.value {
                Num::Int(v) => i64::try_from(v).ok(),
                _ => None,
            },
            Expr::Dim(d) => d.known(),
            Expr::Binary(BinaryOp::Min, a, b) => match (self.upper(*a), self.upper(*b)) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            },
            Expr::Binary(BinaryOp::Sub, a, b) if self.facts[b.index()].nonneg => self.upper(*a),
            _ => None,
        }
    }

    /// The tile's loop. With `keep`, rows whose value is false keep what they had.
    fn multiply(&mut self, m: &Mma<'_>, tile: &Tile, left: &Left, right: &Right, keep: &[V]) -> Result<(), EmitError> {
        let ll = self.ll;
        let old = self.accumulators_of(m, tile)?;
        let registers = tile.rows * tile.columns.len();
        let lanes = tile.columns[0].1;
        let step = match left {
            // A vector of consecutive `k` for each row, if that leaves registers for `b`.
            Left::Rows { pointers: rows, stride: s, .. }
                if !self.t.broadcast_from_memory
                    && ll.known(*s) == Some(1)
                    && registers + rows.len() + 2 <= self.t.vector_registers as usize =>
            {
                lanes.max(1)
            }
            Left::General => 1,
            // Rows in any place: no more steps than leave registers for all their rows of `b`, which LLVM loads first.
            Left::Rows { even: false, .. } => {
                let free = (self.t.vector_registers as usize).saturating_sub(registers + 2) / tile.columns.len();
                if free >= 4 { 4 } else { 1 + usize::from(free >= 2) }
            }
            _ => 4,
        };
        let depth = tile.depth;
        let main = if step == 1 { depth } else { ll.and(depth, ll.ci64(-(step as i64))) };
        let zero = ll.ci64(0);
        let mut sums = self.depth_loop(m, tile, left, right, (zero, main), step, old.clone())?;
        if step > 1 {
            // A negative depth means no iteration; the rounded one is then negative as well.
            let from = ll.select(ll.icmp(LLVMIntSLT, main, zero), zero, main);
            sums = self.depth_loop(m, tile, left, right, (from, depth), 1, sums)?;
        }
        let stride = self.places[m.acc.index()].strides[0];
        let per_row = tile.columns.len();
        for r in 0..tile.rows {
            for (c, &(col, _)) in tile.columns.iter().enumerate() {
                let mut v = sums[r * per_row + c];
                if let Some(g) = keep.get(r) {
                    v = ll.select(*g, v, old[r * per_row + c]);
                }
                let v = self.pack(tile.dtype, v)?;
                let p = self.acc_address(m, stride, r, col);
                ll.store(v, p, self.places[m.acc.index()].size);
            }
        }
        Ok(())
    }

    fn acc_address(&self, m: &Mma<'_>, stride: V, r: usize, col: usize) -> V {
        let ll = self.ll;
        let p = &self.places[m.acc.index()];
        ll.gep(p.elem, p.ptr, ll.nadd(ll.nmul(stride, ll.ci64(r as i64)), ll.ci64(col as i64)))
    }

    fn accumulators_of(&mut self, m: &Mma<'_>, tile: &Tile) -> Result<Vec<V>, EmitError> {
        let ll = self.ll;
        let (stride, elem, size) = {
            let p = &self.places[m.acc.index()];
            (p.strides[0], p.elem, p.size)
        };
        let mut out = Vec::with_capacity(tile.rows * tile.columns.len());
        for r in 0..tile.rows {
            for &(col, n) in &tile.columns {
                let v = ll.load(ll.vec(elem, n), self.acc_address(m, stride, r, col), size);
                out.push(self.unpack(tile.dtype, v)?);
            }
        }
        Ok(out)
    }

    /// `for k in (from..to).step_by(step)`, with the sums in phi nodes.
    #[allow(clippy::too_many_arguments)]
    fn depth_loop(
        &mut self,
        m: &Mma<'_>,
        tile: &Tile,
        left: &Left,
        right: &Right,
        (from, to): (V, V),
        step: usize,
        init: Vec<V>,
    ) -> Result<Vec<V>, EmitError> {
        let ll = self.ll;
        if let (Some(a), Some(b)) = (ll.known(from), ll.known(to))
            && a >= b
        {
            return Ok(init);
        }
        let (pre, head, exit) = (ll.block(self.func), ll.block(self.func), ll.block(self.func));
        let check = ll.here();
        ll.cond_br(ll.icmp(LLVMIntSLT, from, to), pre, exit);
        ll.at(pre);
        self.open(pre, true);
        self.enter();
        let before = ll.here();
        ll.br(head);
        ll.at(head);
        let k = ll.phi(ll.i64());
        ll.incoming(k, from, before);
        let phis: Vec<V> = init.iter().map(|v| ll.phi(ll.ty(*v))).collect();
        for (p, v) in phis.iter().zip(&init) {
            ll.incoming(*p, *v, before);
        }
        let mut sums = phis.clone();
        self.open(head, false);
        self.enter();
        self.steps(m, tile, left, right, k, step, &mut sums)?;
        self.close();
        self.close();
        let next = ll.nadd(k, ll.ci64(step as i64));
        let latch = ll.here();
        ll.incoming(k, next, latch);
        for (p, v) in phis.iter().zip(&sums) {
            ll.incoming(*p, *v, latch);
        }
        ll.cond_br(ll.icmp(LLVMIntSLT, next, to), head, exit);
        ll.at(exit);
        let out = init
            .iter()
            .zip(&sums)
            .map(|(a, b)| {
                let p = ll.phi(ll.ty(*a));
                ll.incoming(p, *a, check);
                ll.incoming(p, *b, latch);
                p
            })
            .collect();
        Ok(out)
    }

    /// `step` consecutive steps of the depth.
    #[allow(clippy::too_many_arguments)]
    fn steps(
        &mut self,
        m: &Mma<'_>,
        tile: &Tile,
        left: &Left,
        right: &Right,
        k: V,
        step: usize,
        sums: &mut [V],
    ) -> Result<(), EmitError> {
        let ll = self.ll;
        let (a_place, b_place) = (&self.places[m.a.buffer.index()], &self.places[m.b.buffer.index()]);
        let (a_elem, a_size, a_type) = (a_place.elem, a_place.size, a_place.dtype);
        let (b_elem, b_size, b_type) = (b_place.elem, b_place.size, b_place.dtype);
        let lanes = tile.columns[0].1;
        // Bases at this `k`; the steps are constant offsets from them.
        let left_base: Vec<V> = match left {
            Left::Rows { pointers: rows, stride: s, .. } => rows.iter().map(|p| ll.gep(a_elem, *p, ll.nmul(k, *s))).collect(),
            Left::Packed(p, s) => vec![ll.gep(a_elem, *p, ll.nmul(k, *s))],
            Left::General => vec![],
        };
        let right_base = match right {
            Right::Rows(p, s) => Some((ll.gep(b_elem, *p, ll.nmul(k, *s)), *s)),
            Right::General => None,
        };
        // Vectors of consecutive `k`, one a row.
        let by_k: Option<Vec<V>> = match left {
            Left::Rows { stride: s, .. }
                if step == lanes && step > 1 && !self.t.broadcast_from_memory && ll.known(*s) == Some(1) =>
            {
                let t = ll.vec(a_elem, step);
                let load = |p: &V| -> Result<V, EmitError> {
                    let v = self.unpack(a_type, ll.load(t, *p, a_size))?;
                    self.cast(a_type, tile.dtype, v)
                };
                Some(left_base.iter().map(load).collect::<Result<_, _>>()?)
            }
            _ => None,
        };
        for kk in 0..step {
            let at = ll.nadd(k, ll.ci64(kk as i64));
            self.scope(false);
            self.bind(m.k, at);
            let mut row_b = Vec::with_capacity(tile.columns.len());
            if let Some((base, s)) = right_base {
                let p = ll.gep(b_elem, base, ll.nmul(s, ll.ci64(kk as i64)));
                self.prefetch(m, tile, p, s);
                for &(col, n) in &tile.columns {
                    let q = ll.gep(b_elem, p, ll.ci64(col as i64));
                    let v = self.unpack(b_type, ll.load(ll.vec(b_elem, n), q, b_size))?;
                    row_b.push(self.cast(b_type, tile.dtype, v)?);
                }
            } else {
                for &(col, n) in &tile.columns {
                    self.scope(false);
                    self.bind(m.j, ll.ci64(col as i64));
                    let bases = vec![ll.ci64(col as i64)];
                    self.lanes = Some(Lanes { var: m.j, n, bases, mask: None, statement_mask: None });
                    let v = self.load(m.b, None, (n > 1).then_some(0));
                    self.lanes = None;
                    self.statement.clear();
                    self.close();
                    row_b.push(self.cast(b_type, tile.dtype, v?)?);
                }
            }
            let packed: Vec<V> = match left {
                Left::Packed(_, s) => {
                    let p = ll.gep(a_elem, left_base[0], ll.nmul(*s, ll.ci64(kk as i64)));
                    self.packed_rows(tile, p, a_elem, a_size, a_type)?
                }
                _ => vec![],
            };
            for r in 0..tile.rows {
                let mut spread: Option<V> = None;
                for (c, &(_, n)) in tile.columns.iter().enumerate() {
                    // A scalar or a lane in `n` lanes; equal widths share it.
                    let a = match spread {
                        Some(v) if ll.lanes(ll.ty(v)) == n => v,
                        _ => {
                            let v = match (left, &by_k) {
                                (_, Some(v)) => self.lane(v[r], kk, n),
                                (Left::Packed(..), _) => self.packed_lane(&packed, r, n),
                                (Left::Rows { stride: s, .. }, None) => {
                                    let p = ll.gep(a_elem, left_base[r], ll.nmul(*s, ll.ci64(kk as i64)));
                                    let v = self.unpack(a_type, ll.load(a_elem, p, a_size))?;
                                    ll.splat(self.cast(a_type, tile.dtype, v)?, n)
                                }
                                (Left::General, None) => {
                                    self.scope(false);
                                    self.bind(m.i, ll.ci64(r as i64));
                                    let v = self.load(m.a, None, None);
                                    self.statement.clear();
                                    self.close();
                                    ll.splat(self.cast(a_type, tile.dtype, v?)?, n)
                                }
                            };
                            spread = Some(v);
                            v
                        }
                    };
                    let at = r * tile.columns.len() + c;
                    sums[at] = self.multiply_add(tile.dtype, a, row_b[c], sums[at])?;
                }
            }
            self.close();
        }
        Ok(())
    }

    fn multiply_add(&self, d: DType, a: V, b: V, c: V) -> Result<V, EmitError> {
        let ll = self.ll;
        match d {
            DType::F32 | DType::F64 => Ok(ll.fma(a, b, c)),
            d if d.is_float() => self.round(d, ll.fma(a, b, c)),
            d => self.round(d, ll.add(ll.mul(a, b), c)),
        }
    }

    fn lane(&self, v: V, lane: usize, n: usize) -> V {
        let ll = self.ll;
        if n == 1 { ll.extract(v, lane) } else { ll.shuffle(v, ll.poison(ll.ty(v)), &vec![lane; n]) }
    }

    /// The rows of one `k` of a packed `a`, as vectors.
    fn packed_rows(&self, tile: &Tile, p: V, elem: Ty, size: u32, dtype: DType) -> Result<Vec<V>, EmitError> {
        let ll = self.ll;
        let lanes = tile.columns[0].1.max(1);
        let (mut out, mut at, mut n) = (vec![], 0, lanes);
        while at < tile.rows {
            while n > tile.rows - at {
                n /= 2;
            }
            let v = self.unpack(dtype, ll.load(ll.vec(elem, n), ll.gep(elem, p, ll.ci64(at as i64)), size))?;
            out.push(self.cast(dtype, tile.dtype, v)?);
            at += n;
        }
        Ok(out)
    }

    fn packed_lane(&self, rows: &[V], r: usize, n: usize) -> V {
        let mut at = 0;
        for &v in rows {
            let have = self.ll.lanes(self.ll.ty(v));
            if r < at + have {
                return if have == 1 { self.ll.splat(v, n) } else { self.lane(v, r - at, n) };
            }
            at += have;
        }
        // The vectors of `packed_rows` cover every row of the tile.
        self.ll.poison(self.ll.vec(self.ll.elem(self.ll.ty(rows[0])), n))
    }

    /// Asks for the packed rows that come `prefetch_rows` later, a request for each line of 64 bytes.
    fn prefetch(&self, m: &Mma<'_>, tile: &Tile, p: V, stride: V) {
        let ll = self.ll;
        let place = &self.places[m.b.buffer.index()];
        let cols: usize = tile.columns.iter().map(|c| c.1).sum();
        // Rows that are not dense are not a packed panel.
        if self.t.prefetch_rows == 0 || ll.known(stride) != Some(cols as i64) {
            return;
        }
        let ahead = ll.gep(place.elem, p, ll.nmul(stride, ll.ci64(i64::from(self.t.prefetch_rows))));
        for line in 0..(cols * place.size as usize).div_ceil(64) {
            ll.prefetch(ll.gep(ll.i8(), ahead, ll.ci64(line as i64 * 64)));
        }
    }
}
