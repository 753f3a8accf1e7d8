// What a frame's number is, at each stage, says which of the two buffers holds it.
#include "cuda/pipeline.h"

#include <cstring>
#include <type_traits>
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

// Between rows of any stride and adjacent ones.
void copy_rows(ImageView<const std::uint8_t> from, std::uint8_t* to, cudaMemcpyKind kind,
               cudaStream_t stream) {
  const auto row_bytes = static_cast<std::size_t>(from.row_elements());
  check(cudaMemcpy2DAsync(to, row_bytes, from.data, static_cast<std::size_t>(from.row_stride),
                          row_bytes, static_cast<std::size_t>(from.height), kind, stream),
        "cudaMemcpy2DAsync");
}

int slot_of(std::int64_t frame) noexcept { return static_cast<int>(frame % 2); }

}  // namespace

int Pipeline::result_channels() const noexcept {
  return options_.result == ResultKind::alpha ? 1 : options_.result == ResultKind::cutout ? 4 : 3;
}

Pipeline::Pipeline(const PipelineOptions& options, NetworkMemory memory,
                   ImageView<const std::uint8_t> background, Network network)
    : options_(options),
      memory_(std::move(memory)),
      network_(std::move(network)),
      frame_bytes_((options.nv12 ? 3 : 6) * area(options.height, options.width) / 2),
      image_bytes_(3 * area(options.height, options.width)),
      result_bytes_(area(options.height, options.width) *
                    static_cast<std::size_t>(result_channels()) * size_of(options.result_dtype)),
      strange_at_((result_bytes_ + 15) / 16 * 16),
      small_alpha_(area(options.alpha_height, options.alpha_width)) {
  for (int slot = 0; slot < 2; ++slot) {
    frames_[slot] = DeviceBuffer<std::uint8_t>(frame_bytes_);
    results_[slot] = DeviceBuffer<std::uint8_t>(strange_at_ + sizeof(float));
    staged_[slot] = PinnedBuffer<std::uint8_t>(frame_bytes_);
    if (options_.downloads) finished_[slot] = PinnedBuffer<std::uint8_t>(results_[slot].bytes());
  }
  if (options_.result != ResultKind::alpha) {
    alpha_ = DeviceBuffer<std::uint8_t>(area(options_.height, options_.width));
    if (options_.colours != Colours::image) foreground_ = DeviceBuffer<std::uint8_t>(image_bytes_);
  }
  if (options_.nv12 && reads_colours()) rgb_ = DeviceBuffer<std::uint8_t>(image_bytes_);
  if (background.data) {
    background_ = DeviceBuffer<std::uint8_t>(image_bytes_);
    copy_rows(background, background_.data(), cudaMemcpyHostToDevice, main_.get());
  }
  if (options_.guidance != Guidance::none) {
    const std::size_t pixels = area(options_.height, options_.width);
    const bool trimap = options_.guidance == Guidance::trimap;
    guidance_ = DeviceBuffer<std::uint8_t>(trimap ? pixels : 3 * pixels);
    told_ = PinnedBuffer<std::uint8_t>(guidance_.bytes());
    if (trimap &&
        (options_.content_height != options_.height || options_.content_width != options_.width)) {
      small_trimap_ =
          DeviceBuffer<std::uint8_t>(area(options_.content_height, options_.content_width));
    }
    check(cudaMemsetAsync(guidance_.data(), 128, guidance_.bytes(), main_.get()),
          "cudaMemsetAsync");
    lay_guidance(main_.get());
  }
  // Once as it will be, so that all memory is there and every engine has chosen its kernels.
  for (int slot = 0; slot < 2; ++slot) {
    check(cudaMemsetAsync(frames_[slot].data(), 0, frame_bytes_, main_.get()), "cudaMemsetAsync");
    compute(slot, main_.get());
  }
  main_.synchronize();
  workspace_.retain();
  if (options_.graphs) capture();
  clear_states();
}

