// A thread takes 16 pixels: whole words of every image, and all arithmetic in registers.
#include "core/require.h"
#include "cuda/access.h"
#include "cuda/kernels.h"
#include "kernels/composite.h"

namespace fastmatte::cuda {
namespace {

constexpr int kPixels = 16;

FASTMATTE_EVERYWHERE inline std::uint8_t blend(std::uint8_t foreground, std::uint8_t background,
                                               std::uint8_t alpha) noexcept {
  return blend_255ths(foreground, background, alpha);
}
FASTMATTE_EVERYWHERE inline std::uint8_t blend(std::uint8_t foreground, std::uint8_t background,
                                               float alpha) noexcept {
  return blend_65536ths(foreground, background, steps_65536(unit(alpha)));
}

FASTMATTE_EVERYWHERE inline std::uint8_t level(std::uint8_t alpha) noexcept { return alpha; }
FASTMATTE_EVERYWHERE inline std::uint8_t level(float alpha) noexcept {
  return static_cast<std::uint8_t>(to_steps(unit(alpha), 255.0f));
}

template <typename Alpha>
struct Composite {
  ImageView<const std::uint8_t> foreground;
  Background background;
  ImageView<const Alpha> alpha;
  ImageView<std::uint8_t> out;

  FASTMATTE_EVERYWHERE void operator()(int run, int y) const noexcept {
    const int x = run * kPixels;
    const int count = out.width - x < kPixels ? out.width - x : kPixels;
    Run<std::uint8_t, 3 * kPixels> front, behind;
    Run<Alpha, kPixels> a;
    load(foreground.row(y) + 3 * x, 3 * count, front);
    load(alpha.row(y) + x, count, a);
    if (background.image.data) {
      load(background.image.row(y) + 3 * x, 3 * count, behind);
    } else {
      FASTMATTE_UNROLL
      for (int i = 0; i < 3 * kPixels; ++i) behind.at[i] = background.colour[i % 3];
    }
    FASTMATTE_UNROLL
    for (int i = 0; i < 3 * kPixels; ++i) {
      if (i < 3 * count) front.at[i] = blend(front.at[i], behind.at[i], a.at[i / 3]);
    }
    store(front, 3 * count, out.row(y) + 3 * x);
  }
};

template <typename Alpha>
struct Cutout {
  ImageView<const std::uint8_t> foreground;
  ImageView<const Alpha> alpha;
  ImageView<std::uint8_t> out;

  FASTMATTE_EVERYWHERE void operator()(int run, int y) const noexcept {
    const int x = run * kPixels;
    const int count = out.width - x < kPixels ? out.width - x : kPixels;
    Run<std::uint8_t, 3 * kPixels> front;
    Run<Alpha, kPixels> a;
    Run<std::uint8_t, 4 * kPixels> rgba;
    load(foreground.row(y) + 3 * x, 3 * count, front);
    load(alpha.row(y) + x, count, a);
    FASTMATTE_UNROLL
    for (int i = 0; i < kPixels; ++i) {
      if (i >= count) continue;
      const std::uint8_t opacity = level(a.at[i]);
      FASTMATTE_UNROLL
      for (int c = 0; c < 3; ++c) rgba.at[4 * i + c] = opacity == 0 ? 0 : front.at[3 * i + c];
      rgba.at[4 * i + 3] = opacity;
    }
    store(rgba, 4 * count, out.row(y) + 4 * x);
  }
};

}  // namespace

template <typename Alpha>
void composite(ImageView<const std::uint8_t> foreground, const Background& background,
               ImageView<const Alpha> alpha, ImageView<std::uint8_t> out, cudaStream_t stream) {
  if (background.image.data) {
    require_same_size(background.image, "background", foreground, "foreground");
    require_same_or_apart(out, background.image, "background");
  }
  require_same_size(alpha, "alpha", foreground, "foreground");
  require_same_or_apart(out, foreground, "foreground");
  require_apart(out, alpha, "alpha");
  launch_pixels(Composite<Alpha>{foreground, background, alpha, out},
                ceil_divide(out.width, kPixels), out.height, stream);
}

template <typename Alpha>
void cutout(ImageView<const std::uint8_t> foreground, ImageView<const Alpha> alpha,
            ImageView<std::uint8_t> out, cudaStream_t stream) {
  require_same_size(alpha, "alpha", foreground, "foreground");
  require_apart(out, foreground, "foreground");
  require_apart(out, alpha, "alpha");
  launch_pixels(Cutout<Alpha>{foreground, alpha, out}, ceil_divide(out.width, kPixels), out.height,
                stream);
}

template void composite(ImageView<const std::uint8_t>, const Background&,
                        ImageView<const std::uint8_t>, ImageView<std::uint8_t>, cudaStream_t);
template void composite(ImageView<const std::uint8_t>, const Background&, ImageView<const float>,
                        ImageView<std::uint8_t>, cudaStream_t);
template void cutout(ImageView<const std::uint8_t>, ImageView<const std::uint8_t>,
                     ImageView<std::uint8_t>, cudaStream_t);
template void cutout(ImageView<const std::uint8_t>, ImageView<const float>, ImageView<std::uint8_t>,
                     cudaStream_t);

}  // namespace fastmatte::cuda
