// Rates and rounding of the vector unit.
#include "sim/vector.h"

#include <algorithm>

namespace sim {

void VectorOp::spend_on(Rate rate, int64_t count, size_t size) {
    const Chip& c = in().machine().chip();
    double simple = c.simple_16 * 2.0 / double(std::max<size_t>(size, 2));
    double per_cycle = rate == Rate::Simple ? simple : rate == Rate::Slow ? c.slow : rate == Rate::Reduce ? c.reduce_32 : c.gather;
    // An instruction of few lanes takes a cycle all the same.
    if (count > 0) spend(std::max(1.0, double(count) / per_cycle));
}

double rounded(double x, AscendC::RoundMode mode) {
    using AscendC::RoundMode;
    switch (mode) {
        case RoundMode::CAST_FLOOR: return std::floor(x);
        case RoundMode::CAST_CEIL: return std::ceil(x);
        case RoundMode::CAST_ROUND: return std::round(x);
        case RoundMode::CAST_TRUNC: return std::trunc(x);
        default: return std::nearbyint(x);
    }
}

}  // namespace sim
