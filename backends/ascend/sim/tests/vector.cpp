// A vector kernel as the emitter writes it, right and with one thing wrong at a time.
#include "harness.h"

using namespace AscendC;

// z = exp(x + y) over rows of any length, double buffered. One thing is left out where `wrong` says so.
enum class Wrong { Nothing, Tail, Free, FreeTwice, PlainCopy, Overflow, Misaligned, QueueOrder, Split, CountPast, WrongQueue, NoInit, BadPad };

template <Wrong wrong> class ExpAdd {
public:
    void Init(GM_ADDR x, GM_ADDR y, GM_ADDR z, uint32_t n) {
        uint32_t cores = uint32_t(GetBlockNum());
        share_ = (n + cores - 1) / cores;
        share_ = (share_ + 15) / 16 * 16;
        start_ = share_ * uint32_t(GetBlockIdx());
        if (wrong == Wrong::Split && GetBlockIdx() > 0) start_ -= 16;
        end_ = start_ + share_ < n ? start_ + share_ : n;
        x_.SetGlobalBuffer((__gm__ float*)x, n);
        y_.SetGlobalBuffer((__gm__ float*)y, n);
        z_.SetGlobalBuffer((__gm__ float*)z, n);
        if (wrong != Wrong::NoInit) pipe_.InitBuffer(inX_, 2, TILE * sizeof(float));
        pipe_.InitBuffer(inY_, 2, TILE * sizeof(float));
        pipe_.InitBuffer(out_, 2, (wrong == Wrong::Overflow ? 32768 : TILE) * sizeof(float));
    }

    void Process() {
        for (uint32_t at = start_; at < end_; at += TILE) {
            uint32_t count = end_ - at < TILE ? end_ - at : TILE;
            CopyIn(at, count);
            Compute(count);
            CopyOut(at, count);
        }
    }

private:
    static constexpr uint32_t TILE = 1024;

    void CopyIn(uint32_t at, uint32_t count) {
        LocalTensor<float> x = inX_.AllocTensor<float>(), y = inY_.AllocTensor<float>();
        DataCopyPad(y, y_[at], {1, uint32_t(count * sizeof(float)), 0, 0, 0}, DataCopyPadExtParams<float>{false, 0, 0, 0});
        inY_.EnQue(y);
        if (wrong == Wrong::PlainCopy) {
            DataCopy(x, x_[at], count);
        } else {
            DataCopyExtParams p{1, uint32_t(count * sizeof(float)), 0, 0, 0};
            DataCopyPadExtParams<float> pad{wrong == Wrong::BadPad, 0, uint8_t(wrong == Wrong::BadPad ? 9 : 0), 0};
            DataCopyPad(x, x_[at], p, pad);
        }
        if (wrong == Wrong::QueueOrder) late_ = x;
        else inX_.EnQue(x);
    }

    void Compute(uint32_t count) {
        LocalTensor<float> x = wrong == Wrong::QueueOrder ? late_ : inX_.template DeQue<float>();
        LocalTensor<float> y = inY_.template DeQue<float>(), z = out_.template AllocTensor<float>();
        Add(z, x, y, int32_t(wrong == Wrong::CountPast ? TILE + 8 : count));
        Exp(wrong == Wrong::Misaligned ? z[1] : z, z, int32_t(wrong == Wrong::Misaligned ? count - 1 : count));
        if (wrong == Wrong::WrongQueue) inX_.EnQue(z);
        else out_.EnQue(z);
        inX_.FreeTensor(x);
        if (wrong == Wrong::FreeTwice) inX_.FreeTensor(x);
        if (wrong != Wrong::Free) inY_.FreeTensor(y);
    }

    void CopyOut(uint32_t at, uint32_t count) {
        if (wrong == Wrong::WrongQueue) return;
        LocalTensor<float> z = out_.template DeQue<float>();
        if (wrong == Wrong::Tail) DataCopy(z_[at], z, (count + 7) / 8 * 8);
        else DataCopyPad(z_[at], z, {1, uint32_t(count * sizeof(float)), 0, 0, 0});
        out_.FreeTensor(z);
    }

    TPipe pipe_;
    TQue<TPosition::VECIN, 2> inX_, inY_;
    TQue<TPosition::VECOUT, 2> out_;
    GlobalTensor<float> x_, y_, z_;
    LocalTensor<float> late_;
    uint32_t share_ = 0, start_ = 0, end_ = 0;
};

