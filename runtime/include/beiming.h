/* Beiming runtime: opens a compiled model and runs it.
 *
 * Generated from runtime/src/capi.rs; do not edit. runtime/examples/run.c shows the use.
 * Every function may be called from any thread. */

#ifndef BEIMING_H
#define BEIMING_H

#include <stddef.h>
#include <stdint.h>

// Result of a call. Anything but `OK` leaves a text for `beiming_last_error`.
typedef enum {
  // Done.
  BEIMING_STATUS_OK = 0,
  // A null or closed handle, a null pointer, a wrong count.
  BEIMING_STATUS_ARGUMENT = 1,
  // A file cannot be read.
  BEIMING_STATUS_IO = 2,
  // Not an artifact.
  BEIMING_STATUS_FORMAT = 3,
  // An artifact of another version of the format.
  BEIMING_STATUS_VERSION = 4,
  // The artifact ends too early.
  BEIMING_STATUS_TRUNCATED = 5,
  // The artifact is not as it was written.
  BEIMING_STATUS_ALTERED = 6,
  // The artifact contradicts itself.
  BEIMING_STATUS_INCONSISTENT = 7,
  // The artifact is for another machine.
  BEIMING_STATUS_TARGET = 8,
  // The code cannot be loaded.
  BEIMING_STATUS_LOAD = 9,
  // An input is missing, unknown, or of a wrong type or shape.
  BEIMING_STATUS_INPUT = 10,
  // An output's buffer does not suit.
  BEIMING_STATUS_OUTPUT = 11,
  // A value computed by the model is outside what the model allows.
  BEIMING_STATUS_RUN = 12,
  // Memory cannot be had.
  BEIMING_STATUS_MEMORY = 13,
  // The session is running in another thread.
  BEIMING_STATUS_BUSY = 14,
  // A fault of the runtime.
  BEIMING_STATUS_INTERNAL = 15,
  // A call to the device's driver failed.
  BEIMING_STATUS_DEVICE = 16,
} beiming_status;

// Element type of a tensor. Types narrower than 8 bits occupy one whole byte an element. The numbers are part of the C
// interface and never change.
enum beiming_dtype
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  BEIMING_DTYPE_F64 = 1,
  BEIMING_DTYPE_F32 = 2,
  BEIMING_DTYPE_F16 = 3,
  BEIMING_DTYPE_BF16 = 4,
  BEIMING_DTYPE_F8E4M3FN = 5,
  BEIMING_DTYPE_F8E4M3FNUZ = 6,
  BEIMING_DTYPE_F8E5M2 = 7,
  BEIMING_DTYPE_F8E5M2FNUZ = 8,
  BEIMING_DTYPE_F8E8M0 = 9,
  BEIMING_DTYPE_F4E2M1 = 10,
  BEIMING_DTYPE_I64 = 11,
  BEIMING_DTYPE_I32 = 12,
  BEIMING_DTYPE_I16 = 13,
  BEIMING_DTYPE_I8 = 14,
  BEIMING_DTYPE_I4 = 15,
  BEIMING_DTYPE_I2 = 16,
  BEIMING_DTYPE_U64 = 17,
  BEIMING_DTYPE_U32 = 18,
  BEIMING_DTYPE_U16 = 19,
  BEIMING_DTYPE_U8 = 20,
  BEIMING_DTYPE_U4 = 21,
  BEIMING_DTYPE_U2 = 22,
  BEIMING_DTYPE_BOOL = 23,
  BEIMING_DTYPE_C64 = 24,
  BEIMING_DTYPE_C128 = 25,
  BEIMING_DTYPE_F8E4M3 = 26,
  BEIMING_DTYPE_F8E3M4 = 27,
  BEIMING_DTYPE_F8E4M3B11FNUZ = 28,
  BEIMING_DTYPE_F6E2M3 = 29,
  BEIMING_DTYPE_F6E3M2 = 30,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum beiming_dtype beiming_dtype;
