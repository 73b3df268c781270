// Flags, barriers, and where a kernel runs.
#pragma once

#include "sim/queue.h"

using pipe_t = sim::Pipe;
constexpr pipe_t PIPE_S = sim::Pipe::S, PIPE_V = sim::Pipe::V, PIPE_M = sim::Pipe::M, PIPE_MTE1 = sim::Pipe::MTE1, PIPE_MTE2 = sim::Pipe::MTE2,
                 PIPE_MTE3 = sim::Pipe::MTE3, PIPE_FIX = sim::Pipe::FIX, PIPE_ALL = sim::Pipe::ALL;
using event_t = int;
constexpr event_t EVENT_ID0 = 0, EVENT_ID1 = 1, EVENT_ID2 = 2, EVENT_ID3 = 3, EVENT_ID4 = 4, EVENT_ID5 = 5, EVENT_ID6 = 6, EVENT_ID7 = 7;

namespace AscendC {

#define SIM_EVENTS(X)                                                                                                              \
    X(MTE2, MTE1) X(MTE1, MTE2) X(MTE1, M) X(M, MTE1) X(MTE2, V) X(V, MTE2) X(MTE3, V) X(V, MTE3) X(M, V) X(V, M) X(V, V) X(MTE3, MTE1) \
    X(MTE1, V) X(MTE2, M) X(M, MTE2) X(V, MTE1) X(M, FIX) X(FIX, M) X(MTE3, MTE2) X(MTE2, MTE3) X(S, V) X(V, S) X(S, MTE2) X(MTE2, S) \
    X(S, MTE3) X(MTE3, S) X(FIX, MTE2) X(FIX, MTE1) X(MTE2, FIX) X(FIX, V) X(V, FIX) X(M, S) X(S, M) X(MTE1, FIX) X(MTE1, S) X(S, MTE1) X(FIX, S) X(S, FIX)
enum class HardEvent : uint8_t {
#define X(a, b) a##_##b,
    SIM_EVENTS(X)
#undef X
};

inline sim::Route route(HardEvent e) {
    static const sim::Route routes[] = {
#define X(a, b) {sim::Pipe::a, sim::Pipe::b},
        SIM_EVENTS(X)
#undef X
    };
    return routes[int(e)];
}

template <HardEvent e> void SetFlag(int32_t id, sim::Site site = sim::Site::here()) { sim::core().set_flag(route(e).producer, route(e).consumer, id, site); }
template <HardEvent e> void WaitFlag(int32_t id, sim::Site site = sim::Site::here()) { sim::core().wait_flag(route(e).producer, route(e).consumer, id, site); }
template <pipe_t p> void PipeBarrier() { sim::core().barrier(p); }

template <uint8_t mode, pipe_t p> void CrossCoreSetFlag(uint16_t id, sim::Site site = sim::Site::here()) {
    sim::core().machine().cross_set(sim::core(), mode, p, id, site);
}
template <uint8_t mode = 2, pipe_t p = PIPE_S> void CrossCoreWaitFlag(uint16_t id, sim::Site site = sim::Site::here()) {
    sim::core().machine().cross_wait(sim::core(), mode, p, id, site);
}
template <bool aiv_only = true> void SyncAll(sim::Site site = sim::Site::here()) { sim::core().machine().sync_all(sim::core(), site); }

inline int64_t GetBlockNum() { return int64_t(sim::core().machine().blocks()); }
inline int64_t GetSubBlockNum() { return sim::core().machine().kernel_kind() == sim::KernelKind::Mix ? 2 : 1; }
inline int64_t GetSubBlockIdx() { return int64_t(sim::core().sub()); }
// On a vector core of a mixed kernel: counted over all vector cores.
inline int64_t GetBlockIdx() {
    sim::Core& c = sim::core();
    bool of_a_group = c.kind() == sim::CoreKind::Vector && c.machine().kernel_kind() == sim::KernelKind::Mix;
    return of_a_group ? int64_t(c.block() * 2 + c.sub()) : int64_t(c.block());
}

}  // namespace AscendC

inline bool sim_is_cube() { return sim::core().kind() != sim::CoreKind::Vector; }
inline bool sim_is_vector() { return sim::core().kind() != sim::CoreKind::Cube; }
#define ASCEND_IS_AIC (sim_is_cube())
#define ASCEND_IS_AIV (sim_is_vector())

// Types of kernels, by the cores that they are for.
enum class SimKernelType : uint8_t { KERNEL_TYPE_AIV_ONLY, KERNEL_TYPE_AIC_ONLY, KERNEL_TYPE_MIX_AIC_1_2, KERNEL_TYPE_MIX_AIC_1_1, KERNEL_TYPE_MIX_AIV_1_0, KERNEL_TYPE_MIX_AIC_1_0 };
inline void sim_declare(SimKernelType t, sim::Site site = sim::Site::here()) {
    sim::KernelKind kind = t == SimKernelType::KERNEL_TYPE_AIV_ONLY ? sim::KernelKind::VectorOnly : t == SimKernelType::KERNEL_TYPE_AIC_ONLY ? sim::KernelKind::CubeOnly : sim::KernelKind::Mix;
    sim::core().machine().declare(kind, sim::core(), site);
}
#define KERNEL_TASK_TYPE_DEFAULT(type) sim_declare(SimKernelType::type)
