//! Instructions of the vector unit: a loop over lanes with one assignment is one call.

use beiming_ir::kernel::npu::is_mask;
use beiming_ir::kernel::{BufId, Element, Expr, ExprId, Loop, Scalar, Space, Stmt, VarId};
use beiming_ir::ops::{BinaryOp, ReduceOp, UnaryOp};
use beiming_ir::types::DType;

use super::file::Writer;
use super::text::Text;
use super::types;

/// An argument of an instruction.
enum Value {
    /// Elements side by side.
    Tile { text: String, dtype: DType, mask: bool },
    /// One element for all lanes, read by the scalar unit.
    Element { text: String, dtype: DType },
    /// A number.
    Number(Scalar),
}

/// Writes the loop `for var in 0..count { dst = value }`.
pub fn instruction(w: &mut Writer, var: VarId, count: &Text, dst: &Element, value: ExprId) -> Result<(), String> {
    let to = tile(w, dst, var)?.ok_or("a result that does not run along the lanes")?;
    let dtype = w.k.buffer(dst.buffer).dtype;
    let ty = type_name(dtype)?;
    let n = format!("static_cast<int32_t>({})", count.s);
    let n = if count.known().is_some() { count.s.clone() } else { n };
    if let Some(line) = progression(w, var, value, &to, ty, &n).or_else(|| gather(w, var, value, &to, &n)) {
        w.line(&line);
        return Ok(());
    }
    let line = match w.k.exprs[value.index()].clone() {
        Expr::Const(s) => format!("Duplicate<{ty}>({to}, {}, {n});", number(&s)?),
        Expr::Load(el, None) => match argument(w, value, var)? {
            // Numbers of 8 bits are filled in two at a time; tiles are whole blocks.
            Value::Element { text, .. } if dtype.size() == 1 => {
                let pairs = match count.known() {
                    Some(c) => ((c + 1) / 2).to_string(),
                    None => format!("static_cast<int32_t>(({} + 1) / 2)", count.s),
                };
                let both = format!("static_cast<uint16_t>(static_cast<uint8_t>({text}) * 0x101)");
                format!("Duplicate<uint16_t>({to}.ReinterpretCast<uint16_t>(), {both}, {pairs});")
            }
            Value::Element { text, .. } => format!("Duplicate<{ty}>({to}, {text}, {n});"),
            _ => {
                let from = tile(w, &el, var)?.ok_or("an operand that does not run along the lanes")?;
                let block = 32 / dtype.size();
                let whole = match count.known() {
                    Some(c) => (c as usize).next_multiple_of(block).to_string(),
                    None => format!("static_cast<uint32_t>(({} + {}) / {block} * {block})", count.s, block - 1),
                };
                format!("DataCopy({to}, {from}, {whole});  // whole blocks of 32 bytes")
            }
        },
        Expr::Unary(op, a) => {
            let a = operand(w, a, var)?;
            let rounds = |mode: &str| format!("Cast({to}, {a}, RoundMode::CAST_{mode}, {n});");
            match op {
                UnaryOp::Abs => format!("Abs({to}, {a}, {n});"),
                UnaryOp::Exp => format!("Exp({to}, {a}, {n});"),
                UnaryOp::Log => format!("Ln({to}, {a}, {n});"),
                UnaryOp::Sqrt => format!("Sqrt({to}, {a}, {n});"),
                UnaryOp::Floor => rounds("FLOOR"),
                UnaryOp::Ceil => rounds("CEIL"),
                UnaryOp::Round => rounds("RINT"),
                UnaryOp::RoundAway => rounds("ROUND"),
                UnaryOp::Trunc => rounds("TRUNC"),
                op => return Err(format!("`{}` is no vector instruction", op.name())),
            }
        }
        Expr::Cast(..) => {
            let Expr::Cast(_, a) = w.k.exprs[value.index()] else { return Err("no conversion".into()) };
            let from = argument(w, a, var)?;
            let Value::Tile { text, dtype: d, mask: false } = from else { return Err("a conversion of what is no tile".into()) };
            format!("Cast({to}, {text}, RoundMode::CAST_{}, {n});", rounding(d, dtype))
        }
        Expr::Binary(op, a, b) if op.is_compare() => compare(w, var, op, a, b, &to, &n)?,
        Expr::Binary(op, a, b) => binary(w, var, op, a, b, &to, &n)?,
        Expr::Select(c, a, b) => select(w, var, [c, a, b], &to, &n)?,
        _ => return Err("an assignment that is no vector instruction".into()),
    };
    w.line(&line);
    Ok(())
}

