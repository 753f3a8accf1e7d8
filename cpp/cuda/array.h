// Array: C-contiguous elements on a device, for what a caller brings no memory for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "cuda/device_buffer.h"
#include "cuda/stream.h"

namespace fastmatte::cuda {

enum class Dtype { uint8, float16, float32 };

constexpr std::size_t size_of(Dtype dtype) noexcept {
  return dtype == Dtype::uint8 ? 1 : dtype == Dtype::float16 ? 2 : 4;
}

inline std::size_t element_count(const std::vector<std::int64_t>& shape) noexcept {
  std::size_t count = 1;
  for (const std::int64_t side : shape) count *= static_cast<std::size_t>(side);
  return count;
}

class Array {
 public:
  // On the current device.
  Array(std::vector<std::int64_t> shape_, Dtype dtype_)
      : shape(std::move(shape_)),
        dtype(dtype_),
        device(current_device()),
        memory(element_count(shape) * size_of(dtype)) {}

  const std::vector<std::int64_t> shape;
  const Dtype dtype;
  const int device;
  const DeviceBuffer<unsigned char> memory;

  // The stream whose work fills it; what reads it elsewhere waits for that.
  cudaStream_t writer = nullptr;
  // Keeps that stream for as long, where it is ours.
  std::shared_ptr<const void> owner;
};

}  // namespace fastmatte::cuda
