// Immortal: a process-wide object that outlives every thread and is made anew after fork().
#pragma once

#include <atomic>

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

namespace fastmatte {

// A worker thread may still use T while static objects are destroyed, so T never is. After fork()
// the child has only the forking thread, and a mutex inside T may be held by one that is gone: the
// child abandons the old T for a new one.
template <typename T>
class Immortal {
 public:
  static T& get() {
    static const bool made = make_first();
    (void)made;
    return *instance_.load(std::memory_order_acquire);
  }

 private:
  static void make() { instance_.store(new T, std::memory_order_release); }
  static bool make_first() {
    make();
#if defined(__unix__) || defined(__APPLE__)
    pthread_atfork(nullptr, nullptr, &make);
#endif
    return true;
  }
  static inline std::atomic<T*> instance_{nullptr};
};

}  // namespace fastmatte
