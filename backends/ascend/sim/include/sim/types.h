// Element types of the NPU: half and bfloat16 with the rounding that the documentation states (to nearest, ties to even), and
// the marks that Ascend C puts on functions and pointers, which mean nothing here.
#pragma once

#include <cstdint>
#include <cstring>

#define __aicore__
#define __global__
#define __gm__
#define __vector__
#define __cube__
#define __mix__(aic, aiv)

using GM_ADDR = uint8_t*;

namespace sim {

inline uint32_t bits_of(float x) {
    uint32_t u;
    std::memcpy(&u, &x, 4);
    return u;
}

inline float float_of(uint32_t u) {
    float x;
    std::memcpy(&x, &u, 4);
    return x;
}

uint16_t half_of(float x);
float float_of_half(uint16_t h);
uint16_t bfloat_of(float x);

}  // namespace sim

// A value of its own; arithmetic is the vector unit's business, so there are no operators (scalar arithmetic on half is illegal
// in kernel code, and is a compile error here, too).
struct half {
    uint16_t raw;
    half() = default;
    half(float x) : raw(sim::half_of(x)) {}
    operator float() const { return sim::float_of_half(raw); }
};

struct bfloat16_t {
    uint16_t raw;
    bfloat16_t() = default;
    bfloat16_t(float x) : raw(sim::bfloat_of(x)) {}
    operator float() const { return sim::float_of(uint32_t(raw) << 16); }
};

half operator+(half, half) = delete;
half operator-(half, half) = delete;
half operator*(half, half) = delete;
half operator/(half, half) = delete;

namespace sim {

template <class T> struct TypeName;
template <> struct TypeName<float> { static constexpr const char* value = "float"; };
template <> struct TypeName<half> { static constexpr const char* value = "half"; };
template <> struct TypeName<bfloat16_t> { static constexpr const char* value = "bfloat16_t"; };
template <> struct TypeName<int8_t> { static constexpr const char* value = "int8_t"; };
template <> struct TypeName<uint8_t> { static constexpr const char* value = "uint8_t"; };
template <> struct TypeName<int16_t> { static constexpr const char* value = "int16_t"; };
template <> struct TypeName<uint16_t> { static constexpr const char* value = "uint16_t"; };
template <> struct TypeName<int32_t> { static constexpr const char* value = "int32_t"; };
template <> struct TypeName<uint32_t> { static constexpr const char* value = "uint32_t"; };
template <> struct TypeName<int64_t> { static constexpr const char* value = "int64_t"; };
template <> struct TypeName<uint64_t> { static constexpr const char* value = "uint64_t"; };

}  // namespace sim
