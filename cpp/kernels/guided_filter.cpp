// Bands of rows: each worker slides column sums of moments down the image, solves the windows of a
// row, and slides column sums of what it solved; a ring holds only the rows still to be left.
#include "kernels/guided_filter.h"

#include <algorithm>
#include <string>
#include <type_traits>

#include "core/buffer.h"
#include "core/parallel.h"
#include "core/require.h"
#include "kernels/alpha_range.h"
#include "kernels/resample.h"
#include "kernels/to_tensor.h"

namespace fastmatte {
namespace {

constexpr Levels kCentred{{1, 1, 1}, {-kGuideCentre, -kGuideCentre, -kGuideCentre}};

// eps in the guide's own steps.
double eps_of_steps(double eps) noexcept { return eps * 255 * 255; }

struct Solver {
  int radius;
  double eps;
  std::optional<double> unsure;
};

std::size_t size_of(std::ptrdiff_t count) noexcept { return static_cast<std::size_t>(count); }

// The distance between planes that a row function reads side by side: an odd number of cache lines,
// since at a power of two all thirteen would fall on one set of the cache, which holds 8 to 12.
template <typename T>
std::ptrdiff_t plane_stride_of(std::ptrdiff_t count) noexcept {
  constexpr std::size_t line = kAlignment / sizeof(T);
  return static_cast<std::ptrdiff_t>((aligned_count<T>(size_of(count)) / line | 1) * line);
}

// Every band repeats the sums and windows of 2 radius rows of its neighbours, so that a band has 16
// times the radius or more; the first number is rows_per_band for a kernel as slow as this.
Bands solver_bands(int height, int width, int radius, int threads) {
  const std::int64_t rows =
      std::max<std::int64_t>(rows_per_band(width) / 4, 16 * std::int64_t{radius});
  return Bands(height, static_cast<int>(std::clamp<std::int64_t>(rows, 1, height)), threads);
}

// Calls emit(worker, y, coefficients, plane_stride) with the averaged planes a[c] and b of every
// row, once each. guide_row(y, scratch, plane_stride) returns the channels of the guide's row y,
// which it may put into scratch, channels rows of plane_stride.
template <typename GuideRowAt, typename Emit>
void for_each_coefficient_row(ImageView<const float> alpha, int channels, const Solver& solver,
                              int threads, const GuideRowAt& guide_row, const Emit& emit) {
  const int height = alpha.height, width = alpha.width;
  // A window beyond the image is the image.
  const int down = std::min(solver.radius, height - 1), across = std::min(solver.radius, width - 1);
  const std::ptrdiff_t plane = plane_stride_of<double>(width);
  const std::ptrdiff_t running_plane =
      plane_stride_of<double>(width + 2 * std::ptrdiff_t{across} + 1);
  const int moments = moment_count(channels);
  const int coefficients = channels + 1, solved = channels + 2;
  const int ring = 2 * down + 2;  // the windows of a row, and the row that enters as one leaves

  const Buffer<double> inverse_columns(size_of(width));
  for (int x = 0; x < width; ++x) {
    inverse_columns[size_of(x)] =
        1.0 / (std::min(x + across, width - 1) - std::max(x - across, 0) + 1);
  }
  const GuidedShape shape{width, channels, across, plane, running_plane, inverse_columns.data()};

  const auto slide_moments = active_slide_moments_row();
  const auto slide_sums = active_slide_sums_row();
  const auto running_sums = active_running_sums_row();
  const auto solve = active_solve_row();
  const auto mean = active_mean_row();

  const double unsure = solver.unsure.value_or(0);
  const Bands bands = solver_bands(height, width, down, threads);
  const std::ptrdiff_t moment_sums = moments * plane, coefficient_sums = coefficients * plane;
  const std::ptrdiff_t double_slice = moment_sums + coefficient_sums + moments * running_plane;
  const std::ptrdiff_t ring_slice = std::ptrdiff_t{ring} * solved * plane;
  const std::ptrdiff_t float_slice = ring_slice + (2 * channels + coefficients) * plane;
  const Buffer<double> doubles(size_of(bands.workers) * size_of(double_slice));
  const Buffer<float> floats(size_of(bands.workers) * size_of(float_slice));
  // Stands for a row outside the image: it adds nothing.
  const Buffer<float> nothing(size_of(solved * plane));
  std::fill_n(nothing.data(), solved * plane, 0.0f);

  parallel_rows(bands, [&](int worker, int begin, int end) noexcept {
    double* const window_moments = doubles.data() + worker * double_slice;
    double* const window_solved = window_moments + moment_sums;
    double* const running = window_solved + coefficient_sums;
    float* const rows = floats.data() + worker * float_slice;
    float* const enter_scratch = rows + ring_slice;
    float* const leave_scratch = enter_scratch + channels * plane;
    float* const result = leave_scratch + channels * plane;
    std::fill_n(window_moments, double_slice, 0.0);

    const auto solved_row = [&](int y) { return rows + std::ptrdiff_t{y % ring} * solved * plane; };
    const auto input_row = [&](int y, float* scratch) -> GuideRow {
      if (y < 0 || y >= height) {
        return {{nothing.data(), nothing.data(), nothing.data()}, nothing.data()};
      }
      GuideRow row = guide_row(y, scratch, plane);
      row.alpha = alpha.row(y);
      return row;
    };
    const auto inverse_rows = [&](int y) {
      return 1.0 / (std::min(y + down, height - 1) - std::max(y - down, 0) + 1);
    };

    const int first = std::max(begin - down, 0);
    for (int y = std::max(first - down, 0); y < std::min(first + down, height); ++y) {
      slide_moments(shape, input_row(y, enter_scratch), input_row(-1, nullptr), window_moments);
    }
    int next = first;  // the row of windows to be solved next
    const auto solve_next = [&] {
      const int leaving = next > first ? next - down - 1 : -1;
      slide_moments(shape, input_row(next + down, enter_scratch), input_row(leaving, leave_scratch),
                    window_moments);
      running_sums(shape, moments, window_moments, running);
      solve(shape, running, inverse_rows(next), solver.eps, unsure, solved_row(next));
      ++next;
    };
    while (next < std::min(begin + down, height)) {
      solve_next();
      slide_sums(shape, solved_row(next - 1), nothing.data(), window_solved);
    }
    for (int y = begin; y < end; ++y) {
      const int leaving = y - down - 1;
      const float* leave = y > begin && leaving >= first ? solved_row(leaving) : nothing.data();
      const float* enter = nothing.data();
      if (y + down < height) {
        solve_next();
        enter = solved_row(y + down);
      }
      slide_sums(shape, enter, leave, window_solved);
      running_sums(shape, coefficients, window_solved, running);
      const float* weight = solver.unsure ? solved_row(y) + coefficients * plane : nullptr;
      mean(shape, running, inverse_rows(y), weight, alpha.row(y), result);
      emit(worker, y, static_cast<const float*>(result), plane);
    }
  });
}

template <typename Out>
auto active_apply_row() {
  if constexpr (std::is_same_v<Out, float>)
    return active_apply_row_f32();
  else
    return active_apply_row_u8();
}

// Which samples output i of a bilinear growth lies between, and how far.
struct Position {
  int sample;  // at most input - 2, at least 0
  float fraction;
};

Position position(int i, int input, int output) noexcept {
  const double centre = (i + 0.5) * input / output - 0.5;
  const double inside = std::clamp<double>(centre, 0, input - 1);
  const int sample = std::clamp(static_cast<int>(inside), 0, std::max(input - 2, 0));
  return {sample, static_cast<float>(inside - sample)};
}

// The coefficients of all rows of alpha, planes a[c] and b.
struct Coefficients {
  int height, width, planes;
  std::ptrdiff_t stride;
  Buffer<float> data;

