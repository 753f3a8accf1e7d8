// to_tensor: an image as the tensor a network takes; resampled, scaled, laid out and padded in one
// pass.
#pragma once

#include <cstdint>

#include "core/half.h"
#include "core/image_view.h"
#include "core/stores.h"
#include "core/tensor_view.h"
#include "cpu/dispatch.h"
#include "kernels/resample.h"

namespace fastmatte {

// The order in which an image holds its colours.
enum class ChannelOrder { rgb, bgr };

// Tensor channel c is value * factor[c] + offset[c], a value being 0..255 with its fraction.
struct Levels {
  float factor[3] = {1, 1, 1};
  float offset[3] = {0, 0, 0};
};

// [0, 1], as kernels want a guide.
constexpr Levels kUnitLevels{{1 / 255.0f, 1 / 255.0f, 1 / 255.0f}, {0, 0, 0}};

struct Box {
  int x = 0;
  int y = 0;
  int width = 0;
  int height = 0;
};

// Where an image lies in height x width if it keeps its aspect ratio: as large as fits, the other
// side rounded half up and at least 1, in the middle (the odd pixel to the right or below).
Box letterbox(int image_height, int image_width, int height, int width) noexcept;

// Where the image lies in the tensor, and the R, G, B of what is around it.
struct Placement {
  Box box;
  std::uint8_t around[3] = {0, 0, 0};
};

enum class YuvMatrix { bt601, bt709 };
enum class YuvRange { limited, full };

// Luma with chroma of half its size each way; u holds both interleaved where it has two channels,
// and v is unused then.
struct YuvImage {
  ImageView<const std::uint8_t> y, u, v;
  YuvMatrix matrix = YuvMatrix::bt601;
  YuvRange range = YuvRange::limited;
};

// Fills the three-channel out, whose type, size and layout say what to make, from the colours of an
// image of 3 or 4 channels (the fourth is ignored). Resampled values are not rounded to uint8.
// filter is bilinear or area, and unused where place.box has the image's size. T is float or Half,
// which is the float result rounded to nearest, ties to even. out and image must not overlap.
// A grey image may fill a one-channel float nchw out by area.
template <typename T>
void to_tensor(ImageView<const std::uint8_t> image, TensorView<T> out, const Placement& place,
               Filter filter, ChannelOrder order, const Levels& levels, int threads);

// The same from YUV: each plane is resampled to the box by itself, as if its first pixel's corner
// were the image's, then converted, and clamped to 0..255. Resampling first costs a sixth of
// converting every pixel, and rounds nothing.
template <typename T>
void to_tensor(const YuvImage& image, TensorView<T> out, const Placement& place, Filter filter,
               const Levels& levels, int threads);

// A row of interleaved pixels of 1, 3 or 4 channels to rows of planes: channel c to planes[c], for
// one or three planes.
FASTMATTE_ROW(spread_row_u8, (const std::uint8_t* row, int channels, int width, Levels levels,
                              float* first, float* second, float* third, Stores stores))
FASTMATTE_ROW(spread_row_f32, (const float* row, int channels, int width, Levels levels,
                               float* first, float* second, float* third))

// The same of a row between two, weighted, whose pixels are resampled by columns of at most two
// taps each; rows have 3 or 4 channels.
struct RowPair {
  const std::uint8_t* top;
  const std::uint8_t* bottom;
  float top_weight;
  float bottom_weight;
};
FASTMATTE_ROW(blend_row_u8, (RowPair rows, int channels, RowTaps<float> columns, Levels levels,
                             float* first, float* second, float* third))

// first[x], second[x] = pairs[2 x], pairs[2 x + 1].
FASTMATTE_ROW(split_row,
              (const std::uint8_t* pairs, std::uint8_t* first, std::uint8_t* second, int width))

// R = luma (Y - black) + red_v (V - 128), and so on.
struct YuvWeights {
  float black, luma, red_v, green_u, green_v, blue_u;
};
YuvWeights yuv_weights(YuvMatrix matrix, YuvRange range) noexcept;
FASTMATTE_ROW(colour_row,
              (const float* y, const float* u, const float* v, int width, YuvWeights weights,
               Levels levels, float* first, float* second, float* third))

// out[3 x + c] = plane c [x].
FASTMATTE_ROW(interleave_row,
              (const float* first, const float* second, const float* third, float* out, int width))

// To nearest, ties to even; no value is NaN.
FASTMATTE_ROW(half_row, (const float* row, int count, Half* out, Stores stores))

}  // namespace fastmatte
