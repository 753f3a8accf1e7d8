// Both protocols of device arrays, and every way that Python names a stream.
#include "bindings/device_arguments.h"

#include "bindings/dlpack.h"
#include "bindings/yuv_frames.h"
#include "cuda/stream.h"

namespace fastmatte {
namespace {

std::vector<std::int64_t> packed_strides(const std::vector<std::int64_t>& shape,
                                         std::int64_t size) {
  std::vector<std::int64_t> strides(shape.size());
  for (std::size_t i = shape.size(); i-- > 0; size *= shape[i]) strides[i] = size;
  return strides;
}

std::string dtype_of_typestr(const std::string& typestr) {
  if (typestr == "|u1" || typestr == "<u1") return "uint8";
  if (typestr == "<f2") return "float16";
  if (typestr == "<f4") return "float32";
  return typestr;
}

DeviceView from_interface(const py::dict& interface, py::handle object, const char* name,
                          const StreamArgument& stream) {
  DeviceView view;
  const auto data = interface["data"].cast<std::pair<std::uintptr_t, bool>>();
  view.data = reinterpret_cast<void*>(data.first);
  view.writable = !data.second;
  view.shape = interface["shape"].cast<std::vector<std::int64_t>>();
  const auto typestr = interface["typestr"].cast<std::string>();
  view.dtype = dtype_of_typestr(typestr);
  if (interface.contains("strides") && !interface["strides"].is_none()) {
    view.strides = interface["strides"].cast<std::vector<std::int64_t>>();
  } else {
    view.strides = packed_strides(view.shape, std::stoll(typestr.substr(2)));
  }
  if (interface.contains("mask") && !interface["mask"].is_none()) {
    throw ArgumentError(name, "an array without a mask", "a masked one");
  }
  // None: nothing to wait for.
  if (interface.contains("stream") && !interface["stream"].is_none()) {
    const auto producer = interface["stream"].cast<std::uintptr_t>();
    wait_for(producer == 1 ? nullptr : reinterpret_cast<cudaStream_t>(producer), stream);
  }
  view.owner = py::reinterpret_borrow<py::object>(object);
  return view;
}

DeviceView from_dlpack(py::handle object, const char* name, const StreamArgument& stream) {
  const auto device = object.attr("__dlpack_device__")().cast<std::pair<int, int>>();
  if (device.first != kDlCuda && device.first != kDlCudaManaged) {
    throw ArgumentError(name, "memory of a CUDA device",
                        "that of DLPack's device type " + std::to_string(device.first));
  }
  // 1 is the default stream; -1 asks the producer not to wait, as a capture could not.
  const auto address = reinterpret_cast<std::intptr_t>(stream.handle);
  const std::intptr_t consumer = cuda::is_capturing(stream.handle) ? -1
                                 : address == 0                    ? 1
                                                                   : address;
  const py::object capsule = object.attr("__dlpack__")(py::arg("stream") = consumer);
  auto* const managed =
      static_cast<DlManagedTensor*>(PyCapsule_GetPointer(capsule.ptr(), kDlUnused));
  if (!managed) throw py::error_already_set();
  // A capsule that is not consumed frees itself.
  const DlTensor& tensor = managed->tensor;
  DeviceView view;
  view.data = static_cast<char*>(tensor.data) + tensor.byte_offset;
  view.dtype = dlpack_dtype(tensor.dtype);
  const std::int64_t size = (tensor.dtype.bits + 7) / 8;
  view.shape.assign(tensor.shape, tensor.shape + tensor.ndim);
  if (tensor.strides) {
    view.strides.assign(tensor.strides, tensor.strides + tensor.ndim);
    for (auto& stride : view.strides) stride *= size;
  } else {
    view.strides = packed_strides(view.shape, size);
  }
  view.owner = capsule;
  return view;
}

// The attribute itself may raise: PyTorch's does for a tensor on the processor.
py::object attribute(py::handle object, const char* name) {
  PyObject* const found = PyObject_GetAttrString(object.ptr(), name);
  if (found) return py::reinterpret_steal<py::object>(found);
  if (!PyErr_ExceptionMatches(PyExc_AttributeError) && !PyErr_ExceptionMatches(PyExc_TypeError)) {
    throw py::error_already_set();
  }
  PyErr_Clear();
  return py::none();
}

std::string strides_text(const DeviceView& view) {
  return "strides " + detail::text_of(py::tuple(py::cast(view.strides)));
}

}  // namespace

void wait_for(cudaStream_t producer, const StreamArgument& stream) {
  // Neither can what is captured wait for what is not, nor the other way round.
  if (producer == stream.handle || cuda::is_capturing(stream.handle)) return;
  if (cuda::is_capturing(producer)) return;
  // An event records streams of the device that it was made on.
  const cuda::DeviceScope scope(cuda::device_of_stream(producer));
  const cuda::Event event;
  event.record(producer);
  event.hold(stream.handle);
}

void fill_on(py::handle object, const StreamArgument& stream) {
  // What is captured fills nothing yet.
  if (!py::isinstance<cuda::Array>(object) || cuda::is_capturing(stream.handle)) return;
  auto& array = object.cast<cuda::Array&>();
  array.writer = stream.handle;
  array.owner = stream.owner;
}

StreamArgument read_stream(py::handle object) {
  cuda::require_driver();
  if (py::isinstance<OwnedStream>(object)) {
    const auto& ours = object.cast<const OwnedStream&>();
    return {ours.stream->get(), ours.device, ours.stream};
  }
  std::uintptr_t address = 0;
  if (!object.is_none()) {
    py::object number = py::reinterpret_borrow<py::object>(object);
    if (const auto protocol = attribute(object, "__cuda_stream__"); !protocol.is_none()) {
      const py::object pair = PyCallable_Check(protocol.ptr()) ? protocol() : protocol;
      number = pair[py::int_(1)];
    } else if (const auto torch = attribute(object, "cuda_stream"); !torch.is_none()) {
      number = torch;
    } else if (const auto cupy = attribute(object, "ptr"); !cupy.is_none()) {
      number = cupy;
    }
    address = static_cast<std::uintptr_t>(
        read_integer(number, "stream", 0, std::numeric_limits<std::int64_t>::max()));
  }
  const auto handle = reinterpret_cast<cudaStream_t>(address);
  return {handle, cuda::device_of_stream(handle)};
}

DeviceView read_device(py::handle object, const char* name, const std::string& expected,
                       const StreamArgument& stream) {
  // Whose default stream a producer may name.
  const cuda::DeviceScope scope(stream.device);
  DeviceView view;
  const auto interface = attribute(object, "__cuda_array_interface__");
  // PyTorch's names no stream, so that nobody could wait for it; its DLPack does.
  const bool says_all = !interface.is_none() && interface.contains("stream");
  if (!says_all && py::hasattr(object, "__dlpack_device__") && !py::isinstance<py::array>(object)) {
    view = from_dlpack(object, name, stream);
  } else if (!interface.is_none()) {
    view = from_interface(interface, object, name, stream);
  } else {
    detail::throw_type(name, "a device array, " + expected, detail::type_name(object));
  }
  if (view.shape.empty()) throw ArgumentError(name, expected, detail::describe(view));
  bool empty = false;
  for (const auto side : view.shape) empty = empty || side == 0;
  const int device = empty ? stream.device : cuda::device_of(view.data);
  if (device != stream.device) {
    throw ArgumentError(
        name, "memory of device " + std::to_string(stream.device) + ", on which the stream runs",
        device < 0 ? "memory that no device reads" : "that of device " + std::to_string(device));
  }
  return view;
}

bool holds_on_device(py::handle object, const char* dtype) {
  if (const auto interface = attribute(object, "__cuda_array_interface__"); !interface.is_none()) {
    return dtype_of_typestr(interface["typestr"].cast<std::string>()) == dtype;
  }
  // Every library's dtype has its name at the end: torch.uint8.
  const auto named = attribute(object, "dtype");
  if (named.is_none()) return false;
  const std::string text = detail::text_of(named);
  return text.substr(text.rfind('.') + 1) == dtype;
}

YuvImage read_device_nv12(py::handle object, const char* name, const StreamArgument& stream,
                          py::object (&owners)[2]) {
  py::object* next = owners;
  return read_yuv(object, name, false,
                  [&](py::handle plane, const char* what, std::initializer_list<int> channels) {
                    auto input = read_device_image<std::uint8_t>(plane, what, channels, stream);
                    *next++ = std::move(input.owner);
                    return input.view;
                  });
}

std::pair<void*, py::object> make_result(std::vector<std::int64_t> shape, cuda::Dtype dtype,
                                         const StreamArgument& stream) {
  const cuda::DeviceScope scope(stream.device);
  auto array = std::make_shared<cuda::Array>(std::move(shape), dtype);
  array->writer = stream.handle;
  array->owner = stream.owner;
  void* const data = array->memory.data();
  return {data, py::cast(std::move(array))};
}

namespace detail {

std::string shape_text(const std::vector<std::int64_t>& shape, const char* dtype) {
  std::string text;
  for (const auto side : shape) text += (text.empty() ? "(" : ", ") + std::to_string(side);
  return text + ") " + dtype;
}

std::string describe(const DeviceView& view) {
  return text_of(py::tuple(py::cast(view.shape))) + " " + view.dtype;
}

void require_image_shape(const DeviceView& view, const char* name,
                         std::initializer_list<int> channels, const char* dtype) {
  const std::string expected = expected_image(channels, dtype);
  if (view.dtype != dtype) throw_type(name, expected, describe(view));
  const std::size_t ndim = view.shape.size();
  const std::int64_t found = ndim == 2 ? 1 : ndim == 3 ? view.shape[2] : 0;
  bool allowed = false;
  for (const int c : channels) allowed = allowed || (c == found && (ndim == 2) == (c == 1));
  if (!allowed) throw ArgumentError(name, expected, describe(view));
  require_pixel_count(view.shape[0], view.shape[1], name);
}

void require_adjacent(const DeviceView& view, const char* name, int channels, std::size_t size) {
  const auto element = static_cast<std::int64_t>(size);
  const bool rows = view.strides[0] % element == 0 || view.shape[0] == 1;
  const bool columns = view.strides[1] == element * channels || view.shape[1] == 1;
  const bool interleaved = view.shape.size() == 2 || view.strides[2] == element;
  const bool aligned = reinterpret_cast<std::uintptr_t>(view.data) % size == 0;
  if (rows && columns && interleaved && aligned) return;
  throw ArgumentError(name, "rows of adjacent pixels", strides_text(view));
}

void require_out_shape(const DeviceView& view, const std::vector<std::int64_t>& shape,
                       const char* dtype) {
  const std::string expected = shape_text(shape, dtype);
  if (view.dtype != dtype) throw_type("out", expected, describe(view));
  if (view.shape != shape) throw ArgumentError("out", expected, describe(view));
  if (!view.writable) throw ArgumentError("out", "a writable array", "a read-only one");
}

void require_contiguous(const DeviceView& view, const char* name, std::size_t size) {
  const auto packed = packed_strides(view.shape, static_cast<std::int64_t>(size));
  bool same = reinterpret_cast<std::uintptr_t>(view.data) % size == 0;
  for (std::size_t i = 0; i < packed.size(); ++i) {
    same = same && (view.shape[i] == 1 || view.strides[i] == packed[i]);
  }
  if (!same) throw ArgumentError(name, "a C-contiguous array", strides_text(view));
}

}  // namespace detail
}  // namespace fastmatte
