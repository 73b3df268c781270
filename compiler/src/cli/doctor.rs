//! `beiming doctor`: what there is of Huawei's driver, CANN and NPUs, what of it fits together, and what the CPU offers.

use std::path::{Path, PathBuf};

use beiming_ir::target::{CPU_TARGETS, Target};
use beiming_runtime::acl::{Device, DeviceOptions, library::Library};
use serde::Serialize;
use serde_json::json;

use super::doctor_probe::{Found, look, target_of};
use super::failure::{Exit, Result};
use super::{output, targets};

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Look below this folder instead of /; nothing of it is loaded.
    #[arg(long, value_name = "DIR", hide = true)]
    root: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Something to know.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
struct Finding {
    /// It keeps models from running on the NPU.
    problem: bool,
    /// What.
    what: String,
    /// What can be done.
    help: String,
}

/// What the driver says about its devices.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
struct Chip {
    id: u32,
    /// Name by the driver.
    soc: String,
    /// Our target for it.
    target: Option<&'static str>,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Exit> {
    let home = std::env::var_os("ASCEND_HOME_PATH").map(PathBuf::from).filter(|_| args.root.is_none());
    let path = std::env::var("PATH").ok().filter(|_| args.root.is_none());
    let found = look(args.root.as_deref().unwrap_or(Path::new("/")), home, path.as_deref());
    let (chips, loading) = match &args.root {
        Some(_) => (vec![], None),
        None => chips(&found),
    };
    let findings = judge(&found, &chips, loading.as_deref());
    let fitting: Vec<String> = CPU_TARGETS
        .into_iter()
        .filter_map(Target::by_name)
        .filter(|t| targets::runs_here(t) == "yes")
        .map(|t| t.name)
        .chain(chips.iter().filter_map(|c| c.target.map(ToString::to_string)))
        .collect();
    if args.json {
        output::print_json(&json!({ "found": found, "chips": chips, "targets": fitting, "findings": findings }))?;
    } else {
        output::print(&text(&found, &chips, &fitting, &findings))?;
    }
    Ok(if findings.iter().any(|f| f.problem) { Exit::Findings } else { Exit::Ok })
}

/// The devices through AscendCL, or why it cannot be loaded.
fn chips(found: &Found) -> (Vec<Chip>, Option<String>) {
    if found.toolkits.is_empty() && found.home.is_none() {
        return (vec![], None);
    }
    let count = match Library::open(None).and_then(|l| l.devices()) {
        Ok(n) => n,
        Err(e) => return (vec![], Some(e.to_string())),
    };
    let mut chips = vec![];
    for id in 0..count {
        match Device::open(&DeviceOptions { id: id as i32, ..DeviceOptions::default() }) {
            Ok(d) => chips.push(Chip { id, target: target_of(&d.soc()), soc: d.soc() }),
            Err(e) => return (chips, Some(format!("device {id}: {e}"))),
        }
    }
    (chips, None)
}

