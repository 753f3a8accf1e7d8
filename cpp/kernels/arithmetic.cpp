// Runs rows that stay in the first cache; copies any number of them.
#include "kernels/arithmetic.h"

#include <cstring>

#include "core/buffer.h"
#include "core/parallel.h"
#include "core/require.h"

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

void copy(ImageView<const std::uint8_t> source, ImageView<std::uint8_t> out, int threads) {
  require_same_size(source, "source", ImageView<const std::uint8_t>(out), "out");
  require_apart(out, source, "source");
  const int workers = Bands(source.width, 1, threads).workers;
  const Bands shares(source.width, (source.width + workers - 1) / workers, threads);
  parallel_rows(shares, [&](int, int begin, int end) noexcept {
    for (int y = 0; y < source.height; ++y) {
      std::memcpy(out.row(y) + begin, source.row(y) + begin, static_cast<std::size_t>(end - begin));
    }
  });
}

}  // namespace fastmatte
