// alpha_range: the check that float32 alpha holds nothing but values in [0, 1].
#pragma once

#include <cstdint>

#include "core/image_view.h"
#include "cpu/dispatch.h"

namespace fastmatte {

// Throws ArgumentError naming the first value outside [0, 1], NaN included.
void require_alpha(ImageView<const float> alpha, const char* name, int threads);

// Every uint8 is a valid alpha.
inline void require_alpha(ImageView<const std::uint8_t>, const char*, int) noexcept {}

// Sets *outside to whether any of the values lies outside [0, 1].
FASTMATTE_ROW(alpha_outside_row, (const float* alpha, int width, bool* outside))

static inline bool is_alpha(float value) noexcept { return value >= 0.0f && value <= 1.0f; }

}  // namespace fastmatte
