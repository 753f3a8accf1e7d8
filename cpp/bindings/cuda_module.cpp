// fastmatte._cuda, or the same on the processor: what is there, and the list of its parts.
#include <pybind11/pybind11.h>

#include "bindings/register_device.h"
#include "cuda/pipeline.h"
#include "cuda/runtime.h"

namespace {

namespace py = pybind11;

// The classes of fastmatte.errors, which this module must not import before it is used.
void raise(const char* name, const std::exception& error) {
  const py::object type = py::module_::import("fastmatte.errors").attr(name);
  PyErr_SetString(type.ptr(), error.what());
}

void translate(std::exception_ptr pointer) {
  try {
    if (pointer) std::rethrow_exception(pointer);
  } catch (const fastmatte::cuda::DeviceMemoryError& error) {
    raise("DeviceMemoryError", error);
  } catch (const fastmatte::cuda::DeviceError& error) {
    raise("DeviceError", error);
  } catch (const fastmatte::cuda::OutputError& error) {
    raise("ModelError", error);
  }
}

}  // namespace

PYBIND11_MODULE(FASTMATTE_CUDA_MODULE, module, py::mod_gil_not_used()) {
  py::register_local_exception_translator(&translate);
  module.attr("__version__") = FASTMATTE_VERSION;
  fastmatte::register_device(module);
  fastmatte::register_device_kernels(module);
  fastmatte::register_device_pipeline(module);
}