/// What fits together and what does not.
fn judge(f: &Found, chips: &[Chip], loading: Option<&str>) -> Vec<Finding> {
    let mut out = vec![];
    let mut add = |problem: bool, what: String, help: &str| out.push(Finding { problem, what, help: help.into() });
    let any = f.driver.is_some() || !f.devices.is_empty() || !f.toolkits.is_empty() || f.home.is_some();
    if !any {
        add(
            false,
            "no trace of an NPU, its driver or CANN".into(),
            "models run on the CPU; `beiming run --device sim` simulates an NPU",
        );
        return out;
    }
    if let Some(home) = f.home.as_ref().filter(|h| !h.is_dir()) {
        add(
            true,
            format!("ASCEND_HOME_PATH names {}, which is no folder", home.display()),
            "source set_env.sh of the toolkit that is installed",
        );
    }
    if f.driver.is_none() {
        add(
            !f.devices.is_empty(),
            "no driver in /usr/local/Ascend/driver".into(),
            "in a container, mount it and the device nodes",
        );
    }
    if f.driver.is_some() && f.devices.is_empty() {
        add(
            true,
            "a driver, and no device node /dev/davinci0".into(),
            "the driver is not loaded, or the container was given no device",
        );
    }
    if f.firmware_fits == Some(false) {
        let [driver, firmware] = [&f.driver, &f.firmware].map(|v| v.as_deref().unwrap_or_default());
        let what = format!("firmware {firmware} is none that driver {driver} names as compatible");
        add(true, what, "install the firmware of the driver's release, or the other way round");
    }
    if !f.missing_nodes.is_empty() {
        add(true, format!("missing: {}", f.missing_nodes.join(", ")), "give them to the container beside /dev/davinci*");
    }
    if !f.closed_nodes.is_empty() {
        add(true, format!("this user may not open {}", f.closed_nodes.join(", ")), "join the group HwHiAiUser");
    }
    match f.toolkits.first() {
        None => add(true, "no CANN toolkit".into(), "install it, or set ASCEND_HOME_PATH to where it is"),
        Some(t) => {
            let here = std::env::consts::ARCH;
            if !t.hosts.is_empty() && !t.hosts.iter().any(|h| h == here) {
                let what = format!("{} is for hosts of {}, this is {here}", t.path.display(), t.hosts.join(", "));
                add(true, what, "install the toolkit for this instruction set");
            }
            if !t.ascendcl {
                add(true, format!("{} has no lib64/libascendcl.so", t.path.display()), "install the toolkit's runtime");
            }
            if !t.rtc {
                let help = "build the project of `beiming compile -o FOLDER/` and run with `--kernels FOLDER/fatbin`";
                add(false, format!("{} has no libacl_rtc.so: kernels are not compiled at run time", t.path.display()), help);
            }
            if t.compiler.is_none() {
                add(
                    false,
                    format!("{} has no bisheng, the compiler for kernels", t.path.display()),
                    "the toolkit has it, the runtime package has not",
                );
            }
            if f.driver.is_some() {
                let help = "Huawei's release notes list the pairs; this program holds no such table";
                add(false, "whether this driver and this toolkit suit each other is not checked".into(), help);
            }
        }
    }
    for t in f.toolkits.iter().skip(1) {
        add(false, format!("another toolkit in {} is not used", t.path.display()), "ASCEND_HOME_PATH chooses");
    }
    if let Some(why) = loading {
        add(true, why.to_string(), "libraries of the driver (libascend_hal.so) must be on the loader's path: source set_env.sh");
    }
    for c in chips.iter().filter(|c| c.target.is_none()) {
        add(true, format!("device {} is {}, for which there is no target", c.id, c.soc), "`beiming targets` lists what there is");
    }
    out
}

