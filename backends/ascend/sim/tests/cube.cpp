// A product on the cube core with hand-set events, right and with one event gone at a time; and a mixed kernel whose vector cores
// take over through global memory.
#include "harness.h"

using namespace AscendC;

constexpr uint32_t M = 48, N = 64, K = 80;

// c = a x b, one base tile, the depth in steps of 16: which event is left out is given by its number, 0 for none.
template <int missing> void product(GM_ADDR ga, GM_ADDR gb, GM_ADDR gc, bool barrier = true, bool transpose = true) {
    TPipe pipe;
    TBuf<TPosition::A1> a1;
    TBuf<TPosition::B1> b1;
    TBuf<TPosition::A2> a2;
    TBuf<TPosition::B2> b2;
    TBuf<TPosition::CO1> co1;
    pipe.InitBuffer(a1, M * K * 2);
    pipe.InitBuffer(b1, K * N * 2);
    pipe.InitBuffer(a2, M * 16 * 2);
    pipe.InitBuffer(b2, 16 * N * 2);
    pipe.InitBuffer(co1, M * N * 4);
    GlobalTensor<half> a, b;
    GlobalTensor<float> c;
    a.SetGlobalBuffer((__gm__ half*)ga);
    b.SetGlobalBuffer((__gm__ half*)gb);
    c.SetGlobalBuffer((__gm__ float*)gc);
    auto la = a1.Get<half>(), lb = b1.Get<half>(), fa = a2.Get<half>(), fb = b2.Get<half>();
    auto acc = co1.Get<float>();
    DataCopy(la, a, Nd2NzParams{1, M, K, 0, K, M, 1, 0});
    DataCopy(lb, b, Nd2NzParams{1, K, N, 0, N, K, 1, 0});
    if (missing != 1) SetFlag<HardEvent::MTE2_MTE1>(0);
    if (missing != 1) WaitFlag<HardEvent::MTE2_MTE1>(0);
    if (missing != 2) SetFlag<HardEvent::M_MTE1>(0);
    for (uint32_t k = 0; k < K / 16; k++) {
        if (missing != 2) WaitFlag<HardEvent::M_MTE1>(0);
        LoadData2DParams left;
        left.startIndex = uint16_t(k * (M / 16));
        left.repeatTimes = M / 16;
        left.srcStride = 1;
        LoadData(fa, la, left);
        LoadData2DParams right;
        right.startIndex = uint16_t(k);
        right.repeatTimes = N / 16;
        right.srcStride = K / 16;
        right.ifTranspose = transpose;
        LoadData(fb, lb, right);
        if (missing != 3) SetFlag<HardEvent::MTE1_M>(1);
        if (missing != 3) WaitFlag<HardEvent::MTE1_M>(1);
        MmadParams p;
        p.m = M, p.n = N, p.k = 16, p.cmatrixInitVal = k == 0;
        Mmad(acc, fa, fb, p);
        if (barrier) PipeBarrier<PIPE_M>();
        if (missing != 2) SetFlag<HardEvent::M_MTE1>(0);
    }
    if (missing != 2) WaitFlag<HardEvent::M_MTE1>(0);
    if (missing != 4) SetFlag<HardEvent::M_FIX>(2);
    if (missing != 4) WaitFlag<HardEvent::M_FIX>(2);
    if (missing == 5) SetFlag<HardEvent::M_FIX>(3);
    FixpipeParamsV220 out;
    out.nSize = N, out.mSize = M, out.srcStride = M, out.dstStride = N;
    Fixpipe(c, acc, out);
}

// The product, then its exponential by the vector cores; `order` 0: right, 1: no flag, 2: a flag nobody sets, 3: one set too often.
void product_exp(GM_ADDR a, GM_ADDR b, GM_ADDR c, GM_ADDR e, int order) {
    if (ASCEND_IS_AIC) {
        product<0>(a, b, c);
        if (order == 0 || order == 3) CrossCoreSetFlag<2, PIPE_FIX>(3);
        if (order == 3) CrossCoreSetFlag<2, PIPE_FIX>(3);
    }
    if (ASCEND_IS_AIV) {
        if (order != 1) CrossCoreWaitFlag<2>(3);
        TPipe pipe;
        TQue<TPosition::VECIN, 1> in;
        TQue<TPosition::VECOUT, 1> out;
        pipe.InitBuffer(in, 1, M * N * 4 / 2);
        pipe.InitBuffer(out, 1, M * N * 4 / 2);
        GlobalTensor<float> gc, ge;
        uint32_t half_of_it = M * N / 2, at = half_of_it * uint32_t(GetSubBlockIdx());
        gc.SetGlobalBuffer((__gm__ float*)c);
        ge.SetGlobalBuffer((__gm__ float*)e);
        auto x = in.AllocTensor<float>();
        DataCopy(x, gc[at], half_of_it);
        in.EnQue(x);
        x = in.DeQue<float>();
        auto y = out.AllocTensor<float>();
        Exp(y, x, int32_t(half_of_it));
        out.EnQue(y);
        in.FreeTensor(x);
        y = out.DeQue<float>();
        DataCopy(ge[at], y, half_of_it);
        out.FreeTensor(y);
    }
}