Pipeline::~Pipeline() {
  // Buffers may go only once nothing reads or writes them.
  cudaStreamSynchronize(main_.get());
}

void Pipeline::upload(int slot, cudaStream_t stream) const {
  copy(frames_[slot].data(), staged_[slot].data(), frame_bytes_, cudaMemcpyHostToDevice, stream);
}

void Pipeline::download(int slot, cudaStream_t stream) const {
  if (!options_.downloads) return;
  copy(finished_[slot].data(), results_[slot].data(), results_[slot].bytes(),
       cudaMemcpyDeviceToHost, stream);
}

// Whether alpha grows along the frame's edges.
bool Pipeline::follows_frame() const noexcept {
  const PipelineOptions& o = options_;
  const bool fits = o.alpha_height == o.height && o.alpha_width == o.width;
  return o.refine && !fits && o.alpha_height <= o.height && o.alpha_width <= o.width;
}

// Whether more than the network sees the frame.
bool Pipeline::reads_colours() const noexcept {
  const bool shown = options_.result != ResultKind::alpha && options_.colours != Colours::network;
  return shown || follows_frame();
}

ImageView<const std::uint8_t> Pipeline::colours(int slot) const noexcept {
  return {options_.nv12 ? rgb_.data() : frames_[slot].data(), options_.height, options_.width, 3,
          3 * options_.width};
}

YuvImage Pipeline::planes(int slot) const noexcept {
  const int height = options_.height, width = options_.width;
  const std::uint8_t* const luma = frames_[slot].data();
  YuvImage image;
  image.y = {luma, height, width, 1, width};
  image.u = {luma + area(height, width), height / 2, width / 2, 2, width};
  image.matrix = options_.matrix;
  image.range = options_.range;
  return image;
}

void Pipeline::feed(int slot, cudaStream_t stream) {
  const PipelineOptions& o = options_;
  const Placement place{{0, 0, o.content_width, o.content_height}};
  with_input(memory_.tensor, [&](auto out) {
    if (o.nv12) {
      to_tensor(planes(slot), out, place, o.filter, o.levels, workspace_, stream);
    } else {
      to_tensor(colours(slot), out, place, o.filter, o.order, o.levels, workspace_, stream);
    }
    if (o.content_height < o.tensor_height || o.content_width < o.tensor_width) {
      extend(out, o.content_height, o.content_width, o.border, stream);
    }
  });
}

// An input as three planes or pixels of three channels.
template <typename Call>
void Pipeline::with_input(const std::shared_ptr<Array>& array, const Call& call) const {
  const auto at = [&](auto zero) {
    using T = decltype(zero);
    call(TensorView<T>{reinterpret_cast<T*>(array->memory.data()), 3, options_.tensor_height,
                       options_.tensor_width, options_.layout});
  };
  array->dtype == Dtype::float16 ? at(Half{}) : at(float{});
}

// From guidance_ to the network's input, where it stays for all frames until another is told.
void Pipeline::lay_guidance(cudaStream_t stream) {
  const PipelineOptions& o = options_;
  const bool smaller = o.content_height < o.tensor_height || o.content_width < o.tensor_width;
  if (o.guidance == Guidance::background) {
    const Placement place{{0, 0, o.content_width, o.content_height}};
    return with_input(memory_.guide, [&](auto out) {
      const ImageView<const std::uint8_t> plate{guidance_.data(), o.height, o.width, 3,
                                                3 * o.width};
      to_tensor(plate, out, place, o.filter, o.order, o.levels, workspace_, stream);
      if (smaller) extend(out, o.content_height, o.content_width, o.border, stream);
    });
  }
  ImageView<const std::uint8_t> trimap{guidance_.data(), o.height, o.width, 1, o.width};
  if (small_trimap_.data()) {
    const ImageView<std::uint8_t> small{small_trimap_.data(), o.content_height, o.content_width, 1,
                                        o.content_width};
    resize(trimap, small, Filter::nearest, workspace_, stream);
    trimap = small;
  }
  with_input(memory_.guide ? memory_.guide : memory_.tensor, [&](auto input) {
    if (!memory_.guide) input.data += 3 * input.plane_stride();
    input.channels = 1;
    lay_trimap(trimap, o.trimap_scale, input, stream);
    if (smaller) extend(input, o.content_height, o.content_width, o.border, stream);
  });
}

