// Sums and solving are in double: mean of squares less square of mean cancels all but a few bits of
// a float32 where eps is small. Everything is vectorised over x, so that the order of every sum is
// the same on each ISA.
#include "kernels/guided_filter.h"

#include "kernels/quantise.h"
#include "simd/vec.h"

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
constexpr int kVectors = kSegments / kVectorLanes;

typedef double Doubles __attribute__((vector_size(8 * kVectorLanes), may_alias));
typedef float Singles __attribute__((vector_size(4 * kVectorLanes), may_alias));
// The same anywhere in memory. Only for loads and stores: templates forget the alignment.
typedef Doubles LooseDoubles __attribute__((aligned(8)));
typedef Singles LooseSingles __attribute__((aligned(4)));
typedef float Four __attribute__((vector_size(16), aligned(4), may_alias));

// kSegments adjacent elements.
struct Block {
  Doubles vectors[kVectors];
};

// GCC 12 takes __builtin_convertvector to twice the width apart, through memory; element by element
// it drops a narrowing that is widened again; and it warns of its own header where there is no
// mask.
static inline Doubles widen(const Singles& from) noexcept {
#if defined(__AVX512F__)
  return (Doubles)_mm512_maskz_cvtps_pd(0xff, (__m256)from);
#elif defined(__AVX__)
  return (Doubles)_mm256_cvtps_pd((__m128)from);
#elif defined(__x86_64__)
  __m128 both = _mm_setzero_ps();
  __builtin_memcpy(&both, &from, sizeof from);
  return (Doubles)_mm_cvtps_pd(both);
#else
  return __builtin_convertvector(from, Doubles);
#endif
}
static inline double widen(float from) noexcept { return static_cast<double>(from); }

static inline Singles narrow(const Doubles& from) noexcept {
#if defined(__AVX512F__)
  return (Singles)_mm512_maskz_cvtpd_ps(0xff, (__m512d)from);
#elif defined(__AVX__)
  return (Singles)_mm256_cvtpd_ps((__m256d)from);
#elif defined(__x86_64__)
  const __m128 both = _mm_cvtpd_ps((__m128d)from);
  Singles to;
  __builtin_memcpy(&to, &both, sizeof to);
  return to;
#else
  return __builtin_convertvector(from, Singles);
#endif
}
static inline float narrow(double from) noexcept { return static_cast<float>(from); }

// Two vectors that what waits for itself is done to in turn: alone, one keeps the processor
// waiting.
struct DoublePair {
  Doubles first, second;
};
struct SinglePair {
  Singles first, second;
};
static inline DoublePair operator+(const DoublePair& a, double b) noexcept {
  return {a.first + b, a.second + b};
}
static inline DoublePair operator-(const DoublePair& a, const DoublePair& b) noexcept {
  return {a.first - b.first, a.second - b.second};
}
static inline DoublePair operator-(double a, const DoublePair& b) noexcept {
  return {a - b.first, a - b.second};
}
static inline DoublePair operator*(const DoublePair& a, const DoublePair& b) noexcept {
  return {a.first * b.first, a.second * b.second};
}
static inline SinglePair operator/(const SinglePair& a, const SinglePair& b) noexcept {
  return {a.first / b.first, a.second / b.second};
}
static inline SinglePair operator/(float a, const SinglePair& b) noexcept {
  return {a / b.first, a / b.second};
}
static inline DoublePair widen(const SinglePair& from) noexcept {
  return {widen(from.first), widen(from.second)};
}
static inline SinglePair narrow(const DoublePair& from) noexcept {
  return {narrow(from.first), narrow(from.second)};
}

static inline void load(const float* from, Block& block) noexcept {
  for (int j = 0; j < kVectors; ++j) {
    Singles part;
    __builtin_memcpy(&part, from + j * kVectorLanes, sizeof part);
    block.vectors[j] = widen(part);
  }
}

