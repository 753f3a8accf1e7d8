// The pool behind parallel_rows: callers queue jobs with open places, idle threads take them.
#include "core/parallel.h"

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "core/immortal.h"

#if defined(__linux__)
#include <sched.h>
#endif
#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif

namespace fastmatte {
namespace {

// How long a thread that waits stays awake. To be woken takes about 40 µs, as long as a small
// kernel's share; the kernels of a frame follow each other sooner than this.
constexpr std::chrono::microseconds kAwake{60};

// Lives on its caller's stack; every field is guarded by Pool::mutex, and read without it only to
// see whether to look again.
struct Job {
  void (*run)(void*, int);
  void* context;
  int places;    // workers still wanted
  int next = 1;  // number of the next worker; the caller is 0
  std::atomic<int> running{0};
};

struct Pool {
  std::mutex mutex;
  std::condition_variable wanted;
  std::condition_variable finished;
  std::deque<Job*> jobs;
  std::atomic<int> waiting{0};  // jobs.size(), for those who wait awake
  std::vector<std::thread> threads;
};

void pause() noexcept {
#if defined(__x86_64__) || defined(_M_X64)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Returns when the condition holds, or after kAwake.
template <typename Condition>
void wait_awake(const Condition& condition) noexcept {
  const auto end = std::chrono::steady_clock::now() + kAwake;
  do {
    for (int i = 0; i < 16; ++i) {
      if (condition()) return;
      pause();
    }
  } while (std::chrono::steady_clock::now() < end);
}

void serve(Pool& pool) {
  const auto any = [&] { return pool.waiting.load(std::memory_order_relaxed) > 0; };
  std::unique_lock lock(pool.mutex);
  for (;;) {
    if (pool.jobs.empty()) {
      lock.unlock();
      wait_awake(any);
      lock.lock();
    }
    pool.wanted.wait(lock, [&] { return !pool.jobs.empty(); });
    Job& job = *pool.jobs.front();
    const int worker = job.next++;
    ++job.running;
    if (--job.places == 0) {
      pool.jobs.pop_front();
      --pool.waiting;
    }
    lock.unlock();
    job.run(job.context, worker);
    lock.lock();
    if (--job.running == 0) pool.finished.notify_all();
  }
}

}  // namespace

int default_threads() noexcept {
#if defined(__linux__)
  // Counts what a container or taskset leaves, which hardware_concurrency may not.
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
#endif
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

void detail::run_on_pool(int threads, void (*run)(void*, int), void* context) {
  if (threads <= 1) return run(context, 0);
  Pool& pool = Immortal<Pool>::get();
  Job job{run, context, threads - 1};
  {
    const std::lock_guard lock(pool.mutex);
    while (static_cast<int>(pool.threads.size()) < threads - 1) {
      pool.threads.emplace_back([&pool] { serve(pool); });
    }
    pool.jobs.push_back(&job);
    ++pool.waiting;
  }
  for (int i = 1; i < threads; ++i) pool.wanted.notify_one();
  run(context, 0);
  std::unique_lock lock(pool.mutex);
  if (job.places > 0) {
    pool.jobs.erase(std::find(pool.jobs.begin(), pool.jobs.end(), &job));
    --pool.waiting;
  }
  const auto done = [&] { return job.running == 0; };
  if (!done()) {
    lock.unlock();
    wait_awake(done);
    lock.lock();
  }
  pool.finished.wait(lock, done);
}

}  // namespace fastmatte
