// ImageView: rows of interleaved pixels that somebody else owns.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/everywhere.h"

namespace fastmatte {

// The most pixels one image may have (16384 x 16384): element counts of a four-channel image still
// fit in int, and a larger request is a mistake or an attack rather than a photograph.
constexpr std::int64_t kMaxPixels = std::int64_t{1} << 28;

template <typename T>
struct ImageView {
  T* data = nullptr;
  int height = 0;
  int width = 0;
  int channels = 1;
  std::ptrdiff_t row_stride = 0;  // elements; 0 repeats one row, negative runs upwards

  FASTMATTE_EVERYWHERE T* row(int y) const noexcept { return data + y * row_stride; }
  FASTMATTE_EVERYWHERE int row_elements() const noexcept { return width * channels; }
  FASTMATTE_EVERYWHERE operator ImageView<const T>() const noexcept {
    return {data, height, width, channels, row_stride};
  }
};

}  // namespace fastmatte
