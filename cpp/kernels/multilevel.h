// multilevel: the colours of foreground and background that explain an image together, solved from
// a single pixel up to the full size.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/image_view.h"
#include "cpu/dispatch.h"

namespace fastmatte {

// Germer, Uelwer, Conrad and Harmeling, Fast Multi-Level Foreground Estimation, ICPR 2020. F and B
// minimise, over all pixels i and channels,
//   (alpha_i F_i + (1 - alpha_i) B_i - I_i)^2
//   + sum over the four neighbours j of w_ij ((F_i - F_j)^2 + (B_i - B_j)^2),
//   w_ij = 10^-5 + |alpha_i - alpha_j|,
// by sweeps that solve one pixel at a time for neighbours that stand still: ten at sizes up to
// 32 x 32, then two. Level l of L has the size H^(l/L) x W^(l/L); between levels, and from the full
// image, pixels are taken without a filter. image (H, W, 3) and alpha (H, W) to F, (H, W, 3).
//
// Rows are swept downwards and each from left to right, in place, so that colours travel far in one
// sweep. Bands of rows, which depend on the size alone, are swept apart, each from a few rows above
// its first.
template <typename Alpha>
void multilevel_foreground(ImageView<const std::uint8_t> image, ImageView<const Alpha> alpha,
                           ImageView<std::uint8_t> out, int threads);

// F and B of a pixel, channel by channel: F_0 B_0 F_1 B_1 F_2 B_2 and two lanes unused, one vector
// of eight or two of four.
constexpr int kPairLanes = 8;

// The bytes of a pixel as pairs have their channels, each twice.
using PairBytes = std::uint64_t;

// alpha[x] and the colours of the pixels `columns` of a row, which rise by at least one.
FASTMATTE_ROW(sample_row_u8,
              (const std::uint8_t* image, const std::uint8_t* alpha, const std::int32_t* columns,
               int width, PairBytes* colours, float* sampled_alpha))
FASTMATTE_ROW(sample_row_f32,
              (const std::uint8_t* image, const float* alpha, const std::int32_t* columns,
               int width, PairBytes* colours, float* sampled_alpha))

// The solution for one pixel: with n the mean of its neighbours weighted by w / S, S the sum of w,
//   F = n_F + alpha h r,  B = n_B + (1 - alpha) h r,
//   r = I - alpha n_F - (1 - alpha) n_B,  h = 1 / (alpha^2 + (1 - alpha)^2 + S),
// which is F = own_F n_F - across n_B + colour_F I, and the same of B. The share of the left
// neighbour is multiplied out, for it is solved last.
constexpr int kBlockPixels = 16;
struct BlockWeights {
  float right[kBlockPixels], up[kBlockPixels], down[kBlockPixels];  // w / S
  float across[kBlockPixels], across_left[kBlockPixels];            // alpha (1 - alpha) h
  // Of F and of B.
  float own[2 * kBlockPixels], own_left[2 * kBlockPixels];  // 1 - alpha^2 h, 1 - (1 - alpha)^2 h
  float colour[2 * kBlockPixels];                           // alpha h, (1 - alpha) h
};

// Blocks of a row.
static inline int blocks_of(int width) noexcept {
  return (width + kBlockPixels - 1) / kBlockPixels;
}

// From alpha of this row and the rows around it; where there is none, the row itself. alpha[-1] and
// alpha[width] repeat the ends; all three have a block's room beyond, whatever it holds.
FASTMATTE_ROW(weigh_pixels_row, (const float* above, const float* alpha, const float* below,
                                 int width, BlockWeights* weights))

// One row to be swept in place: the pairs of this row, of which there is room for one more, and of
// the rows around it; where there is none, this row.
struct SweepRow {
  const BlockWeights* weights;
  const PairBytes* colours;
  const float* above;
  float* pairs;
  const float* below;
};

FASTMATTE_ROW(sweep_row, (const SweepRow& row, int width))
// The same, together: a pixel waits for the one before it, and one row alone does not keep the
// processor busy. rows[1] and rows[3] may be those below rows[0] and rows[2]: they stay a block of
// pixels behind. rows[3] may touch rows[0], of which it then sees what is new.
FASTMATTE_ROW(sweep_two_rows, (const SweepRow* rows, int width))
FASTMATTE_ROW(sweep_four_rows, (const SweepRow* rows, int width))

// out[x] = in[columns[x]], pairs.
FASTMATTE_ROW(spread_pairs_row,
              (const float* in, const std::int32_t* columns, int width, float* out))

// F of each pair, rounded half up.
FASTMATTE_ROW(store_front_row, (const float* pairs, int width, std::uint8_t* out))

}  // namespace fastmatte
