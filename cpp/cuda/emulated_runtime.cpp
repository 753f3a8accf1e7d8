// Streams are queues of which nothing is done before somebody waits for it, and then only what
// comes before: as late as a GPU ever might. So what the host or another stream reads without
// having waited is not there yet, and what is overwritten too early is not there any more.
#include "cuda/emulated_runtime.h"

#include <ucontext.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <utility>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

std::atomic<std::size_t> handles{0};

struct Counted {
  Counted() noexcept { ++handles; }
  Counted(const Counted&) noexcept { ++handles; }
  ~Counted() { --handles; }
};

// Something to do, once what comes before it is done.
struct Node {
  std::function<void()> work;
  std::vector<std::shared_ptr<Node>> before;
  enum { waiting, running, done } state = waiting;
};

// The same, captured: what comes before it by its place.
struct CapturedNode {
  std::function<void()> work;
  std::set<std::size_t> before;
};

struct Capture {
  std::vector<CapturedNode> nodes;
  std::vector<EmulatedStream*> streams;
  bool invalid = false, ended = false;
};

}  // namespace

struct EmulatedGraph : Counted {
  std::shared_ptr<const std::vector<CapturedNode>> nodes;
  std::size_t launches = 0;
};
struct EmulatedStream {
  int device = 0;
  std::shared_ptr<Node> last;
  std::size_t length = 0;
  std::shared_ptr<Capture> capture;
  std::set<std::size_t> captured;  // what its next node comes after
  bool origin = false;
};
struct EmulatedEvent : Counted {
  int device = 0;
  bool recorded = false;
  std::shared_ptr<Node> node;
  std::shared_ptr<Clock::time_point> time;
  std::shared_ptr<Capture> capture;
  std::set<std::size_t> captured;
};

