// Level by level: both sweeps of a band go down it together, two rows at a time and two rows apart,
// so that no level needs more than a few rows besides its result; the last one writes only the
// result.
#include "kernels/multilevel.h"

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "core/buffer.h"
#include "core/parallel.h"

namespace fastmatte {
namespace {

// Up to this height and width a level is swept kSmallSweeps times, above kSweeps times.
constexpr int kSmallSize = 32;
constexpr int kSmallSweeps = 10;
constexpr int kSweeps = 2;
static_assert(kSmallSweeps % kSweeps == 0, "sweeps go down the image in pairs");

// A sweep of a band starts this many rows above what the next one, or the result, takes from it.
// Where alpha is flat a third of what is unlike one sweep of the whole remains after each row.
constexpr int kLeadRows = 4;

// Bands repeat 3 kLeadRows rows of sweeping.
constexpr int kMinimumBand = 64;
constexpr int kBands = 8;

// Rows that one band holds at a time: from the one above the second sweep to the one below the
// first.
constexpr int kPairRing = 6;
constexpr int kColourRing = 5;
constexpr int kWeightRing = 4;

std::size_t size_of(std::ptrdiff_t count) noexcept { return static_cast<std::size_t>(count); }

// Elements from one row of pairs to the next: rows of a ring begin a sixth of a page apart, since a
// load is held up by a store just before it to the same place of another page.
std::ptrdiff_t pair_row_of(int width) noexcept {
  constexpr std::ptrdiff_t page = 4096 / sizeof(float);
  const std::ptrdiff_t elements = (std::ptrdiff_t{width} + 1) * kPairLanes;
  constexpr std::ptrdiff_t apart = page / kPairRing / kPairLanes * kPairLanes;
  return (elements + page - apart - 1) / page * page + apart;
}

// The pixels of a row of `input` that one of `output` takes.
Buffer<std::int32_t> nearest(int input, int output) {
  Buffer<std::int32_t> columns(size_of(output));
  for (int x = 0; x < output; ++x) {
    columns[size_of(x)] = static_cast<std::int32_t>(std::int64_t{x} * input / output);
  }
  return columns;
}

// F and B of every pixel of a level.
struct Level {
  int height = 0;
  int width = 0;
  Buffer<float> pairs;

  float* row(int y) const noexcept { return pairs.data() + std::ptrdiff_t{y} * width * kPairLanes; }
};

Level make_level(int height, int width) {
  return {height, width, Buffer<float>(size_of(height) * size_of(width) * kPairLanes)};
}

template <typename Alpha>
auto active_sample_row() {
  if constexpr (std::is_same_v<Alpha, float>)
    return active_sample_row_f32();
  else
    return active_sample_row_u8();
}

template <typename Alpha>
class Multilevel {
 public:
  Multilevel(ImageView<const std::uint8_t> image, ImageView<const Alpha> alpha,
             ImageView<std::uint8_t> out, int threads)
      : image_(image), alpha_(alpha), out_(out), threads_(threads) {}

  void run() const {
    const int height = image_.height, width = image_.width;
    const int levels = static_cast<int>(std::ceil(std::log2(std::max(height, width))));
    Level level = first();
    for (int i = 0; i <= levels; ++i) {
      const double share = levels > 0 ? static_cast<double>(i) / levels : 1;
      const auto side = [share](int full) {
        return static_cast<int>(std::lround(std::pow(full, share)));
      };
      const int h = side(height), w = side(width);
      const bool small = h <= kSmallSize && w <= kSmallSize;
      int pairs_of_sweeps = (small ? kSmallSweeps : kSweeps) / kSweeps;
      for (; pairs_of_sweeps > (i == levels ? 1 : 0); --pairs_of_sweeps) {
        Level next = make_level(h, w);
        const std::size_t row_elements = size_of(w) * kPairLanes;
        sweep_twice(level, h, w, [&](int y, const float* pairs) noexcept {
          std::copy_n(pairs, row_elements, next.row(y));
        });
        level = std::move(next);
      }
    }
    const auto store = active_store_front_row();
    sweep_twice(level, height, width,
                [&](int y, const float* pairs) noexcept { store(pairs, width, out_.row(y)); });
  }

 private:
  // One pixel, whose F and B start out as its colour.
  Level first() const {
    Level level = make_level(1, 1);
    for (int i = 0; i < kPairLanes; ++i) {
      level.row(0)[i] = i < 6 ? image_.row(0)[i / 2] : 0.0f;
    }
    return level;
  }

