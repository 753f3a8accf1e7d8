// fastmatte._core: the list of its parts.
#include <pybind11/pybind11.h>

#include "bindings/register.h"

PYBIND11_MODULE(_core, module, pybind11::mod_gil_not_used()) {
  module.attr("__version__") = FASTMATTE_VERSION;
  fastmatte::register_checks(module);
  fastmatte::register_cpu(module);
  fastmatte::register_kernels(module);
  fastmatte::register_metrics(module);
}
