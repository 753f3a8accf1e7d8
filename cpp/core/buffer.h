// Buffer: aligned scratch memory that is recycled, so that a steady state asks the system for none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

namespace fastmatte {

// One cache line, and the widest vector of any ISA.
constexpr std::size_t kAlignment = 64;

struct Block {
  void* data = nullptr;
  std::size_t bytes = 0;
};

// Blocks come from and go back to one process-wide store of at most kMaxStoredBytes: memory of this
// size fresh from the system costs a page fault every 4 KiB, more than most kernels' arithmetic.
Block acquire_block(std::size_t bytes);
void release_block(Block block) noexcept;

// How often the store had to ask the system so far.
std::uint64_t system_allocations() noexcept;

// The most bytes that Buffers held at one time since this was last asked. A recycled block counts
// whole: release the stored ones first to learn what a kernel needs.
std::size_t take_peak_bytes() noexcept;

// Gives the store's blocks back to the system.
void release_stored_blocks() noexcept;

// Owns count elements, uninitialised.
template <typename T>
class Buffer {
  static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>);

 public:
  Buffer() = default;
  explicit Buffer(std::size_t count) : block_(acquire_block(count * sizeof(T))) {}
  Buffer(Buffer&& other) noexcept : block_(std::exchange(other.block_, {})) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(block_, other.block_);
    return *this;
  }
  ~Buffer() {
    if (block_.data) release_block(block_);
  }

  T* data() const noexcept { return static_cast<T*>(block_.data); }
  T& operator[](std::size_t index) const noexcept { return data()[index]; }

 private:
  Block block_;
};

// Elements rounded up so that consecutive runs of them each start aligned.
template <typename T>
constexpr std::size_t aligned_count(std::size_t count) noexcept {
  static_assert(kAlignment % sizeof(T) == 0 || sizeof(T) % kAlignment == 0);
  constexpr std::size_t step = sizeof(T) < kAlignment ? kAlignment / sizeof(T) : 1;
  return (count + step - 1) / step * step;
}

// One Buffer cut into a run of count elements for each worker of a parallel_rows.
template <typename T>
class Slices {
 public:
  Slices() = default;
  Slices(int workers, std::size_t count)
      : stride_(aligned_count<T>(count)), buffer_(static_cast<std::size_t>(workers) * stride_) {}

  T* operator[](int worker) const noexcept {
    return buffer_.data() + static_cast<std::size_t>(worker) * stride_;
  }

 private:
  std::size_t stride_ = 0;
  Buffer<T> buffer_;
};

}  // namespace fastmatte
