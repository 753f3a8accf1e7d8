// fastmatte._core: instruction sets, threads and memory.
#include "bindings/arguments.h"
#include "bindings/register.h"
#include "core/parallel.h"
#include "core/stores.h"
#include "cpu/isa.h"
#include "kernels/arithmetic.h"

namespace fastmatte {

void register_cpu(py::module_& module) {
  module.def("available_isas", [] {
    py::list names;
    for (const Isa isa : available_isas()) names.append(std::string(name_of(isa)));
    return names;
  });
  module.def("active_isa", [] { return std::string(name_of(active_isa())); });
  module.def("force_isa", [](const std::string& name) { force_isa(name); }, py::arg("name"));
  module.def("default_threads", &default_threads);
  module.def("system_allocations", &system_allocations);
  module.def("take_peak_bytes", &take_peak_bytes);
  module.def("release_stored_blocks", &release_stored_blocks);
  module.def("limit_cached_bytes", &limit_cached_bytes, py::arg("bytes"));
  module.def("calculate", [](py::object rounds) {
    const int count = static_cast<int>(read_integer(rounds, "rounds", 1, kMaxPixels));
    const py::gil_scoped_release release;
    return calculate(count);
  });
  module.def("copy", [](py::object source, py::object out, py::object threads) {
    const auto from = read_image<std::uint8_t>(source, "source", {1});
    const auto to = write_image<std::uint8_t>(out, from.view.height, from.view.width, 1);
    const int count = read_threads(threads);
    const py::gil_scoped_release release;
    copy(from.view, to.view, count);
  });
  module.attr("MAX_PIXELS") = kMaxPixels;
  active_isa();  // an unusable FASTMATTE_CPU is reported by the import, not by the first frame
}

}  // namespace fastmatte
