// What .simd.cpp files need beyond plain loops on every architecture: words in bytes, and shuffles
// by the compiler's own vectors. simd/vec.h has what only x86 registers can say.
#pragma once

#include <cstdint>

namespace fastmatte::FASTMATTE_ISA {
namespace {

// Four bytes as one word, the first lowest, at any address.
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);
static inline std::uint32_t load_word(const std::uint8_t* bytes) noexcept {
  std::uint32_t word;
  __builtin_memcpy(&word, bytes, sizeof word);
  return word;
}
static inline void store_word(std::uint8_t* bytes, std::uint32_t word) noexcept {
  __builtin_memcpy(bytes, &word, sizeof word);
}

// Before a loop that may work in place: no iteration reads what another one writes.
#if defined(__clang__)
#define FASTMATTE_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define FASTMATTE_INDEPENDENT _Pragma("GCC ivdep")
#endif

template <typename T, int count>
using Vec __attribute__((vector_size(sizeof(T) * count))) = T;

// FASTMATTE_SHUFFLE(first, second, Mask, lanes...): lanes of second count on from those of first.
#if defined(__clang__)
#define FASTMATTE_SHUFFLE(first, second, Mask, ...) \
  __builtin_shufflevector(first, second, __VA_ARGS__)
#else
#define FASTMATTE_SHUFFLE(first, second, Mask, ...) \
  __builtin_shuffle(first, second, Mask{__VA_ARGS__})
#endif

// Baseline x86-64 has no general shuffle, only such as interleave; plain loops serve it better.
#if defined(__SSSE3__) || defined(__aarch64__)
#define FASTMATTE_SHUFFLES 1
#endif

}  // namespace
}  // namespace fastmatte::FASTMATTE_ISA
