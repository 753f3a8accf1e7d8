// Two passes of windows; between them the products that the second sums, as uint16, in tiles that
// hold an unknown pixel or lie beside one. Integer sums and the processor's own formulas: the same
// bytes.
#include "core/require.h"
#include "cuda/access.h"
#include "cuda/box_window.h"
#include "cuda/kernels.h"
#include "kernels/estimate_foreground.h"
#include "kernels/quantise.h"

namespace fastmatte::cuda {
namespace {

FASTMATTE_EVERYWHERE inline std::uint8_t level(std::uint8_t alpha) noexcept { return alpha; }
FASTMATTE_EVERYWHERE inline std::uint8_t level(float alpha) noexcept {
  return static_cast<std::uint8_t>(to_steps(unit(alpha), 255.0f));
}

// alpha * foreground and (255 - alpha) * background of one pixel.
constexpr int kProducts = 6;

template <typename Alpha>
struct Picture {
  static constexpr bool kSparse = true;
  ImageView<const std::uint8_t> image;
  ImageView<const Alpha> alpha;

  FASTMATTE_EVERYWHERE std::uint8_t alpha_at(int y, int x) const noexcept {
    return level(alpha.row(y)[x]);
  }
  FASTMATTE_EVERYWHERE bool needs(int y, int x) const noexcept {
    return is_unknown(alpha_at(y, x));
  }
};

// With the paper's letters.
struct Colours {
  float F, B;
};

FASTMATTE_EVERYWHERE inline float reciprocal(std::uint32_t weight) noexcept {
  return 1.0f / static_cast<float>(static_cast<int>(weight > 1 ? weight : 1));
}

template <typename Alpha>
struct WideSource : Picture<Alpha> {
  FASTMATTE_EVERYWHERE void operator()(int y, int x,
                                       std::uint32_t (&sums)[kForegroundPlanes]) const noexcept {
    const std::uint32_t a = this->alpha_at(y, x);
    const std::uint8_t* pixel = this->image.row(y) + 3 * x;
    FASTMATTE_UNROLL
    for (int c = 0; c < 3; ++c) {
      sums[c] = a * pixel[c];
      sums[3 + c] = pixel[c];
    }
    sums[6] = a;
  }
};

template <typename Alpha>
struct WideFinish {
  static constexpr int kReach = kNarrowRadius;
  Picture<Alpha> picture;
  std::uint16_t* products;

  FASTMATTE_EVERYWHERE void skip(int, int) const noexcept {}
  FASTMATTE_EVERYWHERE void operator()(int y, int x, const std::uint32_t (&sums)[kForegroundPlanes],
                                       int pixels) const noexcept {
    const float weight = picture.alpha_at(y, x), opacity = weight * (1.0f / 255.0f);
    const float inside = reciprocal(sums[6]);
    const float outside = reciprocal(255u * static_cast<std::uint32_t>(pixels) - sums[6]);
    const std::uint8_t* pixel = picture.image.row(y) + 3 * x;
    std::uint16_t* to = products + (std::ptrdiff_t{y} * picture.image.width + x) * kProducts;
    FASTMATTE_UNROLL
    for (int c = 0; c < 3; ++c) {
      const float F = static_cast<float>(static_cast<int>(sums[c])) * inside;
      const float B = static_cast<float>(static_cast<int>(255u * sums[3 + c] - sums[c])) * outside;
      const float fused = fuse(pixel[c], opacity, F, B);
      to[c] = static_cast<std::uint16_t>(static_cast<int>(weight * fused + 0.5f));
      to[3 + c] = static_cast<std::uint16_t>(static_cast<int>((255.0f - weight) * B + 0.5f));
    }
  }
};

template <typename Alpha>
struct NarrowSource : Picture<Alpha> {
  const std::uint16_t* products;

  FASTMATTE_EVERYWHERE void operator()(int y, int x,
                                       std::uint32_t (&sums)[kForegroundPlanes]) const noexcept {
    const std::uint16_t* from = products + (std::ptrdiff_t{y} * this->image.width + x) * kProducts;
    FASTMATTE_UNROLL
    for (int k = 0; k < kProducts; ++k) sums[k] = from[k];
    sums[kProducts] = this->alpha_at(y, x);
  }
};

template <typename Alpha>
struct NarrowFinish {
  static constexpr int kReach = 0;
  Picture<Alpha> picture;
  ImageView<std::uint8_t> out;

  FASTMATTE_EVERYWHERE void skip(int y, int x) const noexcept {
    FASTMATTE_UNROLL
    for (int c = 0; c < 3; ++c) out.row(y)[3 * x + c] = picture.image.row(y)[3 * x + c];
  }
  FASTMATTE_EVERYWHERE void operator()(int y, int x, const std::uint32_t (&sums)[kForegroundPlanes],
                                       int pixels) const noexcept {
    const std::uint8_t a = picture.alpha_at(y, x);
    // What sums of such a pixel hold of tiles that were skipped is never shown.
    if (!is_unknown(a)) return skip(y, x);
    const float opacity = static_cast<float>(a) * (1.0f / 255.0f);
    const float inside = reciprocal(sums[6]);
    const float outside = reciprocal(255u * static_cast<std::uint32_t>(pixels) - sums[6]);
    FASTMATTE_UNROLL
    for (int c = 0; c < 3; ++c) {
      const float F = static_cast<float>(static_cast<int>(sums[c])) * inside;
      const float B = static_cast<float>(static_cast<int>(sums[3 + c])) * outside;
      const float fused = fuse(picture.image.row(y)[3 * x + c], opacity, F, B);
      out.row(y)[3 * x + c] = static_cast<std::uint8_t>(static_cast<int>(fused + 0.5f));
    }
  }
};

}  // namespace

template <typename Alpha>
void estimate_foreground(ImageView<const std::uint8_t> image, ImageView<const Alpha> alpha,
                         ImageView<std::uint8_t> out, Workspace& workspace, cudaStream_t stream) {
  require_same_size(alpha, "alpha", image, "image");
  require_apart(out, image, "image");
  require_apart(out, alpha, "alpha");
  workspace.begin();
  const auto pixels =
      static_cast<std::size_t>(image.height) * static_cast<std::size_t>(image.width);
  auto* const products = workspace.take<std::uint16_t>(pixels * kProducts, stream);
  const Picture<Alpha> picture{image, alpha};
  launch_windows<std::uint32_t, kForegroundPlanes>(
      WideSource<Alpha>{picture}, WideFinish<Alpha>{picture, products}, image.height, image.width,
      kWideRadius, workspace, stream);
  launch_windows<std::uint32_t, kForegroundPlanes>(NarrowSource<Alpha>{picture, products},
                                                   NarrowFinish<Alpha>{picture, out}, image.height,
                                                   image.width, kNarrowRadius, workspace, stream);
}

template void estimate_foreground(ImageView<const std::uint8_t>, ImageView<const std::uint8_t>,
                                  ImageView<std::uint8_t>, Workspace&, cudaStream_t);
template void estimate_foreground(ImageView<const std::uint8_t>, ImageView<const float>,
                                  ImageView<std::uint8_t>, Workspace&, cudaStream_t);

}  // namespace fastmatte::cuda
