//! Elements of buffers: addresses, loads and stores, on one lane or many. Memory outside a guard is never touched.

use beiming_ir::kernel::{Element, Expr, ExprId, Space, VarId};
use beiming_ir::tensor::Num;

use crate::EmitError;
use crate::facts::{Vars, affine_element, bit};
use crate::kernel::Gen;
use crate::ll::*;

/// How the lanes of a vector lie in memory.
enum Layout {
    /// All lanes are one element.
    Same(V),
    /// Lanes follow one another.
    Contiguous(V),
    /// Lanes lie so many elements apart.
    Strided(V, V),
    /// A pointer a lane.
    Scattered(V),
}

impl Gen<'_, '_> {
    /// Address of an element with the variables of `zero` taken as zero; in these its indices are affine.
    pub fn address(&mut self, el: &Element, zero: Vars) -> Result<V, EmitError> {
        let (mut vars, mut mutable, mut unguarded) = (0, false, false);
        let mut index = Vec::with_capacity(el.index.len());
        for &i in &el.index {
            let f = self.facts[i.index()];
            vars |= f.vars;
            mutable |= f.mutable;
            unguarded |= f.unguarded;
            index.push(self.zero_form(i, zero)?);
        }
        let b = el.buffer.index();
        let write = |g: &mut Self| {
            let ll = g.ll;
            let mut at = ll.ci64(0);
            for (x, s) in index.iter().zip(&g.places[b].strides) {
                at = ll.nadd(at, ll.nmul(*x, *s));
            }
            ll.gep(g.places[b].elem, g.places[b].ptr, at)
        };
        if mutable {
            return Ok(write(self));
        }
        let s = self.scope_of(vars & !zero, unguarded);
        Ok(self.hoisted(s, write))
    }

    /// Stride of an element in a variable in which its indices are affine, in elements.
    pub fn stride(&mut self, el: &Element, v: VarId) -> Result<V, EmitError> {
        let ll = self.ll;
        let mut total = ll.ci64(0);
        for (axis, &i) in el.index.iter().enumerate() {
            let s = self.stride_form(i, v)?;
            total = ll.nadd(total, ll.nmul(s, self.places[el.buffer.index()].strides[axis]));
        }
        Ok(total)
    }

    /// `p` moved by `n` elements of the element's buffer.
    pub fn offset(&self, el: &Element, p: V, n: V) -> V {
        self.ll.gep(self.places[el.buffer.index()].elem, p, n)
    }

    /// A load as an expression: `other` where the guard is false.
    pub fn load(&mut self, el: &Element, other: Option<ExprId>, part: Option<usize>) -> Result<V, EmitError> {
        match part {
            None => self.load_scalar(el, other),
            Some(p) => self.load_lanes(el, other, p),
        }
    }

    fn load_scalar(&mut self, el: &Element, other: Option<ExprId>) -> Result<V, EmitError> {
        let cond = el.guard.map(|g| self.scalar(g)).transpose()?;
        let p = self.address(el, 0)?;
        let v = self.read(el, 1, p, cond)?;
        self.or_other(v, cond, other, None)
    }

    /// Reads `n` contiguous elements at `p`, or zeros where `cond` is false.
    fn read(&mut self, el: &Element, n: usize, mut p: V, cond: Option<V>) -> Result<V, EmitError> {
        let ll = self.ll;
        let (elem, size, dtype) = self.memory(el);
        if let Some(c) = cond {
            let zeros = self.zeros(n as u64 * u64::from(size));
            p = ll.select(c, p, zeros);
        }
        let v = ll.load(ll.vec(elem, n), p, size);
        self.unpack(dtype, v)
    }

    fn memory(&self, el: &Element) -> (Ty, u32, beiming_ir::types::DType) {
        let b = &self.places[el.buffer.index()];
        (b.elem, b.size, b.dtype)
    }

    /// `other` where `cond` is false; memory that was not read gave zero already.
    fn or_other(&mut self, v: V, cond: Option<V>, other: Option<ExprId>, part: Option<usize>) -> Result<V, EmitError> {
        let (Some(c), Some(o)) = (cond, other) else { return Ok(v) };
        if let Expr::Const(s) = &self.k.exprs[o.index()]
            && match s.value {
                Num::Float(x) => x.to_bits() == 0,
                Num::Int(i) => i == 0,
                Num::Complex(..) => false,
            }
        {
            return Ok(v);
        }
        let o = self.value(o, part)?;
        Ok(self.ll.select(c, v, o))
    }

    /// The mask under which lanes are active for reasons outside an expression: the tail, the statement's guard.
    pub fn outer_mask(&self) -> Option<V> {
        let l = self.lanes.as_ref()?;
        match (l.mask, l.statement_mask) {
            (Some(a), Some(b)) => Some(self.ll.and(a, b)),
            (a, b) => a.or(b),
        }
    }

