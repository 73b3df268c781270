// What the simulator's own tests share: a machine, buffers with contents, expectations.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "kernel_operator.h"

namespace test {

inline int failures = 0;

inline void expect(bool ok, const std::string& what) {
    if (ok) return;
    std::printf("FAILED: %s\n", what.c_str());
    failures++;
}

// A launch must find exactly the kinds given, or nothing.
inline void expect_findings(const std::string& name, const sim::Run& run, std::vector<sim::Kind> kinds) {
    bool same = true;
    for (auto k : kinds) {
        bool found = false;
        for (auto& f : run.findings) found |= f.kind == k;
        if (!found) std::printf("  %s: %s was not found\n", name.c_str(), sim::name_of(k)), same = false;
    }
    for (auto& f : run.findings) {
        bool wanted = false;
        for (auto k : kinds) wanted |= f.kind == k;
        if (!wanted) std::printf("  %s: unexpected: %s\n", name.c_str(), sim::text(f).c_str()), same = false;
    }
    expect(same, name);
}

template <class T> sim::GlobalBuffer& filled(sim::Machine& m, const std::string& name, const std::vector<T>& v) {
    auto& b = m.allocate(name, v.size() * sizeof(T));
    std::memcpy(b.data(), v.data(), v.size() * sizeof(T));
    b.fill_from_host();
    return b;
}

inline std::vector<float> normal(size_t n, unsigned seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> d;
    std::vector<float> v(n);
    for (auto& x : v) x = d(random);
    return v;
}

inline std::vector<half> halves(const std::vector<float>& v) { return std::vector<half>(v.begin(), v.end()); }

}  // namespace test
