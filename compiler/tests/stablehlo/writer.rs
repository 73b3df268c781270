//! A writer of MLIR bytecode, version 6, as small as tests need it: what it writes is as wrong as the caller wants it to be.

/// The parts of an artifact. Attribute 0 is the unknown location.
#[derive(Clone)]
pub struct Writer {
    strings: Vec<Vec<u8>>,
    /// Dialect (0 is builtin, 1 is vhlo) and contents.
    attrs: Vec<(usize, Vec<u8>)>,
    types: Vec<(usize, Vec<u8>)>,
    properties: Vec<Vec<u8>>,
    /// Names of operations of vhlo, numbered from 1; 0 is the module.
    ops: Vec<&'static str>,
}

/// A variable-length integer.
pub fn varint(v: u64) -> Vec<u8> {
    let extra = (1..9).find(|n| *n == 8 || v < 1 << (7 * n + 7)).filter(|_| v >= 128).unwrap_or(0);
    let all = if extra == 8 { u128::from(v) << 8 } else { (u128::from(v) << 1 | 1) << extra };
    all.to_le_bytes()[..=extra].to_vec()
}

/// Several of them.
pub fn varints(all: &[u64]) -> Vec<u8> {
    all.iter().flat_map(|v| varint(*v)).collect()
}

/// A section.
pub fn section(id: u8, body: &[u8]) -> Vec<u8> {
    [&[id][..], &varint(body.len() as u64), body].concat()
}

impl Writer {
    pub fn new(ops: &[&'static str]) -> Writer {
        let mut w = Writer { strings: vec![], attrs: vec![], types: vec![], properties: vec![], ops: ops.to_vec() };
        for s in ["builtin", "vhlo", "module"].iter().chain(ops) {
            w.string(s.as_bytes());
        }
        w.attr(0, varint(15));
        w
    }

    pub fn string(&mut self, s: &[u8]) -> u64 {
        self.strings.push(s.to_vec());
        self.strings.len() as u64 - 1
    }

    pub fn attr(&mut self, dialect: usize, bytes: Vec<u8>) -> u64 {
        self.attrs.push((dialect, bytes));
        self.attrs.len() as u64 - 1
    }

    /// A string attribute of vhlo.
    pub fn text(&mut self, s: &str) -> u64 {
        let s = self.string(s.as_bytes());
        self.attr(1, varints(&[14, s]))
    }

    pub fn ty(&mut self, bytes: Vec<u8>) -> u64 {
        self.types.push((1, bytes));
        self.types.len() as u64 - 1
    }

    /// Properties: references to attributes.
    pub fn properties(&mut self, attrs: &[u64]) -> u64 {
        self.properties.push(varints(attrs));
        self.properties.len() as u64 - 1
    }

    /// The artifact with these operations in its module; operations and their number.
    pub fn module(&self, ops: u64, body: &[u8]) -> Vec<u8> {
        let region = [varints(&[1, 0, ops << 1]), body.to_vec()].concat();
        let ir = [varint(2), varint(0), vec![16], varints(&[0, 3]), section(4, &region)].concat();
        self.artifact(&ir)
    }

    /// The artifact with these contents of its section of operations.
    pub fn artifact(&self, ir: &[u8]) -> Vec<u8> {
        let names = self.ops.len() as u64;
        let mut dialects = varints(&[2, 0, 2, 1 + names, 0, 1, 2 << 1 | 1, 1, names]);
        dialects.extend((0..names).flat_map(|i| varint((3 + i) << 1 | 1)));
        let mut offsets = varints(&[self.attrs.len() as u64, self.types.len() as u64]);
        let mut entries = vec![];
        for (dialect, bytes) in self.attrs.iter().chain(&self.types) {
            offsets.extend(varints(&[*dialect as u64, 1, (bytes.len() as u64) << 1 | 1]));
            entries.extend_from_slice(bytes);
        }
        let mut properties = varint(self.properties.len() as u64);
        for p in &self.properties {
            properties.extend(varint(p.len() as u64));
            properties.extend_from_slice(p);
        }
        let mut strings = varint(self.strings.len() as u64);
        strings.extend(self.strings.iter().rev().flat_map(|s| varint(s.len() as u64 + 1)));
        for s in &self.strings {
            strings.extend_from_slice(s);
            strings.push(0);
        }
        let mut out = b"ML\xefR".to_vec();
        out.extend(varint(6));
        out.extend(b"StableHLO_v1.0.0\0");
        for (id, body) in [(1, &dialects[..]), (2, &entries), (3, &offsets), (4, ir), (8, &properties), (0, &strings)] {
            out.extend(section(id, body));
        }
        out
    }
}

/// A function `main` without arguments whose body is one block: the values and the operations in it.
pub fn function(w: &mut Writer, op: u64, values: u64, ops: u64, body: &[u8]) -> Vec<u8> {
    let empty = w.attr(1, varints(&[1, 0]));
    let signature = w.ty(varints(&[8, 0, 0]));
    let signature = w.attr(1, varints(&[17, signature]));
    let (name, visibility) = (w.text("main"), w.text("public"));
    let properties = w.properties(&[empty, signature, empty, name, visibility]);
    [varint(op), vec![64 | 16], varints(&[0, properties, 2, 1, values, ops << 1]), body.to_vec()].concat()
}

/// An artifact whose function has this many constants of this many `f32` each.
pub fn constants(count: u64, elements: u64) -> Vec<u8> {
    let mut w = Writer::new(&["func_v1", "constant_v1", "return_v1"]);
    let f32_ = w.ty(varint(4));
    let tensor = w.ty([varints(&[20, 1]), varint(elements << 1), varint(f32_)].concat());
    let mut body = vec![];
    for i in 0..count {
        let data: Vec<u8> = (0..elements).flat_map(|k| ((i * elements + k) as f32).to_le_bytes()).collect();
        let value = w.attr(1, [varints(&[15, tensor]), varint(data.len() as u64), data].concat());
        let properties = w.properties(&[value]);
        body.extend([varint(2), vec![64 | 2], varints(&[0, properties, 1, tensor])].concat());
    }
    body.extend([varint(3), vec![0], varint(0)].concat());
    let f = function(&mut w, 1, count, count + 1, &body);
    w.module(1, &f)
}
