//! Pretty forms that no table row describes.

use super::Parser;
use super::attr::I32;
use super::cursor::{Bad, Result};
use super::op::Draft;
use super::region::Argument;
use crate::import::stablehlo::syntax::{Attr, Attrs, Block, Dense, Element, Loc, Operation, TensorType, Type};
use beiming_ir::tensor::Tensor;
use beiming_ir::types::DType;

/// `return`, `return %a, %b : type, type`.
pub(super) fn returned(p: &mut Parser, draft: &mut Draft) -> Result<()> {
    if p.c.peek() == b'{' {
        p.dict_into(&mut draft.attrs)?;
    }
    if p.c.peek() == b'%' {
        p.operands(draft)?;
    }
    if p.c.peek() == b'{' {
        p.dict_into(&mut draft.attrs)?;
    }
    if !draft.operands.is_empty() {
        p.c.expect(":")?;
        draft.operand_types = p.types()?;
    }
    Ok(())
}

/// `@f` of a call.
pub(super) fn callee(p: &mut Parser, draft: &mut Draft) -> Result<()> {
    let name = p.symbol()?;
    p.set(draft, "callee", Attr::Symbol(name))
}

/// `dense<..> : type`, attributes before it; or the generic form without quotes.
pub(super) fn constant(p: &mut Parser, draft: &mut Draft) -> Result<()> {
    if p.c.peek() == b'(' {
        return p.generic(draft);
    }
    if p.c.peek() == b'{' {
        p.dict_into(&mut draft.attrs)?;
    }
    p.c.space();
    let at = p.c.pos;
    let value = p.attr()?;
    let Attr::Dense(d) = &value else {
        return Err(Bad { at, message: "expected a constant: dense<..> or dense_resource<..>".into() });
    };
    draft.results = vec![Type::Tensor(d.ty.clone())];
    p.set(draft, "value", value)
}

/// The constant that a check compares with has the type of the operand.
pub(super) fn checked_value(p: &mut Parser, draft: &mut Draft) -> Result<()> {
    p.c.space();
    let at = p.c.pos;
    let value = p.attr()?;
    let Attr::Dense(d) = &value else { return Err(Bad { at, message: "expected a constant".into() }) };
    draft.operand_types = vec![Type::Tensor(d.ty.clone())];
    p.set(draft, "value", value)
}

/// `[0:2, 1:4:2]`.
pub(super) fn slice_ranges(p: &mut Parser, draft: &mut Draft) -> Result<()> {
    let (mut start, mut limit, mut stride) = (vec![], vec![], vec![]);
    p.c.expect("[")?;
    if !p.c.eat("]") {
        loop {
            start.push(p.c.integer()?);
            p.c.expect(":")?;
            limit.push(p.c.integer()?);
            stride.push(if p.c.eat(":") { p.c.integer()? } else { 1 });
            if !p.c.eat(",") {
                break;
            }
        }
        p.c.expect("]")?;
    }
    p.set(draft, "start_indices", Attr::Ints(start))?;
    p.set(draft, "limit_indices", Attr::Ints(limit))?;
    p.set(draft, "strides", Attr::Ints(stride))
}

/// `e5m10`.
pub(super) fn exponent_mantissa(p: &mut Parser, draft: &mut Draft) -> Result<()> {
    p.c.space();
    let at = p.c.pos;
    let word = p.c.word();
    let bits = word.strip_prefix('e').and_then(|w| w.split_once('m')).and_then(|(e, m)| Some((e.parse().ok()?, m.parse().ok()?)));
    let Some((e, m)) = bits.filter(|(e, m): &(i32, i32)| *e >= 0 && *m >= 0) else {
        return Err(Bad { at, message: "expected a format such as e5m10".into() });
    };
    p.set(draft, "exponent_bits", Attr::Int(e.into(), I32))?;
    p.set(draft, "mantissa_bits", Attr::Int(m.into(), I32))
}

