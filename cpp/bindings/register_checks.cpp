// fastmatte._core: checks alone, for Python code that looks at an array before a kernel does.
#include "bindings/arguments.h"
#include "bindings/register.h"
#include "kernels/alpha_range.h"

namespace fastmatte {

void register_checks(py::module_& module) {
  module.def("require_image", [](py::handle image, const std::string& name, int channels) {
    require_image<std::uint8_t>(image, name.c_str(), {channels});
  });
  module.def("require_alpha", [](py::handle alpha, const std::string& name, py::object threads) {
    const auto source = read_image<float>(alpha, name.c_str(), {1});
    const int count = read_threads(threads);
    const py::gil_scoped_release release;
    require_alpha(source.view, name.c_str(), count);
  });
  module.def("clamp_alpha", [](py::handle alpha, const std::string& name, py::object threads) {
    const auto array = require_image<float>(alpha, name.c_str(), {1});
    const auto target = write_image<float>(alpha, static_cast<int>(array.shape(0)),
                                           static_cast<int>(array.shape(1)), 1);
    const int count = read_threads(threads);
    const py::gil_scoped_release release;
    clamp_alpha(target.view, name.c_str(), count);
  });
  module.def("require_alpha_out", [](py::handle out, int height, int width) {
    if (holds<std::uint8_t>(out)) {
      write_image<std::uint8_t>(out, height, width, 1);
    } else {
      write_image<float>(out, height, width, 1);
    }
  });
}

}  // namespace fastmatte
