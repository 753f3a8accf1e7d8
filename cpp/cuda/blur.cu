// Normalised convolution in float32: weighted colours and weights are blurred alike and divided at
// the end, so that borders need no other care than zeros. Wide Gaussians are convolved on cells, as
// the processor's are, and interpolated as each result is made.
#include "core/require.h"
#include "cuda/access.h"
#include "cuda/kernels.h"
#include "kernels/blur.h"
#include "kernels/gaussian.h"
#include "kernels/quantise.h"

namespace fastmatte::cuda {
namespace {

constexpr int kMostPlanes = 5;
constexpr int kTileWidth = 32, kTileHeight = 16;

FASTMATTE_EVERYWHERE inline float level(std::uint8_t weight) noexcept { return weight; }
FASTMATTE_EVERYWHERE inline float level(float weight) noexcept {
  return static_cast<float>(static_cast<int>(to_steps(unit(weight), 255.0f)));
}

// Planes of weight * colour, and weight, of pixels; weight is 1 where none is given.
template <typename Weight>
struct WeighedPixels {
  ImageView<const std::uint8_t> image;
  ImageView<const Weight> weight;

  FASTMATTE_EVERYWHERE float operator()(int y, int x, int plane) const noexcept {
    if (y < 0 || y >= image.height || x < 0 || x >= image.width) return 0.0f;
    const float w = weight.data ? level(weight.row(y)[x]) : 1.0f;
    if (plane == image.channels) return w;
    return w * static_cast<float>(image.row(y)[std::ptrdiff_t{x} * image.channels + plane]);
  }
};

// Cells, of which there is one row and column of zeros on each side; (0, 0) is the first of those.
struct Cells {
  const float* data;
  int height, width, planes;

  FASTMATTE_EVERYWHERE float operator()(int y, int x, int plane) const noexcept {
    if (y < 1 || y > height || x < 1 || x > width) return 0.0f;
    return data[(std::ptrdiff_t{y - 1} * width + x - 1) * planes + plane];
  }
};

struct ToCells {
  float* data;
  int width, planes;

  FASTMATTE_EVERYWHERE void operator()(int y, int x,
                                       const float (&values)[kMostPlanes]) const noexcept {
    for (int p = 0; p < planes; ++p) {
      data[(std::ptrdiff_t{y} * width + x) * planes + p] = values[p];
    }
  }
};

// Divides by the weight that came to a pixel; one that none came to keeps its colour.
struct ToLevels {
  ImageView<const std::uint8_t> image;
  ImageView<std::uint8_t> out;

  FASTMATTE_EVERYWHERE void operator()(int y, int x,
                                       const float (&values)[kMostPlanes]) const noexcept {
    const float weight = values[image.channels];
    const float scale = 1.0f / (weight > 0.0f ? weight : 1.0f);
    const std::ptrdiff_t at = std::ptrdiff_t{x} * image.channels;
    for (int c = 0; c < image.channels; ++c) {
      out.row(y)[at + c] = weight > 0.0f ? rounded(values[c] * scale) : image.row(y)[at + c];
    }
  }
};

// Both passes of one tile in shared memory, plane by plane.
template <typename Source, typename Sink>
struct Convolve {
  Source source;
  Sink sink;
  Kernel<float> kernel;
  int height, width, planes;

  FASTMATTE_EVERYWHERE void operator()(const Block& block, void* shared) const noexcept {
    const int radius = kernel.radius;
    const int left = block.x * kTileWidth, top = block.y * kTileHeight;
    const int columns = kTileWidth + 2 * radius, rows = kTileHeight + 2 * radius;
    float* const inputs = static_cast<float*>(shared);
    float* const middle = inputs + columns * rows;
    float* const results = middle + kTileWidth * rows;
    for (int p = 0; p < planes; ++p) {
      block.each(columns * rows, [&](int i) {
        inputs[i] = source(top - radius + i / columns, left - radius + i % columns, p);
      });
      block.each(kTileWidth * rows, [&](int i) {
        const float* const centre = inputs + i / kTileWidth * columns + i % kTileWidth + radius;
        float sum = 2.0f * kernel.half[0] * centre[0];
        for (int j = 1; j <= radius; ++j) sum += kernel.half[j] * (centre[-j] + centre[j]);
        middle[i] = sum;
      });
      // No barrier: the next plane's inputs are not read here.
      block.share(kTileWidth * kTileHeight, [&](int i) {
        const float* const centre = middle + i + radius * kTileWidth;
        float sum = 2.0f * kernel.half[0] * centre[0];
        for (int j = 1; j <= radius; ++j) {
          sum += kernel.half[j] * (centre[-j * kTileWidth] + centre[j * kTileWidth]);
        }
        results[p * kTileWidth * kTileHeight + i] = sum;
      });
    }
    // A thread finds its own results here, for it took the same i.
    block.share(kTileWidth * kTileHeight, [&](int i) {
      const int y = top + i / kTileWidth, x = left + i % kTileWidth;
      if (y >= height || x >= width) return;
      float values[kMostPlanes] = {};
      for (int p = 0; p < planes; ++p) values[p] = results[p * kTileWidth * kTileHeight + i];
      sink(y, x, values);
    });
  }
};

template <typename Source, typename Sink>
void convolve(const Source& source, const Sink& sink, const Kernel<float>& kernel, int height,
              int width, int planes, cudaStream_t stream) {
  const int columns = kTileWidth + 2 * kernel.radius, rows = kTileHeight + 2 * kernel.radius;
  const int floats = columns * rows + kTileWidth * rows + planes * kTileWidth * kTileHeight;
  launch_blocks(Convolve<Source, Sink>{source, sink, kernel, height, width, planes},
                Blocks{ceil_divide(width, kTileWidth), ceil_divide(height, kTileHeight), 256,
                       static_cast<std::size_t>(floats) * sizeof(float)},
                stream);
}
static_assert(((kTileWidth + 2 * kMaxRadius) * (kTileHeight + 2 * kMaxRadius) +
               kTileWidth * (kTileHeight + 2 * kMaxRadius) +
               kMostPlanes * kTileWidth * kTileHeight) *
                  sizeof(float) <=
              kSharedBytes);

// Sums of square cells: columns of pixels first, which lie side by side, then those of each cell.
template <typename Source>
struct SumCells {
  Source source;
  int height, width, planes, step, cells;
  int cells_wide;  // of a block
  float* to;

