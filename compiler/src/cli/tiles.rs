//! `--tile`: tiles of an NPU's kernels in place of those that the tiler chooses, to see what others cost.

use beiming_ir::target::Family;

use super::failure::{Failure, Result};
use super::model::Model;
use crate::stage::Ir;

/// The option, of the commands that show what came of it.
#[derive(clap::Args, Clone, Debug, Default)]
#[group(skip)]
pub struct Args {
    /// For an NPU: a tile in place of a kernel's own. The kernel by the name that `explain` prints without the option; the tile as
    /// `128x256x64`, rows, columns and depth of a product or convolution on the cube unit, `64x128`, queries and keys of an
    /// attention, or `7x64x32`, positions, channels and input channels of a window on the vector unit. One that does not fit is an error that names the largest that does.
    #[arg(long, value_name = "KERNEL=TILE")]
    tile: Vec<String>,
}

impl Args {
    /// True where none is asked for.
    pub fn is_empty(&self) -> bool {
        self.tile.is_empty()
    }

    /// Asks for them in the model's options.
    pub fn apply(&self, model: &mut Model) -> Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        if model.target.family != Family::Ascend {
            let what = format!("`--tile` is about kernels for an NPU, and {} is none", model.target.name);
            return Err(Failure::usage(what).help("`beiming targets` lists the chips"));
        }
        if matches!(&model.staged, Some(s) if matches!(s.ir, Ir::Program(..) | Ir::Kernels(_))) {
            return Err(Failure::usage("`--tile` comes too late: the tiles of a program are chosen")
                .help("start from the model or from an earlier stage"));
        }
        for text in &self.tile {
            let (kernel, tile) = read(text).map_err(Failure::usage)?;
            if model.options.lower.tiles.insert(kernel.into(), tile).is_some() {
                return Err(Failure::usage(format!("two tiles for `{kernel}`")));
            }
        }
        Ok(())
    }
}

/// `KERNEL=64x128`.
fn read(text: &str) -> std::result::Result<(&str, Vec<i64>), String> {
    let wrong = || format!("`{text}` is no kernel and its tile: `--tile KERNEL=128x256x64`");
    let (kernel, tile) = text.split_once('=').filter(|(k, _)| !k.is_empty()).ok_or_else(wrong)?;
    let number = |n: &str| n.parse().ok().filter(|n: &i64| *n > 0);
    Ok((kernel, tile.split('x').map(number).collect::<Option<Vec<i64>>>().ok_or_else(wrong)?))
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn a_kernel_and_its_tile() {
        for (text, want) in [
            ("matmul_f16_t64__a=128x256x64", Some(("matmul_f16_t64__a", vec![128, 256, 64]))),
            ("k=16", Some(("k", vec![16]))),
            ("k", None),
            ("=16x16", None),
            ("k=", None),
            ("k=16x", None),
            ("k=16x-16", None),
            ("k=0x16", None),
            ("k=16 x 16", None),
            ("k=99999999999999999999", None),
        ] {
            assert_eq!(read(text).ok(), want, "{text}");
        }
    }
}
