// The store behind Buffer: a short list of free blocks, best fit, oldest out.
#include "core/buffer.h"

#include <atomic>
#include <mutex>
#include <new>
#include <vector>

#include "core/immortal.h"

namespace fastmatte {
namespace {

// Enough for every plane of one 4K frame several times over.
constexpr std::size_t kMaxStoredBytes = std::size_t{256} << 20;
constexpr std::size_t kMaxStoredBlocks = 64;

std::atomic<std::uint64_t> allocations{0};
std::atomic<std::size_t> held_bytes{0};
std::atomic<std::size_t> peak_bytes{0};

Block held(Block block) noexcept {
  const std::size_t now =
      held_bytes.fetch_add(block.bytes, std::memory_order_relaxed) + block.bytes;
  std::size_t peak = peak_bytes.load(std::memory_order_relaxed);
  while (peak < now && !peak_bytes.compare_exchange_weak(peak, now, std::memory_order_relaxed)) {
  }
  return block;
}

void free_block(Block block) noexcept {
  ::operator delete(block.data, std::align_val_t{kAlignment});
}

struct Store {
  Store() { blocks.reserve(kMaxStoredBlocks + 1); }

  std::mutex mutex;
  std::vector<Block> blocks;  // oldest first
  std::size_t bytes = 0;
};

}  // namespace

Block acquire_block(std::size_t bytes) {
  bytes = aligned_count<std::byte>(bytes == 0 ? 1 : bytes);
  {
    Store& store = Immortal<Store>::get();
    const std::lock_guard lock(store.mutex);
    auto best = store.blocks.end();
    for (auto it = store.blocks.begin(); it != store.blocks.end(); ++it) {
      // A block more than twice as large would be held back from whoever needs it.
      if (it->bytes < bytes || it->bytes / 2 > bytes) continue;
      if (best == store.blocks.end() || it->bytes < best->bytes) best = it;
    }
    if (best != store.blocks.end()) {
      const Block block = *best;
      store.blocks.erase(best);
      store.bytes -= block.bytes;
      return held(block);
    }
  }
  allocations.fetch_add(1, std::memory_order_relaxed);
  return held({::operator new(bytes, std::align_val_t{kAlignment}), bytes});
}

void release_block(Block block) noexcept {
  held_bytes.fetch_sub(block.bytes, std::memory_order_relaxed);
  if (block.bytes > kMaxStoredBytes) return free_block(block);
  Store& store = Immortal<Store>::get();
  const std::lock_guard lock(store.mutex);
  store.blocks.push_back(block);
  store.bytes += block.bytes;
  while (store.bytes > kMaxStoredBytes || store.blocks.size() > kMaxStoredBlocks) {
    store.bytes -= store.blocks.front().bytes;
    free_block(store.blocks.front());
    store.blocks.erase(store.blocks.begin());
  }
}

std::uint64_t system_allocations() noexcept { return allocations.load(std::memory_order_relaxed); }

std::size_t take_peak_bytes() noexcept {
  return peak_bytes.exchange(held_bytes.load(std::memory_order_relaxed), std::memory_order_relaxed);
}

void release_stored_blocks() noexcept {
  Store& store = Immortal<Store>::get();
  const std::lock_guard lock(store.mutex);
  for (const Block block : store.blocks) free_block(block);
  store.blocks.clear();
  store.bytes = 0;
}

}  // namespace fastmatte
