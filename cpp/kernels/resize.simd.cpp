// Copies of a size the compiler knows, and the mean of 2 x 2 pixels.
#include "kernels/resize.h"

#include "kernels/from_tensor.h"
#include "simd/vec.h"

namespace fastmatte::FASTMATTE_ISA {
namespace {

template <int kBytes>
static inline void pick(const unsigned char* __restrict row, const int* source,
                        unsigned char* __restrict out, int width) noexcept {
  for (std::ptrdiff_t x = 0; x < width; ++x) {
    __builtin_memcpy(out + x * kBytes, row + std::ptrdiff_t{source[x]} * kBytes, kBytes);
  }
}

template <int kChannels>
static inline void halve(const std::uint8_t* __restrict top, const std::uint8_t* __restrict bottom,
                         std::uint8_t* __restrict out, int x, int width) noexcept {
  constexpr int n = kChannels;
  for (; x < width; ++x) {
    for (int c = 0; c < n; ++c) {
      const std::ptrdiff_t i = std::ptrdiff_t{2} * n * x + c;
      const int sum = top[i] + top[i + n] + bottom[i] + bottom[i + n];
      out[n * x + c] = static_cast<std::uint8_t>((sum + 2) >> 2);
    }
  }
}

#if defined(FASTMATTE_VEC)
// Byte numbers that bring the two pixels of each output together, channel by channel.
alignas(16) constexpr signed char kPairs[5][16] = {
    {},
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {},
    {0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11, -1, -1, -1, -1},
    {0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15}};

// As many whole outputs as 16 bytes hold the inputs of; 8 bytes are written for them.
template <int kChannels>
static inline int halve_lanes(const std::uint8_t* top, const std::uint8_t* bottom,
                              std::uint8_t* out, int width) noexcept {
  constexpr int step = kChannels == 1 ? 8 : 2;
  // Three channels read 4 and write 2 bytes more than they are.
  constexpr int margin = kChannels == 3 ? 1 : 0;
  const __m128i which = load_lane(kPairs[kChannels]);
  const __m128i ones = _mm_set1_epi8(1);
  const auto sums = [&](const std::uint8_t* row) {
    return _mm_maddubs_epi16(_mm_shuffle_epi8(load_lane(row), which), ones);
  };
  int x = 0;
  for (; x + step + margin <= width; x += step) {
    const std::ptrdiff_t i = std::ptrdiff_t{2} * kChannels * x;
    const __m128i sum =
        _mm_add_epi16(_mm_add_epi16(sums(top + i), sums(bottom + i)), _mm_set1_epi16(2));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(out + kChannels * x),
                     _mm_packus_epi16(_mm_srli_epi16(sum, 2), _mm_setzero_si128()));
  }
  return x;
}
#else
template <int kChannels>
static inline int halve_lanes(const std::uint8_t*, const std::uint8_t*, std::uint8_t*,
                              int) noexcept {
  return 0;
}
#endif

template <int kChannels>
static inline void halve(const std::uint8_t* top, const std::uint8_t* bottom, std::uint8_t* out,
                         int width) noexcept {
  halve<kChannels>(top, bottom, out, halve_lanes<kChannels>(top, bottom, out, width), width);
}

}  // namespace

void halve_row(const std::uint8_t* top, const std::uint8_t* bottom, int channels, std::uint8_t* out,
               int width) noexcept {
  if (channels == 1) return halve<1>(top, bottom, out, width);
  if (channels == 3) return halve<3>(top, bottom, out, width);
  halve<4>(top, bottom, out, width);
}

void clamp_to_levels_row(const float* __restrict row, std::uint8_t* __restrict out,
                         int elements) noexcept {
  int i = 0;
#if defined(FASTMATTE_VEC)
  for (; i + kInts <= elements; i += kInts) {
    store_bytes(whole_steps(clamp_to_unit(load_floats(row + i)), 255.0f), out + i);
  }
#endif
  for (; i < elements; ++i) out[i] = level_of(row[i]);
}

void pick_pixels_row(const unsigned char* row, const int* source, int pixel_bytes,
                     unsigned char* out, int width) noexcept {
  switch (pixel_bytes) {
    case 1:
      return pick<1>(row, source, out, width);
    case 3:
      return pick<3>(row, source, out, width);
    case 4:
      return pick<4>(row, source, out, width);
    case 12:
      return pick<12>(row, source, out, width);
    default:
      return pick<16>(row, source, out, width);
  }
}

}  // namespace fastmatte::FASTMATTE_ISA
