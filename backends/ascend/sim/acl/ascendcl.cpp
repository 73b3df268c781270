// A stand-in for libascendcl on top of the simulator: the functions that Beiming's runtime and emitted host code call, with the
// public API's names, types and results, written from its documentation. Launches run at once and in order; what the checker finds
// in one is reported where an NPU reports a failed kernel: when the stream is waited for.
//
// The chip is the file chip.txt beside the folder that this library lies in. BEIMING_SIM_FAULT asks for failures, see fault.h.
#include <dlfcn.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "fault.h"
#include "sim/machine.h"

namespace {

constexpr int OK = 0, PARAM_INVALID = 107000, INVALID_DEVICE = 107001, CONTEXT_NULL = 107002, SYMBOL_NOT_FOUND = 107042;
constexpr int OUT_OF_MEMORY = 207001, LOST_HEARTBEAT = 507010, KERNEL_FAILED = 507015, SYNC_TIMEOUT = 507046;
constexpr int REPEAT_INITIALIZE = 100002, INVALID_FILE = 100003, INIT_FAILED = 500000;

struct Binary {
    void* library = nullptr;
    int file = -1;
    sim::KernelKind kind = sim::KernelKind::VectorOnly;
    std::vector<std::unique_ptr<struct Function>> functions;
    ~Binary() {
        if (library) dlclose(library);
        if (file >= 0) close(file);
    }
};

struct Function {
    Binary* binary = nullptr;
    std::string name;
    void* entry = nullptr;
};

struct Arguments {
    Function* function = nullptr;
    std::vector<uint64_t> values;
    bool final = false;
};

struct Stream {
    int error = OK;  // of work put on it, told when it is waited for
    std::string what;
};

// Everything of the process; `LOCK` is held during every call.
struct World {
    std::unique_ptr<sim::Machine> machine;
    sim::Fault fault;
    bool lost = false;
    std::map<const uint8_t*, sim::GlobalBuffer*> memory;
    std::set<void*> host;
    std::set<void*> contexts;
    std::set<Stream*> streams;
    std::set<Binary*> binaries;
    std::vector<std::unique_ptr<Arguments>> arguments;
    std::string report;
};
World world;
std::recursive_mutex lock;
#define LOCK std::lock_guard<std::recursive_mutex> held(lock)
thread_local void* context = nullptr;
thread_local std::string recent, handed_out;

int fail(int code, const std::string& what) {
    recent = what;
    return code;
}

// Every call that reaches the device: after it is lost, none works.
bool device_lost() {
    if (world.fault.strikes("lost")) world.lost = true;
    return world.lost;
}
int lost() { return fail(LOST_HEARTBEAT, "the device does not answer any more"); }

std::string chip_text() {
    Dl_info self{};
    if (!dladdr(reinterpret_cast<void*>(&chip_text), &self) || !self.dli_fname) return {};
    std::string path = self.dli_fname;
    for (int i = 0; i < 2; i++) path = path.substr(0, path.find_last_of('/'));
    std::ifstream in(path + "/chip.txt");
    std::stringstream text;
    text << in.rdbuf();
    return text.str();
}

// The buffer that holds so many bytes from an address on, and how far inside they begin.
sim::GlobalBuffer* find(const void* p, size_t bytes, size_t& offset) {
    auto* address = static_cast<const uint8_t*>(p);
    auto after = world.memory.upper_bound(address);
    if (after == world.memory.begin()) return nullptr;
    auto [start, buffer] = *std::prev(after);
    offset = size_t(address - start);
    return offset <= buffer->size() && bytes <= buffer->size() - offset ? buffer : nullptr;
}

int copy(void* dst, size_t room, const void* src, size_t bytes, int kind) {
    if (bytes > room) return fail(PARAM_INVALID, "a copy of " + std::to_string(bytes) + " bytes into " + std::to_string(room));
    size_t at = 0;
    if (kind == 1 || kind == 3) {
        sim::GlobalBuffer* b = find(dst, bytes, at);
        if (!b) return fail(PARAM_INVALID, "a copy to an address that is no memory of the device");
        b->fill_from_host(at, bytes);
    }
    if ((kind == 2 || kind == 3) && !find(src, bytes, at)) return fail(PARAM_INVALID, "a copy from an address that is no memory of the device");
    std::memmove(dst, src, bytes);
    return OK;
}

int load(void* library, int file, void** handle) {
    if (!library) {
        if (file >= 0) close(file);
        return fail(INVALID_FILE, std::string("the binary cannot be loaded: ") + dlerror());
    }
    auto b = std::make_unique<Binary>();
    b->library = library;
    b->file = file;
    auto* kind = static_cast<const int*>(dlsym(library, "beiming_sim_kind"));
    if (kind) b->kind = sim::KernelKind(*kind);
    *handle = b.get();
    world.binaries.insert(b.release());
    return OK;
}

// A call with every argument there is room for: those that a function does not take are harmless in the C calling conventions of
// x86-64 and AArch64.
void call(void* entry, std::vector<uint64_t> a) {
    a.resize(24);
    using E = void (*)(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                       uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);
    reinterpret_cast<E>(entry)(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9], a[10], a[11], a[12], a[13], a[14], a[15], a[16],
                               a[17], a[18], a[19], a[20], a[21], a[22], a[23]);
}

