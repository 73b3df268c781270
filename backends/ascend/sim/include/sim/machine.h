// The machine: cores that each run the kernel as a fiber, global memory, flags between cores, findings, time.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sim/chip.h"
#include "sim/clocks.h"
#include "sim/memory.h"
#include "sim/report.h"

namespace sim {

enum class CoreKind : uint8_t { Cube, Vector, Both };  // Both: 310P, one core with both units
enum class KernelKind : uint8_t { VectorOnly, CubeOnly, Mix };

class Machine;

class Core {
public:
    Core(Machine& machine, uint32_t index, CoreKind kind, uint32_t block, uint32_t sub);

    Machine& machine() { return machine_; }
    uint32_t index() const { return index_; }
    CoreKind kind() const { return kind_; }
    uint32_t block() const { return block_; }
    uint32_t sub() const { return sub_; }
    std::string name() const;
    LocalMemory& memory(Space s) { return *memories_[int(s)]; }
    Clocks& clocks() { return clocks_; }

    // Starts an instruction on a pipe: its number.
    uint32_t begin(Pipe p);
    // It takes so many cycles.
    void spend(Pipe p, double cycles) { clocks_.occupy(p, clocks_.free_at(Pipe::S), cycles); }

    // Events between pipes.
    void set_flag(Pipe from, Pipe to, int id, Site site);
    void wait_flag(Pipe from, Pipe to, int id, Site site);
    void barrier(Pipe p);
    uint32_t fenced(Pipe p) const { return fenced_[int(p)]; }

    void find(Kind kind, Pipe pipe, Site site, const std::string& what);
    // Results of copies out are added to what is there: 'f' float, 'h' half, 'i' int32_t; 0: they overwrite.
    char atomic = 0;
    // The last product.
    uint32_t last_product = 0;
    // What a kernel says of an argument: how many bytes there are from an address on.
    void declare(const void* base, uint64_t bytes, Site site);
    uint64_t declared(const GlobalBuffer& b) const;
    // The scalar unit has written through the data cache, which is not coherent with global memory; it is written back.
    void cached(Site site) { cached_ = site; }
    void write_back() { cached_.reset(); }
    // What is left at the end: events set and not waited for.
    void finish();

private:
    struct Event {
        std::optional<Knowledge> set;
        Site site;
    };

    Machine& machine_;
    uint32_t index_;
    CoreKind kind_;
    uint32_t block_, sub_;
    std::vector<std::unique_ptr<LocalMemory>> memories_;
    Clocks clocks_;
    Local fenced_{};
    Event events_[PIPES][PIPES][8];
    std::map<const GlobalBuffer*, uint64_t> declared_;  // bytes from its start
    std::optional<Site> cached_;
};

// What a launch did.
struct Run {
    double cycles = 0;                 // of the slowest core
    double busy[PIPES] = {};           // of that core's pipes
    std::vector<Finding> findings;     // of this launch
};

class Machine {
public:
    explicit Machine(Chip chip);
    ~Machine();
    const Chip& chip() const { return chip_; }

    GlobalBuffer& allocate(const std::string& name, size_t bytes);
    void release(GlobalBuffer& b);
    // The buffer that holds an address; null where none does.
    GlobalBuffer* find_global(const void* p);

    // Runs a kernel on `blocks` cores (groups of one cube and two vector cores for `Mix`) and checks it.
    Run launch(const std::string& kernel, KernelKind kind, uint32_t blocks, const std::function<void()>& body);

    // Flags between cores. `mode` 0: all cores of a kind, 1: the vector cores of a group, 2: cube core and vector cores of a group.
    void cross_set(Core& core, int mode, Pipe pipe, int id, Site site);
    void cross_wait(Core& core, int mode, Pipe pipe, int id, Site site);
    void sync_all(Core& core, Site site);

    uint32_t blocks() const { return blocks_; }
    // What kind of cores a kernel says it is for.
    void declare(KernelKind kind, Core& core, Site site);
    KernelKind kernel_kind() const { return kernel_kind_; }
    void find(Finding f);
    const std::string& kernel() const { return kernel_; }

private:
    struct Fiber;
    // A flag of one core: for each other core, what it knew at every time that it has set the flag and was not waited for.
    struct CrossFlag {
        std::vector<std::deque<Knowledge>> set;
        Site site;  // of the last set
    };

    // Leaves the running fiber until `ready`.
    void sleep_until(std::function<bool()> ready, std::string waits_for, Site site);
    // Whether a flag of `mode` passes from a core to another.
    bool passes(int mode, const Core& from, const Core& to) const;
    // What a core gives other cores: everything that `k` knows, its own instructions included.
    Knowledge gift(const Core& core, const Knowledge& k) const;

    Chip chip_;
    std::vector<std::unique_ptr<GlobalBuffer>> globals_;
    std::vector<std::unique_ptr<Core>> cores_;
    std::vector<std::unique_ptr<Fiber>> fibers_;
    std::vector<std::vector<CrossFlag>> flags_;  // by core and id
    struct Meeting { uint32_t arrived = 0, generation = 0; Knowledge knowledge; } meeting_;
    uint32_t blocks_ = 0;
    KernelKind kernel_kind_ = KernelKind::VectorOnly;
    std::string kernel_;
    std::vector<Finding> findings_;
    Fiber* running_ = nullptr;
};

// The core that is running, from inside a kernel.
Core& core();

}  // namespace sim
