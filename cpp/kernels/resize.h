// resize: an image or alpha at another size.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/image_view.h"
#include "cpu/dispatch.h"
#include "kernels/resample.h"

namespace fastmatte {

// Fills out, whose size says what to make, from image; T is uint8_t or float, of 1, 3 or 4 channels
// each treated alike. uint8 weights are integers (resample.h) and the result is rounded half up and
// clamped to 0..255; float results are not clipped. out and image must not overlap.
template <typename T>
void resize(ImageView<const T> image, ImageView<T> out, Filter filter, int threads);

// [0, 1] to 0..255, rounded half up after one float32 product as each row is made; values outside
// are clamped, NaN becomes 0.
void resize(ImageView<const float> image, ImageView<std::uint8_t> out, Filter filter, int threads);

// out[x] = the pixel of pixel_bytes (1, 3, 4, 12 or 16) at source[x] of row.
FASTMATTE_ROW(pick_pixels_row, (const unsigned char* row, const int* source, int pixel_bytes,
                                unsigned char* out, int width))

// out[x] = the mean, rounded half up, of the four pixels at 2 x and 2 x + 1 of both rows.
FASTMATTE_ROW(halve_row, (const std::uint8_t* top, const std::uint8_t* bottom, int channels,
                          std::uint8_t* out, int width))

FASTMATTE_ROW(clamp_to_levels_row, (const float* row, std::uint8_t* out, int elements))

}  // namespace fastmatte