// The inputs of one block of windows, a[c] or what they are made of, that enter and that leave.
template <int channels>
struct Change {
  Change(const GuideRow& enter, const GuideRow& leave, std::ptrdiff_t x) noexcept {
    for (int c = 0; c < channels; ++c) {
      load(enter.guide[c] + x, in[c]);
      load(leave.guide[c] + x, out[c]);
    }
    load(enter.alpha + x, in[channels]);
    load(leave.alpha + x, out[channels]);
  }

  Doubles sum(int c, int j) const noexcept { return in[c].vectors[j] - out[c].vectors[j]; }
  Doubles product(int c, int d, int j) const noexcept {
    return in[c].vectors[j] * in[d].vectors[j] - out[c].vectors[j] * out[d].vectors[j];
  }
  // Calls add(plane, its change) for each plane of moments.
  template <typename Add>
  void for_each_moment(int j, const Add& add) const noexcept {
    add(0, sum(channels, j));
    for (int c = 0; c < channels; ++c) {
      add(1 + c, product(c, channels, j));
      add(1 + channels + c, sum(c, j));
    }
    for (int c = 0, k = 1 + 2 * channels; c < channels; ++c) {
      for (int d = c; d < channels; ++d) add(k++, product(c, d, j));
    }
  }

  Block in[channels + 1], out[channels + 1];
};

static inline LooseDoubles& at(double* from) noexcept {
  return *reinterpret_cast<LooseDoubles*>(from);
}
static inline const LooseDoubles& at(const double* from) noexcept {
  return *reinterpret_cast<const LooseDoubles*>(from);
}
static inline LooseSingles& at(float* from) noexcept {
  return *reinterpret_cast<LooseSingles*>(from);
}

template <int channels>
static inline void add_moments(const GuidedShape& shape, const GuideRow& enter,
                               const GuideRow& leave, double* __restrict sums) noexcept {
  const std::ptrdiff_t n = shape.plane_stride;
  for (std::ptrdiff_t x = 0; x < elements_of(shape, 2); x += kSegments) {
    const Change<channels> change(enter, leave, x);
    for (int j = 0; j < kVectors; ++j) {
      double* const to = sums + x + j * kVectorLanes;
      change.for_each_moment(j, [&](int k, const Doubles& by) { at(to + k * n) += by; });
    }
  }
}

