// A sweep depends on itself along the row, so that its lanes are F and B of the channels, not
// pixels; the weights, which do not, are loops over pixels.
#include "kernels/multilevel.h"

#include "simd/portable.h"

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

typedef std::int64_t Longs __attribute__((vector_size(16)));
typedef std::int32_t Ints __attribute__((vector_size(16)));
typedef std::int16_t Shorts __attribute__((vector_size(16)));
typedef std::uint8_t Bytes __attribute__((vector_size(16)));

constexpr float kRegularisation = 1e-5f;

static inline float as_alpha(std::uint8_t alpha) noexcept {
  return static_cast<float>(alpha) * (1.0f / 255.0f);
}
static inline float as_alpha(float alpha) noexcept { return alpha; }

// Three bytes, each twice.
static inline PairBytes twice(std::uint32_t pixel) noexcept {
  const PairBytes wide =
      (pixel & 0xff) | PairBytes{pixel & 0xff00} << 8 | PairBytes{pixel & 0xff0000} << 16;
  return wide | wide << 8;
}

#if FASTMATTE_SHUFFLES
// Four pixels at a time, of which the last reads four bytes more. Returns how many are done.
static inline int sample_four(const std::uint8_t* image, int width, PairBytes* colours) noexcept {
  typedef Vec<std::uint8_t, 16> Bytes;
  int x = 0;
  for (; x + 6 <= width; x += 4) {
    Bytes pixels, pairs[2];
    __builtin_memcpy(&pixels, image + std::ptrdiff_t{3} * x, sizeof pixels);
    constexpr int z = 16;
    pairs[0] =
        FASTMATTE_SHUFFLE(pixels, Bytes{}, Bytes, 0, 0, 1, 1, 2, 2, z, z, 3, 3, 4, 4, 5, 5, z, z);
    pairs[1] = FASTMATTE_SHUFFLE(pixels, Bytes{}, Bytes, 6, 6, 7, 7, 8, 8, z, z, 9, 9, 10, 10, 11,
                                 11, z, z);
    // One by one: both at once would go through memory.
    __builtin_memcpy(colours + x, &pairs[0], sizeof pairs[0]);
    __builtin_memcpy(colours + x + 2, &pairs[1], sizeof pairs[1]);
  }
  return x;
}
#else
static inline int sample_four(const std::uint8_t*, int, PairBytes*) noexcept { return 0; }
#endif

template <typename Alpha>
static inline void sample(const std::uint8_t* image, const Alpha* __restrict alpha,
                          const std::int32_t* columns, int width, PairBytes* __restrict colours,
                          float* __restrict sampled_alpha) noexcept {
  int x = 0;
  if (columns[width - 1] == width - 1) {
    for (int i = 0; i < width; ++i) sampled_alpha[i] = as_alpha(alpha[i]);
    x = sample_four(image, width, colours);
  } else {
    for (int i = 0; i < width; ++i) sampled_alpha[i] = as_alpha(alpha[columns[i]]);
  }
  // Pixels are taken in rising order, so that all but the last have a byte behind them.
  for (; x + 1 < width; ++x) {
    colours[x] = twice(load_word(image + 3 * std::ptrdiff_t{columns[x]}));
  }
  const std::uint8_t* last = image + 3 * std::ptrdiff_t{columns[width - 1]};
  colours[width - 1] = twice(last[0] | static_cast<std::uint32_t>(last[1] << 8 | last[2] << 16));
}

// Part k of a pixel's colours.
static inline void widen(const PairBytes& colours, [[maybe_unused]] int k, Lanes& out) noexcept {
#if defined(__AVX2__)
  const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(&colours));
  out = (Lanes)_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes));
