// Streams are queues of which nothing is ever left: only a captured one keeps its work.
#include "cuda/emulated_runtime.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

namespace {
std::atomic<std::size_t> handles{0};

struct Counted {
  Counted() noexcept { ++handles; }
  Counted(const Counted&) noexcept { ++handles; }
  ~Counted() { --handles; }
};
}  // namespace

struct EmulatedGraph : Counted {
  std::vector<std::function<void()>> work;
};
struct EmulatedStream : Counted {
  int device = 0;
  EmulatedGraph* capture = nullptr;
  bool origin = false;
};
struct EmulatedEvent : Counted {
  int device = 0;
  EmulatedGraph* capture = nullptr;
  bool recorded = false;
  std::chrono::steady_clock::time_point time;
};

namespace {

struct Memory {
  std::size_t bytes;
  int device;  // -1 for pinned host memory
};

std::mutex mutex;
std::map<std::uintptr_t, Memory> memory;
std::size_t limit = std::size_t{1} << 33;
constexpr int kVersion = 13000;
int driver = kVersion;
int visible = kEmulatedDevices;
thread_local int current = 0;
thread_local cudaError_t last = cudaSuccess;

cudaError_t result(cudaError_t error) {
  if (error != cudaSuccess) last = error;
  return error;
}

// The default stream of the current device.
bool is_default(cudaStream_t stream) { return reinterpret_cast<std::uintptr_t>(stream) <= 2; }

EmulatedGraph* capture_of(cudaStream_t stream) {
  return is_default(stream) ? nullptr : stream->capture;
}

int device_of(cudaStream_t stream) { return is_default(stream) ? current : stream->device; }

// Copies go to any stream.
cudaError_t put(cudaStream_t stream, std::function<void()> work) {
  if (EmulatedGraph* const graph = capture_of(stream)) {
    graph->work.push_back(std::move(work));
  } else {
    work();
  }
  return cudaSuccess;
}

std::size_t used(int device) {
  std::size_t sum = 0;
  for (const auto& [address, block] : memory) sum += block.device == device ? block.bytes : 0;
  return sum;
}

cudaError_t allocate(void** pointer, std::size_t bytes, int device) {
  const std::lock_guard lock(mutex);
  *pointer = nullptr;
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
  const std::lock_guard lock(mutex);
  if (!pointer) return cudaSuccess;
  if (memory.erase(reinterpret_cast<std::uintptr_t>(pointer)) == 0) {
    return result(cudaErrorInvalidValue);
  }
  std::free(pointer);
  return cudaSuccess;
}

}  // namespace

namespace fastmatte::cuda::emulated {

cudaError_t enqueue(cudaStream_t stream, std::function<void()> work) {
  if (device_of(stream) != current) return result(cudaErrorInvalidResourceHandle);
  return put(stream, std::move(work));
}

std::size_t live_bytes() noexcept {
  const std::lock_guard lock(mutex);
  std::size_t sum = 0;
  for (const auto& [address, block] : memory) sum += block.bytes;
  return sum;
}

std::size_t live_handles() noexcept { return handles; }

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
    case cudaErrorInvalidDevice:
      return "cudaErrorInvalidDevice";
    case cudaErrorInvalidResourceHandle:
      return "cudaErrorInvalidResourceHandle";
    case cudaErrorStreamCaptureUnsupported:
      return "cudaErrorStreamCaptureUnsupported";
    default:
      return "cudaErrorInvalidValue";
  }
}
const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInvalidDevice:
      return "invalid device ordinal";
    case cudaErrorInvalidResourceHandle:
      return "invalid resource handle";
    case cudaErrorStreamCaptureUnsupported:
      return "operation not permitted when stream is capturing";
    default:
      return "invalid argument";
  }
}
cudaError_t cudaGetLastError() { return std::exchange(last, cudaSuccess); }

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

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind,
                            cudaStream_t stream) {
  return put(stream, [=] { std::memcpy(to, from, bytes); });
}
cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from,
                              std::size_t from_pitch, std::size_t row_bytes, std::size_t rows,
                              cudaMemcpyKind, cudaStream_t stream) {
  if (row_bytes > to_pitch || row_bytes > from_pitch) return result(cudaErrorInvalidValue);
  return put(stream, [=] {
    for (std::size_t y = 0; y < rows; ++y) {
      std::memcpy(static_cast<char*>(to) + y * to_pitch,
                  static_cast<const char*>(from) + y * from_pitch, row_bytes);
    }
  });
}
cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream) {
  return enqueue(stream, [=] { std::memset(to, value, bytes); });
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = new EmulatedStream;
  (*stream)->device = current;
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  return result(capture_of(stream) ? cudaErrorStreamCaptureUnsupported : cudaSuccess);
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  if (event->capture && !is_default(stream) && !stream->capture) {
    stream->capture = event->capture;
  }
  return cudaSuccess;
}
cudaError_t cudaStreamGetDevice(cudaStream_t stream, int* device) {
  *device = device_of(stream);
  return cudaSuccess;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  *status = capture_of(stream) ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
  return cudaSuccess;
}
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  if (is_default(stream)) return result(cudaErrorStreamCaptureUnsupported);
  if (stream->capture) return result(cudaErrorInvalidValue);
  stream->capture = new EmulatedGraph;
  stream->origin = true;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  if (is_default(stream) || !stream->origin) return result(cudaErrorInvalidValue);
  *graph = std::exchange(stream->capture, nullptr);
  stream->origin = false;
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
  if (event->device != device_of(stream)) return result(cudaErrorInvalidResourceHandle);
  event->capture = capture_of(stream);
  // A stream that was forked into a capture leaves it where it is joined: by this event.
  if (event->capture && !stream->origin) stream->capture = nullptr;
  event->recorded = true;
  event->time = std::chrono::steady_clock::now();
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return result(event->capture ? cudaErrorStreamCaptureUnsupported : cudaSuccess);
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  if (!start->recorded || !end->recorded || start->device != end->device)
    return result(cudaErrorInvalidResourceHandle);
  *milliseconds = std::chrono::duration<float, std::milli>(end->time - start->time).count();
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  *exec = new EmulatedGraph(*graph);
  return cudaSuccess;
}
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t*, std::size_t* count) {
  *count = graph->work.size();
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t) {
  for (const auto& work : exec->work) work();
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  delete exec;
  return cudaSuccess;
}
