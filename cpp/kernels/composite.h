// composite, cutout, premultiply, unpremultiply: the pixelwise kernels of straight alpha.
#pragma once

#include <cstdint>

#include "core/image_view.h"
#include "cpu/dispatch.h"
#include "kernels/quantise.h"

namespace fastmatte {

// out = alpha * foreground + (1 - alpha) * background, rounded half up, exact in integers: uint8
// alpha counts in 255ths; float32 alpha is first rounded to a multiple of 2^-16, far below what a
// uint8 result shows. All (H, W, 3); out may be either image itself.
template <typename Alpha>
void composite(ImageView<const std::uint8_t> foreground, ImageView<const std::uint8_t> background,
               ImageView<const Alpha> alpha, ImageView<std::uint8_t> out, int threads);

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
FASTMATTE_ROW(cutout_row_u8, (const std::uint8_t* foreground, const std::uint8_t* alpha,
                              std::uint8_t* out, int width))
FASTMATTE_ROW(cutout_row_f32,
              (const std::uint8_t* foreground, const float* alpha, std::uint8_t* out, int width))
FASTMATTE_ROW(premultiply_row, (const std::uint8_t* rgba, std::uint8_t* out, int width))
FASTMATTE_ROW(unpremultiply_row, (const std::uint8_t* rgba, std::uint8_t* out, int width))

// x / 255 rounded half up for 0 <= x <= 65025: with y = x + 128, (y + y / 256) / 256 is exact there
// (Blinn, Three Wrongs Make a Right, 1995; tests/test_composite.py tries every x).
static inline unsigned divide_by_255(unsigned x) noexcept {
  const unsigned y = x + 128;
  return (y + (y >> 8)) >> 8;
}

static inline std::uint8_t blend_255ths(unsigned foreground, unsigned background,
                                        unsigned alpha) noexcept {
  return static_cast<std::uint8_t>(divide_by_255(alpha * foreground + (255 - alpha) * background));
}

// alpha in 65536ths; the largest sum, 65536 * 255 + 32768, fits in 24 bits.
static inline std::uint8_t blend_65536ths(unsigned foreground, unsigned background,
                                          unsigned alpha) noexcept {
  return static_cast<std::uint8_t>((alpha * foreground + (65536 - alpha) * background + 32768) >>
                                   16);
}

// (255 colour + alpha / 2) / alpha in integers. float32 division truncates to the same: a quotient
// below 256 that is no integer lies at least 1/255 from one, and is rounded by less than 2^-16.
// Vectors divide floats but not integers.
static inline std::uint8_t divide_by_alpha(unsigned colour, unsigned alpha) noexcept {
  const float straight = static_cast<float>(static_cast<int>(colour * 255 + alpha / 2)) /
                         static_cast<float>(static_cast<int>(alpha == 0 ? 1 : alpha));
  const int whole = static_cast<int>(straight > 255.0f ? 255.0f : straight);
  return static_cast<std::uint8_t>(alpha == 0 ? 0 : whole);
}

}  // namespace fastmatte
