//! Functions that emitted kernels carry with them, where they use them.

/// Name as called, and text.
pub const ALL: [(&str, &str); 5] =
    [("Smaller(", SMALLER), ("Larger(", LARGER), ("FloatOf(", FLOAT_OF), ("CopyIn(", COPY_IN), ("CopyOut(", COPY_OUT)];

const SMALLER: &str = "__aicore__ inline int64_t Smaller(int64_t a, int64_t b) { return a < b ? a : b; }\n";
const LARGER: &str = "__aicore__ inline int64_t Larger(int64_t a, int64_t b) { return a < b ? b : a; }\n";
const FLOAT_OF: &str = "__aicore__ inline float FloatOf(uint32_t bits) {
    union {
        uint32_t u;
        float f;
    } both = {bits};
    return both.f;
}
";
const COPY_IN: &str =
    "// This chip copies whole blocks of 32 bytes: elements behind the last one come in through the scalar unit. What follows
// them, up to `filled` and the end of the block, is zero.
template <typename T>
__aicore__ inline void CopyIn(const LocalTensor<T>& dst, const GlobalTensor<T>& src, uint32_t count, uint32_t filled) {
    constexpr uint32_t perBlock = 32 / sizeof(T);
    const uint32_t whole = count / perBlock * perBlock;
    if (whole > 0) {
        DataCopy(dst, src, whole);
    }
    const uint32_t end = ((filled > count ? filled : count) + perBlock - 1) / perBlock * perBlock;
    if (whole < end) {
        PipeBarrier<PIPE_ALL>();
        for (uint32_t i = whole; i < end; ++i) {
            dst.SetValue(i, i < count ? src.GetValue(i) : T(0));
        }
        PipeBarrier<PIPE_ALL>();
    }
}
";
const COPY_OUT: &str =
    "// As CopyIn, the other way. The scalar unit writes through the data cache, which has to be emptied behind it; whole blocks
// are in memory before a line of the cache is fetched.
template <typename T>
__aicore__ inline void CopyOut(const GlobalTensor<T>& dst, const LocalTensor<T>& src, uint32_t count) {
    constexpr uint32_t perBlock = 32 / sizeof(T);
    const uint32_t whole = count / perBlock * perBlock;
    if (whole > 0) {
        DataCopy(dst, src, whole);
    }
    if (whole < count) {
        PipeBarrier<PIPE_ALL>();
        for (uint32_t i = whole; i < count; ++i) {
            dst.SetValue(i, src.GetValue(i));
        }
        DataCacheCleanAndInvalid<T, CacheLine::ENTIRE_DATA_CACHE>(dst);
        PipeBarrier<PIPE_ALL>();
    }
}
";
