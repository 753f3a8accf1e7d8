// from_tensor: the colours a network made, as an image.
#pragma once

#include <cstdint>

#include "core/everywhere.h"
#include "core/image_view.h"
#include "core/tensor_view.h"
#include "cpu/dispatch.h"
#include "kernels/quantise.h"
#include "kernels/to_tensor.h"

namespace fastmatte {

// Fills the (H, W, 3) out, in the given order, from three nchw planes R, G, B of its size: [0, 1]
// to 0..255, rounded half up after one float32 product. Networks leave [0, 1] by their own
// rounding, so values outside are clamped; NaN becomes 0. out and tensor must not overlap.
void from_tensor(TensorView<const float> tensor, ImageView<std::uint8_t> out, ChannelOrder order,
                 int threads);

// out[3 x + c] = plane c [x].
FASTMATTE_ROW(join_row, (const float* first, const float* second, const float* third,
                         std::uint8_t* out, int width))

static FASTMATTE_EVERYWHERE inline std::uint8_t level_of(float value) noexcept {
  // The first comparison is false for NaN too.
  const float unit = value > 0.0f ? (value < 1.0f ? value : 1.0f) : 0.0f;
  return static_cast<std::uint8_t>(to_steps(unit, 255.0f));
}

}  // namespace fastmatte