fn text(f: &Found, chips: &[Chip], targets: &[String], findings: &[Finding]) -> String {
    let h = &f.host;
    let or = |o: &Option<String>| match o.as_deref() {
        None => "not found".to_string(),
        Some("") => "found, of unknown version".into(),
        Some(v) => v.into(),
    };
    let mut rows = vec![
        ("CPU", format!("{}, {}, {} cores, vectors of {} bits", h.cpu, h.arch, h.cores, h.vector_bits)),
        ("memory", format!("{} MiB, {} NUMA nodes, huge pages: {}", h.memory_mib, h.numa_nodes, h.huge_pages)),
        ("driver", or(&f.driver)),
        ("firmware", or(&f.firmware) + if f.firmware_fits == Some(true) { ", which the driver names as compatible" } else { "" }),
        ("npu-smi", f.npu_smi.as_ref().map_or("not found".into(), |p| p.display().to_string())),
        (
            "device nodes",
            if f.devices.is_empty() {
                "none".into()
            } else {
                f.devices.iter().map(|d| format!("/dev/davinci{d}")).collect::<Vec<_>>().join(" ")
            },
        ),
    ];
    for t in &f.toolkits {
        let version = t.version.as_deref().unwrap_or("unknown version");
        let has = [("libascendcl", t.ascendcl), ("libacl_rtc", t.rtc), ("bisheng", t.compiler.is_some())];
        let has: Vec<&str> = has.iter().filter(|h| h.1).map(|h| h.0).collect();
        rows.push((
            "CANN",
            format!("{version} in {} ({})", t.path.display(), if has.is_empty() { "empty".into() } else { has.join(", ") }),
        ));
    }
    if f.toolkits.is_empty() {
        rows.push(("CANN", "not found".into()));
    }
    for c in chips {
        rows.push(("NPU", format!("{}: {}, target {}", c.id, c.soc, c.target.unwrap_or("none"))));
    }
    rows.push(("targets", targets.join(", ")));
    let mut out: String = rows.iter().map(|(k, v)| format!("{k:<13} {v}\n")).collect();
    for f in findings {
        out += &format!("{}: {}\n  help: {}\n", if f.problem { "problem" } else { "note" }, f.what, f.help);
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// An installation: files by path, folders end in `/`.
    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        dir
    }

    fn problems(files: &[(&str, &str)]) -> (Found, Vec<String>) {
        let dir = root(files);
        let found = look(dir.path(), None, None);
        let what = judge(&found, &[], None).into_iter().filter(|f| f.problem).map(|f| f.what).collect();
        (found, what)
    }

    const NODES: [(&str, &str); 4] =
        [("dev/davinci0", ""), ("dev/davinci_manager", ""), ("dev/devmm_svm", ""), ("dev/hisi_hdc", "")];
    const DRIVER: (&str, &str) = ("usr/local/Ascend/driver/version.info", "Version=24.1.rc2\nascendhal_version=7.35.19\n");

    #[test]
    fn nothing() {
        let (found, problems) = problems(&[]);
        assert_eq!((found.driver, found.devices, found.toolkits.len(), problems.len()), (None, vec![], 0, 0));
    }

    #[test]
    fn all_of_it() {
        let arch = std::env::consts::ARCH;
        let info = format!("usr/local/Ascend/ascend-toolkit/latest/{arch}-linux/ascend_toolkit_install.info");
        let mut files = vec![
            DRIVER,
            ("usr/local/Ascend/firmware/version.info", "Version=7.5.0.1.129\n"),
            ("usr/local/sbin/npu-smi", ""),
            ("dev/davinci3", ""),
            (&info, "package_name=Ascend-cann-toolkit\nversion=8.3.RC1\n"),
            ("usr/local/Ascend/ascend-toolkit/latest/lib64/libascendcl.so", ""),
            ("usr/local/Ascend/ascend-toolkit/latest/lib64/libacl_rtc.so", ""),
            ("usr/local/Ascend/ascend-toolkit/latest/compiler/ccec_compiler/bin/bisheng", ""),
            ("proc/cpuinfo", "CPU implementer\t: 0x48\nCPU part\t: 0xd01\n"),
            ("proc/meminfo", "MemTotal:       527900224 kB\n"),
            ("sys/devices/system/node/node0/x", ""),
            ("sys/devices/system/node/node1/x", ""),
            ("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n"),
        ];
        files.extend(NODES);
        let (found, problems) = problems(&files);
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!((found.driver.as_deref(), found.firmware.as_deref()), (Some("24.1.rc2"), Some("7.5.0.1.129")));
        assert_eq!((found.devices.as_slice(), found.npu_smi.is_some()), (&[0, 3][..], true));
        let t = &found.toolkits[0];
        assert_eq!((t.version.as_deref(), t.ascendcl, t.rtc, t.compiler.is_some()), (Some("8.3.RC1"), true, true, true));
        let h = &found.host;
        assert_eq!((h.cpu.as_str(), h.numa_nodes, h.memory_mib), ("part 0xd01 (Kunpeng 920)", 2, 515_527));
        assert_eq!(h.huge_pages, "madvise");
        let shown =
            text(&found, &[Chip { id: 0, soc: "Ascend910B1".into(), target: Some("ascend910b1") }], &["host".into()], &[]);
        assert!(shown.contains("8.3.RC1 in") && shown.contains("0: Ascend910B1, target ascend910b1"), "{shown}");
    }

    #[test]
    fn what_does_not_fit() {
        let other = if cfg!(target_arch = "x86_64") { "aarch64" } else { "x86_64" };
        let foreign = format!("usr/local/Ascend/cann/{other}-linux/x");
        let toolkit =
            [("usr/local/Ascend/cann/lib64/libascendcl.so", ""), ("usr/local/Ascend/cann/version.info", "Version=9.0.0\n")];
        for (files, want) in [
            (vec![DRIVER, toolkit[0]], "no device node"),
            (vec![DRIVER, NODES[0], toolkit[0]], "missing: /dev/davinci_manager, /dev/devmm_svm, /dev/hisi_hdc"),
            ([&[DRIVER][..], &NODES].concat(), "no CANN toolkit"),
            ([&[DRIVER, toolkit[1]][..], &NODES].concat(), "has no lib64/libascendcl.so"),
            ([&[DRIVER, toolkit[0], (&foreign, "")][..], &NODES].concat(), "is for hosts of"),
            ([&toolkit[..], &NODES].concat(), "no driver"),
        ] {
            let (_, problems) = problems(&files);
            assert!(problems.len() == 1 && problems[0].contains(want), "{want}: {problems:?}");
        }
        let dir = root(&[DRIVER]);
        let found = look(dir.path(), Some("/nowhere".into()), None);
        assert!(judge(&found, &[], None).iter().any(|f| f.what.contains("ASCEND_HOME_PATH names /nowhere")));
    }

    /// The driver's file names the firmware that it works with.
    #[test]
    fn driver_and_firmware() {
        let toolkit = ("usr/local/Ascend/cann/lib64/libascendcl.so", "");
        for (ranges, version, fits) in [
            ("[7.0.0,7.2.99]", "7.1.0.11.220", Some(true)),
            ("[6.4.0,6.4.99],[7.0.0,7.7.99]", "7.7.0.1.231", Some(true)),
            ("[6.4.0,6.4.99],[7.0.0,7.7.99]", "6.4.12.1.241", Some(true)),
            ("[6.4.0,6.4.99],[7.0.0,7.7.99]", "7.8.0.1.1", Some(false)),
            ("[7.0.0,7.2.99]", "6.3.0", Some(false)),
            ("[V100R001C13],[V100R001C15]", "7.1.0", None),
            ("[7.0.0,7.2.99]", "unknown", None),
        ] {
            let driver = format!("Version=24.1.rc1\nascendhal_version=7.35.19\ncompatible_version_fw={ranges}\n");
            let firmware = format!("Version={version}\nfirmware_version=1.0\n");
            let mut files = vec![
                ("usr/local/Ascend/driver/version.info", driver.as_str()),
                ("usr/local/Ascend/firmware/version.info", firmware.as_str()),
                toolkit,
            ];
            files.extend(NODES);
            let (found, problems) = problems(&files);
            assert_eq!(found.firmware_fits, fits, "{ranges} {version}");
            let says = problems.iter().any(|p| p.contains("is none that driver 24.1.rc1 names as compatible"));
            assert_eq!((says, problems.len()), (fits == Some(false), usize::from(fits == Some(false))), "{problems:?}");
            assert_eq!(text(&found, &[], &[], &[]).contains("which the driver names as compatible"), fits == Some(true));
        }
    }

    #[test]
    fn chips_and_targets() {
        for (soc, want) in [
            ("Ascend910B1", Some("ascend910b1")),
            ("Ascend910B4-1", Some("ascend910b4")),
            ("Ascend910B2C", Some("ascend910b2c")),
            ("Ascend910_9392", Some("ascend910c")),
            ("Ascend950PR_9579", Some("ascend950")),
            ("Ascend310P3", Some("ascend310p3")),
            ("Ascend910A", None),
            ("Ascend310B4", None),
        ] {
            assert_eq!(target_of(soc), want, "{soc}");
        }
    }
}
