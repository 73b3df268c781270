// main [-d DEVICE] [-r FOLDER] INPUT.. OUTPUT..: one file of raw elements for every input, and one to write for every output.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "model.h"

namespace {

int fail(const char* what, const char* which) {
    std::fprintf(stderr, "%s: %s\n", what, which);
    return 1;
}

int usage() {
    std::fprintf(stderr, "usage: main [-d DEVICE] [-r FOLDER] INPUT.. OUTPUT..\n");
    for (size_t i = 0; i < beiming_model_input_count; i++)
        std::fprintf(stderr, "  input %zu: %s, %zu bytes\n", i, beiming_model_inputs[i].type, beiming_model_inputs[i].bytes);
    for (size_t i = 0; i < beiming_model_output_count; i++)
        std::fprintf(stderr, "  output %zu: %s, %zu bytes\n", i, beiming_model_outputs[i].type, beiming_model_outputs[i].bytes);
    return 2;
}

}  // namespace

int main(int argc, char** argv) {
    int device = 0, at = 1;
    const char* folder = ".";
    for (; at + 1 < argc && argv[at][0] == '-'; at += 2) {
        if (!std::strcmp(argv[at], "-d")) device = std::atoi(argv[at + 1]);
        else if (!std::strcmp(argv[at], "-r")) folder = argv[at + 1];
        else return usage();
    }
    size_t inputs = beiming_model_input_count, outputs = beiming_model_output_count;
    if (size_t(argc - at) != inputs + outputs) return usage();

    std::vector<std::vector<char>> memory;
    std::vector<const void*> in;
    std::vector<void*> out;
    for (size_t i = 0; i < inputs + outputs; i++)
        memory.emplace_back(i < inputs ? beiming_model_inputs[i].bytes : beiming_model_outputs[i - inputs].bytes);
    for (size_t i = 0; i < inputs; i++) {
        std::FILE* f = std::fopen(argv[at + int(i)], "rb");
        size_t n = f ? std::fread(memory[i].data(), 1, memory[i].size(), f) : 0;
        if (f) std::fclose(f);
        if (n != memory[i].size()) return fail("cannot read as many bytes as the input has", argv[at + int(i)]);
        in.push_back(memory[i].data());
    }
    for (size_t i = inputs; i < inputs + outputs; i++) out.push_back(memory[i].data());

    beiming_model* model = nullptr;
    if (beiming_model_open(folder, device, &model)) return fail("open", beiming_model_error());
    int failed = beiming_model_run(model, in.data(), out.data());
    if (failed) fail("run", beiming_model_error());
    beiming_model_close(model);
    for (size_t i = inputs; !failed && i < inputs + outputs; i++) {
        std::FILE* f = std::fopen(argv[at + int(i)], "wb");
        size_t n = f ? std::fwrite(memory[i].data(), 1, memory[i].size(), f) : 0;
        if (f) std::fclose(f);
        if (n != memory[i].size()) return fail("cannot write", argv[at + int(i)]);
    }
    return failed;
}
