//! `README.md` and `manifest.json`.

use std::fmt::Write as _;

use beiming_ir::plan::{Side, Step};

use super::host::Plan;
use super::{Project, arch, comment, device_launches};

/// The text for people. `why_no_host`: what keeps the plan from being written as host code.
pub fn text(p: &Project<'_>, why_no_host: &[String]) -> String {
    let program = p.program;
    let kernels: Vec<_> = program.kernels.iter().filter(|k| k.side() == Side::Device).collect();
    let mut o = String::new();
    let _ = writeln!(o, "# {} for {}\n", comment(p.model), p.npu.soc);
    let _ = writeln!(
        o,
        "{} Ascend C kernels ({}) in {} launches, written by Beiming {}. One kernel a file in `kernels/`; each starts with what it fuses,\n\
         its arguments, its grid and its buffers.\n",
        kernels.len(),
        arch(p.npu),
        device_launches(&program.plan.steps, program),
        env!("CARGO_PKG_VERSION"),
    );
    o += "## Build, where CANN is installed\n\n```sh\nsource /usr/local/Ascend/ascend-toolkit/set_env.sh\ncmake -S . -B build -DRUN_MODE=npu   # or sim, or cpu\n\
          cmake --build build && cmake --install build\n";
    if why_no_host.is_empty() {
        o += "./main                                # says which files it takes\n```\n\n";
        o += "`host/model.h` is the same as a C library. In `sim` mode the simulator's libraries must come first:\n\
              `LD_LIBRARY_PATH=$ASCEND_HOME_PATH/tools/simulator/SOC/lib:$LD_LIBRARY_PATH`.\n\n";
    } else {
        o += "```\n\nThere is no host code in this project, because\n";
        for w in why_no_host {
            let _ = writeln!(o, "- {w}");
        }
        o += "\nRun the artifact with Beiming's runtime: `beiming run MODEL.bmg --device npu --kernels fatbin`.\n\n";
    }
    o += "## What runs on the CPU\n\n";
    if p.on_host.is_empty() {
        o += "Nothing.\n\n";
    } else {
        for group in p.on_host {
            // What does not fit is a list of its own.
            for (i, line) in group.lines().enumerate() {
                let _ = writeln!(o, "{}- {}", if i == 0 { "" } else { "  " }, comment(line.trim()));
            }
        }
        o += "\n";
    }
    o += "## What was run, and what was not\n\n\
          Nothing here was run on an NPU, nor built with CANN by its authors. The kernels of each family, and this form of host code, were run on\n\
          Beiming's own simulator of the cores, which is written from public documentation; the host code's form was checked by a compiler\n\
          against AscendCL's public declarations. `npu`, `sim` and `cpu` mode follow CANN's documentation and are untried. Cycle counts and times that\n\
          Beiming prints are predictions.\n";
    o
}

fn json(text: &str) -> String {
    let mut o = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => o.extend(['\\', c]),
            c if (c as u32) < 0x20 => {
                let _ = write!(o, "\\u{:04x}", c as u32);
            }
            c => o.push(c),
        }
    }
    o.push('"');
    o
}

/// What the project holds, for tools.
pub fn manifest(p: &Project<'_>, plan: Option<&Plan<'_>>) -> String {
    let program = p.program;
    let mut o = String::from("{\n");
    let _ = writeln!(o, "  \"model\": {},", json(p.model));
    let _ = writeln!(o, "  \"compiler\": \"beiming {}\",", env!("CARGO_PKG_VERSION"));
    let _ = writeln!(o, "  \"target\": \"{}\",\n  \"soc\": \"{}\",\n  \"arch\": \"{}\",", p.npu.name, p.npu.soc, arch(p.npu));
    for (word, ports) in [("inputs", &program.plan.inputs), ("outputs", &program.plan.outputs)] {
        let list: Vec<String> = ports
            .iter()
            .map(|q| {
                let ty = program.plan.slots[q.slot.index()].ty.to_string();
                format!("    {{\"name\": {}, \"type\": {}}}", json(&q.name), json(&ty))
            })
            .collect();
        let _ = writeln!(o, "  \"{word}\": [\n{}\n  ],", list.join(",\n"));
    }
    let list: Vec<String> = program
        .kernels
        .iter()
        .filter(|k| k.side() == Side::Device)
        .map(|k| {
            let ops: Vec<String> = k.ops.iter().map(|o| json(o)).collect();
            format!("    {{\"name\": \"{0}\", \"file\": \"kernels/{0}.cpp\", \"ops\": [{1}]}}", k.name, ops.join(", "))
        })
        .collect();
    let _ = writeln!(o, "  \"kernels\": [\n{}\n  ],", list.join(",\n"));
    let on_host: Vec<String> = p.on_host.iter().map(|l| json(l)).collect();
    let _ = writeln!(o, "  \"on_host\": [{}],", on_host.join(", "));
    let transfers = program.plan.steps.iter().filter(|s| matches!(s, Step::Transfer { .. })).count();
    let _ = writeln!(o, "  \"launches\": {},", device_launches(&program.plan.steps, program));
    let _ = writeln!(o, "  \"cpu_launches\": {},", plan.map_or("null".into(), |p| p.cpu_launches().to_string()));
    let _ = writeln!(o, "  \"transfers\": {transfers},\n  \"host_code\": {}\n}}", plan.is_some());
    o
}
