// alpha_range: that float32 alpha holds nothing but values in [0, 1], checked or made so.
#pragma once

#include <cstdint>

#include "core/everywhere.h"
#include "core/image_view.h"
#include "cpu/dispatch.h"

namespace fastmatte {

// Throws ArgumentError naming the first value outside [0, 1], NaN included.
void require_alpha(ImageView<const float> alpha, const char* name, int threads);

// Every uint8 is a valid alpha.
inline void require_alpha(ImageView<const std::uint8_t>, const char*, int) noexcept {}

// Clamps to [0, 1] what lies outside by no more than kAlphaRounding. Throws ArgumentError naming
// the first value that lies further outside, NaN included, and leaves such values as they are.
void clamp_alpha(ImageView<float> alpha, const char* name, int threads);

// Engines compute a sigmoid by rational functions that reach a little beyond 1, a softmax by sums
// that do, float16 graphs by more: a quarter of a level of 255.
constexpr float kAlphaRounding = 1e-3f;

// Sets *outside to whether any of the values lies outside [0, 1].
FASTMATTE_ROW(alpha_outside_row, (const float* alpha, int width, bool* outside))

// Clamps what is near enough, and sets *outside to whether any value is not.
FASTMATTE_ROW(clamp_alpha_row, (float* alpha, int width, bool* outside))

static inline bool is_alpha(float value) noexcept { return value >= 0.0f && value <= 1.0f; }
static FASTMATTE_EVERYWHERE inline bool is_nearly_alpha(float value) noexcept {
  return value >= -kAlphaRounding && value <= 1.0f + kAlphaRounding;
}

}  // namespace fastmatte
