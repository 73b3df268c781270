// The device as the model sees it. device_acl.cpp reaches it through AscendCL (an NPU, or CANN's simulator of one), device_cpu.cpp
// runs the kernels on the CPU in CANN's cpu mode.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace device {

// Mix: cube cores, each with its vector cores.
enum class Unit { Vector, Cube, Mix };

struct KernelInfo {
    const char* name;
    Unit unit;
};

// Every failure, with the call and what the driver says.
struct Error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

class Device {
public:
    // `shared_cores`: one kind of core does everything (310P).
    Device(int id, const std::string& folder, const KernelInfo* kernels, size_t count, bool shared_cores);
    ~Device();
    Device(const Device&) = delete;
    Device& operator=(const Device&) = delete;

    // Makes the device this thread's.
    void enter();
    // Memory that is freed with the device.
    void* allocate(size_t bytes);
    void to_device(void* dst, const void* src, size_t bytes);
    // Waits for everything before.
    void to_host(void* dst, const void* src, size_t bytes);
    void launch(size_t kernel, uint32_t blocks, std::vector<void*> arguments);
    void wait();

private:
    struct State;
    State* state_;
};

}  // namespace device
