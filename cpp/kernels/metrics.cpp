// Checks, rows handed to the active ISA, and the connected regions, which go from run to run.
#include "kernels/metrics.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstring>
#include <string>
#include <utility>

#include "core/buffer.h"
#include "core/parallel.h"
#include "core/require.h"
#include "kernels/alpha_range.h"

namespace fastmatte {
namespace {

// A view of float32 alpha, or of the plane that uint8 was turned into.
struct AlphaFloats {
  Buffer<float> plane;
  ImageView<const float> view;
};

AlphaFloats alpha_floats(const AlphaView& alpha, const char* name, int threads) {
  if (const auto* floats = std::get_if<ImageView<const float>>(&alpha)) {
    require_alpha(*floats, name, threads);
    return {{}, *floats};
  }
  const auto bytes = std::get<ImageView<const std::uint8_t>>(alpha);
  Buffer<float> plane(static_cast<std::size_t>(bytes.height) *
                      static_cast<std::size_t>(bytes.width));
  const ImageView<float> view{plane.data(), bytes.height, bytes.width, 1, bytes.width};
  const auto row = active_alpha_float_row();
  parallel_rows(Bands(bytes.height, rows_per_band(bytes.width), threads),
                [&](int, int begin, int end) noexcept {
                  for (int y = begin; y < end; ++y) row(bytes.row(y), view.row(y), bytes.width);
                });
  return {std::move(plane), view};
}

void require_alpha_size(const AlphaView& alpha, const char* name, const AlphaView& other,
                        const char* other_name) {
  std::visit([&](auto a, auto b) { require_same_size(a, name, b, other_name); }, alpha, other);
}

[[noreturn]] void throw_bad_trimap(ImageView<const std::uint8_t> trimap) {
  for (int y = 0;; ++y) {
    for (int x = 0; x < trimap.width; ++x) {
      const int value = trimap.row(y)[x];
      if (value == 0 || value == kUnknown || value == 255) continue;
      throw ArgumentError(
          "trimap", "nothing but 0, 128 and 255",
          std::to_string(value) + " at row " + std::to_string(y) + ", column " + std::to_string(x));
    }
  }
}

// The pixels that count, as a trimap whether or not one was given.
struct Counted {
  Counted(const TrimapView& trimap, const AlphaView& alpha, const char* name, int threads) {
    std::visit([&](auto a) { view = {nullptr, a.height, a.width, 1, 0}; }, alpha);
    const auto height = view.height, width = view.width;
    count = std::int64_t{height} * width;
    if (!trimap) {
      every = Buffer<std::uint8_t>(static_cast<std::size_t>(width));
      std::memset(every.data(), kUnknown, static_cast<std::size_t>(width));
      view.data = every.data();
      return;
    }
    std::visit([&](auto a) { require_same_size(*trimap, "trimap", a, name); }, alpha);
    view = *trimap;
    std::atomic<std::int64_t> unknown{0};
    std::atomic<bool> bad{false};
    const auto row = active_trimap_count_row();
    parallel_rows(Bands(height, rows_per_band(width), threads),
                  [&](int, int begin, int end) noexcept {
                    std::int64_t sum = 0;
                    for (int y = begin; y < end; ++y) {
                      int counts[2];
                      row(view.row(y), width, counts);
                      sum += counts[0];
                      if (counts[1] > 0) bad.store(true, std::memory_order_relaxed);
                    }
                    unknown.fetch_add(sum, std::memory_order_relaxed);
                  });
    if (bad) throw_bad_trimap(view);
    count = unknown;
    if (count == 0) throw ArgumentError("trimap", "some pixels of 128, unknown", "none");
  }

