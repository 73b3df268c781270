//! Where an artifact runs: on the CPU, on an NPU through CANN, or on the simulator of one.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use beiming_runtime::acl::{Device, DeviceOptions};
use beiming_runtime::{Module, Options, Session};

use super::failure::{Failure, Result};
use super::session;

/// Arguments.
#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
pub struct Args {
    /// For artifacts with kernels for an NPU: `npu`, `npu:N` or `sim`, the simulator. [default: npu]
    #[arg(long, value_name = "DEVICE")]
    device: Option<Choice>,
    /// Folder with the kernels' binaries, NAME/NAME.o: `fatbin` of the emitted project. [default: compiled when needed]
    #[arg(long, value_name = "DIR")]
    kernels: Option<PathBuf>,
}

/// A device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Choice {
    Npu(i32),
    Sim,
}

impl FromStr for Choice {
    type Err = String;
    fn from_str(s: &str) -> std::result::Result<Choice, String> {
        match (s, s.strip_prefix("npu:").map(str::parse)) {
            ("sim", _) => Ok(Choice::Sim),
            ("npu", _) => Ok(Choice::Npu(0)),
            (_, Some(Ok(n))) if n >= 0 => Ok(Choice::Npu(n)),
            _ => Err("expected `npu`, `npu:N` or `sim`".into()),
        }
    }
}

impl Args {
    /// Where the simulator lies, if that is the device of an artifact.
    #[cfg(feature = "compile")]
    pub fn simulator(&self, module: &Module) -> Result<Option<PathBuf>> {
        match (&module.manifest().device, self.device) {
            (Some(about), Some(Choice::Sim)) => simulator(&about.target).map(Some),
            _ => Ok(None),
        }
    }

    /// A session where the arguments say.
    pub fn start(&self, path: &Path, module: &Arc<Module>, options: Options) -> Result<Session> {
        let Some(about) = &module.manifest().device else {
            if self.device.is_some() || self.kernels.is_some() {
                return Err(Failure::usage(format!("the artifact is for `{}`, which is no NPU", module.manifest().target.name))
                    .help("compile it with `--target ascend910b1` or another of `beiming targets`"));
            }
            return session::start(path, module, options);
        };
        let mut device = DeviceOptions { kernels: self.kernels.clone(), ..DeviceOptions::default() };
        match self.device {
            Some(Choice::Sim) => device.root = Some(simulator(&about.target)?),
            Some(Choice::Npu(id)) => device.id = id,
            None => {}
        }
        let session = Device::open(&device).and_then(|d| Session::on_device(module, options, &d));
        session.map_err(|e| Failure::runtime(path, &e))
    }
}

/// The simulator of a chip, set up in the cache.
#[cfg(feature = "compile")]
fn simulator(target: &str) -> Result<PathBuf> {
    use super::diagnostic::Diagnostic;
    use super::failure::Exit;
    let Some(npu) = beiming_ir::target::npu::Npu::by_name(target) else {
        return Err(Failure::new(Exit::Unsupported, Diagnostic::error("E0603", format!("unknown target `{target}`"))));
    };
    let cache = cache();
    std::fs::create_dir_all(&cache).map_err(|e| Failure::io("make the folder", &cache, &e))?;
    beiming_ascend::install::root(&cache, &npu).map_err(|e| Failure::new(Exit::Io, Diagnostic::error("E0908", e.to_string())))
}

#[cfg(not(feature = "compile"))]
fn simulator(_: &str) -> Result<PathBuf> {
    Err(Failure::usage("this beiming was built without the simulator (feature `compile`)"))
}

/// Where things are kept that can be made again.
#[cfg(feature = "compile")]
fn cache() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let of_user = || set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    set("BEIMING_CACHE_DIR").or_else(|| Some(of_user()?.join("beiming"))).unwrap_or_else(|| std::env::temp_dir().join("beiming"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn devices_by_name() {
        for (text, want) in [
            ("npu", Some(Choice::Npu(0))),
            ("npu:3", Some(Choice::Npu(3))),
            ("sim", Some(Choice::Sim)),
            ("npu:-1", None),
            ("gpu", None),
        ] {
            assert_eq!(text.parse::<Choice>().ok(), want, "{text}");
        }
    }
}