/// `batching_dims = [0] x [0], contracting_dims = [2] x [1]`.
pub(super) fn dot_dimensions(p: &mut Parser, draft: &mut Draft) -> Result<()> {
    let mut fields = Attrs::new();
    let mut pair = |p: &mut Parser, kind: &str| -> Result<()> {
        p.c.expect("=")?;
        for side in ["lhs", "rhs"] {
            if side == "rhs" {
                p.c.expect_keyword("x")?;
            }
            let list = p.int_list()?;
            fields.insert(p.intern(&format!("{side}_{kind}_dimensions")), Attr::Ints(list));
        }
        Ok(())
    };
    if p.c.keyword("batching_dims") {
        pair(p, "batching")?;
        p.c.expect(",")?;
    }
    p.c.expect_keyword("contracting_dims")?;
    pair(p, "contracting")?;
    let name = p.intern("dot");
    p.set(draft, "dot_dimension_numbers", Attr::Struct(name, fields))
}

/// Nothing, or `, precision = [HIGH, HIGH]`, `, algorithm = <..>`, or both.
pub(super) fn precision_and_algorithm(p: &mut Parser, draft: &mut Draft) -> Result<()> {
    if !p.c.eat(",") {
        return Ok(());
    }
    if p.c.keyword("precision") {
        p.c.expect("=")?;
        p.c.expect("[")?;
        let mut list = vec![];
        if !p.c.eat("]") {
            loop {
                list.push(p.enumerator()?);
                if !p.c.eat(",") {
                    break;
                }
            }
            p.c.expect("]")?;
        }
        p.set(draft, "precision_config", Attr::Array(list))?;
        if !p.c.eat(",") {
            return Ok(());
        }
    }
    p.c.expect_keyword("algorithm")?;
    p.c.expect("=")?;
    let algorithm = if p.c.eat("<") { p.struct_body("dot_algorithm")? } else { p.attr()? };
    p.set(draft, "algorithm", algorithm)
}

/// `(%a, %b) dim_numbers = [..]x[..]->[..], window = {stride = [1, 1], ..}`.
pub(super) fn convolution(p: &mut Parser, draft: &mut Draft) -> Result<()> {
    p.c.expect("(")?;
    p.operands(draft)?;
    p.c.expect(")")?;
    p.c.expect_keyword("dim_numbers")?;
    p.c.expect("=")?;
    let fields = p.conv_dims()?;
    let name = p.intern("conv");
    p.set(draft, "dimension_numbers", Attr::Struct(name, fields))?;
    p.c.expect(",")?;
    p.c.expect_keyword("window")?;
    p.c.expect("=")?;
    p.c.expect("{")?;
    if p.c.eat("}") {
        return Ok(());
    }
    loop {
        p.c.space();
        let at = p.c.pos;
        let word = p.c.word();
        p.c.expect("=")?;
        match word {
            "pad" => {
                let padding = pairs(p)?;
                p.set(draft, "padding", padding)?;
            }
            "stride" | "lhs_dilate" | "rhs_dilate" | "reverse" => {
                let name = match word {
                    "stride" => "window_strides",
                    "lhs_dilate" => "lhs_dilation",
                    "rhs_dilate" => "rhs_dilation",
                    _ => "window_reversal",
                };
                let list = p.int_list()?;
                p.set(draft, name, Attr::Ints(list))?;
            }
            _ => {
                let message = "a window has `stride`, `pad`, `lhs_dilate`, `rhs_dilate` and `reverse`".into();
                return Err(Bad { at, message });
            }
        }
        if !p.c.eat(",") {
            break;
        }
    }
    p.c.expect("}")
}

