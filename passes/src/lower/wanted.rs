//! Tiles that are asked for in place of those that the tiler chooses: a kernel that would have one of these names gets the tile.
//! A tile that cannot be had is an error of the whole lowering, since the kernel would else be another one than the one asked for.

use std::cell::RefCell;
use std::collections::BTreeMap;

/// What is asked for, and what came of it.
#[derive(Debug, Default)]
pub struct Wanted {
    tiles: BTreeMap<String, Vec<i64>>,
    /// By the name in `tiles`: the name of the kernel with that tile, or why there is none.
    came: RefCell<BTreeMap<String, Result<String, String>>>,
}

impl Wanted {
    /// Tiles by the names of the kernels whose tiles they replace.
    pub fn new(tiles: BTreeMap<String, Vec<i64>>) -> Wanted {
        Wanted { tiles, ..Wanted::default() }
    }

    /// The tile that is asked for in place of this kernel's.
    pub fn tile(&self, kernel: &str) -> Option<&[i64]> {
        self.tiles.get(kernel).map(Vec::as_slice)
    }

    /// Keeps what came of a tile; of several attempts the first that failed counts.
    pub fn came(&self, kernel: &str, what: &Result<String, String>) {
        let mut came = self.came.borrow_mut();
        if came.get(kernel).is_none_or(|old| old.is_ok()) {
            came.insert(kernel.into(), what.clone());
        }
    }

    /// The kernels whose tiles could not be had, and why; `made`: the names of all kernels that there are.
    pub fn missed(&self, made: &[&str]) -> Vec<(String, String)> {
        let came = self.came.borrow();
        let why = |name: &String| {
            match came.get(name) {
            Some(Err(why)) => Some(why.clone()),
            Some(Ok(new)) if made.contains(&new.as_str()) => None,
            Some(Ok(new)) => Some(format!("with the tile it is `{new}`, in whose place other kernels are predicted to be faster")),
            None => Some(
                "there is no such kernel, or its tile cannot be chosen: those of products, convolutions and attentions on the cube unit can"
                    .into(),
            ),
        }
        };
        self.tiles.keys().filter_map(|name| Some((name.clone(), why(name)?))).collect()
    }
}
