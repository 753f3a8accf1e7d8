// Blocks are handed out in the order they are asked for, and only ever grow.
#include "cuda/workspace.h"

#include <algorithm>
#include <cstdint>
#include <utility>

namespace fastmatte::cuda {
namespace {

// Memory that comes into being while a graph is captured would be gone when it is launched.
void require_not_capturing(cudaStream_t stream) {
  if (!is_capturing(stream)) return;
  throw DeviceError(
      "this call needs memory that it cannot have while it is captured: make it once before");
}

template <typename T>
void upload(const Buffer<T>& from, void* to, std::size_t count, cudaStream_t stream) {
  check(cudaMemcpyAsync(to, from.data(), count * sizeof(T), cudaMemcpyHostToDevice, stream),
        "cudaMemcpyAsync");
}

}  // namespace

void* Workspace::take_bytes(std::size_t bytes, cudaStream_t stream) {
  if (next_ == blocks_.size()) {
    require_not_capturing(stream);
    blocks_.emplace_back(bytes);
  } else if (blocks_[next_].bytes() < bytes) {
    require_not_capturing(stream);
    DeviceBuffer<unsigned char> larger(bytes);
    std::swap(blocks_[next_], larger);
    if (retained_) outgrown_.push_back(std::move(larger));
  }
  return blocks_[next_++].data();
}

template <typename Weight>
Workspace::AxisTable Workspace::make_table(Filter filter, int input, int output,
                                           cudaStream_t stream) {
  require_not_capturing(stream);
  const Axis<Weight> axis = make_axis<Weight>(filter, input, output);
  const auto size = static_cast<std::size_t>(output);
  const std::size_t weights = size * static_cast<std::size_t>(axis.taps);
  AxisTable table{filter,
                  input,
                  output,
                  axis.taps,
                  sizeof(Weight),
                  DeviceBuffer<int>(size),
                  DeviceBuffer<int>(size),
                  DeviceBuffer<unsigned char>(weights * sizeof(Weight))};
  upload(axis.start, table.start.data(), size, stream);
  upload(axis.count, table.count.data(), size, stream);
  upload(axis.weights, table.weights.data(), weights, stream);
  // The host's copy goes away here.
  check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
  return table;
}

template <typename Weight>
RowTaps<Weight> Workspace::axis(Filter filter, int input, int output, cudaStream_t stream) {
  const auto found = std::find_if(tables_.begin(), tables_.end(), [&](const AxisTable& table) {
    return table.filter == filter && table.input == input && table.output == output &&
           table.weight_bytes == sizeof(Weight);
  });
  if (found != tables_.end()) {
    std::rotate(found, found + 1, tables_.end());
  } else {
    AxisTable table = make_table<Weight>(filter, input, output, stream);
    if (tables_.size() >= kAxes && !retained_) tables_.erase(tables_.begin());
    tables_.push_back(std::move(table));
  }
  const AxisTable& table = tables_.back();
  return {
      table.start.data(), table.count.data(), reinterpret_cast<const Weight*>(table.weights.data()),
      table.taps,         table.input,        table.output};
}

std::size_t Workspace::bytes() const noexcept {
  std::size_t sum = 0;
  for (const auto& block : blocks_) sum += block.bytes();
  for (const auto& block : outgrown_) sum += block.bytes();
  for (const AxisTable& table : tables_) {
    sum += table.start.bytes() + table.count.bytes() + table.weights.bytes();
  }
  return sum;
}

template RowTaps<float> Workspace::axis<float>(Filter, int, int, cudaStream_t);
template RowTaps<std::int16_t> Workspace::axis<std::int16_t>(Filter, int, int, cudaStream_t);

}  // namespace fastmatte::cuda
