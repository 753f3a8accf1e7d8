// blur: Gaussian blur of any width, and of the weighted part of an image alone.
#pragma once

#include <cstdint>

#include "core/everywhere.h"
#include "core/image_view.h"
#include "cpu/dispatch.h"

namespace fastmatte {

constexpr double kMinSigma = 0.1;
constexpr double kMaxSigma = 500.0;

// Each of the 1, 3 or 4 channels convolved with a Gaussian of standard deviation sigma pixels. At
// the borders the average is over the pixels inside the image.
void blur(ImageView<const std::uint8_t> image, double sigma, ImageView<std::uint8_t> out,
          int threads);

// Pixels count as much as their weight, of 255: blur(weight * image) / blur(weight). A pixel that
// no weight reaches keeps its own colour.
template <typename Weight>
void blur(ImageView<const std::uint8_t> image, double sigma, ImageView<const Weight> weight,
          ImageView<std::uint8_t> out, int threads);

// Taps are taken in groups, the last filled up with zeros.
constexpr int kTapGroup = 4;

// One half of a symmetric kernel: out is the sum of half[j] * (taps[-j] + taps[j]) for j from 0 to
// radius, a multiple of kTapGroup; so half[0] counts twice. The taps of a vertical kernel are rows,
// those of a horizontal one the same row shifted.
FASTMATTE_ROW(fir_row_u16, (const std::uint16_t* const* taps, const float* half, int radius,
                            float* out, int count))
FASTMATTE_ROW(fir_row_f32,
              (const float* const* taps, const float* half, int radius, float* out, int count))

// The same in fixed point: half in 32768ths, int16 values in units of which a level has 64. Two
// taps of 255 * 64 are the most that int16 holds, and each product is rounded, so that r of them
// are off by at most r / 128 of a level.
constexpr int kLevelUnit = 64;
FASTMATTE_ROW(fir_row_u8, (const std::uint8_t* const* taps, const std::int16_t* half, int radius,
                           int unit, std::int16_t* out, int count))
FASTMATTE_ROW(fir_row_i16, (const std::int16_t* const* taps, const std::int16_t* half, int radius,
                            std::int16_t* out, int count))

// channels + 1 products for each pixel: weight * each channel, and weight.
FASTMATTE_ROW(weigh_row, (const std::uint8_t* image, const std::uint8_t* weight, std::uint16_t* out,
                          int width, int channels))

FASTMATTE_ROW(add_row_u8, (const std::uint8_t* row, std::uint32_t* sums, int count))
FASTMATTE_ROW(add_row_u16, (const std::uint16_t* row, std::uint32_t* sums, int count))

// Sums of every `step` pixels of a row, the last ones of fewer.
FASTMATTE_ROW(sum_cells_row,
              (const std::uint32_t* sums, float* out, int width, int channels, int step))

// values[i] *= scale[i] * row_scale
FASTMATTE_ROW(scale_row_f32, (float* values, const float* scale, float row_scale, int count))
// values[i] * scale[i], rounded half up.
FASTMATTE_ROW(scale_row_i16,
              (const std::int16_t* values, const float* scale, std::uint8_t* out, int count))

// Linear interpolation along a row: pixel x lies position[x] of the way from cell[x] to the next.
FASTMATTE_ROW(expand_row, (const float* cells, const std::int32_t* cell, const float* position,
                           float* out, int width, int channels))

// upper + position * (lower - upper), rounded half up.
FASTMATTE_ROW(mix_row, (const float* upper, const float* lower, float position, std::uint8_t* out,
                        int count))

// The same, then each of the channels divided by the weight after them; image where that is zero.
FASTMATTE_ROW(mix_weighted_row,
              (const float* upper, const float* lower, float position, const std::uint8_t* image,
               std::uint8_t* out, int width, int channels))

// 0 <= value < 256 - 2^-16, in which rounding half up cannot overflow.
static FASTMATTE_EVERYWHERE inline std::uint8_t rounded(float value) noexcept {
  return static_cast<std::uint8_t>(static_cast<std::int32_t>(value + 0.5f));
}

static FASTMATTE_EVERYWHERE inline float between(float upper, float lower,
                                                 float position) noexcept {
  return upper + position * (lower - upper);
}

}  // namespace fastmatte
