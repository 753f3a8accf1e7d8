// Hands rows of the three planes to the active ISA, in the order of the image's channels.
#include "kernels/from_tensor.h"

#include "core/parallel.h"
#include "core/require.h"

namespace fastmatte {

void from_tensor(TensorView<const float> tensor, ImageView<std::uint8_t> out, ChannelOrder order,
                 int threads) {
  require_apart(out, tensor.memory(), "tensor");
  const auto row = active_join_row();
  const int first = order == ChannelOrder::rgb ? 0 : 2;
  parallel_rows(Bands(out.height, rows_per_band(out.width), threads),
                [&](int, int begin, int end) noexcept {
                  for (int y = begin; y < end; ++y) {
                    row(tensor.plane_row(first, y), tensor.plane_row(1, y),
                        tensor.plane_row(2 - first, y), out.row(y), out.width);
                  }
                });
}

}  // namespace fastmatte
