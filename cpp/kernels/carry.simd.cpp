// Plain loops: differences as the larger byte less the smaller, which stays in bytes.
#include "kernels/carry.h"

namespace fastmatte::FASTMATTE_ISA {

void difference_sums(const std::uint8_t* image, std::ptrdiff_t image_stride,
                     const std::uint8_t* before, std::ptrdiff_t before_stride, int rows, int width,
                     std::uint16_t* __restrict sums) noexcept {
  for (int x = 0; x < width; ++x) sums[x] = 0;
  for (int y = 0; y < rows; ++y) {
    const std::uint8_t* __restrict one = image + y * image_stride;
    const std::uint8_t* __restrict other = before + y * before_stride;
    for (int x = 0; x < width; ++x) {
      const std::uint8_t large = one[x] < other[x] ? other[x] : one[x];
      const std::uint8_t small = one[x] < other[x] ? one[x] : other[x];
      const auto apart = static_cast<std::uint8_t>(large - small);
      sums[x] = static_cast<std::uint16_t>(sums[x] + apart);
    }
  }
}

void keep_best_row(const std::uint16_t* __restrict sums, const int* __restrict window_pixels,
                   int length, int candidate, int blocks, int* __restrict best,
                   int* __restrict chosen) noexcept {
  for (int b = 0; b < blocks; ++b) {
    const std::uint16_t* window = sums + kBlock * b;
    int sum = 0;
    for (int x = 0; x < kBlock + 2 * kMargin; ++x) sum += window[x];
    const int cost = kSteps * sum + length * window_pixels[b];
    chosen[b] = cost < best[b] ? candidate : chosen[b];
    best[b] = cost < best[b] ? cost : best[b];
  }
}

void carry_row(const float* __restrict alpha, std::ptrdiff_t stride, int height, int width, int y,
               const Movement& movement, float* __restrict out) noexcept {
  const float *move_x = movement.x, *move_y = movement.y, *share = movement.share;
  const int* block = movement.block;
  const float right = static_cast<float>(width - 1), bottom = static_cast<float>(height - 1);
  for (int x = 0; x < width; ++x) {
    const int b = block[x];
    const float t = share[x];
    const float at_x = static_cast<float>(x) + (move_x[b] + (move_x[b + 1] - move_x[b]) * t);
    const float at_y = static_cast<float>(y) + (move_y[b] + (move_y[b + 1] - move_y[b]) * t);
    const float from_x = at_x < 0.0f ? 0.0f : at_x > right ? right : at_x;
    const float from_y = at_y < 0.0f ? 0.0f : at_y > bottom ? bottom : at_y;
    const int left = static_cast<int>(from_x), top = static_cast<int>(from_y);
    const int next = left < width - 1 ? left + 1 : left;
    const float* upper = alpha + top * stride;
    const float* lower = alpha + (top < height - 1 ? top + 1 : top) * stride;
    const float tx = from_x - static_cast<float>(left), ty = from_y - static_cast<float>(top);
    const float one = upper[left] + (upper[next] - upper[left]) * tx;
    const float other = lower[left] + (lower[next] - lower[left]) * tx;
    out[x] = one + (other - one) * ty;
  }
}

}  // namespace fastmatte::FASTMATTE_ISA
