// carry: alpha of an earlier frame, brought to where its picture has moved since.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/image_view.h"
#include "cpu/dispatch.h"

namespace fastmatte {

// Each block of kBlock x kBlock pixels moves as a whole; it is sought kReach pixels each way by the
// window that reaches kMargin beyond it. A pixel of movement has to explain a tenth of a level
// more, so that flat ground stays where it is.
constexpr int kBlock = 8;
constexpr int kMargin = 4;
constexpr int kReach = 6;
constexpr int kSteps = 10;

// before, image: grey, of one size. For every block of image, the movement whose sum of kSteps *
// |difference| + |dx| + |dy| over the window, as far as it lies in the image, is least; of equal
// ones the shortest, then the first by dy, then dx. Edges of before are repeated. Movements are
// then the median of nine, edges repeated, and linear between the middles of blocks. out is alpha,
// of any size, linearly interpolated at where each of its pixels was.
void carry(ImageView<const std::uint8_t> before, ImageView<const std::uint8_t> image,
           ImageView<const float> alpha, ImageView<float> out, int threads);

// sums[x] = sum over `rows` rows of |image - before|; at most 257 rows.
FASTMATTE_ROW(difference_sums,
              (const std::uint8_t* image, std::ptrdiff_t image_stride, const std::uint8_t* before,
               std::ptrdiff_t before_stride, int rows, int width, std::uint16_t* sums))

// Where the sum of sums over a block's window plus its penalty is less than best, that becomes best
// and `candidate` chosen. sums begins kMargin columns, all zero, before the first block, and ends
// so.
FASTMATTE_ROW(keep_best_row, (const std::uint16_t* sums, const int* window_pixels, int length,
                              int candidate, int blocks, int* best, int* chosen))

// What a row of alpha needs: movement at the middles of blocks, in pixels of alpha, the last one
// twice; and for each pixel the block before it and the share of the next one.
struct Movement {
  const float* x;
  const float* y;
  const int* block;
  const float* share;
};
FASTMATTE_ROW(carry_row, (const float* alpha, std::ptrdiff_t stride, int height, int width, int y,
                          const Movement& movement, float* out))

}  // namespace fastmatte
