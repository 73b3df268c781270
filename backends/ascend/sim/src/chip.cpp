// Reading a chip's numbers.
#include "sim/chip.h"

#include <map>
#include <sstream>
#include <stdexcept>

namespace sim {

Chip parse_chip(const std::string& text) {
    Chip c;
    std::map<std::string, uint32_t*> counts = {
        {"generation", &c.generation}, {"cube_cores", &c.cube_cores}, {"vector_cores", &c.vector_cores}, {"ub", &c.ub},
        {"l1", &c.l1}, {"l0a", &c.l0a}, {"l0b", &c.l0b}, {"l0c", &c.l0c}, {"bias_table", &c.bias_table}, {"events", &c.events},
    };
    std::map<std::string, double*> rates = {
        {"clock_mhz", &c.clock_mhz}, {"mmad_start", &c.mmad_start}, {"l1_to_l0a", &c.l1_to_l0a}, {"l1_to_l0b", &c.l1_to_l0b},
        {"load_start", &c.load_start}, {"l0c_to_gm", &c.l0c_to_gm}, {"gm_to_l1", &c.gm_to_l1}, {"gm_to_ub", &c.gm_to_ub},
        {"ub_to_gm", &c.ub_to_gm}, {"ub_to_l1", &c.ub_to_l1}, {"simple_16", &c.simple_16}, {"slow", &c.slow}, {"reduce_32", &c.reduce_32},
        {"gather", &c.gather}, {"f16_k_per_cycle", &c.f16_k_per_cycle}, {"f32_k_per_cycle", &c.f32_k_per_cycle},
        {"i8_k_per_cycle", &c.i8_k_per_cycle},
    };
    std::map<std::string, bool*> has = {
        {"padded_copy", &c.padded_copy}, {"fixpipe", &c.fixpipe}, {"l0c_to_ub", &c.l0c_to_ub}, {"cross_core", &c.cross_core},
        {"bf16_vector", &c.bf16_vector}, {"bf16", &c.bf16},
    };
    std::istringstream in(text);
    std::string line;
    while (std::getline(in, line)) {
        std::istringstream words(line);
        std::string key, value;
        if (!(words >> key)) continue;
        if (!(words >> value)) throw std::runtime_error("chip: no value for `" + key + "`");
        if (key == "name") c.name = value;
        else if (counts.count(key)) *counts[key] = uint32_t(std::stoul(value));
        else if (rates.count(key)) *rates[key] = std::stod(value);
        else if (has.count(key)) *has[key] = value == "true";
        else throw std::runtime_error("chip: unknown key `" + key + "`");
    }
    return c;
}

}  // namespace sim
