// Pipeline: frames from host memory to results in host memory, one graph launch each.
//
// In the steady state one launch uploads frame n, computes frame n - 1 and downloads what came of
// frame n - 2, side by side: the slowest of the three sets the rate. Meanwhile the host takes
// result n - 3 and brings frame n + 1, so that the next launch stands ready behind this one. Two of
// everything are enough, and frames stay in order, as a recurrent network needs them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "cuda/array.h"
#include "cuda/graph.h"
#include "cuda/kernels.h"
#include "cuda/stream.h"
#include "cuda/workspace.h"

namespace fastmatte::cuda {

// A network's alpha is none: was it read as what it is?
class OutputError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct RefineOptions {
  int radius;
  double eps;
  std::optional<double> unsure;
};

enum class ResultKind { alpha, cutout, composite };
enum class Colours { image, estimated, network };
enum class Guidance { none, trimap, background };

struct PipelineOptions {
  int height, width;  // of frames, three channels in this order
  ChannelOrder order;
  // Or frames are nv12, and their colours, like those of results, RGB.
  bool nv12;
  YuvMatrix matrix;
  YuvRange range;
  int tensor_height, tensor_width;
  int content_height, content_width;  // what the frame fills of it, from its first pixel on
  Border border;
  Guidance guidance;
  double trimap_scale;
  Layout layout;
  int alpha_height, alpha_width;
  AlphaPlace alpha;
  Filter filter;
  Levels levels;
  std::optional<RefineOptions> refine;  // else alpha grows bilinearly
  ResultKind result;
  Dtype result_dtype;  // of alpha alone: uint8 or float32
  Colours colours;     // the frame's, estimated, or the network's own, of the frame's size
  std::uint8_t background[3];
  bool overlaps;   // else every frame is waited for: less delay, fewer frames
  bool graphs;     // false enqueues each frame anew
  bool downloads;  // false leaves results on the device
};

// What the network reads and writes.
struct NetworkMemory {
  std::shared_ptr<Array> tensor, alpha;
  // The input for a background, or a trimap; else the tensor's fourth channel is the trimap.
  std::shared_ptr<Array> guide;
  std::shared_ptr<Array> colours;              // (1, 3, H, W), where it makes any
  std::vector<std::shared_ptr<Array>> states;  // zero before a first frame
};

class Pipeline {
 public:
  // Enqueues the network on a stream. slot is the frame's number modulo 2, for state that one frame
  // leaves to the next. It is called a few times while a pipeline is made, then captured.
  using Network = std::function<void(cudaStream_t stream, int slot)>;

  // On the current device. background may be empty, for the colour. Throws what network throws.
  Pipeline(const PipelineOptions& options, NetworkMemory memory,
           ImageView<const std::uint8_t> background, Network network);
  ~Pipeline();

  // Pinned memory for the next frame's bytes, rows adjacent, once it is free.
  std::uint8_t* frame();
  // Sends what frame() holds on its way, or an image of this device, which producer has filled.
  void submit();
  void submit(ImageView<const std::uint8_t> image, cudaStream_t producer);
  void submit(const YuvImage& image, cudaStream_t producer);
  // The bytes of the oldest result not yet taken, once they are there: valid until one more is
  // submitted or two more are taken. Throws where there is none.
  const std::uint8_t* result();
  // The same copied to an image of this device, in the order of consumer's work. Nobody waits, so
  // that a value that is no alpha is not seen.
  void result(ImageView<std::uint8_t> out, cudaStream_t consumer);
  // Tells the network the trimap or the background of the next frames, of their size and, in the
  // order of their channels, on the host.
  void tell(ImageView<const std::uint8_t> guidance);
  // What frame() holds with the alpha of the network's last run, which is not run; while nothing
  // waits. It is no frame of the sequence.
  const std::uint8_t* again();
  // The next frame submitted is a first one: states are zero.
  void reset();

  std::int64_t waiting() const noexcept { return submitted_ - taken_; }
  // The most frames that may wait. Results that stay on the device are overwritten by the second
  // frame computed after them, those on the host by the second one fetched.
  std::int64_t depth() const noexcept {
    return !options_.overlaps ? 1 : options_.downloads ? 4 : 3;
  }
  // What the network is called with for the next frame, while nothing waits.
  int next_slot() const noexcept { return static_cast<int>(submitted_ % 2); }
  std::size_t frame_bytes() const noexcept { return frame_bytes_; }
  std::size_t result_bytes() const noexcept { return result_bytes_; }
  int result_channels() const noexcept;
  // Nodes of the graph that a frame launches, 0 where there is none; why says then what failed.
  std::size_t nodes() const noexcept { return steady_[0] ? steady_[0].nodes() : 0; }
  const std::string& why() const noexcept { return why_; }
  std::size_t device_bytes() const noexcept;
  void synchronize() const { main_.synchronize(); }

 private:
  bool reads_colours() const noexcept;
  bool follows_frame() const noexcept;
  ImageView<const std::uint8_t> colours(int slot) const noexcept;
  YuvImage planes(int slot) const noexcept;
  template <typename Call>
  void with_input(const std::shared_ptr<Array>& array, const Call& call) const;
  void lay_guidance(cudaStream_t stream);
  template <typename Send>
  void submit_from(cudaStream_t producer, const Send& send);
  void require_room() const;
  void require_alpha(int slot) const;
  void upload(int slot, cudaStream_t stream) const;
  void feed(int slot, cudaStream_t stream);
  template <typename Out>
  void grow(int slot, ImageView<Out> alpha, cudaStream_t stream);
  void finish(int slot, cudaStream_t stream);
  void compute(int slot, cudaStream_t stream);
  void compute_next();
  void download(int slot, cudaStream_t stream) const;
  void enqueue_steady(int slot);
  void clear_states();
  void capture();
  void advance(bool upload_frame);
  void bring(std::int64_t frame);

  PipelineOptions options_;
  NetworkMemory memory_;
  Network network_;
  std::size_t frame_bytes_, image_bytes_, result_bytes_;
  // A result is followed by one value of the network's that is no alpha, 0 where there is none.
  std::size_t strange_at_;
  DeviceBuffer<std::uint8_t> frames_[2], results_[2];
  PinnedBuffer<std::uint8_t> staged_[2], finished_[2];
  DeviceBuffer<float> small_alpha_;
  DeviceBuffer<std::uint8_t> rgb_;  // of the frame that is computed, where frames are not
  DeviceBuffer<std::uint8_t> alpha_, foreground_, background_;
  DeviceBuffer<std::uint8_t> guidance_, small_trimap_;
  PinnedBuffer<std::uint8_t> told_;
  Event told_there_;
  Workspace workspace_;
  Stream main_, uploads_, downloads_;
  Event forked_, uploads_done_, downloads_done_;
  Event uploaded_[2], downloaded_[2], read_;
  Graph steady_[2], computing_[2];
  std::string why_;
  std::int64_t submitted_ = 0, computed_ = 0, finished_count_ = 0, taken_ = 0;
};

}  // namespace fastmatte::cuda
