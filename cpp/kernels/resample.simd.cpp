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

// kLanes elements, the rest 0.
template <int kLanes, typename Sum, typename T>
static inline Pixel<Sum> load_pixel(const T* from) noexcept {
  Pixel<T> pixel{};
  __builtin_memcpy(&pixel, from, kLanes * sizeof(T));
  return __builtin_convertvector(pixel, Pixel<Sum>);
}

template <int kLanes>
static inline void store_pixel(Pixel<float> sum, float* out) noexcept {
  __builtin_memcpy(out, &sum, kLanes * sizeof(float));
}
template <int kLanes>
static inline void store_pixel(Pixel<int> sum, std::int16_t* out) noexcept {
  constexpr int shift = kWeightBits - kPassBits;
  const auto levels =
      __builtin_convertvector((sum + (1 << (shift - 1))) >> shift, Pixel<std::int16_t>);
  __builtin_memcpy(out, &levels, kLanes * sizeof(std::int16_t));
}
template <int kLanes>
static inline void store_pixel(Pixel<int> sum, std::uint8_t* out) noexcept {
  constexpr int shift = kWeightBits + kPassBits;
  Pixel<int> level = (sum + (1 << (shift - 1))) >> shift;
  level = level < 0 ? Pixel<int>{} : level;
  level = level > 255 ? Pixel<int>{} + 255 : level;
  const auto levels = __builtin_convertvector(level, Pixel<std::uint8_t>);
  __builtin_memcpy(out, &levels, kLanes);
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
static inline void mix_column_2(const In* row, const RowTaps<Weight>& taps,
                                Out* __restrict out) noexcept {
  for (int x = 0; x < taps.output; ++x) {
    const int extra = taps.count[x] - 1;
    const Sum a = static_cast<Sum>(row[taps.start[x]]);
    const Sum b = static_cast<Sum>(row[taps.start[x] + extra]);
    const Sum second = static_cast<Sum>(taps.weights[2 * x + 1]) * b;
    store(static_cast<Sum>(taps.weights[2 * x]) * a + (extra != 0 ? second : Sum{0}), out + x);
  }
}

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
