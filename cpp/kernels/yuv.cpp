// Hands rows to the active ISA, with weights worked out once.
#include "kernels/yuv.h"

#include <algorithm>

#include "core/buffer.h"
#include "core/parallel.h"
#include "core/require.h"

namespace fastmatte {
void yuv_to_rgb(const YuvImage& image, ImageView<std::uint8_t> out, int threads) {
  require_apart(out, image.y, "image");
  require_apart(out, image.u, "image");
  const bool pairs = image.u.channels == 2;
  if (!pairs) require_apart(out, image.v, "image");
  const auto row = active_rgb_row();
  const auto split = active_split_row();
  const RgbWeights weights = rgb_weights(image.matrix, image.range);
  const Bands bands(out.height, rows_per_band(out.width), threads);
  const int width = image.u.width, last = image.u.height - 1;
  // Of interleaved chroma, two rows taken apart.
  const Slices<std::uint8_t> apart(pairs ? bands.workers : 0, 4 * static_cast<std::size_t>(width));
  parallel_rows(bands, [&](int worker, int begin, int end) noexcept {
    for (int y = begin; y < end; ++y) {
      const int near = y / 2;
      const int far = std::min(std::max(y % 2 == 0 ? near - 1 : near + 1, 0), last);
      if (!pairs) {
        row({image.y.row(y), image.u.row(near), image.v.row(near), image.u.row(far),
             image.v.row(far)},
            out.width, weights, out.row(y));
        continue;
      }
      std::uint8_t* const u = apart[worker];
      split(image.u.row(near), u, u + width, width);
      split(image.u.row(far), u + 2 * width, u + 3 * width, width);
      row({image.y.row(y), u, u + width, u + 2 * width, u + 3 * width}, out.width, weights,
          out.row(y));
    }
  });
}

void rgb_to_yuv(ImageView<const std::uint8_t> image, YuvMatrix matrix, YuvRange range,
                const YuvPlanes& out, int threads) {
  for (const auto& plane : {out.y, out.u, out.v}) require_apart(plane, image, "image");
  const auto rows = active_yuv_rows();
  const YuvFromRgb weights = yuv_from_rgb(matrix, range);
  parallel_rows(Bands(out.u.height, rows_per_band(2 * image.width), threads),
                [&](int, int begin, int end) noexcept {
                  for (int y = begin; y < end; ++y) {
                    rows(image.row(2 * y), image.row(2 * y + 1), image.width, weights,
                         out.y.row(2 * y), out.y.row(2 * y + 1), out.u.row(y), out.v.row(y));
                  }
                });
}

}  // namespace fastmatte
