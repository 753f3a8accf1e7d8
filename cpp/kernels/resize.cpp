// Picks pixels for nearest, resamples for every other filter.
#include "kernels/resize.h"

#include <cstring>
#include <type_traits>

#include "core/parallel.h"
#include "core/require.h"

namespace fastmatte {
namespace {

template <typename T>
void pick(ImageView<const T> image, ImageView<T> out, int threads) {
  const auto row = active_pick_pixels_row();
  const int pixel_bytes = image.channels * static_cast<int>(sizeof(T));
  const auto row_bytes = static_cast<std::size_t>(out.row_elements()) * sizeof(T);
  const Buffer<int> source(static_cast<std::size_t>(out.width));
  for (int x = 0; x < out.width; ++x) {
    source[static_cast<std::size_t>(x)] = nearest_input(x, image.width, out.width);
  }
  parallel_rows(Bands(out.height, rows_per_band(out.width), threads),
                [&](int, int begin, int end) noexcept {
                  int last = -1;
                  for (int y = begin; y < end; ++y) {
                    const int from = nearest_input(y, image.height, out.height);
                    if (from == last) {
                      std::memcpy(out.row(y), out.row(y - 1), row_bytes);
                    } else {
                      row(reinterpret_cast<const unsigned char*>(image.row(from)), source.data(),
                          pixel_bytes, reinterpret_cast<unsigned char*>(out.row(y)), out.width);
                    }
                    last = from;
                  }
                });
}

}  // namespace

template <typename T>
void resize(ImageView<const T> image, ImageView<T> out, Filter filter, int threads) {
  require_apart(out, image, "image");
  // Every filter leaves an image of the same size as it is.
  if (filter == Filter::nearest || (image.height == out.height && image.width == out.width)) {
    return pick(image, out, threads);
  }
  using Weight = std::conditional_t<std::is_same_v<T, float>, float, std::int16_t>;
  resample<Weight>(
      image, out.height, out.width, filter, resample_bands(image, out.height, out.width, threads),
      [&](int, int y) noexcept { return out.row(y); }, [](int, int) noexcept {});
}

template void resize(ImageView<const std::uint8_t>, ImageView<std::uint8_t>, Filter, int);
template void resize(ImageView<const float>, ImageView<float>, Filter, int);

}  // namespace fastmatte
