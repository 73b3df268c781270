// Reads the chips given as arguments and prints some of each.
#include <cstdio>

#include "sim/chip.h"

int main(int argc, char** argv) {
    for (int i = 1; i < argc; i++) {
        sim::Chip c = sim::parse_chip(argv[i]);
        std::printf("%s %u %u %d %d\n", c.name.c_str(), c.ub, c.l0c, c.padded_copy, c.bf16);
    }
}
