// A plugin of qemu's code generator (TCG) that counts the instructions an AArch64 program executes, by kind, and writes the
// counts to a file at exit. Debian's qemu runs plugins but ships no header for them, so the few functions used are declared
// here, after the documentation of qemu's plugin interface, version 1 (qemu 4.2 to 8). Counts of programs with several threads
// are approximate: the counters are not atomic.

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;

// Operation of an inline callback: add a constant to a counter.
enum { INLINE_ADD_U64 = 0 };

extern void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, struct qemu_plugin_tb *));
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
extern struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
extern const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
extern void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, int op, void *counter, uint64_t value);
extern void qemu_plugin_register_atexit_cb(plugin_id, void (*)(plugin_id, void *), void *);

EXPORT int qemu_plugin_version = 1;

enum kind { TOTAL, VECTOR_FMA, DOT, SCALAR_FMA, LOAD, STORE, PREFETCH, BRANCH, KINDS };
static const char *const NAMES[KINDS] = {"total", "vector_fma", "dot", "scalar_fma", "loads", "stores", "prefetches", "branches"};
static uint64_t counts[KINDS];
static char path[4096];

// A pattern of the architecture manual's encoding tables: fixed bits and their values.
struct pattern {
  uint32_t mask, value;
  enum kind kind;
};

// The first that matches counts.
static const struct pattern PATTERNS[] = {
    // FMLA, FMLS (vector): f32 and f64, then f16.
    {0xBFA0FC00, 0x0E20CC00, VECTOR_FMA},
    {0xBFA0FC00, 0x0EA0CC00, VECTOR_FMA},
    {0xBFE0FC00, 0x0E400C00, VECTOR_FMA},
    {0xBFE0FC00, 0x0EC00C00, VECTOR_FMA},
    // FMLA, FMLS (by element): f32 and f64, then f16.
    {0xBF80F400, 0x0F801000, VECTOR_FMA},
    {0xBF80F400, 0x0F805000, VECTOR_FMA},
    {0xBFC0F400, 0x0F001000, VECTOR_FMA},
    {0xBFC0F400, 0x0F005000, VECTOR_FMA},
    // SDOT, UDOT (vector, by element).
    {0x9FE0FC00, 0x0E809400, DOT},
    {0x9FC0F400, 0x0F80E000, DOT},
    // FMADD, FMSUB, FNMADD, FNMSUB.
    {0xFF000000, 0x1F000000, SCALAR_FMA},
    // PRFM (literal; register: unsigned offset, register offset, unscaled).
    {0xFF000000, 0xD8000000, PREFETCH},
    {0xFFC00000, 0xF9800000, PREFETCH},
    {0xFFE00C00, 0xF8A00800, PREFETCH},
    {0xFFE00C00, 0xF8800000, PREFETCH},
    // Structures of vectors (LD1 .. ST4).
    {0xBE400000, 0x0C400000, LOAD},
    {0xBE400000, 0x0C000000, STORE},
    // Exclusive and ordered.
    {0x3F400000, 0x08400000, LOAD},
    {0x3F400000, 0x08000000, STORE},
    // Literal.
    {0x3B000000, 0x18000000, LOAD},
    // Pairs.
    {0x3A400000, 0x28400000, LOAD},
    {0x3A400000, 0x28000000, STORE},
    // Atomic memory operations.
    {0x3B200C00, 0x38200000, LOAD},
    // One register. Vector: bit 22 says load. General: an opc of 00 says store.
    {0x3E400000, 0x3C400000, LOAD},
    {0x3E400000, 0x3C000000, STORE},
    {0x3EC00000, 0x38000000, STORE},
    {0x3E000000, 0x38000000, LOAD},
    // Branches, exceptions and system instructions.
    {0xFE000000, 0x54000000, BRANCH},
    {0x7C000000, 0x14000000, BRANCH},
    {0x7C000000, 0x34000000, BRANCH},
    {0xFE000000, 0xD6000000, BRANCH},
};

static enum kind kind_of(uint32_t word) {
  for (size_t i = 0; i < sizeof PATTERNS / sizeof *PATTERNS; i++)
    if ((word & PATTERNS[i].mask) == PATTERNS[i].value) return PATTERNS[i].kind;
  return TOTAL;
}

// Called once for every block of code that qemu translates: what is in it is added at each execution.
static void translated(plugin_id id, struct qemu_plugin_tb *tb) {
  (void)id;
  uint64_t found[KINDS] = {0};
  size_t n = qemu_plugin_tb_n_insns(tb);
  for (size_t i = 0; i < n; i++) {
    uint32_t word;
    memcpy(&word, qemu_plugin_insn_data(qemu_plugin_tb_get_insn(tb, i)), sizeof word);
    found[kind_of(word)]++;
  }
  found[TOTAL] = n;
  for (int k = 0; k < KINDS; k++)
    if (found[k]) qemu_plugin_register_vcpu_tb_exec_inline(tb, INLINE_ADD_U64, &counts[k], found[k]);
}

static void at_exit(plugin_id id, void *unused) {
  (void)id, (void)unused;
  FILE *f = fopen(path, "w");
  if (!f) return;
  for (int k = 0; k < KINDS; k++) fprintf(f, "%s %" PRIu64 "\n", NAMES[k], counts[k]);
  fclose(f);
}

// Takes one argument: `out=FILE`.
EXPORT int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv) {
  (void)info;
  if (argc != 1 || strncmp(argv[0], "out=", 4) != 0 || strlen(argv[0] + 4) >= sizeof path) return -1;
  strcpy(path, argv[0] + 4);
  qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
  qemu_plugin_register_atexit_cb(id, at_exit, NULL);
  return 0;
}