void record(const std::string& kernel, uint32_t blocks, const sim::Run& run) {
    std::ostringstream line;
    line << "{\"kernel\":\"" << kernel << "\",\"blocks\":" << blocks << ",\"cycles\":" << run.cycles << ",\"busy\":{";
    for (int p = 0; p < sim::PIPES; p++) line << (p ? "," : "") << '"' << sim::name_of(sim::Pipe(p)) << "\":" << run.busy[p];
    line << "},\"findings\":" << run.findings.size() << "}\n";
    world.report += line.str();
    // To be read by another process: a file that lines are added to.
    if (const char* file = std::getenv("BEIMING_SIM_REPORT")) std::ofstream(file, std::ios::app) << line.str();
}

}  // namespace

#define API extern "C" __attribute__((visibility("default")))

API int aclInit(const char*) {
    LOCK;
    if (world.machine) return REPEAT_INITIALIZE;
    const char* faults = std::getenv("BEIMING_SIM_FAULT");
    world.fault = sim::Fault(faults ? faults : "");
    if (world.fault.strikes("init")) return fail(INIT_FAILED, "asked to fail");
    try {
        world.machine = std::make_unique<sim::Machine>(sim::parse_chip(chip_text()));
    } catch (const std::exception& e) {
        return fail(INIT_FAILED, e.what());
    }
    return OK;
}

API int aclFinalize() {
    LOCK;
    world.machine.reset();
    return OK;
}

API const char* aclGetRecentErrMsg() {
    LOCK;
    handed_out = std::move(recent);
    recent.clear();
    return handed_out.empty() ? nullptr : handed_out.c_str();
}

API const char* aclrtGetSocName() { return world.machine ? world.machine->chip().name.c_str() : nullptr; }

API int aclrtGetDeviceCount(uint32_t* count) {
    LOCK;
    *count = 1;
    return OK;
}

API int aclrtCreateContext(void** out, int32_t device) {
    LOCK;
    if (device != 0) return fail(INVALID_DEVICE, "device " + std::to_string(device) + " of 1");
    if (device_lost()) return lost();
    *out = new char;
    world.contexts.insert(*out);
    context = *out;
    return OK;
}

API int aclrtDestroyContext(void* c) {
    LOCK;
    if (!world.contexts.erase(c)) return fail(PARAM_INVALID, "not a context");
    delete static_cast<char*>(c);
    if (context == c) context = nullptr;
    return OK;
}

API int aclrtSetCurrentContext(void* c) {
    LOCK;
    if (!world.contexts.count(c)) return fail(PARAM_INVALID, "not a context");
    context = c;
    return OK;
}

API int aclrtSetDevice(int32_t device) {
    LOCK;
    void* c = nullptr;
    return context ? OK : aclrtCreateContext(&c, device);
}

