// What is worked out once for a frame: where it lies, and what its colours weigh.
#include <algorithm>
#include <cmath>

#include "kernels/to_tensor.h"
#include "kernels/yuv.h"

namespace fastmatte {
namespace {

constexpr int kOne = 1 << kYuvBits;

int steps_of(double weight) noexcept { return static_cast<int>(std::floor(weight * kOne + 0.5)); }

double red_of(YuvMatrix matrix) noexcept { return matrix == YuvMatrix::bt601 ? 0.299 : 0.2126; }
double blue_of(YuvMatrix matrix) noexcept { return matrix == YuvMatrix::bt601 ? 0.114 : 0.0722; }

}  // namespace

// Kr and Kb are the weights of R and B in luma; R = Y + 2 (1 - Kr) V, B = Y + 2 (1 - Kb) U, and G
// what is left of Y. Sources: ITU-R BT.601 section 2.5, BT.709 section 3.
YuvWeights yuv_weights(YuvMatrix matrix, YuvRange range) noexcept {
  const double kr = red_of(matrix), kb = blue_of(matrix), kg = 1 - kr - kb;
  const bool full = range == YuvRange::full;
  const double luma = full ? 1 : 255.0 / 219, chroma = full ? 1 : 255.0 / 224;
  return {full ? 0.0f : 16.0f,
          static_cast<float>(luma),
          static_cast<float>(2 * (1 - kr) * chroma),
          static_cast<float>(-2 * (1 - kb) * kb / kg * chroma),
          static_cast<float>(-2 * (1 - kr) * kr / kg * chroma),
          static_cast<float>(2 * (1 - kb) * chroma)};
}

RgbWeights rgb_weights(YuvMatrix matrix, YuvRange range) noexcept {
  const double kr = red_of(matrix), kb = blue_of(matrix), kg = 1 - kr - kb;
  const bool full = range == YuvRange::full;
  const double luma = full ? 1 : 255.0 / 219, chroma = (full ? 1 : 255.0 / 224) / 16;
  return {full ? 0 : 16,
          steps_of(luma),
          steps_of(2 * (1 - kr) * chroma),
          steps_of(-2 * (1 - kb) * kb / kg * chroma),
          steps_of(-2 * (1 - kr) * kr / kg * chroma),
          steps_of(2 * (1 - kb) * chroma)};
}

YuvFromRgb yuv_from_rgb(YuvMatrix matrix, YuvRange range) noexcept {
  const double kr = red_of(matrix), kb = blue_of(matrix);
  const bool full = range == YuvRange::full;
  const double luma = full ? 1 : 219.0 / 255, chroma = full ? 1 : 224.0 / 255;
  const int red = steps_of(kr * luma), blue = steps_of(kb * luma);
  const int u_red = steps_of(-kr / (2 - 2 * kb) * chroma),
            v_blue = steps_of(-kb / (2 - 2 * kr) * chroma);
  const int half = steps_of(chroma / 2);
  // Greens are what is left, so that a grey has no colour and white is white.
  return {{red, steps_of(luma) - red - blue, blue, (full ? 0 : 16) * kOne + kOne / 2},
          {u_red, -half - u_red, half, 4 * 128 * kOne + 2 * kOne},
          {half, -half - v_blue, v_blue, 4 * 128 * kOne + 2 * kOne}};
}

Box letterbox(int image_height, int image_width, int height, int width) noexcept {
  const std::int64_t h = image_height, w = image_width;
  Box box{0, 0, width, height};
  if (height * w < width * h) {
    box.width = static_cast<int>(std::max<std::int64_t>((2 * w * height + h) / (2 * h), 1));
  } else {
    box.height = static_cast<int>(std::max<std::int64_t>((2 * h * width + w) / (2 * w), 1));
  }
  box.x = (width - box.width) / 2;
  box.y = (height - box.height) / 2;
  return box;
}

}  // namespace fastmatte
