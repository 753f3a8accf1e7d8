// What to_tensor works out once for a frame: where it lies, and what its colours weigh.
#include <algorithm>

#include "kernels/to_tensor.h"

namespace fastmatte {

// Kr and Kb are the weights of R and B in luma; R = Y + 2 (1 - Kr) V, B = Y + 2 (1 - Kb) U, and G
// what is left of Y. Sources: ITU-R BT.601 section 2.5, BT.709 section 3.
YuvWeights yuv_weights(YuvMatrix matrix, YuvRange range) noexcept {
  const double kr = matrix == YuvMatrix::bt601 ? 0.299 : 0.2126;
  const double kb = matrix == YuvMatrix::bt601 ? 0.114 : 0.0722;
  const double kg = 1 - kr - kb;
  const bool full = range == YuvRange::full;
  const double luma = full ? 1 : 255.0 / 219, chroma = full ? 1 : 255.0 / 224;
  return {full ? 0.0f : 16.0f,
          static_cast<float>(luma),
          static_cast<float>(2 * (1 - kr) * chroma),
          static_cast<float>(-2 * (1 - kb) * kb / kg * chroma),
          static_cast<float>(-2 * (1 - kr) * kr / kg * chroma),
          static_cast<float>(2 * (1 - kb) * chroma)};
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
