// Copies of a size the compiler knows.
#include "kernels/resize.h"

namespace fastmatte::FASTMATTE_ISA {
namespace {

template <int kBytes>
static inline void pick(const unsigned char* __restrict row, const int* source,
                        unsigned char* __restrict out, int width) noexcept {
  for (std::ptrdiff_t x = 0; x < width; ++x) {
    __builtin_memcpy(out + x * kBytes, row + std::ptrdiff_t{source[x]} * kBytes, kBytes);
  }
}

}  // namespace

void pick_pixels_row(const unsigned char* row, const int* source, int pixel_bytes,
                     unsigned char* out, int width) noexcept {
  switch (pixel_bytes) {
    case 1:
      return pick<1>(row, source, out, width);
    case 3:
      return pick<3>(row, source, out, width);
    case 4:
      return pick<4>(row, source, out, width);
    case 12:
      return pick<12>(row, source, out, width);
    default:
      return pick<16>(row, source, out, width);
  }
}

}  // namespace fastmatte::FASTMATTE_ISA
