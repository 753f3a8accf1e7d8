// quantise: float32 alpha as counts of equal steps.
#pragma once

#include <cstdint>

#include "core/buffer.h"
#include "core/everywhere.h"
#include "core/image_view.h"
#include "cpu/dispatch.h"

namespace fastmatte {

// (H, W) alpha in [0, 1] to 255ths, rounded half up.
void quantise(ImageView<const float> alpha, ImageView<std::uint8_t> out, int threads);

// Alpha in 255ths for a kernel whose windows read it many times: a view of alpha itself, or of the
// plane it was rounded into.
struct AlphaBytes {
  Buffer<std::uint8_t> plane;
  ImageView<const std::uint8_t> view;
};

// Throws, naming the argument, where float32 alpha leaves [0, 1].
AlphaBytes alpha_bytes(ImageView<const float> alpha, const char* name, int threads);

inline AlphaBytes alpha_bytes(ImageView<const std::uint8_t> alpha, const char*, int) noexcept {
  return {{}, alpha};
}

FASTMATTE_ROW(quantise_row, (const float* alpha, std::uint8_t* out, int width))

// alpha in [0, 1] times steps, rounded half up: half of one more than the half steps below it, of
// which there are exactly twice as many. Adding 0.5 before truncating would round twice:
// 0.49999997f + 0.5f is 1.
static FASTMATTE_EVERYWHERE inline unsigned to_steps(float alpha, float steps) noexcept {
  return static_cast<unsigned>(static_cast<int>(alpha * (2.0f * steps)) + 1) >> 1;
}

}  // namespace fastmatte
