// Queues: what they order, and what goes wrong with them.
#include "sim/queue.h"

#include <algorithm>

namespace sim {

using AscendC::TPosition;

Space space_of(TPosition p) {
    switch (p) {
        case TPosition::A1: case TPosition::B1: case TPosition::C1: case TPosition::TSCM: return Space::L1;
        case TPosition::A2: return Space::L0A;
        case TPosition::B2: return Space::L0B;
        case TPosition::C2: return Space::BT;
        case TPosition::CO1: return Space::L0C;
        default: return Space::UB;
    }
}

Route route_of(TPosition p, const Chip& chip) {
    switch (p) {
        case TPosition::A1: case TPosition::B1: case TPosition::C1: return {Pipe::MTE2, Pipe::MTE1};
        case TPosition::A2: case TPosition::B2: case TPosition::C2: return {Pipe::MTE1, Pipe::M};
        case TPosition::CO1: return {Pipe::M, chip.fixpipe ? Pipe::FIX : Pipe::V};
        case TPosition::VECOUT: case TPosition::CO2: return {Pipe::V, Pipe::MTE3};
        default: return {Pipe::MTE2, Pipe::V};
    }
}

const char* name_of(TPosition p) {
    static const char* names[] = {"GM", "A1", "A2", "B1", "B2", "C1", "C2", "CO1", "CO2", "VECIN", "VECOUT", "VECCALC", "TSCM"};
    return names[int(p)];
}

Slot* QueueState::slot_of(const Window& w) {
    for (Slot& s : slots)
        if (s.allocation == w.allocation && space_of(position) == w.space) return &s;
    return nullptr;
}

bool QueueState::ready(Site site) {
    if (!slots.empty()) return true;
    core().find(Kind::Uninitialised, Pipe::S, site, std::string(name_of(position)) + " queue that InitBuffer never made");
    return false;
}

Window QueueState::take(Site site) {
    if (!ready(site)) return {};
    Core& c = core();
    Route r = route_of(position, c.machine().chip());
    auto free = std::find_if(slots.begin(), slots.end(), [](const Slot& s) { return s.state == Slot::Free; });
    if (free == slots.end()) {
        c.find(Kind::Leak, r.producer, site, std::string(name_of(position)) + " queue: all " + std::to_string(slots.size()) + " buffers are in use, none was freed");
        free = slots.begin();
    }
    c.clocks().learn(r.producer, free->emptied);
    free->state = Slot::Allocated;
    c.memory(space_of(position)).renew(free->allocation);
    c.memory(space_of(position)).allocation(free->allocation).holder = r.producer;
    return {space_of(position), free->allocation, free->offset, free->bytes};
}

void QueueState::push(const Window& w, Site site) {
    Core& c = core();
    Route r = route_of(position, c.machine().chip());
    Slot* s = slot_of(w);
    if (!s) return c.find(Kind::QueueType, r.producer, site, std::string("EnQue of a buffer that is none of this ") + name_of(position) + " queue's");
    if (s->state == Slot::Queued) return c.find(Kind::QueueUse, r.producer, site, "EnQue of a buffer that is in the queue");
    if (s->state == Slot::Free) c.find(Kind::QueueUse, r.producer, site, "EnQue of a buffer that is free");
    if (order.size() >= depth) c.find(Kind::QueueUse, r.producer, site, "the queue holds " + std::to_string(depth) + " buffers and is full");
    s->filled = c.clocks().of(r.producer);
    s->state = Slot::Queued;
    c.memory(space_of(position)).allocation(s->allocation).holder = Pipe::ALL;
    order.push_back(size_t(s - slots.data()));
}

Window QueueState::pop(Site site) {
    if (!ready(site)) return {};
    Core& c = core();
    Route r = route_of(position, c.machine().chip());
    if (order.empty()) {
        c.find(Kind::QueueUse, r.consumer, site, std::string("DeQue of an empty ") + name_of(position) + " queue: the core would wait for ever");
        return {};
    }
    Slot& s = slots[order.front()];
    order.erase(order.begin());
    c.clocks().learn(r.consumer, s.filled);
    s.state = Slot::Taken;
    c.memory(space_of(position)).allocation(s.allocation).holder = r.consumer;
    return {space_of(position), s.allocation, s.offset, s.bytes};
}

void QueueState::give_back(const Window& w, Site site) {
    Core& c = core();
    Route r = route_of(position, c.machine().chip());
    Slot* s = slot_of(w);
    if (!s) return c.find(Kind::QueueType, r.consumer, site, std::string("FreeTensor of a buffer that is none of this ") + name_of(position) + " queue's");
    if (s->state == Slot::Free) return c.find(Kind::FreeTwice, r.consumer, site, std::string(name_of(position)) + " buffer is freed and free already");
    if (s->state == Slot::Queued) c.find(Kind::QueueUse, r.consumer, site, "FreeTensor of a buffer that is still in the queue");
    // A buffer that never went through the queue was used by its producer's pipe only; both are known then.
    s->emptied = c.clocks().of(r.consumer);
    if (s->state == Slot::Allocated) s->emptied.join(c.clocks().of(r.producer));
    s->state = Slot::Free;
    c.memory(space_of(position)).release(s->allocation);
}

void QueueState::finish(Core& c) {
    for (Slot& s : slots)
        if (s.state != Slot::Free)
            c.find(Kind::Leak, Pipe::S, made, std::string(name_of(position)) + " buffer is allocated and never freed");
}

}  // namespace sim

namespace AscendC {

TPipe::~TPipe() { Destroy(); }

void TPipe::Destroy() {
    if (!open_) return;
    open_ = false;
    for (auto& q : queues_) q->finish(sim::core());
    for (auto& [space, id] : allocations_) sim::core().memory(space).release(id);
}

sim::Window TPipe::carve(TPosition p, uint32_t bytes, const std::string& name, sim::Site site) {
    sim::Core& c = sim::core();
    sim::Space space = sim::space_of(p);
    sim::LocalMemory& m = c.memory(space);
    uint32_t rounded = (bytes + sim::CELL - 1) / sim::CELL * sim::CELL, at = used_[int(space)];
    if (!bytes) c.find(sim::Kind::InvalidBuffer, sim::Pipe::S, site, name + " of no bytes");
    if (uint64_t(at) + rounded > m.capacity()) {
        c.find(sim::Kind::PoolExhausted, sim::Pipe::S, site,
               name + " of " + std::to_string(rounded) + " bytes: " + std::to_string(at) + " of the " + std::to_string(m.capacity()) + " bytes of " + sim::name_of(space) + " are taken");
    }
    used_[int(space)] += rounded;
    uint32_t id = m.allocate(at, rounded, name);
    allocations_.push_back({space, id});
    return {space, id, at, rounded};
}

void TPipe::init(sim::QueueState& q, uint8_t num, uint32_t bytes, sim::Site site) {
    q.made = site;
    for (uint8_t i = 0; i < num; i++) {
        sim::Window w = carve(q.position, bytes, std::string(sim::name_of(q.position)) + " " + std::to_string(q.slots.size()), site);
        q.slots.push_back({w.allocation, w.offset, w.bytes, sim::Slot::Free, {}, {}});
    }
}

}  // namespace AscendC