    fn layout(&mut self, el: &Element, part: usize) -> Result<Layout, EmitError> {
        let ll = self.ll;
        let Some((var, n, base)) = self.lanes.as_ref().map(|l| (l.var, l.n, l.bases[part])) else {
            return Ok(Layout::Same(self.address(el, 0)?));
        };
        if affine_element(self.k, &self.facts, el, bit(var)) {
            let p = self.address(el, bit(var))?;
            let s = self.stride(el, var)?;
            return Ok(match ll.known(s) {
                Some(0) => Layout::Same(p),
                Some(1) => Layout::Contiguous(self.offset(el, p, base)),
                _ => Layout::Strided(self.offset(el, p, ll.nmul(base, s)), s),
            });
        }
        let t = ll.vec(ll.i64(), n);
        let mut at = ll.zero(t);
        for (axis, &i) in el.index.iter().enumerate() {
            let x = self.lanes_of(i, part)?;
            let s = self.places[el.buffer.index()].strides[axis];
            at = ll.add(at, ll.mul(x, ll.splat(s, n)));
        }
        let place = &self.places[el.buffer.index()];
        Ok(Layout::Scattered(ll.gep(place.elem, place.ptr, at)))
    }

    /// True where `n` lanes from the part's base lie inside the padded row of a register buffer: they may be read and
    /// written whole, whatever the mask.
    fn whole(&mut self, el: &Element, part: usize) -> Result<bool, EmitError> {
        let (k, ll) = (self.k, self.ll);
        let b = k.buffer(el.buffer);
        if b.space != Space::Register {
            return Ok(false);
        }
        let Some((var, n, base)) = self.lanes.as_ref().map(|l| (l.var, l.n, l.bases[part])) else { return Ok(false) };
        let (Some(&last), Some(extent)) = (el.index.last(), b.shape.last().and_then(|d| d.known())) else { return Ok(false) };
        let lanes = self.t.lanes(b.dtype.size()) as i64;
        let padded = if extent >= lanes { (extent + lanes - 1) / lanes * lanes } else { extent };
        if !affine_element(k, &self.facts, el, bit(var)) {
            return Ok(false);
        }
        let zero = self.zero_form(last, bit(var))?;
        Ok(matches!((ll.known(zero), ll.known(base)), (Some(z), Some(b)) if z + b >= 0 && z + b + n as i64 <= padded))
    }

    fn load_lanes(&mut self, el: &Element, other: Option<ExprId>, part: usize) -> Result<V, EmitError> {
        let ll = self.ll;
        let Some((var, n)) = self.lanes.as_ref().map(|l| (bit(l.var), l.n)) else { return self.load_scalar(el, other) };
        let (elem, size, dtype) = self.memory(el);
        let t = ll.vec(elem, n);
        // A guard that is the same in all lanes chooses the address; one that differs masks lanes.
        let (mut cond, mut guard) = (None, None);
        if let Some(g) = el.guard {
            if self.facts[g.index()].vars & var == 0 {
                cond = Some(self.scalar(g)?);
            } else {
                guard = Some(self.lanes_of(g, part)?);
            }
        }
        let mut mask = match (self.outer_mask(), guard) {
            (Some(a), Some(b)) => Some(ll.and(a, b)),
            (a, b) => a.or(b),
        };
        if guard.is_none() && mask.is_some() && self.whole(el, part)? {
            mask = None;
        }
        let layout = self.layout(el, part)?;
        let v = match (layout, mask) {
            (Layout::Same(p), _) => {
                // Under the outer masks some lane is active, so only a guard can forbid the read: one that holds in no
                // active lane.
                let any = guard.map(|g| self.any(mask.unwrap_or(g)));
                let one = self.read(el, 1, p, any.or(cond))?;
                ll.splat(one, n)
            }
            (Layout::Contiguous(p), None) => self.read(el, n, p, cond)?,
            (Layout::Contiguous(p), Some(m)) => {
                let m = cond.map_or(m, |c| ll.and(m, ll.splat(c, n)));
                let v = ll.masked_load(t, p, size, m, ll.zero(t));
                self.unpack(dtype, v)?
            }
            (Layout::Strided(p, s), None) if cond.is_none() => {
                let mut v = ll.poison(t);
                for lane in 0..n {
                    let q = ll.gep(elem, p, ll.nmul(s, ll.ci64(lane as i64)));
                    v = ll.insert(v, ll.load(elem, q, size), lane);
                }
                self.unpack(dtype, v)?
            }
            (Layout::Scattered(p), None) if cond.is_none() => {
                let mut v = ll.poison(t);
                for lane in 0..n {
                    v = ll.insert(v, ll.load(elem, ll.extract(p, lane), size), lane);
                }
                self.unpack(dtype, v)?
            }
            (layout, m) => {
                let p = self.pointers(layout, elem, n);
                let m = match (m, cond) {
                    (Some(m), Some(c)) => ll.and(m, ll.splat(c, n)),
                    (Some(m), None) => m,
                    (None, c) => ll.splat(c.unwrap_or(ll.cint(ll.i1(), 1)), n),
                };
                let v = ll.masked_gather(t, p, size, m, ll.zero(t));
                self.unpack(dtype, v)?
            }
        };
        self.or_other(v, guard.or(cond), other, Some(part))
    }

