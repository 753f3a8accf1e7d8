// Checks, then blocks of rows that need nothing of one another.
#include "kernels/morphology.h"

#include <algorithm>
#include <string>
#include <type_traits>

#include "core/buffer.h"
#include "core/parallel.h"
#include "core/require.h"
#include "kernels/alpha_range.h"

namespace fastmatte {
namespace {

template <typename Alpha, typename Value>
using BlockFunction = void (*)(const WindowBlock<Alpha, Value>&) noexcept;

// As much of them as the second-level cache can hold has scratch of its own. Rows of out would
// first be read from memory for them, in an order that no prefetcher foresees, which a fifth of the
// time at 4K was spent on.
constexpr std::size_t kMostSuffixBytes = std::size_t{256} << 10;

template <typename Alpha, typename Value>
void run_windows(ImageView<const Alpha> alpha, int radius, Alpha low, Alpha high,
                 ImageView<Value> out, int threads, BlockFunction<Alpha, Value> run) {
  require_same_size(alpha, "alpha", ImageView<const Value>(out), "out");
  require_apart(out, alpha, "alpha");
  require_alpha(alpha, "alpha", threads);
  const int row_radius = std::min(radius, alpha.height - 1);
  const int column_radius = std::min(radius, alpha.width - 1);
  const int rows = 2 * row_radius + 1;
  // A multiple of a block costs no row more than one image-high block would.
  const Bands bands(alpha.height, rows * std::max(1, rows_per_band(alpha.width) / rows), threads);
  const auto lead = aligned_count<Value>(static_cast<std::size_t>(column_radius));
  const auto stride =
      aligned_count<Value>(lead + static_cast<std::size_t>(alpha.width + column_radius));
  const auto suffix_stride = aligned_count<Value>(static_cast<std::size_t>(alpha.width));
  const auto suffixes = static_cast<std::size_t>(rows) * suffix_stride;
  const bool apart = suffixes * sizeof(Value) <= kMostSuffixBytes;
  const std::size_t own = kWindowScratchRows * stride;
  const Slices<Value> scratch(bands.workers, own + (apart ? suffixes : 0));
  parallel_rows(bands, [&](int worker, int begin, int end) noexcept {
    for (int y = begin; y < end; y += rows) {
      run({alpha.data, out.data, alpha.row_stride, out.row_stride, alpha.height, alpha.width, y,
           std::min(y + rows, end), row_radius, column_radius, low, high, scratch[worker],
           static_cast<std::ptrdiff_t>(stride), static_cast<std::ptrdiff_t>(lead),
           apart ? scratch[worker] + own : out.row(y),
           apart ? static_cast<std::ptrdiff_t>(suffix_stride) : out.row_stride});
    }
  });
}

}  // namespace

template <typename Alpha>
void erode(ImageView<const Alpha> alpha, int radius, ImageView<Alpha> out, int threads) {
  if constexpr (std::is_same_v<Alpha, float>) {
    run_windows(alpha, radius, 0.0f, 0.0f, out, threads, active_erode_block_f32());
  } else {
    run_windows(alpha, radius, Alpha{0}, Alpha{0}, out, threads, active_erode_block_u8());
  }
}

template <typename Alpha>
void dilate(ImageView<const Alpha> alpha, int radius, ImageView<Alpha> out, int threads) {
  if constexpr (std::is_same_v<Alpha, float>) {
    run_windows(alpha, radius, 0.0f, 0.0f, out, threads, active_dilate_block_f32());
  } else {
    run_windows(alpha, radius, Alpha{0}, Alpha{0}, out, threads, active_dilate_block_u8());
  }
}

template <typename Alpha>
void trimap(ImageView<const Alpha> alpha, int radius, float low, float high,
            ImageView<std::uint8_t> out, int threads) {
  if (!(low < high)) {
    throw ArgumentError("low", "less than high, " + std::to_string(high), std::to_string(low));
  }
  if constexpr (std::is_same_v<Alpha, float>) {
    run_windows(alpha, radius, low, high, out, threads, active_trimap_block_f32());
  } else {
    const auto as_float = [](int bytes) { return static_cast<float>(bytes) / 255.0f; };
    int most_low = 0, least_high = 255;
    while (as_float(most_low + 1) <= low) ++most_low;
    while (as_float(least_high - 1) >= high) --least_high;
    run_windows(alpha, radius, static_cast<std::uint8_t>(most_low),
                static_cast<std::uint8_t>(least_high), out, threads, active_trimap_block_u8());
  }
}

template void erode(ImageView<const std::uint8_t>, int, ImageView<std::uint8_t>, int);
template void erode(ImageView<const float>, int, ImageView<float>, int);
template void dilate(ImageView<const std::uint8_t>, int, ImageView<std::uint8_t>, int);
template void dilate(ImageView<const float>, int, ImageView<float>, int);
template void trimap(ImageView<const std::uint8_t>, int, float, float, ImageView<std::uint8_t>,
                     int);
template void trimap(ImageView<const float>, int, float, float, ImageView<std::uint8_t>, int);

}  // namespace fastmatte