static inline void add_plain(const float* enter, const float* leave, double* __restrict sums,
                             std::ptrdiff_t count) noexcept {
  for (std::ptrdiff_t x = 0; x < count; x += kSegments) {
    Block in, out;
    load(enter + x, in);
    load(leave + x, out);
    for (int j = 0; j < kVectors; ++j) {
      at(sums + x + j * kVectorLanes) += in.vectors[j] - out.vectors[j];
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
static_assert(kLanePixels == 4 && kSegments % 4 == 0, "squares are 4 x 4");

// Means over the windows of one row of a single segment.
struct Windows {
  Windows(const GuidedShape& shape, const double* running, const double* inverse_columns_,
          double inverse_rows_) noexcept
      : behind(running - 1),
        ahead(running + std::ptrdiff_t{2} * shape.radius),
        stride(shape.running_stride),
        inverse_columns(inverse_columns_),
        inverse_rows(inverse_rows_) {}

  double mean(int plane, std::ptrdiff_t x) const noexcept {
    return (ahead[x + plane * stride] - behind[x + plane * stride]) *
           (inverse_rows * inverse_columns[x]);
  }

  const double* __restrict behind;
  const double* __restrict ahead;
  std::ptrdiff_t stride;
  const double* __restrict inverse_columns;
  double inverse_rows;
};

// The formulas below are the same for one window and for a vector of them.
template <typename Value>
static inline auto weight_of(const Value& mean, double unsure) noexcept {
  const Value weight = unsure * mean * (1.0 - mean);
  const Value positive = weight < 0.0 ? weight - weight : weight;
  return narrow(positive > 1.0 ? positive - positive + 1.0 : positive);
}

// 1 / value as good as double divides, of a float32 quotient and one step of Newton's: half the
// time.
template <typename Value>
static inline auto inverse_of(const Value& value) noexcept {
  const auto first = widen(1.0f / narrow(value));
  return first * (2.0 - value * first);
}

// Calls put(plane, value) for a, b of one window.
template <typename Mean, typename Put>
static inline void solve_grey(const Mean& mean, double eps, const Put& put) noexcept {
  const auto p = mean(0);
  const auto i = mean(2);
  const auto ip = mean(1) - i * p;
  const auto ii = mean(3) - i * i + eps;
  // What cancels has cancelled: float32 halves the time of the quotient and adds a last bit.
  const auto a = narrow(ip) / narrow(ii);
  put(0, a);
  put(1, narrow(p - widen(a) * i));
}

// (covariance of I + eps) a = covariance of I and p, eq. 14, by L D L^T: its error grows with the
// condition of the matrix, that of cofactors with the square, which at eps 1e-6 is no longer small.
template <typename Mean, typename Put>
static inline void solve_colour(const Mean& mean, double eps, const Put& put) noexcept {
  const auto p = mean(0);
  const auto r = mean(4), g = mean(5), b = mean(6);
  const auto rp = mean(1) - r * p, gp = mean(2) - g * p, bp = mean(3) - b * p;
  const auto rr = mean(7) - r * r + eps, rg = mean(8) - r * g, rb = mean(9) - r * b;
  const auto gg = mean(10) - g * g + eps, gb = mean(11) - g * b;
  const auto bb = mean(12) - b * b + eps;

  const auto inverse_d0 = inverse_of(rr);
  const auto l10 = rg * inverse_d0, l20 = rb * inverse_d0;
  const auto inverse_d1 = inverse_of(gg - l10 * rg);
  const auto e21 = gb - l20 * rg;
  const auto l21 = e21 * inverse_d1;
  const auto d2 = bb - l20 * rb - l21 * e21;
  const auto z1 = gp - l10 * rp;
  const auto a2 = (bp - l20 * rp - l21 * z1) * inverse_of(d2);
  const auto a1 = z1 * inverse_d1 - l21 * a2;
  const auto a0 = rp * inverse_d0 - l10 * a1 - l20 * a2;

  // b follows the rounded a: the plane then still passes through the means.
  const auto f0 = narrow(a0), f1 = narrow(a1), f2 = narrow(a2);
  put(0, f0);
  put(1, f1);
  put(2, f2);
  put(3, narrow(p - widen(f0) * r - widen(f1) * g - widen(f2) * b));
}

template <int channels, typename Mean, typename Put>
static inline void solve(const Mean& mean, double eps, const Put& put) noexcept {
  if constexpr (channels == 1) {
    solve_grey(mean, eps, put);
  } else {
    solve_colour(mean, eps, put);
  }
}

// Blocks of windows whose means wait in the first cache to be solved.
constexpr int kSolvedTogether = 8;

// The windows of all segments move on together, as their column sums are brought up to date: what
// is summed along the row stays in registers.
template <int channels, bool kWeight>
static inline void solve_segments(const GuidedShape& shape, const GuideRow& enter,
                                  const GuideRow& leave, double* __restrict sums,
                                  double inverse_rows, double eps, double unsure,
                                  float* __restrict solved) noexcept {
  constexpr int moments = moment_count(channels);
  const std::ptrdiff_t n = shape.plane_stride, reach = std::ptrdiff_t{2} * shape.radius * kSegments;
  Block windows[moments] = {};
  const auto enter_block = [&](std::ptrdiff_t x) {
    const Change<channels> change(enter, leave, x);
    for (int j = 0; j < kVectors; ++j) {
      double* const to = sums + x + j * kVectorLanes;
      change.for_each_moment(j, [&](int k, const Doubles& by) {
        const Doubles sum = at(to + k * n) + by;
        at(to + k * n) = sum;
        windows[k].vectors[j] += sum;
      });
    }
  };
  for (std::ptrdiff_t x = 0; x < reach; x += kSegments) enter_block(x);
  // Means first: between sums, one solution after the other would leave the processor waiting.
  Doubles means[moments][kSolvedTogether * kVectors];
  const std::ptrdiff_t elements = elements_of(shape, 1);
  for (std::ptrdiff_t begin = 0; begin < elements; begin += kSolvedTogether * kSegments) {
    const std::ptrdiff_t left = elements - begin, most = kSolvedTogether * kSegments;
    const int vectors = static_cast<int>(left < most ? left : most) / kVectorLanes;
    for (int v = 0; v < vectors; v += kVectors) {
      enter_block(begin + v * kVectorLanes + reach);
      for (int j = 0; j < kVectors; ++j) {
        const std::ptrdiff_t first = begin + (v + j) * kVectorLanes;
        const Doubles inverse = inverse_rows * at(shape.inverse_columns + first);
        for (int k = 0; k < moments; ++k) {
          means[k][v + j] = windows[k].vectors[j] * inverse;
          windows[k].vectors[j] -= at(sums + first + k * n);
        }
      }
    }
    // An even number, for 2 radius and kLanePixels are even.
    for (int v = 0; v < vectors; v += 2) {
      float* const to = solved + begin + v * kVectorLanes;
      solve<channels>([&](int k) { return DoublePair{means[k][v], means[k][v + 1]}; }, eps,
                      [&](int k, const SinglePair& values) {
                        at(to + k * n) = values.first;
                        at(to + k * n + kVectorLanes) = values.second;
                      });
      for (int j = 0; kWeight && j < 2; ++j) {
        at(to + (channels + 1) * n + j * kVectorLanes) = weight_of(means[0][v + j], unsure);
      }
    }
  }
}

// The same for one segment, from running sums.
template <int channels, bool kWeight>
static inline void solve_segment(const GuidedShape& shape, const Windows windows, double eps,
                                 double unsure, float* __restrict solved) noexcept {
  const std::ptrdiff_t n = shape.plane_stride;
  for (std::ptrdiff_t x = 0; x < elements_of(shape, 1); ++x) {
    const auto mean = [&](int k) { return windows.mean(k, x); };
    solve<channels>(mean, eps, [&](int k, float value) { solved[x + k * n] = value; });
    if (kWeight) solved[x + (channels + 1) * n] = weight_of(mean(0), unsure);
  }
}

template <int channels, bool kWeight>
static inline void solve_windows(const GuidedShape& shape, const GuideRow& enter,
                                 const GuideRow& leave, double* sums, double* running,
                                 double inverse_rows, double eps, double unsure,
                                 float* solved) noexcept {
  if (shape.lanes == kSegments) {
    return solve_segments<channels, kWeight>(shape, enter, leave, sums, inverse_rows, eps, unsure,
                                             solved);
  }
  add_moments<channels>(shape, enter, leave, sums);
  run(shape, moment_count(channels), elements_of(shape, 2), sums, running);
  solve_segment<channels, kWeight>(
      shape, Windows(shape, running, shape.inverse_columns, inverse_rows), eps, unsure, solved);
}

// w mean + (1 - w) alpha, the latter in b alone.
template <typename Value>
static inline auto blended(const Value& mean, const Value& weight, const Value& alpha,
                           bool is_b) noexcept {
  const Value scaled = weight * mean;
  return is_b ? narrow(scaled + (1.0 - weight) * alpha) : narrow(scaled);
}

template <int channels, bool kWeight>
static inline void mean_segments(const GuidedShape& shape, const float* __restrict enter,
                                 const float* __restrict leave, double* __restrict sums,
                                 double inverse_rows, const float* __restrict weight,
                                 const float* __restrict alpha,
                                 float* __restrict coefficients) noexcept {
  const std::ptrdiff_t n = shape.plane_stride, reach = std::ptrdiff_t{2} * shape.radius * kSegments;
  const double* const inverse_columns =
      shape.inverse_columns + std::ptrdiff_t{shape.radius} * kSegments;
  Block windows[channels + 1] = {};
  const auto enter_block = [&](std::ptrdiff_t x) {
    for (int k = 0; k <= channels; ++k) {
      Block in, out;
      load(enter + k * n + x, in);
      load(leave + k * n + x, out);
      for (int j = 0; j < kVectors; ++j) {
        double* const to = sums + k * n + x + j * kVectorLanes;
        const Doubles sum = at(to) + (in.vectors[j] - out.vectors[j]);
        at(to) = sum;
        windows[k].vectors[j] += sum;
      }
    }
  };
  for (std::ptrdiff_t x = 0; x < reach; x += kSegments) enter_block(x);
  for (std::ptrdiff_t x = 0; x < elements_of(shape, 0); x += kSegments) {
    enter_block(x + reach);
    Block weights, alphas;
    if (kWeight) {
      load(weight + x, weights);
      load(alpha + x, alphas);
    }
    for (int j = 0; j < kVectors; ++j) {
      const std::ptrdiff_t first = x + j * kVectorLanes;
      const Doubles inverse = inverse_rows * at(inverse_columns + first);
      for (int k = 0; k <= channels; ++k) {
        const Doubles mean = windows[k].vectors[j] * inverse;
        at(coefficients + first + k * n) =
            kWeight ? blended(mean, weights.vectors[j], alphas.vectors[j], k == channels)
                    : narrow(mean);
        windows[k].vectors[j] -= at(sums + first + k * n);
      }
    }
  }
}

template <int channels, bool kWeight>
static inline void mean_segment(const GuidedShape& shape, const Windows windows,
                                const float* __restrict weight, const float* __restrict alpha,
                                float* __restrict coefficients) noexcept {
  for (int k = 0; k <= channels; ++k) {
    float* __restrict out = coefficients + k * shape.plane_stride;
    for (std::ptrdiff_t x = 0; x < elements_of(shape, 0); ++x) {
      const double mean = windows.mean(k, x);
      out[x] =
          kWeight ? blended(mean, widen(weight[x]), widen(alpha[x]), k == channels) : narrow(mean);
    }
  }
}

template <int channels, bool kWeight>
static inline void mean_windows(const GuidedShape& shape, const float* enter, const float* leave,
                                double* sums, double* running, double inverse_rows,
                                const float* weight, const float* alpha,
                                float* coefficients) noexcept {
  if (shape.lanes == kSegments) {
    return mean_segments<channels, kWeight>(shape, enter, leave, sums, inverse_rows, weight, alpha,
                                            coefficients);
  }
  sums_row(shape, enter, leave, sums);
  run(shape, channels + 1, elements_of(shape, 1), sums, running);
  const Windows windows(shape, running, shape.inverse_columns + shape.radius, inverse_rows);
  mean_segment<channels, kWeight>(shape, windows, weight, alpha, coefficients);
}

static inline float clip(float value) noexcept {
  // As clamp_to_unit: -0 becomes 0.
  value = value > 0.0f ? value : 0.0f;
  return value < 1.0f ? value : 1.0f;
}

static inline void store(float value, float* out) noexcept { *out = value; }
static inline void store(float value, std::uint8_t* out) noexcept {
  *out = static_cast<std::uint8_t>(to_steps(value, 255.0f));
}

// One vector of any lanes of another: all ISAs but the weakest have one instruction for it.
#if defined(FASTMATTE_VEC) && !defined(__clang__)
#define FASTMATTE_PERMUTES
typedef float Grown __attribute__((vector_size(4 * kInts), aligned(4), may_alias));
typedef std::int32_t Starts __attribute__((vector_size(4 * kInts), aligned(4), may_alias));

// A vector of pixels on its way from samples.
struct Growing {
  Growing(const Growth& growth, int x) noexcept
      : first(growth.start[x]),
        // Starts rise by one at most, so that a vector of pixels lies within a vector of samples.
        lanes(*reinterpret_cast<const Starts*>(growth.start + x) - first),
        fraction(*reinterpret_cast<const Grown*>(growth.fraction + x)) {}

  Grown grow(const float* samples) const noexcept {
    const float* from = samples + first;
    const Grown left = __builtin_shuffle(*reinterpret_cast<const Grown*>(from), lanes);
    const Grown right = __builtin_shuffle(*reinterpret_cast<const Grown*>(from + 1), lanes);
    return left + fraction * (right - left);
  }

  std::int32_t first;
  Starts lanes;
  Grown fraction;
};
#endif

// kGrowBlock pixels of each plane.
static inline void grow(const Growth& growth, const float* samples, std::ptrdiff_t plane_stride,
                        int planes, int begin, float* __restrict out) noexcept {
#if defined(FASTMATTE_PERMUTES)
  for (int x = 0; x < kGrowBlock; x += kInts) {
    const Growing growing(growth, begin + x);
    for (int k = 0; k < planes; ++k) {
      *reinterpret_cast<Grown*>(out + k * kGrowBlock + x) =
          growing.grow(samples + k * plane_stride);
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

#if defined(FASTMATTE_PERMUTES)
static inline void store_vector(Floats value, float* out) noexcept { store(value, out); }
// to_steps, a vector at a time.
static inline void store_vector(Floats value, std::uint8_t* out) noexcept {
  const Ints halves = truncate(value * all_floats(2.0f * 255.0f));
  store_bytes(shift_right<1>(add_ints(halves, all_ints(1))), out);
}

// Of a colour guide, as many pixels as vectors hold: two thirds of the time of blocks and loops.
template <bool kGrows, typename Out>
static inline int apply_vectors(const Growth* growth, const float* coefficients, std::ptrdiff_t n,
                                const std::uint8_t* guide, int width, Out* out) noexcept {
  Ints which[3];
  for (int c = 0; c < 3; ++c) which[c] = repeat(load_lane(kChannelOf[c]));
  int x = 0;
  // The last lane reads four bytes more than its pixels.
  for (; x + kInts + 2 <= width; x += kInts) {
    const Ints pixels = load_lanes(guide + std::ptrdiff_t{3} * x, 12);
    Floats terms[4];
    if constexpr (kGrows) {
      const Growing growing(*growth, x);
      for (int k = 0; k < 4; ++k) terms[k] = (Floats)growing.grow(coefficients + k * n);
    } else {
      for (int k = 0; k < 4; ++k) terms[k] = load_floats(coefficients + k * n + x);
    }
    for (int c = 0; c < 3; ++c) {
      terms[c] = terms[c] * (to_floats(pick_bytes(pixels, which[c])) - all_floats(kGuideCentre));
    }
    store_vector(clamp_to_unit(terms[0] + terms[1] + terms[2] + terms[3]), out + x);
  }
  return x;
}
#endif

template <typename Out>
static inline void apply(const Growth* growth, const float* coefficients,
                         std::ptrdiff_t plane_stride, const std::uint8_t* guide, int channels,
                         int width, Out* out) noexcept {
  int x = 0;
#if defined(FASTMATTE_PERMUTES)
  if (channels == 3) {
    const auto vectors = growth ? &apply_vectors<true, Out> : &apply_vectors<false, Out>;
    x = vectors(growth, coefficients, plane_stride, guide, width, out);
  }
#endif
  if (!growth) {
    return apply_here(coefficients + x, plane_stride, guide + channels * x, channels, width - x,
                      out + x);
  }
  float grown[4 * kGrowBlock];
  for (; x < width; x += kGrowBlock) {
    const int count = width - x < kGrowBlock ? width - x : kGrowBlock;
    grow(*growth, coefficients, plane_stride, channels + 1, x, grown);
    apply_here(grown, kGrowBlock, guide + channels * x, channels, count, out + x);
  }
}

static inline bool changes(const float* row, const float* below, int begin, int width) noexcept {
  const int end = begin + kChangeBlock < width ? begin + kChangeBlock : width;
  std::int32_t any = 0;
  for (int x = begin; x < end; ++x) any |= static_cast<std::int32_t>(row[x] != below[x]);
  for (int x = begin; x < (end < width ? end : width - 1); ++x) {
    any |= static_cast<std::int32_t>(row[x] != row[x + 1]);
  }
  return any != 0;
}

}  // namespace

void change_extent_row(const float* row, const float* below, int width, int* left,
                       int* right) noexcept {
  for (int x = 0; x < *left; x += kChangeBlock) {
    if (changes(row, below, x, width)) *left = x;
  }
  for (int x = (width - 1) / kChangeBlock * kChangeBlock; x + kChangeBlock >= *right && x >= 0;
       x -= kChangeBlock) {
    if (!changes(row, below, x, width)) continue;
    // The neighbour of the last one belongs to it.
    const int end = x + kChangeBlock + 1 < width ? x + kChangeBlock + 1 : width;
    *right = *right > end ? *right : end;
    break;
  }
}

void cut_segments_row(const GuidedShape& shape, const float* row, float* segments) noexcept {
  const int count = shape.pixels + 4 * shape.radius;
  for (int i = 0; i < count; i += kLanePixels) {
    for (int k = 0; k < kSegments; k += 4) {
      turn(row + std::ptrdiff_t{k} * shape.pixels + i, shape.pixels,
           segments + std::ptrdiff_t{i} * kSegments + k, kSegments);
    }
  }
}

void join_segments_row(const GuidedShape& shape, const float* segments, float* row) noexcept {
  for (int i = 0; i < shape.pixels; i += kLanePixels) {
    for (int k = 0; k < kSegments; k += 4) {
      turn(segments + std::ptrdiff_t{i} * kSegments + k, kSegments,
           row + std::ptrdiff_t{k} * shape.pixels + i, shape.pixels);
    }
  }
}

void moments_row(const GuidedShape& shape, const GuideRow& enter, const GuideRow& leave,
                 double* sums) noexcept {
  (shape.channels == 1 ? &add_moments<1> : &add_moments<3>)(shape, enter, leave, sums);
}

void sums_row(const GuidedShape& shape, const float* enter, const float* leave,
              double* sums) noexcept {
  for (std::ptrdiff_t k = 0; k <= shape.channels; ++k) {
    const std::ptrdiff_t first = k * shape.plane_stride;
    add_plain(enter + first, leave + first, sums + first, elements_of(shape, 1));
  }
}

void solve_row(const GuidedShape& shape, const GuideRow& enter, const GuideRow& leave, double* sums,
               double* running, double inverse_rows, double eps, const double* unsure,
               float* solved) noexcept {
  const auto grey = unsure ? &solve_windows<1, true> : &solve_windows<1, false>;
  const auto colour = unsure ? &solve_windows<3, true> : &solve_windows<3, false>;
  (shape.channels == 1 ? grey : colour)(shape, enter, leave, sums, running, inverse_rows, eps,
                                        unsure ? *unsure : 0, solved);
}

void mean_row(const GuidedShape& shape, const float* enter, const float* leave, double* sums,
              double* running, double inverse_rows, const float* weight, const float* alpha,
              float* coefficients) noexcept {
  const auto grey = weight ? &mean_windows<1, true> : &mean_windows<1, false>;
  const auto colour = weight ? &mean_windows<3, true> : &mean_windows<3, false>;
  (shape.channels == 1 ? grey : colour)(shape, enter, leave, sums, running, inverse_rows, weight,
                                        alpha, coefficients);
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
