// Accesses to simulated memories: bounds, ownership, alignment of what was never written, order.
#include "sim/memory.h"

#include <algorithm>
#include <cstring>

#include "sim/machine.h"

namespace sim {

namespace {

constexpr uint8_t GUARD_BYTE = 0xa5;
constexpr uint8_t POISON = 0xcb;  // what unwritten memory holds

// Pipes whose instructions finish in order among themselves. Copies from and to global memory do not.
bool in_order(Pipe p) { return p != Pipe::MTE2 && p != Pipe::MTE3; }

std::string bytes_text(uint64_t offset, uint64_t bytes) {
    return "bytes " + std::to_string(offset) + ".." + std::to_string(offset + bytes);
}

}  // namespace

const char* name_of(Space s) {
    static const char* names[] = {"UB", "L1", "L0A", "L0B", "L0C", "BT"};
    return names[int(s)];
}

uint32_t LocalMemory::allocate(uint32_t offset, uint32_t bytes, std::string name) {
    allocations_.push_back({uint32_t(allocations_.size()) + 1, offset, bytes, std::move(name), true});
    uint32_t id = allocations_.back().id;
    uint32_t end = std::min(offset + bytes, capacity());
    if (offset < end) {
        std::memset(data_.data() + offset, POISON, end - offset);
        std::memset(written_.data() + offset, 0, end - offset);
    }
    return id;
}

void LocalMemory::renew(uint32_t id) {
    Allocation& a = allocation(id);
    a.live = true;
    uint32_t end = std::min(a.offset + a.bytes, capacity());
    if (a.offset >= end) return;
    std::memset(data_.data() + a.offset, POISON, end - a.offset);
    std::memset(written_.data() + a.offset, 0, end - a.offset);
}

void LocalMemory::expect_no_reader(uint64_t offset, uint64_t bytes) {
    for (uint64_t c = offset / CELL; c * CELL < offset + bytes && c < cells_.size(); c++) cells_[c].consumed = true;
}

void LocalMemory::check_read(Core& core, Pipe pipe, Cell& cell, const std::string& where, Site site) {
    const Epoch& w = cell.write;
    if (!w.seq || (w.pipe == pipe && in_order(pipe))) return;
    if (core.clocks().known(pipe).local[int(w.pipe)] >= w.seq) return;
    core.find(Kind::SyncBeforeRead, pipe, site, where + " is read before the " + name_of(w.pipe) + " pipe is known to have written it");
}

void LocalMemory::check_write(Core& core, Pipe pipe, Cell& cell, const std::string& where, Site site) {
    const Local& known = core.clocks().known(pipe).local;
    const Epoch& w = cell.write;
    bool same = w.pipe == pipe && in_order(pipe);
    bool fenced = w.pipe == pipe && core.fenced(pipe) >= w.seq;
    if (w.seq && !same && !fenced && known[int(w.pipe)] < w.seq) {
        core.find(Kind::SyncBeforeWrite, pipe, site, where + " is written while the " + name_of(w.pipe) + " pipe may still write it");
        return;
    }
    for (int q = 0; q < PIPES; q++) {
        if (cell.reads[q] && Pipe(q) != pipe && known[q] < cell.reads[q]) {
            core.find(Kind::SyncBeforeWrite, pipe, site, where + " is written while the " + name_of(Pipe(q)) + " pipe may still read it");
            return;
        }
    }
    bool copied = w.seq && (w.pipe == Pipe::MTE2 || w.pipe == Pipe::MTE1);
    if (copied && !cell.consumed && (pipe == Pipe::MTE2 || pipe == Pipe::MTE1) && w.seq != core.clocks().seq(pipe)) {
        core.find(Kind::WriteUnconsumed, pipe, site, where + " is overwritten although nobody has read what was copied there");
    }
}

bool LocalMemory::access(Core& core, Pipe pipe, uint32_t seq, uint32_t id, uint64_t offset, uint64_t bytes, bool write, Site site) {
    if (!bytes) return true;
    Kind unallocated = write ? Kind::WriteUnallocated : Kind::ReadUnallocated;
    Kind past = write ? Kind::WritePast : Kind::ReadPast;
    if (!id) {
        core.find(Kind::InvalidBuffer, pipe, site, std::string(name_of(space_)) + " tensor that was never allocated");
        return false;
    }
    const Allocation& a = allocation(id);
    std::string where = std::string(name_of(space_)) + " buffer " + a.name + " " + bytes_text(offset - a.offset, bytes);
    if (offset + bytes > capacity()) {
        core.find(unallocated, pipe, site, where + " lies outside the memory of " + std::to_string(capacity()) + " bytes");
        return false;
    }
    if (!a.live) {
        core.find(unallocated, pipe, site, where + " was freed");
        return true;
    }
    if (a.holder && *a.holder != pipe && pipe != Pipe::S) {
        core.find(Kind::QueueUse, pipe, site, where + " is touched by the " + name_of(pipe) + " pipe while " +
            (*a.holder == Pipe::ALL ? std::string("it lies in the queue") : std::string("it is the ") + name_of(*a.holder) + " pipe's") + ": EnQue and DeQue hand it over");
    }
    if (offset < a.offset || offset + bytes > uint64_t(a.offset) + a.bytes) {
        core.find(past, pipe, site, where + " goes past its " + std::to_string(a.bytes) + " bytes");
    }
    if (!write) {
        auto first = std::find(written_.begin() + long(offset), written_.begin() + long(offset + bytes), 0);
        if (first != written_.begin() + long(offset + bytes)) {
            core.find(Kind::ReadUnwritten, pipe, site,
                      where + ": byte " + std::to_string(uint64_t(first - written_.begin()) - a.offset) + " was never written");
        }
    }
    for (uint64_t c = offset / CELL; c * CELL < offset + bytes; c++) {
        Cell& cell = cells_[c];
        if (write) {
            check_write(core, pipe, cell, where, site);
            cell.write = {core.index(), pipe, seq, false};
            cell.reads = {};
            cell.consumed = false;
        } else {
            check_read(core, pipe, cell, where, site);
            cell.reads[int(pipe)] = seq;
            cell.consumed = true;
        }
    }
    if (write) std::memset(written_.data() + offset, 1, bytes);
    return true;
}

GlobalBuffer::GlobalBuffer(std::string name, size_t bytes)
    : name_(std::move(name)), size_(bytes), bytes_(bytes + 2 * GUARD, GUARD_BYTE), written_(bytes, 0) {
    std::memset(data(), POISON, bytes);
}

void GlobalBuffer::fill_from_host() { std::fill(written_.begin(), written_.end(), 1); }

void GlobalBuffer::fill_from_host(size_t offset, size_t bytes) { std::memset(written_.data() + offset, 1, bytes); }

bool GlobalBuffer::intact() const {
    auto whole = [&](size_t from) {
        return std::all_of(bytes_.begin() + long(from), bytes_.begin() + long(from + GUARD), [](uint8_t b) { return b == GUARD_BYTE; });
    };
    return whole(0) && whole(GUARD + size_);
}

// Makes `at` the border of a range, if it lies in one; the first range from there on.
std::map<size_t, GlobalBuffer::Range>::iterator GlobalBuffer::split(size_t at) {
    auto next = ranges_.lower_bound(at);
    if (next != ranges_.begin()) {
        auto before = std::prev(next);
        if (before->second.end > at) {
            Range tail = before->second;
            before->second.end = at;
            return ranges_.emplace(at, std::move(tail)).first;
        }
    }
    return next;
}

void GlobalBuffer::fetch_line(Core& core, size_t offset, Site site) {
    constexpr size_t LINE = 64;
    size_t from = offset / LINE * LINE, to = std::min(from + LINE, size_);
    const Knowledge& k = core.clocks().known(Pipe::S);
    auto it = ranges_.upper_bound(from);
    if (it != ranges_.begin()) --it;
    for (; it != ranges_.end() && it->first < to; ++it) {
        const Epoch& w = it->second.write;
        if (it->second.end <= from || !w.seq || w.pipe == Pipe::S) continue;
        if (w.core == core.index() ? k.local[int(w.pipe)] < w.seq : !k.knows(w.core, w.pipe, w.seq)) {
            core.find(Kind::SyncBeforeRead, Pipe::S, site, "the cache line of global buffer " + name_ + " around byte " + std::to_string(offset) +
                " is fetched before the " + name_of(w.pipe) + " pipe is known to have written its part of it");
            return;
        }
    }
}

bool GlobalBuffer::access(Core& core, Pipe pipe, uint32_t seq, size_t offset, size_t bytes, bool write, bool atomic, Site site) {
    if (!bytes) return true;
    std::string where = "global buffer " + name_ + " " + bytes_text(offset, bytes);
    if (offset > size_ || bytes > size_ - offset) {
        core.find(write ? Kind::WritePast : Kind::ReadPast, pipe, site, where + " goes past its " + std::to_string(size_) + " bytes");
        return false;
    }
    if (!write) {
        auto first = std::find(written_.begin() + long(offset), written_.begin() + long(offset + bytes), 0);
        if (first != written_.begin() + long(offset + bytes)) {
            core.find(Kind::ReadUnwritten, pipe, site, where + ": byte " + std::to_string(first - written_.begin()) + " was never written");
        }
    }
    Epoch now{core.index(), pipe, seq, atomic};
    auto ordered = [&](const Epoch& e) {
        if (!e.seq || (e.atomic && atomic)) return true;
        const Knowledge& k = core.clocks().known(pipe);
        if (e.core != core.index()) return k.knows(e.core, e.pipe, e.seq);
        if (e.pipe == pipe) return in_order(pipe) || !write || core.fenced(pipe) >= e.seq || k.local[int(pipe)] >= e.seq;
        return k.local[int(e.pipe)] >= e.seq;
    };
    auto check = [&](const Epoch& e, bool was_write) {
        if (ordered(e)) return;
        if (e.core != core.index()) {
            core.find(Kind::CoresOverlap, pipe, site,
                      where + (write ? " is written" : " is read") + " in no order with another core that " + (was_write ? "writes" : "reads") + " it");
        } else {
            core.find(write ? Kind::SyncBeforeWrite : Kind::SyncBeforeRead, pipe, site,
                      where + (write ? " is written" : " is read") + " while the " + name_of(e.pipe) + " pipe may still " + (was_write ? "write" : "read") + " it");
        }
    };
    size_t at = offset, end = offset + bytes;
    auto it = split(at);
    split(end);
    it = ranges_.lower_bound(at);
    while (at < end) {
        if (it == ranges_.end() || it->first > at) {
            size_t until = it == ranges_.end() ? end : std::min(end, it->first);
            it = ranges_.emplace(at, Range{until, {}, {}}).first;
        }
        Range& r = it->second;
        check(r.write, true);
        if (write) {
            for (const Epoch& e : r.reads) check(e, false);
            r.write = now;
            r.reads.clear();
        } else {
            auto mine = std::find_if(r.reads.begin(), r.reads.end(), [&](const Epoch& e) { return e.core == now.core && e.pipe == pipe; });
            if (mine == r.reads.end()) r.reads.push_back(now);
            else mine->seq = seq;
        }
        at = r.end;
        ++it;
    }
    if (write) std::memset(written_.data() + offset, 1, bytes);
    return true;
}

}  // namespace sim
