//! One kernel as one LLVM function: the entry, buffers, the grid loop, and the scopes that place code.
//!
//! A scope is a region entered under one set of loop variables: the function, a loop's preheader, an iteration, a branch.
//! Each has a block for code that is computed once on entry. An expression is written into the outermost scope in which all
//! its variables are bound, so address arithmetic stands outside the loops that do not change it, by construction. A load
//! without a guard never moves out of a region that may not run at all.

use std::collections::HashMap;

use beiming_ir::kernel::{BufId, Buffer, ExprId, Kernel, Space, Stmt, VarId, local_bytes};
use beiming_ir::target::Target;
use beiming_ir::types::{DType, Dim};
use beiming_ir::walk::for_stmts;

use crate::EmitError;
use crate::facts::{Facts, MAX_VARS, Vars, analyse, bit};
use crate::ll::*;
use crate::origin::{HEAD, Lines};
use crate::vector::Lanes;

/// Which spelling of an expression a cached value is.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// Its scalar value.
    Scalar,
    /// With the variables of the set taken as zero.
    Zero(Vars),
    /// Lanes of one part of a vector iteration.
    Part(usize),
    /// A scalar in all of so many lanes.
    Splat(usize),
}

/// A region under one set of loop variables.
pub struct Scope {
    /// Code computed on entry goes here, before its terminator.
    pub entry: Bb,
    /// Entered only under a condition: unguarded loads stay inside.
    pub conditional: bool,
    cache: HashMap<(ExprId, Form), V>,
}

/// A buffer as the code sees it.
pub struct Place {
    /// First element.
    pub ptr: V,
    /// Element strides, one an axis.
    pub strides: Vec<V>,
    /// Type of an element in memory.
    pub elem: Ty,
    /// Bytes of an element.
    pub size: u32,
    /// Element type.
    pub dtype: DType,
}

/// The state of writing one kernel.
pub struct Gen<'a, 'c> {
    /// Module being written.
    pub ll: &'a Ll<'c>,
    /// The kernel, without copies.
    pub k: &'a Kernel,
    /// Machine.
    pub t: &'a Target,
    /// Facts, by expression.
    pub facts: Vec<Facts>,
    /// The function.
    pub func: V,
    /// Buffers, by id.
    pub places: Vec<Place>,
    /// Regions around the current position, outermost first.
    pub scopes: Vec<Scope>,
    /// Lanes of the vector loop around the current position.
    pub lanes: Option<Lanes>,
    /// Values that hold for the current statement only.
    pub statement: HashMap<(ExprId, Form), V>,
    bound: Vec<Option<(V, usize)>>,
    dims: Vec<(Dim, V)>,
    symbols: V,
    allocas: Bb,
    zeros: Option<(V, u64)>,
    lines: &'a Lines,
    /// Line of the statement that is being written.
    line: u32,
}

/// Writes `k` (without copies) as function `symbol` of the module. Instructions tell where they come from if `lines` knows it.
pub fn emit(ll: &Ll<'_>, k: &Kernel, t: &Target, symbol: &str, lines: &Lines) -> Result<(), EmitError> {
    if k.vars > MAX_VARS {
        return Err(EmitError::unsupported(k, t, format!("{} loop variables; at most {MAX_VARS} are written", k.vars)));
    }
    let (ptr, i64) = (ll.ptr(), ll.i64());
    let func = ll.function(symbol, ll.function_type(ll.void(), &[ptr, ptr, i64, i64, ptr]), false);
    // The argument arrays and the scratch are the runtime's own: no tensor overlaps them.
    for i in [0, 1, 4] {
        ll.param_attribute(func, i, "noalias");
    }
    if !lines.is_empty() {
        ll.describe(func, symbol);
        ll.place(HEAD, 0);
    }
    let (allocas, setup) = (ll.block(func), ll.block(func));
    ll.at(allocas);
    ll.br(setup);
    let mut g = Gen {
        ll,
        k,
        t,
        facts: analyse(k),
        func,
        places: vec![],
        scopes: vec![Scope { entry: setup, conditional: false, cache: HashMap::new() }],
        lanes: None,
        statement: HashMap::new(),
        bound: vec![None; k.vars as usize],
        dims: vec![],
        symbols: ll.param(func, 1),
        allocas,
        zeros: None,
        lines,
        line: HEAD,
    };
    ll.at(setup);
    let start = ll.block(func);
    ll.br(start);
    g.buffers()?;
    ll.at(start);
    g.grid()
}

impl Gen<'_, '_> {
    /// What is written from here on comes from a statement.
    pub fn at_statement(&mut self, s: &Stmt) {
        if let Some(line) = self.lines.of(s) {
            self.line = line;
            self.ll.place(line, 0);
        }
    }

    /// The line that is being written.
    pub fn line(&self) -> u32 {
        self.line
    }

    /// Back to an earlier line.
    pub fn at_line(&mut self, line: u32) {
        self.line = line;
        self.ll.place(line, 0);
    }

    /// An error value for what this backend does not write.
    pub fn unsupported<T>(&self, what: impl Into<String>) -> Result<T, EmitError> {
        Err(EmitError::unsupported(self.k, self.t, what))
    }

