// The parts of fastmatte._cuda.
#pragma once

#include <pybind11/pybind11.h>

namespace fastmatte {

void register_device(pybind11::module_& module);
void register_device_kernels(pybind11::module_& module);
void register_device_pipeline(pybind11::module_& module);

}  // namespace fastmatte
