// Sums and solving are in double: mean of squares less square of mean cancels all but a few bits of
// a float32 where eps is small. Everything is vectorised over x, so that the order of every sum is
// the same on each ISA.
#include "kernels/guided_filter.h"

#include "kernels/quantise.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace fastmatte::FASTMATTE_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kVectorLanes = 8;
#elif defined(__AVX__)
constexpr int kVectorLanes = 4;
#else
constexpr int kVectorLanes = 2;
#endif
constexpr int kVectors = kLanes / kVectorLanes;

typedef double Doubles __attribute__((vector_size(8 * kVectorLanes), aligned(8), may_alias));
typedef float Four __attribute__((vector_size(16), aligned(4), may_alias));

// kLanes adjacent elements.
struct Block {
  Doubles vectors[kVectors];
};

// GCC 12 takes __builtin_convertvector to twice the width apart, through memory.
static inline void widen(const float* from, Doubles& to) noexcept {
#if defined(__AVX512F__)
  // GCC 12 warns of its own header where there is no mask.
  to = (Doubles)_mm512_maskz_cvtps_pd(0xff, _mm256_loadu_ps(from));
#elif defined(__AVX__)
  to = (Doubles)_mm256_cvtps_pd(_mm_loadu_ps(from));
#else
  to = Doubles{static_cast<double>(from[0]), static_cast<double>(from[1])};
#endif
}

static inline void load(const float* from, Block& block) noexcept {
  for (int j = 0; j < kVectors; ++j) widen(from + j * kVectorLanes, block.vectors[j]);
}

// Adds what enters and leaves to a block of one plane of sums, and those to the running ones.
template <bool kRunning>
static inline void add(const Block& change, double* sums, double* running, Block& total) noexcept {
  for (int j = 0; j < kVectors; ++j) {
    Doubles& sum = *reinterpret_cast<Doubles*>(sums + j * kVectorLanes);
    sum += change.vectors[j];
    if (!kRunning) continue;
    total.vectors[j] += sum;
    *reinterpret_cast<Doubles*>(running + j * kVectorLanes) = total.vectors[j];
  }
}

template <int channels, bool kRunning>
static inline void moments(const GuidedShape& shape, const GuideRow& enter, const GuideRow& leave,
                           double* __restrict sums, double* __restrict running) noexcept {
  const std::ptrdiff_t count = elements_of(shape, 2), n = shape.plane_stride,
                       m = shape.running_stride;
  Block totals[moment_count(channels)] = {};
  for (std::ptrdiff_t x = 0; x < count; x += kLanes) {
    Block in[channels + 1], out[channels + 1];
    for (int c = 0; c < channels; ++c) {
      load(enter.guide[c] + x, in[c]);
      load(leave.guide[c] + x, out[c]);
    }
    load(enter.alpha + x, in[channels]);
    load(leave.alpha + x, out[channels]);
    const auto sum = [&](int k, int c) {
      Block change;
      for (int j = 0; j < kVectors; ++j) change.vectors[j] = in[c].vectors[j] - out[c].vectors[j];
      add<kRunning>(change, sums + k * n + x, running + k * m + x, totals[k]);
    };
    const auto product = [&](int k, int c, int d) {
      Block change;
      for (int j = 0; j < kVectors; ++j) {
        change.vectors[j] =
            in[c].vectors[j] * in[d].vectors[j] - out[c].vectors[j] * out[d].vectors[j];
      }
      add<kRunning>(change, sums + k * n + x, running + k * m + x, totals[k]);
    };
    sum(0, channels);
    for (int c = 0; c < channels; ++c) product(1 + c, c, channels);
    for (int c = 0; c < channels; ++c) sum(1 + channels + c, c);
    for (int c = 0, k = 1 + 2 * channels; c < channels; ++c) {
      for (int d = c; d < channels; ++d) product(k++, c, d);
    }
  }
}

template <int channels, bool kRunning>
static inline void plain_sums(const GuidedShape& shape, const float* __restrict enter,
                              const float* __restrict leave, double* __restrict sums,
                              double* __restrict running) noexcept {
  const std::ptrdiff_t count = elements_of(shape, 1), n = shape.plane_stride,
                       m = shape.running_stride;
  Block totals[channels + 1] = {};
  for (std::ptrdiff_t x = 0; x < count; x += kLanes) {
    for (int k = 0; k <= channels; ++k) {
      Block in, out;
      load(enter + k * n + x, in);
      load(leave + k * n + x, out);
      for (int j = 0; j < kVectors; ++j) in.vectors[j] -= out.vectors[j];
      add<kRunning>(in, sums + k * n + x, running + k * m + x, totals[k]);
    }
  }
}

