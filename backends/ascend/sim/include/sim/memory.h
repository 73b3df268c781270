// Simulated memories. A core's own ones are kept in cells of 32 bytes, the granule of every transfer; global memory in ranges,
// since kernels walk it in long rows.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "sim/clocks.h"

namespace sim {

enum class Space : uint8_t { UB, L1, L0A, L0B, L0C, BT };
constexpr int SPACES = 6;
const char* name_of(Space s);
constexpr uint32_t CELL = 32;

// A buffer handed out of a memory.
struct Allocation {
    uint32_t id = 0;
    uint32_t offset = 0, bytes = 0;
    std::string name;
    bool live = false;
    // The pipe that a queue has handed it to, ALL while it lies in the queue; no value: it belongs to no queue.
    std::optional<Pipe> holder = {};
};

struct Cell {
    Epoch write;
    Local reads{};  // last reading instruction of each pipe
    bool consumed = true;
};

class Core;

// One memory of one core.
class LocalMemory {
public:
    LocalMemory(Space space, uint32_t bytes) : space_(space), data_(bytes), written_(bytes), cells_((bytes + CELL - 1) / CELL) {}

    Space space() const { return space_; }
    uint32_t capacity() const { return uint32_t(data_.size()); }
    uint8_t* at(uint32_t offset) { return data_.data() + offset; }
    const std::vector<Allocation>& allocations() const { return allocations_; }
    Allocation& allocation(uint32_t id) { return allocations_[id - 1]; }

    // A buffer at a given place; its id.
    uint32_t allocate(uint32_t offset, uint32_t bytes, std::string name);
    void release(uint32_t id) { allocation(id).live = false; }
    // Handed out again: what was there before counts as never written.
    void renew(uint32_t id);
    // Nobody needs to read these bytes.
    void expect_no_reader(uint64_t offset, uint64_t bytes);

    // Checks and records an access of `bytes` from `offset` by an instruction; false where it cannot be done.
    bool access(Core& core, Pipe pipe, uint32_t seq, uint32_t allocation, uint64_t offset, uint64_t bytes, bool write, Site site);

private:
    void check_read(Core& core, Pipe pipe, Cell& cell, const std::string& where, Site site);
    void check_write(Core& core, Pipe pipe, Cell& cell, const std::string& where, Site site);

    Space space_;
    std::vector<uint8_t> data_;
    std::vector<uint8_t> written_;
    std::vector<Cell> cells_;
    std::vector<Allocation> allocations_;
};

// A buffer in global memory, between guard zones.
class GlobalBuffer {
public:
    GlobalBuffer(std::string name, size_t bytes);
    const std::string& name() const { return name_; }
    uint8_t* data() { return bytes_.data() + GUARD; }
    size_t size() const { return size_; }
    // The host has written all of it.
    void fill_from_host();
    // The host has written a part of it.
    void fill_from_host(size_t offset, size_t bytes);
    // Guard zones are as they were.
    bool intact() const;
    void forget_accesses() { ranges_.clear(); }
    // The scalar unit is about to write `offset`: its cache fetches the line around it, and gives the whole line back later.
    void fetch_line(Core& core, size_t offset, Site site);
    // Offset of an address in it.
    size_t offset_of(const void* p) { return size_t(static_cast<const uint8_t*>(p) - data()); }

    bool access(Core& core, Pipe pipe, uint32_t seq, size_t offset, size_t bytes, bool write, bool atomic, Site site);

private:
    struct Range {
        size_t end;
        Epoch write;
        std::vector<Epoch> reads;
    };
    std::map<size_t, Range>::iterator split(size_t at);

    static constexpr size_t GUARD = 512;
    std::string name_;
    size_t size_;
    std::vector<uint8_t> bytes_;
    std::vector<uint8_t> written_;
    std::map<size_t, Range> ranges_;
};

}  // namespace sim
