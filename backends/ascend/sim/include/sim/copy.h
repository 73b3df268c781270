// Copies between global memory and the unified buffer, and within it.
#pragma once

#include "sim/tensor.h"

namespace AscendC {

struct DataCopyParams {
    uint16_t blockCount = 1, blockLen = 0, srcStride = 0, dstStride = 0;  // lengths and gaps in units of 32 bytes
    DataCopyParams() = default;
    DataCopyParams(uint16_t count, uint16_t len, uint16_t src, uint16_t dst) : blockCount(count), blockLen(len), srcStride(src), dstStride(dst) {}
};

enum class BlockMode : uint8_t { BLOCK_MODE_NORMAL, BLOCK_MODE_MATRIX, BLOCK_MODE_VECTOR };

// How accumulators come to the unified buffer.
struct DataCopyEnhancedParams {
    BlockMode blockMode = BlockMode::BLOCK_MODE_NORMAL;
    DataCopyEnhancedParams() = default;
    explicit DataCopyEnhancedParams(BlockMode mode) : blockMode(mode) {}
};

struct DataCopyExtParams {
    uint16_t blockCount = 1;
    uint32_t blockLen = 0;  // bytes
    uint32_t srcStride = 0, dstStride = 0;  // gaps: bytes in global memory, units of 32 bytes in the unified buffer
    uint32_t rsv = 0;
    DataCopyExtParams() = default;
    DataCopyExtParams(uint16_t count, uint32_t len, uint32_t src, uint32_t dst, uint32_t r) : blockCount(count), blockLen(len), srcStride(src), dstStride(dst), rsv(r) {}
};

template <class T> struct DataCopyPadExtParams {
    bool isPad = false;
    uint8_t leftPadding = 0, rightPadding = 0;
    T paddingValue{};
    DataCopyPadExtParams() = default;
    DataCopyPadExtParams(bool pad, uint8_t left, uint8_t right, T value) : isPad(pad), leftPadding(left), rightPadding(right), paddingValue(value) {}
};

}  // namespace AscendC

namespace sim {

// What a padded copy needs to know of the element type.
struct Padding {
    bool given;
    uint32_t left, right, element;
    const void* value;
};

void copy_in(const Window& dst, const uint8_t* src, uint32_t blocks, uint64_t bytes, uint64_t src_gap, uint64_t dst_gap, Site site);
void copy_out(uint8_t* dst, const Window& src, uint32_t blocks, uint64_t bytes, uint64_t src_gap, uint64_t dst_gap, Site site);
void copy_within(const Window& dst, const Window& src, uint32_t blocks, uint64_t bytes, uint64_t src_gap, uint64_t dst_gap, Site site);
void copy_accumulators(const Window& dst, const Window& src, uint64_t bytes, bool squares, Site site);
void copy_in_padded(const Window& dst, const uint8_t* src, const AscendC::DataCopyExtParams& p, const Padding& pad, Site site);
void copy_out_padded(uint8_t* dst, const Window& src, const AscendC::DataCopyExtParams& p, Site site);
// A count of bytes that a plain copy moves: whole blocks of 32; the rest is silently left out, and found.
uint64_t whole_blocks(uint64_t bytes, Pipe pipe, Site site);

}  // namespace sim

namespace AscendC {

template <class T> void DataCopy(const LocalTensor<T>& dst, const GlobalTensor<T>& src, uint32_t count, sim::Site site = sim::Site::here()) {
    uint64_t bytes = sim::whole_blocks(uint64_t(count) * sizeof(T), sim::Pipe::MTE2, site);
    sim::copy_in(dst.window(), reinterpret_cast<const uint8_t*>(src.GetPhyAddr()), 1, bytes, 0, 0, site);
}

template <class T> void DataCopy(const LocalTensor<T>& dst, const GlobalTensor<T>& src, const DataCopyParams& p, sim::Site site = sim::Site::here()) {
    sim::copy_in(dst.window(), reinterpret_cast<const uint8_t*>(src.GetPhyAddr()), p.blockCount, p.blockLen * 32ull, p.srcStride * 32ull, p.dstStride * 32ull, site);
}

template <class T> void DataCopy(const GlobalTensor<T>& dst, const LocalTensor<T>& src, uint32_t count, sim::Site site = sim::Site::here()) {
    uint64_t bytes = sim::whole_blocks(uint64_t(count) * sizeof(T), sim::Pipe::MTE3, site);
    sim::copy_out(reinterpret_cast<uint8_t*>(dst.GetPhyAddr()), src.window(), 1, bytes, 0, 0, site);
}

template <class T> void DataCopy(const GlobalTensor<T>& dst, const LocalTensor<T>& src, const DataCopyParams& p, sim::Site site = sim::Site::here()) {
    sim::copy_out(reinterpret_cast<uint8_t*>(dst.GetPhyAddr()), src.window(), p.blockCount, p.blockLen * 32ull, p.srcStride * 32ull, p.dstStride * 32ull, site);
}

// Within the unified buffer; the vector unit does it. To L1, where both are of one core, the copy out does.
template <class T> void DataCopy(const LocalTensor<T>& dst, const LocalTensor<T>& src, uint32_t count, sim::Site site = sim::Site::here()) {
    sim::copy_within(dst.window(), src.window(), 1, sim::whole_blocks(uint64_t(count) * sizeof(T), sim::Pipe::V, site), 0, 0, site);
}

template <class T> void DataCopy(const LocalTensor<T>& dst, const LocalTensor<T>& src, const DataCopyParams& p, sim::Site site = sim::Site::here()) {
    sim::copy_within(dst.window(), src.window(), p.blockCount, p.blockLen * 32ull, p.srcStride * 32ull, p.dstStride * 32ull, site);
}

// Accumulators, in squares of 16 x 16.
inline void DataCopy(const LocalTensor<float>& dst, const LocalTensor<float>& src, const DataCopyParams& p, const DataCopyEnhancedParams& mode, sim::Site site = sim::Site::here()) {
    sim::copy_accumulators(dst.window(), src.window(), uint64_t(p.blockCount) * p.blockLen * 1024, mode.blockMode == BlockMode::BLOCK_MODE_MATRIX, site);
}

template <class T>
void DataCopyPad(const LocalTensor<T>& dst, const GlobalTensor<T>& src, const DataCopyExtParams& p, const DataCopyPadExtParams<T>& pad, sim::Site site = sim::Site::here()) {
    sim::Padding padding{pad.isPad, pad.leftPadding, pad.rightPadding, sizeof(T), &pad.paddingValue};
    sim::copy_in_padded(dst.window(), reinterpret_cast<const uint8_t*>(src.GetPhyAddr()), p, padding, site);
}

template <class T> void DataCopyPad(const GlobalTensor<T>& dst, const LocalTensor<T>& src, const DataCopyExtParams& p, sim::Site site = sim::Site::here()) {
    sim::copy_out_padded(reinterpret_cast<uint8_t*>(dst.GetPhyAddr()), src.window(), p, site);
}

enum class CacheLine : uint8_t { SINGLE_CACHE_LINE, ENTIRE_DATA_CACHE };
// Writes back what the scalar unit has written. (Here it is in memory at once; a kernel that forgets this is found at its end.)
template <class T, CacheLine> void DataCacheCleanAndInvalid(const GlobalTensor<T>&) { sim::core().write_back(); }

template <class T> void SetAtomicAdd() { sim::core().atomic = std::is_same<T, float>::value ? 'f' : std::is_same<T, half>::value ? 'h' : 'i'; }
inline void SetAtomicNone() { sim::core().atomic = 0; }

}  // namespace AscendC
