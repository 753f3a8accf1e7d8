// What a network made, as images: its colours, and its alpha, which a trimap may know better.
#include <cmath>

#include "core/require.h"
#include "cuda/access.h"
#include "cuda/kernels.h"
#include "kernels/alpha_range.h"
#include "kernels/from_tensor.h"

namespace fastmatte::cuda {
namespace {

constexpr int kPixels = 16;

template <typename T>
struct FromTensor {
  TensorView<const T> tensor;
  ImageView<std::uint8_t> out;
  int first;  // plane of the image's first channel

  FASTMATTE_EVERYWHERE void operator()(int run, int y) const noexcept {
    const int x = run * kPixels;
    const int count = out.width - x < kPixels ? out.width - x : kPixels;
    const int planes[] = {first, 1, 2 - first};
    Run<std::uint8_t, 3 * kPixels> pixels;
    FASTMATTE_UNROLL
    for (int c = 0; c < 3; ++c) {
      Run<T, kPixels> plane;
      load(tensor.plane_row(planes[c], y) + x, count, plane);
      FASTMATTE_UNROLL
      for (int i = 0; i < kPixels; ++i) {
        if (i < count) pixels.at[3 * i + c] = level_of(widen(plane.at[i]));
      }
    }
    store(pixels, 3 * count, out.row(y) + 3 * x);
  }
};

FASTMATTE_EVERYWHERE inline void put(float alpha, float& out) noexcept { out = alpha; }
FASTMATTE_EVERYWHERE inline void put(float alpha, std::uint8_t& out) noexcept {
  out = level_of(alpha);
}

template <typename T, typename Out>
struct ReadAlpha {
  const T* output;
  AlphaPlace place;
  ImageView<Out> out;
  float* strange;

  FASTMATTE_EVERYWHERE void operator()(int x, int y) const noexcept {
    float alpha = widen(output[place.first + y * place.row + x * place.step]);
    if (place.is_logit) alpha = 1.0f / (1.0f + expf(-alpha));
    // Any of them will do: whichever thread comes last.
    if (!is_nearly_alpha(alpha)) *strange = alpha;
    put(unit(alpha), out.row(y)[x]);
  }
};

FASTMATTE_EVERYWHERE inline void set(float& alpha, bool opaque) noexcept {
  alpha = opaque ? 1.0f : 0.0f;
}
FASTMATTE_EVERYWHERE inline void set(std::uint8_t& alpha, bool opaque) noexcept {
  alpha = opaque ? 255 : 0;
}

template <typename Out>
struct SetKnown {
  ImageView<const std::uint8_t> trimap;
  ImageView<Out> alpha;

  FASTMATTE_EVERYWHERE void operator()(int x, int y) const noexcept {
    const std::uint8_t level = trimap.row(y)[x];
    if (level == 0 || level == 255) set(alpha.row(y)[x], level == 255);
  }
};

}  // namespace

template <typename T>
void from_tensor(TensorView<const T> tensor, ImageView<std::uint8_t> out, ChannelOrder order,
                 cudaStream_t stream) {
  require_apart(out, tensor.memory(), "tensor");
  launch_pixels(FromTensor<T>{tensor, out, order == ChannelOrder::rgb ? 0 : 2},
                ceil_divide(out.width, kPixels), out.height, stream);
}

template <typename T, typename Out>
void read_alpha(const T* output, const AlphaPlace& place, ImageView<Out> out, float* strange,
                cudaStream_t stream) {
  launch_pixels(ReadAlpha<T, Out>{output, place, out, strange}, out.width, out.height, stream);
}

template <typename Out>
void set_known(ImageView<const std::uint8_t> trimap, ImageView<Out> alpha, cudaStream_t stream) {
  require_same_size(trimap, "trimap", ImageView<const Out>(alpha), "alpha");
  launch_pixels(SetKnown<Out>{trimap, alpha}, alpha.width, alpha.height, stream);
}

template void from_tensor(TensorView<const float>, ImageView<std::uint8_t>, ChannelOrder,
                          cudaStream_t);
template void from_tensor(TensorView<const Half>, ImageView<std::uint8_t>, ChannelOrder,
                          cudaStream_t);
template void read_alpha(const float*, const AlphaPlace&, ImageView<float>, float*, cudaStream_t);
template void read_alpha(const Half*, const AlphaPlace&, ImageView<float>, float*, cudaStream_t);
template void read_alpha(const float*, const AlphaPlace&, ImageView<std::uint8_t>, float*,
                         cudaStream_t);
template void read_alpha(const Half*, const AlphaPlace&, ImageView<std::uint8_t>, float*,
                         cudaStream_t);
template void set_known(ImageView<const std::uint8_t>, ImageView<std::uint8_t>, cudaStream_t);
template void set_known(ImageView<const std::uint8_t>, ImageView<float>, cudaStream_t);

}  // namespace fastmatte::cuda
