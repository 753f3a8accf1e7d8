// A sweep depends on itself along the row, so that its lanes are F and B of the channels, not
// pixels; the weights, which do not, are loops over pixels.
#include "kernels/multilevel.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace fastmatte::FASTMATTE_ISA {
namespace {

// What holds a pixel's pairs: one vector, or two where GCC would take one apart lane by lane.
#if defined(__AVX2__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif
typedef float Lanes __attribute__((vector_size(4 * kLanes), may_alias));
typedef double Doubles __attribute__((vector_size(4 * kLanes)));
constexpr int kParts = kPairLanes / kLanes;

typedef std::int32_t Ints __attribute__((vector_size(16)));
typedef std::int16_t Shorts __attribute__((vector_size(16)));
typedef std::uint8_t Bytes __attribute__((vector_size(16)));

constexpr float kRegularisation = 1e-5f;

static inline float as_alpha(std::uint8_t alpha) noexcept {
  return static_cast<float>(alpha) * (1.0f / 255.0f);
}
static inline float as_alpha(float alpha) noexcept { return alpha; }

template <typename Alpha>
static inline void sample(const std::uint8_t* image, const Alpha* alpha,
                          const std::int32_t* columns, int width, std::int32_t* __restrict colours,
                          float* __restrict sampled_alpha) noexcept {
  for (int x = 0; x < width; ++x) sampled_alpha[x] = as_alpha(alpha[columns[x]]);
  // Pixels are taken in rising order, so that all but the last have a byte behind them.
  for (int x = 0; x + 1 < width; ++x) {
    __builtin_memcpy(colours + x, image + 3 * std::ptrdiff_t{columns[x]}, sizeof *colours);
  }
  const std::uint8_t* last = image + 3 * std::ptrdiff_t{columns[width - 1]};
  colours[width - 1] = last[0] | last[1] << 8 | last[2] << 16;
}

// Part k of a pixel's colours, every channel twice as pairs have it.
static inline void widen(std::int32_t colours, [[maybe_unused]] int k, Lanes& out) noexcept {
  const auto bytes = (Bytes)Ints{colours, 0, 0, 0};
  const Bytes twice =
      __builtin_shufflevector(bytes, bytes, 0, 0, 1, 1, 2, 2, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0);
#if defined(__AVX2__)
  out = (Lanes)_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32((__m128i)twice));
#else
  const auto wide = (Shorts)__builtin_shufflevector(twice, Bytes{}, 0, 16, 1, 17, 2, 18, 3, 19, 4,
                                                    20, 5, 21, 6, 22, 7, 23);
  const Shorts part = k == 0 ? __builtin_shufflevector(wide, Shorts{}, 0, 8, 1, 9, 2, 10, 3, 11)
                             : __builtin_shufflevector(wide, Shorts{}, 4, 12, 5, 13, 6, 14, 7, 15);
  out = __builtin_convertvector((Ints)part, Lanes);
#endif
}

static inline float distance(float a, float b) noexcept {
  const float difference = a - b;
  return kRegularisation + (difference < 0 ? -difference : difference);
}

// Vectors are passed by reference: by value they would need an ABI that not every ISA has.
static inline const Lanes& lanes(const float* values) noexcept {
  return *reinterpret_cast<const Lanes*>(values);
}
static inline Lanes& lanes(float* values) noexcept { return *reinterpret_cast<Lanes*>(values); }

// The next pixel waits for this: GCC 12 would compare and then blend, three times the wait.
static inline void clip(Lanes& value) noexcept {
  const Lanes zero = {}, top = zero + 255.0f;
#if defined(__AVX2__)
  value = (Lanes)_mm256_min_ps(_mm256_max_ps(value, zero), top);
#elif defined(__SSE__)
  value = (Lanes)_mm_min_ps(_mm_max_ps(value, zero), top);
#else
  value = value > zero ? value : zero;
  value = value < top ? value : top;
#endif
}

// F and B change places.
static inline void swap(const Lanes& in, Lanes& out) noexcept {
#if defined(__AVX2__)
  out = __builtin_shufflevector(in, in, 1, 0, 3, 2, 5, 4, 7, 6);
#else
  out = __builtin_shufflevector(in, in, 1, 0, 3, 2);
#endif
}

// Two floats in every two lanes.
static inline void repeat_pair(const float* pair, Lanes& out) noexcept {
  double both;
  __builtin_memcpy(&both, pair, sizeof both);
#if defined(__AVX2__)
  out = (Lanes)Doubles{both, both, both, both};
#else
  out = (Lanes)Doubles{both, both};
#endif
}

