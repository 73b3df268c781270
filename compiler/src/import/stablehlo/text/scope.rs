//! Which names of values are known at a place of the text.

use std::collections::HashMap;

use super::cursor::{Bad, Result};
use crate::import::stablehlo::syntax::Value;

/// Stands for a value whose definition is wrong: its uses are not reported again.
pub(super) const WRONG: Value = Value(u32::MAX);

/// What a name stands for: one value, or a pack of them.
#[derive(Clone, Copy)]
pub(super) struct Named {
    first: Value,
    count: u32,
    /// The region that defines it.
    level: u32,
}

/// Names of values by region. A region sees what is around it; when it ends, its own names end.
#[derive(Default)]
pub(super) struct Scope<'a> {
    names: HashMap<&'a [u8], Named>,
    /// What was hidden or new in each open region.
    undo: Vec<(&'a [u8], Option<Named>)>,
    /// Where each open region begins in `undo`.
    regions: Vec<usize>,
}

impl<'a> Scope<'a> {
    /// Forgets everything: functions do not see each other.
    pub fn clear(&mut self) {
        self.names.clear();
        self.undo.clear();
        self.regions.clear();
    }

    pub fn enter(&mut self) {
        self.regions.push(self.undo.len());
    }

    pub fn leave(&mut self) {
        let start = self.regions.pop().unwrap_or(0);
        for (name, old) in self.undo.drain(start..).rev() {
            match old {
                Some(old) => self.names.insert(name, old),
                None => self.names.remove(name),
            };
        }
    }

    /// True inside a region of an operation of a function.
    pub fn inside_region(&self) -> bool {
        self.regions.len() > 1
    }

    /// Defines a name for `count` values from `first`.
    pub fn define(&mut self, name: &'a [u8], first: Value, count: u32, at: usize) -> Result<()> {
        let level = self.regions.len() as u32;
        let old = self.names.insert(name, Named { first, count, level });
        self.undo.push((name, old));
        match old {
            Some(old) if old.level == level => {
                Err(Bad { at, message: format!("`%{}` is defined twice", String::from_utf8_lossy(name)) })
            }
            _ => Ok(()),
        }
    }

    /// The value of a name, of its `index` in a pack.
    pub fn find(&self, name: &[u8], index: Option<u32>, at: usize) -> Result<Value> {
        let shown = || String::from_utf8_lossy(name);
        let Some(named) = self.names.get(name) else {
            return Err(Bad { at, message: format!("`%{}` is not defined before it is used", shown()) });
        };
        if named.first == WRONG {
            return Ok(WRONG);
        }
        let index = index.unwrap_or(0);
        if index >= named.count {
            return Err(Bad { at, message: format!("`%{}` has {} values, there is no #{index}", shown(), named.count) });
        }
        Ok(Value(named.first.0 + index))
    }
}
