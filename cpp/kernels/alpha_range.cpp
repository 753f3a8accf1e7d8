// One pass over alpha before any output is written, so that a refused call changes nothing.
#include "kernels/alpha_range.h"

#include <atomic>
#include <string>

#include "core/error.h"
#include "core/parallel.h"

namespace fastmatte {

void require_alpha(ImageView<const float> alpha, const char* name, int threads) {
  const auto row = active_alpha_outside_row();
  std::atomic<bool> any{false};
  parallel_rows(Bands(alpha.height, rows_per_band(alpha.width), threads),
                [&](int, int begin, int end) noexcept {
                  bool outside = false;
                  for (int y = begin; y < end && !outside; ++y) {
                    row(alpha.row(y), alpha.width, &outside);
                  }
                  if (outside) any.store(true, std::memory_order_relaxed);
                });
  if (!any) return;
  for (int y = 0; y < alpha.height; ++y) {
    for (int x = 0; x < alpha.width; ++x) {
      if (is_alpha(alpha.row(y)[x])) continue;
      throw ArgumentError(name, "values in [0, 1]",
                          std::to_string(alpha.row(y)[x]) + " at row " + std::to_string(y) +
                              ", column " + std::to_string(x));
    }
  }
}

}  // namespace fastmatte
