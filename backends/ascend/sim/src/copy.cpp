// Copies between global memory and the unified buffer.
#include "sim/copy.h"

namespace sim {

namespace {

void check_range(Instruction& in, const char* what, uint64_t value, uint64_t most) {
    if (value > most) in.find(Kind::Limit, std::string(what) + " " + std::to_string(value) + " is more than " + std::to_string(most));
}

void add(char kind, uint8_t* to, const uint8_t* from, uint64_t bytes) {
    if (kind == 'f') {
        for (uint64_t i = 0; i + 4 <= bytes; i += 4) {
            float a, b;
            std::memcpy(&a, to + i, 4), std::memcpy(&b, from + i, 4);
            a += b;
            std::memcpy(to + i, &a, 4);
        }
    } else if (kind == 'h') {
        for (uint64_t i = 0; i + 2 <= bytes; i += 2) {
            half a, b;
            std::memcpy(&a, to + i, 2), std::memcpy(&b, from + i, 2);
            a = half(float(a) + float(b));
            std::memcpy(to + i, &a, 2);
        }
    } else {
        for (uint64_t i = 0; i + 4 <= bytes; i += 4) {
            uint32_t a, b;
            std::memcpy(&a, to + i, 4), std::memcpy(&b, from + i, 4);
            a += b;
            std::memcpy(to + i, &a, 4);
        }
    }
}

}  // namespace

uint64_t whole_blocks(uint64_t bytes, Pipe pipe, Site site) {
    if (bytes % CELL) core().find(Kind::Limit, pipe, site, std::to_string(bytes) + " bytes are no multiple of 32: the last " + std::to_string(bytes % CELL) + " are not copied");
    return bytes / CELL * CELL;
}

void copy_in(const Window& dst, const uint8_t* src, uint32_t blocks, uint64_t bytes, uint64_t src_gap, uint64_t dst_gap, Site site) {
    Instruction in(Pipe::MTE2, site);
    in.reaches(dst, dst.space == Space::L1 ? Space::L1 : Space::UB);
    check_range(in, "blockCount", blocks, 4095);
    check_range(in, "blockLen in blocks", bytes / CELL, 65535);
    for (uint32_t b = 0; b < blocks; b++) {
        auto* from = in.touch_global(src + b * (bytes + src_gap), bytes, false);
        auto* to = in.touch(dst, b * (bytes + dst_gap), bytes, true);
        if (from && to) std::memcpy(to, from, bytes);
    }
    in.spend(double(blocks * bytes) / in.in().machine().chip().gm_to_ub);
}

void copy_out(uint8_t* dst, const Window& src, uint32_t blocks, uint64_t bytes, uint64_t src_gap, uint64_t dst_gap, Site site) {
    Instruction in(Pipe::MTE3, site);
    in.reaches(src, Space::UB);
    char adds = in.in().atomic;
    check_range(in, "blockCount", blocks, 4095);
    check_range(in, "blockLen in blocks", bytes / CELL, 65535);
    for (uint32_t b = 0; b < blocks; b++) {
        auto* from = in.touch(src, b * (bytes + src_gap), bytes, false);
        auto* to = in.touch_global(dst + b * (bytes + dst_gap), bytes, true, adds != 0);
        if (!from || !to) continue;
        if (adds) add(adds, to, from, bytes);
        else std::memcpy(to, from, bytes);
    }
    in.spend(double(blocks * bytes) / in.in().machine().chip().ub_to_gm);
}

void copy_within(const Window& dst, const Window& src, uint32_t blocks, uint64_t bytes, uint64_t src_gap, uint64_t dst_gap, Site site) {
    bool out = dst.space == Space::L1;
    Instruction in(out ? Pipe::MTE3 : Pipe::V, site);
    const Chip& chip = in.in().machine().chip();
    if (out && chip.generation != 2002) return in.find(Kind::Limit, "no path leads from the unified buffer to L1");
    in.reaches(src, Space::UB);
    if (!out) in.reaches(dst, Space::UB);
    check_range(in, "blockCount", blocks, 4095);
    check_range(in, "blockLen in blocks", bytes / CELL, 65535);
    for (uint32_t b = 0; b < blocks; b++) {
        auto* from = in.touch(src, b * (bytes + src_gap), bytes, false);
        auto* to = in.touch(dst, b * (bytes + dst_gap), bytes, true);
        if (from && to) std::memmove(to, from, bytes);
    }
    in.spend(double(blocks * bytes) / (out ? chip.ub_to_l1 : chip.simple_16 * 2));
}

void copy_accumulators(const Window& dst, const Window& src, uint64_t bytes, bool squares, Site site) {
    Instruction in(Pipe::V, site);
    const Chip& chip = in.in().machine().chip();
    if (chip.generation != 2002) return in.find(Kind::Limit, "accumulators do not come to the unified buffer through the vector unit");
    if (!squares) return in.find(Kind::Limit, "accumulators are copied to the unified buffer in squares (BLOCK_MODE_MATRIX)");
    in.reaches(src, Space::L0C);
    in.reaches(dst, Space::UB);
    auto* from = in.touch(src, 0, bytes, false, 1024);
    auto* to = in.touch(dst, 0, bytes, true);
    if (from && to) std::memcpy(to, from, bytes);
    in.spend(double(bytes) / (chip.simple_16 * 2));
}

void copy_in_padded(const Window& dst, const uint8_t* src, const AscendC::DataCopyExtParams& p, const Padding& pad, Site site) {
    Instruction in(Pipe::MTE2, site);
    in.reaches(dst, Space::UB);
    if (!in.in().machine().chip().padded_copy) return in.find(Kind::Limit, "this chip has no DataCopyPad");
    check_range(in, "blockCount", p.blockCount, 4095);
    check_range(in, "blockLen", p.blockLen, 2097151);
    check_range(in, "padding in bytes", pad.left * pad.element, CELL);
    check_range(in, "padding in bytes", pad.right * pad.element, CELL);
    if (p.blockLen % pad.element) in.find(Kind::Limit, "blockLen " + std::to_string(p.blockLen) + " is no multiple of the element");
    if (pad.element == 8 && pad.given) {
        uint64_t value;
        std::memcpy(&value, pad.value, 8);
        if (value) in.find(Kind::Limit, "64-bit elements can be padded with 0 only");
    }
    uint64_t at = 0;
    for (uint32_t b = 0; b < p.blockCount; b++) {
        auto* from = in.touch_global(src + uint64_t(b) * (p.blockLen + p.srcStride), p.blockLen, false);
        uint64_t left = pad.given ? pad.left * pad.element : 0, right = pad.given ? pad.right * pad.element : 0;
        uint64_t filled = (left + p.blockLen + right + CELL - 1) / CELL * CELL;
        auto* to = in.touch(dst, at, filled, true);
        if (from && to) {
            // Without padding of its own the rest of the last 32 bytes holds copies of the row's first element.
            const void* filler = pad.given ? pad.value : from;
            for (uint64_t i = 0; i < left; i += pad.element) std::memcpy(to + i, pad.value, pad.element);
            std::memcpy(to + left, from, p.blockLen);
            for (uint64_t i = left + p.blockLen; i < filled; i += pad.element) std::memcpy(to + i, filler, pad.element);
        }
        at += filled + uint64_t(p.dstStride) * CELL;
    }
    in.spend(double(uint64_t(p.blockCount) * p.blockLen) / in.in().machine().chip().gm_to_ub);
}

void copy_out_padded(uint8_t* dst, const Window& src, const AscendC::DataCopyExtParams& p, Site site) {
    Instruction in(Pipe::MTE3, site);
    in.reaches(src, Space::UB);
    if (!in.in().machine().chip().padded_copy) return in.find(Kind::Limit, "this chip has no DataCopyPad");
    check_range(in, "blockCount", p.blockCount, 4095);
    check_range(in, "blockLen", p.blockLen, 2097151);
    char adds = in.in().atomic;
    uint64_t at = 0;
    for (uint32_t b = 0; b < p.blockCount; b++) {
        auto* from = in.touch(src, at, p.blockLen, false);
        auto* to = in.touch_global(dst + uint64_t(b) * (p.blockLen + p.dstStride), p.blockLen, true, adds != 0);
        if (from && to) {
            if (adds) add(adds, to, from, p.blockLen);
            else std::memcpy(to, from, p.blockLen);
        }
        at += (p.blockLen + CELL - 1) / CELL * CELL + uint64_t(p.srcStride) * CELL;
    }
    in.spend(double(uint64_t(p.blockCount) * p.blockLen) / in.in().machine().chip().ub_to_gm);
}

}  // namespace sim