  FASTMATTE_EVERYWHERE void operator()(const Block& block, void* shared) const noexcept {
    float* const columns = static_cast<float*>(shared);
    const int left = block.x * cells_wide * step, top = block.y * step;
    const int tile = cells_wide * step;
    const int bottom = top + step < height ? top + step : height;
    for (int p = 0; p < planes; ++p) {
      block.each(tile, [&](int i) {
        float sum = 0.0f;
        for (int y = top; y < bottom; ++y) sum += source(y, left + i, p);
        columns[i] = sum;
      });
      block.each(cells_wide, [&](int i) {
        const int cell = block.x * cells_wide + i;
        if (cell >= cells) return;
        float sum = 0.0f;
        for (int j = 0; j < step; ++j) sum += columns[i * step + j];
        to[(std::ptrdiff_t{block.y} * cells + cell) * planes + p] = sum;
      });
    }
  }
};

// Between the four cells whose centres lie around a pixel.
struct Expand {
  const float* cells;  // with the margin
  int cells_width, planes, step;
  ToLevels sink;

  FASTMATTE_EVERYWHERE void operator()(int x, int y) const noexcept {
    // (i + 1/2) / step - 1/2 + 1, in 1 / (2 * step)
    const int across = 2 * x + 1 + step, down = 2 * y + 1 + step;
    const float right = static_cast<float>(across % (2 * step)) / static_cast<float>(2 * step);
    const float lower = static_cast<float>(down % (2 * step)) / static_cast<float>(2 * step);
    const float* const a =
        cells + (std::ptrdiff_t{down / (2 * step)} * cells_width + across / (2 * step)) * planes;
    const float* const b = a + std::ptrdiff_t{cells_width} * planes;
    float values[kMostPlanes] = {};
    for (int p = 0; p < planes; ++p) {
      values[p] =
          between(between(a[p], a[p + planes], right), between(b[p], b[p + planes], right), lower);
    }
    sink(y, x, values);
  }
};

template <typename Weight>
void run(ImageView<const std::uint8_t> image, double sigma, ImageView<const Weight> weight,
         ImageView<std::uint8_t> out, Workspace& workspace, cudaStream_t stream) {
  workspace.begin();
  const WeighedPixels<Weight> source{image, weight};
  const ToLevels sink{image, out};
  const int planes = image.channels + 1;
  const int step = cell_step(sigma, weight.data != nullptr);
  if (step == 0) {
    return convolve(source, sink, gaussian(sigma), image.height, image.width, planes, stream);
  }
  const int height = ceil_divide(image.height, step), width = ceil_divide(image.width, step);
  const auto floats = [planes](int rows, int columns) {
    return static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns) *
           static_cast<std::size_t>(planes);
  };
  float* const sums = workspace.take<float>(floats(height, width), stream);
  float* const blurred = workspace.take<float>(floats(height + 2, width + 2), stream);
  const int cells_wide = step < 256 ? 256 / step : 1;
  launch_blocks(
      SumCells<WeighedPixels<Weight>>{source, image.height, image.width, planes, step, width,
                                      cells_wide, sums},
      Blocks{ceil_divide(width, cells_wide), height, 256,
             static_cast<std::size_t>(cells_wide) * static_cast<std::size_t>(step) * sizeof(float)},
      stream);
  convolve(Cells{sums, height, width, planes}, ToCells{blurred, width + 2, planes},
           gaussian(sigma_of_cells(sigma, step)), height + 2, width + 2, planes, stream);
  launch_pixels(Expand{blurred, width + 2, planes, step, sink}, image.width, image.height, stream);
}

}  // namespace

template <typename Weight>
void blur(ImageView<const std::uint8_t> image, double sigma, ImageView<const Weight> weight,
          ImageView<std::uint8_t> out, Workspace& workspace, cudaStream_t stream) {
  require_apart(out, image, "image");
  if (weight.data) {
    require_same_size(weight, "weight", image, "image");
    require_apart(out, weight, "weight");
  }
  run(image, sigma, weight, out, workspace, stream);
}

template void blur(ImageView<const std::uint8_t>, double, ImageView<const std::uint8_t>,
                   ImageView<std::uint8_t>, Workspace&, cudaStream_t);
template void blur(ImageView<const std::uint8_t>, double, ImageView<const float>,
                   ImageView<std::uint8_t>, Workspace&, cudaStream_t);

}  // namespace fastmatte::cuda
