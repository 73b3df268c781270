// The device through AscendCL. Kernels are binaries of their own, loaded from fatbin/NAME/NAME.o.
#include <acl/acl.h>

#include "device.h"

namespace device {

namespace {

void check(const char* call, aclError code) {
    if (code == ACL_SUCCESS) return;
    const char* said = aclGetRecentErrMsg();
    throw Error(std::string(call) + " (" + std::to_string(code) + ")" + (said ? std::string(": ") + said : std::string()));
}

}  // namespace

struct Device::State {
    aclrtContext context = nullptr;
    aclrtStream stream = nullptr;
    std::vector<aclrtBinHandle> binaries;
    std::vector<aclrtFuncHandle> functions;
    std::vector<void*> memory;

    ~State() {
        if (context) aclrtSetCurrentContext(context);
        if (stream) aclrtSynchronizeStream(stream);
        for (void* p : memory) aclrtFree(p);
        for (aclrtBinHandle b : binaries) aclrtBinaryUnLoad(b);
        if (stream) aclrtDestroyStream(stream);
        if (context) aclrtDestroyContext(context);
    }
};

Device::Device(int id, const std::string& folder, const KernelInfo* kernels, size_t count, bool shared_cores) : state_(new State) {
    try {
        aclError code = aclInit(nullptr);
        if (code != ACL_ERROR_REPEAT_INITIALIZE) check("aclInit", code);
        check("aclrtCreateContext", aclrtCreateContext(&state_->context, id));
        check("aclrtCreateStream", aclrtCreateStream(&state_->stream));
        for (size_t i = 0; i < count; i++) {
            aclrtBinaryLoadOption magic;
            magic.type = ACL_RT_BINARY_LOAD_OPT_MAGIC;
            bool both = shared_cores || kernels[i].unit == Unit::Mix;
            magic.value.magic = both                              ? ACL_RT_BINARY_MAGIC_ELF_AICORE
                                : kernels[i].unit == Unit::Vector ? ACL_RT_BINARY_MAGIC_ELF_VECTOR_CORE
                                                                  : ACL_RT_BINARY_MAGIC_ELF_CUBE_CORE;
            aclrtBinaryLoadOptions options = {&magic, 1};
            std::string name = kernels[i].name, path = folder + "/fatbin/" + name + "/" + name + ".o";
            aclrtBinHandle binary = nullptr;
            check(("aclrtBinaryLoadFromFile " + path).c_str(), aclrtBinaryLoadFromFile(path.c_str(), &options, &binary));
            state_->binaries.push_back(binary);
            aclrtFuncHandle function = nullptr;
            check("aclrtBinaryGetFunction", aclrtBinaryGetFunction(binary, kernels[i].name, &function));
            state_->functions.push_back(function);
        }
    } catch (...) {
        delete state_;
        throw;
    }
}

Device::~Device() { delete state_; }

void Device::enter() { check("aclrtSetCurrentContext", aclrtSetCurrentContext(state_->context)); }

void* Device::allocate(size_t bytes) {
    void* p = nullptr;
    check("aclrtMalloc", aclrtMalloc(&p, bytes ? bytes : 1, ACL_MEM_MALLOC_HUGE_FIRST));
    state_->memory.push_back(p);
    return p;
}

void Device::to_device(void* dst, const void* src, size_t bytes) {
    // A launch before may still read what is overwritten.
    wait();
    if (bytes) check("aclrtMemcpy", aclrtMemcpy(dst, bytes, src, bytes, ACL_MEMCPY_HOST_TO_DEVICE));
}

void Device::to_host(void* dst, const void* src, size_t bytes) {
    wait();
    if (bytes) check("aclrtMemcpy", aclrtMemcpy(dst, bytes, src, bytes, ACL_MEMCPY_DEVICE_TO_HOST));
}

void Device::launch(size_t kernel, uint32_t blocks, std::vector<void*> arguments) {
    aclrtArgsHandle args = nullptr;
    check("aclrtKernelArgsInit", aclrtKernelArgsInit(state_->functions[kernel], &args));
    for (void*& argument : arguments) {
        aclrtParamHandle place = nullptr;
        check("aclrtKernelArgsAppend", aclrtKernelArgsAppend(args, &argument, sizeof argument, &place));
    }
    check("aclrtKernelArgsFinalize", aclrtKernelArgsFinalize(args));
    check("aclrtLaunchKernelWithConfig",
          aclrtLaunchKernelWithConfig(state_->functions[kernel], blocks, state_->stream, nullptr, args, nullptr));
}

void Device::wait() { check("aclrtSynchronizeStream", aclrtSynchronizeStream(state_->stream)); }

}  // namespace device
