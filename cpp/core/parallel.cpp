// The pool behind parallel_rows: callers queue jobs with open places, idle threads take them.
#include "core/parallel.h"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "core/immortal.h"

#if defined(__linux__)
#include <sched.h>
#endif

namespace fastmatte {
namespace {

// Lives on its caller's stack; every field is guarded by Pool::mutex.
struct Job {
  void (*run)(void*, int);
  void* context;
  int places;    // workers still wanted
  int next = 1;  // number of the next worker; the caller is 0
  int running = 0;
};

struct Pool {
  std::mutex mutex;
  std::condition_variable wanted;
  std::condition_variable finished;
  std::deque<Job*> jobs;
  std::vector<std::thread> threads;
};

void serve(Pool& pool) {
  std::unique_lock lock(pool.mutex);
  for (;;) {
    pool.wanted.wait(lock, [&] { return !pool.jobs.empty(); });
    Job& job = *pool.jobs.front();
    const int worker = job.next++;
    ++job.running;
    if (--job.places == 0) pool.jobs.pop_front();
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
  }
  for (int i = 1; i < threads; ++i) pool.wanted.notify_one();
  run(context, 0);
  std::unique_lock lock(pool.mutex);
  if (job.places > 0) pool.jobs.erase(std::find(pool.jobs.begin(), pool.jobs.end(), &job));
  pool.finished.wait(lock, [&] { return job.running == 0; });
}

}  // namespace fastmatte
