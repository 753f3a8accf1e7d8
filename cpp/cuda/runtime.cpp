// Statuses become exceptions here, and nowhere else.
#include "cuda/runtime.h"

namespace fastmatte::cuda {
namespace {

// cudaStreamGetDevice is that new.
constexpr int kOldestDriver = 12080;

std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

}  // namespace

DeviceMemoryError::DeviceMemoryError(const std::string& kind, std::size_t wanted, std::size_t free)
    : DeviceError("out of " + kind + " memory: " + std::to_string(wanted) + " bytes wanted, " +
                  std::to_string(free) + " free") {}

void check(cudaError_t status, const char* call) {
  if (status == cudaSuccess) return;
  // Else the next call's check would find this error again.
  cudaGetLastError();
  throw DeviceError(std::string(call) + ": " + cudaGetErrorName(status) + ", " +
                    cudaGetErrorString(status));
}

std::string missing_driver() {
  int driver = 0, runtime = 0, count = 0;
  // Neither asks for a device.
  check(cudaRuntimeGetVersion(&runtime), "cudaRuntimeGetVersion");
  check(cudaDriverGetVersion(&driver), "cudaDriverGetVersion");
  if (driver == 0) return "no NVIDIA driver is installed (libcuda.so.1 was not found)";
  // Drivers run what was built with any runtime of their own major version.
  if (driver / 1000 < runtime / 1000 || driver < kOldestDriver) {
    return "the NVIDIA driver is for CUDA " + version_text(driver) + " and fastmatte for CUDA " +
           version_text(runtime) + ": update the driver";
  }
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaSuccess && count > 0) return {};
  cudaGetLastError();
  if (status == cudaSuccess || status == cudaErrorNoDevice) {
    return "the NVIDIA driver finds no GPU (is CUDA_VISIBLE_DEVICES set?)";
  }
  return std::string("cudaGetDeviceCount: ") + cudaGetErrorName(status) + ", " +
         cudaGetErrorString(status);
}

void require_driver() {
  const std::string missing = missing_driver();
  if (!missing.empty()) throw DeviceError("no CUDA device: " + missing);
}

int device_count() {
  int count = 0;
  check(cudaGetDeviceCount(&count), "cudaGetDeviceCount");
  return count;
}

int current_device() {
  int device = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  return device;
}

DeviceInfo device_info(int device) {
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties");
  return {properties.name, properties.major, properties.minor, properties.totalGlobalMem,
          properties.multiProcessorCount};
}

DeviceScope::DeviceScope(int device) : device_(device), previous_(current_device()) {
  if (previous_ != device_) check(cudaSetDevice(device_), "cudaSetDevice");
}

DeviceScope::~DeviceScope() {
  if (previous_ != device_) cudaSetDevice(previous_);
}

int device_of(const void* pointer) {
  cudaPointerAttributes attributes{};
  check(cudaPointerGetAttributes(&attributes, pointer), "cudaPointerGetAttributes");
  const bool readable =
      attributes.type == cudaMemoryTypeDevice || attributes.type == cudaMemoryTypeManaged;
  return readable ? attributes.device : -1;
}

int device_of_stream(cudaStream_t stream) {
  // 0, 1 and 2 are the default streams of whichever device is current.
  if (reinterpret_cast<std::size_t>(stream) <= 2) return current_device();
  int device = 0;
  check(cudaStreamGetDevice(stream, &device), "cudaStreamGetDevice");
  return device;
}

bool is_capturing(cudaStream_t stream) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  check(cudaStreamIsCapturing(stream, &status), "cudaStreamIsCapturing");
  return status != cudaStreamCaptureStatusNone;
}

}  // namespace fastmatte::cuda
