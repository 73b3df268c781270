// Runs emitted kernels on files of arguments and prints what the checker finds.
#pragma once

#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "kernel_operator.h"

struct Case {
    int number;
    std::string chip;
    sim::KernelKind kind;
    uint32_t blocks;
    std::vector<int64_t> dims;
    std::vector<size_t> sizes;
    std::string uses;  // of each argument: r read, w written, b both
};

inline std::string contents(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
}

template <class Kernel> void run(const Case& c, Kernel kernel) {
    sim::Machine machine(sim::parse_chip(contents(c.chip + ".txt")));
    std::string name = "case" + std::to_string(c.number), bytes = contents(name + ".in");
    std::vector<sim::GlobalBuffer*> buffers;
    std::vector<uint8_t*> p;
    size_t at = 0;
    for (size_t i = 0; i < c.sizes.size(); i++) {
        auto& b = machine.allocate("argument " + std::to_string(i), c.sizes[i]);
        if (c.uses[i] != 'w') {
            std::memcpy(b.data(), bytes.data() + at, c.sizes[i]);
            b.fill_from_host();
        }
        at += c.sizes[i];
        buffers.push_back(&b);
        p.push_back(b.data());
    }
    std::vector<int64_t> dims = c.dims;
    if (c.blocks) {
        auto done = machine.launch(name, c.kind, c.blocks, [&] { kernel(p.data(), reinterpret_cast<uint8_t*>(dims.data())); });
        for (auto& f : done.findings) std::printf("%s %s\n", name.c_str(), sim::text(f).c_str());
    }
    std::ofstream out(name + ".out", std::ios::binary);
    for (size_t i = 0; i < buffers.size(); i++) {
        if (!buffers[i]->intact()) std::printf("%s argument %zu was written past its ends\n", name.c_str(), i);
        out.write(reinterpret_cast<const char*>(buffers[i]->data()), long(c.sizes[i]));
    }
}
