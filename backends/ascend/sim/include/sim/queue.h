// TPipe, TQue, TBuf: buffers of a core, handed from pipe to pipe through queues that order them.
#pragma once

#include <memory>
#include <vector>

#include "sim/tensor.h"

namespace sim {

// A buffer of a queue and where it is on its way.
struct Slot {
    enum State : uint8_t { Free, Allocated, Queued, Taken };
    uint32_t allocation = 0, offset = 0, bytes = 0;
    State state = Free;
    Knowledge filled, emptied;
};

// The pipes that fill and empty the buffers of a position.
struct Route {
    Pipe producer, consumer;
};
Route route_of(AscendC::TPosition p, const Chip& chip);
const char* name_of(AscendC::TPosition p);

class QueueState {
public:
    AscendC::TPosition position = AscendC::TPosition::GM;
    std::vector<Slot> slots;
    std::vector<size_t> order;  // queued slots, first in first out
    uint32_t depth = 1;
    Site made;

    Window take(Site site);            // AllocTensor
    void push(const Window& w, Site);  // EnQue
    Window pop(Site site);             // DeQue
    void give_back(const Window& w, Site);
    void finish(Core& core);           // leaks

private:
    Slot* slot_of(const Window& w);
    bool ready(Site site);
};

}  // namespace sim

namespace AscendC {

template <TPosition position, int32_t depth, int32_t = 0> class TQue {
public:
    template <class T> LocalTensor<T> AllocTensor(sim::Site site = sim::Site::here()) { return LocalTensor<T>(state_->take(site)); }
    template <class T> bool EnQue(const LocalTensor<T>& t, sim::Site site = sim::Site::here()) { return state_->push(t.window(), site), true; }
    template <class T> LocalTensor<T> DeQue(sim::Site site = sim::Site::here()) { return LocalTensor<T>(state_->pop(site)); }
    template <class T> void FreeTensor(LocalTensor<T>& t, sim::Site site = sim::Site::here()) { state_->give_back(t.window(), site); }
    bool HasTensorInQue() const { return !state_->order.empty(); }

    std::shared_ptr<sim::QueueState> state_ = make();

private:
    static std::shared_ptr<sim::QueueState> make() {
        auto s = std::make_shared<sim::QueueState>();
        s->position = position;
        s->depth = uint32_t(depth);
        return s;
    }
};

template <TPosition position> class TBuf {
public:
    template <class T> LocalTensor<T> Get() const { return LocalTensor<T>(window_); }
    template <class T> LocalTensor<T> Get(uint32_t count) const {
        LocalTensor<T> t(window_);
        t.SetSize(count);
        return t;
    }
    template <class T> LocalTensor<T> GetWithOffset(uint32_t count, uint32_t offset) const {
        LocalTensor<T> t(LocalTensor<uint8_t>(window_)[offset].window());
        t.SetSize(count);
        return t;
    }

    static constexpr TPosition where = position;
    sim::Window window_;
};

class TPipe {
public:
    ~TPipe();
    template <TPosition p, int32_t d, int32_t m> bool InitBuffer(TQue<p, d, m>& q, uint8_t num, uint32_t bytes, sim::Site site = sim::Site::here()) {
        return init(*q.state_, num, bytes, site), queues_.push_back(q.state_), true;
    }
    template <TPosition p> bool InitBuffer(TBuf<p>& b, uint32_t bytes, sim::Site site = sim::Site::here()) {
        return b.window_ = carve(p, bytes, std::string(sim::name_of(p)) + " TBuf", site), true;
    }
    void Destroy();

private:
    sim::Window carve(TPosition p, uint32_t bytes, const std::string& name, sim::Site site);
    void init(sim::QueueState& q, uint8_t num, uint32_t bytes, sim::Site site);

    uint32_t used_[sim::SPACES] = {};
    std::vector<std::pair<sim::Space, uint32_t>> allocations_;
    std::vector<std::shared_ptr<sim::QueueState>> queues_;
    bool open_ = true;
};

}  // namespace AscendC