namespace {

struct Memory {
  std::size_t bytes;
  int device;  // -1 for pinned host memory
};

// Freed, while this may still use it: a GPU frees nothing before it is done.
struct Freed {
  void* memory;
  std::vector<std::weak_ptr<Node>> users;
};

// Of all that follows; never held while work runs or goes away, for that may want Python's lock.
std::mutex mutex;
std::map<std::uintptr_t, Memory> memory;
std::vector<Freed> freed;
std::set<EmulatedStream*> streams;
// Never destroyed: what is left in them may be Python's, which goes before.
EmulatedStream* const defaults = new EmulatedStream[kEmulatedDevices];
std::size_t limit = std::size_t{1} << 33;
constexpr int kVersion = 13000;
// As the longest queues of a GPU are: whoever enqueues more waits for the first.
constexpr std::size_t kMostQueued = 1024;
int driver = kVersion;
int visible = kEmulatedDevices;
thread_local int current = 0;
thread_local cudaError_t last_error = cudaSuccess;
// What this thread began to capture, in which calls that are not enqueued are refused.
thread_local std::shared_ptr<Capture> mine;
thread_local cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;

cudaError_t result(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}

bool is_default(cudaStream_t stream) { return reinterpret_cast<std::uintptr_t>(stream) <= 2; }

// The stream, or the default one of the current device; null for one that was destroyed.
EmulatedStream* find(cudaStream_t stream) {
  if (is_default(stream)) {
    defaults[current].device = current;
    return &defaults[current];
  }
  const std::lock_guard lock(mutex);
  return streams.count(stream) ? stream : nullptr;
}

// What may wait for a device, or find no memory, has no place in a capture, and ends it.
cudaError_t refuse_capture() {
  if (!mine || mode == cudaStreamCaptureModeRelaxed) return cudaSuccess;
  mine->invalid = true;
  return result(cudaErrorStreamCaptureUnsupported);
}

cudaError_t invalidate(const std::shared_ptr<Capture>& capture, cudaError_t error) {
  capture->invalid = true;
  return result(error);
}

// Does what comes before a node, then the node.
void finish(const std::shared_ptr<Node>& target) {
  std::vector<std::shared_ptr<Node>> path;
  if (target) path.push_back(target);
  while (!path.empty()) {
    const std::shared_ptr<Node> node = path.back();
    std::function<void()> work;
    std::vector<std::shared_ptr<Node>> before;
    {
      const std::lock_guard lock(mutex);
      bool ready = node->state == Node::waiting;
      for (const auto& one : node->before) {
        if (!ready || one->state == Node::done) continue;
        path.push_back(one);
        ready = false;
      }
      if (node->state == Node::done) path.pop_back();
      if (ready) {
        node->state = Node::running;
        work = std::move(node->work);
        before = std::move(node->before);
      }
    }
    const auto end = [&] {
      const std::lock_guard lock(mutex);
      node->state = Node::done;
    };
    if (work) {
      try {
        work();
      } catch (...) {
        end();
        throw;
      }
      end();
    } else if (node->state == Node::running) {
      std::this_thread::sleep_for(std::chrono::microseconds(20));  // in another thread
    }
  }
}

// A node after all that the stream was given, and after one of another stream.
std::shared_ptr<Node> append(EmulatedStream& stream, std::function<void()> work,
                             std::shared_ptr<Node> other = nullptr) {
  auto node = std::make_shared<Node>();
  node->work = std::move(work);
  std::shared_ptr<Node> full;
  {
    const std::lock_guard lock(mutex);
    for (auto* before : {&stream.last, &other}) {
      if (*before && (*before)->state != Node::done) node->before.push_back(*before);
    }
    if (node->before.empty()) stream.length = 0;
    if (++stream.length > kMostQueued) {
      stream.length = 0;
      full = node;
    }
    other = std::exchange(stream.last, node);
  }
  finish(full);
  return node;
}

cudaError_t put(EmulatedStream* stream, std::function<void()> work) {
  if (!stream) return result(cudaErrorInvalidResourceHandle);
  if (!stream->capture) {
    append(*stream, std::move(work));
    return cudaSuccess;
  }
  if (stream->capture->invalid) return result(cudaErrorStreamCaptureInvalidated);
  auto& nodes = stream->capture->nodes;
  nodes.push_back({std::move(work), std::exchange(stream->captured, {nodes.size()})});
  return cudaSuccess;
}

// All of a graph, each node once what it comes after is done: the first of those that may, or the
// last, for a device takes them in any order.
void run(const std::vector<CapturedNode>& nodes, bool backwards) {
  std::set<std::size_t> left;
  for (std::size_t i = 0; i < nodes.size(); ++i) left.insert(i);
  const auto ready = [&](std::size_t i) {
    for (const std::size_t before : nodes[i].before) {
      if (left.count(before)) return false;
    }
    return true;
  };
  while (!left.empty()) {
    std::size_t next = 0;
    for (const std::size_t i : left) {
      if (!ready(i)) continue;
      next = i;
      if (!backwards) break;
    }
    nodes[next].work();
    left.erase(next);
  }
}

// A block's threads take turns on one of the processor's, each on a stack of its own.
constexpr int kThreads = 3;
constexpr std::size_t kStackBytes = 256 * 1024;

struct Threads {
  std::unique_ptr<char[]> stacks{new char[kThreads * kStackBytes]};
  ucontext_t contexts[kThreads], home;
  bool ended[kThreads];
  int running;
  unsigned blocks = 0;
  const std::function<void(int, int)>* body;
};
thread_local std::unique_ptr<Threads> threads;

void run_thread() {
  Threads& all = *threads;
  const int thread = all.running;
  (*all.body)(thread, kThreads);
  all.ended[thread] = true;
}

std::size_t used(int device) {
  std::size_t sum = 0;
  for (const auto& [address, block] : memory) sum += block.device == device ? block.bytes : 0;
  return sum;
}

bool is_pageable(const void* pointer) {
  cudaPointerAttributes attributes{};
  cudaPointerGetAttributes(&attributes, pointer);
  return attributes.type == cudaMemoryTypeUnregistered;
}

cudaError_t allocate(void** pointer, std::size_t bytes, int device) {
  *pointer = nullptr;
  if (const cudaError_t error = refuse_capture()) return error;
  const std::lock_guard lock(mutex);
  for (auto one = freed.begin(); one != freed.end();) {
    bool is_used = false;
    for (const auto& user : one->users) {
      const auto node = user.lock();
      is_used = is_used || (node && node->state != Node::done);
    }
    if (!is_used) std::free(one->memory);
    one = is_used ? one + 1 : freed.erase(one);
  }
  if (bytes == 0) return cudaSuccess;
  if (device >= 0 && used(device) + bytes > limit) return result(cudaErrorMemoryAllocation);
  // As cudaMalloc aligns.
  *pointer = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  if (!*pointer) return result(cudaErrorMemoryAllocation);
  // Nothing may count on fresh memory being zero.
  std::memset(*pointer, 0xcd, bytes);
  memory[reinterpret_cast<std::uintptr_t>(*pointer)] = {bytes, device};
  return cudaSuccess;
}

cudaError_t release(void* pointer) {
  if (!pointer) return cudaSuccess;
  if (const cudaError_t error = refuse_capture()) return error;
  const std::lock_guard lock(mutex);
  if (memory.erase(reinterpret_cast<std::uintptr_t>(pointer)) == 0) {
    return result(cudaErrorInvalidValue);
  }
  Freed one{pointer, {}};
  const auto note = [&](const EmulatedStream& stream) {
    if (stream.last && stream.last->state != Node::done) one.users.push_back(stream.last);
  };
  for (const EmulatedStream* stream : streams) note(*stream);
  for (int device = 0; device < kEmulatedDevices; ++device) note(defaults[device]);
  one.users.empty() ? std::free(pointer) : freed.push_back(std::move(one));
  return cudaSuccess;
}

}  // namespace

