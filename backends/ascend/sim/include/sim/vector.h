// The vector unit: element by element on the unified buffer.
#pragma once

#include <cmath>
#include <limits>
#include <type_traits>

#include "sim/tensor.h"

namespace AscendC {

enum class RoundMode : uint8_t { CAST_NONE, CAST_RINT, CAST_FLOOR, CAST_CEIL, CAST_ROUND, CAST_TRUNC, CAST_ODD };
enum class CMPMODE : uint8_t { LT, GT, EQ, LE, GE, NE };
enum class SELMODE : uint8_t { VSEL_CMPMASK_SPR, VSEL_TENSOR_SCALAR_MODE, VSEL_TENSOR_TENSOR_MODE };

}  // namespace AscendC

namespace sim {

// What an instruction's elements cost.
enum class Rate : uint8_t { Simple, Slow, Reduce, Gather };

class VectorOp : public Instruction {
public:
    explicit VectorOp(Site site) : Instruction(Pipe::V, site) {}

    template <class T> const T* read(const AscendC::LocalTensor<T>& t, int64_t count, uint32_t align = CELL) {
        reaches(t.window(), Space::UB);
        return reinterpret_cast<const T*>(touch(t.window(), 0, bytes<T>(count), false, align));
    }
    template <class T> T* write(const AscendC::LocalTensor<T>& t, int64_t count, uint32_t align = CELL) {
        reaches(t.window(), Space::UB);
        return reinterpret_cast<T*>(touch(t.window(), 0, bytes<T>(count), true, align));
    }
    // Elements the unit computes in: not bf16 everywhere, no 64-bit and no 8-bit arithmetic.
    template <class T> void arithmetic() {
        bool bf16 = std::is_same<T, bfloat16_t>::value;
        bool known = std::is_same<T, float>::value || std::is_same<T, half>::value || std::is_same<T, int16_t>::value || std::is_same<T, int32_t>::value;
        if (!(known || (bf16 && in().machine().chip().bf16_vector)))
            find(Kind::Type, std::string("the vector unit does not compute in ") + TypeName<T>::value);
    }
    void spend_on(Rate rate, int64_t count, size_t size);

private:
    template <class T> uint64_t bytes(int64_t count) {
        if (count < 0) find(Kind::Limit, "a count of " + std::to_string(count) + " elements");
        return count < 0 ? 0 : uint64_t(count) * sizeof(T);
    }
};

template <class T> using Wide = std::conditional_t<std::is_integral<T>::value, int64_t, float>;

template <class T, class F>
void unary(const AscendC::LocalTensor<T>& dst, const AscendC::LocalTensor<T>& src, int32_t count, Rate rate, Site site, F f) {
    VectorOp op(site);
    op.arithmetic<T>();
    const T* a = op.read(src, count);
    T* d = op.write(dst, count);
    for (int32_t i = 0; a && d && i < count; i++) d[i] = T(f(Wide<T>(a[i])));
    op.spend_on(rate, count, sizeof(T));
}

template <class T, class F>
void binary(const AscendC::LocalTensor<T>& dst, const AscendC::LocalTensor<T>& x, const AscendC::LocalTensor<T>& y, int32_t count, Rate rate, Site site, F f) {
    VectorOp op(site);
    op.arithmetic<T>();
    const T *a = op.read(x, count), *b = op.read(y, count);
    T* d = op.write(dst, count);
    for (int32_t i = 0; a && b && d && i < count; i++) d[i] = T(f(Wide<T>(a[i]), Wide<T>(b[i])));
    op.spend_on(rate, count, sizeof(T));
}

// A float as a shorter one, rounded as asked.
template <class D> D narrowed(float x, AscendC::RoundMode mode) {
    D nearest(x);
    if constexpr (std::is_same<D, float>::value) {
        return nearest;
    } else {
        float back = nearest;
        if (back == x || std::isnan(x) || std::isinf(x)) return nearest;
        auto next = [](D v, bool up) {
            if ((v.raw & 0x7fff) == 0) v.raw = up ? 0x0001 : 0x8001;
            else v.raw = uint16_t(v.raw + (up == !(v.raw & 0x8000) ? 1 : -1));
            return v;
        };
        D low = back < x ? nearest : next(nearest, false), high = back < x ? next(nearest, true) : nearest;
        switch (mode) {
            case AscendC::RoundMode::CAST_FLOOR: return low;
            case AscendC::RoundMode::CAST_CEIL: return high;
            case AscendC::RoundMode::CAST_TRUNC: return x < 0 ? high : low;
            case AscendC::RoundMode::CAST_ODD: return low.raw & 1 ? low : high;
            case AscendC::RoundMode::CAST_ROUND: {
                // Ties away from zero.
                double below = double(x) - double(float(low)), above = double(float(high)) - double(x);
                return below == above ? (x < 0 ? low : high) : nearest;
            }
            default: return nearest;
        }
    }
}

// A float as a whole number, rounded as asked.
double rounded(double x, AscendC::RoundMode mode);
template <class D> D converted(double x, AscendC::RoundMode mode) {
    if constexpr (std::is_integral<D>::value) {
        if (std::isnan(x)) return 0;
        double r = rounded(x, mode), low = double(std::numeric_limits<D>::min()), high = double(std::numeric_limits<D>::max());
        return r <= low ? std::numeric_limits<D>::min() : r >= high ? std::numeric_limits<D>::max() : D(r);
    } else {
        return narrowed<D>(float(x), mode);
    }
}

// Between floats of one type a conversion makes whole numbers; otherwise it rounds to the nearest that there is.
template <class D, class S> D converted_from(S a, AscendC::RoundMode mode) {
    if constexpr (std::is_same<D, S>::value && !std::is_integral<D>::value) {
        return D(float(rounded(double(float(a)), mode)));
    } else {
        return converted<D>(double(Wide<S>(a)), mode);
    }
}

}  // namespace sim

