// Counting instead of leaving at the first bad value keeps the loop free of branches.
#include "kernels/alpha_range.h"

namespace fastmatte::FASTMATTE_ISA {

void alpha_outside_row(const float* alpha, int width, bool* outside) noexcept {
  int count = 0;
  for (int x = 0; x < width; ++x) count += is_alpha(alpha[x]) ? 0 : 1;
  *outside = count != 0;
}

void clamp_alpha_row(float* alpha, int width, bool* outside) noexcept {
  int count = 0;
  for (int x = 0; x < width; ++x) {
    const float value = alpha[x];
    const bool near = is_nearly_alpha(value);
    count += near ? 0 : 1;
    const float low = value < 0.0f ? 0.0f : value;
    const float clamped = low > 1.0f ? 1.0f : low;
    alpha[x] = near ? clamped : value;
  }
  *outside = count != 0;
}

}  // namespace fastmatte::FASTMATTE_ISA
