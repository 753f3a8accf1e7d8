// Pipeline: frames from host memory to results in host memory, one graph launch each.
//
// In the steady state one launch uploads frame n, computes frame n - 1 and downloads what came of
// frame n - 2, side by side: the slowest of the three sets the rate. Two of everything are enough,
// and frames stay in order, as a recurrent network needs them.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "cuda/array.h"
#include "cuda/graph.h"
#include "cuda/kernels.h"
#include "cuda/stream.h"
#include "cuda/workspace.h"

namespace fastmatte::cuda {

struct RefineOptions {
  int radius;
  double eps;
  std::optional<double> unsure;
};

enum class ResultKind { alpha, cutout, composite };

struct PipelineOptions {
  int height, width;  // of frames, three channels in this order
  ChannelOrder order;
  int tensor_height, tensor_width;
  Dtype tensor_dtype,
      alpha_dtype;  // of what the network takes and of what it makes, both that size
  Filter filter;
  Levels levels;
  std::optional<RefineOptions> refine;  // else alpha grows bilinearly
  ResultKind result;
  bool estimates_foreground;  // else colours are the frame's own
  std::uint8_t background[3];
  bool overlaps;  // else every frame is waited for: less delay, fewer frames
  bool graphs;    // false enqueues each frame anew, to compare
};

class Pipeline {
 public:
  // Enqueues the network on a stream: from tensor() to alpha(). slot is the frame's number modulo
  // 2, for state that one frame leaves to the next. It is called a few times while a pipeline is
  // made, then captured.
  using Network = std::function<void(cudaStream_t stream, int slot)>;

  // On the current device. Throws what network throws.
  Pipeline(const PipelineOptions& options, const Array& tensor, const Array& alpha,
           Network network);
  ~Pipeline();

  // Pinned memory for the next frame's bytes, rows adjacent, once it is free.
  std::uint8_t* frame();
  // Sends what frame() holds on its way, or an image of this device, which producer has filled.
  void submit();
  void submit(ImageView<const std::uint8_t> image, cudaStream_t producer);
  // The bytes of the oldest result not yet taken, once they are there: valid until two more are
  // submitted. Throws where there is none.
  const std::uint8_t* result();

  std::int64_t waiting() const noexcept { return submitted_ - taken_; }
  // The most frames that may wait.
  std::int64_t depth() const noexcept { return options_.overlaps ? 3 : 1; }
  std::size_t frame_bytes() const noexcept { return frame_bytes_; }
  std::size_t result_bytes() const noexcept { return result_bytes_; }
  int result_channels() const noexcept;
  // Nodes of the graph that a frame launches, 0 where there is none; why says then what failed.
  std::size_t nodes() const noexcept { return steady_[0] ? steady_[0].nodes() : 0; }
  const std::string& why() const noexcept { return why_; }
  std::size_t device_bytes() const noexcept;

 private:
  void require_room() const;
  void upload(int slot, cudaStream_t stream) const;
  void compute(int slot, cudaStream_t stream);
  void download(int slot, cudaStream_t stream) const;
  void enqueue_steady(int slot);
  void capture();
  void advance(bool upload_frame);

  PipelineOptions options_;
  Network network_;
  std::size_t frame_bytes_, result_bytes_;
  const Array& tensor_;
  const Array& network_alpha_;
  DeviceBuffer<std::uint8_t> frames_[2], results_[2];
  PinnedBuffer<std::uint8_t> staged_[2], finished_[2];
  DeviceBuffer<float> small_alpha_;
  DeviceBuffer<std::uint8_t> alpha_, foreground_;
  Workspace workspace_;
  Stream main_, uploads_, downloads_;
  Event forked_, uploads_done_, downloads_done_;
  Event uploaded_[2], downloaded_[2];
  Graph steady_[2], computing_[2];
  std::string why_;
  std::int64_t submitted_ = 0, computed_ = 0, finished_count_ = 0, taken_ = 0;
};

}  // namespace fastmatte::cuda
