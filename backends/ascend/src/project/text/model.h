// The model as a C library. Every function gives 0, or another number and a text in beiming_model_error.
#pragma once

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

// An input or output: dense, row-major, in the host's memory.
struct beiming_model_port {
    const char* type;  // element type and shape
    size_t bytes;
};

extern const struct beiming_model_port beiming_model_inputs[];
extern const size_t beiming_model_input_count;
extern const struct beiming_model_port beiming_model_outputs[];
extern const size_t beiming_model_output_count;

struct beiming_model;

// Opens a device and loads what lies in `folder`: weights.bin, fatbin/ with the kernels, cpu_kernels.so if there is one.
int beiming_model_open(const char* folder, int device, struct beiming_model** model);

// Runs once. As many pointers as there are inputs and outputs, each to as many bytes as its port says.
int beiming_model_run(struct beiming_model* model, const void* const* inputs, void* const* outputs);

void beiming_model_close(struct beiming_model* model);

// What went wrong last in this thread.
const char* beiming_model_error(void);

#ifdef __cplusplus
}
#endif