// The running sums of a single segment, several planes at once: each sum waits for the one before
// it, and four fill the wait. More would need more addresses than there are registers.
template <int kPlanes>
static inline void run_planes(const GuidedShape& shape, std::ptrdiff_t count,
                              const double* __restrict sums, double* __restrict running) noexcept {
  double total[kPlanes] = {};
  for (std::ptrdiff_t x = 0; x < count; ++x) {
    for (int k = 0; k < kPlanes; ++k) {
      running[x + k * shape.running_stride] = total[k] += sums[x + k * shape.plane_stride];
    }
  }
}

static inline void run(const GuidedShape& shape, int planes, std::ptrdiff_t count,
                       const double* sums, double* running) noexcept {
  // 2 and 4 planes for grey, 4 and 13 for colour.
  int k = 0;
  for (; planes - k >= 4; k += 4) {
    run_planes<4>(shape, count, sums + k * shape.plane_stride, running + k * shape.running_stride);
  }
  for (; k < planes; ++k) {
    run_planes<1>(shape, count, sums + k * shape.plane_stride, running + k * shape.running_stride);
  }
}

// rows[k] becomes column k.
static inline void transpose(Four (&rows)[4]) noexcept {
  const Four a = __builtin_shufflevector(rows[0], rows[1], 0, 4, 1, 5);
  const Four b = __builtin_shufflevector(rows[0], rows[1], 2, 6, 3, 7);
  const Four c = __builtin_shufflevector(rows[2], rows[3], 0, 4, 1, 5);
  const Four d = __builtin_shufflevector(rows[2], rows[3], 2, 6, 3, 7);
  rows[0] = __builtin_shufflevector(a, c, 0, 1, 4, 5);
  rows[1] = __builtin_shufflevector(a, c, 2, 3, 6, 7);
  rows[2] = __builtin_shufflevector(b, d, 0, 1, 4, 5);
  rows[3] = __builtin_shufflevector(b, d, 2, 3, 6, 7);
}

// Moves 4 x 4 values of which rows lie in_stride apart to columns out_stride apart.
static inline void turn(const float* in, std::ptrdiff_t in_stride, float* out,
                        std::ptrdiff_t out_stride) noexcept {
  Four rows[4];
  for (int k = 0; k < 4; ++k) rows[k] = *reinterpret_cast<const Four*>(in + k * in_stride);
  transpose(rows);
  for (int k = 0; k < 4; ++k) *reinterpret_cast<Four*>(out + k * out_stride) = rows[k];
}
static_assert(kLanePixels == 4 && kLanes % 4 == 0, "squares are 4 x 4");

// Means over the windows of one row.
struct Windows {
  Windows(const GuidedShape& shape, const double* running, const double* inverse_columns_,
          double inverse_rows_) noexcept
      : behind(running - shape.lanes),
        ahead(running + std::ptrdiff_t{2} * shape.radius * shape.lanes),
        stride(shape.running_stride),
        inverse_columns(inverse_columns_),
        inverse_rows(inverse_rows_) {}

  double inverse(std::ptrdiff_t x) const noexcept { return inverse_rows * inverse_columns[x]; }
  double sum(int plane, std::ptrdiff_t x) const noexcept {
    return ahead[x + plane * stride] - behind[x + plane * stride];
  }

  const double* __restrict behind;
  const double* __restrict ahead;
  std::ptrdiff_t stride;
  const double* __restrict inverse_columns;
  double inverse_rows;
};

static inline float weight_of(double mean, double unsure) noexcept {
  const double weight = unsure * mean * (1 - mean);
  return static_cast<float>(weight < 0 ? 0 : weight > 1 ? 1 : weight);
}

static inline void solve_grey(const GuidedShape& shape, const Windows windows, double eps,
                              double unsure, float* __restrict solved) noexcept {
  const std::ptrdiff_t m = shape.plane_stride;
  for (std::ptrdiff_t x = 0; x < elements_of(shape, 1); ++x) {
    const double inverse = windows.inverse(x);
    const auto mean = [&](int plane) { return windows.sum(plane, x) * inverse; };
    const double p = mean(0);
    const double i = mean(2);
    const double ip = mean(1) - i * p;
    const double ii = mean(3) - i * i + eps;
    // What cancels has cancelled: float32 halves the time of the quotient and adds a last bit.
    const float a = static_cast<float>(ip) / static_cast<float>(ii);
    solved[x] = a;
    solved[x + m] = static_cast<float>(p - static_cast<double>(a) * i);
    solved[x + 2 * m] = weight_of(p, unsure);
  }
}

