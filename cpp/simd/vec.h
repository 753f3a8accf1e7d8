// SIMD vocabulary: the shuffles and pair products that neither loops nor vector types can say, for
// whatever width the ISA being compiled has. FASTMATTE_VEC is defined where there are any;
// elsewhere kernels have their plain loops alone. What needs one width names its intrinsics where
// it stands.
//
// A register is kLanes lanes of 16 bytes. What moves bytes moves them within each lane.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__SSE4_1__)
#define FASTMATTE_VEC
// GCC 12 takes its own undefined registers in this header for mistakes (GCC bug 105593).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

namespace fastmatte::FASTMATTE_ISA {
namespace {

// One lane. Loads and stores need no alignment anywhere.
static inline __m128i load_lane(const void* from) noexcept {
  return _mm_loadu_si128(static_cast<const __m128i*>(from));
}

// Past the caches; `to` is aligned to what is stored, here as in every `stream`.
static inline void stream_lane(__m128i lane, void* to) noexcept {
  _mm_stream_si128(static_cast<__m128i*>(to), lane);
}

// Byte numbers that leave out every fourth byte.
alignas(16) constexpr signed char kTriples[16] = {0,  1,  2,  4,  5,  6,  8,  9,
                                                  10, 12, 13, 14, -1, -1, -1, -1};

// Byte numbers that make an int of channel c of each pixel of a lane.
alignas(16) constexpr signed char kChannelOf[3][16] = {
    {0, -1, -1, -1, 3, -1, -1, -1, 6, -1, -1, -1, 9, -1, -1, -1},
    {1, -1, -1, -1, 4, -1, -1, -1, 7, -1, -1, -1, 10, -1, -1, -1},
    {2, -1, -1, -1, 5, -1, -1, -1, 8, -1, -1, -1, 11, -1, -1, -1}};

#if defined(__AVX512BW__) && defined(__AVX512DQ__)
typedef __m512i Ints;
typedef __m512 Floats;
constexpr int kLanes = 4;

static inline Ints load(const void* from) noexcept { return _mm512_loadu_si512(from); }
static inline void store(Ints value, void* to) noexcept { _mm512_storeu_si512(to, value); }
static inline void store(Floats value, float* to) noexcept { _mm512_storeu_ps(to, value); }
static inline void stream(Floats value, float* to) noexcept { _mm512_stream_ps(to, value); }
static inline Ints join(const __m128i* lanes) noexcept {
  const __m512i two = _mm512_inserti32x4(_mm512_castsi128_si512(lanes[0]), lanes[1], 1);
  return _mm512_inserti32x4(_mm512_inserti32x4(two, lanes[2], 2), lanes[3], 3);
}
static inline Ints repeat(__m128i lane) noexcept { return _mm512_broadcast_i32x4(lane); }
static inline Ints all_ints(int value) noexcept { return _mm512_set1_epi32(value); }
static inline Floats all_floats(float value) noexcept { return _mm512_set1_ps(value); }
static inline Ints pick_bytes(Ints from, Ints which) noexcept {
  return _mm512_shuffle_epi8(from, which);
}
static inline Ints first_int_of_lanes(Ints value) noexcept {
  return _mm512_shuffle_epi32(value, _MM_PERM_AAAA);
}
static inline Floats to_floats(Ints value) noexcept { return _mm512_cvtepi32_ps(value); }
// Every second float from the first or the second on.
static inline Floats even_floats(const float* from) noexcept {
  const Ints which = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  return _mm512_permutex2var_ps(_mm512_loadu_ps(from), which, _mm512_loadu_ps(from + 16));
}
static inline Floats odd_floats(const float* from) noexcept {
  const Ints which = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
  return _mm512_permutex2var_ps(_mm512_loadu_ps(from), which, _mm512_loadu_ps(from + 16));
}
// Clamped to [0, 1], NaN to 0; GCC makes masks of the comparisons that a loop would have.
static inline Floats load_floats(const float* from) noexcept { return _mm512_loadu_ps(from); }
static inline Floats clamp_to_unit(Floats value) noexcept {
  return _mm512_min_ps(_mm512_max_ps(value, _mm512_setzero_ps()), _mm512_set1_ps(1.0f));
}
static inline Ints truncate(Floats value) noexcept { return _mm512_cvttps_epi32(value); }
// The low bytes of all ints, which are 0..255.
static inline void store_bytes(Ints value, std::uint8_t* to) noexcept {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_cvtepi32_epi8(value));
}
// The three low bytes of every int, side by side.
static inline void store_triples(Ints value, std::uint8_t* to) noexcept {
  const Ints packed = _mm512_permutexvar_epi32(
      _mm512_setr_epi32(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 3, 7, 11, 15),
      pick_bytes(value, repeat(load_lane(kTriples))));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_castsi512_si256(packed));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to + 32), _mm512_extracti32x4_epi32(packed, 2));
}
static inline Ints add_ints(Ints a, Ints b) noexcept { return _mm512_add_epi32(a, b); }
static inline Ints subtract_ints(Ints a, Ints b) noexcept { return _mm512_sub_epi32(a, b); }
static inline Ints multiply_ints(Ints a, Ints b) noexcept { return _mm512_mullo_epi32(a, b); }
template <int kBits>
static inline Ints shift_left(Ints value) noexcept {
  return _mm512_slli_epi32(value, kBits);
}
template <int kBits>
static inline Ints shift_right(Ints value) noexcept {
  return _mm512_srai_epi32(value, kBits);
}
// Each int: the sum of the products of its two shorts.
static inline Ints multiply_add_pairs(Ints a, Ints b) noexcept { return _mm512_madd_epi16(a, b); }
// Each short: the sum of the products of its two bytes, those of a without sign; it must fit.
static inline Ints multiply_add_bytes(Ints a, Ints b) noexcept {
  return _mm512_maddubs_epi16(a, b);
}
static inline Ints pair_low(Ints a, Ints b) noexcept { return _mm512_unpacklo_epi16(a, b); }
static inline Ints pair_high(Ints a, Ints b) noexcept { return _mm512_unpackhi_epi16(a, b); }
// The inverse of pair_low and pair_high for ints that shorts can hold.
static inline Ints narrow(Ints low, Ints high) noexcept { return _mm512_packs_epi32(low, high); }
// All of the first, then all of the second.
static inline Ints narrow_in_order(Ints first, Ints second) noexcept {
  const Ints halves = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
  return _mm512_permutexvar_epi64(halves, narrow(first, second));
}
static inline Ints add_shorts(Ints a, Ints b) noexcept { return _mm512_add_epi16(a, b); }
// A register of shorts from bytes, and back clamped to 0..255.
static inline Ints load_shorts(const std::uint8_t* from) noexcept {
  return _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
}
static inline void store_shorts(Ints value, std::uint8_t* to) noexcept {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to),
                      _mm512_cvtusepi16_epi8(_mm512_max_epi16(value, _mm512_setzero_si512())));
}

