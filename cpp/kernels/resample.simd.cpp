// Rows pass: plain loops, four taps at a time. Columns pass: one pixel is one vector of four lanes,
// which SSE2 and NEON have in their baselines; float taps follow each other in order on every ISA.
// Integer sums are exact in any order, so they take two taps at a time where there are pair
// products.
#include "kernels/resample.h"

#include "simd/vec.h"

namespace fastmatte::FASTMATTE_ISA {
namespace {

template <typename T>
static inline const T* row_of(const RowRing<T>& rows, int t) noexcept {
  return rows.data + ((rows.first + t) % rows.ring) * rows.stride;
}

static inline void store(float sum, float* out) noexcept { *out = sum; }
static inline void store(int sum, std::int16_t* out) noexcept {
  constexpr int shift = kWeightBits - kPassBits;
  *out = static_cast<std::int16_t>((sum + (1 << (shift - 1))) >> shift);
}
static inline void store(int sum, std::uint8_t* out) noexcept {
  constexpr int shift = kWeightBits + kPassBits;
  const int level = (sum + (1 << (shift - 1))) >> shift;
  *out = static_cast<std::uint8_t>(level < 0 ? 0 : level > 255 ? 255 : level);
}

// Adds kTaps taps to sum, or begins it, and stores the result if these are the last. Not inlined:
// GCC would jam two calls' loops into one that it then cannot vectorise (4 times slower).
template <int kTaps, bool kBegin, bool kEnd, typename Sum, typename In, typename Weight,
          typename Out>
[[gnu::noinline]] static void add_taps(const RowRing<In>& rows, const Weight* weights, int t, int x,
                                       int n, Sum* __restrict sum, Out* __restrict out) noexcept {
  const auto source = [&](int k) { return row_of(rows, t + (k < kTaps ? k : 0)) + x; };
  const auto weight = [&](int k) { return static_cast<Sum>(weights[t + (k < kTaps ? k : 0)]); };
  const In* __restrict a = source(0), * __restrict b = source(1), * __restrict c = source(2), * __restrict d = source(3);
  const Sum wa = weight(0), wb = weight(1), wc = weight(2), wd = weight(3);
  for (int i = 0; i < n; ++i) {
    Sum total = wa * static_cast<Sum>(a[i]);
    if (!kBegin) total = sum[i] + total;
    if (kTaps > 1) total += wb * static_cast<Sum>(b[i]);
    if (kTaps > 2) total += wc * static_cast<Sum>(c[i]);
    if (kTaps > 3) total += wd * static_cast<Sum>(d[i]);
    if (kEnd) {
      store(total, out + i);
    } else {
      sum[i] = total;
    }
  }
}

template <bool kBegin, typename Sum, typename In, typename Weight, typename Out>
static inline void add_last_taps(const RowRing<In>& rows, const Weight* weights, int t, int taps,
                                 int x, int n, Sum* sum, Out* out) noexcept {
  switch (taps) {
    case 1:
      return add_taps<1, kBegin, true>(rows, weights, t, x, n, sum, out);
    case 2:
      return add_taps<2, kBegin, true>(rows, weights, t, x, n, sum, out);
    case 3:
      return add_taps<3, kBegin, true>(rows, weights, t, x, n, sum, out);
    default:
      return add_taps<4, kBegin, true>(rows, weights, t, x, n, sum, out);
  }
}

// Blocks whose sums stay in the first cache while the taps pass over them.
constexpr int kBlock = 1024;

template <typename Sum, typename In, typename Weight, typename Out>
static inline void mix_rows(const RowRing<In>& rows, const Weight* weights, int count, Out* out,
                            int elements, int x = 0) noexcept {
  alignas(64) Sum sum[kBlock];
  for (; x < elements; x += kBlock) {
    const int n = elements - x < kBlock ? elements - x : kBlock;
    if (count <= 4) {
      add_last_taps<true>(rows, weights, 0, count, x, n, sum, out + x);
      continue;
    }
    add_taps<4, true, false>(rows, weights, 0, x, n, sum, out + x);
    int t = 4;
    for (; t + 4 < count; t += 4) {
      add_taps<4, false, false>(rows, weights, t, x, n, sum, out + x);
    }
    add_last_taps<false>(rows, weights, t, count - t, x, n, sum, out + x);
  }
}

#if defined(FASTMATTE_VEC)
// Of lanczos3 on its way to a larger size, with one to spare.
constexpr int kMostStreamedTaps = 7;
constexpr int kMostPairedTaps = 64;

// The two weights of every int's pair of shorts.
static inline Ints weight_pair(int first, int second) noexcept {
  return all_ints(static_cast<int>(static_cast<unsigned>(first & 0xffff) |
                                   static_cast<unsigned>(second) << 16));
}

static inline Ints load_shorts(const std::int16_t* from) noexcept { return load(from); }
static inline void store_shorts(Ints value, std::int16_t* to) noexcept { store(value, to); }

// All taps of a register of elements before the next: no sum goes through memory.
template <typename In, typename Out>
static inline void mix_rows_in_pairs(const RowRing<In>& rows, const std::int16_t* weights,
                                     int count, Out* out, int elements) noexcept {
  constexpr int shift = sizeof(Out) == 1 ? kWeightBits + kPassBits : kWeightBits - kPassBits;
  constexpr int step = 2 * kInts;
  int x = 0;
  if (count <= kMostPairedTaps) {
    const In* from[kMostPairedTaps + 1];
    Ints pairs[kMostPairedTaps / 2];
    const int even = (count + 1) / 2 * 2;
    for (int t = 0; t < even; ++t) from[t] = row_of(rows, t < count ? t : 0);
    for (int t = 0; t < even; t += 2) {
      pairs[t / 2] = weight_pair(weights[t], t + 1 < count ? weights[t + 1] : 0);
    }
    const Ints half = all_ints(1 << (shift - 1));
    for (; x + step <= elements; x += step) {
      Ints low = half, high = half;
      for (int t = 0; t < even; t += 2) {
        const Ints a = load_shorts(from[t] + x), b = load_shorts(from[t + 1] + x);
        low = add_ints(low, multiply_add_pairs(pair_low(a, b), pairs[t / 2]));
        high = add_ints(high, multiply_add_pairs(pair_high(a, b), pairs[t / 2]));
      }
      store_shorts(narrow(shift_right<shift>(low), shift_right<shift>(high)), out + x);
    }
  }
  mix_rows<int>(rows, weights, count, out, elements, x);
}
#else
template <typename In, typename Out>
static inline void mix_rows_in_pairs(const RowRing<In>& rows, const std::int16_t* weights,
                                     int count, Out* out, int elements) noexcept {
  mix_rows<int>(rows, weights, count, out, elements);
}
#endif

// Four lanes of T.
template <typename T>
struct PixelOf;
template <>
struct PixelOf<std::uint8_t> {
  typedef std::uint8_t type __attribute__((vector_size(4)));
};
template <>
struct PixelOf<std::int16_t> {
  typedef std::int16_t type __attribute__((vector_size(8)));
};
template <>
struct PixelOf<int> {
  typedef int type __attribute__((vector_size(16)));
};
template <>
struct PixelOf<float> {
  typedef float type __attribute__((vector_size(16)));
};
template <typename T>
using Pixel = typename PixelOf<T>::type;

// Conversions of four lanes; GCC 12 takes __builtin_convertvector apart into scalars where a vector
// is shorter than a register, which shuffles avoid (columns pass 1.6 times faster).
#if defined(__has_builtin) && (defined(__x86_64__) || defined(__aarch64__))
#if __has_builtin(__builtin_shufflevector)
#define FASTMATTE_SHUFFLES
#endif
#endif

#if defined(FASTMATTE_SHUFFLES)
typedef std::uint8_t Bytes __attribute__((vector_size(16)));
typedef std::int16_t Shorts __attribute__((vector_size(16)));
typedef std::int64_t Halves __attribute__((vector_size(16)));

// Through an integer register: bytes copied into part of a vector go through memory.
template <int kBytes>
static inline std::int64_t load_half(const void* from) noexcept {
  std::int64_t half = 0;
  __builtin_memcpy(&half, from, kBytes);
  return half;
}

template <int kLanes>
static inline Pixel<int> load_levels(const std::uint8_t* from) noexcept {
  const auto bytes = (Bytes)Halves{load_half<kLanes>(from), 0};
  const Bytes zero{};
  const Bytes wide =
      __builtin_shufflevector(bytes, zero, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  const Shorts none{};
  return (Pixel<int>)__builtin_shufflevector((Shorts)wide, none, 0, 8, 1, 9, 2, 10, 3, 11);
}
template <int kLanes>
static inline Pixel<int> load_levels(const std::int16_t* from) noexcept {
  const auto shorts = (Shorts)Halves{load_half<kLanes * sizeof(std::int16_t)>(from), 0};
  // Each value into the upper half of its lane, and back with its sign.
  return (Pixel<int>)__builtin_shufflevector(shorts, shorts, 0, 0, 1, 1, 2, 2, 3, 3) >> 16;
}
template <int kLanes>
static inline void store_levels(Pixel<int> levels, std::uint8_t* out) noexcept {
  const Bytes bytes = (Bytes)levels;
  const Bytes packed =
      __builtin_shufflevector(bytes, bytes, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12);
  __builtin_memcpy(out, &packed, kLanes);
}
template <int kLanes>
static inline void store_levels(Pixel<int> levels, std::int16_t* out) noexcept {
  const Shorts shorts = (Shorts)levels;
  const Shorts packed = __builtin_shufflevector(shorts, shorts, 0, 2, 4, 6, 0, 2, 4, 6);
  __builtin_memcpy(out, &packed, kLanes * sizeof(std::int16_t));
}
#else
template <int kLanes, typename T>
static inline Pixel<int> load_levels(const T* from) noexcept {
  Pixel<T> pixel{};
  __builtin_memcpy(&pixel, from, kLanes * sizeof(T));
  return __builtin_convertvector(pixel, Pixel<int>);
}
template <int kLanes, typename T>
static inline void store_levels(Pixel<int> levels, T* out) noexcept {
  const auto packed = __builtin_convertvector(levels, Pixel<T>);
  __builtin_memcpy(out, &packed, kLanes * sizeof(T));
}
#endif

// kLanes elements, the rest 0.
template <int kLanes, typename Sum, typename T>
static inline Pixel<Sum> load_pixel(const T* from) noexcept {
  return __builtin_convertvector(load_levels<kLanes>(from), Pixel<Sum>);
}
template <int kLanes, typename Sum>
static inline Pixel<float> load_pixel(const float* from) noexcept {
  Pixel<float> pixel{};
  __builtin_memcpy(&pixel, from, kLanes * sizeof(float));
  return pixel;
}

template <int kLanes>
static inline void store_pixel(Pixel<float> sum, float* out) noexcept {
  __builtin_memcpy(out, &sum, kLanes * sizeof(float));
}
template <int kLanes>
static inline void store_pixel(Pixel<int> sum, std::int16_t* out) noexcept {
  constexpr int shift = kWeightBits - kPassBits;
  store_levels<kLanes>((sum + (1 << (shift - 1))) >> shift, out);
}
template <int kLanes>
static inline void store_pixel(Pixel<int> sum, std::uint8_t* out) noexcept {
  constexpr int shift = kWeightBits + kPassBits;
  Pixel<int> level = (sum + (1 << (shift - 1))) >> shift;
  level = level < 0 ? Pixel<int>{} : level;
  level = level > 255 ? Pixel<int>{} + 255 : level;
  store_levels<kLanes>(level, out);
}

template <int kChannels, int kLanes, bool kTwo, typename Sum, typename In, typename Weight>
static inline Pixel<Sum> mix_pixel(const In* row, const RowTaps<Weight>& taps, int x) noexcept {
  const In* from = row + static_cast<std::ptrdiff_t>(taps.start[x]) * kChannels;
  const Weight* weights = taps.weights + static_cast<std::ptrdiff_t>(x) * taps.taps;
  Pixel<Sum> sum = load_pixel<kLanes, Sum>(from) * static_cast<Sum>(weights[0]);
  if (kTwo) {
    if (taps.count[x] == 1) return sum;
    return sum + load_pixel<kLanes, Sum>(from + kChannels) * static_cast<Sum>(weights[1]);
  }
  for (int t = 1; t < taps.count[x]; ++t) {
    sum += load_pixel<kLanes, Sum>(from + t * kChannels) * static_cast<Sum>(weights[t]);
  }
  return sum;
}

// Three channels are read and written as four lanes, the fourth being the next pixel's first, but
// where there is no next pixel.
template <int kChannels, bool kTwo, typename Sum, typename In, typename Weight, typename Out>
static inline void mix_pixels(const In* row, const RowTaps<Weight>& taps, Out* out,
                              int x = 0) noexcept {
  for (; x < taps.output - 1; ++x) {
    if (kChannels == 3 && taps.start[x] + taps.count[x] == taps.input) break;
    store_pixel<4>(mix_pixel<kChannels, 4, kTwo, Sum>(row, taps, x), out + x * kChannels);
  }
  for (; x < taps.output; ++x) {
    store_pixel<kChannels>(mix_pixel<kChannels, kChannels, kTwo, Sum>(row, taps, x),
                           out + x * kChannels);
  }
}

template <typename Sum, typename In, typename Weight, typename Out>
static inline void mix_column(const In* row, const RowTaps<Weight>& taps, Out* out) noexcept {
  for (int x = 0; x < taps.output; ++x) {
    const In* from = row + taps.start[x];
    const Weight* weights = taps.weights + static_cast<std::ptrdiff_t>(x) * taps.taps;
    Sum sum = static_cast<Sum>(weights[0]) * static_cast<Sum>(from[0]);
    for (int t = 1; t < taps.count[x]; ++t) {
      sum += static_cast<Sum>(weights[t]) * static_cast<Sum>(from[t]);
    }
    store(sum, out + x);
  }
}

// Two taps without a branch, for the loop to vectorise; a missing second tap adds 0.
template <typename Sum, typename In, typename Weight, typename Out>
static inline void mix_column_2(const In* row, const RowTaps<Weight>& taps, Out* __restrict out,
                                int x = 0) noexcept {
  for (; x < taps.output; ++x) {
    const int extra = taps.count[x] - 1;
    const Sum a = static_cast<Sum>(row[taps.start[x]]);
    const Sum b = static_cast<Sum>(row[taps.start[x] + extra]);
    const Sum second = static_cast<Sum>(taps.weights[2 * x + 1]) * b;
    store(static_cast<Sum>(taps.weights[2 * x]) * a + (extra != 0 ? second : Sum{0}), out + x);
  }
}

#if defined(FASTMATTE_VEC)
// Four outputs a lane, whose inputs one load of 16 bytes holds: they reach at most 3 * 4 + 2 far.
template <typename Weight>
static inline bool lanes_hold_inputs(const RowTaps<Weight>& taps) noexcept {
  return taps.input <= 4 * static_cast<std::int64_t>(taps.output);
}

// Four inputs' numbers a lane, counted from the lane's first.
static inline Ints within_lanes(Ints start) noexcept {
  return subtract_ints(start, first_int_of_lanes(start));
}

template <typename Sum>
static inline void mix_column_2(const std::uint8_t* row, const RowTaps<std::int16_t>& taps,
                                std::int16_t* out) noexcept {
  constexpr int shift = kWeightBits - kPassBits;
  const auto sums = [&](int x) {
    __m128i inputs[kLanes];
    for (int l = 0; l < kLanes; ++l) inputs[l] = load_lane(row + taps.start[x + 8 * l]);
    const Ints at = within_lanes(load_lanes(taps.start + x, 8 * sizeof(int)));
    // Bytes `at` and `at + 1` become shorts; a byte number above 127 picks 0.
    const Ints which =
        add_ints(add_ints(at, shift_left<16>(at)), all_ints(static_cast<int>(0x80018000u)));
    const Ints weights = load_lanes(taps.weights + 2 * x, 8 * 2 * sizeof(std::int16_t));
    const Ints sum = multiply_add_pairs(pick_bytes(join(inputs), which), weights);
    return shift_right<shift>(add_ints(sum, all_ints(1 << (shift - 1))));
  };
  const auto fits = [&](int i) { return i < taps.output && taps.start[i] + 16 <= taps.input; };
  int x = 0;
  if (lanes_hold_inputs(taps)) {
    for (; x + 2 * kInts <= taps.output && fits(x + 2 * kInts - 4); x += 2 * kInts) {
      store(narrow(sums(x), sums(x + 4)), out + x);
    }
  }
  mix_column_2<Sum, std::uint8_t, std::int16_t, std::int16_t>(row, taps, out, x);
}

template <typename Sum>
static inline void mix_column_2(const std::uint8_t* row, const RowTaps<float>& taps,
                                float* out) noexcept {
  const Ints second = all_ints(1), none = all_ints(static_cast<int>(0xffffff00u));
  const auto fits = [&](int i) { return taps.start[i] + 16 <= taps.input; };
  int x = 0;
  if (lanes_hold_inputs(taps)) {
    for (; x + kInts <= taps.output && fits(x + kInts - 4); x += kInts) {
      __m128i inputs[kLanes];
      for (int l = 0; l < kLanes; ++l) inputs[l] = load_lane(row + taps.start[x + 4 * l]);
      const Ints which = add_ints(within_lanes(load(taps.start + x)), none);
      const Ints pixels = join(inputs);
      const Floats a = to_floats(pick_bytes(pixels, which));
      const Floats b = to_floats(pick_bytes(pixels, add_ints(which, second)));
      // A missing second tap has weight 0, and bytes are finite.
      store(a * even_floats(taps.weights + 2 * x) + b * odd_floats(taps.weights + 2 * x), out + x);
    }
  }
  mix_column_2<Sum, std::uint8_t, float, float>(row, taps, out, x);
}

// Both pixels of an output in one load of 8 bytes, the channels paired by one shuffle.
template <int kChannels>
static inline void mix_pixels_2(const std::uint8_t* row, const RowTaps<std::int16_t>& taps,
                                std::int16_t* out) noexcept {
  constexpr int shift = kWeightBits - kPassBits;
  constexpr char z = -128, n = kChannels;
  const __m128i which =
      kChannels == 3 ? _mm_setr_epi8(0, z, n, z, 1, z, n + 1, z, 2, z, n + 2, z, z, z, z, z)
                     : _mm_setr_epi8(0, z, n, z, 1, z, n + 1, z, 2, z, n + 2, z, 3, z, n + 3, z);
  const auto sum = [&](int x) {
    const auto* from = row + static_cast<std::ptrdiff_t>(taps.start[x]) * kChannels;
    int weights;
    __builtin_memcpy(&weights, taps.weights + 2 * x, sizeof weights);
    const __m128i pixels = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
    const __m128i total = _mm_madd_epi16(_mm_shuffle_epi8(pixels, which), _mm_set1_epi32(weights));
    return _mm_srai_epi32(_mm_add_epi32(total, _mm_set1_epi32(1 << (shift - 1))), shift);
  };
  // The 8 bytes reach 2 beyond two pixels of three channels, and so does what is written.
  const auto fits = [&](int x) {
    return x < taps.output && taps.start[x] + (kChannels == 3 ? 3 : 2) <= taps.input;
  };
  int x = 0;
  for (; x + 2 < taps.output && fits(x + 1); x += 2) {
    const __m128i both = _mm_packs_epi32(sum(x), sum(x + 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(out + kChannels * x), both);
    _mm_storel_epi64(reinterpret_cast<__m128i*>(out + kChannels * (x + 1)),
                     _mm_unpackhi_epi64(both, both));
  }
  mix_pixels<kChannels, true, int>(row, taps, out, x);
}
#endif

#if defined(__AVX2__)
// Eight outputs of an enlargement have their inputs in two registers, one an element further on.
template <typename Sum>
static inline void mix_column_2(const float* row, const RowTaps<float>& taps, float* out) noexcept {
  int x = 0;
  if (taps.input <= taps.output) {
    for (; x + 8 <= taps.output && taps.start[x] + 9 <= taps.input; x += 8) {
      const auto* start = reinterpret_cast<const __m256i*>(taps.start + x);
      const auto* count = reinterpret_cast<const __m256i*>(taps.count + x);
      const __m256i at =
          _mm256_sub_epi32(_mm256_loadu_si256(start), _mm256_set1_epi32(taps.start[x]));
      const float* from = row + taps.start[x];
      const __m256 a = _mm256_permutevar8x32_ps(_mm256_loadu_ps(from), at);
      const __m256 b = _mm256_permutevar8x32_ps(_mm256_loadu_ps(from + 1), at);
      const __m256 w = _mm256_loadu_ps(taps.weights + 2 * x);
      const __m256 v = _mm256_loadu_ps(taps.weights + 2 * x + 8);
      // Low halves of the lanes of both are outputs 0, 1, 4, 5 and 2, 3, 6, 7 of the weights.
      const __m256i order = _mm256_setr_epi32(0, 1, 4, 5, 2, 3, 6, 7);
      const __m256 wa = _mm256_permutevar8x32_ps(_mm256_shuffle_ps(w, v, 0x88), order);
      const __m256 wb = _mm256_permutevar8x32_ps(_mm256_shuffle_ps(w, v, 0xdd), order);
      const __m256 two =
          _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_loadu_si256(count), _mm256_set1_epi32(1)));
      const __m256 second = _mm256_and_ps(_mm256_mul_ps(b, wb), two);
      _mm256_storeu_ps(out + x, _mm256_add_ps(_mm256_mul_ps(a, wa), second));
    }
  }
  mix_column_2<float, float, float, float>(row, taps, out, x);
}
#elif defined(FASTMATTE_SHUFFLES)
// Pairs of adjacent inputs loaded whole and sorted into first and second: alpha on its way to full
// size, where gathers take three times as long.
template <typename Sum>
static inline void mix_column_2(const float* row, const RowTaps<float>& taps, float* out) noexcept {
  const auto pairs = [](const float* from, const float* next) {
    return (Pixel<float>)Halves{load_half<8>(from), load_half<8>(next)};
  };
  int x = 0;
  for (; x + 4 <= taps.output && taps.start[x + 3] + 1 < taps.input; x += 4) {
    const int* start = taps.start + x;
    const auto low = pairs(row + start[0], row + start[1]);
    const auto high = pairs(row + start[2], row + start[3]);
    const auto low_weights = load_pixel<4, float>(taps.weights + 2 * x);
    const auto high_weights = load_pixel<4, float>(taps.weights + 2 * x + 4);
    Pixel<int> count;
    __builtin_memcpy(&count, taps.count + x, sizeof count);
    const Pixel<float> first = __builtin_shufflevector(low, high, 0, 2, 4, 6) *
                               __builtin_shufflevector(low_weights, high_weights, 0, 2, 4, 6);
    const Pixel<float> second = __builtin_shufflevector(low, high, 1, 3, 5, 7) *
                                __builtin_shufflevector(low_weights, high_weights, 1, 3, 5, 7);
    store_pixel<4>(first + (count > 1 ? second : Pixel<float>{}), out + x);
  }
  mix_column_2<float, float, float, float>(row, taps, out, x);
}
#endif

// Outputs from x on, byte by byte.
static inline void sum_pixels(const std::uint8_t* __restrict row, const ByteTaps& taps, int x,
                              std::int16_t* __restrict out) noexcept {
  for (; x < taps.output; ++x) {
    const int left = taps.input - taps.start[x], most = taps.blocks * kBlockTaps;
    const int count = left < most ? left : most;
    int sums[3] = {};
    for (int t = 0; t < count; ++t) {
      const std::ptrdiff_t block = std::ptrdiff_t{t / kBlockTaps} * taps.output + x;
      const int weight = t % kBlockTaps < 4 ? taps.fours[block * kWeightBytes + t % kBlockTaps]
                                            : taps.fifths[block * kWeightBytes];
      const std::uint8_t* from = row + std::ptrdiff_t{3} * (taps.start[x] + t);
      for (int c = 0; c < 3; ++c) sums[c] += weight * from[c];
    }
    for (int c = 0; c < 3; ++c) out[4 * x + c] = static_cast<std::int16_t>(sums[c]);
    out[4 * x + 3] = 0;
  }
}

#if defined(FASTMATTE_VEC)
// The bytes of taps 0 to 3 of each channel, and those of tap 4.
alignas(16) constexpr signed char kFourTaps[16] = {0, 3, 6, 9,  1,  4,  7,  10,
                                                   2, 5, 8, 11, -1, -1, -1, -1};
alignas(16) constexpr signed char kFifthTap[16] = {12, -1, -1, -1, 13, -1, -1, -1,
                                                   14, -1, -1, -1, -1, -1, -1, -1};

// An output a lane. Returns how many are done: 16 bytes are read for each block. With kOne there is
// one block, as in most shrinking to what networks take.
template <bool kOne>
static inline int sum_lanes(const std::uint8_t* row, const ByteTaps& taps,
                            std::int16_t* out) noexcept {
  const Ints fours = repeat(load_lane(kFourTaps)), fifths = repeat(load_lane(kFifthTap));
  const Ints ones = all_ints(0x00010001);
  const auto sums = [&](int x) {
    Ints shorts = all_ints(0);
    for (int b = 0; b < (kOne ? 1 : taps.blocks); ++b) {
      __m128i lanes[kLanes];
      for (int l = 0; l < kLanes; ++l) {
        lanes[l] = load_lane(row + std::ptrdiff_t{3} * (taps.start[x + l] + b * kBlockTaps));
      }
      const Ints pixels = join(lanes);
      const std::ptrdiff_t block = (std::ptrdiff_t{b} * taps.output + x) * kWeightBytes;
      const Ints four = multiply_add_bytes(pick_bytes(pixels, fours), load(taps.fours + block));
      const Ints fifth = multiply_add_bytes(pick_bytes(pixels, fifths), load(taps.fifths + block));
      shorts = kOne ? add_shorts(four, fifth) : add_shorts(shorts, add_shorts(four, fifth));
    }
    return multiply_add_pairs(shorts, ones);
  };
  // The last block's 16 bytes are its five pixels and a byte more.
  const int reach = taps.blocks * kBlockTaps + 1;
  int x = 0;
  for (; x + 2 * kLanes <= taps.output && taps.start[x + 2 * kLanes - 1] + reach <= taps.input;
       x += 2 * kLanes) {
    store(narrow_in_order(sums(x), sums(x + kLanes)), out + std::ptrdiff_t{4} * x);
  }
  return x;
}
#else
template <bool kOne>
static inline int sum_lanes(const std::uint8_t*, const ByteTaps&, std::int16_t*) noexcept {
  return 0;
}
#endif

template <typename Sum, typename In, typename Weight, typename Out>
static inline void mix_columns(const In* row, const RowTaps<Weight>& taps, int channels,
                               Out* out) noexcept {
  if (taps.taps == 2) {
    if (channels == 3) return mix_pixels<3, true, Sum>(row, taps, out);
    if (channels == 4) return mix_pixels<4, true, Sum>(row, taps, out);
    return mix_column_2<Sum>(row, taps, out);
  }
  if (channels == 3) return mix_pixels<3, false, Sum>(row, taps, out);
  if (channels == 4) return mix_pixels<4, false, Sum>(row, taps, out);
  mix_column<Sum>(row, taps, out);
}

}  // namespace

void mix_rows_u8_f32(RowRing<std::uint8_t> rows, const float* weights, int count, float* out,
                     int elements) noexcept {
  mix_rows<float>(rows, weights, count, out, elements);
}

void mix_rows_f32_f32(RowRing<float> rows, const float* weights, int count, float* out,
                      int elements) noexcept {
  mix_rows<float>(rows, weights, count, out, elements);
}

void stream_rows_f32(RowRing<float> rows, const float* weights, int count, float* out,
                     int elements) noexcept {
  int x = 0;
#if defined(FASTMATTE_VEC)
  constexpr int kFloats = kLineBytes / static_cast<int>(sizeof(float));
  const int head = elements_to_line(out);
  if (count <= kMostStreamedTaps && head >= 0 && head <= elements) {
    mix_rows<float>(rows, weights, count, out, head);
    const float* from[kMostStreamedTaps];
    Floats by[kMostStreamedTaps];
    for (int t = 0; t < count; ++t) {
      from[t] = row_of(rows, t);
      by[t] = all_floats(weights[t]);
    }
    for (x = head; x + kFloats <= elements; x += kFloats) {
      for (int i = x; i < x + kFloats; i += kInts) {
        Floats sum = by[0] * load_floats(from[0] + i);
        for (int t = 1; t < count; ++t) sum += by[t] * load_floats(from[t] + i);
        stream(sum, out + i);
      }
    }
  }
#endif
  mix_rows<float>(rows, weights, count, out, elements, x);
}

void mix_rows_u8_i16(RowRing<std::uint8_t> rows, const std::int16_t* weights, int count,
                     std::int16_t* out, int elements) noexcept {
  mix_rows_in_pairs(rows, weights, count, out, elements);
}

void mix_rows_i16_u8(RowRing<std::int16_t> rows, const std::int16_t* weights, int count,
                     std::uint8_t* out, int elements) noexcept {
  mix_rows_in_pairs(rows, weights, count, out, elements);
}

void mix_rows_i16_f32(RowRing<std::int16_t> rows, const float* weights, int count, float* out,
                      int elements) noexcept {
  mix_rows<float>(rows, weights, count, out, elements);
}

void sum_columns_u8_i16(const std::uint8_t* row, ByteTaps taps, std::int16_t* out) noexcept {
  const auto lanes = taps.blocks == 1 ? &sum_lanes<true> : &sum_lanes<false>;
  sum_pixels(row, taps, lanes(row, taps, out), out);
}

void mix_columns_u8_f32(const std::uint8_t* row, RowTaps<float> taps, int channels,
                        float* out) noexcept {
  mix_columns<float>(row, taps, channels, out);
}

void mix_columns_f32_f32(const float* row, RowTaps<float> taps, int channels, float* out) noexcept {
  mix_columns<float>(row, taps, channels, out);
}

void mix_columns_u8_i16(const std::uint8_t* row, RowTaps<std::int16_t> taps, int channels,
                        std::int16_t* out) noexcept {
#if defined(FASTMATTE_VEC)
  if (taps.taps == 2 && channels == 3) return mix_pixels_2<3>(row, taps, out);
  if (taps.taps == 2 && channels == 4) return mix_pixels_2<4>(row, taps, out);
#endif
  mix_columns<int>(row, taps, channels, out);
}

void mix_columns_i16_u8(const std::int16_t* row, RowTaps<std::int16_t> taps, int channels,
                        std::uint8_t* out) noexcept {
  mix_columns<int>(row, taps, channels, out);
}

}  // namespace fastmatte::FASTMATTE_ISA