struct Data {
    sim::Machine machine{sim::Chip{}};
    std::vector<half> a = test::halves(test::normal(M * K, 3)), b = test::halves(test::normal(K * N, 4));
    sim::GlobalBuffer &ga = test::filled(machine, "a", a), &gb = test::filled(machine, "b", b), &gc = machine.allocate("c", M * N * 4),
                      &ge = machine.allocate("e", M * N * 4);

    bool right() {
        auto* c = reinterpret_cast<float*>(gc.data());
        for (uint32_t i = 0; i < M; i++)
            for (uint32_t j = 0; j < N; j++) {
                double sum = 0;
                for (uint32_t k = 0; k < K; k++) sum += double(float(a[i * K + k])) * double(float(b[k * N + j]));
                if (std::fabs(c[i * N + j] - sum) > 1e-4 + 1e-5 * std::fabs(sum)) return false;
            }
        return true;
    }
};

template <int missing> sim::Run cube(Data& d, bool barrier = true, bool transpose = true) {
    return d.machine.launch("product", sim::KernelKind::CubeOnly, 1, [&] { product<missing>(d.ga.data(), d.gb.data(), d.gc.data(), barrier, transpose); });
}

int main() {
    using sim::Kind;
    Data d;
    test::expect_findings("product", cube<0>(d, false), {});
    test::expect(d.right(), "values of the product");
    test::expect_findings("no event from MTE2 to MTE1", cube<1>(d), {Kind::SyncBeforeRead});
    test::expect(d.right(), "a missing event does not show in the values");
    test::expect_findings("no event from M to MTE1", cube<2>(d), {Kind::SyncBeforeWrite});
    test::expect_findings("no event from MTE1 to M", cube<3>(d), {Kind::SyncBeforeRead});
    test::expect_findings("no event from M to FIX", cube<4>(d), {Kind::SyncBeforeRead});
    test::expect_findings("an event too many", cube<5>(d), {Kind::SyncUnpaired});
    test::expect_findings("right operand in the wrong layout", cube<0>(d, true, false), {});
    test::expect(!d.right(), "a wrong layout shows in the values");

    auto mixed = [&](int order) {
        return d.machine.launch("product_exp", sim::KernelKind::Mix, 1, [&] { product_exp(d.ga.data(), d.gb.data(), d.gc.data(), d.ge.data(), order); });
    };
    test::expect_findings("mixed", mixed(0), {});
    auto *c = reinterpret_cast<float*>(d.gc.data()), *e = reinterpret_cast<float*>(d.ge.data());
    bool right = d.right();
    for (uint32_t i = 0; i < M * N; i++) right &= e[i] == std::exp(c[i]);
    test::expect(right, "values of the mixed kernel");
    test::expect_findings("mixed without a flag", mixed(1), {Kind::CoresOverlap});
    test::expect_findings("mixed, nobody sets", mixed(2), {Kind::Deadlock});
    test::expect_findings("mixed, set too often", mixed(3), {Kind::SyncUnpaired});

    sim::Machine inference{sim::parse_chip("name ascend310p3\ngeneration 2002\nl1 1048576\nl0c 262144\nub 262144\nfixpipe false\npadded_copy false\ncross_core false\nbf16 false\n")};
    auto &ga = test::filled(inference, "a", d.a), &gb = test::filled(inference, "b", d.b), &gc = inference.allocate("c", M * N * 4);
    auto run = inference.launch("product", sim::KernelKind::CubeOnly, 1, [&] { product<0>(ga.data(), gb.data(), gc.data()); });
    test::expect_findings("no fixpipe on 310P", run, {Kind::Limit});
    std::printf("%d failures\n", test::failures);
    return test::failures != 0;
}
