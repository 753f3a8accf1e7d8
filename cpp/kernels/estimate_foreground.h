// estimate_foreground: the colour of the foreground alone, where a pixel mixes it with a
// background.
#pragma once

#include <cstdint>

#include "core/everywhere.h"
#include "core/image_view.h"
#include "cpu/dispatch.h"

namespace fastmatte {

enum class ForegroundMethod { blur_fusion, multilevel };

// image (H, W, 3) and alpha (H, W) to (H, W, 3). blur_fusion: where alpha rounds to 0 or 255 of 255
// the result is the image; elsewhere it is blur fusion (Forte, Approximate Fast Foreground Colour
// Estimation, ICIP 2021) in two passes, windows of 91 and 7 pixels that shrink at the borders.
// multilevel: multilevel_foreground.
template <typename Alpha>
void estimate_foreground(ImageView<const std::uint8_t> image, ImageView<const Alpha> alpha,
                         ForegroundMethod method, ImageView<std::uint8_t> out, int threads);

constexpr int kWideRadius = 45;
constexpr int kNarrowRadius = 3;
constexpr int kWideWindow = 2 * kWideRadius + 1;
constexpr int kNarrowWindow = 2 * kNarrowRadius + 1;

// Pixels are visited in blocks of one row. A block that the wide pass visits holds an unknown pixel
// or is kNarrowRadius off one, so every pixel of it has that unknown pixel in its wide window and
// neither of its weights is zero.
constexpr int kForegroundBlock = 16;
static_assert(kForegroundBlock - 1 + kNarrowRadius <= kWideRadius);

// Both passes go through runs of blocks in steps of so many pixels, beyond the last block too: two
// vectors of bytes hold their values, whatever the ISA, and the part of a vector that were left
// over would take longer than it does.
constexpr int kForegroundStep = 32;
static_assert(kForegroundStep == 2 * kForegroundBlock);  // so that they end before the next run

constexpr int foreground_steps(int count) noexcept {
  return (count + kForegroundStep - 1) / kForegroundStep * kForegroundStep;
}

// Columns left and right of the steps that stay zero, so that windows need no clipping.
constexpr int kForegroundMargin = 48;
static_assert(kForegroundMargin > kWideRadius && kForegroundMargin > kNarrowRadius);

// The seven quantities that are summed. Wide: alpha * image (3 channels), image (3), alpha. Narrow:
// alpha * foreground (3), (255 - alpha) * background (3), alpha.
constexpr int kForegroundPlanes = 7;

// Values of them for each column, at x = 0; kForegroundMargin columns and more lie on both sides.
template <typename Front, typename Rest>
struct ForegroundColumns {
  Front* front;  // 3 for each pixel
  Rest* behind;  // 3 for each pixel
  Rest* alpha;
};

// Sums over kWideWindow rows: uint16 holds 91 * 255 = 23205.
using WideColumns = ForegroundColumns<std::uint32_t, std::uint16_t>;
// Sums over the columns before each, from wherever they were begun.
using WidePrefix = ForegroundColumns<std::uint32_t, std::uint32_t>;
// What the second pass sums: one row of it, and the sums over kNarrowWindow rows.
using NarrowProducts = ForegroundColumns<std::uint16_t, std::uint16_t>;
using NarrowColumns = ForegroundColumns<std::uint32_t, std::uint32_t>;

// For every block of a row: unknown, whether it holds an alpha other than 0 and 255; near, whether
// such a one lies in it or at most kNarrowRadius beside it.
FASTMATTE_ROW(mark_unknown_row,
              (const std::uint8_t* alpha, std::uint8_t* unknown, std::uint8_t* near, int width))

// Adds one row to the column sums of [begin, end).
FASTMATTE_ROW(add_columns_row, (const std::uint8_t* image, const std::uint8_t* alpha, int begin,
                                int end, const WideColumns& columns))

// Adds the entering row and takes the leaving one away.
FASTMATTE_ROW(slide_columns_row,
              (const std::uint8_t* entering_image, const std::uint8_t* entering_alpha,
               const std::uint8_t* leaving_image, const std::uint8_t* leaving_alpha, int begin,
               int end, const WideColumns& columns))

// prefix of each column of [begin, end], the first of them 0.
FASTMATTE_ROW(sum_columns_row,
              (const WideColumns& columns, int begin, int end, const WidePrefix& prefix))

// The weight of the pixels that a window has inside the image, were all of them opaque:
// rows * columns[x], for whole steps.
struct FullWeight {
  const std::int32_t* columns;  // 255 for each column of the window of x
  int rows;
};

// The first pass for the blocks of [begin, end): from sums of columns to a row of products, which
// takes the place of the one kNarrowWindow rows above it, there and in the sums.
FASTMATTE_ROW(fuse_wide_row, (const std::uint8_t* image, const std::uint8_t* alpha,
                              const WidePrefix& prefix, const FullWeight& full, int begin, int end,
                              int width, const NarrowProducts& products, const NarrowColumns& sums))

// Takes `count` products out of their sums.
FASTMATTE_ROW(retire_products_row, (std::uint16_t* products, std::uint32_t* sums, int count))

// The second pass for the blocks of [begin, end).
FASTMATTE_ROW(fuse_narrow_row,
              (const std::uint8_t* image, const std::uint8_t* alpha, const NarrowColumns& sums,
               const FullWeight& full, int begin, int end, int width, std::uint8_t* out))

static FASTMATTE_EVERYWHERE inline bool is_unknown(std::uint8_t alpha) noexcept {
  return alpha != 0 && alpha != 255;
}

// With the paper's letters: the blurred foreground F, corrected by what the mixture of F and the
// blurred background B misses of the image I.
static FASTMATTE_EVERYWHERE inline float fuse(float I, float alpha, float F, float B) noexcept {
  const float value = F + alpha * (I - (alpha * F + (1.0f - alpha) * B));
  const float positive = value > 0.0f ? value : 0.0f;
  return positive < 255.0f ? positive : 255.0f;
}

}  // namespace fastmatte
