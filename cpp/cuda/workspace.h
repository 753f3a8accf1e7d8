// Workspace: what the calls of one stream keep on the device between them, so that a steady state
// allocates nothing.
#pragma once

#include <cstddef>
#include <vector>

#include "cuda/device_buffer.h"
#include "kernels/resample.h"

namespace fastmatte::cuda {

// The calls of one stream follow one another, so that each may take the scratch of the one before.
class Workspace {
 public:
  // Before the first take() of a call.
  void begin() noexcept { next_ = 0; }

  // count elements, uninitialised, until the next begin(). stream is that of the call.
  template <typename T>
  T* take(std::size_t count, cudaStream_t stream) {
    return reinterpret_cast<T*>(take_bytes(count * sizeof(T), stream));
  }

  // make_axis of these, on the device. Valid while other axes are not asked for kAxes times.
  template <typename Weight>
  RowTaps<Weight> axis(Filter filter, int input, int output, cudaStream_t stream);

  // What has been handed out stays where it is, for a graph refers to it.
  void retain() noexcept { retained_ = true; }

  std::size_t bytes() const noexcept;

 private:
  // Enough for the largest number of axes that one call uses, several times.
  static constexpr std::size_t kAxes = 32;

  struct AxisTable {
    Filter filter;
    int input, output, taps;
    std::size_t weight_bytes;
    DeviceBuffer<int> start, count;
    DeviceBuffer<unsigned char> weights;
  };

  void* take_bytes(std::size_t bytes, cudaStream_t stream);
  template <typename Weight>
  AxisTable make_table(Filter filter, int input, int output, cudaStream_t stream);

  std::vector<DeviceBuffer<unsigned char>> blocks_;
  std::vector<DeviceBuffer<unsigned char>> outgrown_;
  std::vector<AxisTable> tables_;  // the one last used stands last
  std::size_t next_ = 0;
  bool retained_ = false;
};

}  // namespace fastmatte::cuda
