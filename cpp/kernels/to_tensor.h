// to_tensor: an image as the float32 tensor a network takes; resampled, scaled and laid out in one
// pass.
#pragma once

#include <cstdint>

#include "core/image_view.h"
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

// Fills out, whose size and layout say what to make, from image: channels R, G, B of a colour image
// (the fourth of four is ignored), or the one channel of a grey image. Resampled values are not
// rounded to uint8. filter is bilinear or area, and unused where the sizes agree. out and image
// must not overlap.
void to_tensor(ImageView<const std::uint8_t> image, TensorView<float> out, Filter filter,
               ChannelOrder order, const Levels& levels, int threads);

// A row of interleaved pixels of 1, 3 or 4 channels to rows of planes: channel c to planes[c], for
// one or three planes.
FASTMATTE_ROW(spread_row_u8, (const std::uint8_t* row, int channels, int width, Levels levels,
                              float* first, float* second, float* third))
FASTMATTE_ROW(spread_row_f32, (const float* row, int channels, int width, Levels levels,
                               float* first, float* second, float* third))

// The same to a row of three interleaved channels, reversed for ChannelOrder::bgr; levels are those
// of the channels of out.
FASTMATTE_ROW(level_row_u8, (const std::uint8_t* row, int channels, int width, ChannelOrder order,
                             Levels levels, float* out))
FASTMATTE_ROW(level_row_f32, (const float* row, int channels, int width, ChannelOrder order,
                              Levels levels, float* out))

}  // namespace fastmatte
