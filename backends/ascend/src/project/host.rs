//! `host/model.cpp` and `host/device_cpu.cpp`: the plan as straight-line code. Plans without open extents, control flow and
//! algorithms of the runtime can be written so; the others are run by Beiming's runtime, and the project says why.

use std::fmt::Write as _;

use beiming_ir::kernel::Unit;
use beiming_ir::plan::{Launch, Place, Side, SlotId, Step};
use beiming_ir::types::{Dim, TensorType};

use super::{Project, comment, cores, device_launches};

/// Alignment of a weight: a line of the device's L2.
const ALIGN: usize = 512;

/// A plan that can be spelled.
pub struct Plan<'a> {
    project: &'a Project<'a>,
    /// First byte of each weight in `weights.bin`, and the bytes of all.
    offsets: Vec<usize>,
    total: usize,
    /// Position of each kernel among those of its side.
    position: Vec<usize>,
}

impl<'a> Plan<'a> {
    /// Every reason against it where there are any.
    pub fn new(project: &'a Project<'a>) -> Result<Plan<'a>, Vec<String>> {
        let p = project.program;
        let mut why: Vec<String> = vec![];
        if let Some((name, _)) = p.plan.symbols.0.iter().next() {
            why.push(format!("the extent {} is open", comment(name)));
        }
        for s in &p.plan.steps {
            match s {
                Step::Host { op, name, .. } => {
                    why.push(format!("{} at {} is an algorithm of the runtime", op.name(), comment(name)))
                }
                Step::If { .. } | Step::Loop { .. } | Step::ReadDim { .. } | Step::Store { .. } => {
                    why.push("the model branches or loops".into());
                }
                Step::Launch(_) | Step::Copy { .. } | Step::Transfer { .. } => {}
            }
        }
        if p.weights.iter().any(|w| w.data().is_none()) {
            why.push("a weight's panels reach past its source".into());
        }
        why.sort();
        why.dedup();
        if !why.is_empty() {
            return Err(why);
        }
        let (mut offsets, mut total) = (vec![], 0usize);
        for w in &p.weights {
            offsets.push(total);
            total = (total + w.data().map_or(0, |d| d.as_bytes().len())).next_multiple_of(ALIGN);
        }
        let mut next = [0, 0];
        let position = p.kernels.iter().map(|k| {
            let n = &mut next[k.side() as usize];
            *n += 1;
            *n - 1
        });
        let position = position.collect();
        Ok(Plan { project, offsets, total, position })
    }

    /// Launches of the CPU's kernels.
    pub fn cpu_launches(&self) -> usize {
        let p = self.project.program;
        let all = p.plan.steps.iter().filter(|s| matches!(s, Step::Launch(_))).count();
        all - device_launches(&p.plan.steps, p)
    }

    /// `weights.bin`.
    pub fn weights(&self) -> Vec<u8> {
        let mut out = vec![0; self.total];
        for (w, &at) in self.project.program.weights.iter().zip(&self.offsets) {
            if let Some(d) = w.data() {
                out[at..at + d.as_bytes().len()].copy_from_slice(d.as_bytes());
            }
        }
        out
    }

    fn ty(&self, s: SlotId) -> &TensorType {
        &self.project.program.plan.slots[s.index()].ty
    }

    fn bytes(&self, s: SlotId) -> i64 {
        self.ty(s).bytes().known().unwrap_or(0)
    }

    /// Where a buffer lies on a side, as an expression.
    fn at(&self, s: SlotId, side: Side) -> String {
        let prefix = if side == Side::Host { "host" } else { "dev" };
        match self.project.program.plan.slots[s.index()].place {
            Place::Input(n) => format!("{prefix}_input[{n}]"),
            Place::Output(n) => format!("{prefix}_output[{n}]"),
            Place::Arena(at) => format!("{prefix}_arena + {at}"),
            Place::Weight(n) => format!("{prefix}_weights + {}", self.offsets[n as usize]),
        }
    }

    fn list(&self, slots: &[SlotId], side: Side) -> String {
        slots.iter().map(|s| self.at(*s, side)).collect::<Vec<_>>().join(", ")
    }

    /// `host/model.cpp`, and the lines of every step: the first (from 1) and the one behind the last.
    pub fn model(&self) -> (String, Vec<[u32; 2]>) {
        let p = self.project.program;
        let plan = &p.plan;
        let scratch = p.kernels.iter().map(|k| k.scratch()).max().unwrap_or(0);
        let (inputs, outputs) = (plan.inputs.len(), plan.outputs.len());
        let mut o = String::new();
        // Writing to a string cannot fail, here and below.
        let _ =
            writeln!(o, "// {} for {}: the plan, step by step. Generated.", comment(self.project.model), self.project.npu.soc);
        let _ = writeln!(o, "#include \"model.h\"\n\n#include \"device.h\"\n");
        let _ = writeln!(o, "#include <cstdio>\n#include <cstdlib>\n#include <cstring>\n#include <memory>\n#include <new>");
        if self.project.cpu_kernels.is_some() {
            let _ = writeln!(o, "\n#include <dlfcn.h>");
        }
        let _ = writeln!(o, "\nnamespace {{\n\nconst device::KernelInfo KERNELS[] = {{");
        for k in p.kernels.iter().filter(|k| k.side() == Side::Device) {
            let unit = match k.npu.as_ref().map(|n| n.unit) {
                Some(Unit::Cube) => "Cube",
                Some(Unit::Mix) => "Mix",
                _ => "Vector",
            };
            let _ = writeln!(o, "    {{\"{}\", device::Unit::{unit}}},", k.name);
        }
        let _ = writeln!(o, "}};\n");
        let _ = writeln!(o, "constexpr size_t ARENA = {};\nconstexpr size_t WEIGHTS = {};", plan.arena, self.total);
        let _ = writeln!(o, "constexpr size_t SCRATCH = {scratch};\n");
        o += "thread_local std::string last_error;\n\n";
        o += "struct Free {\n    void operator()(char* p) const { std::free(p); }\n};\nusing Memory = std::unique_ptr<char, Free>;\n\n";
        o += "// Aligned to a cache line, as the CPU's kernels expect it.\nMemory memory(size_t bytes) {\n    \
              auto* p = static_cast<char*>(std::aligned_alloc(64, (bytes + 64) / 64 * 64));\n    \
              if (!p) throw std::bad_alloc();\n    return Memory(p);\n}\n\n";
        o += "void read(const std::string& path, char* to, size_t bytes) {\n    std::FILE* f = std::fopen(path.c_str(), \"rb\");\n    \
              size_t n = f ? std::fread(to, 1, bytes, f) : 0;\n    if (f) std::fclose(f);\n    \
              if (n != bytes) throw device::Error(\"cannot read \" + path);\n}\n\n";
        if self.project.cpu_kernels.is_some() {
            o += CPU_TABLE;
        }
        let _ = writeln!(o, "}}  // namespace\n");
        for (word, ports, count) in [("input", &plan.inputs, inputs), ("output", &plan.outputs, outputs)] {
            let _ = writeln!(o, "const beiming_model_port beiming_model_{word}s[] = {{");
            for port in ports {
                let line = format!("{{\"{}\", {}}},", comment(&self.ty(port.slot).to_string()), self.bytes(port.slot));
                let _ = writeln!(o, "    {line}  // {}", comment(&port.name));
            }
            if count == 0 {
                o += "    {nullptr, 0},  // none\n";
            }
            let _ = writeln!(o, "}};\nconst size_t beiming_model_{word}_count = {count};\n");
        }
        self.state(&mut o);
        let steps = self.run(&mut o);
        o += INTERFACE;
        (o, steps)
    }

    /// The struct behind the interface, and how it is made.
    fn state(&self, o: &mut String) {
        let plan = &self.project.program.plan;
        let shared = !self.project.npu.core.cross_core;
        let (inputs, outputs) = (plan.inputs.len().max(1), plan.outputs.len().max(1));
        *o += "struct beiming_model {\n    device::Device device;\n    Memory arena, weights, scratch;\n";
        *o += "    char *dev_arena = nullptr, *dev_weights = nullptr;\n";
        let _ = writeln!(o, "    char *dev_input[{inputs}] = {{}}, *dev_output[{outputs}] = {{}};");
        if self.project.cpu_kernels.is_some() {
            *o += "    CpuKernels cpu;\n";
        }
        *o += "\n    beiming_model(const std::string& folder, int id)\n";
        let _ =
            write!(o, "        : device(id, folder, KERNELS, sizeof KERNELS / sizeof *KERNELS, {shared}), arena(memory(ARENA)),");
        *o += " weights(memory(WEIGHTS)), scratch(memory(SCRATCH))";
        if self.project.cpu_kernels.is_some() {
            *o += ", cpu(folder)";
        }
        *o += " {\n        read(folder + \"/weights.bin\", weights.get(), WEIGHTS);\n";
        *o += "        dev_arena = static_cast<char*>(device.allocate(ARENA));\n";
        *o += "        dev_weights = static_cast<char*>(device.allocate(WEIGHTS));\n";
        *o += "        device.to_device(dev_weights, weights.get(), WEIGHTS);\n";
        for (word, ports) in [("input", &plan.inputs), ("output", &plan.outputs)] {
            for (i, port) in ports.iter().enumerate() {
                let bytes = self.bytes(port.slot);
                let _ = writeln!(o, "        dev_{word}[{i}] = static_cast<char*>(device.allocate({bytes}));");
            }
        }
        *o += "    }\n\n    void run(const void* const* inputs, void* const* outputs);\n};\n\n";
    }

    fn run(&self, o: &mut String) -> Vec<[u32; 2]> {
        let lines = |text: &str| text.matches('\n').count() as u32;
        let mut steps = vec![];
        let p = self.project.program;
        let (inputs, outputs) = (p.plan.inputs.len().max(1), p.plan.outputs.len().max(1));
        *o += "void beiming_model::run(const void* const* inputs, void* const* outputs) {\n    device.enter();\n";
        *o += "    char *host_arena = arena.get(), *host_weights = weights.get();\n";
        let _ = writeln!(o, "    char *host_input[{inputs}] = {{}}, *host_output[{outputs}] = {{}};");
        *o += "    // Inputs are only read.\n    for (size_t i = 0; i < beiming_model_input_count; i++)\n        \
               host_input[i] = const_cast<char*>(static_cast<const char*>(inputs[i]));\n";
        *o += "    for (size_t i = 0; i < beiming_model_output_count; i++) host_output[i] = static_cast<char*>(outputs[i]);\n";
        *o += "    static_cast<void>(host_arena), static_cast<void>(host_weights), static_cast<void>(host_input),\n        \
               static_cast<void>(host_output);\n\n";
        let mut line = lines(o) + 1;
        for s in &p.plan.steps {
            let before = o.len();
            match s {
                Step::Launch(l) => self.launch(l, o),
                Step::Transfer { slot, to } => {
                    let word = if *to == Side::Device { "device" } else { "host" };
                    let (dst, src) = (self.at(*slot, *to), self.at(*slot, to.other()));
                    let ty = comment(&self.ty(*slot).to_string());
                    let _ = writeln!(o, "    device.to_{word}({dst}, {src}, {});  // {ty}", self.bytes(*slot));
                }
                Step::Copy { src, dst } => {
                    let (to, from) = (self.at(*dst, Side::Host), self.at(*src, Side::Host));
                    let _ = writeln!(o, "    std::memmove({to}, {from}, {});", self.bytes(*src));
                }
                // `new` has refused the others.
                _ => {}
            }
            let first = line;
            line += lines(&o[before..]);
            steps.push([first, line]);
        }
        *o += "    device.wait();\n}\n\n";
        steps
    }

    fn launch(&self, l: &Launch, o: &mut String) {
        let k = &self.project.program.kernels[l.kernel as usize];
        let (side, points) = (k.side(), l.grid.known().unwrap_or(0));
        if points <= 0 {
            return;
        }
        let _ = writeln!(o, "    // {}", comment(&l.name));
        let position = self.position[l.kernel as usize];
        let args = self.list(&l.args, side);
        if side == Side::Device {
            let blocks = points.min(cores(k, self.project.npu).into());
            // The last argument: the values of open extents, of which there are none.
            let _ = writeln!(o, "    device.launch({position}, {blocks}, {{{args}, nullptr}});  // {}", k.name);
            return;
        }
        let dims: Vec<String> = l.dims.iter().filter_map(Dim::known).map(|d| d.to_string()).collect();
        let _ = writeln!(o, "    {{\n        void* const params[] = {{{args}}};  // {}", k.name);
        let _ = writeln!(o, "        const int64_t dims[] = {{{}}};", if dims.is_empty() { "0".into() } else { dims.join(", ") });
        let _ = writeln!(
            o,
            "        cpu.kernel({position})(params, dims, 0, {points}, reinterpret_cast<uint8_t*>(scratch.get()));\n    }}"
        );
    }

    /// `host/device_cpu.cpp`.
    pub fn device_cpu(&self) -> String {
        let mut o = String::from(
            "// The device in CANN's cpu mode: the kernels are functions of this program. Generated.\n#include \"device.h\"\n\n\
             #include <cstring>\n\n#include \"tikicpulib.h\"\n\n",
        );
        let kernels: Vec<_> = self.project.program.kernels.iter().filter(|k| k.side() == Side::Device).collect();
        for k in &kernels {
            let params = vec!["GM_ADDR"; k.params.len() + 1].join(", ");
            let _ = writeln!(o, "extern \"C\" __global__ __aicore__ void {}({params});", k.name);
        }
        o += CPU_DEVICE;
        o += "void Device::launch(size_t kernel, uint32_t blocks, std::vector<void*> arguments) {\n    \
              auto at = [&](size_t i) { return static_cast<uint8_t*>(arguments[i]); };\n    switch (kernel) {\n";
        for (i, k) in kernels.iter().enumerate() {
            let mode = match k.npu.as_ref().map(|n| n.unit) {
                Some(Unit::Cube) => "AIC_MODE",
                Some(Unit::Mix) => "MIX_MODE",
                _ => "AIV_MODE",
            };
            let args: Vec<String> = (0..=k.params.len()).map(|a| format!("at({a})")).collect();
            let _ = writeln!(o, "        case {i}:\n            AscendC::SetKernelMode(KernelMode::{mode});");
            let _ = writeln!(o, "            ICPU_RUN_KF({}, blocks, {});\n            break;", k.name, args.join(", "));
        }
        o += "        default: throw Error(\"no such kernel\");\n    }\n}\n\n}  // namespace device\n";
        o
    }
}