  // Enlarges from to height x width, sweeps twice, and calls emit(y, pairs) for each row.
  template <typename Emit>
  void sweep_twice(const Level& from, int height, int width, const Emit& emit) const {
    const Buffer<std::int32_t> pixel_columns = nearest(image_.width, width);
    const Buffer<std::int32_t> pair_columns = nearest(from.width, width);
    const Bands bands(height, std::max(kMinimumBand, (height + kBands - 1) / kBands), threads_);
    const std::ptrdiff_t pair_row = pair_row_of(width);
    const std::ptrdiff_t alpha_row =
        static_cast<std::ptrdiff_t>(aligned_count<float>(size_of(width) + kBlockPixels + 2));
    const std::ptrdiff_t blocks = blocks_of(width);
    const std::ptrdiff_t floats = kPairRing * pair_row + kWeightRing * alpha_row;
    const Slices<float> rows(bands.workers, size_of(floats));
    const Slices<PairBytes> colour_rows(bands.workers, size_of(kColourRing) * size_of(width));
    const Slices<BlockWeights> weights(bands.workers, size_of(kWeightRing * blocks));
    const auto sample = active_sample_row<Alpha>();
    const auto weigh = active_weigh_pixels_row();
    const auto spread = active_spread_pairs_row();
    const auto sweep = active_sweep_row();
    const auto sweep_two = active_sweep_two_rows();
    const auto sweep_four = active_sweep_four_rows();

    parallel_rows(bands, [&](int worker, int begin, int end) noexcept {
      float* const worker_pairs = rows[worker];
      float* const worker_alpha = worker_pairs + kPairRing * pair_row + 1;
      // What lies beyond a row's end is weighed with it: nothing there but numbers.
      std::fill_n(worker_alpha - 1, kWeightRing * alpha_row, 0.0f);
      const auto inside = [&](int y) { return std::clamp(y, 0, height - 1); };
      const auto pairs = [&](int y) { return worker_pairs + inside(y) % kPairRing * pair_row; };
      const auto colours = [&](int y) {
        return colour_rows[worker] + std::ptrdiff_t{y % kColourRing} * width;
      };
      const auto alpha = [&](int y) { return worker_alpha + inside(y) % kWeightRing * alpha_row; };
      const auto weights_of = [&](int y) { return weights[worker] + y % kWeightRing * blocks; };
      const auto load = [&](int y) {
        const auto source = [&](int rows_there) {
          return static_cast<int>(std::int64_t{y} * rows_there / height);
        };
        spread(from.row(source(from.height)), pair_columns.data(), width, pairs(y));
        const int row = source(image_.height);
        float* a = alpha(y);
        sample(image_.row(row), alpha_.row(row), pixel_columns.data(), width, colours(y), a);
        a[-1] = a[0];
        a[width] = a[width - 1];
      };
      const auto row_of = [&](int y) {
        return SweepRow{weights_of(y), colours(y), pairs(y - 1), pairs(y), pairs(y + 1)};
      };

      const int first = std::max(begin - 2 * kLeadRows, 0);
      const int second = std::max(begin - kLeadRows, 0);
      for (int y = std::max(first - 1, 0); y <= first; ++y) load(y);
      // The second sweep of a row needs the first of the row below it, and so is two rows behind.
      const int leading_end = std::min(end + 1, height);
      for (int y = first; y < end + 2; y += 2) {
        const int leading = std::clamp(leading_end - y, 0, 2);
        for (int row = y; row < y + leading; ++row) {
          if (row + 1 < height) load(row + 1);
          weigh(alpha(row - 1), alpha(row), alpha(row + 1), width, weights_of(row));
        }
        const int behind = std::max(y - 2, second);
        const int following = std::clamp(std::min(y, end) - behind, 0, 2);
        const SweepRow rows[] = {row_of(y), row_of(y + 1), row_of(behind), row_of(behind + 1)};
        if (leading == 2 && following == 2) {
          sweep_four(rows, width);
        } else {
          if (leading == 2) sweep_two(rows, width);
          if (leading == 1) sweep(rows[0], width);
          if (following == 2) sweep_two(rows + 2, width);
          if (following == 1) sweep(rows[2], width);
        }
        for (int row = std::max(behind, begin); row < behind + following; ++row) {
          emit(row, static_cast<const float*>(pairs(row)));
        }
      }
    });
  }

  ImageView<const std::uint8_t> image_;
  ImageView<const Alpha> alpha_;
  ImageView<std::uint8_t> out_;
  int threads_;
};

}  // namespace

template <typename Alpha>
void multilevel_foreground(ImageView<const std::uint8_t> image, ImageView<const Alpha> alpha,
                           ImageView<std::uint8_t> out, int threads) {
  Multilevel<Alpha>(image, alpha, out, threads).run();
}

template void multilevel_foreground(ImageView<const std::uint8_t>, ImageView<const std::uint8_t>,
                                    ImageView<std::uint8_t>, int);
template void multilevel_foreground(ImageView<const std::uint8_t>, ImageView<const float>,
                                    ImageView<std::uint8_t>, int);

}  // namespace fastmatte
