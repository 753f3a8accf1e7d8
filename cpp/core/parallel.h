// parallel_rows: the rows of an image shared out among a persistent pool of threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace fastmatte {

// The processors this process may run on.
int default_threads() noexcept;

// Rows that make a unit of work worth handing to another thread (about 16 µs of the fastest
// kernel). It depends on the width alone, so that a result cannot depend on the thread count.
inline int rows_per_band(int width) noexcept { return std::max(1, 65536 / std::max(1, width)); }

namespace detail {
// Calls run(context, worker) for worker 0 on this thread and for 1 .. threads - 1 on whichever pool
// threads are free before it returns; a worker that none was free for is not called.
void run_on_pool(int threads, void (*run)(void* context, int worker), void* context);

// Bands in a row that are still to do, from the first on or from the last on. On a cache line of
// its own.
class alignas(64) Section {
 public:
  void set(int first, int end) noexcept {
    rest_.store(packed(first, end), std::memory_order_relaxed);
  }
  // Returns a band that nobody else gets, or -1.
  int take_first() noexcept {
    return take([](int& first, int&) noexcept { return first++; });
  }
  int take_last() noexcept {
    return take([](int&, int& end) noexcept { return --end; });
  }

 private:
  static std::uint64_t packed(int first, int end) noexcept {
    return std::uint64_t{static_cast<std::uint32_t>(end)} << 32 | static_cast<std::uint32_t>(first);
  }
  template <typename Take>
  int take(const Take& one) noexcept {
    std::uint64_t rest = rest_.load(std::memory_order_relaxed);
    for (;;) {
      int first = static_cast<int>(rest & 0xffffffffu), end = static_cast<int>(rest >> 32);
      if (first >= end) return -1;
      const int band = one(first, end);
      if (rest_.compare_exchange_weak(rest, packed(first, end), std::memory_order_relaxed)) {
        return band;
      }
    }
  }

  std::atomic<std::uint64_t> rest_{0};
};

// More workers than this share sections, of which there may be this many on a caller's stack.
constexpr int kMostSections = 32;
}  // namespace detail

// Bands of `band` rows (the last may be shorter), and the workers that at most `threads` threads
// make; 0 threads means default_threads().
struct Bands {
  Bands(int height_, int band_, int threads)
      : height(height_),
        band(band_),
        count((height_ + band_ - 1) / band_),
        workers(std::min(count, threads > 0 ? threads : default_threads())) {}

  int height;
  int band;
  int count;
  int workers;  // scratch for each is allocated before the work starts
};

// Calls body(worker, begin, end) once for every band, in no set order. No two calls with the same
// worker overlap. The body must be noexcept: a pool thread has nowhere to throw to.
//
// Each worker goes down a section of the image and then helps the others from the bottom of theirs
// up. Rows around a band's edges that bands share then meet in one core's caches, and memory is
// read in order: to take whichever band comes next costs two threads a fifth of a short kernel's
// time.
template <typename Body>
void parallel_rows(const Bands& bands, const Body& body) {
  static_assert(noexcept(body(0, 0, 0)), "the body of parallel_rows must be noexcept");
  struct Context {
    const Bands& bands;
    const Body& body;
    int count;
    detail::Section sections[detail::kMostSections];
  } context{bands, body, std::min(bands.workers, detail::kMostSections), {}};
  for (std::int64_t i = 0; i < context.count; ++i) {
    context.sections[i].set(static_cast<int>(i * bands.count / context.count),
                            static_cast<int>((i + 1) * bands.count / context.count));
  }
  detail::run_on_pool(
      bands.workers,
      [](void* opaque, int worker) {
        // By name: to capture structured bindings is C++20, which nvcc says and GCC does not.
        Context& all = *static_cast<Context*>(opaque);
        const auto work = [&](int band) noexcept {
          const int begin = band * all.bands.band;
          all.body(worker, begin, std::min(begin + all.bands.band, all.bands.height));
        };
        for (int i; (i = all.sections[worker % all.count].take_first()) >= 0;) work(i);
        for (int other = 1; other < all.count; ++other) {
          for (int i; (i = all.sections[(worker + other) % all.count].take_last()) >= 0;) work(i);
        }
      },
      &context);
}

}  // namespace fastmatte
