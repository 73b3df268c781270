// z = exp(x + y) of COUNT floats: the kernel of the runtime's tests, as the emitter would write it.
#include "kernel_operator.h"

using namespace AscendC;

constexpr uint32_t COUNT = 5000;
constexpr uint32_t TILE = 1024;

extern "C" __global__ __aicore__ void exp_add(GM_ADDR x_gm, GM_ADDR y_gm, GM_ADDR z_gm, GM_ADDR) {
    KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
    TPipe pipe;
    TQue<TPosition::VECIN, 2> in_x, in_y;
    TQue<TPosition::VECOUT, 2> out;
    pipe.InitBuffer(in_x, 2, TILE * sizeof(float));
    pipe.InitBuffer(in_y, 2, TILE * sizeof(float));
    pipe.InitBuffer(out, 2, TILE * sizeof(float));
    GlobalTensor<float> x, y, z;
    x.SetGlobalBuffer((__gm__ float*)x_gm, COUNT);
    y.SetGlobalBuffer((__gm__ float*)y_gm, COUNT);
    z.SetGlobalBuffer((__gm__ float*)z_gm, COUNT);
    for (uint32_t tile = uint32_t(GetBlockIdx()); tile * TILE < COUNT; tile += uint32_t(GetBlockNum())) {
        uint32_t at = tile * TILE, count = COUNT - at < TILE ? COUNT - at : TILE;
        DataCopyExtParams whole{1, uint32_t(count * sizeof(float)), 0, 0, 0};
        LocalTensor<float> a = in_x.AllocTensor<float>(), b = in_y.AllocTensor<float>();
        DataCopyPad(a, x[at], whole, DataCopyPadExtParams<float>{false, 0, 0, 0});
        DataCopyPad(b, y[at], whole, DataCopyPadExtParams<float>{false, 0, 0, 0});
        in_x.EnQue(a);
        in_y.EnQue(b);
        a = in_x.DeQue<float>();
        b = in_y.DeQue<float>();
        LocalTensor<float> c = out.AllocTensor<float>();
        Add(c, a, b, int32_t(count));
        Exp(c, c, int32_t(count));
        in_x.FreeTensor(a);
        in_y.FreeTensor(b);
        out.EnQue(c);
        c = out.DeQue<float>();
        DataCopyPad(z[at], c, whole);
        out.FreeTensor(c);
    }
}
