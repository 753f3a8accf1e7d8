// The CUDA runtime, what stands for it where kernels are compiled for the processor, and how either
// tells of failure.
#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>

#if defined(FASTMATTE_CUDA_EMULATED)
#include "cuda/emulated_runtime.h"
#else
#include <cuda_runtime.h>
#endif

namespace fastmatte::cuda {

// What CUDA refused, or that there is nothing to run it on.
class DeviceError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

class DeviceMemoryError : public DeviceError {
 public:
  DeviceMemoryError(const std::string& kind, std::size_t wanted, std::size_t free);
};

// Throws DeviceError with the call's name and the runtime's own text.
void check(cudaError_t status, const char* call);

// Throws DeviceError naming what is missing: the driver, a newer one, or a device.
void require_driver();

// Why require_driver() would throw, empty where it would not.
std::string missing_driver();

int device_count();
int current_device();

struct DeviceInfo {
  std::string name;
  int capability_major;
  int capability_minor;
  std::size_t total_memory;
  int multiprocessors;
};
DeviceInfo device_info(int device);

// Makes a device the current one for a while.
class DeviceScope {
 public:
  explicit DeviceScope(int device);
  ~DeviceScope();
  DeviceScope(const DeviceScope&) = delete;
  DeviceScope& operator=(const DeviceScope&) = delete;

 private:
  int device_;
  int previous_;
};

// The device whose memory this is, -1 where a device could not read it.
int device_of(const void* pointer);

// The device a stream runs on; 0 is the default stream of the current device.
int device_of_stream(cudaStream_t stream);

bool is_capturing(cudaStream_t stream);

}  // namespace fastmatte::cuda