namespace AscendC {

#define SIM_BINARY(name, rate, expression)                                                                                             \
    template <class T>                                                                                                                 \
    void name(const LocalTensor<T>& dst, const LocalTensor<T>& x, const LocalTensor<T>& y, const int32_t& count, sim::Site site = sim::Site::here()) { \
        sim::binary(dst, x, y, count, sim::Rate::rate, site, [](auto a, auto b) { return expression; });                               \
    }
SIM_BINARY(Add, Simple, a + b)
SIM_BINARY(Sub, Simple, a - b)
SIM_BINARY(Mul, Simple, a* b)
SIM_BINARY(Div, Slow, a / b)
SIM_BINARY(Max, Simple, a > b || a != a ? a : b)
SIM_BINARY(Min, Simple, a < b || a != a ? a : b)
#undef SIM_BINARY

#define SIM_UNARY(name, rate, expression)                                                                                \
    template <class T> void name(const LocalTensor<T>& dst, const LocalTensor<T>& x, const int32_t& count, sim::Site site = sim::Site::here()) { \
        sim::unary(dst, x, count, sim::Rate::rate, site, [](auto a) { return expression; });                             \
    }
SIM_UNARY(Abs, Simple, a < 0 ? -a : a)
SIM_UNARY(Relu, Simple, a > 0 ? a : decltype(a)(0))
SIM_UNARY(Exp, Slow, std::exp(a))
SIM_UNARY(Ln, Slow, std::log(a))
SIM_UNARY(Sqrt, Slow, std::sqrt(a))
SIM_UNARY(Rsqrt, Simple, 1 / std::sqrt(a))
SIM_UNARY(Reciprocal, Simple, 1 / a)
#undef SIM_UNARY

#define SIM_SCALAR(name, expression)                                                                                               \
    template <class T>                                                                                                             \
    void name(const LocalTensor<T>& dst, const LocalTensor<T>& x, const T& scalar, const int32_t& count, sim::Site site = sim::Site::here()) { \
        sim::Wide<T> b = sim::Wide<T>(scalar);                                                                                     \
        sim::unary(dst, x, count, sim::Rate::Simple, site, [b](auto a) { return expression; });                                    \
    }
SIM_SCALAR(Adds, a + b)
SIM_SCALAR(Muls, a* b)
SIM_SCALAR(Maxs, a > b || a != a ? a : b)
SIM_SCALAR(Mins, a < b || a != a ? a : b)
SIM_SCALAR(LeakyRelu, a >= 0 ? a : a * b)
#undef SIM_SCALAR

// dst += x * scalar.
template <class T, class U> void Axpy(const LocalTensor<T>& dst, const LocalTensor<U>& x, const U& scalar, const int32_t& count, sim::Site site = sim::Site::here()) {
    static_assert(std::is_same<T, U>::value, "of one type here");
    sim::Wide<T> s = sim::Wide<T>(scalar);
    sim::binary(dst, dst, x, count, sim::Rate::Simple, site, [s](auto d, auto a) { return d + a * s; });
}

// dst += x * y, at half the rate of the others.
template <class T> void MulAddDst(const LocalTensor<T>& dst, const LocalTensor<T>& x, const LocalTensor<T>& y, const int32_t& count, sim::Site site = sim::Site::here()) {
    sim::VectorOp op(site);
    op.arithmetic<T>();
    const T *a = op.read(x, count), *b = op.read(y, count);
    op.read(dst, count);
    T* d = op.write(dst, count);
    for (int32_t i = 0; a && b && d && i < count; i++) d[i] = T(sim::Wide<T>(d[i]) + sim::Wide<T>(a[i]) * sim::Wide<T>(b[i]));
    op.spend_on(sim::Rate::Simple, 2 * int64_t(count), sizeof(T));
}

template <class T> void Duplicate(const LocalTensor<T>& dst, const T& scalar, const int32_t& count, sim::Site site = sim::Site::here()) {
    sim::VectorOp op(site);
    T* d = op.write(dst, count);
    for (int32_t i = 0; d && i < count; i++) d[i] = scalar;
    op.spend_on(sim::Rate::Simple, count, sizeof(T));
}

template <class D, class S> void Cast(const LocalTensor<D>& dst, const LocalTensor<S>& src, const RoundMode& mode, const int32_t& count, sim::Site site = sim::Site::here()) {
    sim::VectorOp op(site);
    bool bf16 = std::is_same<D, bfloat16_t>::value || std::is_same<S, bfloat16_t>::value;
    if (bf16 && !op.in().machine().chip().bf16) op.find(sim::Kind::Type, "this chip has no bfloat16_t");
    bool to_narrower_float = !std::is_integral<D>::value && sizeof(D) < sizeof(S);
    if (mode == RoundMode::CAST_NONE && (to_narrower_float || (std::is_integral<D>::value && !std::is_integral<S>::value)))
        op.find(sim::Kind::Limit, std::string("a conversion from ") + sim::TypeName<S>::value + " to " + sim::TypeName<D>::value + " needs a rounding mode");
    const S* a = op.read(src, count);
    D* d = op.write(dst, count);
    for (int32_t i = 0; a && d && i < count; i++) d[i] = sim::converted_from<D>(a[i], mode);
    op.spend_on(sim::Rate::Simple, count, std::max<size_t>(2, std::max(sizeof(D), sizeof(S))));
}

// One bit an element, least significant first.
template <class T, class U>
void Compare(const LocalTensor<U>& dst, const LocalTensor<T>& x, const LocalTensor<T>& y, CMPMODE mode, uint32_t count, sim::Site site = sim::Site::here());
template <class T, class U>
void CompareScalar(const LocalTensor<U>& dst, const LocalTensor<T>& x, T scalar, CMPMODE mode, uint32_t count, sim::Site site = sim::Site::here());

// Where the bit is set the first, else the second.
template <class T, class U>
void Select(const LocalTensor<T>& dst, const LocalTensor<U>& mask, const LocalTensor<T>& x, const LocalTensor<T>& y, SELMODE mode, uint32_t count, sim::Site site = sim::Site::here());
template <class T, class U>
void Select(const LocalTensor<T>& dst, const LocalTensor<U>& mask, const LocalTensor<T>& x, T y, SELMODE mode, uint32_t count, sim::Site site = sim::Site::here());

// The sum, greatest or least element at dst[0]; `work` is scratch of the same type.
template <class T> void ReduceSum(const LocalTensor<T>& dst, const LocalTensor<T>& src, const LocalTensor<T>& work, const int32_t count, sim::Site site = sim::Site::here());
template <class T> void ReduceMax(const LocalTensor<T>& dst, const LocalTensor<T>& src, const LocalTensor<T>& work, const int32_t count, bool index = false, sim::Site site = sim::Site::here());
template <class T> void ReduceMin(const LocalTensor<T>& dst, const LocalTensor<T>& src, const LocalTensor<T>& work, const int32_t count, bool index = false, sim::Site site = sim::Site::here());

// dst[i] = element of src at byte `offset[i] + base`.
template <class T> void Gather(const LocalTensor<T>& dst, const LocalTensor<T>& src, const LocalTensor<uint32_t>& offset, const uint32_t base, const uint32_t count, sim::Site site = sim::Site::here());

// dst[i] = first + i * step.
template <class T> void ArithProgression(const LocalTensor<T>& dst, const T first, const T step, const int32_t count, sim::Site site = sim::Site::here()) {
    sim::VectorOp op(site);
    op.arithmetic<T>();
    T* d = op.write(dst, count);
    for (int32_t i = 0; d && i < count; i++) d[i] = T(sim::Wide<T>(first) + i * sim::Wide<T>(step));
    op.spend_on(sim::Rate::Simple, count, sizeof(T));
}

}  // namespace AscendC

#include "sim/vector_impl.h"
