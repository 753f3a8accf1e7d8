// The plane is filled before the kernel that wants bytes starts: its windows read each row many
// times.
#include "kernels/quantise_alpha.h"

#include <utility>

#include "core/parallel.h"

namespace fastmatte {

AlphaBytes quantise_alpha(ImageView<const float> alpha, int threads) {
  const auto row = active_quantise_alpha_row();
  Buffer<std::uint8_t> plane(static_cast<std::size_t>(alpha.height) *
                             static_cast<std::size_t>(alpha.width));
  const ImageView<std::uint8_t> bytes{plane.data(), alpha.height, alpha.width, 1, alpha.width};
  parallel_rows(Bands(alpha.height, rows_per_band(alpha.width), threads),
                [&](int, int begin, int end) noexcept {
                  for (int y = begin; y < end; ++y) row(alpha.row(y), bytes.row(y), alpha.width);
                });
  return {std::move(plane), bytes};
}

}  // namespace fastmatte
