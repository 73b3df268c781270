// Runs a compiled model: run MODEL [THREADS] [NAME=EXTENT ...]
//
// Inputs are filled with a fixed pattern; an extent that depends on a symbol is taken from the arguments, else 1.
// Build: cc -I runtime/include runtime/examples/run.c -L target/release -lbeiming_runtime -o run

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "beiming.h"

static void die(const char *what) {
  fprintf(stderr, "%s: %s\n", what, beiming_last_error());
  exit(1);
}

// Bytes of an element, 0 for types this example does not fill.
static size_t element_size(uint32_t dtype) {
  switch (dtype) {
    case BEIMING_DTYPE_F64: case BEIMING_DTYPE_I64: return 8;
    case BEIMING_DTYPE_F32: case BEIMING_DTYPE_I32: return 4;
    case BEIMING_DTYPE_U8: case BEIMING_DTYPE_I8: case BEIMING_DTYPE_BOOL: return 1;
    default: return 0;
  }
}

static void fill(uint32_t dtype, void *data, size_t count) {
  for (size_t i = 0; i < count; i++) {
    switch (dtype) {
      case BEIMING_DTYPE_F64: ((double *)data)[i] = (double)(i % 7) * 0.5; break;
      case BEIMING_DTYPE_F32: ((float *)data)[i] = (float)(i % 7) * 0.5f; break;
      case BEIMING_DTYPE_I64: ((int64_t *)data)[i] = (int64_t)(i % 7); break;
      case BEIMING_DTYPE_I32: ((int32_t *)data)[i] = (int32_t)(i % 7); break;
      default: ((uint8_t *)data)[i] = (uint8_t)(i % 2); break;
    }
  }
}

static int64_t extent(const beiming_port *port, size_t axis, int argc, char **argv) {
  if (port->shape[axis] >= 0) return port->shape[axis];
  size_t n = strlen(port->dims[axis]);
  for (int i = 3; i < argc; i++)
    if (strncmp(argv[i], port->dims[axis], n) == 0 && argv[i][n] == '=') return atoll(argv[i] + n + 1);
  return 1;
}

int main(int argc, char **argv) {
  if (argc < 2) {
    fprintf(stderr, "usage: %s MODEL [THREADS] [NAME=EXTENT ...]\n", argv[0]);
    return 2;
  }
  beiming_module *module;
  if (beiming_module_open(argv[1], &module) != BEIMING_STATUS_OK) die("cannot open the model");
  beiming_session *session;
  size_t threads = argc > 2 ? (size_t)atoi(argv[2]) : 0;
  if (beiming_session_create(module, threads, &session) != BEIMING_STATUS_OK) die("cannot make a session");

  size_t input_count = beiming_module_input_count(module);
  size_t output_count = beiming_module_output_count(module);
  beiming_input *inputs = calloc(input_count + 1, sizeof *inputs);
  beiming_output *outputs = calloc(output_count + 1, sizeof *outputs);
  if (!inputs || !outputs) return 1;
  for (size_t i = 0; i < input_count; i++) {
    beiming_port port;
    if (beiming_module_input(module, i, &port) != BEIMING_STATUS_OK) die("cannot describe an input");
    size_t size = element_size(port.dtype), count = 1;
    if (size == 0) {
      fprintf(stderr, "input %s: element type %u is not one this example fills\n", port.name, port.dtype);
      return 1;
    }
    int64_t *shape = calloc(port.rank + 1, sizeof *shape);
    if (!shape) return 1;
    printf("input %s", port.name);
    for (size_t a = 0; a < port.rank; a++) {
      shape[a] = extent(&port, a, argc, argv);
      count *= (size_t)shape[a];
      printf("%s%lld", a ? "x" : " ", (long long)shape[a]);
    }
    printf("\n");
    void *data = malloc(count * size + 1);
    if (!data) return 1;
    fill(port.dtype, data, count);
    inputs[i] = (beiming_input){port.name, port.dtype, port.rank, shape, data, count * size};
  }

  // `buffer` stays null: the session gives the memory.
  if (beiming_session_run(session, inputs, input_count, outputs, output_count) != BEIMING_STATUS_OK) die("cannot run");
  for (size_t i = 0; i < output_count; i++) {
    beiming_port port;
    if (beiming_module_output(module, i, &port) != BEIMING_STATUS_OK) die("cannot describe an output");
    printf("output %s", port.name);
    for (size_t a = 0; a < outputs[i].rank; a++) printf("%s%lld", a ? "x" : " ", (long long)outputs[i].shape[a]);
    if (outputs[i].dtype == BEIMING_DTYPE_F32) {
      const float *values = outputs[i].data;
      size_t count = outputs[i].bytes / sizeof *values;
      for (size_t k = 0; k < count && k < 8; k++) printf(" %g", values[k]);
    }
    printf("\n");
  }

  for (size_t i = 0; i < input_count; i++) {
    free((void *)inputs[i].shape);
    free((void *)inputs[i].data);
  }
  free(inputs);
  free(outputs);
  beiming_session_destroy(session);
  beiming_module_close(module);
  return 0;
}
