// yuv_to_rgb, rgb_to_yuv: between images and the frames of video, 4:2:0, in integers.
#pragma once

#include <cstdint>

#include "core/image_view.h"
#include "cpu/dispatch.h"
#include "kernels/to_tensor.h"

namespace fastmatte {

// Weights below are counted in 2^-20: the largest sum, of a pair of chroma samples in full range,
// stays below 2^31, and the rounding of weights moves no level by more than 0.002.
constexpr int kYuvBits = 20;

// Y, U and V of a frame to write to, u and v of half the size each way.
struct YuvPlanes {
  ImageView<std::uint8_t> y, u, v;
};

// Fills the (H, W, 3) out: chroma interpolated, a sample in the middle of its four pixels (weights
// of 9, 3, 3 and 1 sixteenths, edges repeated), then the matrix, rounded half up and clamped once.
// out and image must not overlap.
void yuv_to_rgb(const YuvImage& image, ImageView<std::uint8_t> out, int threads);

// The other way: chroma is that of the mean of its four pixels. H and W are even.
void rgb_to_yuv(ImageView<const std::uint8_t> image, YuvMatrix matrix, YuvRange range,
                const YuvPlanes& out, int threads);

// R = (luma (Y - black) + red_v v) / 2^20, and so on, v being in sixteenths.
struct RgbWeights {
  int black, luma, red_v, green_u, green_v, blue_u;
};
RgbWeights rgb_weights(YuvMatrix matrix, YuvRange range) noexcept;

// A row of luma, and of chroma the row it lies in and the next one to it; width is even.
struct YuvRows {
  const std::uint8_t* y;
  const std::uint8_t* u;
  const std::uint8_t* v;
  const std::uint8_t* far_u;
  const std::uint8_t* far_v;
};
FASTMATTE_ROW(rgb_row,
              (const YuvRows& rows, int width, const RgbWeights& weights, std::uint8_t* out))

// Y = (red R + green G + blue B + offset) / 2^20; chroma from the sums of four pixels, / 2^22.
// Offsets hold the half that rounds.
struct YuvSums {
  int red, green, blue, offset;
};
struct YuvFromRgb {
  YuvSums y, u, v;
};
YuvFromRgb yuv_from_rgb(YuvMatrix matrix, YuvRange range) noexcept;

// Two rows of pixels to two of luma and one of each chroma; width is even.
FASTMATTE_ROW(yuv_rows, (const std::uint8_t* top, const std::uint8_t* bottom, int width,
                         const YuvFromRgb& weights, std::uint8_t* y_top, std::uint8_t* y_bottom,
                         std::uint8_t* u, std::uint8_t* v))

}  // namespace fastmatte