  Buffer<std::uint8_t> every;
  ImageView<const std::uint8_t> view;
  std::int64_t count;
};

// What all but temporal_error() read.
struct Compared {
  Counted counted;
  AlphaFloats alpha, truth;
  int height, width;
  Bands bands;
};

Compared compare(const AlphaView& alpha, const AlphaView& truth, const TrimapView& trimap,
                 int threads) {
  require_alpha_size(truth, "truth", alpha, "alpha");
  Counted counted(trimap, alpha, "alpha", threads);
  const int height = counted.view.height, width = counted.view.width;
  return {std::move(counted),
          alpha_floats(alpha, "alpha", threads),
          alpha_floats(truth, "truth", threads),
          height,
          width,
          Bands(height, rows_per_band(width), threads)};
}

// Calls body(worker, y, sums of the row) for every row and adds the rows up from the top, whichever
// thread had which.
template <int N, typename Body>
std::array<double, N> sum_rows(const Bands& bands, const Body& body) {
  Buffer<double> rows(static_cast<std::size_t>(bands.height) * N);
  parallel_rows(bands, [&](int worker, int begin, int end) noexcept {
    for (int y = begin; y < end; ++y) body(worker, y, rows.data() + std::ptrdiff_t{N} * y);
  });
  std::array<double, N> sums{};
  for (int y = 0; y < bands.height; ++y) {
    for (int i = 0; i < N; ++i) {
      sums[static_cast<std::size_t>(i)] +=
          rows[static_cast<std::size_t>(y * std::ptrdiff_t{N} + i)];
    }
  }
  return sums;
}

// The Gaussian and then its derivative, each of unit L2 norm: so is their outer product.
std::array<float, 2 * kGradientTaps> gradient_taps() {
  constexpr double sigma = 1.4;
  std::array<double, 2 * kGradientTaps> taps{};
  double norms[2] = {};
  for (std::size_t k = 0; k < kGradientTaps; ++k) {
    const double x = static_cast<double>(k) - kGradientRadius;
    taps[k] = std::exp(-x * x / (2 * sigma * sigma));
    taps[kGradientTaps + k] = -x * taps[k];
    norms[0] += taps[k] * taps[k];
    norms[1] += taps[kGradientTaps + k] * taps[kGradientTaps + k];
  }
  std::array<float, 2 * kGradientTaps> unit{};
  for (std::size_t k = 0; k < taps.size(); ++k) {
    unit[k] = static_cast<float>(taps[k] / std::sqrt(norms[k / kGradientTaps]));
  }
  return unit;
}

// Gradient magnitudes of one row at a time, in scratch of one worker.
struct Gradients {
  std::array<float, 2 * kGradientTaps> taps = gradient_taps();
  decltype(active_gradient_columns_row()) columns = active_gradient_columns_row();
  decltype(active_gradient_magnitude_row()) magnitudes = active_gradient_magnitude_row();

  static std::size_t padded(int width) noexcept {
    return static_cast<std::size_t>(width) + 2 * kGradientRadius;
  }

  void row(ImageView<const float> image, int y, float* smooth, float* slope,
           float* out) const noexcept {
    const float* rows[kGradientTaps];
    for (int k = 0; k < kGradientTaps; ++k) {
      rows[k] = image.row(std::clamp(y + k - kGradientRadius, 0, image.height - 1));
    }
    const int width = image.width;
    columns(rows, taps.data(), smooth + kGradientRadius, slope + kGradientRadius, width);
    for (float* line : {smooth, slope}) {
      std::fill_n(line, kGradientRadius, line[kGradientRadius]);
      std::fill_n(line + kGradientRadius + width, kGradientRadius,
                  line[kGradientRadius + width - 1]);
    }
    magnitudes(smooth, slope, taps.data(), out, width);
  }
};

// The runs of adjacent pixels of at least some level, in raster order, and the regions that they
// make: `parent` leads to a region's first run, which `size` tells the pixels of.
struct Runs {
  Buffer<int> first;  // first[y] is the first run of row y; first[height] is how many there are
  Buffer<int> edges;  // begin and end of run i at 2 * i
  Buffer<int> parent;
  Buffer<int> size;

  int begin(int i) const noexcept { return edges[2 * static_cast<std::size_t>(i)]; }
  int end(int i) const noexcept { return edges[2 * static_cast<std::size_t>(i) + 1]; }
  int& parent_of(int i) const noexcept { return parent[static_cast<std::size_t>(i)]; }
  int& size_of(int i) const noexcept { return size[static_cast<std::size_t>(i)]; }
  int first_of(int y) const noexcept { return first[static_cast<std::size_t>(y)]; }

