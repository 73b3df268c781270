// Comparisons, selections, reductions and gathers of the vector unit.
#pragma once

#include <algorithm>
#include <vector>

#include "sim/vector.h"

namespace sim {

template <class W> bool compared(W a, W b, AscendC::CMPMODE mode) {
    switch (mode) {
        case AscendC::CMPMODE::LT: return a < b;
        case AscendC::CMPMODE::GT: return a > b;
        case AscendC::CMPMODE::EQ: return a == b;
        case AscendC::CMPMODE::LE: return a <= b;
        case AscendC::CMPMODE::GE: return a >= b;
        default: return a != b;
    }
}

// Comparisons and selections go through whole repeats of 256 bytes.
template <class T> void whole_repeats(VectorOp& op, uint32_t count) {
    if (uint64_t(count) * sizeof(T) % 256)
        op.find(Kind::Limit, std::to_string(count) + " elements: a comparison takes multiples of 256 bytes");
}

template <class T, class U, class F> void compare_with(const AscendC::LocalTensor<U>& dst, const AscendC::LocalTensor<T>& x, uint32_t count, VectorOp& op, F other, AscendC::CMPMODE mode) {
    op.arithmetic<T>();
    whole_repeats<T>(op, count);
    const T* a = op.read(x, count);
    AscendC::LocalTensor<uint8_t> bits(dst.window());
    uint8_t* d = op.write(bits, (count + 7) / 8);
    if (a && d) {
        std::vector<uint8_t> out((count + 7) / 8);
        for (uint32_t i = 0; i < count; i++) out[i / 8] |= uint8_t(compared(Wide<T>(a[i]), other(i), mode) << (i % 8));
        std::copy(out.begin(), out.end(), d);
    }
    op.spend_on(Rate::Simple, count, sizeof(T));
}

template <class T, class U, class F> void select_with(const AscendC::LocalTensor<T>& dst, const AscendC::LocalTensor<U>& mask, const AscendC::LocalTensor<T>& x, uint32_t count, VectorOp& op, F other) {
    const uint8_t* bits = op.read(AscendC::LocalTensor<uint8_t>(mask.window()), (count + 7) / 8);
    const T* a = op.read(x, count);
    T* d = op.write(dst, count);
    for (uint32_t i = 0; bits && a && d && i < count; i++) d[i] = (bits[i / 8] >> (i % 8)) & 1 ? a[i] : other(i);
    op.spend_on(Rate::Simple, count, sizeof(T));
}

template <class T, class F> void reduce(const AscendC::LocalTensor<T>& dst, const AscendC::LocalTensor<T>& src, const AscendC::LocalTensor<T>& work, int32_t count, Site site, F pick) {
    VectorOp op(site);
    op.arithmetic<T>();
    // One partial result a repeat goes through the scratch, rounded up to a block.
    int64_t repeats = (int64_t(count) * int64_t(sizeof(T)) + 255) / 256, per_block = CELL / int64_t(sizeof(T));
    op.write(work, (repeats + per_block - 1) / per_block * per_block);
    const T* a = op.read(src, count);
    T* d = op.write(dst, 1, sizeof(T));
    if (a && d && count > 0) pick(a, d);
    op.spend_on(Rate::Reduce, count, sizeof(T));
}

// As the unit adds: pairs, then pairs of pairs, within repeats and then over them.
template <class T> float tree_sum(const T* a, int32_t n) {
    if (n == 1) return float(a[0]);
    int32_t half_of_it = 1;
    while (half_of_it * 2 < n) half_of_it *= 2;
    return float(T(tree_sum(a, half_of_it) + tree_sum(a + half_of_it, n - half_of_it)));
}

}  // namespace sim

namespace AscendC {

template <class T, class U> void Compare(const LocalTensor<U>& dst, const LocalTensor<T>& x, const LocalTensor<T>& y, CMPMODE mode, uint32_t count, sim::Site site) {
    sim::VectorOp op(site);
    const T* b = op.read(y, count);
    if (b) sim::compare_with(dst, x, count, op, [b](uint32_t i) { return sim::Wide<T>(b[i]); }, mode);
}

template <class T, class U> void CompareScalar(const LocalTensor<U>& dst, const LocalTensor<T>& x, T scalar, CMPMODE mode, uint32_t count, sim::Site site) {
    sim::VectorOp op(site);
    sim::compare_with(dst, x, count, op, [scalar](uint32_t) { return sim::Wide<T>(scalar); }, mode);
}

template <class T, class U> void Select(const LocalTensor<T>& dst, const LocalTensor<U>& mask, const LocalTensor<T>& x, const LocalTensor<T>& y, SELMODE, uint32_t count, sim::Site site) {
    sim::VectorOp op(site);
    const T* b = op.read(y, count);
    if (b) sim::select_with(dst, mask, x, count, op, [b](uint32_t i) { return b[i]; });
}

template <class T, class U> void Select(const LocalTensor<T>& dst, const LocalTensor<U>& mask, const LocalTensor<T>& x, T y, SELMODE, uint32_t count, sim::Site site) {
    sim::VectorOp op(site);
    sim::select_with(dst, mask, x, count, op, [y](uint32_t) { return y; });
}

template <class T> void ReduceSum(const LocalTensor<T>& dst, const LocalTensor<T>& src, const LocalTensor<T>& work, const int32_t count, sim::Site site) {
    sim::reduce(dst, src, work, count, site, [count](const T* a, T* d) { d[0] = T(sim::tree_sum(a, count)); });
}

template <class T> void ReduceMax(const LocalTensor<T>& dst, const LocalTensor<T>& src, const LocalTensor<T>& work, const int32_t count, bool, sim::Site site) {
    sim::reduce(dst, src, work, count, site, [count](const T* a, T* d) {
        d[0] = *std::max_element(a, a + count, [](T x, T y) { return sim::Wide<T>(x) < sim::Wide<T>(y); });
    });
}

template <class T> void ReduceMin(const LocalTensor<T>& dst, const LocalTensor<T>& src, const LocalTensor<T>& work, const int32_t count, bool, sim::Site site) {
    sim::reduce(dst, src, work, count, site, [count](const T* a, T* d) {
        d[0] = *std::min_element(a, a + count, [](T x, T y) { return sim::Wide<T>(x) < sim::Wide<T>(y); });
    });
}

template <class T> void Gather(const LocalTensor<T>& dst, const LocalTensor<T>& src, const LocalTensor<uint32_t>& offset, const uint32_t base, const uint32_t count, sim::Site site) {
    sim::VectorOp op(site);
    const uint32_t* at = op.read(offset, count);
    std::vector<T> out(count);
    for (uint32_t i = 0; at && i < count; i++) {
        auto* p = op.touch(src.window(), uint64_t(at[i]) + base, sizeof(T), false, sizeof(T));
        if (p) std::memcpy(&out[i], p, sizeof(T));
    }
    T* d = op.write(dst, count);
    if (d) std::copy(out.begin(), out.end(), d);
    op.spend_on(sim::Rate::Gather, count, sizeof(T));
}

}  // namespace AscendC
