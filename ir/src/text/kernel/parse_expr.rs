//! Parsing of expressions.

use super::expr::{COMPARE, infix};
use super::parse::{Parser, variable};
use crate::kernel::{Expr, ExprId, Scalar};
use crate::ops::{BinaryOp, UnaryOp};
use crate::tensor::Num;
use crate::text::lexer::{Kind, Parsed};
use crate::text::{parse_dim, parse_dtype};
use crate::types::DType;

impl Parser<'_, '_> {
    fn push(&mut self, e: Expr) -> ExprId {
        let next = ExprId(self.k.exprs.len() as u32);
        if !self.raw {
            match self.shared.entry(e.clone()) {
                std::collections::hash_map::Entry::Occupied(o) => return *o.get(),
                std::collections::hash_map::Entry::Vacant(v) => v.insert(next),
            };
        }
        self.k.exprs.push(e);
        next
    }

    /// An expression; only brackets nest without bound, and they are counted.
    pub(super) fn expr(&mut self) -> Parsed<ExprId> {
        self.nest()?;
        let e = self.operators(0)?;
        self.depth -= 1;
        Ok(e)
    }

    /// Operands joined by operators that bind at least as strong as `min`.
    fn operators(&mut self, min: u8) -> Parsed<ExprId> {
        let mut left = self.operand()?;
        let mut compared = false;
        loop {
            let ahead =
                BinaryOp::ALL.into_iter().find_map(|op| infix(op).filter(|(sign, _)| self.c.sees(sign)).map(|i| (op, i.1)));
            let Some((op, strength)) = ahead.filter(|a| a.1 >= min) else { return Ok(left) };
            if strength == COMPARE && std::mem::replace(&mut compared, true) {
                return self.c.error("comparisons do not chain; use parentheses");
            }
            self.c.advance();
            // At most one level for each strength.
            let right = self.operators(strength + 1)?;
            left = self.push(Expr::Binary(op, left, right));
        }
    }

    fn operand(&mut self) -> Parsed<ExprId> {
        let at = self.c.pos();
        if self.c.eat("(") {
            let e = self.expr()?;
            self.c.expect(")")?;
            return Ok(e);
        }
        if self.c.sees("%") {
            let (el, other) = self.element()?;
            return Ok(self.push(Expr::Load(el, other)));
        }
        if self.c.kind() == Kind::Number || self.c.sees("-") || matches!(self.c.word(), "inf" | "nan" | "complex") {
            let value = self.number()?;
            let dtype = if self.c.eat(":") { parse_dtype(self.c)? } else { DType::I64 };
            return Ok(self.push(Expr::Const(Scalar { dtype, value })));
        }
        let word = self.c.ident("an expression")?;
        if let Some(e) = self.names.get(word) {
            return Ok(*e);
        }
        if let Some(v) = variable(word) {
            return Ok(self.push(Expr::Var(v)));
        }
        if matches!(word, "true" | "false") {
            return Ok(self.push(Expr::Const(Scalar { dtype: DType::Bool, value: Num::Int((word == "true").into()) })));
        }
        let unary = UnaryOp::ALL.into_iter().find(|u| u.name() == word);
        let binary = BinaryOp::ALL.into_iter().find(|b| b.name() == word);
        if unary.is_none() && binary.is_none() && !matches!(word, "dim" | "cast" | "bitcast" | "select") {
            return self.c.error_at(at, format!("`{word}` is no function and names no expression"));
        }
        self.c.expect("(")?;
        let e = if let Some(op) = unary {
            Expr::Unary(op, self.expr()?)
        } else if let Some(op) = binary {
            let a = self.expr()?;
            self.c.expect(",")?;
            Expr::Binary(op, a, self.expr()?)
        } else if word == "dim" {
            Expr::Dim(parse_dim(self.c, &[])?)
        } else if word == "select" {
            let a = self.expr()?;
            self.c.expect(",")?;
            let b = self.expr()?;
            self.c.expect(",")?;
            Expr::Select(a, b, self.expr()?)
        } else {
            let to = parse_dtype(self.c)?;
            self.c.expect(",")?;
            let a = self.expr()?;
            if word == "cast" { Expr::Cast(to, a) } else { Expr::Bitcast(to, a) }
        };
        self.c.expect(")")?;
        Ok(self.push(e))
    }

    fn number(&mut self) -> Parsed<Num> {
        if self.c.eat("complex") {
            self.c.expect("(")?;
            let r = self.float()?;
            self.c.expect(",")?;
            let i = self.float()?;
            self.c.expect(")")?;
            return Ok(Num::Complex(r, i));
        }
        let mut ahead = self.c.clone();
        ahead.eat("-");
        if ahead.kind() == Kind::Number && !ahead.word().contains(['.', 'e', 'E']) {
            return Ok(Num::Int(self.c.int("an integer")?));
        }
        self.float().map(Num::Float)
    }

    fn float(&mut self) -> Parsed<f64> {
        let minus = self.c.eat("-");
        let at = self.c.pos();
        let v = match self.c.word() {
            "inf" => f64::INFINITY,
            "nan" => {
                self.c.advance();
                if !self.c.eat("(") {
                    return Ok(f64::NAN);
                }
                let bits = self.c.word().strip_prefix("0x").and_then(|h| u64::from_str_radix(h, 16).ok());
                let Some(bits) = bits else { return self.c.expected("64 bits in hexadecimal") };
                self.c.advance();
                self.c.expect(")")?;
                return Ok(f64::from_bits(bits));
            }
            w => match w.parse::<f64>() {
                Ok(v) if self.c.kind() == Kind::Number => v,
                _ => return self.c.error_at(at, format!("`{w}` is not a number")),
            },
        };
        self.c.advance();
        Ok(if minus { -v } else { v })
    }
}