void Pipeline::tell(ImageView<const std::uint8_t> guidance) {
  if (options_.guidance == Guidance::none) {
    throw ArgumentError("guidance", "none, for the network needs nothing but frames", "some");
  }
  while (computed_ < submitted_) compute_next();
  // What was told before has left the memory that it comes from.
  told_there_.synchronize();
  const auto row_bytes = static_cast<std::size_t>(guidance.row_elements());
  for (int y = 0; y < guidance.height; ++y) {
    std::memcpy(told_.data() + static_cast<std::size_t>(y) * row_bytes, guidance.row(y), row_bytes);
  }
  copy(guidance_.data(), told_.data(), guidance_.bytes(), cudaMemcpyHostToDevice, main_.get());
  told_there_.record(main_.get());
  lay_guidance(main_.get());
}

template <typename Out>
void Pipeline::grow(int slot, ImageView<Out> alpha, cudaStream_t stream) {
  const PipelineOptions& o = options_;
  auto* const strange = reinterpret_cast<float*>(results_[slot].data() + strange_at_);
  check(cudaMemsetAsync(strange, 0, sizeof(float), stream), "cudaMemsetAsync");
  const auto read = [&](auto view) {
    const void* const made = memory_.alpha->memory.data();
    if (memory_.alpha->dtype == Dtype::float16) {
      read_alpha(static_cast<const Half*>(made), o.alpha, view, strange, stream);
    } else {
      read_alpha(static_cast<const float*>(made), o.alpha, view, strange, stream);
    }
  };
  if (o.alpha_height == o.height && o.alpha_width == o.width) return read(alpha);
  const ImageView<float> small{small_alpha_.data(), o.alpha_height, o.alpha_width, 1,
                               o.alpha_width};
  read(small);
  if (follows_frame()) {
    return guided_upsample(colours(slot), ImageView<const float>(small), o.refine->radius,
                           o.refine->eps, o.refine->unsure, alpha, workspace_, stream);
  }
  const bool shrinks = o.alpha_height >= o.height && o.alpha_width >= o.width;
  resize(ImageView<const float>(small), alpha, shrinks ? Filter::area : Filter::bilinear,
         workspace_, stream);
  if constexpr (std::is_same_v<Out, float>) {
    // Weights sum to 1 only up to rounding.
    read_alpha(alpha.data, AlphaPlace{0, 1, o.width, false}, alpha, strange, stream);
  }
}