#else
  const auto bytes = (Bytes)Longs{static_cast<std::int64_t>(colours), 0};
  const auto wide = (Shorts)__builtin_shufflevector(bytes, Bytes{}, 0, 16, 1, 17, 2, 18, 3, 19, 4,
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

// Pixel i of a block, which is pixel x of the row. The next one waits for one product and two sums.
static inline void step(const SweepRow& row, const BlockWeights& w, int i, std::ptrdiff_t x,
                        Left& left) noexcept {
  Lanes own, own_left, colour;
  repeat_pair(w.own + 2 * i, own);
  repeat_pair(w.own_left + 2 * i, own_left);
  repeat_pair(w.colour + 2 * i, colour);
  for (int k = 0; k < kParts; ++k) {
    const std::ptrdiff_t at = x * kPairLanes + k * kLanes;
    const Lanes pair = w.right[i] * lanes(row.pairs + at + kPairLanes) +
                       w.up[i] * lanes(row.above + at) + w.down[i] * lanes(row.below + at);
    Lanes other, from_other, colours;
    swap(pair, other);
    widen(row.colours[x], k, colours);
    const Lanes without_left = (own * pair + colour * colours) - w.across[i] * other;
    Lanes& before = left.parts[k];
    swap(before, from_other);
    before = (without_left + own_left * before) - w.across_left[i] * from_other;
    clip(before);
    lanes(row.pairs + at) = before;
  }
}

// The first `count` pixels of a block.
static inline void sweep_block(const SweepRow& row, std::ptrdiff_t block, int count,
                               Left& left) noexcept {
  for (int i = 0; i < count; ++i) {
    step(row, row.weights[block], i, block * kBlockPixels + i, left);
  }
}

// rows[0] to rows[kPairs - 1] go ahead, each followed by rows[kPairs + k].
template <int kPairs>
static inline void sweep_pairs(const SweepRow* rows, int width) noexcept {
  SweepRow r[2 * kPairs];
  Left left[2 * kPairs];
  for (int k = 0; k < 2 * kPairs; ++k) {
    r[k] = rows[k % kPairs * 2 + k / kPairs];
    start(r[k], width, left[k]);
  }
  const int blocks = blocks_of(width);
  const auto pixels_of = [&](int block) {
    if (block < 0 || block == blocks) return 0;
    return block + 1 < blocks ? kBlockPixels : width - block * kBlockPixels;
  };
  for (std::ptrdiff_t block = 0; block <= blocks; ++block) {
    const int ahead = pixels_of(static_cast<int>(block)),
              behind = pixels_of(static_cast<int>(block) - 1);
    if (ahead == kBlockPixels && behind == kBlockPixels) {
      for (int i = 0; i < kBlockPixels; ++i) {
        for (int k = 0; k < 2 * kPairs; ++k) {
          const std::ptrdiff_t at = k < kPairs ? block : block - 1;
          step(r[k], r[k].weights[at], i, at * kBlockPixels + i, left[k]);
        }
      }
      continue;
    }
    for (int k = 0; k < kPairs; ++k) sweep_block(r[k], block, ahead, left[k]);
    for (int k = kPairs; k < 2 * kPairs; ++k) sweep_block(r[k], block - 1, behind, left[k]);
  }
}

}  // namespace

void sample_row_u8(const std::uint8_t* image, const std::uint8_t* alpha,
                   const std::int32_t* columns, int width, PairBytes* colours,
                   float* sampled_alpha) noexcept {
  sample(image, alpha, columns, width, colours, sampled_alpha);
}

void sample_row_f32(const std::uint8_t* image, const float* alpha, const std::int32_t* columns,
                    int width, PairBytes* colours, float* sampled_alpha) noexcept {
  sample(image, alpha, columns, width, colours, sampled_alpha);
}

void weigh_pixels_row(const float* above, const float* alpha, const float* below, int width,
                      BlockWeights* __restrict weights) noexcept {
  for (int block = 0; block < blocks_of(width); ++block) {
    BlockWeights& w = weights[block];
    for (int i = 0; i < kBlockPixels; ++i) {
      const int x = block * kBlockPixels + i;
      const float a = alpha[x], rest = 1.0f - a;
      const float left = distance(a, alpha[x - 1]), right = distance(a, alpha[x + 1]);
      const float up = distance(a, above[x]), down = distance(a, below[x]);
      const float sum = left + right + up + down;
      const float share = 1.0f / sum;
      const float h = 1.0f / (a * a + rest * rest + sum);
      w.right[i] = right * share;
      w.up[i] = up * share;
      w.down[i] = down * share;
      const float to_left = left * share;
      const float of_front = a * h, of_back = rest * h;
      const float across = of_front * rest;
      const float own_front = 1.0f - of_front * a, own_back = 1.0f - of_back * rest;
      w.across[i] = across;
      w.across_left[i] = across * to_left;
      w.own[2 * i] = own_front;
      w.own[2 * i + 1] = own_back;
      w.own_left[2 * i] = own_front * to_left;
      w.own_left[2 * i + 1] = own_back * to_left;
      w.colour[2 * i] = of_front;
      w.colour[2 * i + 1] = of_back;
    }
  }
}

void sweep_row(const SweepRow& row, int width) noexcept {
  const SweepRow r = row;
  Left left;
  start(r, width, left);
  for (int block = 0; block < blocks_of(width); ++block) {
    const int pixels = width - block * kBlockPixels;
    sweep_block(r, block, pixels < kBlockPixels ? pixels : kBlockPixels, left);
  }
}

void sweep_two_rows(const SweepRow* rows, int width) noexcept { sweep_pairs<1>(rows, width); }

void sweep_four_rows(const SweepRow* rows, int width) noexcept { sweep_pairs<2>(rows, width); }

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