template <Wrong wrong> sim::Run run(uint32_t n, uint32_t cores, bool* right = nullptr) {
    sim::Machine m{sim::Chip{}};
    auto x = test::normal(n, 1), y = test::normal(n, 2);
    auto &gx = test::filled(m, "x", x), &gy = test::filled(m, "y", y), &gz = m.allocate("z", n * sizeof(float));
    auto r = m.launch("exp_add", sim::KernelKind::VectorOnly, cores, [&] {
        ExpAdd<wrong> op;
        op.Init(gx.data(), gy.data(), gz.data(), n);
        op.Process();
    });
    if (right) {
        *right = true;
        auto* z = reinterpret_cast<float*>(gz.data());
        for (uint32_t i = 0; i < n; i++) *right &= z[i] == std::exp(x[i] + y[i]);
    }
    return r;
}

int main() {
    using sim::Kind;
    for (uint32_t n : {1u, 7u, 8u, 31u, 33u, 1024u, 1025u, 5000u}) {
        for (uint32_t cores : {1u, 3u}) {
            bool right = false;
            test::expect_findings("exp_add of " + std::to_string(n), run<Wrong::Nothing>(n, cores, &right), {});
            test::expect(right, "values of " + std::to_string(n) + " on " + std::to_string(cores));
        }
    }
    auto a = run<Wrong::Nothing>(5000, 2), b = run<Wrong::Nothing>(5000, 2);
    test::expect(a.cycles == b.cycles && a.cycles > 0, "the same run takes the same time");
    test::expect(a.busy[int(sim::Pipe::MTE2)] > a.busy[int(sim::Pipe::MTE3)], "two operands come in, one result goes out");

    test::expect_findings("tail past the end", run<Wrong::Tail>(1001, 1), {Kind::WritePast, Kind::ReadUnwritten});
    test::expect_findings("buffer not freed", run<Wrong::Free>(5000, 1), {Kind::Leak});
    test::expect_findings("buffer freed twice", run<Wrong::FreeTwice>(1000, 1), {Kind::FreeTwice});
    test::expect_findings("plain copy of a tail", run<Wrong::PlainCopy>(1001, 1), {Kind::Limit, Kind::ReadUnwritten});
    test::expect_findings("pool exhausted", run<Wrong::Overflow>(1000, 1), {Kind::PoolExhausted});
    test::expect_findings("misaligned operand", run<Wrong::Misaligned>(1000, 1), {Kind::WriteMisaligned});
    test::expect_findings("computed without a queue", run<Wrong::QueueOrder>(1000, 1), {Kind::SyncBeforeRead, Kind::QueueUse});
    test::expect_findings("two cores on one row", run<Wrong::Split>(4000, 2), {Kind::CoresOverlap});
    test::expect_findings("count past the buffer", run<Wrong::CountPast>(1024, 1), {Kind::ReadPast, Kind::WritePast, Kind::ReadUnwritten});
    test::expect_findings("another queue's buffer", run<Wrong::WrongQueue>(1000, 1), {Kind::QueueType, Kind::Leak});
    test::expect_findings("queue never made", run<Wrong::NoInit>(1000, 1), {Kind::Uninitialised, Kind::QueueType, Kind::ReadPast, Kind::WritePast, Kind::InvalidBuffer});
    test::expect_findings("padding of more than a block", run<Wrong::BadPad>(1000, 1), {Kind::Limit});
    std::printf("%d failures\n", test::failures);
    return test::failures != 0;
}
