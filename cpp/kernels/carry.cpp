// Finds the movement of every block, a row of blocks at a time, then reads alpha where it was.
#include "kernels/carry.h"

#include <algorithm>
#include <climits>
#include <cstdlib>
#include <cstring>

#include "core/buffer.h"
#include "core/parallel.h"
#include "core/require.h"
#include "kernels/alpha_range.h"

namespace fastmatte {
namespace {

constexpr int kSide = 2 * kReach + 1;

struct Candidate {
  int dx, dy;
  int length() const noexcept { return std::abs(dx) + std::abs(dy); }
};

// All movements, the shortest first, so that of equal ones the first to be tried is the one to
// keep.
struct Candidates {
  Candidates() noexcept {
    for (int i = 0; i < kSide * kSide; ++i) all[i] = {i % kSide - kReach, i / kSide - kReach};
    std::stable_sort(all, all + kSide * kSide, [](const Candidate& a, const Candidate& b) {
      return a.length() < b.length();
    });
  }
  Candidate all[kSide * kSide];
};

// Blocks along one axis, and where each pixel of alpha lies among their middles.
int blocks_of(int pixels) noexcept { return (pixels + kBlock - 1) / kBlock; }

struct Place {
  int block;
  float share;
};

Place place_of(int at, int count, int pixels) noexcept {
  const double middle = (at + 0.5) * pixels / count;
  const double last = blocks_of(pixels) - 1;
  const double place = std::min(std::max((middle - kBlock / 2.0) / kBlock, 0.0), last);
  const int block = static_cast<int>(place);
  return {block, static_cast<float>(place - block)};
}

// Edges repeated, kReach to every side.
void pad(ImageView<const std::uint8_t> image, std::uint8_t* to, std::size_t stride) noexcept {
  for (int y = -kReach; y < image.height + kReach; ++y) {
    const std::uint8_t* row = image.row(std::min(std::max(y, 0), image.height - 1));
    std::memset(to, row[0], kReach);
    std::memcpy(to + kReach, row, static_cast<std::size_t>(image.width));
    std::memset(to + kReach + image.width, row[image.width - 1], kReach);
    to += stride;
  }
}

int median_of(const int* blocks, int across, int down, int bx, int by) noexcept {
  int nine[9], count = 0;
  for (int y = by - 1; y <= by + 1; ++y) {
    for (int x = bx - 1; x <= bx + 1; ++x) {
      nine[count++] = blocks[std::min(std::max(y, 0), down - 1) * across +
                             std::min(std::max(x, 0), across - 1)];
    }
  }
  std::nth_element(nine, nine + 4, nine + 9);
  return nine[4];
}

}  // namespace

void carry(ImageView<const std::uint8_t> before, ImageView<const std::uint8_t> image,
           ImageView<const float> alpha, ImageView<float> out, int threads) {
  require_same_size(before, "before", image, "image");
  require_same_size(out, "out", alpha, "alpha");
  require_apart(out, before, "before");
  require_apart(out, image, "image");
  require_apart(out, alpha, "alpha");
  require_alpha(alpha, "alpha", threads);
  static const Candidates candidates;
  const int across = blocks_of(image.width), down = blocks_of(image.height);
  const auto blocks = static_cast<std::size_t>(across) * static_cast<std::size_t>(down);
  const auto stride = static_cast<std::size_t>(image.width + 2 * kReach);
  const Buffer<std::uint8_t> padded(stride * static_cast<std::size_t>(image.height + 2 * kReach));
  pad(before, padded.data(), stride);

  const Buffer<int> moves(4 * blocks);
  int *const found_x = moves.data(), *const found_y = found_x + blocks;
  const auto compare = active_difference_sums();
  const auto keep = active_keep_best_row();
  const Bands bands(down, 1, threads);
  const auto columns = static_cast<std::size_t>(across);
  const Slices<int> scratch(bands.workers, 3 * columns);
  const Slices<std::uint16_t> sums(bands.workers, kBlock * columns + 2 * kMargin);
  parallel_rows(bands, [&](int worker, int begin, int end) noexcept {
    std::uint16_t* const sum = sums[worker];
    std::fill_n(sum, kBlock * columns + 2 * kMargin, std::uint16_t{0});
    int *const best = scratch[worker], *const chosen = best + across,
               *const pixels = chosen + across;
    for (int by = begin; by < end; ++by) {
      const int top = std::max(kBlock * by - kMargin, 0);
      const int rows = std::min(kBlock * by + kBlock + kMargin, image.height) - top;
      for (int bx = 0; bx < across; ++bx) {
        best[bx] = INT_MAX;
        chosen[bx] = 0;
        pixels[bx] = rows * (std::min(kBlock * bx + kBlock + kMargin, image.width) -
                             std::max(kBlock * bx - kMargin, 0));
      }
      for (int i = 0; i < kSide * kSide; ++i) {
        const Candidate& move = candidates.all[i];
        const std::uint8_t* from = padded.data() +
                                   static_cast<std::size_t>(top + kReach + move.dy) * stride +
                                   kReach + move.dx;
        compare(image.row(top), image.row_stride, from, static_cast<std::ptrdiff_t>(stride), rows,
                image.width, sum + kMargin);
        keep(sum, pixels, move.length(), i, across, best, chosen);
      }
      for (int bx = 0; bx < across; ++bx) {
        found_x[by * across + bx] = candidates.all[chosen[bx]].dx;
        found_y[by * across + bx] = candidates.all[chosen[bx]].dy;
      }
    }
  });
  int *const move_x = found_y + blocks, *const move_y = move_x + blocks;
  for (int by = 0; by < down; ++by) {
    for (int bx = 0; bx < across; ++bx) {
      move_x[by * across + bx] = median_of(found_x, across, down, bx, by);
      move_y[by * across + bx] = median_of(found_y, across, down, bx, by);
    }
  }

  const auto width = static_cast<std::size_t>(alpha.width);
  const Buffer<int> block(width);
  const Buffer<float> share(width);
  for (int x = 0; x < alpha.width; ++x) {
    const Place place = place_of(x, alpha.width, image.width);
    block.data()[x] = place.block;
    share.data()[x] = place.share;
  }
  // Movement in pixels of alpha.
  const float by_x = static_cast<float>(alpha.width) / static_cast<float>(image.width);
  const float by_y = static_cast<float>(alpha.height) / static_cast<float>(image.height);
  const auto row = active_carry_row();
  const Bands of_alpha(alpha.height, rows_per_band(4 * alpha.width), threads);
  const Slices<float> moved(of_alpha.workers, 2 * (columns + 1));
  parallel_rows(of_alpha, [&](int worker, int begin, int end) noexcept {
    float *const x_row = moved[worker], *const y_row = x_row + across + 1;
    for (int y = begin; y < end; ++y) {
      const Place place = place_of(y, alpha.height, image.height);
      const int upper = place.block * across;
      const int lower = std::min(place.block + 1, down - 1) * across;
      for (int bx = 0; bx <= across; ++bx) {
        const int b = std::min(bx, across - 1);
        const auto between = [&](const int* move) {
          const auto one = static_cast<float>(move[upper + b]);
          return one + (static_cast<float>(move[lower + b]) - one) * place.share;
        };
        x_row[bx] = between(move_x) * by_x;
        y_row[bx] = between(move_y) * by_y;
      }
      row(alpha.data, alpha.row_stride, alpha.height, alpha.width, y,
          {x_row, y_row, block.data(), share.data()}, out.row(y));
    }
  });
}

}  // namespace fastmatte
