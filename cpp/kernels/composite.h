// composite, composite_tensor, cutout, premultiply, unpremultiply: the pixelwise kernels of
// straight alpha.
#pragma once

#include <cstdint>

#include "core/image_view.h"
#include "core/tensor_view.h"
#include "cpu/dispatch.h"
#include "kernels/quantise.h"
#include "kernels/to_tensor.h"

namespace fastmatte {

// What is mixed: the levels as they are, or the light that they stand for in sRGB.
enum class Mixing { levels, light };

// out = alpha * foreground + (1 - alpha) * background, rounded half up, exact in integers: uint8
// alpha counts in 255ths; float32 alpha is first rounded to a multiple of 2^-16, far below what a
// uint8 result shows. Light is counted in 65535ths. All (H, W, 3); out may be either image itself.
template <typename Alpha>
void composite(ImageView<const std::uint8_t> foreground, ImageView<const std::uint8_t> background,
               ImageView<const Alpha> alpha, Mixing mixing, ImageView<std::uint8_t> out,
               int threads);

// composite of the levels that from_tensor would make of these planes, in one pass and to the same
// bytes. order is that of background and out; out may be the background itself.
void composite_tensor(TensorView<const float> tensor, ChannelOrder order,
                      ImageView<const std::uint8_t> background, ImageView<const float> alpha,
                      ImageView<std::uint8_t> out, int threads);

// The (H, W, 3) foreground with alpha as fourth channel; float32 alpha is rounded half up to
// 255ths. The colour of a pixel with alpha 0 is (0, 0, 0): nothing of the background is left behind
// it.
template <typename Alpha>
void cutout(ImageView<const std::uint8_t> foreground, ImageView<const Alpha> alpha,
            ImageView<std::uint8_t> out, int threads);

// (H, W, 4) straight to premultiplied alpha, rounded half up; out may be rgba itself.
void premultiply(ImageView<const std::uint8_t> rgba, ImageView<std::uint8_t> out, int threads);

// (H, W, 4) premultiplied to straight alpha, rounded half up, at most 255; alpha 0 gives colour 0.
void unpremultiply(ImageView<const std::uint8_t> rgba, ImageView<std::uint8_t> out, int threads);

FASTMATTE_ROW(composite_row_u8, (const std::uint8_t* foreground, const std::uint8_t* background,
                                 const std::uint8_t* alpha, std::uint8_t* out, int width))
FASTMATTE_ROW(composite_row_f32, (const std::uint8_t* foreground, const std::uint8_t* background,
                                  const float* alpha, std::uint8_t* out, int width))

FASTMATTE_ROW(composite_planes_row,
              (const float* first, const float* second, const float* third,
               const std::uint8_t* background, const float* alpha, std::uint8_t* out, int width))

// sRGB levels to light in 65535ths and back, rounded half up (IEC 61966-2-1). The darkest levels
// lie 20 of these apart, so that light keeps what any level says.
struct SrgbTables {
  std::uint16_t light[256];
  std::uint8_t level[65536];
};
FASTMATTE_ROW(composite_light_row_u8,
              (const std::uint8_t* foreground, const std::uint8_t* background,
               const std::uint8_t* alpha, const SrgbTables& srgb, std::uint8_t* out, int width))
FASTMATTE_ROW(composite_light_row_f32,
              (const std::uint8_t* foreground, const std::uint8_t* background, const float* alpha,
               const SrgbTables& srgb, std::uint8_t* out, int width))
FASTMATTE_ROW(cutout_row_u8, (const std::uint8_t* foreground, const std::uint8_t* alpha,
                              std::uint8_t* out, int width))
FASTMATTE_ROW(cutout_row_f32,
              (const std::uint8_t* foreground, const float* alpha, std::uint8_t* out, int width))
FASTMATTE_ROW(premultiply_row, (const std::uint8_t* rgba, std::uint8_t* out, int width))
FASTMATTE_ROW(unpremultiply_row, (const std::uint8_t* rgba, std::uint8_t* out, int width))

// Sixteen bits hold the whole of this: the sum is at most 255 * 255 + 128. With y = x + 128,
// (y + y / 256) / 256 is x / 255 rounded half up (Blinn, Three Wrongs Make a Right, 1995;
// tests/test_composite.py tries every product).
static FASTMATTE_EVERYWHERE inline std::uint8_t blend_255ths(std::uint16_t foreground,
                                                             std::uint16_t background,
                                                             std::uint16_t alpha) noexcept {
  const auto front = static_cast<std::uint16_t>(alpha * foreground);
  const auto behind = static_cast<std::uint16_t>((255 - alpha) * background);
  const auto y = static_cast<std::uint16_t>(front + behind + 128);
  return static_cast<std::uint8_t>(static_cast<std::uint16_t>(y + (y >> 8)) >> 8);
}

// alpha in 65536ths, of which 65535 stand for all: no difference d of two bytes makes 65535 d +
// 32768 less than 65536 d or as much as 65536 (d + 1).
static FASTMATTE_EVERYWHERE inline std::uint16_t steps_65536(float alpha) noexcept {
  const unsigned steps = to_steps(alpha, 65536.0f);
  return static_cast<std::uint16_t>(steps < 65535 ? steps : 65535);
}

// (alpha * foreground + (65536 - alpha) * background) / 65536, rounded half up, is background +
// (alpha * d + 32768) / 65536 rounded down. Of the product, sixteen-bit lanes have the halves that
// an unsigned d makes: below zero its upper half is too large by alpha. Carries beyond sixteen bits
// cancel out.
static FASTMATTE_EVERYWHERE inline std::uint8_t blend_65536ths(std::uint16_t foreground,
                                                               std::uint16_t background,
                                                               std::uint16_t alpha) noexcept {
  const auto d = static_cast<std::uint16_t>(foreground - background);
  const auto upper = static_cast<std::uint16_t>((std::uint32_t{alpha} * d) >> 16);
  const auto lower = static_cast<std::uint16_t>(std::uint32_t{alpha} * d);
  const auto excess = static_cast<std::uint16_t>(alpha & (0 - (d >> 15)));
  return static_cast<std::uint8_t>(background + upper - excess + (lower >> 15));
}

// A pixel is a word of R in the lowest byte to A in the highest. Both bytes of a pair of
// sixteen-bit lanes are multiplied and divided as in blend_255ths; A goes along as 255 * A.
static inline std::uint32_t premultiplied(std::uint32_t pixel) noexcept {
  const std::uint32_t alpha = pixel >> 24;
  std::uint32_t red_blue = (pixel & 0x00ff00ff) * alpha + 0x00800080;
  std::uint32_t green_alpha = (((pixel >> 8) & 0xff) | 0x00ff0000) * alpha + 0x00800080;
  red_blue = ((red_blue + ((red_blue >> 8) & 0x00ff00ff)) >> 8) & 0x00ff00ff;
  green_alpha = (green_alpha + ((green_alpha >> 8) & 0x00ff00ff)) & 0xff00ff00;
  return red_blue | green_alpha;
}

// n / alpha rounded down, n being 255 * colour + alpha / 2 in integers, is (n + 1/2) / alpha
// rounded down, and that lies 1 / (2 * alpha) or more from the next integer either way. float32
// gets it as colour * scale + offset in four roundings, each of 2^-24 at most: off by n / (2^22 *
// alpha), and n is below 2^16. Vectors divide floats but not integers, and once a pixel will do.
static inline std::uint32_t straight(std::uint32_t pixel) noexcept {
  const int alpha = static_cast<int>(pixel >> 24);
  const float inverse = 1.0f / static_cast<float>(alpha > 1 ? alpha : 1);
  const float scale = 255.0f * inverse;
  const float offset = (static_cast<float>(alpha >> 1) + 0.5f) * inverse;
  std::uint32_t colours = 0;
  for (int shift = 0; shift < 24; shift += 8) {
    const float level =
        static_cast<float>(static_cast<int>((pixel >> shift) & 0xff)) * scale + offset;
    const int whole = static_cast<int>(level < 255.0f ? level : 255.0f);
    colours |= static_cast<std::uint32_t>(whole) << shift;
  }
  return alpha == 0 ? 0 : colours | (pixel & 0xff000000);
}

}  // namespace fastmatte
