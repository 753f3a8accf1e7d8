// Stores: whether a result goes into the caches or past them.
#pragma once

#include <cstddef>

#include "core/image_view.h"

namespace fastmatte {

// Streamed stores write whole cache lines to memory; others first read the lines that they are
// about to write. The bytes are the same, and instruction sets without such stores write all
// results alike.
enum class Stores { cached, streamed };

// The largest result that is stored into the caches. Of a larger one the beginning is no longer in
// the 32 MB that the cores of most servers and desktops share when its end is written, so that
// whoever reads it next reads memory anyway. The float32 tensor of a 1080p frame fits.
//
// Only kernels that write more than they read stream. Where reading takes the longer, streamed
// stores gain nothing (composite, unpremultiply), lose (cutout), or lose at the next reader what
// they gained (premultiply).
constexpr std::size_t kMostCachedBytes = std::size_t{24} << 20;

Stores stores_for_bytes(std::size_t bytes) noexcept;

template <typename T>
Stores stores_for(ImageView<T> out) noexcept {
  return stores_for_bytes(static_cast<std::size_t>(out.row_elements()) * sizeof(T) *
                          static_cast<std::size_t>(out.height));
}

// For tests, whose images are small: sets the limit, and returns what it was.
std::size_t limit_cached_bytes(std::size_t bytes) noexcept;

// To be called on the thread that stored, before another may read: nothing else orders streamed
// stores with what follows them.
void finish(Stores stores) noexcept;

}  // namespace fastmatte
