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
#include "kernels/quantise.h"
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

// Every band repeats the sums and windows of 2 radius rows of its neighbours, so that a band has 32
// times the radius or more: that is an eighth of the sums again and a sixteenth of the windows. The
// first number is rows_per_band for a kernel as slow as this. Few bands are an even number of them,
// which two threads share evenly.
Bands solver_bands(int height, int width, int radius, int threads) {
  radius = std::min(radius, height - 1);
  const std::int64_t least =
      std::max<std::int64_t>(rows_per_band(width) / 4, 32 * std::int64_t{radius});
  const std::int64_t count = std::max<std::int64_t>(height / least, 1);
  const int even = static_cast<int>(count > 1 ? count / 2 * 2 : 1);
  return Bands(height, (height + even - 1) / even, threads);
}

// The layout of rows of this width: kSegments segments where what they repeat is at most the row
// once more.
GuidedShape shape_of(int width, int radius, int channels) {
  GuidedShape shape{};
  shape.lanes = std::int64_t{4} * kSegments * radius <= width ? kSegments : 1;
  const int pixels = (width + shape.lanes - 1) / shape.lanes;
  // Alone, a segment is still worked on kSegments pixels at a time.
  const int step = shape.lanes == 1 ? kSegments : kLanePixels;
  shape.pixels = (pixels + step - 1) / step * step;
  shape.channels = channels;
  shape.radius = radius;
  const std::ptrdiff_t elements = elements_of(shape, 2) + kSegments;
  shape.plane_stride = plane_stride_of<double>(elements);
  shape.running_stride = plane_stride_of<double>(elements + kSegments);
  return shape;
}

Buffer<double> inverse_columns_of(const GuidedShape& shape, int width) {
  Buffer<double> inverse(size_of(elements_of(shape, 1)));
  for (std::ptrdiff_t i = 0; i < elements_of(shape, 1); ++i) {
    const std::ptrdiff_t x =
        i % shape.lanes * shape.pixels + i / shape.lanes - std::ptrdiff_t{shape.radius};
    const std::ptrdiff_t left = std::max<std::ptrdiff_t>(x - shape.radius, 0);
    const std::ptrdiff_t right = std::min<std::ptrdiff_t>(x + shape.radius, width - 1);
    inverse[size_of(i)] = x >= 0 && x < width ? 1.0 / static_cast<double>(right - left + 1) : 0.0;
  }
  return inverse;
}

// Planes a[c] and b of one row, of row_capacity elements each.
struct CoefficientRow {
  float* data;
  std::ptrdiff_t plane_stride;
};

// Segments end up to this far beyond a row.
int row_capacity(int width) noexcept { return width + kSegments * kLanePixels; }

