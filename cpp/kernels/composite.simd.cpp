// Plain loops: compiled per ISA they vectorise well enough to be bound by memory on AVX2 and up.
#include "kernels/composite.h"

namespace fastmatte::FASTMATTE_ISA {

void composite_row_u8(const std::uint8_t* foreground, const std::uint8_t* background,
                      const std::uint8_t* alpha, std::uint8_t* out, int width) noexcept {
  for (int x = 0; x < width; ++x) {
    for (int c = 0; c < 3; ++c) {
      out[3 * x + c] = blend_255ths(foreground[3 * x + c], background[3 * x + c], alpha[x]);
    }
  }
}

void composite_row_f32(const std::uint8_t* foreground, const std::uint8_t* background,
                       const float* alpha, std::uint8_t* out, int width) noexcept {
  for (int x = 0; x < width; ++x) {
    const unsigned a = to_steps(alpha[x], 65536.0f);
    for (int c = 0; c < 3; ++c) {
      out[3 * x + c] = blend_65536ths(foreground[3 * x + c], background[3 * x + c], a);
    }
  }
}

void cutout_row_u8(const std::uint8_t* foreground, const std::uint8_t* alpha, std::uint8_t* out,
                   int width) noexcept {
  for (int x = 0; x < width; ++x) {
    const std::uint8_t a = alpha[x];
    for (int c = 0; c < 3; ++c) out[4 * x + c] = a == 0 ? std::uint8_t{0} : foreground[3 * x + c];
    out[4 * x + 3] = a;
  }
}

void cutout_row_f32(const std::uint8_t* foreground, const float* alpha, std::uint8_t* out,
                    int width) noexcept {
  for (int x = 0; x < width; ++x) {
    const auto a = static_cast<std::uint8_t>(to_steps(alpha[x], 255.0f));
    for (int c = 0; c < 3; ++c) out[4 * x + c] = a == 0 ? std::uint8_t{0} : foreground[3 * x + c];
    out[4 * x + 3] = a;
  }
}

void premultiply_row(const std::uint8_t* rgba, std::uint8_t* out, int width) noexcept {
  for (int x = 0; x < width; ++x) {
    const unsigned a = rgba[4 * x + 3];
    for (int c = 0; c < 3; ++c) {
      out[4 * x + c] = static_cast<std::uint8_t>(divide_by_255(rgba[4 * x + c] * a));
    }
    out[4 * x + 3] = static_cast<std::uint8_t>(a);
  }
}

void unpremultiply_row(const std::uint8_t* rgba, std::uint8_t* out, int width) noexcept {
  for (int x = 0; x < width; ++x) {
    const unsigned a = rgba[4 * x + 3];
    for (int c = 0; c < 3; ++c) out[4 * x + c] = divide_by_alpha(rgba[4 * x + c], a);
    out[4 * x + 3] = static_cast<std::uint8_t>(a);
  }
}

}  // namespace fastmatte::FASTMATTE_ISA
