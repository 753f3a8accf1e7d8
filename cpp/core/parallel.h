// parallel_rows: the rows of an image shared out among a persistent pool of threads.
#pragma once

#include <algorithm>
#include <atomic>

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
template <typename Body>
void parallel_rows(const Bands& bands, const Body& body) {
  static_assert(noexcept(body(0, 0, 0)), "the body of parallel_rows must be noexcept");
  struct Context {
    const Bands& bands;
    const Body& body;
    std::atomic<int> next{0};
  } context{bands, body};
  detail::run_on_pool(
      bands.workers,
      [](void* opaque, int worker) {
        auto& [all, call, next] = *static_cast<Context*>(opaque);
        for (int i; (i = next.fetch_add(1, std::memory_order_relaxed)) < all.count;) {
          const int begin = i * all.band;
          call(worker, begin, std::min(begin + all.band, all.height));
        }
      },
      &context);
}

}  // namespace fastmatte