API int aclrtResetDevice(int32_t) { return context ? aclrtDestroyContext(context) : OK; }

API int aclrtCreateStream(void** out) {
    LOCK;
    if (!context) return fail(CONTEXT_NULL, "this thread has no context");
    if (device_lost()) return lost();
    auto* s = new Stream;
    world.streams.insert(s);
    *out = s;
    return OK;
}

API int aclrtDestroyStream(void* s) {
    LOCK;
    auto* stream = static_cast<Stream*>(s);
    if (!world.streams.erase(stream)) return fail(PARAM_INVALID, "not a stream");
    delete stream;
    return OK;
}

API int aclrtSynchronizeStreamWithTimeout(void* s, int32_t) {
    LOCK;
    if (!context) return fail(CONTEXT_NULL, "this thread has no context");
    if (device_lost()) return lost();
    if (world.fault.strikes("hang")) return fail(SYNC_TIMEOUT, "asked to hang");
    auto* stream = static_cast<Stream*>(s);
    if (!stream || stream->error == OK) return OK;
    int code = stream->error;
    stream->error = OK;
    return fail(code, std::move(stream->what));
}

API int aclrtSynchronizeStream(void* s) { return aclrtSynchronizeStreamWithTimeout(s, -1); }

API int aclrtMalloc(void** out, size_t bytes, int) {
    LOCK;
    if (!context) return fail(CONTEXT_NULL, "this thread has no context");
    if (device_lost()) return lost();
    if (!bytes) return fail(PARAM_INVALID, "an allocation of no bytes");
    if (world.fault.strikes("malloc")) return fail(OUT_OF_MEMORY, "asked to have no memory");
    sim::GlobalBuffer& b = world.machine->allocate("device memory of " + std::to_string(bytes) + " bytes", bytes);
    world.memory[b.data()] = &b;
    *out = b.data();
    return OK;
}

API int aclrtFree(void* p) {
    LOCK;
    auto found = world.memory.find(static_cast<const uint8_t*>(p));
    if (found == world.memory.end()) return fail(PARAM_INVALID, "not memory of the device");
    if (world.machine) world.machine->release(*found->second);
    world.memory.erase(found);
    return world.lost ? lost() : OK;
}

API int aclrtMallocHost(void** out, size_t bytes) {
    LOCK;
    if (!context) return fail(CONTEXT_NULL, "this thread has no context");
    if (world.fault.strikes("malloc_host")) return fail(OUT_OF_MEMORY, "asked to have no memory");
    *out = std::malloc(bytes);
    world.host.insert(*out);
    return OK;
}

API int aclrtFreeHost(void* p) {
    LOCK;
    if (!world.host.erase(p)) return fail(PARAM_INVALID, "not page-locked memory");
    std::free(p);
    return OK;
}

API int aclrtMemcpy(void* dst, size_t room, const void* src, size_t bytes, int kind) {
    LOCK;
    if (!context) return fail(CONTEXT_NULL, "this thread has no context");
    if (device_lost()) return lost();
    return copy(dst, room, src, bytes, kind);
}

API int aclrtMemcpyAsync(void* dst, size_t room, const void* src, size_t bytes, int kind, void*) { return aclrtMemcpy(dst, room, src, bytes, kind); }

API int aclrtBinaryLoadFromFile(const char* path, const void*, void** handle) {
    LOCK;
    if (device_lost()) return lost();
    return load(dlopen(path, RTLD_NOW | RTLD_LOCAL), -1, handle);
}

API int aclrtBinaryLoadFromData(const void* data, size_t bytes, const void*, void** handle) {
    LOCK;
    if (device_lost()) return lost();
    int file = memfd_create("kernel", MFD_CLOEXEC);
    auto* at = static_cast<const char*>(data);
    for (size_t left = bytes; left;) {
        ssize_t n = write(file, at, left);
        if (n <= 0) {
            close(file);
            return fail(INVALID_FILE, "the binary cannot be written");
        }
        at += n;
        left -= size_t(n);
    }
    return load(dlopen(("/proc/self/fd/" + std::to_string(file)).c_str(), RTLD_NOW | RTLD_LOCAL), file, handle);
}

