// Checks, then one product and one comparison per value.
#include "kernels/quantise.h"

#include <atomic>
#include <utility>

#include "core/parallel.h"
#include "core/require.h"
#include "kernels/alpha_range.h"

namespace fastmatte {

namespace {

void quantise_rows(ImageView<const float> alpha, ImageView<std::uint8_t> out, int threads) {
  const auto row = active_quantise_row();
  parallel_rows(Bands(alpha.height, rows_per_band(alpha.width), threads),
                [&](int, int begin, int end) noexcept {
                  for (int y = begin; y < end; ++y) row(alpha.row(y), out.row(y), out.width);
                });
}

}  // namespace

void quantise(ImageView<const float> alpha, ImageView<std::uint8_t> out, int threads) {
  require_apart(out, alpha, "alpha");
  require_alpha(alpha, "alpha", threads);
  quantise_rows(alpha, out, threads);
}

AlphaBytes alpha_bytes(ImageView<const float> alpha, const char* name, int threads) {
  Buffer<std::uint8_t> plane(static_cast<std::size_t>(alpha.height) *
                             static_cast<std::size_t>(alpha.width));
  const ImageView<std::uint8_t> bytes{plane.data(), alpha.height, alpha.width, 1, alpha.width};
  // Nobody sees what is written before the check refuses: rows are read from memory once for both.
  std::atomic<bool> any{false};
  const auto row = active_quantise_row();
  const auto check = active_alpha_outside_row();
  parallel_rows(Bands(alpha.height, rows_per_band(alpha.width), threads),
                [&](int, int begin, int end) noexcept {
                  for (int y = begin; y < end; ++y) {
                    bool outside;
                    check(alpha.row(y), alpha.width, &outside);
                    if (outside) return any.store(true, std::memory_order_relaxed);
                    row(alpha.row(y), bytes.row(y), alpha.width);
                  }
                });
  if (any) require_alpha(alpha, name, threads);
  return {std::move(plane), bytes};
}

}  // namespace fastmatte
