// Whole rows go from the image through the resampler's scratch to the tensor, never a whole image.
#include "kernels/to_tensor.h"

#include <utility>

#include "core/parallel.h"
#include "core/require.h"

namespace fastmatte {
namespace {

// Writes row y of the tensor from interleaved pixels.
template <typename T, typename Spread, typename Level>
void write_row(const T* row, int channels, TensorView<float> out, int y, ChannelOrder order,
               const Levels& levels, Spread spread, Level level) noexcept {
  if (out.channels == 3 && out.layout == Layout::nhwc) {
    return level(row, channels, out.width, order, levels, out.pixel_row(y));
  }
  if (out.channels == 1) {
    return spread(row, channels, out.width, levels, out.plane_row(0, y), nullptr, nullptr);
  }
  // Spreading B, G, R to the planes in reverse order needs no loop of its own.
  Levels of_image = levels;
  int first = 0, third = 2;
  if (order == ChannelOrder::bgr) {
    std::swap(first, third);
    std::swap(of_image.factor[0], of_image.factor[2]);
    std::swap(of_image.offset[0], of_image.offset[2]);
  }
  spread(row, channels, out.width, of_image, out.plane_row(first, y), out.plane_row(1, y),
         out.plane_row(third, y));
}

}  // namespace

void to_tensor(ImageView<const std::uint8_t> image, TensorView<float> out, Filter filter,
               ChannelOrder order, const Levels& levels, int threads) {
  require_apart(out.memory(), image, "image");
  if (image.height == out.height && image.width == out.width) {
    const auto spread = active_spread_row_u8();
    const auto level = active_level_row_u8();
    parallel_rows(Bands(out.height, rows_per_band(out.width), threads),
                  [&](int, int begin, int end) noexcept {
                    for (int y = begin; y < end; ++y) {
                      write_row(image.row(y), image.channels, out, y, order, levels, spread, level);
                    }
                  });
    return;
  }
  const auto spread = active_spread_row_f32();
  const auto level = active_level_row_f32();
  const std::size_t slice = aligned_count<float>(static_cast<std::size_t>(out.width) *
                                                 static_cast<std::size_t>(image.channels));
  const Bands bands = resample_bands(image, out.height, out.width, threads);
  const Buffer<float> pixels(static_cast<std::size_t>(bands.workers) * slice);
  const auto row_of = [&](int worker, int) noexcept {
    return pixels.data() + static_cast<std::size_t>(worker) * slice;
  };
  resample<float>(
      image, out.height, out.width, filter, bands, row_of, [&](int worker, int y) noexcept {
        write_row<float>(row_of(worker, y), image.channels, out, y, order, levels, spread, level);
      });
}

}  // namespace fastmatte
