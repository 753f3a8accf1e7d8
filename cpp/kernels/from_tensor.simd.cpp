// One plain loop: the compiler knows the shuffles.
#include "kernels/from_tensor.h"

namespace fastmatte::FASTMATTE_ISA {

void join_row(const float* __restrict first, const float* __restrict second,
              const float* __restrict third, std::uint8_t* __restrict out, int width) noexcept {
  for (int x = 0; x < width; ++x) {
    out[3 * x] = level_of(first[x]);
    out[3 * x + 1] = level_of(second[x]);
    out[3 * x + 2] = level_of(third[x]);
  }
}

}  // namespace fastmatte::FASTMATTE_ISA
