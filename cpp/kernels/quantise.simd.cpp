// A plain loop is bound by memory.
#include "kernels/quantise.h"

namespace fastmatte::FASTMATTE_ISA {

void quantise_row(const float* alpha, std::uint8_t* out, int width) noexcept {
  for (int x = 0; x < width; ++x) out[x] = static_cast<std::uint8_t>(to_steps(alpha[x], 255.0f));
}

}  // namespace fastmatte::FASTMATTE_ISA