const CPU_TABLE: &str = r#"// Kernels of the CPU: buffers, values of dimensions, first and last grid point, scratch.
using CpuKernel = void (*)(void* const*, const int64_t*, int64_t, int64_t, uint8_t*);

class CpuKernels {
public:
    explicit CpuKernels(const std::string& folder) : library_(dlopen((folder + "/cpu_kernels.so").c_str(), RTLD_NOW | RTLD_LOCAL)) {
        if (!library_) throw device::Error(dlerror());
        table_ = static_cast<const Table*>(dlsym(library_, "beiming_kernels"));
        if (!table_ || table_->abi != 1) throw device::Error("cpu_kernels.so is of another version");
    }
    ~CpuKernels() {
        if (library_) dlclose(library_);
    }
    CpuKernel kernel(size_t i) const { return reinterpret_cast<const CpuKernel*>(table_ + 1)[i]; }

private:
    struct Table {
        uint32_t abi, count;
    };
    void* library_;
    const Table* table_ = nullptr;
};

"#;

const INTERFACE: &str = r#"namespace {

template <class F> int guarded(F f) {
    try {
        f();
        return 0;
    } catch (const std::exception& e) {
        last_error = e.what();
        return 1;
    }
}

}  // namespace

extern "C" int beiming_model_open(const char* folder, int device, beiming_model** model) {
    return guarded([&] { *model = new beiming_model(folder, device); });
}

extern "C" int beiming_model_run(beiming_model* model, const void* const* inputs, void* const* outputs) {
    return guarded([&] { model->run(inputs, outputs); });
}

extern "C" void beiming_model_close(beiming_model* model) { delete model; }

extern "C" const char* beiming_model_error(void) { return last_error.c_str(); }
"#;

const CPU_DEVICE: &str = r#"
namespace device {

struct Device::State {
    std::vector<void*> memory;
};

Device::Device(int, const std::string&, const KernelInfo*, size_t, bool) : state_(new State) {}

Device::~Device() {
    for (void* p : state_->memory) AscendC::GmFree(p);
    delete state_;
}

void Device::enter() {}
void Device::wait() {}

void* Device::allocate(size_t bytes) {
    void* p = AscendC::GmAlloc(bytes ? bytes : 1);
    if (!p) throw Error("out of memory");
    state_->memory.push_back(p);
    return p;
}

void Device::to_device(void* dst, const void* src, size_t bytes) { std::memcpy(dst, src, bytes); }
void Device::to_host(void* dst, const void* src, size_t bytes) { std::memcpy(dst, src, bytes); }

"#;
