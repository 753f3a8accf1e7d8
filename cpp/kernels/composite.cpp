// Checks shapes and alpha once, then hands rows to the active ISA.
#include "kernels/composite.h"

#include <algorithm>
#include <cmath>
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

// Light of a level between 0 and 255, in 65535ths. No rounding below comes nearer to a tie than
// 1e-4, so that the precision of pow() does not matter.
double light_of(double level) {
  const double v = level / 255;
  return 65535 * (v <= 0.04045 ? v / 12.92 : std::pow((v + 0.055) / 1.055, 2.4));
}

SrgbTables make_srgb_tables() {
  SrgbTables tables{};
  int light = 0;
  for (int level = 0; level < 256; ++level) {
    tables.light[level] = static_cast<std::uint16_t>(std::floor(light_of(level) + 0.5));
    // Light belongs to a level up to the one half a level above it.
    const int end = std::min(65536, static_cast<int>(std::ceil(light_of(level + 0.5))));
    for (; light < end; ++light) tables.level[light] = static_cast<std::uint8_t>(level);
  }
  return tables;
}

const SrgbTables& srgb_tables() {
  static const SrgbTables tables = make_srgb_tables();
  return tables;
}

}  // namespace

template <typename Alpha>
void composite(ImageView<const std::uint8_t> foreground, ImageView<const std::uint8_t> background,
               ImageView<const Alpha> alpha, Mixing mixing, ImageView<std::uint8_t> out,
               int threads) {
  require_same_size(background, "background", foreground, "foreground");
  require_same_size(alpha, "alpha", foreground, "foreground");
  require_same_or_apart(out, foreground, "foreground");
  require_same_or_apart(out, background, "background");
  require_apart(out, alpha, "alpha");
  require_alpha(alpha, "alpha", threads);
  if (mixing == Mixing::light) {
    const SrgbTables& srgb = srgb_tables();
    const auto row = [] {
      if constexpr (std::is_same_v<Alpha, float>)
        return active_composite_light_row_f32();
      else
        return active_composite_light_row_u8();
    }();
    return for_each_row(out, threads, [&](int y) noexcept {
      row(foreground.row(y), background.row(y), alpha.row(y), srgb, out.row(y), out.width);
    });
  }
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

void composite_tensor(TensorView<const float> tensor, ChannelOrder order,
                      ImageView<const std::uint8_t> background, ImageView<const float> alpha,
                      ImageView<std::uint8_t> out, int threads) {
  const ImageView<const float> plane{tensor.data, tensor.height, tensor.width, 1, tensor.width};
  require_same_size(background, "background", plane, "tensor");
  require_same_size(alpha, "alpha", plane, "tensor");
  require_apart(out, tensor.memory(), "tensor");
  require_same_or_apart(out, background, "background");
  require_apart(out, alpha, "alpha");
  require_alpha(alpha, "alpha", threads);
  const auto row = active_composite_planes_row();
  const int first = order == ChannelOrder::rgb ? 0 : 2;
  for_each_row(out, threads, [&](int y) noexcept {
    row(tensor.plane_row(first, y), tensor.plane_row(1, y), tensor.plane_row(2 - first, y),
        background.row(y), alpha.row(y), out.row(y), out.width);
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
                        ImageView<const std::uint8_t>, Mixing, ImageView<std::uint8_t>, int);
template void composite(ImageView<const std::uint8_t>, ImageView<const std::uint8_t>,
                        ImageView<const float>, Mixing, ImageView<std::uint8_t>, int);
template void cutout(ImageView<const std::uint8_t>, ImageView<const std::uint8_t>,
                     ImageView<std::uint8_t>, int);
template void cutout(ImageView<const std::uint8_t>, ImageView<const float>, ImageView<std::uint8_t>,
                     int);

}  // namespace fastmatte