void Pipeline::finish(int slot, cudaStream_t stream) {
  const PipelineOptions& o = options_;
  std::uint8_t* const result = results_[slot].data();
  const auto know = [&](auto alpha) {
    if (o.guidance != Guidance::trimap) return;
    const ImageView<const std::uint8_t> trimap{guidance_.data(), o.height, o.width, 1, o.width};
    set_known(trimap, alpha, stream);
  };
  if (rgb_.data()) {
    yuv_to_rgb(planes(slot), {rgb_.data(), o.height, o.width, 3, 3 * o.width}, stream);
  }
  if (o.result == ResultKind::alpha && o.result_dtype == Dtype::float32) {
    const ImageView<float> alpha{reinterpret_cast<float*>(result), o.height, o.width, 1, o.width};
    grow(slot, alpha, stream);
    return know(alpha);
  }
  const bool alone = o.result == ResultKind::alpha;
  const ImageView<std::uint8_t> alpha{alone ? result : alpha_.data(), o.height, o.width, 1,
                                      o.width};
  grow(slot, alpha, stream);
  know(alpha);
  if (alone) return;
  const ImageView<const std::uint8_t> frame = colours(slot);
  const ImageView<std::uint8_t> made{foreground_.data(), o.height, o.width, 3, 3 * o.width};
  if (o.colours == Colours::estimated) {
    estimate_foreground(frame, ImageView<const std::uint8_t>(alpha), made, workspace_, stream);
  } else if (o.colours == Colours::network) {
    const auto join = [&](auto zero) {
      using T = decltype(zero);
      const TensorView<const T> planes{reinterpret_cast<const T*>(memory_.colours->memory.data()),
                                       3, static_cast<int>(memory_.colours->shape[2]),
                                       static_cast<int>(memory_.colours->shape[3])};
      from_tensor(planes, made, o.order, stream);
    };
    memory_.colours->dtype == Dtype::float16 ? join(Half{}) : join(float{});
  }
  const ImageView<const std::uint8_t> shown =
      o.colours == Colours::image ? frame : ImageView<const std::uint8_t>(made);
  const int channels = result_channels();
  const ImageView<std::uint8_t> out{result, o.height, o.width, channels, channels * o.width};
  if (o.result == ResultKind::cutout) {
    return cutout(shown, ImageView<const std::uint8_t>(alpha), out, stream);
  }
  Background behind{{}, {o.background[0], o.background[1], o.background[2]}};
  if (background_.data()) {
    behind.image = {background_.data(), o.height, o.width, 3, 3 * o.width};
  }
  composite(shown, behind, ImageView<const std::uint8_t>(alpha), out, stream);
}

void Pipeline::compute(int slot, cudaStream_t stream) {
  feed(slot, stream);
  network_(stream, slot);
  finish(slot, stream);
}

