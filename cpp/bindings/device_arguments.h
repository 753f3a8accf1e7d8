// Python arguments to what the device kernels take: arrays by __cuda_array_interface__ or DLPack,
// used where they lie, and streams.
#pragma once

#include <pybind11/stl.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bindings/arguments.h"
#include "cuda/array.h"
#include "cuda/stream.h"
#include "kernels/to_tensor.h"

namespace fastmatte {

// Device memory of somebody else.
struct DeviceView {
  void* data = nullptr;
  std::vector<std::int64_t> shape;
  std::vector<std::int64_t> strides;  // bytes
  std::string dtype;                  // as NumPy names it
  bool writable = true;
  py::object owner;  // keeps the memory until the work is enqueued
};

// The stream that work goes to, its device, and what keeps it where it is one of ours.
struct StreamArgument {
  cudaStream_t handle = nullptr;
  int device = 0;
  std::shared_ptr<const void> owner = nullptr;
};

// Python's Stream. Arrays keep the one that fills them.
struct OwnedStream {
  std::shared_ptr<const cuda::Stream> stream;
  int device;
};

// None for the default stream; an address; or anything with __cuda_stream__, cuda_stream (PyTorch)
// or ptr (CuPy). Makes sure first that there is a driver.
StreamArgument read_stream(py::handle object);

// object as device memory, once what fills it is ordered before stream's next work.
DeviceView read_device(py::handle object, const char* name, const std::string& expected,
                       const StreamArgument& stream);

// Orders all that producer has to do before the next work of stream.
void wait_for(cudaStream_t producer, const StreamArgument& stream);

// Where object is an array of ours: that stream's next work fills it.
void fill_on(py::handle object, const StreamArgument& stream);

// True for a device array of this dtype.
bool holds_on_device(py::handle object, const char* dtype);

namespace detail {

std::string describe(const DeviceView& view);
void require_image_shape(const DeviceView& view, const char* name,
                         std::initializer_list<int> channels, const char* dtype);
void require_adjacent(const DeviceView& view, const char* name, int channels, std::size_t size);
void require_out_shape(const DeviceView& view, const std::vector<std::int64_t>& shape,
                       const char* dtype);
std::string shape_text(const std::vector<std::int64_t>& shape, const char* dtype);
void require_contiguous(const DeviceView& view, const char* name, std::size_t size);

template <typename T>
constexpr cuda::Dtype dtype_of() {
  return sizeof(T) == 1   ? cuda::Dtype::uint8
         : sizeof(T) == 2 ? cuda::Dtype::float16
                          : cuda::Dtype::float32;
}

template <typename T>
ImageView<T> image_of(const DeviceView& view) {
  const int height = static_cast<int>(view.shape[0]), width = static_cast<int>(view.shape[1]);
  const int channels = view.shape.size() == 2 ? 1 : static_cast<int>(view.shape[2]);
  const auto stride = height == 1 ? static_cast<std::ptrdiff_t>(width) * channels
                                  : view.strides[0] / static_cast<std::ptrdiff_t>(sizeof(T));
  return {static_cast<T*>(view.data), height, width, channels, stride};
}

}  // namespace detail

template <typename T>
struct DeviceInput {
  ImageView<const T> view;
  py::object owner;
};

template <typename T>
struct DeviceOutput {
  ImageView<T> view;
  py::object object;  // what the caller gets back
};

template <typename T>
struct DeviceTensor {
  TensorView<T> view;
  py::object object;
};

template <typename T>
DeviceInput<T> read_device_image(py::handle object, const char* name,
                                 std::initializer_list<int> channels,
                                 const StreamArgument& stream) {
  const char* const dtype = detail::dtype_name<T>();
  DeviceView view =
      read_device(object, name, detail::expected_image(channels, dtype) + " on a device", stream);
  detail::require_image_shape(view, name, channels, dtype);
  const auto image = detail::image_of<const T>(view);
  detail::require_adjacent(view, name, image.channels, sizeof(T));
  return {image, std::move(view.owner)};
}

// An nv12 frame, one (H * 3 / 2, W) array or (y, uv), and what holds it.
YuvImage read_device_nv12(py::handle object, const char* name, const StreamArgument& stream,
                          py::object (&owners)[2]);

template <typename T>
struct DevicePlanes {
  TensorView<const T> view;
  py::object owner;
};

// (1, 3, H, W).
template <typename T>
DevicePlanes<T> read_device_planes(py::handle object, const char* name,
                                   const StreamArgument& stream) {
  const std::string expected = std::string("(1, 3, H, W) ") + detail::dtype_name<T>();
  DeviceView view = read_device(object, name, expected, stream);
  if (view.dtype != detail::dtype_name<T>()) {
    detail::throw_type(name, expected, detail::describe(view));
  }
  if (view.shape.size() != 4 || view.shape[0] != 1 || view.shape[1] != 3) {
    throw ArgumentError(name, expected, detail::describe(view));
  }
  detail::require_pixel_count(view.shape[2], view.shape[3], name);
  detail::require_contiguous(view, name, sizeof(T));
  return {{static_cast<const T*>(view.data), 3, static_cast<int>(view.shape[2]),
           static_cast<int>(view.shape[3])},
          std::move(view.owner)};
}

// A new array for a result, on the stream's device.
std::pair<void*, py::object> make_result(std::vector<std::int64_t> shape, cuda::Dtype dtype,
                                         const StreamArgument& stream);

template <typename T>
DeviceOutput<T> write_device_image(py::handle object, int height, int width, int channels,
                                   const StreamArgument& stream) {
  std::vector<std::int64_t> shape{height, width};
  if (channels > 1) shape.push_back(channels);
  if (object.is_none()) {
    detail::require_pixel_count(height, width, "out");
    auto [data, array] = make_result(std::move(shape), detail::dtype_of<T>(), stream);
    return {{static_cast<T*>(data), height, width, channels, width * channels}, std::move(array)};
  }
  const char* const dtype = detail::dtype_name<T>();
  DeviceView view = read_device(object, "out", detail::shape_text(shape, dtype), stream);
  detail::require_out_shape(view, shape, dtype);
  detail::require_adjacent(view, "out", channels, sizeof(T));
  fill_on(object, stream);
  return {detail::image_of<T>(view), py::reinterpret_borrow<py::object>(object)};
}

template <typename T>
DeviceTensor<T> write_device_tensor(py::handle object, int height, int width, Layout layout,
                                    const StreamArgument& stream) {
  std::vector<std::int64_t> shape{1, height, width, 3};
  if (layout == Layout::nchw) shape = {1, 3, height, width};
  if (object.is_none()) {
    detail::require_pixel_count(height, width, "out");
    auto [data, array] = make_result(std::move(shape), detail::dtype_of<T>(), stream);
    return {{static_cast<T*>(data), 3, height, width, layout}, std::move(array)};
  }
  const char* const dtype = detail::dtype_name<T>();
  const DeviceView view = read_device(object, "out", detail::shape_text(shape, dtype), stream);
  detail::require_out_shape(view, shape, dtype);
  detail::require_contiguous(view, "out", sizeof(T));
  fill_on(object, stream);
  return {{static_cast<T*>(view.data), 3, height, width, layout},
          py::reinterpret_borrow<py::object>(object)};
}

}  // namespace fastmatte
