// One resampled pixel at a time, by the tables that the processor resamples with. A thread sums the
// window of its own result: what neighbours share comes from the first cache, and no image between
// the passes goes through memory.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/image_view.h"
#include "cuda/launch.h"
#include "cuda/workspace.h"

namespace fastmatte::cuda {

// The pass that leaves fewer rows for the other comes first, as in resample.h, so that sums of
// floats are the processor's to the last bit.
template <typename Weight, typename In>
struct Sampler {
  ImageView<const In> image;
  RowTaps<Weight> down, across;
  bool rows_first;

  // Calls put(c, sum) for every channel; half(sum of a first pass) is what the second one reads.
  template <int kChannels, typename Sum, typename Half, typename Put>
  FASTMATTE_EVERYWHERE void sample(int x, int y, const Half& half, const Put& put) const noexcept {
    const int left = across.start[x], columns = across.count[x];
    const int top = down.start[y], rows = down.count[y];
    const Weight* const of_columns = across.weights + std::ptrdiff_t{x} * across.taps;
    const Weight* const of_rows = down.weights + std::ptrdiff_t{y} * down.taps;
    Sum sums[kChannels] = {};
    const int outer = rows_first ? columns : rows, inner = rows_first ? rows : columns;
    for (int i = 0; i < outer; ++i) {
      Sum partial[kChannels] = {};
      for (int j = 0; j < inner; ++j) {
        const int row = rows_first ? j : i, column = rows_first ? i : j;
        const In* const pixel =
            image.row(top + row) + std::ptrdiff_t{left + column} * image.channels;
        const Sum weight = rows_first ? of_rows[j] : of_columns[j];
        FASTMATTE_UNROLL
        for (int c = 0; c < kChannels; ++c) partial[c] += weight * static_cast<Sum>(pixel[c]);
      }
      const Sum weight = rows_first ? of_columns[i] : of_rows[i];
      FASTMATTE_UNROLL
      for (int c = 0; c < kChannels; ++c) sums[c] += weight * half(partial[c]);
    }
    FASTMATTE_UNROLL
    for (int c = 0; c < kChannels; ++c) put(c, sums[c]);
  }
};

template <typename Weight, typename In>
Sampler<Weight, In> make_sampler(ImageView<const In> image, int height, int width, Filter filter,
                                 Workspace& workspace, cudaStream_t stream) {
  return {image, workspace.axis<Weight>(filter, image.height, height, stream),
          workspace.axis<Weight>(filter, image.width, width, stream), height <= image.height};
}

// Levels of an image shrunk by area, or those of the image itself where it has that size.
template <int kChannels>
struct AreaSampler {
  Sampler<float, std::uint8_t> sampler;

  FASTMATTE_EVERYWHERE void sample(int x, int y, float (&levels)[kChannels]) const noexcept {
    sampler.template sample<kChannels, float>(
        x, y, [](float partial) { return partial; },
        [&](int c, float level) { levels[c] = level; });
  }
};

template <int kChannels>
AreaSampler<kChannels> area_sampler(ImageView<const std::uint8_t> image, int height, int width,
                                    Workspace& workspace, cudaStream_t stream) {
  return {make_sampler<float>(image, height, width, Filter::area, workspace, stream)};
}

}  // namespace fastmatte::cuda
