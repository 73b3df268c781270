// The cube core: copies into L1 in the Nz layout, loads into the operand buffers, products, and results out through the fixpipe.
//
// Layouts (16 rows of a fractal, k0 = 32 bytes of operand): L1 holds Nz, fractals column by column, rows inside; L0A zZ on 2201
// and 2002 (fractals row by row) and Nz on 3510; L0B Zn: fractals row by row, columns inside; L0C Nz with 16 x 16 fractals.
#pragma once

#include "sim/copy.h"

namespace AscendC {

struct Nd2NzParams {
    uint16_t ndNum = 1, nValue = 0, dValue = 0, srcNdMatrixStride = 0, srcDValue = 0, dstNzC0Stride = 0, dstNzNStride = 1, dstNzMatrixStride = 0;
    Nd2NzParams() = default;
    Nd2NzParams(uint16_t nd, uint16_t n, uint16_t d, uint16_t matrix, uint16_t sd, uint16_t c0, uint16_t ns, uint16_t ms)
        : ndNum(nd), nValue(n), dValue(d), srcNdMatrixStride(matrix), srcDValue(sd), dstNzC0Stride(c0), dstNzNStride(ns), dstNzMatrixStride(ms) {}
};

template <class T> struct InitConstValueParams {
    uint16_t repeatTimes = 0, blockNum = 0, dstGap = 0;  // blocks of 32 bytes in L1
    T initValue{};
    InitConstValueParams() = default;
    InitConstValueParams(uint16_t repeat, uint16_t blocks, uint16_t gap, T value) : repeatTimes(repeat), blockNum(blocks), dstGap(gap), initValue(value) {}
};

struct LoadData2DParams {
    uint16_t startIndex = 0;
    uint8_t repeatTimes = 0;
    uint16_t srcStride = 0;  // in fractals of 512 bytes, start to start
    uint8_t sid = 0;
    uint16_t dstGap = 0;  // in fractals, end to start
    bool ifTranspose = false;
    uint8_t addrMode = 0;
    LoadData2DParams() = default;
    LoadData2DParams(uint16_t start, uint8_t repeat, uint16_t stride, uint8_t s, uint16_t gap, bool transpose, uint8_t mode)
        : startIndex(start), repeatTimes(repeat), srcStride(stride), sid(s), dstGap(gap), ifTranspose(transpose), addrMode(mode) {}
};

struct LoadData2dTransposeParams {
    uint16_t startIndex = 0;  // in squares
    uint8_t repeatTimes = 0;
    uint16_t srcStride = 0;   // in squares, start to start
    uint16_t dstGap = 0;      // in fractals, from the end of a square's first to the start of the next one's first
    uint16_t dstFracGap = 0;  // in fractals, between those of a square
    uint8_t addrMode = 0;
    LoadData2dTransposeParams() = default;
    LoadData2dTransposeParams(uint16_t start, uint8_t repeat, uint16_t stride, uint16_t gap, uint16_t frac)
        : startIndex(start), repeatTimes(repeat), srcStride(stride), dstGap(gap), dstFracGap(frac) {}
};

struct MmadParams {
    uint16_t m = 0, n = 0, k = 0;
    uint8_t unitFlag = 0;
    bool cmatrixSource = false, cmatrixInitVal = true;
};

enum class QuantMode_t : uint8_t { NoQuant, F322F16, F322BF16 };

struct FixpipeParamsV220 {
    uint16_t nSize = 0, mSize = 0, srcStride = 0;  // of the accumulators, in rows
    uint32_t dstStride = 0;                        // of the result, in elements
    QuantMode_t quantPre = QuantMode_t::NoQuant;
    bool reluEn = false;
    uint8_t unitFlag = 0;
};

}  // namespace AscendC

namespace sim {

void init_const(const Window& dst, uint16_t repeats, uint16_t blocks, uint16_t gap, const void* value, uint32_t element, Site site);
void nd_to_nz(const Window& dst, const uint8_t* src, const AscendC::Nd2NzParams& p, uint32_t element, Site site);
void load_2d(const Window& dst, const Window& src, const AscendC::LoadData2DParams& p, uint32_t element, Site site);
void load_transposed(const Window& dst, const Window& src, const AscendC::LoadData2dTransposeParams& p, uint32_t element, Site site);
enum class Operand : uint8_t { Half, Bfloat, Float, Int8 };
void mmad(const Window& c, const Window& a, const Window& b, const AscendC::MmadParams& p, Operand type, Site site);
// `whole`: accumulators of whole numbers; `same`: the result is of their type.
void fixpipe(uint8_t* dst, const Window& src, const AscendC::FixpipeParamsV220& p, uint32_t dst_element, bool whole, bool same, Site site);

template <class T> constexpr Operand operand_of() {
    return std::is_same<T, half>::value ? Operand::Half : std::is_same<T, bfloat16_t>::value ? Operand::Bfloat : std::is_same<T, float>::value ? Operand::Float : Operand::Int8;
}

}  // namespace sim

namespace AscendC {

template <class T> void DataCopy(const LocalTensor<T>& dst, const GlobalTensor<T>& src, const Nd2NzParams& p, sim::Site site = sim::Site::here()) {
    sim::nd_to_nz(dst.window(), reinterpret_cast<const uint8_t*>(src.GetPhyAddr()), p, sizeof(T), site);
}

// L1 filled with a number.
template <class T> void InitConstValue(const LocalTensor<T>& dst, const InitConstValueParams<T>& p, sim::Site site = sim::Site::here()) {
    static_assert(sizeof(T) != 1, "L1 is not filled with numbers of 8 bits");
    sim::init_const(dst.window(), p.repeatTimes, p.blockNum, p.dstGap, &p.initValue, sizeof(T), site);
}

template <class T> void LoadData(const LocalTensor<T>& dst, const LocalTensor<T>& src, const LoadData2DParams& p, sim::Site site = sim::Site::here()) {
    sim::load_2d(dst.window(), src.window(), p, sizeof(T), site);
}

// Squares of 16 x 16 elements of 32 bits, two fractals side by side, each transposed on the way.
template <class T> void LoadDataWithTranspose(const LocalTensor<T>& dst, const LocalTensor<T>& src, const LoadData2dTransposeParams& p, sim::Site site = sim::Site::here()) {
    static_assert(sizeof(T) == 4, "elements of 32 bits");
    sim::load_transposed(dst.window(), src.window(), p, sizeof(T), site);
}

template <class C, class A, class B> void Mmad(const LocalTensor<C>& c, const LocalTensor<A>& a, const LocalTensor<B>& b, const MmadParams& p, sim::Site site = sim::Site::here()) {
    static_assert(std::is_same<A, B>::value && sizeof(C) == 4, "operands of one type, 32-bit accumulators");
    static_assert(std::is_integral<A>::value == std::is_integral<C>::value && (!std::is_integral<A>::value || std::is_same<A, int8_t>::value), "i8 in i32, floats in f32");
    sim::mmad(c.window(), a.window(), b.window(), p, sim::operand_of<A>(), site);
}

template <class D, class C> void Fixpipe(const GlobalTensor<D>& dst, const LocalTensor<C>& src, const FixpipeParamsV220& p, sim::Site site = sim::Site::here()) {
    sim::fixpipe(reinterpret_cast<uint8_t*>(dst.GetPhyAddr()), src.window(), p, sizeof(D), std::is_same<C, int32_t>::value, std::is_same<C, D>::value, site);
}

}  // namespace AscendC
