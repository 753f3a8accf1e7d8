// A thread makes 16 pixels of a row, in the integers of the processor's rows: the same bytes. What
// rows share of chroma comes from the first cache.
#include "core/require.h"
#include "cuda/access.h"
#include "cuda/kernels.h"
#include "kernels/yuv.h"

namespace fastmatte::cuda {
namespace {

constexpr int kPixels = 16;

// Of one sample of each, three times its own row and once the next one to it, about 0.
struct Chroma {
  int u, v;
};

FASTMATTE_EVERYWHERE inline Chroma weigh(const std::uint8_t* near, const std::uint8_t* far) {
  return {3 * near[0] + far[0] - 512, 3 * near[1] + far[1] - 512};
}

FASTMATTE_EVERYWHERE inline std::uint8_t level_of_sum(int sum) noexcept {
  const int level = sum >> kYuvBits;
  return static_cast<std::uint8_t>(level < 0 ? 0 : level > 255 ? 255 : level);
}

struct Nv12ToRgb {
  YuvImage image;
  RgbWeights weights;
  ImageView<std::uint8_t> out;

  FASTMATTE_EVERYWHERE void put(std::uint8_t y, const Chroma& sample, const Chroma& beside,
                                std::uint8_t* to) const noexcept {
    const int light = weights.luma * (y - weights.black) + (1 << (kYuvBits - 1));
    const int u = 3 * sample.u + beside.u, v = 3 * sample.v + beside.v;
    to[0] = level_of_sum(light + weights.red_v * v);
    to[1] = level_of_sum(light + weights.green_u * u + weights.green_v * v);
    to[2] = level_of_sum(light + weights.blue_u * u);
  }

  FASTMATTE_EVERYWHERE void operator()(int run, int y) const noexcept {
    const int x = run * kPixels;
    const int count = out.width - x < kPixels ? out.width - x : kPixels;
    const int row = y / 2, last = image.u.height - 1;
    const int beyond = y % 2 == 0 ? (row > 0 ? row - 1 : 0) : (row < last ? row + 1 : last);
    const std::uint8_t* const near = image.u.row(row) + x;
    const std::uint8_t* const far = image.u.row(beyond) + x;
    Run<std::uint8_t, kPixels> luma{}, nears{}, fars{};
    load(image.y.row(y) + x, count, luma);
    load(near, count, nears);
    load(far, count, fars);
    Run<std::uint8_t, 3 * kPixels> pixels;
    Chroma sample = weigh(nears.at, fars.at);
    // Edges are repeated.
    Chroma before = x > 0 ? weigh(near - 2, far - 2) : sample;
    FASTMATTE_UNROLL
    for (int i = 0; i < kPixels; i += 2) {
      if (i >= count) continue;
      Chroma after = sample;
      if (i + 2 < count) {
        after = weigh(nears.at + i + 2, fars.at + i + 2);
      } else if (x + i + 2 < out.width) {
        after = weigh(near + i + 2, far + i + 2);
      }
      put(luma.at[i], sample, before, pixels.at + 3 * i);
      put(luma.at[i + 1], sample, after, pixels.at + 3 * i + 3);
      before = sample;
      sample = after;
    }
    store(pixels, 3 * count, out.row(y) + 3 * x);
  }
};

}  // namespace

void yuv_to_rgb(const YuvImage& image, ImageView<std::uint8_t> out, cudaStream_t stream) {
  require_apart(out, image.y, "image");
  require_apart(out, image.u, "image");
  launch_pixels(Nv12ToRgb{image, rgb_weights(image.matrix, image.range), out},
                ceil_divide(out.width, kPixels), out.height, stream);
}

}  // namespace fastmatte::cuda