void Pipeline::clear_states() {
  for (const auto& state : memory_.states) {
    check(cudaMemsetAsync(state->memory.data(), 0, state->memory.bytes(), main_.get()),
          "cudaMemsetAsync");
  }
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
      // An engine that was just given other addresses is run with them before it is captured.
      compute(slot, main_.get());
      main_.synchronize();
      computing_[slot] = Graph::capture(main_.get(), [&] { compute(slot, main_.get()); });
      if (options_.overlaps) {
        // It computes the frame of the other slot.
        steady_[1 - slot] = Graph::capture(main_.get(), [&] { enqueue_steady(1 - slot); });
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
    // Python adds where it came from.
    why_ = error.what();
    why_ = why_.substr(0, why_.find('\n'));
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
  submit_from(producer, [&](std::uint8_t* to) {
    copy_rows(image, to, cudaMemcpyDeviceToDevice, main_.get());
  });
}

void Pipeline::submit(const YuvImage& image, cudaStream_t producer) {
  submit_from(producer, [&](std::uint8_t* to) {
    copy_rows(image.y, to, cudaMemcpyDeviceToDevice, main_.get());
    copy_rows(image.u, to + area(options_.height, options_.width), cudaMemcpyDeviceToDevice,
              main_.get());
  });
}

template <typename Send>
void Pipeline::submit_from(cudaStream_t producer, const Send& send) {
  require_room();
  const Event ready;
  ready.record(producer);
  ready.hold(main_.get());
  send(frames_[slot_of(submitted_)].data());
  // The producer may write the frame again once it has been read.
  ready.record(main_.get());
  ready.hold(producer);
  advance(false);
}

// Each stage takes one frame further; upload_frame is false where the new one is there already.
void Pipeline::advance(bool upload_frame) {
  const int slot = slot_of(submitted_);
  const cudaStream_t stream = main_.get();
  const std::int64_t behind = options_.overlaps ? 1 : 0;
  const bool steady = upload_frame && computed_ == submitted_ - behind &&
                      finished_count_ == submitted_ - 2 * behind;
  if (steady && (steady_[slot] || options_.overlaps)) {
    steady_[slot] ? steady_[slot].launch(stream) : enqueue_steady(slot);
    ++computed_;
    downloaded_[slot_of(finished_count_++)].record(stream);
  } else if (options_.overlaps) {
    const bool computes = computed_ < submitted_;
    if (finished_count_ < computed_) bring(finished_count_);
    if (computes) compute_next();
    if (upload_frame) upload(slot, stream);
  } else {
    if (upload_frame) upload(slot, stream);
    compute_next();
    bring(submitted_);
  }
  uploaded_[slot].record(stream);
  ++submitted_;
}

void Pipeline::compute_next() {
  const int slot = slot_of(computed_);
  computing_[slot] ? computing_[slot].launch(main_.get()) : compute(slot, main_.get());
  ++computed_;
}

// Frames that nothing follows are finished one by one.
void Pipeline::bring(std::int64_t frame) {
  while (finished_count_ <= frame) {
    if (computed_ <= finished_count_) compute_next();
    download(slot_of(finished_count_), main_.get());
    downloaded_[slot_of(finished_count_++)].record(main_.get());
  }
}

void Pipeline::require_alpha(int slot) const {
  float strange = 0;
  std::memcpy(&strange, finished_[slot].data() + strange_at_, sizeof strange);
  if (strange == 0) return;
  throw OutputError("output: expected alpha in [0, 1], got " + std::to_string(strange));
}

const std::uint8_t* Pipeline::result() {
  if (waiting() == 0) throw ArgumentError("result", "a frame submitted before", "none");
  const int slot = slot_of(taken_);
  bring(taken_);
  downloaded_[slot].synchronize();
  ++taken_;
  require_alpha(slot);
  return finished_[slot].data();
}

void Pipeline::result(ImageView<std::uint8_t> out, cudaStream_t consumer) {
  if (waiting() == 0) throw ArgumentError("result", "a frame submitted before", "none");
  const int slot = slot_of(taken_);
  bring(taken_);
  downloaded_[slot].hold(consumer);
  const auto row_bytes = result_bytes_ / static_cast<std::size_t>(options_.height);
  // What was fetched may be overwritten on the device already.
  const bool fetched = options_.downloads;
  check(cudaMemcpy2DAsync(out.data, static_cast<std::size_t>(out.row_stride),
                          fetched ? finished_[slot].data() : results_[slot].data(), row_bytes,
                          row_bytes, static_cast<std::size_t>(options_.height),
                          fetched ? cudaMemcpyHostToDevice : cudaMemcpyDeviceToDevice, consumer),
        "cudaMemcpy2DAsync");
  // It is written again only once it has been read.
  read_.record(consumer);
  read_.hold(main_.get());
  ++taken_;
}

const std::uint8_t* Pipeline::again() {
  if (waiting() != 0) throw ArgumentError("again", "no frame on its way", "some");
  const int slot = slot_of(submitted_);
  upload(slot, main_.get());
  finish(slot, main_.get());
  download(slot, main_.get());
  main_.synchronize();
  require_alpha(slot);
  return finished_[slot].data();
}

void Pipeline::reset() {
  while (computed_ < submitted_) compute_next();
  clear_states();
}

std::size_t Pipeline::device_bytes() const noexcept {
  std::size_t bytes = workspace_.bytes() + small_alpha_.bytes() + rgb_.bytes() + alpha_.bytes() +
                      foreground_.bytes() + background_.bytes() + memory_.tensor->memory.bytes() +
                      memory_.alpha->memory.bytes();
  bytes += guidance_.bytes() + small_trimap_.bytes();
  if (memory_.guide) bytes += memory_.guide->memory.bytes();
  if (memory_.colours) bytes += memory_.colours->memory.bytes();
  for (const auto& state : memory_.states) bytes += state->memory.bytes();
  for (int slot = 0; slot < 2; ++slot) bytes += frames_[slot].bytes() + results_[slot].bytes();
  return bytes;
}

}  // namespace fastmatte::cuda
