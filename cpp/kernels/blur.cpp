// Narrow Gaussians are convolved directly. Wide ones are first reduced by summing square cells of
// pixels, convolved there and interpolated: what cells and interpolation blur themselves is taken
// off the variance, and the cost no longer grows with sigma.
#include "kernels/blur.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/buffer.h"
#include "core/parallel.h"
#include "core/require.h"
#include "kernels/gaussian.h"
#include "kernels/quantise.h"

namespace fastmatte {
namespace {

constexpr int kMaxTaps = 2 * kMaxRadius + 1;

// Rows of a band; enough that the rows a band shares with its neighbours cost little.
constexpr int kBandRows = 64;

// In 32768ths that add up to one over the positions around `at` in [0, size). Renormalising the
// sums afterwards would magnify what rounding the products does to them.
Kernel<std::int16_t> fixed_point(const Kernel<float>& kernel, int at, int size) noexcept {
  Kernel<std::int16_t> fixed{{}, kernel.radius, 32768.0};
  const auto inside = [&](int j) { return (at >= j ? 1 : 0) + (at + j < size ? 1 : 0); };
  double sum = 0;
  for (int j = 0; j <= kernel.radius; ++j) sum += static_cast<double>(kernel.half[j]) * inside(j);
  int rest = 32768;
  for (int j = 1; j <= kernel.radius; ++j) {
    fixed.half[j] = static_cast<std::int16_t>(std::lround(kernel.half[j] / sum * 32768));
    rest -= fixed.half[j] * inside(j);
  }
  fixed.half[0] = static_cast<std::int16_t>(rest / 2);
  return fixed;
}

std::size_t area(int height, int width) noexcept {
  return static_cast<std::size_t>(height) * static_cast<std::size_t>(width);
}

template <typename T>
Buffer<T> zeros(std::size_t count) {
  Buffer<T> buffer(count);
  std::memset(static_cast<void*>(buffer.data()), 0, count * sizeof(T));
  return buffer;
}

// One axis cut into cells of `step` pixels, the last of fewer, with `margin` empty cells around.
struct Axis {
  int size;
  int step;
  int margin;

  int cells() const noexcept { return (size + step - 1) / step; }
  int pixels(int cell) const noexcept {
    return cell < 0 || cell >= cells() ? 0 : std::min(step, size - cell * step);
  }
  // For each cell from -margin to cells() + margin, channels times: one over the pixels that the
  // kernel finds there.
  template <typename T>
  Buffer<float> scale(const Kernel<T>& kernel, int channels) const {
    Buffer<float> out(area(cells() + 2 * margin, channels));
    float* to = out.data();
    for (int cell = -margin; cell < cells() + margin; ++cell) {
      double sum = 0;
      for (int j = 0; j <= kernel.radius; ++j) {
        sum += static_cast<double>(kernel.half[j]) * (pixels(cell - j) + pixels(cell + j));
      }
      to = std::fill_n(to, channels, static_cast<float>(kernel.sum / sum));
    }
    return out;
  }
};

struct Job {
  ImageView<const std::uint8_t> image;
  ImageView<const std::uint8_t> weight;  // of no data: all pixels count
  ImageView<std::uint8_t> out;
  int threads;

  bool weighted() const noexcept { return weight.data != nullptr; }
  int planes() const noexcept { return image.channels + (weighted() ? 1 : 0); }
  int row_elements() const noexcept { return image.width * planes(); }
};

// For each worker a row between margins of zeros, on which a horizontal kernel has its taps.
template <typename T>
class PaddedRows {
 public:
  PaddedRows(int workers, int cells, int planes, int margin)
      : margin_(static_cast<std::ptrdiff_t>(margin) * planes),
        planes_(planes),
        rows_(workers, area(cells + 2 * margin, planes)) {
    for (int i = 0; i < workers; ++i) {
      std::memset(rows_[i], 0, area(cells + 2 * margin, planes) * sizeof(T));
    }
  }

  T* operator[](int worker) const noexcept { return rows_[worker] + margin_; }
  template <typename Fir>
  void convolve(int worker, Fir fir, const Kernel<T>& kernel, int first_cell, T* out,
                int count) const noexcept {
    const T* taps[kMaxTaps];
    const T** centre = taps + kMaxRadius;
    for (int j = -kernel.radius; j <= kernel.radius; ++j) {
      centre[j] = (*this)[worker] + static_cast<std::ptrdiff_t>(first_cell + j) * planes_;
    }
    fir(centre, kernel.half, kernel.radius, out, count);
  }

