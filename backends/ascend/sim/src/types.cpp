// Conversions of half and bfloat16.
#include "sim/types.h"

namespace sim {

uint16_t half_of(float x) {
    uint32_t u = bits_of(x), sign = (u >> 16) & 0x8000u, magnitude = u & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return uint16_t(sign | 0x7e00u);
    if (magnitude >= 0x477ff000u) return uint16_t(sign | 0x7c00u);  // rounds to 2^16 or more
    if (magnitude < 0x38800000u) {                                   // below 2^-14: a multiple of 2^-24
        if (magnitude < 0x33000000u) return uint16_t(sign);
        uint32_t shift = 126 - (magnitude >> 23), m = (magnitude & 0x7fffffu) | 0x800000u;
        uint32_t kept = m >> shift, rest = m & ((1u << shift) - 1), tie = 1u << (shift - 1);
        return uint16_t(sign | (kept + (rest > tie || (rest == tie && (kept & 1)))));
    }
    uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1);
    return uint16_t(sign | ((rounded - 0x38000000u) >> 13));
}

float float_of_half(uint16_t h) {
    uint32_t sign = uint32_t(h & 0x8000u) << 16, exponent = (h >> 10) & 31, mantissa = h & 0x3ffu;
    if (exponent == 31) return float_of(sign | 0x7f800000u | (mantissa << 13));
    if (exponent) return float_of(sign | ((exponent + 112) << 23) | (mantissa << 13));
    float subnormal = float(mantissa) * 0x1p-24f;
    return sign ? -subnormal : subnormal;
}

uint16_t bfloat_of(float x) {
    uint32_t u = bits_of(x);
    if ((u & 0x7fffffffu) > 0x7f800000u) return uint16_t((u >> 16) | 0x40u);
    return uint16_t((u + 0x7fffu + ((u >> 16) & 1)) >> 16);
}

}  // namespace sim
