//! Regions: one block each, with or without a label.

use super::Parser;
use super::cursor::{Bad, Result};
use crate::import::stablehlo::syntax::{Attrs, Block, Type};

/// An argument of a block: its name, its type, and where it is written.
pub(super) type Argument<'a> = (&'a [u8], Type, usize);

impl<'a> Parser<'a> {
    /// `{ operations }` or `{ ^label(%a: type): operations }`. `args` are arguments that were written before the brace.
    pub fn region(&mut self, args: &[Argument<'a>]) -> Result<Block> {
        self.c.space();
        let at = self.c.pos;
        self.c.expect("{")?;
        self.scope.enter();
        let out = self.nested(|p| p.region_body(args, at));
        self.scope.leave();
        out
    }

    fn region_body(&mut self, args: &[Argument<'a>], at: usize) -> Result<Block> {
        let mut block = Block::default();
        self.block_args(args.to_vec(), &mut block)?;
        let mut labels = 0;
        loop {
            match self.c.peek() {
                b'}' => {
                    self.c.pos += 1;
                    return Ok(block);
                }
                0 if self.c.done() => return Err(Bad { at, message: "the `}` that closes this is missing".into() }),
                b'^' => {
                    labels += 1;
                    let start = self.c.pos;
                    if labels > 1 || !block.ops.is_empty() {
                        self.report(Bad { at: start, message: "a second block: every region has one block".into() });
                    }
                    if let Err(e) = self.label(&mut block) {
                        self.report(e);
                        self.next_line();
                    }
                }
                _ => {
                    let start = self.c.pos;
                    match self.operation() {
                        Ok(op) => block.ops.push(op),
                        Err(e) => self.recover(start, e),
                    }
                }
            }
            if self.hopeless() {
                self.c.pos = self.c.src.len();
            }
        }
    }

    /// `^bb0(%a: type loc(..), ..):`.
    fn label(&mut self, block: &mut Block) -> Result<()> {
        self.c.expect("^")?;
        self.c.suffix()?;
        if self.c.peek() == b'(' {
            let args = self.arguments()?;
            self.block_args(args, block)?;
        }
        self.c.expect(":")
    }

    /// `(%a: type {..} loc(..), ..)`; what dictionaries say about arguments of a block is not kept.
    pub fn arguments(&mut self) -> Result<Vec<Argument<'a>>> {
        let mut args = vec![];
        self.c.expect("(")?;
        if self.c.eat(")") {
            return Ok(args);
        }
        loop {
            args.push(self.argument()?);
            if self.c.peek() == b'{' {
                self.dict_into(&mut Attrs::new())?;
                self.maybe_loc()?;
            }
            if !self.c.eat(",") {
                break;
            }
        }
        self.c.expect(")")?;
        Ok(args)
    }

    /// `%a: type loc(..)`.
    pub fn argument(&mut self) -> Result<Argument<'a>> {
        self.c.space();
        let at = self.c.pos;
        self.c.expect("%")?;
        let name = self.c.suffix()?;
        self.c.expect(":")?;
        let ty = self.ty()?;
        self.maybe_loc()?;
        Ok((name, ty, at))
    }

    fn block_args(&mut self, args: Vec<Argument<'a>>, block: &mut Block) -> Result<()> {
        for (name, ty, at) in args {
            let v = self.new_value(ty);
            block.args.push(v);
            if !name.is_empty() {
                self.scope.define(name, v, 1, at)?;
            }
        }
        Ok(())
    }
}
