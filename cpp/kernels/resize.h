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

// out[x] = the pixel of pixel_bytes (1, 3, 4, 12 or 16) at source[x] of row.
FASTMATTE_ROW(pick_pixels_row, (const unsigned char* row, const int* source, int pixel_bytes,
                                unsigned char* out, int width))

}  // namespace fastmatte
