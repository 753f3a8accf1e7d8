// The two allocations there are, and their ends.
#include "cuda/device_buffer.h"

namespace fastmatte::cuda {
namespace {

// Python collects its garbage where it likes, in the middle of a capture too. To free there what
// the graph has nothing to do with would be refused, and end the capture.
class Unrelated {
 public:
  Unrelated() noexcept { cudaThreadExchangeStreamCaptureMode(&mode_); }
  ~Unrelated() { cudaThreadExchangeStreamCaptureMode(&mode_); }
  Unrelated(const Unrelated&) = delete;
  Unrelated& operator=(const Unrelated&) = delete;

 private:
  cudaStreamCaptureMode mode_ = cudaStreamCaptureModeRelaxed;
};

}  // namespace

void* allocate_device(std::size_t bytes) {
  void* data = nullptr;
  const cudaError_t status = cudaMalloc(&data, bytes);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    std::size_t free = 0, total = 0;
    check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
    throw DeviceMemoryError("device", bytes, free);
  }
  check(status, "cudaMalloc");
  return data;
}

void* allocate_pinned(std::size_t bytes) {
  void* data = nullptr;
  check(cudaMallocHost(&data, bytes), "cudaMallocHost");
  return data;
}

void free_device(void* data) noexcept {
  const Unrelated scope;
  cudaFree(data);
}

void free_pinned(void* data) noexcept {
  const Unrelated scope;
  cudaFreeHost(data);
}

}  // namespace fastmatte::cuda
