// Runs many versions of one kernel on the same arguments, each in a process of its own, and says of each what gave it away: a
// finding, a wrong result, an end by the machine's own checks, or nothing.
#pragma once

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <csignal>

#include "emitted.h"

struct Argument {
    size_t bytes;
    char use;   // r read, w written, b both
    char type;  // f float, h half, b bfloat16_t, x not compared, i anything else
    double tolerance;
    double unequal;  // share of elements that may differ from what is expected at all
};

// Whether a result is what is expected; `tests/support` compares in the same way.
inline bool agrees(const Argument& a, const uint8_t* got, const uint8_t* want) {
    if (a.type == 'x') return true;
    if (a.type == 'i') return std::memcmp(got, want, a.bytes) == 0;
    size_t size = a.type == 'f' ? 4 : 2, n = a.bytes / size, unequal = 0;
    auto at = [&](const uint8_t* p, size_t i) -> double {
        if (a.type == 'f') {
            float f;
            std::memcpy(&f, p + i * 4, 4);
            return double(f);
        }
        uint16_t bits;
        std::memcpy(&bits, p + i * 2, 2);
        return a.type == 'h' ? double(sim::float_of_half(bits)) : double(sim::float_of(uint32_t(bits) << 16));
    };
    for (size_t i = 0; i < n; i++) {
        double g = at(got, i), w = at(want, i);
        if (g == w || (std::isnan(g) && std::isnan(w))) continue;
        unequal++;
        if (!std::isfinite(g) || !std::isfinite(w) || std::fabs(g - w) / std::max(std::fabs(w), 1.0) > a.tolerance) return false;
    }
    return double(unequal) <= a.unequal * double(n);
}

using Kernel = void (*)(uint8_t** arguments, uint8_t* dims);

inline int judge(Kernel kernel, const std::string& chip, sim::KernelKind kind, uint32_t blocks, const std::vector<Argument>& args,
                 std::vector<int64_t> dims, const std::string& before, const std::string& after) {
    sim::Machine machine(sim::parse_chip(chip));
    std::vector<sim::GlobalBuffer*> buffers;
    std::vector<uint8_t*> p;
    size_t at = 0;
    for (size_t i = 0; i < args.size(); i++) {
        auto& b = machine.allocate("argument " + std::to_string(i), args[i].bytes);
        if (args[i].use != 'w') {
            std::memcpy(b.data(), before.data() + at, args[i].bytes);
            b.fill_from_host();
        }
        at += args[i].bytes;
        buffers.push_back(&b);
        p.push_back(b.data());
    }
    auto done = machine.launch("kernel", kind, blocks, [&] { kernel(p.data(), reinterpret_cast<uint8_t*>(dims.data())); });
    bool wrong = false;
    at = 0;
    for (size_t i = 0; i < args.size(); i++) {
        wrong |= !buffers[i]->intact() || !agrees(args[i], buffers[i]->data(), reinterpret_cast<const uint8_t*>(after.data()) + at);
        at += args[i].bytes;
    }
    if (!done.findings.empty()) {
        std::printf("finding %s\n", sim::text(done.findings[0]).c_str());
    } else {
        std::printf(wrong ? "numbers\n" : "survived\n");
    }
    std::fflush(stdout);
    return 0;
}

inline int judge_all(const std::vector<Kernel>& kernels, const std::string& chip, sim::KernelKind kind, uint32_t blocks,
                     const std::vector<Argument>& args, const std::vector<int64_t>& dims, const std::string& data) {
    std::string before = contents(data + ".in"), after = contents(data + ".want"), text = contents(chip);
    for (size_t i = 0; i < kernels.size(); i++) {
        std::printf("%zu ", i);
        std::fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            rlimit seconds{5, 5}, memory{2ull << 30, 2ull << 30};
            setrlimit(RLIMIT_CPU, &seconds);
            setrlimit(RLIMIT_AS, &memory);
            try {
                _exit(judge(kernels[i], text, kind, blocks, args, dims, before, after));
            } catch (...) {
                _exit(7);
            }
        }
        int status = 0;
        waitpid(child, &status, 0);
        if (!WIFEXITED(status) || WEXITSTATUS(status)) {
            bool time = WIFSIGNALED(status) && (WTERMSIG(status) == SIGXCPU || WTERMSIG(status) == SIGKILL);
            std::printf(time ? "stopped no end\n" : "stopped crash\n");
            std::fflush(stdout);
        }
    }
    return 0;
}