namespace fastmatte::cuda::emulated {

cudaError_t launch(cudaStream_t stream, int columns, int rows, int threads, std::size_t shared,
                   std::function<void()> work) {
  if (columns < 1 || rows < 1 || threads < 1 || threads > 1024 || shared > 48 * 1024) {
    return result(cudaErrorInvalidConfiguration);
  }
  return enqueue(stream, std::move(work));
}

cudaError_t enqueue(cudaStream_t stream, std::function<void()> work) {
  EmulatedStream* const to = find(stream);
  if (!to || to->device != current) return result(cudaErrorInvalidResourceHandle);
  return put(to, std::move(work));
}

void run_threads(const std::function<void(int, int)>& body) {
  if (!threads) threads = std::make_unique<Threads>();
  Threads& all = *threads;
  all.body = &body;
  for (int i = 0; i < kThreads; ++i) {
    all.ended[i] = false;
    getcontext(&all.contexts[i]);
    all.contexts[i].uc_stack.ss_sp = all.stacks.get() + kStackBytes * static_cast<std::size_t>(i);
    all.contexts[i].uc_stack.ss_size = kStackBytes;
    all.contexts[i].uc_link = &all.home;
    makecontext(&all.contexts[i], &run_thread, 0);
  }
  int ended = 0;
  for (unsigned turn = all.blocks++; ended == 0; ++turn) {
    // The first of them goes ahead, or the last.
    for (int i = 0; i < kThreads; ++i) {
      all.running = turn % 2 == 0 ? i : kThreads - 1 - i;
      swapcontext(&all.home, &all.contexts[all.running]);
      ended += all.ended[all.running];
    }
  }
  if (ended == kThreads) return;
  std::fputs("a barrier that not all threads of a block come to\n", stderr);
  std::abort();
}

void barrier() noexcept { swapcontext(&threads->contexts[threads->running], &threads->home); }

std::size_t live_bytes() noexcept {
  const std::lock_guard lock(mutex);
  std::size_t sum = 0;
  for (const auto& [address, block] : memory) sum += block.bytes;
  return sum;
}

std::size_t live_handles() noexcept {
  const std::lock_guard lock(mutex);
  return handles + streams.size();
}

void set_driver(int version, int devices) noexcept {
  const std::lock_guard lock(mutex);
  driver = version;
  visible = devices;
}

void set_memory(std::size_t bytes) noexcept {
  const std::lock_guard lock(mutex);
  limit = bytes;
}

}  // namespace fastmatte::cuda::emulated

