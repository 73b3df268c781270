//! What `beiming doctor` looks at: files of Huawei's driver and CANN toolkits under a root, device nodes, and facts about the CPU.
//! Nothing is changed and no program is started.

use std::path::{Path, PathBuf};

use beiming_ir::target::Target;
use beiming_ir::target::npu::{ASCEND_TARGETS, Npu};
use serde::Serialize;

/// Where toolkits are installed, below the root; the first ones win.
const TOOLKITS: [&str; 3] = ["usr/local/Ascend/cann", "usr/local/Ascend/ascend-toolkit/latest", "usr/local/Ascend/latest"];
/// Files of a toolkit that name its version, and the key they have it under.
const VERSIONS: [(&str, &str); 5] = [
    ("ARCH-linux/ascend_toolkit_install.info", "version"),
    ("version.cfg", "toolkit_running_version"),
    ("version.info", "Version"),
    ("compiler/version.info", "Version"),
    ("runtime/version.info", "Version"),
];
/// Folders of a toolkit that the device compiler may lie in.
const COMPILERS: [&str; 3] = ["bin", "compiler/ccec_compiler/bin", "tools/bisheng_compiler/bin"];
/// Device nodes besides those of the chips.
const MANAGERS: [&str; 3] = ["davinci_manager", "devmm_svm", "hisi_hdc"];

/// A CANN toolkit.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Toolkit {
    /// Its root.
    pub path: PathBuf,
    /// Version, if a file says it.
    pub version: Option<String>,
    /// Instruction sets of the hosts it has libraries for.
    pub hosts: Vec<String>,
    /// `libascendcl.so` is there.
    pub ascendcl: bool,
    /// `libacl_rtc.so` is there: kernels can be compiled when a session starts.
    pub rtc: bool,
    /// The device compiler, `bisheng`.
    pub compiler: Option<PathBuf>,
}

/// The CPU.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Host {
    /// Instruction set.
    pub arch: String,
    /// The CPU's own name, or its part number.
    pub cpu: String,
    /// Cores this process may use.
    pub cores: usize,
    /// Bits of a vector.
    pub vector_bits: u32,
    /// NUMA nodes; 0 where the system does not say.
    pub numa_nodes: usize,
    /// MiB of memory; 0 where the system does not say.
    pub memory_mib: u64,
    /// Whether large buffers get huge pages: `always`, `madvise` or `never`.
    pub huge_pages: String,
}

/// All that was found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Found {
    /// The CPU.
    pub host: Host,
    /// Version of the driver; empty where its file does not say.
    pub driver: Option<String>,
    /// Version of the firmware.
    pub firmware: Option<String>,
    /// Whether that is a version which the driver says that it works with; `None` where their files do not say.
    pub firmware_fits: Option<bool>,
    /// `npu-smi`.
    pub npu_smi: Option<PathBuf>,
    /// Device nodes of the chips, by number.
    pub devices: Vec<u32>,
    /// Nodes that a working driver has besides, and that are missing; empty without any device node.
    pub missing_nodes: Vec<String>,
    /// Device nodes that this user may not open.
    pub closed_nodes: Vec<String>,
    /// `ASCEND_HOME_PATH`.
    pub home: Option<PathBuf>,
    /// Toolkits, the one that is used first.
    pub toolkits: Vec<Toolkit>,
}

/// The value of `key=value` or `key: value` in a file, without brackets and quotes around it.
fn value(path: &Path, key: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    text.lines().find_map(|l| {
        let (k, v) = l.split_once(['=', ':'])?;
        (k.trim().eq_ignore_ascii_case(key)).then(|| v.trim().trim_matches(['"', '[', ']']).to_string())
    })
}

impl Toolkit {
    fn at(path: PathBuf) -> Option<Toolkit> {
        if !path.is_dir() {
            return None;
        }
        let hosts: Vec<String> = ["aarch64", "x86_64"]
            .into_iter()
            .filter(|a| path.join(format!("{a}-linux")).is_dir())
            .map(ToString::to_string)
            .collect();
        let version = VERSIONS.iter().find_map(|(file, key)| {
            let arch = hosts.first().map_or("", String::as_str);
            value(&path.join(file.replace("ARCH", arch)), key)
        });
        let compiler = COMPILERS.iter().map(|c| path.join(c).join("bisheng")).find(|p| p.is_file());
        let has = |name: &str| path.join("lib64").join(name).is_file();
        Some(Toolkit { version, hosts, ascendcl: has("libascendcl.so"), rtc: has("libacl_rtc.so"), compiler, path })
    }
}

