// The cube core's instructions.
#include "sim/cube.h"

#include <algorithm>
#include <vector>

namespace sim {

namespace {

constexpr uint32_t FRACTAL = 512;

uint32_t up(uint32_t x, uint32_t to) { return (x + to - 1) / to; }

float element(const uint8_t* p, Operand type) {
    switch (type) {
        case Operand::Half: {
            half h;
            std::memcpy(&h, p, 2);
            return h;
        }
        case Operand::Bfloat: {
            bfloat16_t b;
            std::memcpy(&b, p, 2);
            return b;
        }
        case Operand::Float: {
            float f;
            std::memcpy(&f, p, 4);
            return f;
        }
        default: return float(int8_t(*p));
    }
}

}  // namespace

void init_const(const Window& dst, uint16_t repeats, uint16_t blocks, uint16_t gap, const void* value, uint32_t size, Site site) {
    Instruction in(Pipe::MTE2, site);
    if (dst.space != Space::L1) in.find(Kind::Limit, "only L1 is filled with a number in units of 32 bytes");
    if (blocks > 32767 || repeats > 32767 || gap > 32767) in.find(Kind::Limit, "repeats, blocks and gaps are at most 32767");
    for (uint32_t r = 0; r < repeats; r++) {
        auto* to = in.touch(dst, uint64_t(r) * (blocks + gap) * CELL, uint64_t(blocks) * CELL, true);
        for (uint64_t i = 0; to && i < uint64_t(blocks) * CELL; i += size) std::memcpy(to + i, value, size);
        // Edges that no load reaches are no lost data.
        if (to) in.in().memory(dst.space).expect_no_reader(dst.offset + uint64_t(r) * (blocks + gap) * CELL, uint64_t(blocks) * CELL);
    }
    in.spend(double(uint64_t(repeats) * blocks * CELL) / in.in().machine().chip().gm_to_l1);
}

void nd_to_nz(const Window& dst, const uint8_t* src, const AscendC::Nd2NzParams& p, uint32_t size, Site site) {
    Instruction in(Pipe::MTE2, site);
    in.reaches(dst, Space::L1);
    if (p.nValue > 16384) in.find(Kind::Limit, "nValue " + std::to_string(p.nValue) + " is more than 16384");
    if (p.dstNzC0Stride < 1 || p.dstNzC0Stride > 16384) in.find(Kind::Limit, "dstNzC0Stride " + std::to_string(p.dstNzC0Stride) + " is none of 1 to 16384");
    if (p.ndNum > 4095) in.find(Kind::Limit, "ndNum " + std::to_string(p.ndNum) + " is more than 4095");
    uint32_t c0 = CELL / size, columns = up(p.dValue, c0);
    for (uint32_t m = 0; m < p.ndNum; m++) {
        for (uint32_t n = 0; n < p.nValue; n++) {
            auto* row = in.touch_global(src + (uint64_t(m) * p.srcNdMatrixStride + uint64_t(n) * p.srcDValue) * size, uint64_t(p.dValue) * size, false);
            for (uint32_t c = 0; c < columns; c++) {
                uint64_t at = uint64_t(m) * p.dstNzMatrixStride * size + (uint64_t(c) * p.dstNzC0Stride + uint64_t(n) * p.dstNzNStride) * CELL;
                auto* to = in.touch(dst, at, CELL, true);
                if (!row || !to) continue;
                // The last columns are filled with zeros.
                uint32_t there = std::min(c0, p.dValue - c * c0) * size;
                std::memset(to, 0, CELL);
                std::memcpy(to, row + c * CELL, there);
            }
        }
    }
    // Rows become whole blocks.
    in.spend(double(uint64_t(p.ndNum) * p.nValue * columns * CELL) / in.in().machine().chip().gm_to_l1);
}

void load_2d(const Window& dst, const Window& src, const AscendC::LoadData2DParams& p, uint32_t size, Site site) {
    Instruction in(Pipe::MTE1, site);
    in.reaches(src, Space::L1);
    if (dst.space != Space::L0A) in.reaches(dst, Space::L0B);
    if (p.ifTranspose && size != 2) in.find(Kind::Limit, "only 16-bit fractals are transposed on the way");
    if (!p.repeatTimes) in.find(Kind::Limit, "repeatTimes 0 loads nothing");
    for (uint32_t r = 0; r < p.repeatTimes; r++) {
        auto* from = in.touch(src, (uint64_t(p.startIndex) + uint64_t(r) * p.srcStride) * FRACTAL, FRACTAL, false);
        auto* to = in.touch(dst, uint64_t(r) * (1 + p.dstGap) * FRACTAL, FRACTAL, true, FRACTAL);
        if (!from || !to) continue;
        if (!p.ifTranspose) {
            std::memcpy(to, from, FRACTAL);
            continue;
        }
        for (uint32_t i = 0; i < 16; i++)
            for (uint32_t j = 0; j < 16; j++) std::memcpy(to + (j * 16 + i) * 2, from + (i * 16 + j) * 2, 2);
    }
    const Chip& c = in.in().machine().chip();
    in.spend(c.load_start + double(p.repeatTimes * FRACTAL) / (dst.space == Space::L0A ? c.l1_to_l0a : c.l1_to_l0b));
}

void load_transposed(const Window& dst, const Window& src, const AscendC::LoadData2dTransposeParams& p, uint32_t size, Site site) {
    Instruction in(Pipe::MTE1, site);
    const Chip& c = in.in().machine().chip();
    if (c.generation != 2201) in.find(Kind::Limit, "fractals of 32-bit elements are transposed on the way by 2201 only");
    if (!p.repeatTimes) in.find(Kind::Limit, "repeatTimes 0 loads nothing");
    uint64_t at = 0;
    for (uint32_t r = 0; r < p.repeatTimes; r++) {
        auto* from = in.touch(src, (uint64_t(p.startIndex) + uint64_t(r) * p.srcStride) * 2 * FRACTAL, 2 * FRACTAL, false);
        uint8_t* to[2] = {in.touch(dst, at, FRACTAL, true, FRACTAL), in.touch(dst, at + uint64_t(1 + p.dstFracGap) * FRACTAL, FRACTAL, true, FRACTAL)};
        at += uint64_t(1 + p.dstGap) * FRACTAL;
        if (!from || !to[0] || !to[1]) continue;
        for (uint32_t i = 0; i < 16; i++)
            for (uint32_t j = 0; j < 16; j++)
                std::memcpy(to[i / 8] + (j * 8 + i % 8) * size, from + (j / 8) * FRACTAL + (i * 8 + j % 8) * size, size);
    }
    in.spend(c.load_start + double(p.repeatTimes * 2 * FRACTAL) / (dst.space == Space::L0A ? c.l1_to_l0a : c.l1_to_l0b));
}

void mmad(const Window& cw, const Window& aw, const Window& bw, const AscendC::MmadParams& p, Operand type, Site site) {
    Core& me = core();
    const Chip& chip = me.machine().chip();
    uint32_t size = type == Operand::Float ? 4 : type == Operand::Int8 ? 1 : 2, k0 = CELL / size;
    uint32_t m1 = up(p.m, 16), n1 = up(p.n, 16), k1 = up(p.k, k0);
    // Small products that accumulate overtake each other unless a barrier keeps them apart.
    Instruction in(Pipe::M, site);
    in.reaches(aw, Space::L0A);
    in.reaches(bw, Space::L0B);
    in.reaches(cw, Space::L0C);
    uint32_t seq = me.clocks().seq(Pipe::M);
    if (!p.cmatrixInitVal && m1 * n1 < 10 && me.last_product && me.fenced(Pipe::M) < me.last_product)
        in.find(Kind::SyncBeforeRead, "accumulating products of fewer than ten fractals need PipeBarrier<PIPE_M> between them");
    me.last_product = seq;
    if (p.m > 4095 || p.n > 4095 || p.k > 4095) in.find(Kind::Limit, "m, n and k are at most 4095");
    if (!p.m || !p.n || !p.k) return in.find(Kind::Limit, "a product of no elements");
    if (p.m == 1) in.find(Kind::Limit, "m = 1 switches the left operand to another layout");
    if (chip.generation == 2002 && (type == Operand::Bfloat || type == Operand::Float)) in.find(Kind::Type, "this chip's cube unit multiplies neither bf16 nor f32");
    auto* a = in.touch(aw, 0, uint64_t(m1) * k1 * FRACTAL, false, FRACTAL);
    auto* b = in.touch(bw, 0, uint64_t(k1) * n1 * FRACTAL, false, FRACTAL);
    uint64_t result = uint64_t(m1) * n1 * 16 * 16 * 4;
    if (!p.cmatrixInitVal) in.touch(cw, 0, result, false, 1024);
    auto* c = in.touch(cw, 0, result, true, 1024);
    if (a && b && c) {
        bool nz_left = chip.generation == 3510;
        for (uint32_t i = 0; i < m1 * 16; i++) {
            for (uint32_t j = 0; j < n1 * 16; j++) {
                uint8_t* at = c + ((uint64_t(j / 16) * m1 * 16 + i) * 16 + j % 16) * 4;
                float sum = 0;
                int32_t whole = 0;
                if (!p.cmatrixInitVal) std::memcpy(type == Operand::Int8 ? static_cast<void*>(&whole) : &sum, at, 4);
                for (uint32_t k = 0; k < p.k; k++) {
                    uint64_t left = nz_left ? uint64_t(k / k0) * m1 + i / 16 : uint64_t(i / 16) * k1 + k / k0;
                    uint64_t right = uint64_t(k / k0) * n1 + j / 16;
                    float x = element(a + left * FRACTAL + ((i % 16) * k0 + k % k0) * size, type);
                    float y = element(b + right * FRACTAL + ((j % 16) * k0 + k % k0) * size, type);
                    if (type == Operand::Int8) whole += int32_t(x) * int32_t(y);
                    else sum = float(double(sum) + double(x) * double(y));  // products are exact
                }
                std::memcpy(at, type == Operand::Int8 ? static_cast<const void*>(&whole) : &sum, 4);
            }
        }
    }
    double per_cycle = type == Operand::Float ? chip.f32_k_per_cycle : type == Operand::Int8 ? chip.i8_k_per_cycle : chip.f16_k_per_cycle;
    in.spend(chip.mmad_start + double(m1) * n1 * k1 * (double(k0) / per_cycle));
}

void fixpipe(uint8_t* dst, const Window& src, const AscendC::FixpipeParamsV220& p, uint32_t size, bool whole, bool same, Site site) {
    Instruction in(Pipe::FIX, site);
    in.reaches(src, Space::L0C);
    if (!in.in().machine().chip().fixpipe) return in.find(Kind::Limit, "this chip has no fixpipe");
    bool narrow = p.quantPre != AscendC::QuantMode_t::NoQuant;
    if (narrow != (size == 2)) in.find(Kind::Limit, "a result of " + std::to_string(size) + " bytes does not fit quantPre");
    if (narrow ? whole : !same) in.find(Kind::Type, "accumulators of another type than quantPre converts");
    if (p.srcStride % 16) in.find(Kind::Limit, "srcStride " + std::to_string(p.srcStride) + " is no multiple of 16 rows");
    uint64_t n1 = up(p.nSize, 16);
    auto* c = in.touch(src, 0, n1 * p.srcStride * 16 * 4 - (p.srcStride - std::min<uint32_t>(p.srcStride, up(p.mSize, 16) * 16)) * 16 * 4ull, false, 64);
    for (uint32_t i = 0; i < p.mSize; i++) {
        auto* row = in.touch_global(dst + uint64_t(i) * p.dstStride * size, uint64_t(p.nSize) * size, true);
        for (uint32_t j = 0; c && row && j < p.nSize; j++) {
            uint32_t raw;
            std::memcpy(&raw, c + ((uint64_t(j / 16) * p.srcStride + i) * 16 + j % 16) * 4, 4);
            if (whole) {
                if (p.reluEn && int32_t(raw) < 0) raw = 0;
                std::memcpy(row + j * 4, &raw, std::min<uint32_t>(size, 4));
                continue;
            }
            float x = float_of(raw);
            if (p.reluEn) x = x > 0 ? x : 0;
            if (p.quantPre == AscendC::QuantMode_t::F322F16) {
                half h(x);
                std::memcpy(row + j * 2, &h, 2);
            } else if (p.quantPre == AscendC::QuantMode_t::F322BF16) {
                bfloat16_t h(x);
                std::memcpy(row + j * 2, &h, 2);
            } else if (p.reluEn) {
                std::memcpy(row + j * 4, &x, 4);
            } else {
                std::memcpy(row + j * 4, &raw, 4);
            }
        }
    }
    in.spend(double(uint64_t(p.mSize) * p.nSize * size) / in.in().machine().chip().l0c_to_gm);
}

}  // namespace sim
