// Runs of adjacent elements between memory and registers, 16 bytes at a time where they lie so.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/everywhere.h"
#include "core/half.h"
#include "cuda/launch.h"

#if defined(__CUDACC__)
#include <cuda_fp16.h>
#endif

namespace fastmatte::cuda {

struct alignas(16) Word {
  std::uint32_t parts[4];
};

template <typename T, int kCount>
struct alignas(16) Run {
  static_assert(kCount * sizeof(T) % sizeof(Word) == 0);
  static constexpr int kWords = static_cast<int>(kCount * sizeof(T) / sizeof(Word));
  T at[kCount];
};

FASTMATTE_EVERYWHERE inline bool is_aligned(const void* address) noexcept {
  return reinterpret_cast<std::uintptr_t>(address) % sizeof(Word) == 0;
}

// Moves whole words; both addresses are aligned.
template <int kWords>
FASTMATTE_EVERYWHERE inline void move_words(const void* from, void* to) noexcept {
#if defined(__CUDA_ARCH__)
  FASTMATTE_UNROLL
  for (int i = 0; i < kWords; ++i) static_cast<Word*>(to)[i] = static_cast<const Word*>(from)[i];
#else
  __builtin_memcpy(to, from, kWords * sizeof(Word));
#endif
}

// The first count elements; the others keep their values.
template <typename T, int kCount>
FASTMATTE_EVERYWHERE inline void load(const T* from, int count, Run<T, kCount>& run) noexcept {
  if (count == kCount && is_aligned(from)) {
    return move_words<Run<T, kCount>::kWords>(from, run.at);
  }
  FASTMATTE_UNROLL
  for (int i = 0; i < kCount; ++i) {
    if (i < count) run.at[i] = from[i];
  }
}

template <typename T, int kCount>
FASTMATTE_EVERYWHERE inline void store(const Run<T, kCount>& run, int count, T* to) noexcept {
  if (count == kCount && is_aligned(to)) return move_words<Run<T, kCount>::kWords>(run.at, to);
  FASTMATTE_UNROLL
  for (int i = 0; i < kCount; ++i) {
    if (i < count) to[i] = run.at[i];
  }
}

// Nobody can look at alpha on its way through a GPU without waiting for it, so that what lies
// outside [0, 1] is clamped there, NaN to 0.
FASTMATTE_EVERYWHERE inline float unit(float alpha) noexcept {
  const float positive = alpha > 0.0f ? alpha : 0.0f;
  return positive < 1.0f ? positive : 1.0f;
}

// To nearest, ties to even.
FASTMATTE_EVERYWHERE inline void convert(float value, float& out) noexcept { out = value; }
FASTMATTE_EVERYWHERE inline void convert(float value, Half& out) noexcept {
#if defined(__CUDA_ARCH__)
  out.bits = __half_as_ushort(__float2half_rn(value));
#else
  out = to_half(value);
#endif
}
FASTMATTE_EVERYWHERE inline float widen(float value) noexcept { return value; }
FASTMATTE_EVERYWHERE inline float widen(Half value) noexcept {
#if defined(__CUDA_ARCH__)
  return __half2float(__ushort_as_half(value.bits));
#else
  // A half's significand and exponent in a float's places are 2^-112 of its value.
  const std::uint32_t magnitude = static_cast<std::uint32_t>(value.bits & 0x7fff) << 13;
  float scaled;
  __builtin_memcpy(&scaled, &magnitude, sizeof scaled);
  scaled *= 0x1p112f;
  return (value.bits & 0x8000) != 0 ? -scaled : scaled;
#endif
}

}  // namespace fastmatte::cuda