#else
typedef uint32_t beiming_dtype;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// An opened artifact. May be used by any thread.
typedef struct beiming_module beiming_module;

// Memory and threads to run a module, one run at a time.
typedef struct beiming_session beiming_session;

// An input or output of a model. The pointers are valid until the module is closed.
typedef struct {
  // Name in the model, UTF-8.
  const char *name;
  // Element type, a `beiming_dtype`.
  uint32_t dtype;
  // Number of axes.
  size_t rank;
  // Extents; -1 where an extent depends on the inputs.
  const int64_t *shape;
  // Extents as text, for example `224` or `2*N + 1`.
  const char *const *dims;
} beiming_port;

// A tensor given to a run: dense, row-major.
typedef struct {
  // Name of the input.
  const char *name;
  // Element type, a `beiming_dtype`.
  uint32_t dtype;
  // Number of axes.
  size_t rank;
  // Extents.
  const int64_t *shape;
  // Elements. May be unaligned, at the price of a copy.
  const void *data;
  // Bytes of the elements.
  size_t bytes;
} beiming_input;

// An output of a run, in the model's order. The first two fields are set by the caller, the others by a successful run.
typedef struct {
  // Memory for the elements, aligned to their type, or null: then the session's own memory is used, which stays valid until
  // its next run or its end.
  void *buffer;
  // Bytes of `buffer`.
  size_t capacity;
  // The elements: `buffer` where it was given.
  const void *data;
  // Bytes of the elements.
  size_t bytes;
  // Element type, a `beiming_dtype`.
  uint32_t dtype;
  // Number of axes.
  size_t rank;
  // Extents, valid until the session's next run or its end.
  const int64_t *shape;
} beiming_output;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Version of the runtime, for example `0.1.0`.
const char *beiming_version(void);

// Text of the last error in this thread; empty if there was none. Valid until the next call in this thread.
const char *beiming_last_error(void);

// Opens an artifact file. Its every byte is checked before anything is used. An artifact holds machine code: open only what
// you would run as a program. The file must not be changed while it is open; replace it by renaming another over it.
//
// Required of the caller:
// `path` is a C string, `out` may be written.
beiming_status beiming_module_open(const char *path,
                                   beiming_module **out);

// Opens an artifact of `size` bytes in memory. The bytes are copied. See `beiming_module_open`.
//
// Required of the caller:
// `data` points to `size` bytes, `out` may be written.
beiming_status beiming_module_open_memory(const void *data, size_t size, beiming_module **out);

// Closes a module. Its sessions go on and keep what they need. Null is allowed.
beiming_status beiming_module_close(beiming_module *module);

// Number of inputs; 0 for an invalid handle.
size_t beiming_module_input_count(const beiming_module *module);

// Number of outputs; 0 for an invalid handle.
size_t beiming_module_output_count(const beiming_module *module);

// Describes an input.
//
// Required of the caller:
// `out` may be written.
beiming_status beiming_module_input(const beiming_module *module, size_t index, beiming_port *out);

// Describes an output.
//
// Required of the caller:
// `out` may be written.
beiming_status beiming_module_output(const beiming_module *module, size_t index, beiming_port *out);

// Makes a session with `threads` threads, the caller's among them; 0: one for each core this process may use.
//
// Required of the caller:
// `out` may be written.
beiming_status beiming_session_create(const beiming_module *module,
                                      size_t threads,
                                      beiming_session **out);

// Ends a session; a run in another thread goes on to its end. Null is allowed.
beiming_status beiming_session_destroy(beiming_session *session);

// Runs the model. Inputs are given by name in any order, outputs in the model's order. A session runs once at a time; for
// runs at the same time make a session for each thread.
//
// Required of the caller:
// `inputs` and `outputs` point to as many structures as stated, and the pointers in them to what their comments say. The
// outputs' buffers overlap neither each other nor the inputs.
beiming_status beiming_session_run(beiming_session *session,
                                   const beiming_input *inputs,
                                   size_t input_count,
                                   beiming_output *outputs,
                                   size_t output_count);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* BEIMING_H */
