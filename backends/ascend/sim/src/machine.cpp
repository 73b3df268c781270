// Launching a kernel: one fiber a core, switched only where a core waits for another, so that every run is the same.
#include "sim/machine.h"

#include <ucontext.h>

#include <algorithm>
#include <stdexcept>

namespace sim {

namespace {
Core* current = nullptr;
constexpr size_t STACK = 512 << 10;
}  // namespace

Core& core() {
    if (!current) throw std::logic_error("no kernel is running");
    return *current;
}

struct Machine::Fiber {
    Core* core = nullptr;
    ucontext_t context{}, scheduler{};
    std::vector<char> stack = std::vector<char>(STACK);
    std::function<bool()> ready;  // what it waits for; empty: nothing
    std::function<void()> body;
    std::string waits_for;
    Site site;
    bool done = false;
};

Machine::Machine(Chip chip) : chip_(std::move(chip)) {}

Machine::~Machine() = default;

Core::Core(Machine& machine, uint32_t index, CoreKind kind, uint32_t block, uint32_t sub)
    : machine_(machine), index_(index), kind_(kind), block_(block), sub_(sub) {
    const Chip& c = machine.chip();
    bool cube = kind != CoreKind::Vector, vector = kind != CoreKind::Cube;
    uint32_t sizes[SPACES] = {vector ? c.ub : 0, cube ? c.l1 : 0, cube ? c.l0a : 0, cube ? c.l0b : 0, cube ? c.l0c : 0, cube ? c.bias_table : 0};
    for (int s = 0; s < SPACES; s++) memories_.push_back(std::make_unique<LocalMemory>(Space(s), sizes[s]));
}

std::string Core::name() const {
    const char* kind = kind_ == CoreKind::Cube ? "aic" : kind_ == CoreKind::Vector ? "aiv" : "ai";
    return kind + std::to_string(block_) + (kind_ == CoreKind::Vector && machine_.kernel_kind() == KernelKind::Mix ? "." + std::to_string(sub_) : "");
}

uint32_t Core::begin(Pipe p) { return clocks_.tick(p); }

void Core::set_flag(Pipe from, Pipe to, int id, Site site) {
    if (id < 0 || id >= 8) return find(Kind::Limit, from, site, "event id " + std::to_string(id) + " is none of 0 to 7");
    Event& e = events_[int(from)][int(to)][id];
    if (e.set) find(Kind::SyncTwice, from, site, std::string("event ") + name_of(from) + "_" + name_of(to) + " " + std::to_string(id) + " is set twice without a wait");
    e = {clocks_.of(from), site};
}

void Core::wait_flag(Pipe from, Pipe to, int id, Site site) {
    if (id < 0 || id >= 8) return find(Kind::Limit, to, site, "event id " + std::to_string(id) + " is none of 0 to 7");
    Event& e = events_[int(from)][int(to)][id];
    if (!e.set) return find(Kind::SyncUnpaired, to, site, std::string("event ") + name_of(from) + "_" + name_of(to) + " " + std::to_string(id) + " is waited for and was not set");
    clocks_.learn(to, *e.set);
    e.set.reset();
}

void Core::barrier(Pipe p) {
    if (p == Pipe::ALL) {
        clocks_.barrier_all();
        for (int q = 0; q < PIPES; q++) fenced_[q] = clocks_.seq(Pipe(q));
    } else {
        fenced_[int(p)] = clocks_.seq(p);
    }
}

void Core::find(Kind kind, Pipe pipe, Site site, const std::string& what) {
    machine_.find({kind, machine_.kernel(), site, name(), pipe, what});
}

void Core::declare(const void* base, uint64_t bytes, Site site) {
    GlobalBuffer* g = machine_.find_global(base);
    if (!g) return;
    uint64_t end = g->offset_of(base) + bytes;
    if (end > g->size()) find(Kind::InvalidBuffer, Pipe::S, site, "SetGlobalBuffer of " + std::to_string(end) + " bytes of global buffer " + g->name() + ", which has " + std::to_string(g->size()));
    declared_[g] = std::max(declared_[g], end);
}

uint64_t Core::declared(const GlobalBuffer& b) const {
    auto it = declared_.find(&b);
    return it == declared_.end() ? UINT64_MAX : it->second;
}

void Core::finish() {
    if (cached_) find(Kind::SyncUnpaired, Pipe::S, *cached_, "global memory is written through the data cache, and the cache is never written back");
    for (int a = 0; a < PIPES; a++)
        for (int b = 0; b < PIPES; b++)
            for (int id = 0; id < 8; id++)
                if (events_[a][b][id].set)
                    find(Kind::SyncUnpaired, Pipe(a), events_[a][b][id].site, std::string("event ") + name_of(Pipe(a)) + "_" + name_of(Pipe(b)) + " " + std::to_string(id) + " is set and never waited for");
}

GlobalBuffer& Machine::allocate(const std::string& name, size_t bytes) {
    globals_.push_back(std::make_unique<GlobalBuffer>(name, bytes));
    return *globals_.back();
}

void Machine::release(GlobalBuffer& b) {
    globals_.erase(std::remove_if(globals_.begin(), globals_.end(), [&](const auto& g) { return g.get() == &b; }), globals_.end());
}

GlobalBuffer* Machine::find_global(const void* p) {
    auto* address = static_cast<const uint8_t*>(p);
    for (auto& g : globals_)
        if (address >= g->data() && address < g->data() + std::max<size_t>(g->size(), 1)) return g.get();
    return nullptr;
}

// One finding a kind and place is enough.
void Machine::find(Finding f) {
    for (const Finding& g : findings_)
        if (g.kind == f.kind && g.site.line == f.site.line && g.pipe == f.pipe && std::string(g.site.file) == f.site.file) return;
    findings_.push_back(std::move(f));
}

Run Machine::launch(const std::string& kernel, KernelKind kind, uint32_t blocks, const std::function<void()>& body) {
    kernel_ = kernel;
    kernel_kind_ = kind;
    blocks_ = blocks;
    findings_.clear();
    cores_.clear();
    fibers_.clear();
    meeting_ = {};
    for (auto& g : globals_) g->forget_accesses();
    bool split = chip_.generation != 2002;
    auto add = [&](CoreKind k, uint32_t block, uint32_t sub) { cores_.push_back(std::make_unique<Core>(*this, uint32_t(cores_.size()), k, block, sub)); };
    for (uint32_t b = 0; b < blocks; b++) {
        if (!split) {
            add(CoreKind::Both, b, 0);
            continue;
        }
        if (kind != KernelKind::VectorOnly) add(CoreKind::Cube, b, 0);
        if (kind == KernelKind::VectorOnly) add(CoreKind::Vector, b, 0);
        if (kind == KernelKind::Mix)
            for (uint32_t s = 0; s < 2; s++) add(CoreKind::Vector, b, s);
    }
    flags_.assign(cores_.size(), std::vector<CrossFlag>(16));
    for (auto& c : cores_) {
        auto f = std::make_unique<Fiber>();
        f->core = c.get();
        f->body = body;
        getcontext(&f->context);
        f->context.uc_stack.ss_sp = f->stack.data();
        f->context.uc_stack.ss_size = f->stack.size();
        f->context.uc_link = &f->scheduler;
        Fiber* raw = f.get();
        auto low = uint32_t(uintptr_t(raw)), high = uint32_t(uint64_t(uintptr_t(raw)) >> 32);
        auto entry = +[](uint32_t lo, uint32_t hi) {
            auto* fiber = reinterpret_cast<Fiber*>(uintptr_t(uint64_t(hi) << 32 | lo));
            fiber->body();
            fiber->core->finish();
            fiber->done = true;
        };
        makecontext(&f->context, reinterpret_cast<void (*)()>(entry), 2, low, high);
        fibers_.push_back(std::move(f));
    }
    for (bool progress = true; progress;) {
        progress = false;
        for (auto& f : fibers_) {
            if (f->done || (f->ready && !f->ready())) continue;
            f->ready = nullptr;
            running_ = f.get();
            current = f->core;
            swapcontext(&f->scheduler, &f->context);
            current = nullptr;
            progress = true;
        }
    }
    Run run;
    for (auto& f : fibers_) {
        if (!f->done) f->core->find(Kind::Deadlock, Pipe::S, f->site, "waits for ever: " + f->waits_for);
        Clocks& clocks = f->core->clocks();
        if (clocks.end() >= run.cycles) {
            run.cycles = clocks.end();
            for (int p = 0; p < PIPES; p++) run.busy[p] = clocks.busy(Pipe(p));
        }
    }
    for (size_t c = 0; c < flags_.size(); c++)
        for (size_t id = 0; id < flags_[c].size(); id++) {
            CrossFlag& flag = flags_[c][id];
            if (std::any_of(flag.set.begin(), flag.set.end(), [](const auto& s) { return !s.empty(); }))
                cores_[c]->find(Kind::SyncUnpaired, Pipe::S, flag.site, "cross-core flag " + std::to_string(id) + " is set and never waited for");
        }
    for (auto& g : globals_)
        if (!g->intact()) find({Kind::WritePast, kernel_, {}, "-", Pipe::S, "the guard zone of global buffer " + g->name() + " was written"});
    run.findings = std::move(findings_);
    findings_.clear();
    return run;
}

void Machine::declare(KernelKind kind, Core& core, Site site) {
    if (kind != kernel_kind_) core.find(Kind::Type, Pipe::S, site, "the kernel's type names other cores than it is launched on");
}

void Machine::sleep_until(std::function<bool()> ready, std::string waits_for, Site site) {
    Fiber* f = running_;
    f->ready = std::move(ready);
    f->waits_for = std::move(waits_for);
    f->site = site;
    swapcontext(&f->context, &f->scheduler);
}

bool Machine::passes(int mode, const Core& from, const Core& to) const {
    switch (mode) {
        case 0: return to.kind() == from.kind();
        case 1: return to.kind() == CoreKind::Vector && from.kind() == CoreKind::Vector && to.block() == from.block();
        default: return to.block() == from.block() && to.kind() != from.kind();
    }
}

Knowledge Machine::gift(const Core& core, const Knowledge& k) const {
    auto all = std::make_shared<std::vector<uint32_t>>(k.remote ? *k.remote : std::vector<uint32_t>());
    all->resize(std::max(all->size(), cores_.size() * PIPES));
    for (int p = 0; p < PIPES; p++) (*all)[core.index() * PIPES + size_t(p)] = k.local[p];
    Knowledge given;
    given.remote = all;
    given.time = k.time;
    return given;
}

void Machine::cross_set(Core& core, int mode, Pipe pipe, int id, Site site) {
    if (!chip_.cross_core) return core.find(Kind::Limit, pipe, site, "this chip's cores cannot wait for each other");
    if (id < 0 || id > 15) return core.find(Kind::Limit, pipe, site, "flag id " + std::to_string(id) + " is none of 0 to 15");
    if (pipe == Pipe::S || pipe == Pipe::ALL) return core.find(Kind::Limit, pipe, site, "a cross-core flag is set by one of the pipes behind the scalar unit");
    if (kernel_kind_ != KernelKind::Mix) return core.find(Kind::Limit, pipe, site, "cross-core flags need a kernel of a MIX type");
    Knowledge given = gift(core, core.clocks().of(pipe));
    for (auto& other : cores_) {
        if (!passes(mode, core, *other)) continue;
        CrossFlag& flag = flags_[other->index()][size_t(id)];
        flag.set.resize(cores_.size());
        flag.site = site;
        if (flag.set[core.index()].size() == 15) core.find(Kind::Limit, pipe, site, "flag " + std::to_string(id) + " is set more than 15 times without a wait");
        else flag.set[core.index()].push_back(given);
    }
}

void Machine::cross_wait(Core& core, int mode, Pipe pipe, int id, Site site) {
    if (id < 0 || id > 15) return core.find(Kind::Limit, pipe, site, "flag id " + std::to_string(id) + " is none of 0 to 15");
    CrossFlag& flag = flags_[core.index()][size_t(id)];
    flag.set.resize(cores_.size());
    std::vector<size_t> from;
    for (auto& other : cores_)
        if (passes(mode, *other, core)) from.push_back(other->index());
    auto all_set = [&flag, from] { return std::all_of(from.begin(), from.end(), [&](size_t i) { return !flag.set[i].empty(); }); };
    if (!all_set()) sleep_until(all_set, "cross-core flag " + std::to_string(id), site);
    Knowledge given;
    for (size_t i : from) {
        given.join(flag.set[i].front());
        flag.set[i].pop_front();
    }
    if (pipe == Pipe::S || pipe == Pipe::ALL) {
        for (int p = 0; p < PIPES; p++) core.clocks().learn(Pipe(p), given);
    } else {
        core.clocks().learn(pipe, given);
    }
}

void Machine::sync_all(Core& core, Site site) {
    core.clocks().barrier_all();
    meeting_.knowledge.join(gift(core, core.clocks().of(Pipe::S)));
    uint32_t generation = meeting_.generation;
    if (++meeting_.arrived == cores_.size()) {
        meeting_.arrived = 0;
        meeting_.generation++;
    } else {
        sleep_until([this, generation] { return meeting_.generation != generation; }, "SyncAll", site);
    }
    for (int p = 0; p < PIPES; p++) core.clocks().learn(Pipe(p), meeting_.knowledge);
}

}  // namespace sim
