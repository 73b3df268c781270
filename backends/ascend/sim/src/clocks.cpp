// Knowledge and its passing on.
#include "sim/clocks.h"

#include <algorithm>

namespace sim {

void Knowledge::join(const Knowledge& o) {
    for (int p = 0; p < PIPES; p++) local[p] = std::max(local[p], o.local[p]);
    time = std::max(time, o.time);
    if (!o.remote || o.remote == remote) return;
    if (!remote) {
        remote = o.remote;
        return;
    }
    auto both = std::make_shared<std::vector<uint32_t>>(*remote);
    both->resize(std::max(both->size(), o.remote->size()));
    for (size_t i = 0; i < o.remote->size(); i++) (*both)[i] = std::max((*both)[i], (*o.remote)[i]);
    remote = both;
}

bool Knowledge::knows(uint32_t core, Pipe p, uint32_t seq) const {
    size_t i = size_t(core) * PIPES + size_t(p);
    return remote && i < remote->size() && (*remote)[i] >= seq;
}

Knowledge Clocks::of(Pipe p) const {
    Knowledge k = known_[int(p)];
    k.local[int(p)] = seq_[int(p)];
    return k;
}

void Clocks::barrier_all() {
    Knowledge all;
    for (int p = 0; p < PIPES; p++) all.join(of(Pipe(p)));
    for (auto& k : known_) k.join(all);
}

void Clocks::occupy(Pipe p, double from, double cycles) {
    Knowledge& k = known_[int(p)];
    k.time = std::max(k.time, from) + cycles;
    busy_[int(p)] += cycles;
}

double Clocks::end() const {
    double t = 0;
    for (const auto& k : known_) t = std::max(t, k.time);
    return t;
}

}  // namespace sim