// The pair left of the next pixel.
struct Left {
  Lanes parts[kParts];
};

static inline void start(const SweepRow& row, int width, Left& left) noexcept {
  // Beyond either end lies the end itself, as it was before the sweep.
  float* end = row.pairs + std::ptrdiff_t{width} * kPairLanes;
  for (int k = 0; k < kParts; ++k) {
    left.parts[k] = lanes(row.pairs + k * kLanes);
    lanes(end + k * kLanes) = lanes(end - kPairLanes + k * kLanes);
  }
}

// The left neighbour, only just solved, comes in last, its share multiplied out: the next pixel
// waits for one product and two sums.
static inline void step(const SweepRow& row, std::ptrdiff_t x, Left& left) noexcept {
  const PixelWeights& w = row.weights[x];
  Lanes alpha, rest;
  repeat_pair(&w.alpha, alpha);
  swap(alpha, rest);
  const Lanes to = alpha * w.h;
  const Lanes share = to * w.left;
  const Lanes own = w.left - share * alpha, across = share * rest;
  for (int k = 0; k < kParts; ++k) {
    const std::ptrdiff_t at = x * kPairLanes + k * kLanes;
    Lanes pair = w.right * lanes(row.pairs + at + kPairLanes) + w.up * lanes(row.above + at) +
                 w.down * lanes(row.below + at);
    const Lanes part = alpha * pair;
    Lanes other, from_other, colours;
    swap(part, other);
    widen(row.colours[x], k, colours);
    pair += to * (colours - (part + other));
    Lanes& before = left.parts[k];
    swap(before, from_other);
    before = (pair + own * before) - across * from_other;
    clip(before);
    lanes(row.pairs + at) = before;
  }
}

}  // namespace

void sample_row_u8(const std::uint8_t* image, const std::uint8_t* alpha,
                   const std::int32_t* columns, int width, std::int32_t* colours,
                   float* sampled_alpha) noexcept {
  sample(image, alpha, columns, width, colours, sampled_alpha);
}

void sample_row_f32(const std::uint8_t* image, const float* alpha, const std::int32_t* columns,
                    int width, std::int32_t* colours, float* sampled_alpha) noexcept {
  sample(image, alpha, columns, width, colours, sampled_alpha);
}

void weigh_pixels_row(const float* above, const float* alpha, const float* below, int width,
                      PixelWeights* __restrict weights) noexcept {
  for (int x = 0; x < width; ++x) {
    const float a = alpha[x], rest = 1.0f - a;
    const float left = distance(a, alpha[x - 1]), right = distance(a, alpha[x + 1]);
    const float up = distance(a, above[x]), down = distance(a, below[x]);
    const float sum = left + right + up + down;
    const float share = 1.0f / sum;
    const float h = 1.0f / (a * a + rest * rest + sum);
    weights[x] = {right * share, up * share, down * share, left * share, a, rest, h, 0.0f};
  }
}

void sweep_row(const SweepRow& row, int width) noexcept {
  const SweepRow r = row;
  Left left;
  start(r, width, left);
  for (int x = 0; x < width; ++x) step(r, x, left);
}

void sweep_two_rows(const SweepRow& first, const SweepRow& second, int width) noexcept {
  const SweepRow r = first, s = second;
  Left of_first, of_second;
  start(r, width, of_first);
  start(s, width, of_second);
  for (int x = 0; x < width; ++x) {
    step(r, x, of_first);
    step(s, x, of_second);
  }
}

void spread_pairs_row(const float* in, const std::int32_t* columns, int width,
                      float* out) noexcept {
  for (int x = 0; x < width; ++x) {
    const float* from = in + std::ptrdiff_t{columns[x]} * kPairLanes;
    for (int k = 0; k < kPairLanes; k += kLanes) {
      lanes(out + std::ptrdiff_t{x} * kPairLanes + k) = lanes(from + k);
    }
  }
}

void store_front_row(const float* pairs, int width, std::uint8_t* __restrict out) noexcept {
  for (int x = 0; x < width; ++x) {
    for (int c = 0; c < 3; ++c) {
      out[3 * x + c] = static_cast<std::uint8_t>(
          static_cast<std::int32_t>(pairs[std::ptrdiff_t{x} * kPairLanes + 2 * c] + 0.5f));
    }
  }
}

}  // namespace fastmatte::FASTMATTE_ISA