  float* row(int plane, int y) const noexcept {
    return data.data() + (std::ptrdiff_t{plane} * height + y) * stride;
  }
};

Coefficients coefficients_of(ImageView<const std::uint8_t> guide, ImageView<const float> alpha,
                             const Solver& solver, int threads) {
  const int height = alpha.height, width = alpha.width, channels = guide.channels;
  const std::size_t pixels = size_of(height) * size_of(width);
  const Buffer<float> small_guide(size_of(channels) * pixels);
  const TensorView<float> small{small_guide.data(), channels, height, width, Layout::nchw};
  const Placement whole{{0, 0, width, height}};
  to_tensor(guide, small, whole, Filter::area, ChannelOrder::rgb, kCentred, threads);

  const std::size_t stride = aligned_count<float>(size_of(width));
  Coefficients result{height, width, channels + 1, static_cast<std::ptrdiff_t>(stride),
                      Buffer<float>(size_of(channels + 1) * size_of(height) * stride)};
  for_each_coefficient_row(
      alpha, channels, solver, threads,
      [&](int y, float*, std::ptrdiff_t) noexcept {
        GuideRow row{};
        for (int c = 0; c < channels; ++c) row.guide[c] = small.plane_row(c, y);
        return row;
      },
      [&](int, int y, const float* planes, std::ptrdiff_t plane_stride) noexcept {
        for (int c = 0; c < result.planes; ++c) {
          std::copy_n(planes + c * plane_stride, width, result.row(c, y));
        }
      });
  return result;
}

template <typename Out>
void upsample(ImageView<const std::uint8_t> guide, const Coefficients& small, ImageView<Out> out,
              int threads) {
  const int width = guide.width, planes = small.planes;
  const Buffer<int> start(size_of(small.width) + 1);
  const Buffer<float> fraction(size_of(width) + kGrowBlock);
  std::fill_n(fraction.data(), size_of(width) + kGrowBlock, 0.0f);
  int started = 0;
  for (int x = 0; x < width; ++x) {
    const Position at = position(x, small.width, width);
    while (started <= at.sample) start[size_of(started++)] = x;
    fraction[size_of(x)] = at.fraction;
  }
  while (started <= small.width) start[size_of(started++)] = width;
  const Growth growth{small.width, width, start.data(), fraction.data()};

  const auto grow = active_grow_row();
  const auto apply = active_apply_row<Out>();
  const Bands bands(guide.height, rows_per_band(width), threads);
  const std::ptrdiff_t plane = plane_stride_of<float>(width + std::ptrdiff_t{kGrowBlock});
  const std::ptrdiff_t grown_slice = planes * plane;
  const Buffer<float> floats(size_of(bands.workers) * 2 * size_of(grown_slice));
  // The last row that each worker grew: it and the one before it are in the worker's ring, from one
  // band to the next.
  const Buffer<int> grown(size_of(bands.workers));
  std::fill_n(grown.data(), bands.workers, -1);
  parallel_rows(bands, [&](int worker, int begin, int end) noexcept {
    float* const ring = floats.data() + worker * 2 * grown_slice;
    for (int y = begin; y < end; ++y) {
      const Position at = position(y, small.height, guide.height);
      const int last = std::min(at.sample + 1, small.height - 1);
      for (int j = std::max(grown[size_of(worker)] + 1, at.sample); j <= last; ++j) {
        for (int c = 0; c < planes; ++c) {
          grow(growth, small.row(c, j), ring + j % 2 * grown_slice + c * plane);
        }
        grown[size_of(worker)] = j;
      }
      apply(ring + at.sample % 2 * grown_slice, ring + last % 2 * grown_slice, plane, at.fraction,
            guide.row(y), guide.channels, width, out.row(y));
    }
  });
}

template <typename Out>
void require_guided(ImageView<const std::uint8_t> guide, ImageView<const float> alpha,
                    ImageView<Out> out, int threads) {
  require_apart(out, guide, "guide");
  require_apart(out, alpha, "alpha");
  require_alpha(alpha, "alpha", threads);
}

}  // namespace

template <typename Out>
void guided_filter(ImageView<const std::uint8_t> guide, ImageView<const float> alpha, int radius,
                   double eps, int subsample, ImageView<Out> out, int threads) {
  require_same_size(alpha, "alpha", guide, "guide");
  require_guided(guide, alpha, out, threads);
  const int channels = guide.channels;
  if (subsample == 1) {
    const auto spread = active_spread_row_u8();
    const auto apply = active_apply_row<Out>();
    for_each_coefficient_row(
        alpha, channels, {radius, eps_of_steps(eps), {}}, threads,
        [&](int y, float* scratch, std::ptrdiff_t plane) noexcept {
          const GuideRow row{{scratch, scratch + plane, scratch + 2 * plane}, nullptr};
          spread(guide.row(y), channels, guide.width, kCentred, scratch, scratch + plane,
                 scratch + 2 * plane);
          return row;
        },
        [&](int, int y, const float* planes, std::ptrdiff_t stride) noexcept {
          apply(planes, planes, stride, 0, guide.row(y), channels, guide.width, out.row(y));
        });
    return;
  }
  const auto shrink = [&](int side) {
    return static_cast<int>((std::int64_t{side} + subsample - 1) / subsample);
  };
  const int height = shrink(guide.height), width = shrink(guide.width);
  const Buffer<float> pixels(size_of(height) * size_of(width));
  const ImageView<float> small{pixels.data(), height, width, 1, width};
  resample<float>(
      alpha, height, width, Filter::area, resample_bands(alpha, height, width, threads),
      [&](int, int y) noexcept { return small.row(y); }, [](int, int) noexcept {});
  const std::int64_t rounded =
      (2 * std::int64_t{radius} + subsample) / (2 * std::int64_t{subsample});
  const Solver solver{static_cast<int>(std::max<std::int64_t>(rounded, 1)), eps_of_steps(eps), {}};
  upsample(guide, coefficients_of(guide, small, solver, threads), out, threads);
}

template <typename Out>
void guided_upsample(ImageView<const std::uint8_t> guide, ImageView<const float> alpha, int radius,
                     double eps, std::optional<double> unsure, ImageView<Out> out, int threads) {
  if (alpha.height > guide.height || alpha.width > guide.width) {
    const auto size = [](auto view) {
      return std::to_string(view.height) + " x " + std::to_string(view.width);
    };
    throw ArgumentError("alpha", "at most the size of guide, " + size(guide), size(alpha));
  }
  require_guided(guide, alpha, out, threads);
  upsample(guide, coefficients_of(guide, alpha, {radius, eps_of_steps(eps), unsure}, threads), out,
           threads);
}

template void guided_filter(ImageView<const std::uint8_t>, ImageView<const float>, int, double, int,
                            ImageView<float>, int);
template void guided_filter(ImageView<const std::uint8_t>, ImageView<const float>, int, double, int,
                            ImageView<std::uint8_t>, int);
template void guided_upsample(ImageView<const std::uint8_t>, ImageView<const float>, int, double,
                              std::optional<double>, ImageView<float>, int);
template void guided_upsample(ImageView<const std::uint8_t>, ImageView<const float>, int, double,
                              std::optional<double>, ImageView<std::uint8_t>, int);

}  // namespace fastmatte
