// fastmatte._cuda: devices, streams, events, graphs and arrays.
#include "bindings/register_device.h"

#include <algorithm>
#include <deque>
#include <optional>
#include <thread>

#include "bindings/device_arguments.h"
#include "bindings/dlpack.h"
#include "bindings/workspaces.h"
#include "cuda/graph.h"

namespace fastmatte {
namespace {

// The streams last used; more than programs have, so that ones long gone keep no memory.
constexpr std::size_t kMostWorkspaces = 16;

struct KeptWorkspace {
  cudaStream_t stream;
  int device;
  std::thread::id thread;  // where each has a stream of its own by this name
  std::shared_ptr<SharedWorkspace> shared;
};

std::mutex workspaces_mutex;

std::deque<KeptWorkspace>& workspaces() {
  // Never destroyed: the runtime may be gone before it would be.
  static auto* const kept = new std::deque<KeptWorkspace>;
  return *kept;
}

const char* numpy_name(cuda::Dtype dtype) {
  return dtype == cuda::Dtype::uint8     ? "uint8"
         : dtype == cuda::Dtype::float16 ? "float16"
                                         : "float32";
}

cuda::Dtype read_dtype(py::handle object) {
  return read_choice<cuda::Dtype>(object, "dtype",
                                  {{"uint8", cuda::Dtype::uint8},
                                   {"float16", cuda::Dtype::float16},
                                   {"float32", cuda::Dtype::float32}});
}

std::shared_ptr<cuda::Array> make_array(std::vector<std::int64_t> shape, cuda::Dtype dtype,
                                        const StreamArgument& stream) {
  std::int64_t count = 1;
  for (const std::int64_t side : shape) {
    if (side < 1 || count > 16 * kMaxPixels / side) {
      throw ArgumentError("shape", "sides of at least 1, and not too many elements",
                          detail::text_of(py::tuple(py::cast(shape))));
    }
    count *= side;
  }
  const cuda::DeviceScope scope(stream.device);
  auto array = std::make_shared<cuda::Array>(std::move(shape), dtype);
  array->writer = stream.handle;
  array->owner = stream.owner;
  return array;
}

// C-contiguous values of the array's size, once they are there.
void send(const py::array& values, const cuda::Array& array, const StreamArgument& stream) {
  const void* const from = values.data();
  const py::gil_scoped_release release;
  cuda::check(cudaMemcpyAsync(array.memory.data(), from, array.memory.bytes(),
                              cudaMemcpyHostToDevice, stream.handle),
              "cudaMemcpyAsync");
  // values are read until here.
  cuda::check(cudaStreamSynchronize(stream.handle), "cudaStreamSynchronize");
}

std::shared_ptr<cuda::Array> upload(const py::array& values, const StreamArgument& stream) {
  const auto packed = py::array::ensure(values, py::array::c_style);
  const auto dtype = read_dtype(py::str(packed.dtype()));
  auto array = make_array({packed.shape(), packed.shape() + packed.ndim()}, dtype, stream);
  send(packed, *array, stream);
  return array;
}

py::array download(const cuda::Array& array, const StreamArgument& stream) {
  py::array values(py::dtype(numpy_name(array.dtype)),
                   std::vector<py::ssize_t>(array.shape.begin(), array.shape.end()));
  void* const to = values.mutable_data();
  const py::gil_scoped_release release;
  cuda::check(cudaMemcpyAsync(to, array.memory.data(), array.memory.bytes(), cudaMemcpyDeviceToHost,
                              stream.handle),
              "cudaMemcpyAsync");
  cuda::check(cudaStreamSynchronize(stream.handle), "cudaStreamSynchronize");
  return values;
}

py::dict interface_of(const cuda::Array& array) {
  py::dict interface;
  interface["shape"] = py::tuple(py::cast(array.shape));
  interface["typestr"] = array.dtype == cuda::Dtype::uint8     ? "|u1"
                         : array.dtype == cuda::Dtype::float16 ? "<f2"
                                                               : "<f4";
  interface["data"] = py::make_tuple(reinterpret_cast<std::uintptr_t>(array.memory.data()), false);
  interface["strides"] = py::none();
  interface["version"] = 3;
  // 1 stands for the default stream, which 0 may not.
  const auto writer = reinterpret_cast<std::uintptr_t>(array.writer);
  interface["stream"] = writer == 0 ? 1 : writer;
  return interface;
}

// What a DLPack capsule keeps: the array, and the shape that its tensor points to.
struct Exported {
  std::shared_ptr<cuda::Array> array;
  std::vector<std::int64_t> shape;
  DlManagedTensor managed;
};

py::capsule dlpack_of(const std::shared_ptr<cuda::Array>& array, py::handle stream) {
  // None is the default stream; -1 forbids to wait.
  const auto consumer = stream.is_none() ? 1
                                         : read_integer(stream, "stream", -1,
                                                        std::numeric_limits<std::int64_t>::max());
  if (consumer >= 0) {
    const auto reader = consumer <= 1 ? nullptr : reinterpret_cast<cudaStream_t>(consumer);
    if (reader != array->writer) {
      const cuda::DeviceScope scope(array->device);
      const cuda::Event event;
      event.record(array->writer);
      event.hold(reader);
    }
  }
  auto* const exported = new Exported{array, array->shape, {}};
  const auto bits = static_cast<std::uint8_t>(8 * size_of(array->dtype));
  const auto code = static_cast<std::uint8_t>(array->dtype == cuda::Dtype::uint8 ? 1 : 2);
  exported->managed = {{array->memory.data(),
                        {kDlCuda, array->device},
                        static_cast<std::int32_t>(exported->shape.size()),
                        {code, bits, 1},
                        exported->shape.data(),
                        nullptr,
                        0},
                       exported,
                       [](DlManagedTensor* self) { delete static_cast<Exported*>(self->context); }};
  return py::reinterpret_steal<py::capsule>(
      PyCapsule_New(&exported->managed, kDlUnused, [](PyObject* capsule) {
        if (!PyCapsule_IsValid(capsule, kDlUnused)) return;
        auto* const managed =
            static_cast<DlManagedTensor*>(PyCapsule_GetPointer(capsule, kDlUnused));
        managed->deleter(managed);
      }));
}

struct OwnedEvent {
  cuda::Event event;
  int device;
};

void require_device_of(const StreamArgument& stream, int device) {
  if (stream.device == device) return;
  throw ArgumentError("stream", "one of device " + std::to_string(device),
                      "one of device " + std::to_string(stream.device));
}

// A graph of free functions' calls, and what they took their scratch from.
struct OwnedGraph {
  std::shared_ptr<SharedWorkspace> shared;
  cuda::Graph graph;
  py::object function;  // and all memory it refers to
  py::object stream;    // whose work takes the same scratch
  int device;
};

}  // namespace

std::shared_ptr<SharedWorkspace> workspace_of(const StreamArgument& stream) {
  const bool own = stream.handle == cudaStreamPerThread;
  const auto thread = own ? std::this_thread::get_id() : std::thread::id{};
  const std::lock_guard lock(workspaces_mutex);
  auto& kept = workspaces();
  for (auto one = kept.begin(); one != kept.end(); ++one) {
    if (one->stream != stream.handle || one->device != stream.device || one->thread != thread) {
      continue;
    }
    const KeptWorkspace found = *one;
    kept.erase(one);
    kept.push_back(found);
    return found.shared;
  }
  if (kept.size() >= kMostWorkspaces) kept.pop_front();
  kept.push_back({stream.handle, stream.device, thread, std::make_shared<SharedWorkspace>()});
  return kept.back().shared;
}

void release_workspaces() {
  const std::lock_guard lock(workspaces_mutex);
  workspaces().clear();
}

void release_workspace(cudaStream_t stream) {
  const std::lock_guard lock(workspaces_mutex);
  auto& kept = workspaces();
  kept.erase(std::remove_if(kept.begin(), kept.end(),
                            [&](const auto& one) { return one.stream == stream; }),
             kept.end());
}

void register_device(py::module_& module) {
  module.def("missing_driver", &cuda::missing_driver);
  module.def("device_count", [] {
    cuda::require_driver();
    return cuda::device_count();
  });
  module.def("current_device", [] {
    cuda::require_driver();
    return cuda::current_device();
  });
  module.def("set_device", [](int device) {
    cuda::require_driver();
    cuda::check(cudaSetDevice(device), "cudaSetDevice");
  });
  module.def("device_info", [](int device) {
    cuda::require_driver();
    const auto info = cuda::device_info(device);
    return py::make_tuple(info.name, info.capability_major, info.capability_minor,
                          info.total_memory, info.multiprocessors);
  });
  module.def("free_memory", [] {
    cuda::require_driver();
    std::size_t free = 0, total = 0;
    cuda::check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
    return free;
  });
  module.def("release_workspaces", &release_workspaces);
#if defined(FASTMATTE_CUDA_EMULATED)
  module.def("live_bytes", &cuda::emulated::live_bytes);
  module.def("live_handles", &cuda::emulated::live_handles);
  module.def("set_driver", &cuda::emulated::set_driver);
  module.def("set_memory", &cuda::emulated::set_memory);
  // What runs on this device as a kernel would, and is captured as one: a network of Python's.
  module.def("enqueue", [](py::object stream, py::object function) {
    // A graph may go away where nobody has the GIL.
    const std::shared_ptr<py::object> call(new py::object(std::move(function)), [](auto* object) {
      const py::gil_scoped_acquire acquire;
      delete object;
    });
    cuda::emulated::enqueue(read_stream(stream).handle, [call] {
      const py::gil_scoped_acquire acquire;
      (*call)();
    });
  });
#endif

  // Local, for the emulated module has the same classes.
  py::class_<OwnedStream>(module, "Stream", py::module_local())
      .def(py::init([](int device) {
             cuda::require_driver();
             const cuda::DeviceScope scope(device);
             const auto end = [](const cuda::Stream* stream) {
               release_workspace(stream->get());
               delete stream;
             };
             return OwnedStream{std::shared_ptr<const cuda::Stream>(new cuda::Stream, end), device};
           }),
           py::arg("device"))
      .def_readonly("device", &OwnedStream::device)
      .def_property_readonly("ptr",
                             [](const OwnedStream& self) {
                               return reinterpret_cast<std::uintptr_t>(self.stream->get());
                             })
      .def("__cuda_stream__",
           [](const OwnedStream& self) {
             return py::make_tuple(0, reinterpret_cast<std::uintptr_t>(self.stream->get()));
           })
      .def("synchronize", [](const OwnedStream& self) {
        const py::gil_scoped_release release;
        self.stream->synchronize();
      });
  py::class_<OwnedEvent>(module, "Event", py::module_local())
      .def(py::init([](int device) {
             cuda::require_driver();
             const cuda::DeviceScope scope(device);
             return OwnedEvent{cuda::Event(cuda::Event::Timing::on), device};
           }),
           py::arg("device"))
      .def_readonly("device", &OwnedEvent::device)
      .def("record",
           [](const OwnedEvent& self, py::object stream) {
             const auto on = read_stream(stream);
             require_device_of(on, self.device);
             self.event.record(on.handle);
           })
      .def("synchronize",
           [](const OwnedEvent& self) {
             const py::gil_scoped_release release;
             self.event.synchronize();
           })
      .def("hold", [](const OwnedEvent& self,
                      py::object stream) { self.event.hold(read_stream(stream).handle); })
      .def("milliseconds_since", [](const OwnedEvent& self, const OwnedEvent& start) {
        return self.event.milliseconds_since(start.event);
      });
  py::class_<OwnedGraph>(module, "Graph", py::module_local())
      .def(py::init([](py::object function, py::object stream) {
             const auto on = read_stream(stream);
             auto shared = workspace_of(on);
             const cuda::DeviceScope scope(on.device);
             cuda::Graph graph = cuda::Graph::capture(on.handle, [&] { function(); });
             const std::lock_guard lock(shared->mutex);
             shared->workspace.retain();
             return OwnedGraph{std::move(shared), std::move(graph), std::move(function),
                               std::move(stream), on.device};
           }),
           py::arg("function"), py::arg("stream"))
      .def_property_readonly("nodes", [](const OwnedGraph& self) { return self.graph.nodes(); })
      .def("launch", [](const OwnedGraph& self, py::object stream) {
        const auto on = read_stream(stream);
        require_device_of(on, self.device);
        const auto home = read_stream(self.stream);
        const py::gil_scoped_release release;
        const cuda::DeviceScope scope(on.device);
        wait_for(home.handle, on);
        self.graph.launch(on.handle);
        wait_for(on.handle, home);
      });
  py::class_<cuda::Array, std::shared_ptr<cuda::Array>>(module, "Array", py::module_local())
      .def_property_readonly(
          "shape", [](const cuda::Array& self) { return py::tuple(py::cast(self.shape)); })
      .def_property_readonly("dtype",
                             [](const cuda::Array& self) { return numpy_name(self.dtype); })
      .def_readonly("device", &cuda::Array::device)
      .def_property_readonly("ptr",
                             [](const cuda::Array& self) {
                               return reinterpret_cast<std::uintptr_t>(self.memory.data());
                             })
      .def_property_readonly("nbytes", [](const cuda::Array& self) { return self.memory.bytes(); })
      .def_property_readonly("__cuda_array_interface__", &interface_of)
      .def("__dlpack_device__",
           [](const cuda::Array& self) { return py::make_tuple(kDlCuda, self.device); })
      .def(
          "__dlpack__",
          [](const std::shared_ptr<cuda::Array>& self, py::object stream, py::kwargs) {
            return dlpack_of(self, stream);
          },
          py::arg("stream") = py::none())
      .def("write",
           [](const cuda::Array& self, const py::array& values, py::object stream) {
             const std::vector<std::int64_t> shape(values.shape(), values.shape() + values.ndim());
             if (shape != self.shape || !py::dtype(numpy_name(self.dtype)).is(values.dtype()) ||
                 !(values.flags() & py::array::c_style)) {
               throw ArgumentError("values", "a C-contiguous array like this one",
                                   detail::text_of(py::tuple(py::cast(shape))) + " " +
                                       detail::text_of(values.dtype()));
             }
             // None is the default stream of the memory's own device.
             const cuda::DeviceScope scope(self.device);
             send(values, self, read_stream(stream));
           })
      .def(
          "numpy",
          [](const cuda::Array& self, py::object stream) {
            const cuda::DeviceScope scope(self.device);
            auto on = read_stream(stream);
            if (stream.is_none()) on.handle = self.writer;
            wait_for(self.writer, on);
            return download(self, on);
          },
          py::arg("stream") = py::none())
      .def("__repr__", [](const cuda::Array& self) {
        return "<fastmatte device array " + detail::text_of(py::tuple(py::cast(self.shape))) + " " +
               numpy_name(self.dtype) + ", device " + std::to_string(self.device) + ">";
      });
  module.def("empty", [](std::vector<std::int64_t> shape, py::object dtype, py::object stream) {
    return make_array(std::move(shape), read_dtype(dtype), read_stream(stream));
  });
  module.def("upload", [](const py::array& values, py::object stream) {
    return upload(values, read_stream(stream));
  });
}

}  // namespace fastmatte
