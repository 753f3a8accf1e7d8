// BoxWindow: sums of several quantities over the square around every pixel, for any radius, in one
// pass: what guided_upsample, estimate_foreground and trimap have in common.
//
// A block owns a tile and walks down its rows with one sum for each column in shared memory, to
// which a row enters and from which one leaves; windows slide along those. So a pixel costs two
// reads of each input and some additions, however wide its window, and no plane of sums exists in
// memory.
#pragma once

#include <algorithm>
#include <cstddef>

#include "cuda/launch.h"
#include "cuda/workspace.h"

namespace fastmatte::cuda {

// Windows that one thread slides along.
constexpr int kSlide = 8;

// Source: void operator()(y, x, Sum (&quantities)[kSums]). Finish: void operator()(y, x, const Sum
// (&sums)[kSums], pixels), of which the window has so many inside the image. Where Source::kSparse,
// a tile is skipped unless source.needs(y, x) of a pixel in it or up to Finish::kReach beside it,
// and finish.skip(y, x) is told of its pixels.
template <typename Sum, int kSums, typename Source, typename Finish>
struct BoxWindow {
  Source source;
  Finish finish;
  int height, width;
  int down, across;  // radii, below height and width
  int tile_height, tile_width;
  Sum* spilled;  // columns of every block, where shared memory has no room for them

  FASTMATTE_EVERYWHERE void operator()(const Block& block, void* shared) const noexcept {
    const int left = block.x * tile_width, top = block.y * tile_height;
    const int right = left + tile_width < width ? left + tile_width : width;
    const int bottom = top + tile_height < height ? top + tile_height : height;
    const int first = left > across ? left - across : 0;
    const int last = right + across < width ? right + across : width;
    const int span = last - first, outputs = right - left;
    int* const needed = static_cast<int*>(shared);
    Sum* windows = reinterpret_cast<Sum*>(needed + 2);
    Sum* columns = windows + std::ptrdiff_t{kSums} * tile_width;
    if (spilled) columns = spilled + std::ptrdiff_t{block.index()} * kSums * most_columns();

    if constexpr (Source::kSparse) {
      block.each(1, [&](int) { *needed = 0; });
      constexpr int reach = Finish::kReach;
      const int x0 = left > reach ? left - reach : 0, y0 = top > reach ? top - reach : 0;
      const int look_width = (right + reach < width ? right + reach : width) - x0;
      const int look_height = (bottom + reach < height ? bottom + reach : height) - y0;
      block.each(look_width * look_height, [&](int i) {
        // Only ever set, and to one value.
        if (source.needs(y0 + i / look_width, x0 + i % look_width)) *needed = 1;
      });
      if (*needed == 0) {
        block.share(outputs * (bottom - top),
                    [&](int i) { finish.skip(top + i / outputs, left + i % outputs); });
        return;
      }
    }

    // All rows of the first window but the one that enters with it.
    block.each(span, [&](int i) {
      Sum sums[kSums] = {}, quantities[kSums];
      const int end = top + down < height ? top + down : height;
      for (int y = top > down ? top - down : 0; y < end; ++y) {
        source(y, first + i, quantities);
        FASTMATTE_UNROLL
        for (int k = 0; k < kSums; ++k) sums[k] += quantities[k];
      }
      FASTMATTE_UNROLL
      for (int k = 0; k < kSums; ++k) columns[k * span + i] = sums[k];
    });
    const int slides = (outputs + kSlide - 1) / kSlide;
    for (int y = top; y < bottom; ++y) {
      const int entering = y + down, leaving = y - down - 1;
      block.each(span, [&](int i) {
        Sum change[kSums] = {}, quantities[kSums];
        if (entering < height) {
          source(entering, first + i, quantities);
          FASTMATTE_UNROLL
          for (int k = 0; k < kSums; ++k) change[k] += quantities[k];
        }
        if (y > top && leaving >= 0) {
          source(leaving, first + i, quantities);
          FASTMATTE_UNROLL
          for (int k = 0; k < kSums; ++k) change[k] -= quantities[k];
        }
        FASTMATTE_UNROLL
        for (int k = 0; k < kSums; ++k) columns[k * span + i] += change[k];
      });
      block.each(kSums * slides, [&](int i) {
        const int k = i / slides, begin = left + i % slides * kSlide;
        const int end = begin + kSlide < right ? begin + kSlide : right;
        const Sum* const from = columns + k * span;
        Sum* const to = windows + k * tile_width;
        Sum sum{};
        const int until = begin + across < width ? begin + across : width;
        for (int x = begin > across ? begin - across : 0; x < until; ++x) sum += from[x - first];
        for (int x = begin; x < end; ++x) {
          if (x + across < width) sum += from[x + across - first];
          if (x > begin && x - across - 1 >= 0) sum -= from[x - across - 1 - first];
          to[x - left] = sum;
        }
      });
      const int rows = (entering < height ? entering : height - 1) - (leaving >= 0 ? leaving : -1);
      // No barrier: columns change before windows do.
      block.share(outputs, [&](int i) {
        const int x = left + i;
        const int end = x + across < width ? x + across + 1 : width;
        Sum sums[kSums];
        FASTMATTE_UNROLL
        for (int k = 0; k < kSums; ++k) sums[k] = windows[k * tile_width + i];
        finish(y, x, sums, rows * (end - (x > across ? x - across : 0)));
      });
    }
  }

  FASTMATTE_EVERYWHERE int most_columns() const noexcept {
    const std::ptrdiff_t most = tile_width + std::ptrdiff_t{2} * across;
    return most < width ? static_cast<int>(most) : width;
  }
};

// Tiles are so wide and high whatever the device, lest a float sum depend on it.
template <typename Sum, int kSums, typename Source, typename Finish>
void launch_windows(const Source& source, const Finish& finish, int height, int width, int radius,
                    Workspace& workspace, cudaStream_t stream) {
  constexpr int tile_width = sizeof(Sum) == 8 ? 64 : 128;
  constexpr int tile_height = sizeof(Sum) == 8 ? 16 : 32;
  BoxWindow<Sum, kSums, Source, Finish> program{source,
                                                finish,
                                                height,
                                                width,
                                                std::min(radius, height - 1),
                                                std::min(radius, width - 1),
                                                tile_height,
                                                tile_width,
                                                nullptr};
  Blocks blocks{ceil_divide(width, tile_width), ceil_divide(height, tile_height), 128, 0};
  const auto columns =
      static_cast<std::size_t>(kSums) * static_cast<std::size_t>(program.most_columns());
  blocks.shared_bytes = 8 + kSums * tile_width * sizeof(Sum);
  if (blocks.shared_bytes + columns * sizeof(Sum) <= kSharedBytes) {
    blocks.shared_bytes += columns * sizeof(Sum);
  } else {
    const auto count =
        static_cast<std::size_t>(blocks.columns) * static_cast<std::size_t>(blocks.rows);
    program.spilled = workspace.take<Sum>(count * columns, stream);
  }
  launch_blocks(program, blocks, stream);
}

}  // namespace fastmatte::cuda
