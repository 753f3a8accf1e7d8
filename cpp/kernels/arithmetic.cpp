// Runs rows that stay in the first cache.
#include "kernels/arithmetic.h"

#include "core/buffer.h"

namespace fastmatte {
namespace {

constexpr int kValues = 2048;  // 8 KiB, a quarter of the smallest first cache

}  // namespace

std::int64_t calculate(int rounds) {
  const Buffer<float> values(kValues);
  for (int i = 0; i < kValues; ++i) values[static_cast<std::size_t>(i)] = 0.5f;
  const auto row = active_horner_row();
  for (int i = 0; i < rounds; ++i) row(values.data(), kValues);
  return std::int64_t{2} * kHornerSteps * kValues * rounds;
}

}  // namespace fastmatte
