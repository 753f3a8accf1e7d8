// Plain loops over adjacent elements. Each element's sum runs over the taps in a fixed order, so
// that float32 gives the same bytes on every ISA.
#include "kernels/blur.h"

namespace fastmatte::FASTMATTE_ISA {

// The sums of one chunk stay in the first-level cache while the taps pass by.
constexpr int kChunk = 1024;

// One tap pair's share of the sum. The casts to int16 let compilers see the product that SIMD has
// one instruction for; they drop the second one where they know what unit is, so it is an argument.
static inline float term(float half, std::uint16_t a, std::uint16_t b, int) noexcept {
  return half * static_cast<float>(a + b);
}

static inline float term(float half, float a, float b, int) noexcept { return half * (a + b); }

static inline std::int16_t rounded_product(std::int16_t a, std::int16_t b) noexcept {
  return static_cast<std::int16_t>((((a * b) >> 14) + 1) >> 1);
}

static inline std::int16_t term(std::int16_t half, std::int16_t a, std::int16_t b, int) noexcept {
  return rounded_product(half, static_cast<std::int16_t>(a + b));
}

static inline std::int16_t term(std::int16_t half, std::uint8_t a, std::uint8_t b,
                                int unit) noexcept {
  return rounded_product(half, static_cast<std::int16_t>((a + b) * unit));
}

template <typename Tap, typename Value>
static inline void fir_row(const Tap* const* taps, const Value* half, int radius, int unit,
                           Value* out, int count) noexcept {
  static_assert(kTapGroup == 4, "the group below is written out");
  for (int begin = 0; begin < count; begin += kChunk) {
    const int n = count - begin < kChunk ? count - begin : kChunk;
    Value* __restrict sums = out + begin;
    const Tap* centre = taps[0] + begin;
    for (int i = 0; i < n; ++i) sums[i] = term(half[0], centre[i], centre[i], unit);
    for (int j = 1; j <= radius; j += kTapGroup) {
      const Tap *a0 = taps[-j] + begin, *b0 = taps[j] + begin;
      const Tap *a1 = taps[-j - 1] + begin, *b1 = taps[j + 1] + begin;
      const Tap *a2 = taps[-j - 2] + begin, *b2 = taps[j + 2] + begin;
      const Tap *a3 = taps[-j - 3] + begin, *b3 = taps[j + 3] + begin;
      const Value h0 = half[j], h1 = half[j + 1], h2 = half[j + 2], h3 = half[j + 3];
      for (int i = 0; i < n; ++i) {
        auto sum = static_cast<Value>(sums[i] + term(h0, a0[i], b0[i], unit));
        sum = static_cast<Value>(sum + term(h1, a1[i], b1[i], unit));
        sum = static_cast<Value>(sum + term(h2, a2[i], b2[i], unit));
        sums[i] = static_cast<Value>(sum + term(h3, a3[i], b3[i], unit));
      }
    }
  }
}

void fir_row_u16(const std::uint16_t* const* taps, const float* half, int radius, float* out,
                 int count) noexcept {
  fir_row(taps, half, radius, 1, out, count);
}

void fir_row_f32(const float* const* taps, const float* half, int radius, float* out,
                 int count) noexcept {
  fir_row(taps, half, radius, 1, out, count);
}

void fir_row_u8(const std::uint8_t* const* taps, const std::int16_t* half, int radius, int unit,
                std::int16_t* out, int count) noexcept {
  fir_row(taps, half, radius, unit, out, count);
}

void fir_row_i16(const std::int16_t* const* taps, const std::int16_t* half, int radius,
                 std::int16_t* out, int count) noexcept {
  fir_row(taps, half, radius, 1, out, count);
}

template <int channels>
static inline void weigh(const std::uint8_t* image, const std::uint8_t* weight,
                         std::uint16_t* __restrict out, int width) noexcept {
  for (int x = 0; x < width; ++x) {
    for (int c = 0; c < channels; ++c) {
      out[(channels + 1) * x + c] = static_cast<std::uint16_t>(image[channels * x + c] * weight[x]);
    }
    out[(channels + 1) * x + channels] = weight[x];
  }
}

void weigh_row(const std::uint8_t* image, const std::uint8_t* weight, std::uint16_t* out, int width,
               int channels) noexcept {
  if (channels == 1) return weigh<1>(image, weight, out, width);
  if (channels == 3) return weigh<3>(image, weight, out, width);
  weigh<4>(image, weight, out, width);
}

void add_row_u8(const std::uint8_t* row, std::uint32_t* __restrict sums, int count) noexcept {
  for (int i = 0; i < count; ++i) sums[i] += row[i];
}

void add_row_u16(const std::uint16_t* row, std::uint32_t* sums, int count) noexcept {
  for (int i = 0; i < count; ++i) sums[i] += row[i];
}

void sum_cells_row(const std::uint32_t* sums, float* out, int width, int channels,
                   int step) noexcept {
  for (int begin = 0; begin < width; begin += step) {
    const int end = begin + step < width ? begin + step : width;
    for (int c = 0; c < channels; ++c) {
      std::uint32_t sum = 0;
      for (int x = begin; x < end; ++x) sum += sums[channels * x + c];
      *out++ = static_cast<float>(sum);
    }
  }
}

void scale_row_f32(float* values, const float* scale, float row_scale, int count) noexcept {
  for (int i = 0; i < count; ++i) values[i] = values[i] * scale[i] * row_scale;
}

void scale_row_i16(const std::int16_t* values, const float* scale, std::uint8_t* out,
                   int count) noexcept {
  for (int i = 0; i < count; ++i) out[i] = rounded(static_cast<float>(values[i]) * scale[i]);
}

template <int channels>
static inline void expand(const float* cells, const std::int32_t* cell, const float* position,
                          float* __restrict out, int width) noexcept {
  for (int x = 0; x < width; ++x) {
    const float* left = cells + channels * cell[x];
    for (int c = 0; c < channels; ++c) {
      out[channels * x + c] = between(left[c], left[channels + c], position[x]);
    }
  }
}

void expand_row(const float* cells, const std::int32_t* cell, const float* position, float* out,
                int width, int channels) noexcept {
  if (channels == 1) return expand<1>(cells, cell, position, out, width);
  if (channels == 2) return expand<2>(cells, cell, position, out, width);
  if (channels == 3) return expand<3>(cells, cell, position, out, width);
  if (channels == 4) return expand<4>(cells, cell, position, out, width);
  expand<5>(cells, cell, position, out, width);
}

void mix_row(const float* upper, const float* lower, float position, std::uint8_t* out,
             int count) noexcept {
  for (int i = 0; i < count; ++i) out[i] = rounded(between(upper[i], lower[i], position));
}

template <int channels>
static inline void mix_weighted(const float* upper, const float* lower, float position,
                                const std::uint8_t* image, std::uint8_t* __restrict out,
                                int width) noexcept {
  for (int x = 0; x < width; ++x) {
    const int at = (channels + 1) * x;
    const float weight = between(upper[at + channels], lower[at + channels], position);
    const float scale = 1.0f / (weight > 0.0f ? weight : 1.0f);
    for (int c = 0; c < channels; ++c) {
      const float colour = between(upper[at + c], lower[at + c], position) * scale;
      out[channels * x + c] = weight > 0.0f ? rounded(colour) : image[channels * x + c];
    }
  }
}

void mix_weighted_row(const float* upper, const float* lower, float position,
                      const std::uint8_t* image, std::uint8_t* out, int width,
                      int channels) noexcept {
  if (channels == 1) return mix_weighted<1>(upper, lower, position, image, out, width);
  if (channels == 3) return mix_weighted<3>(upper, lower, position, image, out, width);
  mix_weighted<4>(upper, lower, position, image, out, width);
}

}  // namespace fastmatte::FASTMATTE_ISA