#elif defined(__AVX2__)
typedef __m256i Ints;
typedef __m256 Floats;
constexpr int kLanes = 2;

static inline Ints load(const void* from) noexcept {
  return _mm256_loadu_si256(static_cast<const __m256i*>(from));
}
static inline void store(Ints value, void* to) noexcept {
  _mm256_storeu_si256(static_cast<__m256i*>(to), value);
}
static inline void store(Floats value, float* to) noexcept { _mm256_storeu_ps(to, value); }
static inline void stream(Floats value, float* to) noexcept { _mm256_stream_ps(to, value); }
static inline Ints join(const __m128i* lanes) noexcept {
  return _mm256_inserti128_si256(_mm256_castsi128_si256(lanes[0]), lanes[1], 1);
}
static inline Ints repeat(__m128i lane) noexcept { return _mm256_broadcastsi128_si256(lane); }
static inline Ints all_ints(int value) noexcept { return _mm256_set1_epi32(value); }
static inline Floats all_floats(float value) noexcept { return _mm256_set1_ps(value); }
static inline Ints pick_bytes(Ints from, Ints which) noexcept {
  return _mm256_shuffle_epi8(from, which);
}
static inline Ints first_int_of_lanes(Ints value) noexcept {
  return _mm256_shuffle_epi32(value, 0);
}
static inline Floats to_floats(Ints value) noexcept { return _mm256_cvtepi32_ps(value); }
template <int kWhich>
static inline Floats second_floats(const float* from) noexcept {
  const Floats lanes = _mm256_shuffle_ps(_mm256_loadu_ps(from), _mm256_loadu_ps(from + 8), kWhich);
  return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(lanes), 0xd8));
}
static inline Floats even_floats(const float* from) noexcept { return second_floats<0x88>(from); }
static inline Floats odd_floats(const float* from) noexcept { return second_floats<0xdd>(from); }
static inline Floats load_floats(const float* from) noexcept { return _mm256_loadu_ps(from); }
static inline Floats clamp_to_unit(Floats value) noexcept {
  return _mm256_min_ps(_mm256_max_ps(value, _mm256_setzero_ps()), _mm256_set1_ps(1.0f));
}
static inline Ints truncate(Floats value) noexcept { return _mm256_cvttps_epi32(value); }
static inline void store_bytes(Ints value, std::uint8_t* to) noexcept {
  const __m128i shorts =
      _mm_packus_epi32(_mm256_castsi256_si128(value), _mm256_extracti128_si256(value, 1));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(to), _mm_packus_epi16(shorts, shorts));
}
static inline void store_triples(Ints value, std::uint8_t* to) noexcept {
  const Ints packed = _mm256_permutevar8x32_epi32(pick_bytes(value, repeat(load_lane(kTriples))),
                                                  _mm256_setr_epi32(0, 1, 2, 4, 5, 6, 3, 7));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm256_castsi256_si128(packed));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(to + 16), _mm256_extracti128_si256(packed, 1));
}
static inline Ints add_ints(Ints a, Ints b) noexcept { return _mm256_add_epi32(a, b); }
static inline Ints subtract_ints(Ints a, Ints b) noexcept { return _mm256_sub_epi32(a, b); }
static inline Ints multiply_ints(Ints a, Ints b) noexcept { return _mm256_mullo_epi32(a, b); }
template <int kBits>
static inline Ints shift_left(Ints value) noexcept {
  return _mm256_slli_epi32(value, kBits);
}
template <int kBits>
static inline Ints shift_right(Ints value) noexcept {
  return _mm256_srai_epi32(value, kBits);
}
static inline Ints multiply_add_pairs(Ints a, Ints b) noexcept { return _mm256_madd_epi16(a, b); }
static inline Ints multiply_add_bytes(Ints a, Ints b) noexcept {
  return _mm256_maddubs_epi16(a, b);
}
static inline Ints pair_low(Ints a, Ints b) noexcept { return _mm256_unpacklo_epi16(a, b); }
static inline Ints pair_high(Ints a, Ints b) noexcept { return _mm256_unpackhi_epi16(a, b); }
static inline Ints narrow(Ints low, Ints high) noexcept { return _mm256_packs_epi32(low, high); }
static inline Ints narrow_in_order(Ints first, Ints second) noexcept {
  return _mm256_permute4x64_epi64(narrow(first, second), 0xd8);
}
static inline Ints add_shorts(Ints a, Ints b) noexcept { return _mm256_add_epi16(a, b); }
static inline Ints load_shorts(const std::uint8_t* from) noexcept {
  return _mm256_cvtepu8_epi16(load_lane(from));
}
static inline void store_shorts(Ints value, std::uint8_t* to) noexcept {
  const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi16(value, value), 0x08);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm256_castsi256_si128(packed));
}