/// Positions along the lanes as numbers; `None` for another value.
fn progression(w: &Writer, var: VarId, value: ExprId, to: &str, ty: &str, n: &str) -> Option<String> {
    let Expr::Cast(DType::I32 | DType::F32, a) = w.k.exprs[value.index()] else { return None };
    if w.k.dtype(a) != DType::I64 {
        return None;
    }
    let (step, first) = w.print.split(a, var)?;
    let number = |t: &Text| match (t.known(), ty) {
        (Some(v), "float") => format!("{v}.0f"),
        (Some(v), _) => v.to_string(),
        (None, _) => format!("static_cast<{ty}>({})", t.s),
    };
    if step.is_zero() {
        return Some(format!("Duplicate<{ty}>({to}, {}, {n});", number(&first)));
    }
    Some(format!("ArithProgression<{ty}>({to}, {}, {}, {n});", number(&first), number(&step)))
}

/// `src[base + offsets[lane] / size]`, offsets in bytes as the unit counts them; `None` for another value.
fn gather(w: &Writer, var: VarId, value: ExprId, to: &str, n: &str) -> Option<String> {
    let expr = |e: ExprId| &w.k.exprs[e.index()];
    let Expr::Load(el, None) = expr(value) else { return None };
    let Expr::Binary(BinaryOp::Add, base, element) = expr(el.index[0]) else { return None };
    let Expr::Binary(BinaryOp::Div, offset, size) = expr(*element) else { return None };
    let Expr::Cast(DType::I64, load) = expr(*offset) else { return None };
    let Expr::Load(offsets, None) = expr(*load) else { return None };
    let dtype = w.k.buffer(el.buffer).dtype;
    let bytes = w.print.scalar(*size)?.known().filter(|s| *s == dtype.size() as i64)?;
    if w.k.buffer(offsets.buffer).dtype != DType::I32 {
        return None;
    }
    let table = tile(w, offsets, var).ok()??;
    let base = w.print.scalar(*base)?.times(&Text::int(bytes));
    let count = if n.starts_with("static_cast") { n.replacen("int32_t", "uint32_t", 1) } else { n.to_string() };
    let base = if base.known().is_some() { base.s } else { format!("static_cast<uint32_t>({})", base.s) };
    Some(format!("Gather({to}, {}, {table}.ReinterpretCast<uint32_t>(), {base}, {count});", w.name(el.buffer)))
}

/// Writes the loop `for var in 0..count { dst = op(dst, value) }`, element by element.
pub fn accumulate(w: &mut Writer, var: VarId, count: &Text, dst: &Element, value: ExprId, op: ReduceOp) -> Result<(), String> {
    let to = tile(w, dst, var)?.ok_or("a reduction that is no instruction")?;
    let n = if count.known().is_some() { count.s.clone() } else { format!("static_cast<int32_t>({})", count.s) };
    let line = match (op, w.k.exprs[value.index()].clone()) {
        (ReduceOp::Sum, Expr::Binary(BinaryOp::Mul, a, b)) => {
            let x = operand(w, a, var)?;
            match argument(w, b, var)? {
                Value::Tile { text, .. } => format!("MulAddDst({to}, {x}, {text}, {n});"),
                Value::Element { text, dtype: DType::F32 } => format!("Axpy<float, float>({to}, {x}, {text}, {n});"),
                _ => return Err("a sum of products that is no vector instruction".into()),
            }
        }
        (ReduceOp::Sum, _) => format!("Add({to}, {to}, {}, {n});", operand(w, value, var)?),
        (ReduceOp::Max, _) => format!("Max({to}, {to}, {}, {n});", operand(w, value, var)?),
        (ReduceOp::Min, _) => format!("Min({to}, {to}, {}, {n});", operand(w, value, var)?),
        (op, _) => return Err(format!("`{}` of tiles is no vector instruction", op.name())),
    };
    w.line(&line);
    Ok(())
}