    fn buffers(&mut self) -> Result<(), EmitError> {
        let (ll, params) = (self.ll, self.ll.param(self.func, 0));
        let accumulators = self.accumulators();
        let mut scratch = 0u64;
        for (i, b) in self.k.params.iter().chain(&self.k.locals).enumerate() {
            let mut shape = b.shape.clone();
            let ptr = if i < self.k.params.len() {
                let setup = self.scopes[0].entry;
                self.placed(setup, || ll.load(ll.ptr(), ll.gep(ll.ptr(), params, ll.ci64(i as i64)), 8))
            } else if b.space == Space::Register {
                self.register(b, accumulators.contains(&BufId(i as u32)), &mut shape)?
            } else {
                let at = scratch;
                scratch += local_bytes(b).next_multiple_of(64);
                let setup = self.scopes[0].entry;
                self.placed(setup, || ll.gep(ll.i8(), ll.param(self.func, 4), ll.ci64(at as i64)))
            };
            let mut strides = vec![ll.ci64(1); shape.len()];
            let mut product = Dim::from(1);
            for axis in (0..shape.len()).rev() {
                strides[axis] = self.dim(&product);
                product = product * shape[axis].clone();
            }
            let elem = self.mem_ty(b.dtype)?;
            self.places.push(Place { ptr, strides, elem, size: b.dtype.size() as u32, dtype: b.dtype });
        }
        Ok(())
    }

    /// Buffers that are an accumulator of an `Mma`.
    fn accumulators(&self) -> Vec<BufId> {
        let mut out = vec![];
        for_stmts(&self.k.body, &mut |s| {
            if let Stmt::Mma { acc, .. } = s {
                out.push(*acc);
            }
        });
        out
    }

    /// Stack memory that becomes registers. Rows of full vectors: the last axis is padded, so that a partial last vector
    /// may be read and written whole.
    fn register(&mut self, b: &Buffer, accumulator: bool, shape: &mut [Dim]) -> Result<V, EmitError> {
        let known: Option<Vec<i64>> = shape.iter().map(Dim::known).collect();
        let Some(mut extents) = known else {
            return self.unsupported(format!("register buffer `{}` of unknown extent", b.name));
        };
        let lanes = self.t.lanes(b.dtype.size()) as i64;
        if let Some(last) = extents.last_mut()
            && (accumulator || *last >= lanes)
        {
            *last = (*last + lanes - 1) / lanes * lanes;
            if let Some(d) = shape.last_mut() {
                *d = Dim::Known(*last);
            }
        }
        let bytes =
            extents.iter().try_fold(b.dtype.size() as i64, |a, &e| a.checked_mul(e)).filter(|n| (0..=1 << 20).contains(n));
        let Some(bytes) = bytes else {
            return self.unsupported(format!("register buffer `{}` of more than 1 MiB", b.name));
        };
        Ok(self.stack(self.ll.array(self.ll.i8(), bytes.max(1) as u64)))
    }

    /// Stack memory of the function, aligned to a vector.
    pub fn stack(&self, t: Ty) -> V {
        let align = self.t.vector_bytes.max(16);
        self.placed(self.allocas, || self.ll.alloca(t, align))
    }

    fn grid(&mut self) -> Result<(), EmitError> {
        let ll = self.ll;
        let (begin, end) = (ll.param(self.func, 2), ll.param(self.func, 3));
        let (head, exit) = (ll.block(self.func), ll.block(self.func));
        let from = ll.here();
        ll.cond_br(ll.icmp(LLVMIntSLT, begin, end), head, exit);
        ll.at(head);
        let p = ll.phi(ll.i64());
        ll.incoming(p, begin, from);
        let extents: Vec<V> = self.k.grid.iter().map(|d| self.dim(d)).collect();
        self.open(head, false);
        let mut rest = p;
        for (i, &e) in extents.iter().enumerate().rev() {
            let v = if i == 0 {
                rest
            } else if ll.known(e) == Some(1) {
                ll.ci64(0)
            } else {
                let v = ll.urem(rest, e);
                rest = ll.udiv(rest, e);
                v
            };
            self.bind(VarId(i as u32), v);
        }
        self.enter();
        let k = self.k;
        self.body(&k.body)?;
        self.close();
        let next = ll.nadd(p, ll.ci64(1));
        ll.incoming(p, next, ll.here());
        ll.cond_br(ll.icmp(LLVMIntSLT, next, end), head, exit);
        ll.at(exit);
        ll.ret(None);
        Ok(())
    }

    /// Opens a scope whose entry is the block `entry`, where the builder stands. Variables are bound next, then
    /// [`Gen::enter`] goes on behind the entry.
    pub fn open(&mut self, entry: Bb, conditional: bool) {
        self.scopes.push(Scope { entry, conditional, cache: HashMap::new() });
    }

    /// Ends the entry of the innermost scope and continues in its body.
    pub fn enter(&mut self) {
        let body = self.ll.block(self.func);
        self.ll.br(body);
        self.ll.at(body);
    }