 private:
  std::ptrdiff_t margin_;
  int planes_;
  Slices<T> rows_;
};

// Rows `row(y)` around y as taps; those outside [0, height) are zeros.
template <typename Tap, typename T, typename Fir, typename Row>
void convolve_rows(Fir fir, const Kernel<T>& kernel, int y, int height, const Buffer<Tap>& zero,
                   const Row& row, T* out, int count) noexcept {
  const Tap* taps[kMaxTaps];
  const Tap** centre = taps + kMaxRadius;
  for (int j = -kernel.radius; j <= kernel.radius; ++j) {
    centre[j] = y + j < 0 || y + j >= height ? zero.data() : row(y + j);
  }
  fir(centre, kernel.half, kernel.radius, out, count);
}

void blur_directly(const Job& job, double sigma) {
  const int height = job.image.height, width = job.image.width, count = job.row_elements();
  const Kernel<float> exact = gaussian(sigma);
  const Kernel<std::int16_t> across = fixed_point(exact, exact.radius, 2 * exact.radius + 1);
  const Buffer<float> scale = Axis{width, 1, 0}.scale(across, job.planes());
  for (int i = 0; i < count; ++i) scale.data()[i] /= kLevelUnit;
  const auto zero = zeros<std::uint8_t>(area(1, count));
  const Bands bands(height, kBandRows, job.threads);
  const PaddedRows<std::int16_t> columns(bands.workers, width, job.planes(), across.radius);
  const Slices<std::int16_t> values(bands.workers, area(1, count));
  const auto fir_levels = [fir = active_fir_row_u8()](auto taps, auto half, int radius, auto out,
                                                      int size) noexcept {
    fir(taps, half, radius, kLevelUnit, out, size);
  };
  const auto fir_i16 = active_fir_row_i16();
  const auto finish = active_scale_row_i16();
  parallel_rows(bands, [&](int worker, int begin, int end) noexcept {
    for (int y = begin; y < end; ++y) {
      convolve_rows(
          fir_levels, fixed_point(exact, y, height), y, height, zero,
          [&](int row) { return job.image.row(row); }, columns[worker], count);
      columns.convolve(worker, fir_i16, across, 0, values[worker], count);
      finish(values[worker], scale.data(), job.out.row(y), count);
    }
  });
}

void blur_weighted_directly(const Job& job, double sigma) {
  const int height = job.image.height, width = job.image.width, count = job.row_elements();
  const Kernel<float> kernel = gaussian(sigma);
  const auto zero = zeros<std::uint16_t>(area(1, count));
  const Bands bands(height, kBandRows, job.threads);
  const Slices<std::uint16_t> weighed(bands.workers, area(kBandRows + 2 * kernel.radius, count));
  const PaddedRows<float> columns(bands.workers, width, job.planes(), kernel.radius);
  const Slices<float> values(bands.workers, area(1, count));
  const auto weigh = active_weigh_row();
  const auto fir_u16 = active_fir_row_u16();
  const auto fir_f32 = active_fir_row_f32();
  const auto divide = active_mix_weighted_row();
  parallel_rows(bands, [&](int worker, int begin, int end) noexcept {
    const int first = std::max(begin - kernel.radius, 0);
    const auto weighed_row = [&](int y) {
      return weighed[worker] + static_cast<std::ptrdiff_t>(y - first) * count;
    };
    for (int y = first; y < std::min(end + kernel.radius, height); ++y) {
      weigh(job.image.row(y), job.weight.row(y), weighed_row(y), width, job.image.channels);
    }
    for (int y = begin; y < end; ++y) {
      convolve_rows(fir_u16, kernel, y, height, zero, weighed_row, columns[worker], count);
      columns.convolve(worker, fir_f32, kernel, 0, values[worker], count);
      divide(values[worker], values[worker], 0.0f, job.image.row(y), job.out.row(y), width,
             job.image.channels);
    }
  });
}

// Where the pixels of an axis lie among its cells' centres, counted from the margin's one cell.
struct Positions {
  Positions(int size, int step)
      : cell(static_cast<std::size_t>(size)), position(static_cast<std::size_t>(size)) {
    for (int i = 0; i < size; ++i) {
      const int halves = 2 * i + 1 + step;  // (i + 1/2) / step - 1/2 + 1, in 1 / (2 * step)
      cell.data()[i] = halves / (2 * step);
      position.data()[i] = static_cast<float>(halves % (2 * step)) / static_cast<float>(2 * step);
    }
  }
  Buffer<std::int32_t> cell;
  Buffer<float> position;
};

void blur_in_cells(const Job& job, double sigma, int step) {
  const int height = job.image.height, width = job.image.width, planes = job.planes();
  const int count = job.row_elements();
  const Kernel<float> kernel = gaussian(sigma_of_cells(sigma, step));
  const Axis rows{height, step, 1}, columns{width, step, 1};
  const int cells = (columns.cells() + 2) * planes;

  // First the sums of cells, convolved along their rows.
  const Buffer<float> reduced(area(rows.cells(), cells));
  const auto reduced_row = [&](int cell) {
    return reduced.data() + static_cast<std::ptrdiff_t>(cell) * cells;
  };
  {
    const Bands bands(rows.cells(), std::max(1, kBandRows / step), job.threads);
    const Slices<std::uint16_t> weighed(job.weighted() ? bands.workers : 0, area(1, count));
    const Slices<std::uint32_t> sums(bands.workers, area(1, count));
    const PaddedRows<float> padded(bands.workers, columns.cells(), planes, kernel.radius + 1);
    const auto weigh = active_weigh_row();
    const auto add_u8 = active_add_row_u8();
    const auto add_u16 = active_add_row_u16();
    const auto sum_cells = active_sum_cells_row();
    const auto fir = active_fir_row_f32();
    parallel_rows(bands, [&](int worker, int begin, int end) noexcept {
      for (int cell = begin; cell < end; ++cell) {
        std::memset(sums[worker], 0, area(1, count) * sizeof(std::uint32_t));
        for (int y = cell * step; y < cell * step + rows.pixels(cell); ++y) {
          if (job.weighted()) {
            weigh(job.image.row(y), job.weight.row(y), weighed[worker], width, job.image.channels);
            add_u16(weighed[worker], sums[worker], count);
          } else {
            add_u8(job.image.row(y), sums[worker], count);
          }
        }
        sum_cells(sums[worker], padded[worker], width, planes, step);
        padded.convolve(worker, fir, kernel, -1, reduced_row(cell), cells);
      }
    });
  }

  // Then each band convolves the columns of the cells it needs and interpolates between them.
  const Positions across(width, step), down(height, step);
  const Buffer<float> row_scale = rows.scale(kernel, 1);
  const Buffer<float> scale = columns.scale(kernel, planes);
  const auto zero = zeros<float>(area(1, cells));
  const Bands bands(height, std::max(kBandRows, 4 * step), job.threads);
  const Slices<float> values(bands.workers, area(1, cells));
  const Slices<float> uppers(bands.workers, area(1, count)), lowers(bands.workers, area(1, count));
  const auto fir = active_fir_row_f32();
  const auto normalise = active_scale_row_f32();
  const auto expand = active_expand_row();
  const auto mix = active_mix_row();
  const auto mix_weighted = active_mix_weighted_row();
  parallel_rows(bands, [&](int worker, int begin, int end) noexcept {
    float *upper = uppers[worker], *lower = lowers[worker];
    const auto full_width = [&](int cell, float* out) {
      float* cell_values = values[worker];
      convolve_rows(fir, kernel, cell - 1, rows.cells(), zero, reduced_row, cell_values, cells);
      if (!job.weighted()) {
        normalise(cell_values, scale.data(), row_scale[static_cast<std::size_t>(cell)], cells);
      }
      expand(cell_values, across.cell.data(), across.position.data(), out, width, planes);
    };
    int at = -2;  // the cell that upper holds; lower holds the next
    for (int y = begin; y < end; ++y) {
      const int cell = down.cell[static_cast<std::size_t>(y)];
      const float position = down.position[static_cast<std::size_t>(y)];
      if (cell == at + 1) {
        std::swap(upper, lower);
        full_width(cell + 1, lower);
      } else if (cell != at) {
        full_width(cell, upper);
        full_width(cell + 1, lower);
      }
      at = cell;
      if (job.weighted()) {
        mix_weighted(upper, lower, position, job.image.row(y), job.out.row(y), width,
                     job.image.channels);
      } else {
        mix(upper, lower, position, job.out.row(y), count);
      }
    }
  });
}

void run(const Job& job, double sigma) {
  if (const int step = cell_step(sigma, job.weighted())) {
    blur_in_cells(job, sigma, step);
  } else if (job.weighted()) {
    blur_weighted_directly(job, sigma);
  } else {
    blur_directly(job, sigma);
  }
}

}  // namespace

void blur(ImageView<const std::uint8_t> image, double sigma, ImageView<std::uint8_t> out,
          int threads) {
  require_apart(out, image, "image");
  run({image, {}, out, threads}, sigma);
}

template <typename Weight>
void blur(ImageView<const std::uint8_t> image, double sigma, ImageView<const Weight> weight,
          ImageView<std::uint8_t> out, int threads) {
  require_same_size(weight, "weight", image, "image");
  require_apart(out, image, "image");
  require_apart(out, weight, "weight");
  const AlphaBytes bytes = alpha_bytes(weight, "weight", threads);
  run({image, bytes.view, out, threads}, sigma);
}

template void blur(ImageView<const std::uint8_t>, double, ImageView<const std::uint8_t>,
                   ImageView<std::uint8_t>, int);
template void blur(ImageView<const std::uint8_t>, double, ImageView<const float>,
                   ImageView<std::uint8_t>, int);

}  // namespace fastmatte
