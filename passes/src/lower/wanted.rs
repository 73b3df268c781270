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

    /// True for a kernel that has its tile because it was asked for.
    pub fn made(&self, kernel: &str) -> bool {
        self.came.borrow().values().any(|c| c.as_deref() == Ok(kernel))
    }

    /// The kernels whose tiles could not be had, and why; `made`: the names of all kernels that there are.
    pub fn missed(&self, made: &[&str]) -> Vec<(String, String)> {
        let came = self.came.borrow();
        let why = |name: &String| {
            match came.get(name) {
            Some(Err(why)) => Some(why.clone()),
            Some(Ok(new)) if made.contains(&new.as_str()) => None,
            Some(Ok(new)) => Some(format!("with the tile it is `{new}`, in whose place others are taken")),
            None => Some(
                "there is no such kernel, or its tile cannot be chosen: those of products, convolutions, attentions, windows and reductions across rows can"
                    .into(),
            ),
        }
        };
        self.tiles.keys().filter_map(|name| Some((name.clone(), why(name)?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_of_each_is_told() {
        let w = Wanted::new(["kept", "left", "wrong", "nobody"].map(|n| (n.to_string(), vec![16, 16])).into());
        assert_eq!((w.tile("kept"), w.tile("other")), (Some(&[16i64, 16][..]), None));
        w.came("kept", &Ok("kept_t16x16".into()));
        w.came("left", &Ok("left_t16x16".into()));
        // Of several attempts the first that failed counts.
        w.came("wrong", &Ok("wrong_t16x16".into()));
        w.came("wrong", &Err("too large".into()));
        w.came("wrong", &Ok("wrong_t16x16".into()));
        assert!(w.made("kept_t16x16") && !w.made("kept") && !w.made("wrong_t16x16"));
        let missed = w.missed(&["kept_t16x16", "wrong_t16x16"]);
        let told: Vec<(&str, bool, bool)> =
            missed.iter().map(|(n, why)| (n.as_str(), why.contains("no such kernel"), why.contains("left_t16x16"))).collect();
        assert_eq!(told, [("left", false, true), ("nobody", true, false), ("wrong", false, false)]);
    }
}
