//! Attributes of the StableHLO dialects: enumerators and structs. Those of other dialects are kept as they are written.

use super::Parser;
use super::attr::I64;
use super::cursor::{Bad, Result};
use crate::import::stablehlo::syntax::{Attr, Attrs};

/// One side of a convolution: the names of its two axes that are not spatial, and of the list of those that are.
type Side = (&'static str, &'static str, &'static str, &'static str, &'static str);

const SIDES: [Side; 3] = [
    ("b", "input_batch_dimension", "f", "input_feature_dimension", "input_spatial_dimensions"),
    ("i", "kernel_input_feature_dimension", "o", "kernel_output_feature_dimension", "kernel_spatial_dimensions"),
    ("b", "output_batch_dimension", "f", "output_feature_dimension", "output_spatial_dimensions"),
];

impl<'a> Parser<'a> {
    /// What begins with `#`: an alias, or an attribute of a dialect, `#dialect.name<..>` or `#dialect<name ..>`.
    pub fn hash_attr(&mut self) -> Result<Attr> {
        let at = self.c.pos;
        self.c.pos += 1;
        let here = self.c.pos;
        let word = self.c.word();
        let opens = self.c.byte() == b'<';
        let (dialect, name) = match word.split_once('.') {
            Some((d, n)) => (d, n),
            None if opens && !word.is_empty() => (word, ""),
            None => {
                self.c.pos = here;
                let name = self.c.suffix()?;
                return self.attr_alias(name, at);
            }
        };
        if !matches!(dialect, "stablehlo" | "chlo") {
            if opens {
                self.c.pos += 1;
                self.c.skip_balanced(b'>')?;
            }
            return Ok(Attr::Other(self.text(at)));
        }
        if !opens {
            return self.c.expected("`<`");
        }
        self.c.pos += 1;
        if !name.is_empty() {
            return self.nested(|p| p.dialect_body(name));
        }
        let name = self.c.word();
        if name.is_empty() {
            return self.c.expected("the name of an attribute");
        }
        // `#stablehlo<conv[b, f]..>` and the like have no brackets of their own.
        let inner = self.c.eat("<");
        let attr = self.nested(|p| p.dialect_body(name))?;
        if inner {
            self.c.expect(">")?;
        }
        Ok(attr)
    }

    /// From past the `<` to past the `>`.
    fn dialect_body(&mut self, name: &str) -> Result<Attr> {
        match name {
            "conv" => {
                let fields = if self.c.keyword("raw") { return self.struct_body(name) } else { self.conv_dims()? };
                self.c.expect(">")?;
                Ok(Attr::Struct(self.intern(name), fields))
            }
            "bounds" => self.bounds(b'>'),
            "type_extensions" => {
                self.c.expect_keyword("bounds")?;
                self.c.expect("=")?;
                self.c.expect("[")?;
                let bounds = self.bounds(b']')?;
                self.c.expect(">")?;
                Ok(bounds)
            }
            _ => {
                self.c.space();
                let at = self.c.pos;
                let word = self.c.word();
                if !word.is_empty() && self.c.eat(">") {
                    return Ok(Attr::Enum(self.intern(word)));
                }
                self.c.pos = at;
                self.struct_body(name)
            }
        }
    }

    /// `field = value, ..>`: to past the `>`.
    pub fn struct_body(&mut self, name: &str) -> Result<Attr> {
        let mut fields = Attrs::new();
        while !self.c.eat(">") {
            self.c.space();
            let at = self.c.pos;
            let key = self.c.word();
            if key.is_empty() {
                return self.c.expected("the name of a field");
            }
            self.c.expect("=")?;
            let value = self.field(key)?;
            if fields.insert(self.intern(key), value).is_some() {
                return Err(Bad { at, message: format!("the field `{key}` stands twice") });
            }
            if !self.c.eat(",") {
                self.c.expect(">")?;
                break;
            }
        }
        Ok(Attr::Struct(self.intern(name), fields))
    }

    /// The value of a field: lists of integers are `Ints`; a struct may stand without its name.
    fn field(&mut self, key: &str) -> Result<Attr> {
        match self.c.peek() {
            b'[' => {
                let at = self.c.pos;
                if let Ok(list) = self.int_list() {
                    return Ok(Attr::Ints(list));
                }
                self.c.pos = at;
                self.c.expect("[")?;
                let mut list = vec![];
                loop {
                    list.push(self.nested(|p| p.field(key))?);
                    if !self.c.eat(",") {
                        break;
                    }
                }
                self.c.expect("]")?;
                Ok(Attr::Array(list))
            }
            b'<' => {
                self.c.pos += 1;
                let name = if key == "axes" { "mesh_axis" } else { key };
                self.nested(|p| p.struct_body(name))
            }
            b'(' if key == "sub_axis_info" => {
                self.c.pos += 1;
                let before = self.c.integer()?;
                self.c.expect(")")?;
                let size = self.c.integer()?;
                let fields = [("pre_size", before), ("size", size)].map(|(k, v)| (self.intern(k), Attr::Int(v, I64)));
                Ok(Attr::Struct(self.intern(key), fields.into_iter().collect()))
            }
            b'A'..=b'Z' => {
                let word = self.c.word();
                Ok(Attr::Enum(self.intern(word)))
            }
            _ => self.attr(),
        }
    }

    /// `16, ?>`: upper bounds.
    fn bounds(&mut self, close: u8) -> Result<Attr> {
        let mut list = vec![];
        let close = if close == b'>' { ">" } else { "]" };
        if !self.c.eat(close) {
            loop {
                if self.c.eat("?") {
                    list.push(Attr::Other(self.intern("?")));
                } else {
                    list.push(Attr::Int(self.c.integer()?, I64));
                }
                if !self.c.eat(",") {
                    break;
                }
            }
            self.c.expect(close)?;
        }
        Ok(Attr::Struct(self.intern("type_extensions"), Attrs::from([(self.intern("bounds"), Attr::Array(list))])))
    }

    /// `[b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f]`.
    pub fn conv_dims(&mut self) -> Result<Attrs> {
        let mut fields = Attrs::new();
        for (i, side) in SIDES.iter().enumerate() {
            match i {
                0 => {}
                1 => self.c.expect_keyword("x")?,
                _ => self.c.expect("->")?,
            }
            self.conv_side(side, &mut fields)?;
        }
        Ok(fields)
    }

    fn conv_side(&mut self, side: &Side, fields: &mut Attrs) -> Result<()> {
        let (first, first_field, second, second_field, spatial_field) = *side;
        self.c.expect("[")?;
        let start = self.c.pos;
        let (mut one, mut two, mut spatial, mut position) = (None, None, vec![], 0i64);
        loop {
            self.c.space();
            let at = self.c.pos;
            let word = self.c.word();
            let again = if word == first {
                one.replace(position).is_some()
            } else if word == second {
                two.replace(position).is_some()
            } else if word.is_empty() {
                spatial.push((self.c.integer()?, position));
                false
            } else {
                self.c.pos = at;
                return self.c.expected(&format!("`{first}`, `{second}` or the number of a spatial dimension"));
            };
            if again {
                return Err(Bad { at, message: format!("the dimension `{word}` stands twice") });
            }
            position += 1;
            if !self.c.eat(",") {
                break;
            }
        }
        self.c.expect("]")?;
        spatial.sort_unstable();
        if spatial.iter().enumerate().any(|(i, (n, _))| *n != i as i64) {
            return Err(Bad { at: start, message: "spatial dimensions are numbered from 0, each once".into() });
        }
        let (Some(one), Some(two)) = (one, two) else {
            return Err(Bad { at: start, message: format!("the dimensions `{first}` and `{second}` must both be named") });
        };
        fields.insert(self.intern(first_field), Attr::Int(one, I64));
        fields.insert(self.intern(second_field), Attr::Int(two, I64));
        fields.insert(self.intern(spatial_field), Attr::Ints(spatial.into_iter().map(|(_, p)| p).collect()));
        Ok(())
    }
}
