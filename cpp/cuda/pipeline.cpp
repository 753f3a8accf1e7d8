// What a frame's number is, at each stage, says which of the two buffers holds it.
#include "cuda/pipeline.h"

#include <utility>

#include "core/error.h"

namespace fastmatte::cuda {
namespace {

std::size_t area(int height, int width) noexcept {
  return static_cast<std::size_t>(height) * static_cast<std::size_t>(width);
}

void copy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  check(cudaMemcpyAsync(to, from, bytes, kind, stream), "cudaMemcpyAsync");
}

int slot_of(std::int64_t frame) noexcept { return static_cast<int>(frame % 2); }

}  // namespace

int Pipeline::result_channels() const noexcept {
  return options_.result == ResultKind::alpha ? 1 : options_.result == ResultKind::cutout ? 4 : 3;
}

Pipeline::Pipeline(const PipelineOptions& options, const Array& tensor, const Array& alpha,
                   Network network)
    : options_(options),
      network_(std::move(network)),
      frame_bytes_(3 * area(options.height, options.width)),
      result_bytes_(area(options.height, options.width) *
                    static_cast<std::size_t>(result_channels())),
      tensor_(tensor),
      network_alpha_(alpha),
      small_alpha_(area(options.tensor_height, options.tensor_width)) {
  for (int slot = 0; slot < 2; ++slot) {
    frames_[slot] = DeviceBuffer<std::uint8_t>(frame_bytes_);
    results_[slot] = DeviceBuffer<std::uint8_t>(result_bytes_);
    staged_[slot] = PinnedBuffer<std::uint8_t>(frame_bytes_);
    finished_[slot] = PinnedBuffer<std::uint8_t>(result_bytes_);
  }
  if (options_.result != ResultKind::alpha) {
    alpha_ = DeviceBuffer<std::uint8_t>(area(options_.height, options_.width));
    if (options_.estimates_foreground) foreground_ = DeviceBuffer<std::uint8_t>(frame_bytes_);
  }
  // Once as it will be, so that all memory is there and every engine has chosen its kernels.
  for (int slot = 0; slot < 2; ++slot) {
    check(cudaMemsetAsync(frames_[slot].data(), 0, frame_bytes_, main_.get()), "cudaMemsetAsync");
    compute(slot, main_.get());
  }
  main_.synchronize();
  workspace_.retain();
  if (options_.graphs) capture();
}

Pipeline::~Pipeline() {
  // Buffers may go only once nothing reads or writes them.
  cudaStreamSynchronize(main_.get());
}

void Pipeline::upload(int slot, cudaStream_t stream) const {
  copy(frames_[slot].data(), staged_[slot].data(), frame_bytes_, cudaMemcpyHostToDevice, stream);
}

void Pipeline::download(int slot, cudaStream_t stream) const {
  copy(finished_[slot].data(), results_[slot].data(), result_bytes_, cudaMemcpyDeviceToHost,
       stream);
}

void Pipeline::compute(int slot, cudaStream_t stream) {
  const PipelineOptions& o = options_;
  const ImageView<const std::uint8_t> frame{frames_[slot].data(), o.height, o.width, 3,
                                            3 * o.width};
  const Placement place{{0, 0, o.tensor_width, o.tensor_height}};
  const auto fill = [&](auto zero) {
    using T = decltype(zero);
    const TensorView<T> out{reinterpret_cast<T*>(tensor_.memory.data()), 3, o.tensor_height,
                            o.tensor_width};
    to_tensor(frame, out, place, o.filter, o.order, o.levels, workspace_, stream);
  };
  o.tensor_dtype == Dtype::float16 ? fill(Half{}) : fill(float{});

  network_(stream, slot);

  const ImageView<float> small{small_alpha_.data(), o.tensor_height, o.tensor_width, 1,
                               o.tensor_width};
  const void* const made = network_alpha_.memory.data();
  if (o.alpha_dtype == Dtype::float16) {
    clamp_alpha(static_cast<const Half*>(made), small, stream);
  } else {
    clamp_alpha(static_cast<const float*>(made), small, stream);
  }

  std::uint8_t* const result = results_[slot].data();
  const bool alone = o.result == ResultKind::alpha;
  const ImageView<std::uint8_t> alpha{alone ? result : alpha_.data(), o.height, o.width, 1,
                                      o.width};
  const bool shrinks = o.tensor_height > o.height || o.tensor_width > o.width;
  if (o.refine && !shrinks) {
    guided_upsample(frame, ImageView<const float>(small), o.refine->radius, o.refine->eps,
                    o.refine->unsure, alpha, workspace_, stream);
  } else {
    resize(ImageView<const float>(small), alpha, shrinks ? Filter::area : Filter::bilinear,
           workspace_, stream);
  }
  if (alone) return;
  ImageView<const std::uint8_t> colours = frame;
  if (o.estimates_foreground) {
    const ImageView<std::uint8_t> estimated{foreground_.data(), o.height, o.width, 3, 3 * o.width};
    estimate_foreground(frame, ImageView<const std::uint8_t>(alpha), estimated, workspace_, stream);
    colours = estimated;
  }
  const int channels = result_channels();
  const ImageView<std::uint8_t> out{result, o.height, o.width, channels, channels * o.width};
  if (o.result == ResultKind::cutout) {
    return cutout(colours, ImageView<const std::uint8_t>(alpha), out, stream);
  }
  const Background background{{}, {o.background[0], o.background[1], o.background[2]}};
  composite(colours, background, ImageView<const std::uint8_t>(alpha), out, stream);
}

