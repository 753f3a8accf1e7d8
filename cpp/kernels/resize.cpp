// Picks pixels for nearest, resamples for every other filter.
#include "kernels/resize.h"

#include <cstring>
#include <type_traits>

#include "core/parallel.h"
#include "core/require.h"
#include "core/stores.h"

namespace fastmatte {
namespace {

Buffer<int> nearest_columns(int input, int output) {
  Buffer<int> source(static_cast<std::size_t>(output));
  for (int x = 0; x < output; ++x) {
    source[static_cast<std::size_t>(x)] = nearest_input(x, input, output);
  }
  return source;
}

template <typename T>
void pick(ImageView<const T> image, ImageView<T> out, int threads) {
  const auto row = active_pick_pixels_row();
  const int pixel_bytes = image.channels * static_cast<int>(sizeof(T));
  const auto row_bytes = static_cast<std::size_t>(out.row_elements()) * sizeof(T);
  const Buffer<int> source = nearest_columns(image.width, out.width);
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

// Whether bilinear and area are both the plain mean of 2 x 2 pixels. The integer weights are then
// powers of 2 and the pass between keeps every bit, so the mean of four is what two passes give.
bool halves(ImageView<const std::uint8_t> image, ImageView<std::uint8_t> out,
            Filter filter) noexcept {
  return image.height == 2 * out.height && image.width == 2 * out.width &&
         (filter == Filter::bilinear || filter == Filter::area);
}

void halve(ImageView<const std::uint8_t> image, ImageView<std::uint8_t> out, int threads) {
  const auto row = active_halve_row();
  parallel_rows(Bands(out.height, rows_per_band(2 * image.width), threads), [&](int, int begin,
                                                                                int end) noexcept {
    for (int y = begin; y < end; ++y) {
      row(image.row(2 * y), image.row(2 * y + 1), image.channels, out.row(y), out.width);
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
  if constexpr (std::is_same_v<T, std::uint8_t>) {
    if (halves(image, out, filter)) return halve(image, out, threads);
  }
  using Weight = std::conditional_t<std::is_same_v<T, float>, float, std::int16_t>;
  resample<Weight>(
      image, out.height, out.width, filter, resample_bands(image, out.height, out.width, threads),
      [&](int, int y) noexcept { return out.row(y); }, [](int, int) noexcept {}, stores_for(out));
}

void resize(ImageView<const float> image, ImageView<std::uint8_t> out, Filter filter, int threads) {
  require_apart(out, image, "image");
  const auto to_levels = active_clamp_to_levels_row();
  const int elements = out.row_elements();
  if (filter == Filter::nearest || (image.height == out.height && image.width == out.width)) {
    const auto pick_row = active_pick_pixels_row();
    const int pixel_bytes = image.channels * static_cast<int>(sizeof(float));
    const Buffer<int> source = nearest_columns(image.width, out.width);
    const Bands bands(out.height, rows_per_band(out.width), threads);
    const Slices<float> rows(bands.workers, static_cast<std::size_t>(elements));
    parallel_rows(bands, [&](int worker, int begin, int end) noexcept {
      for (int y = begin; y < end; ++y) {
        const float* from = image.row(nearest_input(y, image.height, out.height));
        pick_row(reinterpret_cast<const unsigned char*>(from), source.data(), pixel_bytes,
                 reinterpret_cast<unsigned char*>(rows[worker]), out.width);
        to_levels(rows[worker], out.row(y), elements);
      }
    });
    return;
  }
  const Bands bands = resample_bands(image, out.height, out.width, threads);
  const Slices<float> rows(bands.workers, static_cast<std::size_t>(elements));
  resample<float>(
      image, out.height, out.width, filter, bands,
      [&](int worker, int) noexcept { return rows[worker]; },
      [&](int worker, int y) noexcept { to_levels(rows[worker], out.row(y), elements); });
}

template void resize(ImageView<const std::uint8_t>, ImageView<std::uint8_t>, Filter, int);
template void resize(ImageView<const float>, ImageView<float>, Filter, int);

}  // namespace fastmatte
