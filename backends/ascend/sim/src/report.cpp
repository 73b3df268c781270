// Findings in words.
#include "sim/report.h"

namespace sim {

const char* name_of(Pipe p) {
    static const char* names[] = {"S", "V", "M", "MTE1", "MTE2", "MTE3", "FIX", "ALL"};
    return names[int(p)];
}

const char* name_of(Kind k) {
    static const char* names[KINDS] = {
        "read-unallocated", "read-unwritten",  "read-past",       "read-misaligned", "write-unallocated", "write-past",
        "write-unconsumed", "write-misaligned", "sync-before-write", "sync-before-read", "sync-unpaired",  "sync-twice",
        "leak",             "free-twice",      "uninitialised",   "queue-type",      "queue-use",         "invalid-buffer",
        "pool-exhausted",   "cores-overlap",   "limit",           "type",            "deadlock",
    };
    return names[int(k)];
}

std::string text(const Finding& f) {
    std::string file = f.site.file;
    size_t slash = file.rfind('/');
    if (slash != std::string::npos) file = file.substr(slash + 1);
    return std::string(name_of(f.kind)) + ": " + f.kernel + " " + file + ":" + std::to_string(f.site.line) + " core " + f.core +
           " pipe " + name_of(f.pipe) + ": " + f.what;
}

}  // namespace sim
