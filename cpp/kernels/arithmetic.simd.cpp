// Plain loops, as kernels are: the rate is that of the code this compiler makes for this ISA.
#include "kernels/arithmetic.h"

namespace fastmatte::FASTMATTE_ISA {

void horner_row(float* values, int count) noexcept {
  for (int i = 0; i < count; ++i) {
    // Maps [0, 1] into itself, far from infinities and subnormals.
    float sum = 0.1f;
    for (int step = 0; step < kHornerSteps; ++step) sum = sum * values[i] + 0.15f;
    values[i] = sum;
  }
}

}  // namespace fastmatte::FASTMATTE_ISA
