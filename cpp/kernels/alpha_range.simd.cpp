// Counting instead of leaving at the first bad value keeps the loop free of branches.
#include "kernels/alpha_range.h"

namespace fastmatte::FASTMATTE_ISA {

void alpha_outside_row(const float* alpha, int width, bool* outside) noexcept {
  int count = 0;
  for (int x = 0; x < width; ++x) count += is_alpha(alpha[x]) ? 0 : 1;
  *outside = count != 0;
}

}  // namespace fastmatte::FASTMATTE_ISA
