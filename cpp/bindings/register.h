// The parts of fastmatte._core.
#pragma once

#include <pybind11/pybind11.h>

namespace fastmatte {

void register_checks(pybind11::module_& module);
void register_cpu(pybind11::module_& module);
void register_kernels(pybind11::module_& module);
void register_metrics(pybind11::module_& module);

}  // namespace fastmatte