// (covariance of I + eps) a = covariance of I and p, eq. 14, by L D L^T: its error grows with the
// condition of the matrix, that of cofactors with the square, which at eps 1e-6 is no longer small.
static inline void solve_colour(const GuidedShape& shape, const Windows windows, double eps,
                                double unsure, float* __restrict solved) noexcept {
  const std::ptrdiff_t m = shape.plane_stride;
  for (std::ptrdiff_t x = 0; x < elements_of(shape, 1); ++x) {
    const double inverse = windows.inverse(x);
    const auto mean = [&](int plane) { return windows.sum(plane, x) * inverse; };
    const double p = mean(0);
    const double r = mean(4), g = mean(5), b = mean(6);
    const double rp = mean(1) - r * p, gp = mean(2) - g * p, bp = mean(3) - b * p;
    const double rr = mean(7) - r * r + eps, rg = mean(8) - r * g, rb = mean(9) - r * b;
    const double gg = mean(10) - g * g + eps, gb = mean(11) - g * b;
    const double bb = mean(12) - b * b + eps;

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

// One vector of any lanes of another: all ISAs but the weakest have one instruction for it.
#if defined(__SSE4_1__) && !defined(__clang__)
#define FASTMATTE_PERMUTES
#if defined(__AVX512F__)
constexpr int kGrowLanes = 16;
#elif defined(__AVX2__)
constexpr int kGrowLanes = 8;
#else
constexpr int kGrowLanes = 4;
#endif
typedef float Grown __attribute__((vector_size(4 * kGrowLanes), aligned(4), may_alias));
typedef std::int32_t Starts __attribute__((vector_size(4 * kGrowLanes), aligned(4), may_alias));
#endif

// kGrowBlock pixels of each plane.
static inline void grow(const Growth& growth, const float* samples, std::ptrdiff_t plane_stride,
                        int planes, int begin, float* __restrict out) noexcept {
#if defined(FASTMATTE_PERMUTES)
  for (int x = 0; x < kGrowBlock; x += kGrowLanes) {
    const std::int32_t* start = growth.start + begin + x;
    const Grown fraction = *reinterpret_cast<const Grown*>(growth.fraction + begin + x);
    // Starts rise by one at most, so that a vector of pixels lies within a vector of samples.
    const Starts lanes = *reinterpret_cast<const Starts*>(start) - *start;
    for (int k = 0; k < planes; ++k) {
      const float* from = samples + k * plane_stride + *start;
      const Grown left = __builtin_shuffle(*reinterpret_cast<const Grown*>(from), lanes);
      const Grown right = __builtin_shuffle(*reinterpret_cast<const Grown*>(from + 1), lanes);
      *reinterpret_cast<Grown*>(out + k * kGrowBlock + x) = left + fraction * (right - left);
    }
  }
#else
  for (int x = 0; x < kGrowBlock; ++x) {
    const float fraction = growth.fraction[begin + x];
    for (int k = 0; k < planes; ++k) {
      const float* from = samples + k * plane_stride + growth.start[begin + x];
      out[k * kGrowBlock + x] = from[0] + fraction * (from[1] - from[0]);
    }
  }
#endif
}

template <typename Out>
static inline void apply_here(const float* __restrict coefficients, std::ptrdiff_t n,
                              const std::uint8_t* __restrict guide, int channels, int width,
                              Out* __restrict out) noexcept {
  if (channels == 1) {
    for (int x = 0; x < width; ++x) {
      const float i = static_cast<float>(guide[x]) - kGuideCentre;
      store(clip(coefficients[x] * i + coefficients[x + n]), out + x);
    }
    return;
  }
  for (int x = 0; x < width; ++x) {
    const float r = static_cast<float>(guide[3 * x]) - kGuideCentre;
    const float g = static_cast<float>(guide[3 * x + 1]) - kGuideCentre;
    const float b = static_cast<float>(guide[3 * x + 2]) - kGuideCentre;
    store(clip(coefficients[x] * r + coefficients[x + n] * g + coefficients[x + 2 * n] * b +
               coefficients[x + 3 * n]),
          out + x);
  }
}

template <typename Out>
static inline void apply(const Growth* growth, const float* coefficients,
                         std::ptrdiff_t plane_stride, const std::uint8_t* guide, int channels,
                         int width, Out* out) noexcept {
  if (!growth) return apply_here(coefficients, plane_stride, guide, channels, width, out);
  float grown[4 * kGrowBlock];
  for (int x = 0; x < width; x += kGrowBlock) {
    const int count = width - x < kGrowBlock ? width - x : kGrowBlock;
    grow(*growth, coefficients, plane_stride, channels + 1, x, grown);
    apply_here(grown, kGrowBlock, guide + channels * x, channels, count, out + x);
  }
}

}  // namespace

void cut_segments_row(const GuidedShape& shape, const float* row, float* segments) noexcept {
  const int count = shape.pixels + 4 * shape.radius;
  for (int i = 0; i < count; i += kLanePixels) {
    for (int k = 0; k < kLanes; k += 4) {
      turn(row + std::ptrdiff_t{k} * shape.pixels + i, shape.pixels,
           segments + std::ptrdiff_t{i} * kLanes + k, kLanes);
    }
  }
}

void join_segments_row(const GuidedShape& shape, const float* segments, float* row) noexcept {
  for (int i = 0; i < shape.pixels; i += kLanePixels) {
    for (int k = 0; k < kLanes; k += 4) {
      turn(segments + std::ptrdiff_t{i} * kLanes + k, kLanes,
           row + std::ptrdiff_t{k} * shape.pixels + i, shape.pixels);
    }
  }
}

void moments_row(const GuidedShape& shape, const GuideRow& enter, const GuideRow& leave,
                 double* sums, double* running) noexcept {
  const bool fused = running && shape.lanes == kLanes;
  const auto grey = fused ? &moments<1, true> : &moments<1, false>;
  const auto colour = fused ? &moments<3, true> : &moments<3, false>;
  (shape.channels == 1 ? grey : colour)(shape, enter, leave, sums, running);
  if (running && !fused) {
    run(shape, moment_count(shape.channels), elements_of(shape, 2), sums, running);
  }
}

void sums_row(const GuidedShape& shape, const float* enter, const float* leave, double* sums,
              double* running) noexcept {
  const bool fused = running && shape.lanes == kLanes;
  const auto grey = fused ? &plain_sums<1, true> : &plain_sums<1, false>;
  const auto colour = fused ? &plain_sums<3, true> : &plain_sums<3, false>;
  (shape.channels == 1 ? grey : colour)(shape, enter, leave, sums, running);
  if (running && !fused) run(shape, shape.channels + 1, elements_of(shape, 1), sums, running);
}

void solve_row(const GuidedShape& shape, const double* running, double inverse_rows, double eps,
               double unsure, float* solved) noexcept {
  const auto solve = shape.channels == 1 ? &solve_grey : &solve_colour;
  solve(shape, Windows(shape, running, shape.inverse_columns, inverse_rows), eps, unsure, solved);
}

void mean_row(const GuidedShape& shape, const double* running, double inverse_rows,
              const float* __restrict weight, const float* __restrict alpha,
              float* __restrict coefficients) noexcept {
  const std::ptrdiff_t count = elements_of(shape, 0);
  const Windows windows(shape, running,
                        shape.inverse_columns + std::ptrdiff_t{shape.radius} * shape.lanes,
                        inverse_rows);
  for (int c = 0; c <= shape.channels; ++c) {
    float* __restrict out = coefficients + c * shape.plane_stride;
    if (!weight) {
      for (std::ptrdiff_t x = 0; x < count; ++x) {
        out[x] = static_cast<float>(windows.sum(c, x) * windows.inverse(x));
      }
      continue;
    }
    const double part_of_alpha = c == shape.channels ? 1 : 0;
    for (std::ptrdiff_t x = 0; x < count; ++x) {
      const double mean = windows.sum(c, x) * windows.inverse(x);
      const double w = weight[x];
      out[x] =
          static_cast<float>(w * mean + part_of_alpha * (1 - w) * static_cast<double>(alpha[x]));
    }
  }
}

void mix_coefficients_row(const float* top, const float* bottom, float fraction, int count,
                          float* __restrict out) noexcept {
  for (int i = 0; i < count; ++i) out[i] = top[i] + fraction * (bottom[i] - top[i]);
}

void apply_row_f32(const Growth* growth, const float* coefficients, std::ptrdiff_t plane_stride,
                   const std::uint8_t* guide, int channels, int width, float* out) noexcept {
  apply(growth, coefficients, plane_stride, guide, channels, width, out);
}

void apply_row_u8(const Growth* growth, const float* coefficients, std::ptrdiff_t plane_stride,
                  const std::uint8_t* guide, int channels, int width, std::uint8_t* out) noexcept {
  apply(growth, coefficients, plane_stride, guide, channels, width, out);
}

}  // namespace fastmatte::FASTMATTE_ISA
