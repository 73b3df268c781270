/* Runs kernels of an emitted library on buffers that end at a page that must not be touched.
 *
 * usage: harness LIBRARY CASES OUTPUT
 * CASES and OUTPUT are little-endian: a case is
 *   u32 kernel, u32 params, u32 dims, u32 repeat, i64 grid, u64 scratch, i64 dims[], then for each parameter u64 bytes and its
 *   contents.
 * OUTPUT holds the parameters' contents after each case; with repeat > 0 the case is timed and a line is printed. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

typedef void (*kernel)(void *const *, const int64_t *, int64_t, int64_t, uint8_t *);
struct table { uint32_t abi, count; kernel kernels[]; };

static const size_t page = 65536;

/* `bytes` bytes that end at a page without access, on `align` bytes at the start where that is possible. */
static uint8_t *guarded(size_t bytes) {
    size_t body = (bytes + page - 1) / page * page;
    uint8_t *p = mmap(0, body + 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) { perror("mmap"); exit(2); }
    mprotect(p, page, PROT_NONE);
    mprotect(p + page + body, page, PROT_NONE);
    return p + page + body - bytes;
}

static void need(void *p, size_t n, FILE *f) {
    if (n && fread(p, n, 1, f) != 1) { fprintf(stderr, "short case file\n"); exit(2); }
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    void *lib = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (!lib) { fprintf(stderr, "%s\n", dlerror()); return 2; }
    struct table *t = dlsym(lib, "beiming_kernels");
    if (!t || t->abi != 1) { fprintf(stderr, "no kernel table\n"); return 2; }
    FILE *in = fopen(argv[2], "rb"), *out = fopen(argv[3], "wb");
    if (!in || !out) { perror("files"); return 2; }
    uint32_t head[4];
    for (int n = 0; fread(head, sizeof head, 1, in) == 1; n++) {
        int64_t grid, dims[64];
        uint64_t scratch, bytes[64];
        void *params[64];
        if (head[0] >= t->count || head[1] > 64 || head[2] > 64) { fprintf(stderr, "bad case %d\n", n); return 2; }
        need(&grid, 8, in);
        need(&scratch, 8, in);
        need(dims, 8 * head[2], in);
        for (uint32_t i = 0; i < head[1]; i++) {
            need(&bytes[i], 8, in);
            params[i] = guarded(bytes[i]);
            need(params[i], bytes[i], in);
        }
        uint8_t *s = guarded((scratch + 63) / 64 * 64);
        memset(s, 0xff, scratch);
        fprintf(stderr, "case %d\n", n);
        kernel k = t->kernels[head[0]];
        if (head[3]) {
            double best = 1e9;
            for (uint32_t r = 0; r < head[3]; r++) {
                double a = now();
                k(params, dims, 0, grid, s);
                double b = now();
                if (b - a < best) best = b - a;
            }
            printf("%d %.3e\n", n, best);
        } else {
            /* In two runs, the later half first: points are independent. */
            k(params, dims, grid / 2, grid, s);
            k(params, dims, 0, grid / 2, s);
        }
        for (uint32_t i = 0; i < head[1]; i++) fwrite(params[i], 1, bytes[i], out);
    }
    return fclose(out) != 0;
}
