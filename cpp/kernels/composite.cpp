// Checks shapes and alpha once, then hands rows to the active ISA.
#include "kernels/composite.h"

#include <type_traits>

#include "core/parallel.h"
#include "core/require.h"
#include "kernels/alpha_range.h"

namespace fastmatte {
namespace {

template <typename Body>
void for_each_row(ImageView<std::uint8_t> image, int threads, const Body& body) {
  parallel_rows(Bands(image.height, rows_per_band(image.width), threads),
                [&](int, int begin, int end) noexcept {
                  for (int y = begin; y < end; ++y) body(y);
                });
}

}  // namespace

template <typename Alpha>
void composite(ImageView<const std::uint8_t> foreground, ImageView<const std::uint8_t> background,
               ImageView<const Alpha> alpha, ImageView<std::uint8_t> out, int threads) {
  require_same_size(background, "background", foreground, "foreground");
  require_same_size(alpha, "alpha", foreground, "foreground");
  require_same_or_apart(out, foreground, "foreground");
  require_same_or_apart(out, background, "background");
  require_apart(out, alpha, "alpha");
  require_alpha(alpha, "alpha", threads);
  const auto row = [] {
    if constexpr (std::is_same_v<Alpha, float>)
      return active_composite_row_f32();
    else
      return active_composite_row_u8();
  }();
  for_each_row(out, threads, [&](int y) noexcept {
    row(foreground.row(y), background.row(y), alpha.row(y), out.row(y), out.width);
  });
}

template <typename Alpha>
void cutout(ImageView<const std::uint8_t> foreground, ImageView<const Alpha> alpha,
            ImageView<std::uint8_t> out, int threads) {
  require_same_size(alpha, "alpha", foreground, "foreground");
  require_apart(out, foreground, "foreground");
  require_apart(out, alpha, "alpha");
  require_alpha(alpha, "alpha", threads);
  const auto row = [] {
    if constexpr (std::is_same_v<Alpha, float>)
      return active_cutout_row_f32();
    else
      return active_cutout_row_u8();
  }();
  for_each_row(out, threads, [&](int y) noexcept {
    row(foreground.row(y), alpha.row(y), out.row(y), out.width);
  });
}

void premultiply(ImageView<const std::uint8_t> rgba, ImageView<std::uint8_t> out, int threads) {
  require_same_or_apart(out, rgba, "rgba");
  const auto row = active_premultiply_row();
  for_each_row(out, threads, [&](int y) noexcept { row(rgba.row(y), out.row(y), out.width); });
}

void unpremultiply(ImageView<const std::uint8_t> rgba, ImageView<std::uint8_t> out, int threads) {
  require_same_or_apart(out, rgba, "rgba");
  const auto row = active_unpremultiply_row();
  for_each_row(out, threads, [&](int y) noexcept { row(rgba.row(y), out.row(y), out.width); });
}

template void composite(ImageView<const std::uint8_t>, ImageView<const std::uint8_t>,
                        ImageView<const std::uint8_t>, ImageView<std::uint8_t>, int);
template void composite(ImageView<const std::uint8_t>, ImageView<const std::uint8_t>,
                        ImageView<const float>, ImageView<std::uint8_t>, int);
template void cutout(ImageView<const std::uint8_t>, ImageView<const std::uint8_t>,
                     ImageView<std::uint8_t>, int);
template void cutout(ImageView<const std::uint8_t>, ImageView<const float>, ImageView<std::uint8_t>,
                     int);

}  // namespace fastmatte