#else
typedef __m128i Ints;
typedef __m128 Floats;
constexpr int kLanes = 1;

static inline Ints load(const void* from) noexcept { return load_lane(from); }
static inline void store(Ints value, void* to) noexcept {
  _mm_storeu_si128(static_cast<__m128i*>(to), value);
}
static inline void store(Floats value, float* to) noexcept { _mm_storeu_ps(to, value); }
static inline void stream(Floats value, float* to) noexcept { _mm_stream_ps(to, value); }
static inline Ints join(const __m128i* lanes) noexcept { return lanes[0]; }
static inline Ints repeat(__m128i lane) noexcept { return lane; }
static inline Ints all_ints(int value) noexcept { return _mm_set1_epi32(value); }
static inline Floats all_floats(float value) noexcept { return _mm_set1_ps(value); }
static inline Ints pick_bytes(Ints from, Ints which) noexcept {
  return _mm_shuffle_epi8(from, which);
}
static inline Ints first_int_of_lanes(Ints value) noexcept { return _mm_shuffle_epi32(value, 0); }
static inline Floats to_floats(Ints value) noexcept { return _mm_cvtepi32_ps(value); }
static inline Floats even_floats(const float* from) noexcept {
  return _mm_shuffle_ps(_mm_loadu_ps(from), _mm_loadu_ps(from + 4), 0x88);
}
static inline Floats odd_floats(const float* from) noexcept {
  return _mm_shuffle_ps(_mm_loadu_ps(from), _mm_loadu_ps(from + 4), 0xdd);
}
static inline Floats load_floats(const float* from) noexcept { return _mm_loadu_ps(from); }
static inline Floats clamp_to_unit(Floats value) noexcept {
  return _mm_min_ps(_mm_max_ps(value, _mm_setzero_ps()), _mm_set1_ps(1.0f));
}
static inline Ints truncate(Floats value) noexcept { return _mm_cvttps_epi32(value); }
static inline void store_bytes(Ints value, std::uint8_t* to) noexcept {
  const __m128i shorts = _mm_packus_epi32(value, value);
  const int four = _mm_cvtsi128_si32(_mm_packus_epi16(shorts, shorts));
  __builtin_memcpy(to, &four, sizeof four);
}
static inline void store_triples(Ints value, std::uint8_t* to) noexcept {
  const __m128i packed = pick_bytes(value, load_lane(kTriples));
  const int last = _mm_extract_epi32(packed, 2);
  _mm_storel_epi64(reinterpret_cast<__m128i*>(to), packed);
  __builtin_memcpy(to + 8, &last, sizeof last);
}
static inline Ints add_ints(Ints a, Ints b) noexcept { return _mm_add_epi32(a, b); }
static inline Ints subtract_ints(Ints a, Ints b) noexcept { return _mm_sub_epi32(a, b); }
static inline Ints multiply_ints(Ints a, Ints b) noexcept { return _mm_mullo_epi32(a, b); }
template <int kBits>
static inline Ints shift_left(Ints value) noexcept {
  return _mm_slli_epi32(value, kBits);
}
template <int kBits>
static inline Ints shift_right(Ints value) noexcept {
  return _mm_srai_epi32(value, kBits);
}
static inline Ints multiply_add_pairs(Ints a, Ints b) noexcept { return _mm_madd_epi16(a, b); }
static inline Ints multiply_add_bytes(Ints a, Ints b) noexcept { return _mm_maddubs_epi16(a, b); }
static inline Ints pair_low(Ints a, Ints b) noexcept { return _mm_unpacklo_epi16(a, b); }
static inline Ints pair_high(Ints a, Ints b) noexcept { return _mm_unpackhi_epi16(a, b); }
static inline Ints narrow(Ints low, Ints high) noexcept { return _mm_packs_epi32(low, high); }
static inline Ints narrow_in_order(Ints first, Ints second) noexcept {
  return narrow(first, second);
}
static inline Ints add_shorts(Ints a, Ints b) noexcept { return _mm_add_epi16(a, b); }
static inline Ints load_shorts(const std::uint8_t* from) noexcept {
  return _mm_cvtepu8_epi16(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from)));
}
static inline void store_shorts(Ints value, std::uint8_t* to) noexcept {
  _mm_storel_epi64(reinterpret_cast<__m128i*>(to), _mm_packus_epi16(value, value));
}
#endif

constexpr int kInts = 4 * kLanes;

// What to_steps of kernels/quantise.h does to one value in [0, 1].
static inline Ints whole_steps(Floats value, float steps) noexcept {
  return shift_right<1>(add_ints(truncate(value * all_floats(2.0f * steps)), all_ints(1)));
}

constexpr int kLineBytes = 64;

// How many elements come before the first that begins a cache line; -1 where none does.
template <typename T>
static inline int elements_to_line(const T* elements) noexcept {
  const auto bytes = static_cast<int>(-reinterpret_cast<std::uintptr_t>(elements) % kLineBytes);
  constexpr int size = sizeof(T);
  return bytes % size == 0 ? bytes / size : -1;
}

// Lane l from `from` + l * step bytes.
static inline Ints load_lanes(const void* from, std::ptrdiff_t step) noexcept {
  __m128i lanes[kLanes];
  for (int l = 0; l < kLanes; ++l) {
    lanes[l] = load_lane(static_cast<const unsigned char*>(from) + l * step);
  }
  return join(lanes);
}

}  // namespace
}  // namespace fastmatte::FASTMATTE_ISA
#endif