fn binary(w: &Writer, var: VarId, op: BinaryOp, a: ExprId, b: ExprId, to: &str, n: &str) -> Result<String, String> {
    let x = operand(w, a, var)?;
    let name = match op {
        BinaryOp::Add => "Add",
        BinaryOp::Sub => "Sub",
        BinaryOp::Mul => "Mul",
        BinaryOp::Div => "Div",
        BinaryOp::Max => "Max",
        BinaryOp::Min => "Min",
        op => return Err(format!("`{}` is no vector instruction", op.name())),
    };
    let scalar = |name: &str, s: String, ty: &str| format!("{name}s<{ty}>({to}, {x}, {s}, {n});");
    Ok(match argument(w, b, var)? {
        Value::Tile { text, .. } => format!("{name}({to}, {x}, {text}, {n});"),
        Value::Number(s) if !matches!(op, BinaryOp::Sub | BinaryOp::Div) => scalar(name, number(&s)?, type_name(s.dtype)?),
        // The scalar unit computes in float only; there is no subtraction of a scalar.
        Value::Element { text, dtype: DType::F32 } if op == BinaryOp::Sub => scalar("Add", format!("-{text}"), "float"),
        Value::Element { text, dtype } if !matches!(op, BinaryOp::Sub | BinaryOp::Div) => scalar(name, text, type_name(dtype)?),
        _ => return Err(format!("`{}` with a scalar is no vector instruction", op.name())),
    })
}

fn compare(w: &Writer, var: VarId, op: BinaryOp, a: ExprId, b: ExprId, to: &str, n: &str) -> Result<String, String> {
    let x = operand(w, a, var)?;
    let mode = match op {
        BinaryOp::Eq => "EQ",
        BinaryOp::Ne => "NE",
        BinaryOp::Lt => "LT",
        BinaryOp::Le => "LE",
        BinaryOp::Gt => "GT",
        _ => "GE",
    };
    Ok(match argument(w, b, var)? {
        Value::Tile { text, .. } => format!("Compare({to}, {x}, {text}, CMPMODE::{mode}, {n});"),
        Value::Number(s) => format!("CompareScalar({to}, {x}, {}, CMPMODE::{mode}, {n});", number(&s)?),
        Value::Element { text, .. } => format!("CompareScalar({to}, {x}, {text}, CMPMODE::{mode}, {n});"),
    })
}

fn select(w: &Writer, var: VarId, [c, a, b]: [ExprId; 3], to: &str, n: &str) -> Result<String, String> {
    let Value::Tile { text: mask, mask: true, .. } = argument(w, c, var)? else {
        return Err("a selection by what is no mask".into());
    };
    let Value::Tile { text: x, dtype, .. } = argument(w, a, var)? else { return Err("a selection of what is no tile".into()) };
    // Integers are moved as floats of their width.
    let as_float = |t: &str| match dtype {
        DType::I32 => format!("{t}.ReinterpretCast<float>()"),
        DType::I16 => format!("{t}.ReinterpretCast<half>()"),
        _ => t.to_string(),
    };
    Ok(match argument(w, b, var)? {
        Value::Tile { text, .. } => format!(
            "Select({}, {mask}, {}, {}, SELMODE::VSEL_TENSOR_TENSOR_MODE, {n});",
            as_float(to),
            as_float(&x),
            as_float(&text)
        ),
        Value::Number(s) if s.dtype.is_float() => {
            format!("Select({to}, {mask}, {x}, {}, SELMODE::VSEL_TENSOR_SCALAR_MODE, {n});", number(&s)?)
        }
        _ => return Err("a selection with an integer scalar".into()),
    })
}

/// The rounding a conversion needs: none where nothing is lost.
fn rounding(from: DType, to: DType) -> &'static str {
    match (from.is_float(), to.is_float()) {
        (true, true) if from.size() > to.size() => "RINT",
        (true, false) => "TRUNC",
        (false, true) if from.size() >= 4 => "RINT",
        _ => "NONE",
    }
}