/// `[[1, 1], [2, 2]]` as a constant of two columns.
fn pairs(p: &mut Parser) -> Result<Attr> {
    let mut values = vec![];
    p.c.expect("[")?;
    if !p.c.eat("]") {
        loop {
            p.c.space();
            let at = p.c.pos;
            let pair = p.int_list()?;
            if pair.len() != 2 {
                return Err(Bad {
                    at,
                    message: format!("{} numbers where a dimension has two, for below and above", pair.len()),
                });
            }
            values.extend(pair);
            if !p.c.eat(",") {
                break;
            }
        }
        p.c.expect("]")?;
    }
    let rows = values.len() / 2;
    let ty = TensorType { shape: vec![Some(rows as u64), Some(2)], bounds: vec![], element: Element::Plain(DType::I64) };
    let same = values.first().filter(|v| values.iter().all(|w| w == *v));
    let values = if let Some(v) = same { Tensor::i64(&[], &[*v]) } else { Tensor::i64(&[rows, 2], &values) };
    Ok(Attr::Dense(Dense { ty, values }))
}

/// `"name" %a, %b (regions) {decomposition = @f} : signature`.
pub(super) fn composite(p: &mut Parser, draft: &mut Draft) -> Result<()> {
    let name = p.c.string()?;
    p.set(draft, "name", Attr::Str(name.as_ref().into()))?;
    if p.c.peek() == b'%' {
        p.operands(draft)?;
    }
    if p.c.eat("(") {
        loop {
            let region = p.region(&[])?;
            draft.regions.push(region);
            if !p.c.eat(",") {
                break;
            }
        }
        p.c.expect(")")?;
    }
    if p.c.peek() == b'{' {
        p.dict_into(&mut draft.attrs)?;
    }
    p.c.expect(":")?;
    (draft.operand_types, draft.results) = p.function_type()?;
    Ok(())
}

/// `%a, %b : type, type`, or `()`.
pub(super) fn barrier(p: &mut Parser, draft: &mut Draft) -> Result<()> {
    if p.c.peek() == b'{' {
        p.dict_into(&mut draft.attrs)?;
    }
    if p.c.eat("(") {
        return p.c.expect(")");
    }
    p.operands(draft)?;
    p.c.expect(":")?;
    draft.operand_types = p.types()?;
    draft.results = draft.operand_types.clone();
    Ok(())
}

/// `(%a init: %b), .. applies op across dimensions = [0] : signature`, or `across .. : signature reducer(%x: t, %y: t) {..}`.
pub(super) fn reduce(p: &mut Parser, draft: &mut Draft) -> Result<()> {
    let mut place = p.place(p.c.pos);
    let mut inits = Draft::default();
    loop {
        p.c.expect("(")?;
        p.operand(draft)?;
        p.c.expect_keyword("init")?;
        p.c.expect(":")?;
        p.operand(&mut inits)?;
        p.c.expect(")")?;
        if !p.c.eat(",") {
            break;
        }
    }
    draft.operands.append(&mut inits.operands);
    draft.operands_at.append(&mut inits.operands_at);
    let mut inner = None;
    if p.c.keyword("applies") {
        p.c.space();
        let at = p.c.pos;
        let word = if p.c.byte() == b'"' { String::from_utf8_lossy(&p.c.string()?).into_owned() } else { p.c.word().to_owned() };
        if word.is_empty() {
            return p.c.expected("the operation that is applied");
        }
        inner = Some((word, at));
    }
    p.c.expect_keyword("across")?;
    p.c.expect_keyword("dimensions")?;
    p.c.expect("=")?;
    let dims = p.int_list()?;
    p.set(draft, "dimensions", Attr::Ints(dims))?;
    if p.c.peek() == b'{' {
        p.dict_into(&mut draft.attrs)?;
    }
    p.c.expect(":")?;
    (draft.operand_types, draft.results) = p.function_type()?;
    let Some((word, at)) = inner else {
        p.c.expect_keyword("reducer")?;
        let (mut args, mut accumulators) = (vec![], vec![]);
        while p.c.eat("(") {
            args.push(p.argument()?);
            p.c.expect(",")?;
            accumulators.push(p.argument()?);
            p.c.expect(")")?;
        }
        args.append(&mut accumulators);
        let block = p.region(&args)?;
        draft.regions.push(block);
        return Ok(());
    };
    let name = p.maybe_loc()?;
    place.name = name.clone();
    draft.loc = Some(name);
    let Some(Type::Tensor(first)) = draft.operand_types.first() else {
        return Err(Bad { at, message: "the type of what is reduced is missing".into() });
    };
    let scalar = Type::Tensor(TensorType { shape: vec![], bounds: vec![], element: first.element.clone() });
    let block = applied(p, &word, scalar, &place);
    draft.regions.push(block);
    Ok(())
}

