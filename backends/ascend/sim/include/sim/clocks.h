// Who is ordered after whom. Every pipe of every core counts its instructions; a pipe knows, of every other one, up to which
// instruction it is ordered after it. Set and wait, barriers and cross-core flags pass that knowledge on; nothing else does.
// (A functional run alone finds no missing synchronisation: it gives right numbers either way.)
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "sim/report.h"

namespace sim {

using Local = std::array<uint32_t, PIPES>;
using Remote = std::shared_ptr<const std::vector<uint32_t>>;  // core * PIPES + pipe; null: nothing

// What is known of the own core's pipes and of other cores', and the time at which it became true.
struct Knowledge {
    Local local{};
    Remote remote;
    double time = 0;

    void join(const Knowledge& o);
    bool knows(uint32_t core, Pipe p, uint32_t seq) const;
};

// An instruction: pipe and number, of a core.
struct Epoch {
    uint32_t core = 0;
    Pipe pipe = Pipe::S;
    uint32_t seq = 0;  // 0: none
    bool atomic = false;
};

class Clocks {
public:
    // The next instruction on a pipe; returns its number.
    uint32_t tick(Pipe p) { return ++seq_[int(p)]; }
    uint32_t seq(Pipe p) const { return seq_[int(p)]; }

    // All that pipe `p` has done and knows.
    Knowledge of(Pipe p) const;
    void learn(Pipe p, const Knowledge& k) { known_[int(p)].join(k); }
    const Knowledge& known(Pipe p) const { return known_[int(p)]; }

    // Everything that any pipe has done becomes known to every one.
    void barrier_all();

    // Pipe time: when it is free, and how long it was busy.
    double free_at(Pipe p) const { return known_[int(p)].time; }
    void occupy(Pipe p, double from, double cycles);
    double busy(Pipe p) const { return busy_[int(p)]; }
    double end() const;

private:
    Local seq_{};
    std::array<Knowledge, PIPES> known_;
    std::array<double, PIPES> busy_{};
};

}  // namespace sim
