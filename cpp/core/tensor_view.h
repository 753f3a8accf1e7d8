// TensorView: the one image of a C-contiguous tensor that somebody else owns.
#pragma once

#include <cstddef>

#include "core/image_view.h"

namespace fastmatte {

// (1, C, H, W) or (1, H, W, C).
enum class Layout { nchw, nhwc };

template <typename T>
struct TensorView {
  T* data = nullptr;
  int channels = 1;
  int height = 0;
  int width = 0;
  Layout layout = Layout::nchw;

  FASTMATTE_EVERYWHERE std::ptrdiff_t plane_stride() const noexcept {
    return std::ptrdiff_t{height} * width;
  }
  // Row y of plane c, for nchw; one channel is the same in both layouts.
  FASTMATTE_EVERYWHERE T* plane_row(int c, int y) const noexcept {
    return data + c * plane_stride() + std::ptrdiff_t{y} * width;
  }
  // Row y of interleaved pixels, for nhwc.
  FASTMATTE_EVERYWHERE T* pixel_row(int y) const noexcept {
    return data + std::ptrdiff_t{y} * width * channels;
  }
  // The same memory as one grey image, to compare its extent with that of another view.
  ImageView<T> memory() const noexcept { return {data, height * channels, width, 1, width}; }
};

}  // namespace fastmatte
