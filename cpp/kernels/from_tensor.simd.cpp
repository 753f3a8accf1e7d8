// Levels of three planes are put together as words, of which three bytes are stored: half the time
// of a plain loop, whose stores the compiler takes apart.
#include "kernels/from_tensor.h"

#include "simd/vec.h"

namespace fastmatte::FASTMATTE_ISA {

void join_row(const float* __restrict first, const float* __restrict second,
              const float* __restrict third, std::uint8_t* __restrict out, int width) noexcept {
  int x = 0;
#if defined(FASTMATTE_VEC)
  const auto levels = [](const float* plane) {
    return whole_steps(clamp_to_unit(load_floats(plane)), 255.0f);
  };
  for (; x + kInts <= width; x += kInts) {
    const Ints two = add_ints(levels(first + x), shift_left<8>(levels(second + x)));
    store_triples(add_ints(two, shift_left<16>(levels(third + x))), out + 3 * x);
  }
#endif
  for (; x < width; ++x) {
    out[3 * x] = level_of(first[x]);
    out[3 * x + 1] = level_of(second[x]);
    out[3 * x + 2] = level_of(third[x]);
  }
}

}  // namespace fastmatte::FASTMATTE_ISA