// Writes the averaged coefficients of every row to row_of(worker, y), and calls done(worker, begin,
// y), begin being the first row of the band: downwards in each band, once each row but that a band
// goes on for `shared` rows of the next. guide_row(worker, y, to, plane_stride) writes the channels
// of the guide's row y.
template <typename GuideRowAt, typename RowOf, typename Done>
void for_each_coefficient_row(ImageView<const float> alpha, int channels, const Solver& solver,
                              const Bands& bands, int shared, const GuideRowAt& guide_row,
                              const RowOf& row_of, const Done& done) {
  const int height = alpha.height, width = alpha.width;
  // A window beyond the image is the image.
  const int down = std::min(solver.radius, height - 1), across = std::min(solver.radius, width - 1);
  GuidedShape shape = shape_of(width, across, channels);
  const Buffer<double> inverse_columns = inverse_columns_of(shape, width);
  shape.inverse_columns = inverse_columns.data();
  const std::ptrdiff_t plane = shape.plane_stride;
  const int moments = moment_count(channels);
  const int coefficients = channels + 1, inputs = channels + 1;
  const int solved = coefficients + (solver.unsure ? 1 : 0);
  const int ring = 2 * down + 2;  // the rows of a window, and the one that enters as one leaves

  const auto segment = active_cut_segments_row();
  const auto join = active_join_segments_row();
  const auto sum_moments = active_moments_row();
  const auto sum_solved = active_sums_row();
  const auto solve = active_solve_row();
  const auto mean = active_mean_row();

  const double* const unsure = solver.unsure ? &*solver.unsure : nullptr;
  const std::ptrdiff_t moment_sums = moments * plane, coefficient_sums = coefficients * plane;
  const std::ptrdiff_t double_slice =
      moment_sums + coefficient_sums +
      (shape.lanes == 1 ? moments * shape.running_stride : std::ptrdiff_t{kSegments});
  // A plain row, segments of it, and what becomes of those.
  const std::ptrdiff_t input_row = inputs * plane, solved_row_size = solved * plane;
  const std::ptrdiff_t float_slice =
      ring * (input_row + solved_row_size) + input_row + coefficients * plane;
  const Slices<double> doubles(bands.workers, size_of(double_slice));
  const Slices<float> floats(bands.workers, size_of(float_slice));
  // Stands for a row outside the image: it adds nothing.
  const Buffer<float> nothing(size_of(solved * plane));
  std::fill_n(nothing.data(), solved * plane, 0.0f);
  const GuideRow none{{nothing.data(), nothing.data(), nothing.data()}, nothing.data()};

  parallel_rows(bands, [&](int worker, int begin, int band_end) noexcept {
    const int end = std::min(band_end + shared, height);
    double* const window_moments = doubles[worker];
    double* const window_solved = window_moments + moment_sums;
    double* const running = window_solved + coefficient_sums + kSegments;
    float* const input_rows = floats[worker];
    float* const solved_rows = input_rows + ring * input_row;
    float* const plain = solved_rows + ring * solved_row_size;
    float* const result = plain + input_row;
    std::fill_n(window_moments, double_slice, 0.0);
    std::fill_n(plain, input_row, 0.0f);

    const auto solved_row = [&](int y) { return solved_rows + y % ring * solved_row_size; };
    const auto row_at = [&](int y) -> GuideRow {
      if (y < 0 || y >= height) return none;
      const float* row = input_rows + y % ring * input_row;
      return {{row, row + plane, row + 2 * plane}, row + channels * plane};
    };
    // Reads row y, which takes the place of one that has left.
    const auto enter_row = [&](int y) -> GuideRow {
      if (y >= height) return none;
      float* const first = plain + 2 * across;
      guide_row(worker, y, first, plane);
      std::copy_n(alpha.row(y), width, first + channels * plane);
      for (int c = 0; c < inputs; ++c) {
        float* to = input_rows + y % ring * input_row + c * plane;
        if (shape.lanes == kSegments) {
          segment(shape, plain + c * plane, to);
        } else {
          std::copy_n(plain + c * plane, elements_of(shape, 2), to);
        }
      }
      return row_at(y);
    };
    const auto inverse_rows = [&](int y) {
      return 1.0 / (std::min(y + down, height - 1) - std::max(y - down, 0) + 1);
    };

    const int first = std::max(begin - down, 0);
    for (int y = std::max(first - down, 0); y < std::min(first + down, height); ++y) {
      sum_moments(shape, enter_row(y), none, window_moments);
    }
    int next = first;  // the row of windows to be solved next
    const auto solve_next = [&] {
      const GuideRow leaving = next > first ? row_at(next - down - 1) : none;
      solve(shape, enter_row(next + down), leaving, window_moments, running, inverse_rows(next),
            solver.eps, unsure, solved_row(next));
      ++next;
    };
    while (next < std::min(begin + down, height)) {
      solve_next();
      sum_solved(shape, solved_row(next - 1), nothing.data(), window_solved);
    }
    for (int y = begin; y < end; ++y) {
      const int leaving = y - down - 1;
      const float* leave = y > begin && leaving >= first ? solved_row(leaving) : nothing.data();
      const float* enter = nothing.data();
      if (y + down < height) {
        solve_next();
        enter = solved_row(y + down);
      }
      const std::ptrdiff_t reach = std::ptrdiff_t{across} * shape.lanes;
      const float* weight = solver.unsure ? solved_row(y) + coefficients * plane + reach : nullptr;
      mean(shape, enter, leave, window_solved, running, inverse_rows(y), weight,
           row_at(y).alpha + 2 * reach, result);
      const CoefficientRow to = row_of(worker, y);
      for (int c = 0; c < coefficients; ++c) {
        const float* from = result + c * plane;
        if (shape.lanes == kSegments) {
          join(shape, from, to.data + c * to.plane_stride);
        } else {
          std::copy_n(from, width, to.data + c * to.plane_stride);
        }
      }
      done(worker, begin, y);
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

// A box around all that is unlike its neighbour in alpha, whose width is 0 where alpha is one
// value.
Box changing(ImageView<const float> alpha, int threads) {
  const auto extend = active_change_extent_row();
  const Bands bands(alpha.height, rows_per_band(alpha.width), threads);
  const Buffer<Box> boxes(size_of(bands.count));
  parallel_rows(bands, [&](int, int begin, int end) noexcept {
    int left = alpha.width, right = 0;
    const auto extends = [&](int y) {
      const int before = left, until = right;
      extend(alpha.row(y), alpha.row(std::min(y + 1, alpha.height - 1)), alpha.width, &left,
             &right);
      return left != before || right != until;
    };
    int top = begin, bottom = end;
    while (top < end && !extends(top)) ++top;
    const int of_top[] = {left, right};
    // From below, a row is taken for unchanging only where all of it is.
    for (; bottom > top; --bottom) {
      left = alpha.width, right = 0;
      if (extends(bottom - 1)) break;
    }
    left = std::min(left, of_top[0]), right = std::max(right, of_top[1]);
    for (int y = top + 1; y < bottom - 1; ++y) extends(y);
    boxes[size_of(begin / bands.band)] = {left, top, right - left, bottom - top};
  });
  Box box{alpha.width, alpha.height, 0, 0};
  int right = 0, bottom = 0;
  for (int i = 0; i < bands.count; ++i) {
    const Box& part = boxes[size_of(i)];
    if (part.height == 0) continue;
    box.x = std::min(box.x, part.x);
    box.y = std::min(box.y, part.y);
    right = std::max(right, part.x + part.width);
    // The neighbour below the last row belongs to it.
    bottom = std::max(bottom, std::min(part.y + part.height + 1, alpha.height));
  }
  if (right > 0) box.width = right - box.x, box.height = bottom - box.y;
  return box;
}

// By so much more on each side, inside the image.
Box grown(const Box& box, std::int64_t by, int height, int width) noexcept {
  const auto inside = [by](int at, int end) {
    return static_cast<int>(std::clamp<std::int64_t>(at + by, 0, end));
  };
  const int x = static_cast<int>(std::max<std::int64_t>(box.x - by, 0));
  const int y = static_cast<int>(std::max<std::int64_t>(box.y - by, 0));
  return {x, y, inside(box.x + box.width, width) - x, inside(box.y + box.height, height) - y};
}

template <typename T>
ImageView<T> part_of(ImageView<T> image, const Box& box) noexcept {
  return {image.row(box.y) + std::ptrdiff_t{box.x} * image.channels, box.height, box.width,
          image.channels, image.row_stride};
}

void keep(const float* alpha, float* out, int width) noexcept {
  for (int x = 0; x < width; ++x) out[x] = alpha[x] + 0.0f;  // -0 becomes 0
}
void keep(const float* alpha, std::uint8_t* out, int width) noexcept {
  active_quantise_row()(alpha, out, width);
}

// Writes alpha itself around the box.
template <typename Out>
void keep_around(const Box& box, ImageView<const float> alpha, ImageView<Out> out, int threads) {
  if (box.width == alpha.width && box.height == alpha.height) return;
  const int right = box.x + box.width;
  parallel_rows(Bands(alpha.height, rows_per_band(alpha.width), threads),
                [&](int, int begin, int end) noexcept {
                  for (int y = begin; y < end; ++y) {
                    if (y < box.y || y >= box.y + box.height) {
                      keep(alpha.row(y), out.row(y), alpha.width);
                      continue;
                    }
                    keep(alpha.row(y), out.row(y), box.x);
                    keep(alpha.row(y) + right, out.row(y) + right, alpha.width - right);
                  }
                });
}

// The part of alpha that has to be solved, of no width where none has to. A window of one alpha has
// a = 0 and b = alpha. Those that hold a change of it reach 2 radius away, and with the windows
// that their results are averaged with, 3.
Box solved_part(ImageView<const float> alpha, int radius, int threads) {
  const Box change = changing(alpha, threads);
  if (change.width == 0) return {};
  return grown(change, std::int64_t{3} * radius, alpha.height, alpha.width);
}

// Solves on the guide shrunk to alpha's size; two rows of coefficients at a time grow to the rows
// of the guide between them.
template <typename Out>
void solve_and_upsample(ImageView<const std::uint8_t> guide, ImageView<const float> alpha,
                        const Solver& solver, ImageView<Out> out, int threads) {
  const int height = alpha.height, small_width = alpha.width, width = guide.width;
  const int channels = guide.channels, planes = channels + 1;
  const Box box = solved_part(alpha, solver.radius, threads);
  const int right = box.x + box.width;
  const Bands bands = box.width > 0 ? solver_bands(box.height, box.width, solver.radius, threads)
                                    : Bands(height, rows_per_band(width), threads);
  // Only an alpha of the guide's own size takes it as it is.
  const bool shrinks = height < guide.height || small_width < width;
  std::optional<Resampler<float, std::uint8_t>> shrink;
  if (shrinks) shrink.emplace(guide, height, small_width, Filter::area, bands.workers);
  const int of_shrunk = shrink ? shrink->channels() : 0;
  const Slices<float> shrunk(bands.workers, size_of(of_shrunk) * size_of(small_width));
  const auto spread = active_spread_row_u8();
  const auto spread_shrunk = active_spread_row_f32();

  // What lies beyond a row is grown too, from its last samples.
  const std::size_t padded = size_of(width) + kGrowBlock;
  const Buffer<std::int32_t> start(padded);
  const Buffer<float> fraction(padded);
  for (int x = 0; x < static_cast<int>(padded); ++x) {
    const Position at = position(std::min(x, width - 1), small_width, width);
    start[size_of(x)] = at.sample;
    fraction[size_of(x)] = at.fraction;
  }
  const Growth growth{start.data(), fraction.data()};
  // The first of the guide's rows that grow from row y of alpha and the next.
  const Buffer<int> first(size_of(height) + 1);
  for (int y = 0, row = 0; y <= height; ++y) {
    while (row < guide.height && position(row, height, guide.height).sample < y) ++row;
    first[size_of(y)] = row;
  }

  const auto mix = active_mix_coefficients_row();
  const auto apply = active_apply_row<Out>();
  const std::ptrdiff_t plane =
      plane_stride_of<float>(std::max(row_capacity(small_width), small_width + 2 * kGrowBlock));
  const std::ptrdiff_t row_size = planes * plane;
  // Two rows, and what is between them.
  const Slices<float> rows(bands.workers, size_of(3 * row_size));
  for (int i = 0; i < bands.workers; ++i) std::fill_n(rows[i], 3 * row_size, 0.0f);
  const auto row_at = [&](int worker, int y) { return rows[worker] + y % 2 * row_size; };
  // The rows of the guide between two rows of coefficients.
  const auto apply_between = [&](int top, const float* above, const float* below,
                                 float* mixed) noexcept {
    for (int y = first[size_of(top)]; y < first[size_of(top) + 1]; ++y) {
      const float down = position(y, height, guide.height).fraction;
      for (int c = 0; c < planes; ++c) {
        mix(above + c * plane, below + c * plane, down, small_width, mixed + c * plane);
      }
      apply(&growth, mixed, plane, guide.row(y), channels, width, out.row(y));
    }
  };
  // a = 0 and b = alpha of columns [begin, end).
  const auto keep = [&](int y, int begin, int end, float* to) noexcept {
    for (int c = 0; c < channels; ++c)
      std::fill(to + c * plane + begin, to + c * plane + end, 0.0f);
    std::copy(alpha.row(y) + begin, alpha.row(y) + end, to + channels * plane + begin);
  };
  // Rows of which both neighbours keep their alpha.
  const Bands around(height, rows_per_band(width), bands.workers);
  parallel_rows(around, [&](int worker, int begin, int end) noexcept {
    for (int top = begin; top < end; ++top) {
      if (top >= box.y && top < box.y + std::max(box.height - 1, height == 1 ? box.height : 0)) {
        continue;
      }
      const int bottom = std::min(top + 1, height - 1);
      keep(top, 0, small_width, row_at(worker, top));
      keep(bottom, 0, small_width, row_at(worker, top + 1));
      apply_between(top, row_at(worker, top), row_at(worker, top + 1), rows[worker] + 2 * row_size);
    }
  });
  if (box.width == 0) return;
  for_each_coefficient_row(
      part_of(alpha, box), channels, solver, bands, 1,
      [&](int worker, int y, float* to, std::ptrdiff_t stride) noexcept {
        float *const second = to + stride, *const third = second + stride;
        if (!shrink) {
          const std::uint8_t* from = guide.row(box.y + y) + std::ptrdiff_t{box.x} * channels;
          return spread(from, channels, box.width, kCentred, to, second, third, Stores::cached);
        }
        shrink->row(worker, box.y + y, shrunk[worker]);
        spread_shrunk(shrunk[worker] + std::ptrdiff_t{box.x} * of_shrunk, of_shrunk, box.width,
                      kCentred, to, second, third);
      },
      [&](int worker, int y) noexcept { return CoefficientRow{row_at(worker, y) + box.x, plane}; },
      [&](int worker, int begin, int y) noexcept {
        keep(box.y + y, 0, box.x, row_at(worker, y));
        keep(box.y + y, right, small_width, row_at(worker, y));
        if (y == begin && height > 1) return;
        const int above = std::max(y - 1, 0);
        apply_between(box.y + above, row_at(worker, above), row_at(worker, y),
                      rows[worker] + 2 * row_size);
      });
}

// As guided_filter without subsampling, for images of which every pixel is solved.
template <typename Out>
void solve_and_apply(ImageView<const std::uint8_t> guide, ImageView<const float> alpha,
                     const Solver& solver, ImageView<Out> out, int threads) {
  const int channels = guide.channels;
  const auto spread = active_spread_row_u8();
  const auto apply = active_apply_row<Out>();
  const Bands bands = solver_bands(guide.height, guide.width, solver.radius, threads);
  const std::ptrdiff_t plane = plane_stride_of<float>(row_capacity(guide.width));
  const Slices<float> rows(bands.workers, size_of((channels + 1) * plane));
  for_each_coefficient_row(
      alpha, channels, solver, bands, 0,
      [&](int, int y, float* to, std::ptrdiff_t stride) noexcept {
        spread(guide.row(y), channels, guide.width, kCentred, to, to + stride, to + 2 * stride,
               Stores::cached);
      },
      [&](int worker, int) noexcept { return CoefficientRow{rows[worker], plane}; },
      [&](int worker, int, int y) noexcept {
        apply(nullptr, rows[worker], plane, guide.row(y), channels, guide.width, out.row(y));
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
  if (subsample == 1) {
    const Box box = solved_part(alpha, radius, threads);
    keep_around(box, alpha, out, threads);
    if (box.width == 0) return;
    const Solver solver{radius, eps_of_steps(eps), {}};
    solve_and_apply(part_of(guide, box), part_of(alpha, box), solver, part_of(out, box), threads);
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
  solve_and_upsample(guide, ImageView<const float>(small), solver, out, threads);
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
  solve_and_upsample(guide, alpha, {radius, eps_of_steps(eps), unsure}, out, threads);
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
