// The check is one pass over alpha before any output is written, so that a refused call changes
// nothing.
#include "kernels/alpha_range.h"

#include <atomic>
#include <string>

#include "core/error.h"
#include "core/parallel.h"

namespace fastmatte {

namespace {

// Runs a row kernel over all of alpha and says whether any row had something outside.
template <typename Value>
bool any_outside(ImageView<Value> alpha, int threads, void (*row)(Value*, int, bool*) noexcept) {
  std::atomic<bool> any{false};
  parallel_rows(Bands(alpha.height, rows_per_band(alpha.width), threads),
                [&](int, int begin, int end) noexcept {
                  bool outside = false;
                  for (int y = begin; y < end && !outside; ++y) {
                    row(alpha.row(y), alpha.width, &outside);
                  }
                  if (outside) any.store(true, std::memory_order_relaxed);
                });
  return any;
}

[[noreturn]] void refuse(float value, int y, int x, const char* name) {
  throw ArgumentError(
      name, "values in [0, 1]",
      std::to_string(value) + " at row " + std::to_string(y) + ", column " + std::to_string(x));
}

}  // namespace

void clamp_alpha(ImageView<float> alpha, const char* name, int threads) {
  if (!any_outside(alpha, threads, active_clamp_alpha_row())) return;
  for (int y = 0; y < alpha.height; ++y) {
    for (int x = 0; x < alpha.width; ++x) {
      if (!is_nearly_alpha(alpha.row(y)[x])) refuse(alpha.row(y)[x], y, x, name);
    }
  }
}

void require_alpha(ImageView<const float> alpha, const char* name, int threads) {
  if (!any_outside(alpha, threads, active_alpha_outside_row())) return;
  for (int y = 0; y < alpha.height; ++y) {
    for (int x = 0; x < alpha.width; ++x) {
      if (!is_alpha(alpha.row(y)[x])) refuse(alpha.row(y)[x], y, x, name);
    }
  }
}

}  // namespace fastmatte