// A frame into slot, the one before it computed, the one before that fetched.
void Pipeline::enqueue_steady(int slot) {
  forked_.record(main_.get());
  forked_.hold(uploads_.get());
  forked_.hold(downloads_.get());
  upload(slot, uploads_.get());
  download(slot, downloads_.get());
  compute(1 - slot, main_.get());
  uploads_done_.record(uploads_.get());
  downloads_done_.record(downloads_.get());
  uploads_done_.hold(main_.get());
  downloads_done_.hold(main_.get());
}

void Pipeline::capture() {
  try {
    for (int slot = 0; slot < 2; ++slot) {
      if (options_.overlaps) {
        computing_[slot] = Graph::capture(main_.get(), [&] { compute(slot, main_.get()); });
        steady_[slot] = Graph::capture(main_.get(), [&] { enqueue_steady(slot); });
      } else {
        steady_[slot] = Graph::capture(main_.get(), [&] {
          upload(slot, main_.get());
          compute(slot, main_.get());
          download(slot, main_.get());
        });
      }
    }
  } catch (const std::exception& error) {
    for (Graph* graph : {&steady_[0], &steady_[1], &computing_[0], &computing_[1]})
      *graph = Graph();
    why_ = error.what();
  }
}

void Pipeline::require_room() const {
  if (waiting() < depth()) return;
  throw ArgumentError(
      "frame",
      "a result to be taken first: at most " + std::to_string(depth()) + " frames are on their way",
      "one more");
}

std::uint8_t* Pipeline::frame() {
  require_room();
  const int slot = slot_of(submitted_);
  if (submitted_ >= 2) uploaded_[slot].synchronize();
  return staged_[slot].data();
}

void Pipeline::submit() {
  require_room();
  advance(true);
}

void Pipeline::submit(ImageView<const std::uint8_t> image, cudaStream_t producer) {
  require_room();
  const Event ready;
  ready.record(producer);
  ready.hold(main_.get());
  const auto row_bytes = static_cast<std::size_t>(3 * options_.width);
  check(cudaMemcpy2DAsync(frames_[slot_of(submitted_)].data(), row_bytes, image.data,
                          static_cast<std::size_t>(image.row_stride), row_bytes,
                          static_cast<std::size_t>(options_.height), cudaMemcpyDeviceToDevice,
                          main_.get()),
        "cudaMemcpy2DAsync");
  // The producer may write the frame again once it has been read.
  ready.record(main_.get());
  ready.hold(producer);
  advance(false);
}

// Each stage takes one frame further; upload_frame is false where the new one is there already.
void Pipeline::advance(bool upload_frame) {
  const int slot = slot_of(submitted_);
  const cudaStream_t stream = main_.get();
  if (!options_.overlaps) {
    if (upload_frame && steady_[slot]) {
      steady_[slot].launch(stream);
    } else {
      if (upload_frame) upload(slot, stream);
      compute(slot, stream);
      download(slot, stream);
    }
    ++computed_, ++finished_count_;
    uploaded_[slot].record(stream);
    downloaded_[slot].record(stream);
    ++submitted_;
    return;
  }
  const bool steady = computed_ == submitted_ - 1 && finished_count_ == submitted_ - 2;
  const bool computes = computed_ < submitted_, fetches = finished_count_ < computed_;
  if (upload_frame && steady && steady_[slot]) {
    steady_[slot].launch(stream);
  } else if (upload_frame && steady) {
    enqueue_steady(slot);
  } else {
    if (fetches) download(slot_of(finished_count_), stream);
    if (computes && computing_[slot_of(computed_)]) {
      computing_[slot_of(computed_)].launch(stream);
    } else if (computes) {
      compute(slot_of(computed_), stream);
    }
    if (upload_frame) upload(slot, stream);
  }
  if (fetches) downloaded_[slot_of(finished_count_++)].record(stream);
  if (computes) ++computed_;
  uploaded_[slot].record(stream);
  ++submitted_;
}

const std::uint8_t* Pipeline::result() {
  if (waiting() == 0) throw ArgumentError("result", "a frame submitted before", "none");
  const int slot = slot_of(taken_);
  // Frames that nothing follows are finished one by one.
  while (finished_count_ <= taken_) {
    if (computed_ <= finished_count_) {
      const int next = slot_of(computed_);
      computing_[next] ? computing_[next].launch(main_.get()) : compute(next, main_.get());
      ++computed_;
    }
    download(slot_of(finished_count_), main_.get());
    downloaded_[slot_of(finished_count_++)].record(main_.get());
  }
  downloaded_[slot].synchronize();
  ++taken_;
  return finished_[slot].data();
}

std::size_t Pipeline::device_bytes() const noexcept {
  std::size_t bytes = workspace_.bytes() + small_alpha_.bytes() + alpha_.bytes() +
                      foreground_.bytes() + tensor_.memory.bytes() + network_alpha_.memory.bytes();
  for (int slot = 0; slot < 2; ++slot) bytes += frames_[slot].bytes() + results_[slot].bytes();
  return bytes;
}

}  // namespace fastmatte::cuda