/// Looks below `root`, which is `/` but in tests.
pub fn look(root: &Path, home: Option<PathBuf>, path: Option<&str>) -> Found {
    let ascend = root.join("usr/local/Ascend");
    let version = |part: &str| {
        let file = ascend.join(part).join("version.info");
        file.is_file().then(|| value(&file, "Version").unwrap_or_default())
    };
    let mut devices: Vec<u32> = std::fs::read_dir(root.join("dev"))
        .into_iter()
        .flatten()
        .filter_map(|e| e.ok()?.file_name().to_str()?.strip_prefix("davinci")?.parse().ok())
        .collect();
    devices.sort_unstable();
    let node = |n: &str| root.join("dev").join(n);
    let missing = MANAGERS.iter().filter(|n| !devices.is_empty() && !node(n).exists()).map(|n| format!("/dev/{n}"));
    let mine = devices.iter().map(|d| format!("davinci{d}")).chain(MANAGERS.iter().map(ToString::to_string));
    let closed = mine.filter(|n| {
        let opened = std::fs::OpenOptions::new().read(true).write(true).open(node(n));
        opened.is_err_and(|e| e.kind() == std::io::ErrorKind::PermissionDenied)
    });
    let closed_nodes = closed.map(|n| format!("/dev/{n}")).collect();
    let usual = ["usr/local/bin", "usr/local/sbin", "usr/bin", "usr/sbin"].map(|p| root.join(p));
    let searched = path.into_iter().flat_map(std::env::split_paths);
    let npu_smi = usual.into_iter().chain(searched).map(|p| p.join("npu-smi")).find(|p| p.is_file());
    let mut toolkits: Vec<Toolkit> = vec![];
    for path in home.iter().cloned().chain(TOOLKITS.iter().map(|t| root.join(t))) {
        let same = |t: &Toolkit| std::fs::canonicalize(&t.path).ok() == std::fs::canonicalize(&path).ok();
        if !toolkits.iter().any(same) {
            toolkits.extend(Toolkit::at(path));
        }
    }
    Found {
        host: host(root),
        driver: version("driver"),
        firmware_fits: version("firmware")
            .and_then(|v| within(&v, &value(&ascend.join("driver/version.info"), "compatible_version_fw")?)),
        firmware: version("firmware"),
        npu_smi,
        missing_nodes: missing.collect(),
        devices,
        closed_nodes,
        home,
        toolkits,
    }
}

/// Whether a version lies in one of `[first,last],[first,last]`; `None` where something is no version.
fn within(version: &str, ranges: &str) -> Option<bool> {
    let parts = |v: &str| v.trim().split('.').map(|p| p.parse::<u32>().ok()).collect::<Option<Vec<u32>>>();
    let version = parts(version)?;
    let mut found = false;
    for range in ranges.split("],") {
        let (first, last) = range.trim().trim_matches(['[', ']']).split_once(',')?;
        found |= (parts(first)?..=parts(last)?).contains(&version);
    }
    Some(found)
}

fn host(root: &Path) -> Host {
    let t = Target::host();
    let info = root.join("proc/cpuinfo");
    let cpu = value(&info, "model name").or_else(|| {
        let part = value(&info, "CPU part")?;
        let known = if part.eq_ignore_ascii_case("0xd01") { " (Kunpeng 920)" } else { "" };
        Some(format!("part {part}{known}"))
    });
    let nodes = std::fs::read_dir(root.join("sys/devices/system/node")).into_iter().flatten();
    let is_node = |name: &str| name.strip_prefix("node").is_some_and(|n| n.parse::<u32>().is_ok());
    let memory = value(&root.join("proc/meminfo"), "MemTotal");
    let pages = std::fs::read_to_string(root.join("sys/kernel/mm/transparent_hugepage/enabled")).unwrap_or_default();
    Host {
        arch: std::env::consts::ARCH.into(),
        cpu: cpu.unwrap_or_else(|| "unknown".into()),
        cores: std::thread::available_parallelism().map_or(1, |n| n.get()),
        vector_bits: t.vector_bytes * 8,
        numa_nodes: nodes.filter(|e| e.as_ref().is_ok_and(|e| is_node(&e.file_name().to_string_lossy()))).count(),
        memory_mib: memory.and_then(|m| m.trim_end_matches("kB").trim().parse::<u64>().ok()).map_or(0, |k| k >> 10),
        huge_pages: pages.split_once('[').and_then(|p| p.1.split_once(']')).map_or("unknown".into(), |p| p.0.into()),
    }
}

/// The target for a chip by the name that its driver gives it.
pub fn target_of(soc: &str) -> Option<&'static str> {
    let soc = soc.to_ascii_lowercase();
    let known = |t: &&&str| Npu::by_name(t).is_some_and(|n| n.soc.eq_ignore_ascii_case(&soc) || n.name == soc);
    // Variants of a chip, the longer name first; 910_93xx are the dies of 910C, 910_95 and 950 the next generation.
    let families = [
        ("ascend910b2c", "ascend910b2c"),
        ("ascend910b1", "ascend910b1"),
        ("ascend910b2", "ascend910b2"),
        ("ascend910b3", "ascend910b3"),
        ("ascend910b4", "ascend910b4"),
        ("ascend910_93", "ascend910c"),
        ("ascend910_95", "ascend950"),
        ("ascend950", "ascend950"),
        ("ascend310p1", "ascend310p1"),
        ("ascend310p3", "ascend310p3"),
    ];
    let exact = ASCEND_TARGETS.iter().find(known).copied();
    exact.or_else(|| families.iter().find(|f| soc.starts_with(f.0)).map(|f| f.1))
}
