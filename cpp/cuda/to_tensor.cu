// A frame, and what a network is told besides it, as the network's inputs. A thread makes four
// adjacent pixels of every plane, so that planes are written in whole words; what it reads overlaps
// with its neighbours' in the first cache.
#include <utility>

#include "core/require.h"
#include "cuda/access.h"
#include "cuda/kernels.h"
#include "cuda/sample.h"
#include "kernels/to_tensor.h"

namespace fastmatte::cuda {
namespace {

// As many pixels as one word of T holds.
template <typename T>
constexpr int kPixels = static_cast<int>(sizeof(Word) / sizeof(T));

// The levels of one pixel of the box, resampled as the processor does it: bilinear in its order,
// so to the same bits; area in the order of its passes.
template <int kChannels>
struct Levels8 {
  ImageView<const std::uint8_t> image;
  RowTaps<float> down, across;
  bool resized, bilinear, rows_first;

  FASTMATTE_EVERYWHERE void sample(int x, int y, float (&levels)[kChannels]) const noexcept {
    if (!resized) {
      const std::uint8_t* const pixel = image.row(y) + std::ptrdiff_t{x} * image.channels;
      FASTMATTE_UNROLL
      for (int c = 0; c < kChannels; ++c) levels[c] = static_cast<float>(pixel[c]);
      return;
    }
    if (!bilinear) {
      const Sampler<float, std::uint8_t> sampler{image, down, across, rows_first};
      sampler.template sample<kChannels, float>(
          x, y, [](float partial) { return partial; },
          [&](int c, float level) { levels[c] = level; });
      return;
    }
    const bool falls = down.count[y] > 1, goes = across.count[x] > 1;
    const float* const of_rows = down.weights + std::ptrdiff_t{y} * down.taps;
    const float* const of_columns = across.weights + std::ptrdiff_t{x} * across.taps;
    const float top = of_rows[0], bottom = falls ? of_rows[1] : 0.0f;
    const float left = of_columns[0], right = goes ? of_columns[1] : 0.0f;
    const int next = goes ? image.channels : 0;
    const std::uint8_t* const upper =
        image.row(down.start[y]) + std::ptrdiff_t{across.start[x]} * image.channels;
    const std::uint8_t* const lower = falls ? upper + image.row_stride : upper;
    FASTMATTE_UNROLL
    for (int c = 0; c < kChannels; ++c) {
      const float a = upper[c], b = upper[c + next], d = lower[c], e = lower[c + next];
      levels[c] = (a * top + d * bottom) * left + (b * top + e * bottom) * right;
    }
  }
};

template <int kChannels>
Levels8<kChannels> levels_of(ImageView<const std::uint8_t> image, const Box& box, Filter filter,
                             Workspace& workspace, cudaStream_t stream) {
  Levels8<kChannels> levels{
      image, {}, {}, false, filter == Filter::bilinear, box.height <= image.height};
  levels.resized = image.height != box.height || image.width != box.width;
  if (levels.resized) {
    levels.down = workspace.axis<float>(filter, image.height, box.height, stream);
    levels.across = workspace.axis<float>(filter, image.width, box.width, stream);
  }
  return levels;
}

struct Colours {
  Levels8<3> image;
  bool reversed;

  FASTMATTE_EVERYWHERE void sample(int x, int y, float (&levels)[3]) const noexcept {
    image.sample(x, y, levels);
    if (!reversed) return;
    const float first = levels[0];
    levels[0] = levels[2];
    levels[2] = first;
  }
};

FASTMATTE_EVERYWHERE inline float clamp_level(float level) noexcept {
  return level < 0.0f ? 0.0f : level > 255.0f ? 255.0f : level;
}

struct Nv12 {
  Levels8<1> luma;
  Levels8<2> chroma;
  YuvWeights weights;

  FASTMATTE_EVERYWHERE void sample(int x, int y, float (&levels)[3]) const noexcept {
    float light[1], uv[2];
    luma.sample(x, y, light);
    chroma.sample(x, y, uv);
    const float l = weights.luma * (light[0] - weights.black);
    const float u = uv[0] - 128.0f, v = uv[1] - 128.0f;
    levels[0] = clamp_level(l + weights.red_v * v);
    levels[1] = clamp_level(l + (weights.green_u * u + weights.green_v * v));
    levels[2] = clamp_level(l + weights.blue_u * u);
  }
};

template <typename Source, typename T>
struct ToTensor {
  Source source;
  TensorView<T> out;
  Placement place;
  Levels levels;