API int aclrtBinaryUnLoad(void* handle) {
    LOCK;
    auto* b = static_cast<Binary*>(handle);
    if (!world.binaries.erase(b)) return fail(PARAM_INVALID, "not a binary");
    delete b;
    return OK;
}

API int aclrtBinaryGetFunction(void* handle, const char* name, void** out) {
    LOCK;
    auto* b = static_cast<Binary*>(handle);
    if (!world.binaries.count(b)) return fail(PARAM_INVALID, "not a binary");
    void* entry = dlsym(b->library, name);
    if (!entry) return fail(SYMBOL_NOT_FOUND, std::string("the binary has no kernel ") + name);
    b->functions.push_back(std::make_unique<Function>(Function{b, name, entry}));
    *out = b->functions.back().get();
    return OK;
}

API int aclrtKernelArgsInit(void* function, void** out) {
    LOCK;
    world.arguments.push_back(std::make_unique<Arguments>());
    world.arguments.back()->function = static_cast<Function*>(function);
    *out = world.arguments.back().get();
    return OK;
}

API int aclrtKernelArgsAppend(void* handle, void* value, size_t bytes, void** place) {
    LOCK;
    auto* a = static_cast<Arguments*>(handle);
    if (bytes > 8 || a->values.size() == 24) return fail(PARAM_INVALID, "the simulator passes up to 24 arguments of 8 bytes");
    uint64_t word = 0;
    std::memcpy(&word, value, bytes);
    a->values.push_back(word);
    *place = &a->values.back();
    return OK;
}

API int aclrtKernelArgsFinalize(void* handle) {
    LOCK;
    static_cast<Arguments*>(handle)->final = true;
    return OK;
}

API int aclrtLaunchKernelWithConfig(void* function, uint32_t blocks, void* s, void*, void* handle, void*) {
    LOCK;
    auto* f = static_cast<Function*>(function);
    auto own = std::find_if(world.arguments.begin(), world.arguments.end(), [&](auto& a) { return a.get() == handle; });
    if (own == world.arguments.end() || (*own)->function != f || !(*own)->final) return fail(PARAM_INVALID, "arguments of another function, or not final");
    std::unique_ptr<Arguments> a = std::move(*own);
    world.arguments.erase(own);
    if (!context) return fail(CONTEXT_NULL, "this thread has no context");
    if (device_lost()) return lost();
    if (world.fault.strikes("launch")) return fail(PARAM_INVALID, "asked to refuse the launch of " + f->name);
    const sim::Chip& chip = world.machine->chip();
    uint32_t most = f->binary->kind == sim::KernelKind::VectorOnly ? chip.vector_cores : chip.cube_cores;
    if (!blocks || blocks > most) return fail(PARAM_INVALID, std::to_string(blocks) + " blocks of " + f->name + " on " + std::to_string(most) + " cores");
    auto* stream = static_cast<Stream*>(s);
    sim::Run run = world.machine->launch(f->name, f->binary->kind, blocks, [&] { call(f->entry, a->values); });
    record(f->name, blocks, run);
    bool asked = world.fault.strikes("kernel");
    if (stream && stream->error == OK && (asked || !run.findings.empty())) {
        stream->error = KERNEL_FAILED;
        stream->what = asked ? "asked to fail in " + f->name : std::to_string(run.findings.size()) + " findings in " + f->name;
        for (const sim::Finding& found : run.findings) stream->what += "\n  " + sim::text(found);
    }
    return OK;
}

// What is not given back yet: memory, streams, contexts, binaries.
API long beimingSimLive() {
    LOCK;
    return long(world.memory.size() + world.host.size() + world.streams.size() + world.contexts.size() + world.binaries.size() + world.arguments.size());
}

// One line of JSON for every launch so far.
API const char* beimingSimReport() { return world.report.c_str(); }
