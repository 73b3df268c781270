// Kernels for the runtime's tests, by the calling convention of the CPU backend.
#include <stdint.h>

#define KERNEL(name) static void name(void *const *p, const int64_t *d, int64_t begin, int64_t end, uint8_t *scratch)

// y[n, c] = x[n, c] * w[0] + w[1], by way of scratch; grid N, dims {C}
KERNEL(affine) {
  const float *x = p[0], *w = p[1];
  float *y = p[2], *row = (float *)scratch;
  for (int64_t n = begin; n < end; n++) {
    for (int64_t c = 0; c < d[0]; c++) row[c] = x[n * d[0] + c] * w[0];
    for (int64_t c = 0; c < d[0]; c++) y[n * d[0] + c] = row[c] + w[1];
  }
}

// r[c] = x[c] * (i + 1); grid C
KERNEL(scale) {
  const float *x = p[0];
  const int64_t *i = p[1];
  float *r = p[2];
  (void)d, (void)scratch;
  for (int64_t c = begin; c < end; c++) r[c] = x[c] * (float)(*i + 1);
}

// cond = i + 1 < limit; grid 1
KERNEL(below) {
  const int64_t *i = p[0], *limit = p[1];
  uint8_t *cond = p[2];
  (void)d, (void)begin, (void)end, (void)scratch;
  *cond = *i + 1 < *limit;
}

// y[i] = x[i] + 100; grid d[0] points
KERNEL(shift) {
  const int64_t *x = p[0];
  int64_t *y = p[1];
  (void)d, (void)scratch;
  for (int64_t i = begin; i < end; i++) y[i] = x[i] + 100;
}

// Every second element only; grid N
KERNEL(holes) {
  const float *x = p[0];
  float *y = p[1];
  (void)d, (void)scratch;
  for (int64_t i = begin; i < end; i++)
    if (i % 2 == 0) y[i] = x[i] * 0.5f;
}

typedef void kernel(void *const *, const int64_t *, int64_t, int64_t, uint8_t *);

__attribute__((visibility("default"))) const struct {
  uint32_t abi, count;
  kernel *kernels[5];
} beiming_kernels = {1, 5, {affine, scale, below, shift, holes}};
