// The limit, and the fence that x86 needs.
#include "core/stores.h"

#include <atomic>

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif

namespace fastmatte {
namespace {

std::atomic<std::size_t> most_cached_bytes{kMostCachedBytes};

}  // namespace

Stores stores_for_bytes(std::size_t bytes) noexcept {
  return bytes > most_cached_bytes.load(std::memory_order_relaxed) ? Stores::streamed
                                                                   : Stores::cached;
}

std::size_t limit_cached_bytes(std::size_t bytes) noexcept {
  return most_cached_bytes.exchange(bytes, std::memory_order_relaxed);
}

void finish([[maybe_unused]] Stores stores) noexcept {
#if defined(__x86_64__) || defined(_M_X64)
  if (stores == Stores::streamed) _mm_sfence();
#endif
}

}  // namespace fastmatte