  FASTMATTE_EVERYWHERE void operator()(int run, int y) const noexcept {
    constexpr int n = kPixels<T>;
    const int begin = run * n;
    const int count = out.width - begin < n ? out.width - begin : n;
    const Box& box = place.box;
    const bool row_inside = y >= box.y && y < box.y + box.height;
    Run<T, n> planes[3];
    FASTMATTE_UNROLL
    for (int i = 0; i < n; ++i) {
      const int x = begin + i;
      float pixel[3] = {static_cast<float>(place.around[0]), static_cast<float>(place.around[1]),
                        static_cast<float>(place.around[2])};
      if (i < count && row_inside && x >= box.x && x < box.x + box.width) {
        source.sample(x - box.x, y - box.y, pixel);
      }
      FASTMATTE_UNROLL
      for (int c = 0; c < 3; ++c) {
        convert(pixel[c] * levels.factor[c] + levels.offset[c], planes[c].at[i]);
      }
    }
    if (out.layout == Layout::nchw) {
      FASTMATTE_UNROLL
      for (int c = 0; c < 3; ++c) store(planes[c], count, out.plane_row(c, y) + begin);
      return;
    }
    T* const to = out.pixel_row(y) + 3 * begin;
    FASTMATTE_UNROLL
    for (int i = 0; i < n; ++i) {
      FASTMATTE_UNROLL
      for (int c = 0; c < 3; ++c) {
        if (i < count) to[3 * i + c] = planes[c].at[i];
      }
    }
  }
};

template <typename Source, typename T>
void launch(const Source& source, TensorView<T> out, const Placement& place, const Levels& levels,
            cudaStream_t stream) {
  launch_pixels(ToTensor<Source, T>{source, out, place, levels}, ceil_divide(out.width, kPixels<T>),
                out.height, stream);
}

template <typename T>
struct LayTrimap {
  ImageView<const std::uint8_t> trimap;
  TensorView<T> plane;
  float unknown, foreground;

  FASTMATTE_EVERYWHERE void operator()(int x, int y) const noexcept {
    const std::uint8_t level = trimap.row(y)[x];
    convert(level == 0 ? 0.0f : level == 255 ? foreground : unknown, plane.plane_row(0, y)[x]);
  }
};

template <typename T>
struct Extend {
  TensorView<T> tensor;
  int height, width;
  bool repeats;

  FASTMATTE_EVERYWHERE void operator()(int x, int y) const noexcept {
    if (y < height && x < width) return;
    const int row = y < height ? y : height - 1, column = x < width ? x : width - 1;
    for (int c = 0; c < tensor.channels; ++c) {
      T value{};
      if (repeats) value = tensor.plane_row(c, row)[column];
      tensor.plane_row(c, y)[x] = value;
    }
  }
};

}  // namespace

template <typename T>
void to_tensor(ImageView<const std::uint8_t> image, TensorView<T> out, const Placement& place,
               Filter filter, ChannelOrder order, const Levels& levels, Workspace& workspace,
               cudaStream_t stream) {
  require_apart(out.memory(), image, "image");
  const Colours colours{levels_of<3>(image, place.box, filter, workspace, stream),
                        order == ChannelOrder::bgr};
  launch(colours, out, place, levels, stream);
}

template <typename T>
void to_tensor(const YuvImage& image, TensorView<T> out, const Placement& place, Filter filter,
               const Levels& levels, Workspace& workspace, cudaStream_t stream) {
  require_apart(out.memory(), image.y, "image");
  require_apart(out.memory(), image.u, "image");
  const Nv12 colours{levels_of<1>(image.y, place.box, filter, workspace, stream),
                     levels_of<2>(image.u, place.box, filter, workspace, stream),
                     yuv_weights(image.matrix, image.range)};
  launch(colours, out, place, levels, stream);
}

template <typename T>
void lay_trimap(ImageView<const std::uint8_t> trimap, double scale, TensorView<T> plane,
                cudaStream_t stream) {
  launch_pixels(
      LayTrimap<T>{trimap, plane, static_cast<float>(128 * scale), static_cast<float>(255 * scale)},
      trimap.width, trimap.height, stream);
}

template <typename T>
void extend(TensorView<T> tensor, int height, int width, Border border, cudaStream_t stream) {
  launch_pixels(Extend<T>{tensor, height, width, border == Border::edge}, tensor.width,
                tensor.height, stream);
}

template void to_tensor(ImageView<const std::uint8_t>, TensorView<float>, const Placement&, Filter,
                        ChannelOrder, const Levels&, Workspace&, cudaStream_t);
template void to_tensor(ImageView<const std::uint8_t>, TensorView<Half>, const Placement&, Filter,
                        ChannelOrder, const Levels&, Workspace&, cudaStream_t);
template void to_tensor(const YuvImage&, TensorView<float>, const Placement&, Filter, const Levels&,
                        Workspace&, cudaStream_t);
template void to_tensor(const YuvImage&, TensorView<Half>, const Placement&, Filter, const Levels&,
                        Workspace&, cudaStream_t);
template void lay_trimap(ImageView<const std::uint8_t>, double, TensorView<float>, cudaStream_t);
template void lay_trimap(ImageView<const std::uint8_t>, double, TensorView<Half>, cudaStream_t);
template void extend(TensorView<float>, int, int, Border, cudaStream_t);
template void extend(TensorView<Half>, int, int, Border, cudaStream_t);

}  // namespace fastmatte::cuda