  int root(int i) const noexcept {
    while (parent_of(i) != i) {
      parent_of(i) = parent_of(parent_of(i));
      i = parent_of(i);
    }
    return i;
  }
};

Runs find_runs(ImageView<const std::uint8_t> levels, int level, const Bands& bands) {
  Runs runs;
  const auto height = static_cast<std::size_t>(levels.height);
  runs.first = Buffer<int>(height + 1);
  const auto count_row = active_count_runs_row();
  parallel_rows(bands, [&](int, int begin, int end) noexcept {
    for (int y = begin; y < end; ++y) {
      count_row(levels.row(y), levels.width, level, runs.first.data() + y + 1);
    }
  });
  runs.first[0] = 0;
  for (std::size_t y = 0; y < height; ++y) runs.first[y + 1] += runs.first[y];
  const auto total = static_cast<std::size_t>(runs.first[height]);
  runs.edges = Buffer<int>(2 * total);
  parallel_rows(bands, [&](int, int begin, int end) noexcept {
    for (int y = begin; y < end; ++y) {
      const std::uint8_t* row = levels.row(y);
      int* edge = runs.edges.data() + std::ptrdiff_t{2} * runs.first_of(y);
      int* const last = runs.edges.data() + std::ptrdiff_t{2} * runs.first_of(y + 1);
      bool inside = false;
      // Always writing and seldom advancing costs less than a branch that noise mispredicts.
      for (int x = 0; edge < last && x < levels.width; ++x) {
        const bool reached = row[x] >= level;
        *edge = x;
        edge += reached != inside ? 1 : 0;
        inside = reached;
      }
      if (edge < last) *edge = levels.width;
    }
  });
  return runs;
}

// Joins runs that touch across rows (4-connectivity). The smaller index becomes the root, so that
// a region is known by its first run whatever the order of joining.
void join_runs(Runs& runs, int height) {
  const int total = runs.first_of(height);
  runs.parent = Buffer<int>(static_cast<std::size_t>(total));
  runs.size = Buffer<int>(static_cast<std::size_t>(total));
  for (int i = 0; i < total; ++i) {
    runs.parent_of(i) = i;
    runs.size_of(i) = runs.end(i) - runs.begin(i);
  }
  for (int y = 1; y < height; ++y) {
    int above = runs.first_of(y - 1), below = runs.first_of(y);
    while (above < runs.first_of(y) && below < runs.first_of(y + 1)) {
      if (runs.begin(above) < runs.end(below) && runs.begin(below) < runs.end(above)) {
        const int a = runs.root(above), b = runs.root(below);
        runs.parent_of(std::max(a, b)) = std::min(a, b);
      }
      ++(runs.end(above) < runs.end(below) ? above : below);
    }
  }
  // A parent comes before its children, and so is already its region's first run.
  for (int i = 0; i < total; ++i) {
    const int root = runs.parent_of(i) = runs.parent_of(runs.parent_of(i));
    if (root != i) runs.size_of(root) += runs.size_of(i);
  }
}

// The level in tenths up to which each pixel belongs to the source region: the largest 4-connected
// region, the first in raster order of several, of the pixels that reach the level in both alphas.
// A pixel that leaves it at some level is out for all higher ones, so that the regions which matter
// lie one inside the other, and the search ends at the first that does not.
Buffer<std::uint8_t> connected_levels(const Compared& of) {
  const auto pixels = static_cast<std::size_t>(of.height) * static_cast<std::size_t>(of.width);
  Buffer<std::uint8_t> plane(pixels), connected(pixels);
  std::memset(connected.data(), 0, pixels);
  const ImageView<std::uint8_t> levels{plane.data(), of.height, of.width, 1, of.width};
  const ImageView<std::uint8_t> out{connected.data(), of.height, of.width, 1, of.width};
  const auto levels_row = active_levels_row();
  parallel_rows(of.bands, [&](int, int begin, int end) noexcept {
    for (int y = begin; y < end; ++y) {
      levels_row(of.alpha.view.row(y), of.truth.view.row(y), levels.row(y), of.width);
    }
  });
  for (int level = 1; level <= kLevels; ++level) {
    Runs runs = find_runs(levels, level, of.bands);
    if (runs.first_of(of.height) == 0) break;
    join_runs(runs, of.height);
    const int* sizes = runs.size.data();
    const auto source =
        static_cast<int>(std::max_element(sizes, sizes + runs.first_of(of.height)) - sizes);
    const int* const rows = runs.first.data();
    const auto y = std::upper_bound(rows, rows + of.height + 1, source) - rows - 1;
    if (out.row(static_cast<int>(y))[runs.begin(source)] != level - 1) break;
    parallel_rows(of.bands, [&](int, int begin, int end) noexcept {
      for (int row = begin; row < end; ++row) {
        for (int i = runs.first_of(row); i < runs.first_of(row + 1); ++i) {
          if (runs.parent_of(i) != source) continue;
          std::memset(out.row(row) + runs.begin(i), level,
                      static_cast<std::size_t>(runs.end(i) - runs.begin(i)));
        }
      }
    });
  }
  return connected;
}

}  // namespace

AlphaError alpha_error(AlphaView alpha, AlphaView truth, TrimapView trimap, int threads) {
  const Compared of = compare(alpha, truth, trimap, threads);
  const auto row = active_alpha_error_row();
  const auto sums = sum_rows<2>(of.bands, [&](int, int y, double* out) noexcept {
    row(of.alpha.view.row(y), of.truth.view.row(y), of.counted.view.row(y), of.width, out);
  });
  return {sums[0], sums[1], of.counted.count};
}

double gradient_error(AlphaView alpha, AlphaView truth, TrimapView trimap, int threads) {
  const Compared of = compare(alpha, truth, trimap, threads);
  const Gradients gradients;
  const Slices<float> smooth(of.bands.workers, Gradients::padded(of.width));
  const Slices<float> slope(of.bands.workers, Gradients::padded(of.width));
  const Slices<float> of_alpha(of.bands.workers, static_cast<std::size_t>(of.width));
  const Slices<float> of_truth(of.bands.workers, static_cast<std::size_t>(of.width));
  const auto row = active_squared_error_row();
  return sum_rows<1>(of.bands, [&](int worker, int y, double* sum) noexcept {
    gradients.row(of.alpha.view, y, smooth[worker], slope[worker], of_alpha[worker]);
    gradients.row(of.truth.view, y, smooth[worker], slope[worker], of_truth[worker]);
    row(of_alpha[worker], of_truth[worker], of.counted.view.row(y), of.width, sum);
  })[0];
}

double connectivity_error(AlphaView alpha, AlphaView truth, TrimapView trimap, int threads) {
  const Compared of = compare(alpha, truth, trimap, threads);
  const auto connected = connected_levels(of);
  const auto row = active_connectivity_error_row();
  return sum_rows<1>(of.bands, [&](int, int y, double* sum) noexcept {
    row(of.alpha.view.row(y), of.truth.view.row(y), connected.data() + std::ptrdiff_t{y} * of.width,
        of.counted.view.row(y), of.width, sum);
  })[0];
}

double temporal_error(AlphaView alpha_before, AlphaView alpha, AlphaView truth_before,
                      AlphaView truth, TrimapView trimap, int threads) {
  require_alpha_size(alpha, "alphas", alpha_before, "the frame before");
  require_alpha_size(truth_before, "truths", alpha, "alphas");
  require_alpha_size(truth, "truths", alpha, "alphas");
  const Counted counted(trimap, alpha, "alphas", threads);
  const AlphaFloats a0 = alpha_floats(alpha_before, "alphas", threads);
  const AlphaFloats a1 = alpha_floats(alpha, "alphas", threads);
  const AlphaFloats t0 = alpha_floats(truth_before, "truths", threads);
  const AlphaFloats t1 = alpha_floats(truth, "truths", threads);
  const int height = a1.view.height, width = a1.view.width;
  const auto row = active_temporal_error_row();
  const double sum = sum_rows<1>(Bands(height, rows_per_band(width), threads),
                                 [&](int, int y, double* out) noexcept {
                                   row(a0.view.row(y), a1.view.row(y), t0.view.row(y),
                                       t1.view.row(y), counted.view.row(y), width, out);
                                 })[0];
  return sum / static_cast<double>(counted.count);
}

}  // namespace fastmatte
