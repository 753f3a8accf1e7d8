// Half: an IEEE 754 binary16, as networks of that precision take it.
#pragma once

#include <cstdint>

namespace fastmatte {

struct Half {
  std::uint16_t bits;
};

// Integer but for one addition: from 2^-14 down, halves are multiples of 2^-24, which is what float
// keeps of a number beside 1/2; its own rounding is then the one wanted.
static inline Half to_half(float value) noexcept {
  std::uint32_t bits;
  __builtin_memcpy(&bits, &value, sizeof bits);
  const std::uint32_t magnitude = bits & 0x7fffffffu;
  float shifted;
  __builtin_memcpy(&shifted, &magnitude, sizeof shifted);
  shifted += 0.5f;
  std::uint32_t small;
  __builtin_memcpy(&small, &shifted, sizeof small);
  small -= 0x3f000000u;
  // The exponent's bias goes from 127 to 15; 13 bits go, rounding to nearest, ties to even.
  const std::uint32_t rounded = (magnitude + 0xfffu + (magnitude >> 13 & 1u) - (112u << 23)) >> 13;
  const std::uint32_t normal = rounded < 0x7c00u ? rounded : 0x7c00u;
  const std::uint32_t half = magnitude < 0x38800000u ? small : normal;
  return {static_cast<std::uint16_t>((bits >> 16 & 0x8000u) | half)};
}

}  // namespace fastmatte