    /// A pointer for every lane.
    fn pointers(&self, layout: Layout, elem: Ty, n: usize) -> V {
        let ll = self.ll;
        match layout {
            Layout::Scattered(p) => p,
            Layout::Same(p) => ll.splat(p, n),
            Layout::Contiguous(p) => ll.gep(elem, p, ll.iota(ll.vec(ll.i64(), n))),
            Layout::Strided(p, s) => {
                let t = ll.vec(ll.i64(), n);
                ll.gep(elem, p, ll.mul(ll.splat(s, n), ll.iota(t)))
            }
        }
    }

    /// True where any lane of a mask is.
    pub fn any(&self, mask: V) -> V {
        if self.ll.lanes(self.ll.ty(mask)) == 1 {
            return mask;
        }
        self.ll.intrinsic("llvm.vector.reduce.or", &[self.ll.ty(mask)], &[mask])
    }

    /// True where all lanes of a mask are.
    pub fn all(&self, mask: V) -> V {
        if self.ll.lanes(self.ll.ty(mask)) == 1 {
            return mask;
        }
        self.ll.intrinsic("llvm.vector.reduce.and", &[self.ll.ty(mask)], &[mask])
    }

    /// Writes one element.
    pub fn store_scalar(&mut self, el: &Element, v: V) -> Result<(), EmitError> {
        let (_, size, dtype) = self.memory(el);
        let p = self.address(el, 0)?;
        let m = self.pack(dtype, v)?;
        self.ll.store(m, p, size);
        Ok(())
    }

    /// Writes the active lanes, in order.
    pub fn store_lanes(&mut self, el: &Element, v: V, part: usize) -> Result<(), EmitError> {
        let ll = self.ll;
        let Some(n) = self.lanes.as_ref().map(|l| l.n) else { return self.store_scalar(el, v) };
        let (elem, size, dtype) = self.memory(el);
        let m = self.pack(dtype, v)?;
        let mask = self.outer_mask();
        let whole = self.whole(el, part)?;
        match (self.layout(el, part)?, mask) {
            (Layout::Contiguous(p), None) => ll.store(m, p, size),
            (Layout::Contiguous(p), Some(k)) if whole => {
                let old = ll.load(ll.ty(m), p, size);
                ll.store(ll.select(k, m, old), p, size);
            }
            (Layout::Contiguous(p), Some(k)) => ll.masked_store(m, p, size, k),
            (Layout::Same(p), None) => ll.store(ll.extract(m, n - 1), p, size),
            (Layout::Strided(p, s), None) => {
                for lane in 0..n {
                    let q = ll.gep(elem, p, ll.nmul(s, ll.ci64(lane as i64)));
                    ll.store(ll.extract(m, lane), q, size);
                }
            }
            (Layout::Scattered(p), None) => {
                for lane in 0..n {
                    ll.store(ll.extract(m, lane), ll.extract(p, lane), size);
                }
            }
            (layout, Some(k)) => {
                let p = self.pointers(layout, elem, n);
                ll.masked_scatter(m, p, size, k);
            }
        }
        Ok(())
    }

    /// Combines lanes into elements that several lanes may share: one lane after another.
    pub fn update_lanes(
        &mut self,
        el: &Element,
        v: V,
        part: usize,
        f: &mut dyn FnMut(&mut Self, V, V) -> Result<V, EmitError>,
    ) -> Result<(), EmitError> {
        let ll = self.ll;
        let Some(n) = self.lanes.as_ref().map(|l| l.n) else { return Ok(()) };
        let (elem, size, dtype) = self.memory(el);
        let mask = self.outer_mask();
        let layout = self.layout(el, part)?;
        let p = self.pointers(layout, elem, n);
        for lane in 0..n {
            let (q, x) = (ll.extract(p, lane), ll.extract(v, lane));
            let after = mask.map(|m| {
                let (yes, no) = (ll.block(self.func), ll.block(self.func));
                ll.cond_br(ll.extract(m, lane), yes, no);
                ll.at(yes);
                no
            });
            let old = self.unpack(dtype, ll.load(elem, q, size))?;
            let new = f(self, old, x)?;
            ll.store(self.pack(dtype, new)?, q, size);
            if let Some(b) = after {
                ll.br(b);
                ll.at(b);
            }
        }
        Ok(())
    }
}
