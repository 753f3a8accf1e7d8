// Counts, in the window of each pixel, of pixels that are not background and of those that are not
// foreground.
#include <string>

#include "core/require.h"
#include "cuda/access.h"
#include "cuda/box_window.h"
#include "cuda/kernels.h"

namespace fastmatte::cuda {
namespace {

FASTMATTE_EVERYWHERE inline float opacity(float alpha) noexcept { return unit(alpha); }
FASTMATTE_EVERYWHERE inline float opacity(std::uint8_t alpha) noexcept {
  return static_cast<float>(alpha) / 255.0f;
}

template <typename Alpha>
struct Sides {
  static constexpr bool kSparse = false;
  ImageView<const Alpha> alpha;
  float low, high;

  FASTMATTE_EVERYWHERE void operator()(int y, int x, std::uint32_t (&counts)[2]) const noexcept {
    const float a = opacity(alpha.row(y)[x]);
    counts[0] = a <= low ? 0 : 1;
    counts[1] = a >= high ? 0 : 1;
  }
};

struct Mark {
  ImageView<std::uint8_t> out;

  FASTMATTE_EVERYWHERE void operator()(int y, int x, const std::uint32_t (&counts)[2],
                                       int) const noexcept {
    out.row(y)[x] = counts[0] == 0 ? 0 : counts[1] == 0 ? 255 : 128;
  }
};

}  // namespace

template <typename Alpha>
void trimap(ImageView<const Alpha> alpha, int radius, float low, float high,
            ImageView<std::uint8_t> out, Workspace& workspace, cudaStream_t stream) {
  if (!(low < high)) {
    throw ArgumentError("low", "less than high, " + std::to_string(high), std::to_string(low));
  }
  require_same_size(alpha, "alpha", ImageView<const std::uint8_t>(out), "out");
  require_apart(out, alpha, "alpha");
  workspace.begin();
  launch_windows<std::uint32_t, 2>(Sides<Alpha>{alpha, low, high}, Mark{out}, out.height, out.width,
                                   radius, workspace, stream);
}

template void trimap(ImageView<const std::uint8_t>, int, float, float, ImageView<std::uint8_t>,
                     Workspace&, cudaStream_t);
template void trimap(ImageView<const float>, int, float, float, ImageView<std::uint8_t>, Workspace&,
                     cudaStream_t);

}  // namespace fastmatte::cuda
