// The chip that is simulated, as numbers. They come as text, `key value` a line, from the compiler's own table, so that estimate
// and simulation share every constant.
#pragma once

#include <cstdint>
#include <string>

namespace sim {

struct Chip {
    std::string name = "ascend910b1";
    uint32_t generation = 2201;
    uint32_t cube_cores = 24, vector_cores = 48;
    double clock_mhz = 1850;
    uint32_t ub = 188160, l1 = 524032, l0a = 65536, l0b = 65536, l0c = 131072, bias_table = 1024;
    double mmad_start = 9, l1_to_l0a = 256, l1_to_l0b = 128, load_start = 24, l0c_to_gm = 63, gm_to_l1 = 84.5;
    double gm_to_ub = 32, ub_to_gm = 64, ub_to_l1 = 0, simple_16 = 128, slow = 32, reduce_32 = 64, gather = 5;
    uint32_t events = 6;
    bool padded_copy = true, fixpipe = true, l0c_to_ub = false, cross_core = true, bf16_vector = false, bf16 = true;
    double f16_k_per_cycle = 16, f32_k_per_cycle = 4, i8_k_per_cycle = 32;
};

// Throws std::runtime_error on an unknown key or a malformed line.
Chip parse_chip(const std::string& text);

}  // namespace sim