/// The block of a reducer that is one operation.
fn applied(p: &mut Parser, word: &str, scalar: Type, place: &Loc) -> Block {
    let args = vec![p.new_value(scalar.clone()), p.new_value(scalar.clone())];
    let result = p.new_value(scalar);
    let op =
        |name, operands, results| Operation { name, operands, results, attrs: Attrs::new(), regions: vec![], loc: place.clone() };
    let dialect = word.split_once('.').map_or("stablehlo", |(d, _)| d);
    let apply = op(p.intern(word), args.clone(), vec![result]);
    let ret = op(p.intern(&format!("{dialect}.return")), vec![result], vec![]);
    Block { args, names: vec![], ops: vec![apply, ret] }
}

/// `(%x = %a, %y = %b) : type, type attributes {..} cond {..} do {..}`.
pub(super) fn while_loop(p: &mut Parser, draft: &mut Draft) -> Result<()> {
    let mut names: Vec<(&[u8], usize)> = vec![];
    p.c.expect("(")?;
    if !p.c.eat(")") {
        loop {
            p.c.space();
            let at = p.c.pos;
            p.c.expect("%")?;
            names.push((p.c.suffix()?, at));
            p.c.expect("=")?;
            p.operand(draft)?;
            if !p.c.eat(",") {
                break;
            }
        }
        p.c.expect(")")?;
        p.c.expect(":")?;
        draft.operand_types = p.types()?;
    }
    if names.len() != draft.operand_types.len() {
        return p.c.bad(format!("{} values and {} types", names.len(), draft.operand_types.len()));
    }
    draft.results = draft.operand_types.clone();
    attributes(p, draft)?;
    let args: Vec<Argument> = names.iter().zip(&draft.operand_types).map(|((n, at), ty)| (*n, ty.clone(), *at)).collect();
    for word in ["cond", "do"] {
        p.c.expect_keyword(word)?;
        let block = p.region(&args)?;
        draft.regions.push(block);
    }
    Ok(())
}

/// `attributes {..}`, where it stands.
fn attributes(p: &mut Parser, draft: &mut Draft) -> Result<()> {
    if p.c.keyword("attributes") { p.dict_into(&mut draft.attrs) } else { Ok(()) }
}

/// `(%a) inits(%b) dimension = 0 attributes {..} {region} : signature`.
pub(super) fn scan(p: &mut Parser, draft: &mut Draft) -> Result<()> {
    p.c.expect("(")?;
    if !p.c.eat(")") {
        p.operands(draft)?;
        p.c.expect(")")?;
    }
    let inputs = draft.operands.len();
    p.c.expect_keyword("inits")?;
    p.c.expect("(")?;
    if !p.c.eat(")") {
        p.operands(draft)?;
        p.c.expect(")")?;
    }
    let inits = draft.operands.len() - inputs;
    p.c.expect_keyword("dimension")?;
    p.c.expect("=")?;
    let dimension = p.c.integer()?;
    p.set(draft, "dimension", Attr::Int(dimension, super::attr::I64))?;
    attributes(p, draft)?;
    let block = p.region(&[])?;
    draft.regions.push(block);
    p.c.expect(":")?;
    p.c.space();
    let at = p.c.pos;
    (draft.operand_types, draft.results) = p.function_type()?;
    let Some(outputs) = draft.results.len().checked_sub(inits) else {
        return Err(Bad { at, message: format!("{} results cannot hold {inits} carries", draft.results.len()) });
    };
    p.set(draft, "operandSegmentSizes", Attr::Ints(vec![inputs as i64, inits as i64]))?;
    p.set(draft, "resultSegmentSizes", Attr::Ints(vec![outputs as i64, inits as i64]))
}
