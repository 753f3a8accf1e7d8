// One product and one comparison per value: a plain loop is bound by memory.
#include "kernels/quantise_alpha.h"

namespace fastmatte::FASTMATTE_ISA {

void quantise_alpha_row(const float* alpha, std::uint8_t* out, int width) noexcept {
  for (int x = 0; x < width; ++x) out[x] = static_cast<std::uint8_t>(quantise(alpha[x], 255.0f));
}

}  // namespace fastmatte::FASTMATTE_ISA
