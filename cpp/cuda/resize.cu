// A thread makes one pixel; uint8 in the processor's integers, float32 in its order.
#include "core/require.h"
#include "cuda/access.h"
#include "cuda/kernels.h"
#include "cuda/sample.h"

namespace fastmatte::cuda {
namespace {

// [0, 1] to 255ths as the processor's resize has them: NaN becomes 0.
FASTMATTE_EVERYWHERE inline void put(float value, std::uint8_t& out) noexcept {
  out = static_cast<std::uint8_t>((static_cast<int>(unit(value) * 510.0f) + 1) >> 1);
}
FASTMATTE_EVERYWHERE inline void put(float value, float& out) noexcept { out = value; }
FASTMATTE_EVERYWHERE inline void put(std::uint8_t value, std::uint8_t& out) noexcept {
  out = value;
}

// Every filter leaves an image of the same size as it is.
template <typename In, typename Out>
struct Pick {
  ImageView<const In> image;
  ImageView<Out> out;

  FASTMATTE_EVERYWHERE static int nearest(int i, int input, int output) noexcept {
    return static_cast<int>((2 * std::int64_t{i} + 1) * input / (2 * std::int64_t{output}));
  }
  FASTMATTE_EVERYWHERE void operator()(int x, int y) const noexcept {
    const In* const from = image.row(nearest(y, image.height, out.height)) +
                           std::ptrdiff_t{nearest(x, image.width, out.width)} * image.channels;
    Out* const to = out.row(y) + std::ptrdiff_t{x} * out.channels;
    for (int c = 0; c < out.channels; ++c) put(from[c], to[c]);
  }
};

template <int kChannels>
struct ResizeLevels {
  Sampler<std::int16_t, std::uint8_t> sampler;
  ImageView<std::uint8_t> out;

  FASTMATTE_EVERYWHERE void operator()(int x, int y) const noexcept {
    std::uint8_t* const to = out.row(y) + std::ptrdiff_t{x} * kChannels;
    sampler.template sample<kChannels, int>(
        x, y,
        [](int partial) {
          constexpr int shift = kWeightBits - kPassBits;
          return (partial + (1 << (shift - 1))) >> shift;
        },
        [&](int c, int sum) {
          constexpr int shift = kWeightBits + kPassBits;
          const int level = (sum + (1 << (shift - 1))) >> shift;
          to[c] = static_cast<std::uint8_t>(level < 0 ? 0 : level > 255 ? 255 : level);
        });
  }
};

template <int kChannels, typename Out>
struct ResizeFloats {
  Sampler<float, float> sampler;
  ImageView<Out> out;

  FASTMATTE_EVERYWHERE void operator()(int x, int y) const noexcept {
    Out* const to = out.row(y) + std::ptrdiff_t{x} * kChannels;
    sampler.template sample<kChannels, float>(
        x, y, [](float partial) { return partial; }, [&](int c, float sum) { put(sum, to[c]); });
  }
};

template <template <int> class Program, typename SamplerOf, typename Out>
void launch(const SamplerOf& sampler, ImageView<Out> out, cudaStream_t stream) {
  if (out.channels == 1) {
    launch_pixels(Program<1>{sampler, out}, out.width, out.height, stream);
  } else if (out.channels == 3) {
    launch_pixels(Program<3>{sampler, out}, out.width, out.height, stream);
  } else {
    launch_pixels(Program<4>{sampler, out}, out.width, out.height, stream);
  }
}

template <int kChannels>
using FloatsToFloats = ResizeFloats<kChannels, float>;
template <int kChannels>
using FloatsToLevels = ResizeFloats<kChannels, std::uint8_t>;

template <template <int> class Program, typename Weight, typename In, typename Out>
void run(ImageView<const In> image, ImageView<Out> out, Filter filter, Workspace& workspace,
         cudaStream_t stream) {
  require_apart(out, image, "image");
  if (filter == Filter::nearest || (image.height == out.height && image.width == out.width)) {
    return launch_pixels(Pick<In, Out>{image, out}, out.width, out.height, stream);
  }
  launch<Program>(make_sampler<Weight>(image, out.height, out.width, filter, workspace, stream),
                  out, stream);
}

}  // namespace

template <>
void resize(ImageView<const std::uint8_t> image, ImageView<std::uint8_t> out, Filter filter,
            Workspace& workspace, cudaStream_t stream) {
  run<ResizeLevels, std::int16_t>(image, out, filter, workspace, stream);
}

template <>
void resize(ImageView<const float> image, ImageView<float> out, Filter filter, Workspace& workspace,
            cudaStream_t stream) {
  run<FloatsToFloats, float>(image, out, filter, workspace, stream);
}

void resize(ImageView<const float> image, ImageView<std::uint8_t> out, Filter filter,
            Workspace& workspace, cudaStream_t stream) {
  run<FloatsToLevels, float>(image, out, filter, workspace, stream);
}

}  // namespace fastmatte::cuda
