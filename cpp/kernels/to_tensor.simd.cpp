// Plain loops but where bytes are taken apart: those go by shuffles, or by reading pixels whole.
#include "kernels/to_tensor.h"

#include "simd/vec.h"

namespace fastmatte::FASTMATTE_ISA {
namespace {

template <int kChannels, typename T>
static inline void spread(const T* __restrict row, int x, int width, const float* factor,
                          const float* offset, float* __restrict first, float* __restrict second,
                          float* __restrict third) noexcept {
  const float f0 = factor[0], f1 = factor[1], f2 = factor[2];
  const float o0 = offset[0], o1 = offset[1], o2 = offset[2];
  for (; x < width; ++x) {
    first[x] = static_cast<float>(row[kChannels * x]) * f0 + o0;
    second[x] = static_cast<float>(row[kChannels * x + 1]) * f1 + o1;
    third[x] = static_cast<float>(row[kChannels * x + 2]) * f2 + o2;
  }
}

#if defined(FASTMATTE_VEC)
// Four pixels a lane; one shuffle makes ints of a channel of them. Pixels from x on; returns the
// first that is not done.
template <int kChannels, bool kStreamed>
static inline int spread_lanes(const std::uint8_t* row, int x, int width, const float* factor,
                               const float* offset, float* first, float* second,
                               float* third) noexcept {
  float* const out[3] = {first, second, third};
  Ints which[3];
  Floats f[3], o[3];
  for (int c = 0; c < 3; ++c) {
    // A byte number above 127 picks 0.
    constexpr int n = kChannels, none = static_cast<int>(0xffffff00u);
    which[c] =
        repeat(_mm_setr_epi32(none | c, none | (n + c), none | (2 * n + c), none | (3 * n + c)));
    f[c] = all_floats(factor[c]);
    o[c] = all_floats(offset[c]);
  }
  // A lane reads 16 bytes, of which four pixels of three channels are but 12.
  constexpr int margin = kChannels == 3 ? 2 : 0;
  for (; x + kInts + margin <= width; x += kInts) {
    const Ints pixels = load_lanes(row + std::ptrdiff_t{kChannels} * x, 4 * kChannels);
    for (int c = 0; c < 3; ++c) {
      const Floats levels = to_floats(pick_bytes(pixels, which[c])) * f[c] + o[c];
      if (kStreamed) {
        stream(levels, out[c] + x);
      } else {
        store(levels, out[c] + x);
      }
    }
  }
  return x;
}

template <int kChannels>
static inline int spread_lanes(const std::uint8_t* row, int width, const float* factor,
                               const float* offset, float* first, float* second, float* third,
                               Stores stores) noexcept {
  const int head = elements_to_line(first);
  const bool alike = elements_to_line(second) == head && elements_to_line(third) == head;
  if (stores == Stores::cached || !alike || head < 0 || head > width) {
    return spread_lanes<kChannels, false>(row, 0, width, factor, offset, first, second, third);
  }
  spread<kChannels>(row, 0, head, factor, offset, first, second, third);
  return spread_lanes<kChannels, true>(row, head, width, factor, offset, first, second, third);
}
#else
template <int kChannels>
static inline int spread_lanes(const std::uint8_t*, int, const float*, const float*, float*, float*,
                               float*, Stores) noexcept {
  return 0;
}
#endif

template <int kChannels>
static inline int spread_lanes(const float*, int, const float*, const float*, float*, float*,
                               float*, Stores) noexcept {
  return 0;
}

template <typename T>
static inline void spread_row(const T* __restrict row, int channels, int width, const float* factor,
                              const float* offset, float* __restrict first, float* second,
                              float* third, Stores stores) noexcept {
  if (channels == 3) {
    const int x = spread_lanes<3>(row, width, factor, offset, first, second, third, stores);
    return spread<3>(row, x, width, factor, offset, first, second, third);
  }
  if (channels == 4) {
    const int x = spread_lanes<4>(row, width, factor, offset, first, second, third, stores);
    return spread<4>(row, x, width, factor, offset, first, second, third);
  }
  const float f = factor[0], o = offset[0];
  for (int x = 0; x < width; ++x) first[x] = static_cast<float>(row[x]) * f + o;
}

// Outputs blended at a time: their pixels stay in the first cache.
constexpr int kBlock = 256;

// The pixels of both taps of outputs [x, x + n), one in each int; `whole` outputs from the first on
// may read 8 bytes.
template <int kChannels>
static inline void pick_pairs(const std::uint8_t* __restrict row, const RowTaps<float>& columns,
                              int whole, int x, int n, std::uint32_t* __restrict left,
                              std::uint32_t* __restrict right) noexcept {
  const int* start = columns.start + x;
  const int safe = whole - x < n ? whole - x : n;
  int i = 0;
  for (; i < safe; ++i) {
    std::uint64_t both;
    __builtin_memcpy(&both, row + std::ptrdiff_t{start[i]} * kChannels, sizeof both);
    left[i] = static_cast<std::uint32_t>(both);
    right[i] = static_cast<std::uint32_t>(both >> (8 * kChannels));
  }
  for (; i < n; ++i) {
    const std::uint8_t* from = row + std::ptrdiff_t{start[i]} * kChannels;
    left[i] = right[i] = 0;
    __builtin_memcpy(&left[i], from, 3);
    if (columns.count[x + i] > 1) __builtin_memcpy(&right[i], from + kChannels, 3);
  }
}

template <int kChannel>
static inline float channel_of(std::uint32_t pixel) noexcept {
  return static_cast<float>(static_cast<int>(pixel >> (8 * kChannel) & 255));
}

template <int kChannels>
static inline void blend_row(RowPair rows, const RowTaps<float>& columns, const Levels& levels,
                             float* __restrict first, float* __restrict second,
                             float* __restrict third) noexcept {
  alignas(64) std::uint32_t top_left[kBlock], top_right[kBlock];
  alignas(64) std::uint32_t bottom_left[kBlock], bottom_right[kBlock];
  alignas(64) float left_weight[kBlock], right_weight[kBlock];
  const auto is_whole = [&](int i) {
    return std::int64_t{columns.start[i]} * kChannels + 8 <=
           std::int64_t{columns.input} * kChannels;
  };
  int whole = columns.output;
  while (whole > 0 && !is_whole(whole - 1)) --whole;
  const float wt = rows.top_weight, wb = rows.bottom_weight;
  const float f0 = levels.factor[0], f1 = levels.factor[1], f2 = levels.factor[2];
  const float o0 = levels.offset[0], o1 = levels.offset[1], o2 = levels.offset[2];
  for (int x = 0; x < columns.output; x += kBlock) {
    const int n = columns.output - x < kBlock ? columns.output - x : kBlock;
    pick_pairs<kChannels>(rows.top, columns, whole, x, n, top_left, top_right);
    pick_pairs<kChannels>(rows.bottom, columns, whole, x, n, bottom_left, bottom_right);
    if (columns.taps == 1) {
      for (int i = 0; i < n; ++i) left_weight[i] = columns.weights[x + i], right_weight[i] = 0;
    } else {
      for (int i = 0; i < n; ++i) {
        left_weight[i] = columns.weights[2 * (x + i)];
        right_weight[i] = columns.weights[2 * (x + i) + 1];
      }
    }
    const auto blended = [&](float a, float b, float c, float d, int i) {
      return (a * wt + c * wb) * left_weight[i] + (b * wt + d * wb) * right_weight[i];
    };
    for (int i = 0; i < n; ++i) {
      const std::uint32_t a = top_left[i], b = top_right[i], c = bottom_left[i],
                          d = bottom_right[i];
      first[x + i] =
          blended(channel_of<0>(a), channel_of<0>(b), channel_of<0>(c), channel_of<0>(d), i) * f0 +
          o0;
      second[x + i] =
          blended(channel_of<1>(a), channel_of<1>(b), channel_of<1>(c), channel_of<1>(d), i) * f1 +
          o1;
      third[x + i] =
          blended(channel_of<2>(a), channel_of<2>(b), channel_of<2>(c), channel_of<2>(d), i) * f2 +
          o2;
    }
  }
}

static inline float clamp_level(float level) noexcept {
  return level < 0.0f ? 0.0f : level > 255.0f ? 255.0f : level;
}

}  // namespace

void spread_row_u8(const std::uint8_t* row, int channels, int width, Levels levels, float* first,
                   float* second, float* third, Stores stores) noexcept {
  spread_row(row, channels, width, levels.factor, levels.offset, first, second, third, stores);
}

void spread_row_f32(const float* row, int channels, int width, Levels levels, float* first,
                    float* second, float* third) noexcept {
  spread_row(row, channels, width, levels.factor, levels.offset, first, second, third,
             Stores::cached);
}

void blend_row_u8(RowPair rows, int channels, RowTaps<float> columns, Levels levels, float* first,
                  float* second, float* third) noexcept {
  if (channels == 3) return blend_row<3>(rows, columns, levels, first, second, third);
  blend_row<4>(rows, columns, levels, first, second, third);
}

void split_row(const std::uint8_t* __restrict pairs, std::uint8_t* __restrict first,
               std::uint8_t* __restrict second, int width) noexcept {
  for (int x = 0; x < width; ++x) {
    first[x] = pairs[2 * x];
    second[x] = pairs[2 * x + 1];
  }
}

void colour_row(const float* __restrict y, const float* __restrict u, const float* __restrict v,
                int width, YuvWeights weights, Levels levels, float* __restrict first,
                float* __restrict second, float* __restrict third) noexcept {
  const float black = weights.black, luma = weights.luma, red_v = weights.red_v;
  const float green_u = weights.green_u, green_v = weights.green_v, blue_u = weights.blue_u;
  const float f0 = levels.factor[0], f1 = levels.factor[1], f2 = levels.factor[2];
  const float o0 = levels.offset[0], o1 = levels.offset[1], o2 = levels.offset[2];
  for (int x = 0; x < width; ++x) {
    const float l = luma * (y[x] - black);
    const float cu = u[x] - 128.0f, cv = v[x] - 128.0f;
    first[x] = clamp_level(l + red_v * cv) * f0 + o0;
    second[x] = clamp_level(l + (green_u * cu + green_v * cv)) * f1 + o1;
    third[x] = clamp_level(l + blue_u * cu) * f2 + o2;
  }
}

void interleave_row(const float* __restrict first, const float* __restrict second,
                    const float* __restrict third, float* __restrict out, int width) noexcept {
  for (int x = 0; x < width; ++x) {
    out[3 * x] = first[x];
    out[3 * x + 1] = second[x];
    out[3 * x + 2] = third[x];
  }
}

void half_row(const float* __restrict row, int count, Half* __restrict out,
              [[maybe_unused]] Stores stores) noexcept {
  int i = 0;
#if defined(__F16C__)
  constexpr int kHalves = kLineBytes / static_cast<int>(sizeof(Half));
  const int head = elements_to_line(out);
  if (stores == Stores::streamed && head >= 0 && head <= count) {
    for (; i < head; ++i) out[i] = to_half(row[i]);
    for (; i + kHalves <= count; i += kHalves) {
      for (int j = 0; j < kHalves; j += 8) {
        stream_lane(_mm256_cvtps_ph(_mm256_loadu_ps(row + i + j), _MM_FROUND_TO_NEAREST_INT),
                    out + i + j);
      }
    }
  }
  for (; i + 8 <= count; i += 8) {
    const __m128i eight = _mm256_cvtps_ph(_mm256_loadu_ps(row + i), _MM_FROUND_TO_NEAREST_INT);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i), eight);
  }
#elif defined(__aarch64__)
  for (; i < count; ++i) {
    const auto half = static_cast<__fp16>(row[i]);
    __builtin_memcpy(out + i, &half, sizeof half);
  }
#endif
  for (; i < count; ++i) out[i] = to_half(row[i]);
}

}  // namespace fastmatte::FASTMATTE_ISA
