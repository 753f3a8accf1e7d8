// Sums and solving are in double: mean of squares less square of mean cancels all but a few bits of
// a float32 where eps is small. Everything is vectorised over x, so that the order of every sum is
// the same on each ISA.
#include "kernels/guided_filter.h"

#include "kernels/quantise.h"

namespace fastmatte::FASTMATTE_ISA {
namespace {

// One plane at a time: the compiler sees that it cannot alias, which of thirteen at once it does
// not.
static inline void slide_sum(const float* __restrict enter, const float* __restrict leave,
                             int width, double* __restrict sums) noexcept {
  for (int x = 0; x < width; ++x) {
    sums[x] += static_cast<double>(enter[x]) - static_cast<double>(leave[x]);
  }
}

static inline void slide_product(const float* __restrict enter, const float* __restrict enter_by,
                                 const float* __restrict leave, const float* __restrict leave_by,
                                 int width, double* __restrict sums) noexcept {
  for (int x = 0; x < width; ++x) {
    sums[x] += static_cast<double>(enter[x]) * static_cast<double>(enter_by[x]) -
               static_cast<double>(leave[x]) * static_cast<double>(leave_by[x]);
  }
}

// Several planes at once: each sum waits for the one before it, and four fill the wait. More would
// need more addresses than there are registers.
template <int kPlanes>
static inline void running_sums(const GuidedShape& shape, const double* __restrict sums,
                                double* __restrict running) noexcept {
  double total[kPlanes] = {};
  double* __restrict to = running + shape.radius + 1;
  for (int x = 0; x < shape.width; ++x) {
    for (int k = 0; k < kPlanes; ++k) {
      total[k] += sums[x + k * shape.plane_stride];
      to[x + k * shape.running_stride] = total[k];
    }
  }
  for (int k = 0; k < kPlanes; ++k) {
    for (int x = 0; x < shape.radius; ++x) {
      to[x + shape.width + k * shape.running_stride] = total[k];
    }
  }
}

static inline float weight_of(double mean, double unsure) noexcept {
  const double weight = unsure * mean * (1 - mean);
  return static_cast<float>(weight < 0 ? 0 : weight > 1 ? 1 : weight);
}

static inline void solve_grey(const GuidedShape& shape, const double* __restrict running,
                              double inverse_rows, double eps, double unsure,
                              float* __restrict solved) noexcept {
  const std::ptrdiff_t n = shape.running_stride, m = shape.plane_stride;
  const double* __restrict ahead = running + 2 * shape.radius + 1;
  const double* __restrict inverse_columns = shape.inverse_columns;
  for (int x = 0; x < shape.width; ++x) {
    const double inverse = inverse_rows * inverse_columns[x];
    const double p = (ahead[x] - running[x]) * inverse;
    const double i = (ahead[x + 2 * n] - running[x + 2 * n]) * inverse;
    const double ip = (ahead[x + n] - running[x + n]) * inverse - i * p;
    const double ii = (ahead[x + 3 * n] - running[x + 3 * n]) * inverse - i * i + eps;
    const auto a = static_cast<float>(ip / ii);
    solved[x] = a;
    solved[x + m] = static_cast<float>(p - static_cast<double>(a) * i);
    solved[x + 2 * m] = weight_of(p, unsure);
  }
}

// (covariance of I + eps) a = covariance of I and p, eq. 14, by L D L^T: its error grows with the
// condition of the matrix, that of cofactors with the square, which at eps 1e-6 is no longer small.
static inline void solve_colour(const GuidedShape& shape, const double* __restrict running,
                                double inverse_rows, double eps, double unsure,
                                float* __restrict solved) noexcept {
  const std::ptrdiff_t n = shape.running_stride, m = shape.plane_stride;
  const double* __restrict ahead = running + 2 * shape.radius + 1;
  const double* __restrict inverse_columns = shape.inverse_columns;
  for (int x = 0; x < shape.width; ++x) {
    const double inverse = inverse_rows * inverse_columns[x];
    const double p = (ahead[x] - running[x]) * inverse;
    const double r = (ahead[x + 4 * n] - running[x + 4 * n]) * inverse;
    const double g = (ahead[x + 5 * n] - running[x + 5 * n]) * inverse;
    const double b = (ahead[x + 6 * n] - running[x + 6 * n]) * inverse;
    const double rp = (ahead[x + n] - running[x + n]) * inverse - r * p;
    const double gp = (ahead[x + 2 * n] - running[x + 2 * n]) * inverse - g * p;
    const double bp = (ahead[x + 3 * n] - running[x + 3 * n]) * inverse - b * p;
    const double rr = (ahead[x + 7 * n] - running[x + 7 * n]) * inverse - r * r + eps;
    const double rg = (ahead[x + 8 * n] - running[x + 8 * n]) * inverse - r * g;
    const double rb = (ahead[x + 9 * n] - running[x + 9 * n]) * inverse - r * b;
    const double gg = (ahead[x + 10 * n] - running[x + 10 * n]) * inverse - g * g + eps;
    const double gb = (ahead[x + 11 * n] - running[x + 11 * n]) * inverse - g * b;
    const double bb = (ahead[x + 12 * n] - running[x + 12 * n]) * inverse - b * b + eps;

    const double inverse_d0 = 1 / rr;
    const double l10 = rg * inverse_d0, l20 = rb * inverse_d0;
    const double inverse_d1 = 1 / (gg - l10 * rg);
    const double e21 = gb - l20 * rg;
    const double l21 = e21 * inverse_d1;
    const double d2 = bb - l20 * rb - l21 * e21;
    const double z1 = gp - l10 * rp;
    const double a2 = (bp - l20 * rp - l21 * z1) / d2;
    const double a1 = z1 * inverse_d1 - l21 * a2;
    const double a0 = rp * inverse_d0 - l10 * a1 - l20 * a2;

    // b follows the rounded a: the plane then still passes through the means.
    const auto f0 = static_cast<float>(a0), f1 = static_cast<float>(a1),
               f2 = static_cast<float>(a2);
    solved[x] = f0;
    solved[x + m] = f1;
    solved[x + 2 * m] = f2;
    solved[x + 3 * m] =
        static_cast<float>(p - static_cast<double>(f0) * r - static_cast<double>(f1) * g -
                           static_cast<double>(f2) * b);
    solved[x + 4 * m] = weight_of(p, unsure);
  }
}

static inline float clip(float value) noexcept {
  value = value < 0.0f ? 0.0f : value;
  return value > 1.0f ? 1.0f : value;
}

static inline void store(float value, float* out) noexcept { *out = value; }
static inline void store(float value, std::uint8_t* out) noexcept {
  *out = static_cast<std::uint8_t>(to_steps(value, 255.0f));
}

template <typename Out>
static inline void apply(const float* __restrict top, const float* __restrict bottom,
                         std::ptrdiff_t n, float fraction, const std::uint8_t* __restrict guide,
                         int channels, int width, Out* __restrict out) noexcept {
  if (channels == 1) {
    for (int x = 0; x < width; ++x) {
      const float i = static_cast<float>(guide[x]) - kGuideCentre;
      const float above = top[x] * i + top[x + n];
      const float below = bottom[x] * i + bottom[x + n];
      store(clip(above + fraction * (below - above)), out + x);
    }
    return;
  }
  for (int x = 0; x < width; ++x) {
    const float r = static_cast<float>(guide[3 * x]) - kGuideCentre;
    const float g = static_cast<float>(guide[3 * x + 1]) - kGuideCentre;
    const float b = static_cast<float>(guide[3 * x + 2]) - kGuideCentre;
    const float above = top[x] * r + top[x + n] * g + top[x + 2 * n] * b + top[x + 3 * n];
    const float below =
        bottom[x] * r + bottom[x + n] * g + bottom[x + 2 * n] * b + bottom[x + 3 * n];
    store(clip(above + fraction * (below - above)), out + x);
  }
}

}  // namespace

void slide_moments_row(const GuidedShape& shape, const GuideRow& enter, const GuideRow& leave,
                       double* sums) noexcept {
  const int width = shape.width, channels = shape.channels;
  const auto next = [&] { return sums += shape.plane_stride; };
  slide_sum(enter.alpha, leave.alpha, width, sums);
  for (int c = 0; c < channels; ++c) {
    slide_product(enter.guide[c], enter.alpha, leave.guide[c], leave.alpha, width, next());
  }
  for (int c = 0; c < channels; ++c) slide_sum(enter.guide[c], leave.guide[c], width, next());
  for (int c = 0; c < channels; ++c) {
    for (int d = c; d < channels; ++d) {
      slide_product(enter.guide[c], enter.guide[d], leave.guide[c], leave.guide[d], width, next());
    }
  }
}

void slide_sums_row(const GuidedShape& shape, const float* enter, const float* leave,
                    double* sums) noexcept {
  for (int c = 0; c <= shape.channels; ++c) {
    const std::ptrdiff_t offset = c * shape.plane_stride;
    slide_sum(enter + offset, leave + offset, shape.width, sums + offset);
  }
}

void running_sums_row(const GuidedShape& shape, int planes, const double* sums,
                      double* running) noexcept {
  // 2 and 4 planes for grey, 4 and 13 for colour.
  int k = 0;
  for (; planes - k >= 4; k += 4) {
    running_sums<4>(shape, sums + k * shape.plane_stride, running + k * shape.running_stride);
  }
  for (; k < planes; ++k) {
    running_sums<1>(shape, sums + k * shape.plane_stride, running + k * shape.running_stride);
  }
}

void solve_row(const GuidedShape& shape, const double* running, double inverse_rows, double eps,
               double unsure, float* solved) noexcept {
  const auto solve = shape.channels == 1 ? &solve_grey : &solve_colour;
  solve(shape, running, inverse_rows, eps, unsure, solved);
}

void mean_row(const GuidedShape& shape, const double* __restrict running, double inverse_rows,
              const float* __restrict weight, const float* __restrict alpha,
              float* __restrict coefficients) noexcept {
  const double* __restrict inverse_columns = shape.inverse_columns;
  for (int c = 0; c <= shape.channels; ++c) {
    const double* __restrict behind = running + c * shape.running_stride;
    const double* __restrict ahead = behind + 2 * shape.radius + 1;
    float* __restrict out = coefficients + c * shape.plane_stride;
    if (!weight) {
      for (int x = 0; x < shape.width; ++x) {
        out[x] = static_cast<float>((ahead[x] - behind[x]) * (inverse_rows * inverse_columns[x]));
      }
      continue;
    }
    const double part_of_alpha = c == shape.channels ? 1 : 0;
    for (int x = 0; x < shape.width; ++x) {
      const double mean = (ahead[x] - behind[x]) * (inverse_rows * inverse_columns[x]);
      const double w = weight[x];
      out[x] =
          static_cast<float>(w * mean + part_of_alpha * (1 - w) * static_cast<double>(alpha[x]));
    }
  }
}

void grow_row(const Growth& growth, const float* __restrict small, float* __restrict out) noexcept {
  const float* __restrict fraction = growth.fraction;
  if (growth.small_width == 1) {
    for (int x = 0; x < growth.width; ++x) out[x] = small[0];
    return;
  }
  for (int i = 0; i + 1 < growth.small_width; ++i) {
    const float from = small[i], step = small[i + 1] - small[i];
    for (int x = growth.start[i]; x < growth.start[i + 1]; x += kGrowBlock) {
      for (int k = 0; k < kGrowBlock; ++k) out[x + k] = from + fraction[x + k] * step;
    }
  }
}

void apply_row_f32(const float* top, const float* bottom, std::ptrdiff_t plane_stride,
                   float fraction, const std::uint8_t* guide, int channels, int width,
                   float* out) noexcept {
  apply(top, bottom, plane_stride, fraction, guide, channels, width, out);
}

void apply_row_u8(const float* top, const float* bottom, std::ptrdiff_t plane_stride,
                  float fraction, const std::uint8_t* guide, int channels, int width,
                  std::uint8_t* out) noexcept {
  apply(top, bottom, plane_stride, fraction, guide, channels, width, out);
}

}  // namespace fastmatte::FASTMATTE_ISA
