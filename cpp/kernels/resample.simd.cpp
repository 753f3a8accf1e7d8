// Rows pass: plain loops, four taps at a time. Columns pass: one pixel is one vector of four lanes,
// which SSE2 and NEON have in their baselines; taps follow each other in order on every ISA.
#include "kernels/resample.h"

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
                            int elements) noexcept {
  alignas(64) Sum sum[kBlock];
  for (int x = 0; x < elements; x += kBlock) {
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
static inline void mix_pixels(const In* row, const RowTaps<Weight>& taps, Out* out) noexcept {
  int x = 0;
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

#if defined(FASTMATTE_SHUFFLES)
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

void mix_rows_u8_i16(RowRing<std::uint8_t> rows, const std::int16_t* weights, int count,
                     std::int16_t* out, int elements) noexcept {
  mix_rows<int>(rows, weights, count, out, elements);
}

void mix_rows_i16_u8(RowRing<std::int16_t> rows, const std::int16_t* weights, int count,
                     std::uint8_t* out, int elements) noexcept {
  mix_rows<int>(rows, weights, count, out, elements);
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
  mix_columns<int>(row, taps, channels, out);
}

void mix_columns_i16_u8(const std::int16_t* row, RowTaps<std::int16_t> taps, int channels,
                        std::uint8_t* out) noexcept {
  mix_columns<int>(row, taps, channels, out);
}

}  // namespace fastmatte::FASTMATTE_ISA
