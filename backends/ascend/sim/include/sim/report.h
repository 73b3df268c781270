// What the simulator finds, by the classes an Ascend engineer knows from the vendor's checker.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sim {

// The units of a core that work side by side. ALL stands for every one in barriers.
enum class Pipe : uint8_t { S, V, M, MTE1, MTE2, MTE3, FIX, ALL };
constexpr int PIPES = 7;
const char* name_of(Pipe p);

// Where in the kernel's source an instruction stands.
struct Site {
    const char* file = "";
    int line = 0;
    static Site here(const char* f = __builtin_FILE(), int l = __builtin_LINE()) { return {f, l}; }
};

enum class Kind : uint8_t {
    ReadUnallocated,   // read 1: memory not allocated or already freed
    ReadUnwritten,     // read 2: bytes never written
    ReadPast,          // read 3: past the valid length
    ReadMisaligned,    // read 4: not on 32 bytes
    WriteUnallocated,  // write 1
    WritePast,         // write 2
    WriteUnconsumed,   // write 3: over data nobody has read
    WriteMisaligned,   // write 4
    SyncBeforeWrite,   // sync 1: a write not ordered after an earlier access
    SyncBeforeRead,    // sync 2: a read not ordered after the write
    SyncUnpaired,      // sync 3: a set without a wait, a wait without a set
    SyncTwice,         // sync 4: an event set twice
    Leak,              // allocated and never freed
    FreeTwice,         // freed and free already
    Uninitialised,     // buffer 0: not initialised by InitBuffer
    QueueType,         // buffer 1: of another position than it was made for
    QueueUse,          // buffer 2: wrong use of VECIN, VECOUT, VECCALC
    InvalidBuffer,     // buffer 3: memory that is none
    PoolExhausted,     // buffer 4: the pool has not that much
    CoresOverlap,      // two cores write, or one writes what another reads, in no order
    Limit,             // a parameter outside what the instruction takes
    Type,              // an element type the unit does not compute in
    Deadlock,          // a core waits for what nobody sets
};
constexpr int KINDS = int(Kind::Deadlock) + 1;
const char* name_of(Kind k);

struct Finding {
    Kind kind;
    std::string kernel;
    Site site;
    std::string core;
    Pipe pipe;
    std::string what;
};

// One line: kind, kernel, file:line, core, pipe, what.
std::string text(const Finding& f);

}  // namespace sim