    /// Opens and enters a scope in a block of its own.
    pub fn scope(&mut self, conditional: bool) {
        let entry = self.ll.block(self.func);
        self.ll.br(entry);
        self.ll.at(entry);
        self.open(entry, conditional);
        self.enter();
    }

    /// Leaves the innermost scope: its variables are no longer bound.
    pub fn close(&mut self) {
        let depth = self.scopes.len() - 1;
        self.scopes.pop();
        for b in &mut self.bound {
            if b.is_some_and(|(_, s)| s == depth) {
                *b = None;
            }
        }
    }

    /// Gives a variable its value in the innermost scope.
    pub fn bind(&mut self, v: VarId, value: V) {
        let depth = self.scopes.len() - 1;
        if let Some(b) = self.bound.get_mut(v.index()) {
            *b = Some((value, depth));
        }
    }

    /// The value of a variable.
    pub fn variable(&self, v: VarId) -> Result<V, EmitError> {
        match self.bound.get(v.index()).copied().flatten() {
            Some((value, _)) => Ok(value),
            None => self.unsupported(format!("variable v{} used outside its loop", v.0)),
        }
    }

    /// The outermost scope in which `vars` are bound; with `unguarded`, one that is certain to run.
    pub fn scope_of(&self, vars: Vars, unguarded: bool) -> usize {
        let mut s = 0;
        for (i, b) in self.bound.iter().enumerate() {
            if let Some((_, depth)) = b
                && vars & bit(VarId(i as u32)) != 0
            {
                s = s.max(*depth);
            }
        }
        if unguarded {
            let c = self.scopes.iter().rposition(|s| s.conditional).unwrap_or(0);
            s = s.max(c);
        }
        s
    }

    /// Runs `f` with the builder at the end of a scope's entry, then comes back.
    pub fn hoisted<T>(&mut self, scope: usize, f: impl FnOnce(&mut Self) -> T) -> T {
        let back = self.ll.here();
        self.ll.at(self.scopes[scope].entry);
        let r = f(self);
        self.ll.at(back);
        r
    }

    fn placed<T>(&self, at: Bb, f: impl FnOnce() -> T) -> T {
        let back = self.ll.here();
        self.ll.at(at);
        let r = f();
        self.ll.at(back);
        r
    }

    /// A cached value of a scope.
    pub fn cached(&self, scope: usize, key: (ExprId, Form)) -> Option<V> {
        self.scopes[scope].cache.get(&key).copied()
    }

    /// Remembers a value in a scope.
    pub fn remember(&mut self, scope: usize, key: (ExprId, Form), v: V) {
        self.scopes[scope].cache.insert(key, v);
    }

    /// Value of a dimension expression, computed once at the function's start.
    pub fn dim(&mut self, d: &Dim) -> V {
        if let Some(v) = d.known() {
            return self.ll.ci64(v);
        }
        if let Some((_, v)) = self.dims.iter().find(|(x, _)| x == d) {
            return *v;
        }
        let v = self.hoisted(0, |g| g.dim_value(d));
        self.dims.push((d.clone(), v));
        v
    }

    fn dim_value(&mut self, d: &Dim) -> V {
        use beiming_ir::dim::Atom;
        let ll = self.ll;
        let Dim::Expr(p) = d else { return ll.ci64(d.known().unwrap_or(0)) };
        let mut sum = ll.ci64(0);
        for (atoms, c) in p.terms() {
            let mut product = ll.ci64(*c);
            for a in atoms {
                let x = match a {
                    Atom::Sym(name) => {
                        // A symbol that the kernel does not declare is refused by `verify`; zero keeps this total.
                        let i = self.k.symbols.iter().position(|s| s == name);
                        i.map_or(ll.ci64(0), |i| ll.load(ll.i64(), ll.gep(ll.i64(), self.symbols, ll.ci64(i as i64)), 8))
                    }
                    Atom::FloorDiv(a, b) => {
                        let (a, b) = (self.dim(a), self.dim(b));
                        self.floor_div(a, b)
                    }
                    Atom::Mod(a, b) => {
                        let (a, b) = (self.dim(a), self.dim(b));
                        let q = self.floor_div(a, b);
                        ll.sub(a, ll.mul(q, b))
                    }
                    Atom::Min(a, b) => {
                        let (a, b) = (self.dim(a), self.dim(b));
                        ll.select(ll.icmp(LLVMIntSLT, a, b), a, b)
                    }
                    Atom::Max(a, b) => {
                        let (a, b) = (self.dim(a), self.dim(b));
                        ll.select(ll.icmp(LLVMIntSGT, a, b), a, b)
                    }
                };
                product = ll.mul(product, x);
            }
            sum = ll.add(sum, product);
        }
        sum
    }

    /// A zero-filled constant of at least `bytes` bytes: what guarded reads read where their guard is false.
    pub fn zeros(&mut self, bytes: u64) -> V {
        if let Some((v, n)) = self.zeros
            && n >= bytes
        {
            return v;
        }
        let n = bytes.next_power_of_two().max(64);
        let v = self.ll.private_constant(self.ll.zero(self.ll.array(self.ll.i8(), n)), 64);
        self.zeros = Some((v, n));
        v
    }
}