fn number(s: &Scalar) -> Result<String, String> {
    types::number(s).ok_or_else(|| format!("a number of type {}", s.dtype))
}

fn type_name(d: DType) -> Result<&'static str, String> {
    types::name(d).ok_or_else(|| format!("elements of type {d}"))
}

/// An argument that must be a tile.
fn operand(w: &Writer, e: ExprId, var: VarId) -> Result<String, String> {
    match argument(w, e, var)? {
        Value::Tile { text, .. } => Ok(text),
        _ => Err("the first operand of a vector instruction must be a tile".into()),
    }
}

fn argument(w: &Writer, e: ExprId, var: VarId) -> Result<Value, String> {
    match &w.k.exprs[e.index()] {
        Expr::Const(s) => Ok(Value::Number(*s)),
        Expr::Load(el, None) => {
            let dtype = w.k.buffer(el.buffer).dtype;
            if let Some(text) = tile(w, el, var)? {
                return Ok(Value::Tile { text, dtype, mask: is_mask(w.k, el.buffer) });
            }
            let at = w.print.scalar(el.index[0]).ok_or("an address of data")?;
            Ok(Value::Element { text: format!("{}.GetValue({})", w.name(el.buffer), at.s), dtype })
        }
        _ => Err("an operand that is no element".into()),
    }
}

/// The tensor that starts at lane 0 of an element; `None` where all lanes mean one element.
pub fn tile(w: &Writer, el: &Element, var: VarId) -> Result<Option<String>, String> {
    let [index] = el.index[..] else { return Err(format!("`{}` has several axes", w.k.buffer(el.buffer).name)) };
    let (along, rest) = w.print.split(index, var).ok_or("an address that is not linear along the lanes")?;
    if along.is_zero() {
        return Ok(None);
    }
    if along.s != "1" || w.k.buffer(el.buffer).space != Space::Ub {
        return Err(format!("lanes {} elements apart in `{}`", along.s, w.k.buffer(el.buffer).name));
    }
    Ok(Some(at(w, el.buffer, &rest)))
}

/// A tensor from an element on.
pub fn at(w: &Writer, b: BufId, offset: &Text) -> String {
    if offset.is_zero() { w.name(b) } else { format!("{}[{}]", w.name(b), offset.s) }
}

/// `start; for .. { dst = op(dst, x) }` as one instruction; `None` where two statements are not that.
pub fn reduction(w: &Writer, start: &Stmt, next: &Stmt) -> Option<Result<String, String>> {
    let Stmt::Vector { dst: first, value: identity, reduce: None } = start else { return None };
    let Stmt::For { var, extent, kind: Loop::Vector, body } = next else { return None };
    let (dst, value, op) = single(body)?;
    let op = op?;
    if dst != first {
        return None;
    }
    let k = w.k;
    let line = || -> Result<String, String> {
        let want = op.identity(DType::F32).to_f64();
        if !matches!(&k.exprs[identity.index()], Expr::Const(s) if s.dtype == DType::F32 && s.value.to_f64() == want) {
            return Err("a reduction that does not start from its identity, or not in f32".into());
        }
        let name = match op {
            ReduceOp::Sum => "ReduceSum",
            ReduceOp::Max => "ReduceMax",
            ReduceOp::Min => "ReduceMin",
            op => return Err(format!("a reduction by {}", op.name())),
        };
        let x = operand(w, value, *var)?;
        let to = at(w, dst.buffer, &w.print.scalar(dst.index[0]).ok_or("an address of data")?);
        let n = w.print.scalar(*extent).ok_or("a count from data")?;
        let n = if n.known().is_some() { n.s } else { format!("static_cast<int32_t>({})", n.s) };
        Ok(format!("{name}<float>({to}, {x}, partial, {n});"))
    };
    Some(line())
}

/// The one assignment of a lane loop.
pub fn single(body: &[Stmt]) -> Option<(&Element, ExprId, Option<ReduceOp>)> {
    match body {
        [Stmt::Vector { dst, value, reduce }] if dst.guard.is_none() => Some((dst, *value, *reduce)),
        _ => None,
    }
}
