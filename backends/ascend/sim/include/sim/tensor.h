// Tensors: windows into a core's memory or into global memory, and how instructions get at their bytes.
#pragma once

#include "sim/machine.h"
#include "sim/types.h"

namespace AscendC {

enum class TPosition : uint8_t { GM, A1, A2, B1, B2, C1, C2, CO1, CO2, VECIN, VECOUT, VECCALC, TSCM };
using QuePosition = TPosition;

}  // namespace AscendC

namespace sim {

Space space_of(AscendC::TPosition p);

// A window, without its element type.
struct Window {
    Space space = Space::UB;
    uint32_t allocation = 0;
    uint32_t offset = 0;  // of the memory, in bytes
    uint32_t bytes = 0;
};

// An instruction under way: checks what it touches and gives the bytes.
class Instruction {
public:
    Instruction(Pipe pipe, Site site) : core_(core()), pipe_(pipe), site_(site), seq_(core_.begin(pipe)) {}

    Core& in() { return core_; }
    void spend(double cycles) { core_.spend(pipe_, cycles); }
    void find(Kind kind, const std::string& what) { core_.find(kind, pipe_, site_, what); }

    // Bytes `from..from + bytes` of a window; null where there are none to touch.
    uint8_t* touch(const Window& w, uint64_t from, uint64_t bytes, bool write, uint32_t align = CELL) {
        if (!bytes) return nullptr;
        if ((w.offset + from) % align) {
            find(write ? Kind::WriteMisaligned : Kind::ReadMisaligned,
                 std::string(name_of(w.space)) + " address " + std::to_string(w.offset + from) + " is not a multiple of " + std::to_string(align));
        }
        if (from + bytes > w.bytes) {
            find(write ? Kind::WritePast : Kind::ReadPast,
                 "bytes " + std::to_string(from) + ".." + std::to_string(from + bytes) + " of a tensor of " + std::to_string(w.bytes));
        }
        LocalMemory& m = core_.memory(w.space);
        return m.access(core_, pipe_, seq_, w.allocation, uint64_t(w.offset) + from, bytes, write, site_) ? m.at(uint32_t(w.offset + from)) : nullptr;
    }

    // A unit reaches only some memories.
    void reaches(const Window& w, Space s) {
        if (w.space != s) find(Kind::QueueUse, std::string("a buffer in ") + name_of(w.space) + " where the " + name_of(pipe_) + " pipe needs one in " + name_of(s));
    }

    // Bytes of global memory; null where they may not be touched.
    uint8_t* touch_global(const void* at, uint64_t bytes, bool write, bool atomic = false) {
        if (!bytes) return nullptr;
        GlobalBuffer* g = core_.machine().find_global(at);
        if (!g) {
            find(write ? Kind::WriteUnallocated : Kind::ReadUnallocated, "global memory that is not allocated");
            return nullptr;
        }
        auto* p = const_cast<uint8_t*>(static_cast<const uint8_t*>(at));
        if (g->offset_of(at) + bytes > core_.declared(*g)) {
            find(write ? Kind::WritePast : Kind::ReadPast, "global buffer " + g->name() + " beyond what SetGlobalBuffer declared of it");
        }
        return g->access(core_, pipe_, seq_, size_t(p - g->data()), bytes, write, atomic, site_) ? p : nullptr;
    }

private:
    Core& core_;
    Pipe pipe_;
    Site site_;
    uint32_t seq_;
};

// The scalar unit waits for the others and they for it: the compiler puts that in on the vector cores of 2201 and 3510. On 2002,
// for which it is not documented, it is taken to do so between the scalar and the vector unit only.
class Scalar : public Instruction {
public:
    explicit Scalar(Site site) : Instruction((meet(true), Pipe::S), site) {}
    ~Scalar() { meet(false); }

private:
    static void meet(bool before) {
        Core& c = core();
        if (c.kind() != CoreKind::Both) return c.barrier(Pipe::ALL);
        if (before) c.clocks().learn(Pipe::S, c.clocks().of(Pipe::V));
        else c.clocks().learn(Pipe::V, c.clocks().of(Pipe::S));
    }
};

}  // namespace sim

namespace AscendC {

template <class T> class LocalTensor {
public:
    using PrimType = T;
    LocalTensor() = default;
    explicit LocalTensor(sim::Window w) : window_(w) {}

    const sim::Window& window() const { return window_; }
    uint32_t GetSize() const { return window_.bytes / sizeof(T); }
    void SetSize(uint32_t n) { window_.bytes = uint32_t(n * sizeof(T)); }
    uint64_t GetPhyAddr() const { return window_.offset; }

    LocalTensor operator[](uint32_t element) const {
        sim::Window w = window_;
        uint32_t by = uint32_t(element * sizeof(T));
        w.offset += by;
        w.bytes = w.bytes > by ? w.bytes - by : 0;
        return LocalTensor(w);
    }

    template <class U> LocalTensor<U> ReinterpretCast() const { return LocalTensor<U>(window_); }

    T GetValue(uint32_t i, sim::Site site = sim::Site::here()) const {
        sim::Scalar s(site);
        T v{};
        if (auto* p = s.touch(window_, i * sizeof(T), sizeof(T), false, sizeof(T))) std::memcpy(&v, p, sizeof(T));
        return v;
    }

    void SetValue(uint32_t i, T v, sim::Site site = sim::Site::here()) const {
        sim::Scalar s(site);
        if (auto* p = s.touch(window_, i * sizeof(T), sizeof(T), true, sizeof(T))) std::memcpy(p, &v, sizeof(T));
    }

private:
    sim::Window window_;
};

enum class CacheMode : uint8_t { CACHE_MODE_DISABLE, CACHE_MODE_NORMAL };

template <class T> class GlobalTensor {
public:
    using PrimType = T;
    // `count` elements; 0: as many as there are.
    void SetGlobalBuffer(T* base, uint64_t count = 0, sim::Site site = sim::Site::here()) {
        base_ = base;
        if (count) sim::core().declare(base, count * sizeof(T), site);
    }
    GlobalTensor operator[](uint64_t element) const {
        GlobalTensor t = *this;
        t.base_ += element;
        return t;
    }
    T* GetPhyAddr(uint64_t element = 0) const { return base_ + element; }
    // A hint; it changes no result.
    void SetL2CacheHint(CacheMode) {}

    T GetValue(uint64_t i, sim::Site site = sim::Site::here()) const {
        sim::Scalar s(site);
        T v{};
        if (auto* p = s.touch_global(base_ + i, sizeof(T), false)) std::memcpy(&v, p, sizeof(T));
        return v;
    }

    void SetValue(uint64_t i, T v, sim::Site site = sim::Site::here()) const {
        sim::Scalar s(site);
        if (auto* g = sim::core().machine().find_global(base_ + i)) g->fetch_line(sim::core(), g->offset_of(base_ + i), site);
        if (auto* p = s.touch_global(base_ + i, sizeof(T), true)) std::memcpy(p, &v, sizeof(T));
        sim::core().cached(site);
    }

private:
    T* base_ = nullptr;
};

}  // namespace AscendC