using fastmatte::cuda::emulated::enqueue;

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidConfiguration:
      return "cudaErrorInvalidConfiguration";
    case cudaErrorInvalidDevice:
      return "cudaErrorInvalidDevice";
    case cudaErrorInvalidResourceHandle:
      return "cudaErrorInvalidResourceHandle";
    case cudaErrorNotReady:
      return "cudaErrorNotReady";
    case cudaErrorStreamCaptureUnsupported:
      return "cudaErrorStreamCaptureUnsupported";
    case cudaErrorStreamCaptureInvalidated:
      return "cudaErrorStreamCaptureInvalidated";
    case cudaErrorStreamCaptureUnjoined:
      return "cudaErrorStreamCaptureUnjoined";
    case cudaErrorStreamCaptureIsolation:
      return "cudaErrorStreamCaptureIsolation";
    case cudaErrorCapturedEvent:
      return "cudaErrorCapturedEvent";
    default:
      return "cudaErrorInvalidValue";
  }
}
const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInvalidConfiguration:
      return "invalid configuration argument";
    case cudaErrorInvalidDevice:
      return "invalid device ordinal";
    case cudaErrorInvalidResourceHandle:
      return "invalid resource handle";
    case cudaErrorNotReady:
      return "device not ready";
    case cudaErrorStreamCaptureUnsupported:
      return "operation not permitted when stream is capturing";
    case cudaErrorStreamCaptureInvalidated:
      return "operation failed due to a previous error during capture";
    case cudaErrorStreamCaptureUnjoined:
      return "capturing stream has unjoined work";
    case cudaErrorStreamCaptureIsolation:
      return "dependency created on uncaptured work in another stream";
    case cudaErrorCapturedEvent:
      return "operation not permitted on an event last recorded in a capturing stream";
    default:
      return "invalid argument";
  }
}
cudaError_t cudaGetLastError() { return std::exchange(last_error, cudaSuccess); }

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = kVersion;
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = driver;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceCount(int* count) {
  *count = visible;
  return result(visible > 0 ? cudaSuccess : cudaErrorNoDevice);
}
cudaError_t cudaGetDevice(int* device) {
  *device = current;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= kEmulatedDevices) return result(cudaErrorInvalidDevice);
  current = device;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (device < 0 || device >= kEmulatedDevices) return result(cudaErrorInvalidDevice);
  std::strcpy(properties->name, "emulated");
  properties->major = properties->minor = 0;
  properties->totalGlobalMem = limit;
  properties->multiProcessorCount = 1;
  return cudaSuccess;
}
cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  const std::lock_guard lock(mutex);
  const std::size_t taken = used(current);
  *total = limit;
  *free = taken < limit ? limit - taken : 0;
  return cudaSuccess;
}
cudaError_t cudaMalloc(void** pointer, std::size_t bytes) {
  return allocate(pointer, bytes, current);
}
cudaError_t cudaFree(void* pointer) { return release(pointer); }
cudaError_t cudaMallocHost(void** pointer, std::size_t bytes) {
  return allocate(pointer, bytes, -1);
}
cudaError_t cudaFreeHost(void* pointer) { return release(pointer); }

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  const std::lock_guard lock(mutex);
  const auto address = reinterpret_cast<std::uintptr_t>(pointer);
  *attributes = {cudaMemoryTypeUnregistered, -1};
  auto block = memory.upper_bound(address);
  if (block == memory.begin()) return cudaSuccess;
  --block;
  if (address < block->first + block->second.bytes) {
    const int device = block->second.device;
    *attributes = {device < 0 ? cudaMemoryTypeHost : cudaMemoryTypeDevice, device};
  }
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  return cudaMemcpy2DAsync(to, bytes, from, bytes, bytes, 1, kind, stream);
}
// Copies go to streams of any device.
cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from,
                              std::size_t from_pitch, std::size_t row_bytes, std::size_t rows,
                              cudaMemcpyKind, cudaStream_t stream) {
  if (row_bytes > to_pitch || row_bytes > from_pitch) return result(cudaErrorInvalidValue);
  EmulatedStream* const on = find(stream);
  const auto copy = [=](const char* source, std::size_t pitch) {
    for (std::size_t y = 0; y < rows; ++y) {
      std::memcpy(static_cast<char*>(to) + y * to_pitch, source + y * pitch, row_bytes);
    }
  };
  const auto* const source = static_cast<const char*>(from);
  // Pageable memory has been read when the call returns, and has been written.
  if (on && !on->capture && is_pageable(from)) {
    std::vector<char> staged(rows * row_bytes);
    for (std::size_t y = 0; y < rows; ++y) {
      std::memcpy(staged.data() + y * row_bytes, source + y * from_pitch, row_bytes);
    }
    return put(on,
               [copy, row_bytes, staged = std::move(staged)] { copy(staged.data(), row_bytes); });
  }
  const cudaError_t error = put(on, [=] { copy(source, from_pitch); });
  if (error == cudaSuccess && !on->capture && is_pageable(to)) finish(on->last);
  return error;
}
cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream) {
  return enqueue(stream, [=] { std::memset(to, value, bytes); });
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = new EmulatedStream;
  (*stream)->device = current;
  const std::lock_guard lock(mutex);
  streams.insert(*stream);
  return cudaSuccess;
}
// Its work is done all the same.
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  {
    const std::lock_guard lock(mutex);
    if (streams.erase(stream) == 0) return result(cudaErrorInvalidResourceHandle);
  }
  const std::unique_ptr<EmulatedStream> owned(stream);
  finish(owned->last);
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  EmulatedStream* const on = find(stream);
  if (!on) return result(cudaErrorInvalidResourceHandle);
  if (on->capture) return invalidate(on->capture, cudaErrorStreamCaptureUnsupported);
  finish(on->last);
  return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  EmulatedStream* const on = find(stream);
  if (!on) return result(cudaErrorInvalidResourceHandle);
  if (!event->recorded) return cudaSuccess;
  if (event->capture) {
    if (event->capture->ended) return result(cudaErrorCapturedEvent);
    if (is_default(stream)) return invalidate(event->capture, cudaErrorStreamCaptureUnsupported);
    if (!on->capture) {
      on->capture = event->capture;
      on->captured.clear();
      event->capture->streams.push_back(on);
    }
    if (on->capture != event->capture) {
      return invalidate(on->capture, cudaErrorStreamCaptureIsolation);
    }
    on->captured.insert(event->captured.begin(), event->captured.end());
    return cudaSuccess;
  }
  if (on->capture) return invalidate(on->capture, cudaErrorStreamCaptureIsolation);
  append(*on, [] {}, event->node);
  return cudaSuccess;
}
cudaError_t cudaStreamGetDevice(cudaStream_t stream, int* device) {
  const EmulatedStream* const on = find(stream);
  if (!on) return result(cudaErrorInvalidResourceHandle);
  *device = on->device;
  return cudaSuccess;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  const EmulatedStream* const on = find(stream);
  if (!on) return result(cudaErrorInvalidResourceHandle);
  *status = on->capture ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
  return cudaSuccess;
}
cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* other) {
  std::swap(mode, *other);
  return cudaSuccess;
}
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  if (is_default(stream)) return result(cudaErrorStreamCaptureUnsupported);
  EmulatedStream* const on = find(stream);
  if (!on) return result(cudaErrorInvalidResourceHandle);
  if (on->capture) return result(cudaErrorInvalidValue);
  on->capture = mine = std::make_shared<Capture>();
  on->captured.clear();
  on->origin = true;
  mine->streams.push_back(on);
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = nullptr;
  EmulatedStream* const on = find(stream);
  if (!on || !on->origin) return result(cudaErrorInvalidValue);
  const std::shared_ptr<Capture> capture = on->capture;
  mine.reset();
  capture->ended = true;
  on->origin = false;
  for (EmulatedStream* one : capture->streams) one->capture.reset();
  if (capture->invalid) return result(cudaErrorStreamCaptureInvalidated);
  // All must come before the end of the stream on which it began.
  std::set<std::size_t> joined;
  std::vector<std::size_t> path(on->captured.begin(), on->captured.end());
  while (!path.empty()) {
    const std::size_t i = path.back();
    path.pop_back();
    if (!joined.insert(i).second) continue;
    const auto& before = capture->nodes[i].before;
    path.insert(path.end(), before.begin(), before.end());
  }
  if (joined.size() < capture->nodes.size()) return result(cudaErrorStreamCaptureUnjoined);
  *graph = new EmulatedGraph;
  (*graph)->nodes = std::make_shared<const std::vector<CapturedNode>>(std::move(capture->nodes));
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new EmulatedEvent;
  (*event)->device = current;
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  EmulatedStream* const on = find(stream);
  if (!on || event->device != on->device) return result(cudaErrorInvalidResourceHandle);
  event->recorded = true;
  event->capture = on->capture;
  if (on->capture) {
    event->captured = on->captured;
    return cudaSuccess;
  }
  event->time = std::make_shared<Clock::time_point>();
  event->node = append(*on, [time = event->time] { *time = Clock::now(); });
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (event->capture) return invalidate(event->capture, cudaErrorCapturedEvent);
  finish(event->node);
  return cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  if (!start->node || !end->node || start->device != end->device)
    return result(cudaErrorInvalidResourceHandle);
  const std::lock_guard lock(mutex);
  if (start->node->state != Node::done || end->node->state != Node::done)
    return result(cudaErrorNotReady);
  *milliseconds = std::chrono::duration<float, std::milli>(*end->time - *start->time).count();
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  *exec = new EmulatedGraph(*graph);
  return cudaSuccess;
}
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t*, std::size_t* count) {
  *count = graph->nodes->size();
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  EmulatedStream* const on = find(stream);
  if (on && on->capture) return invalidate(on->capture, cudaErrorStreamCaptureUnsupported);
  const bool backwards = exec->launches++ % 2 != 0;
  return put(on, [nodes = exec->nodes, backwards] { run(*nodes, backwards); });
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  delete exec;
  return cudaSuccess;
}
