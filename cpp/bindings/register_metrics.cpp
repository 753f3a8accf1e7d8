// fastmatte._core: the metrics.
#include <optional>
#include <tuple>
#include <variant>

#include "bindings/arguments.h"
#include "bindings/register.h"
#include "kernels/metrics.h"

namespace fastmatte {
namespace {

// Alpha of either dtype, packed where it must be.
struct InputAlpha {
  InputAlpha(py::handle object, const char* name) {
    if (holds<std::uint8_t>(object)) {
      bytes = read_image<std::uint8_t>(object, name, {1});
      view = bytes.view;
    } else {
      floats = read_image<float>(object, name, {1});
      view = floats.view;
    }
  }

  Input<std::uint8_t> bytes;
  Input<float> floats;
  AlphaView view;
};

struct InputTrimap {
  explicit InputTrimap(py::handle object) {
    if (object.is_none()) return;
    trimap = read_image<std::uint8_t>(object, "trimap", {1});
    view = trimap.view;
  }

  Input<std::uint8_t> trimap;
  TrimapView view;
};

// Defines name(alpha, truth, trimap, threads) in Python, returning what error() does.
template <typename Error>
void def_error(py::module_& module, const char* name, Error error) {
  module.def(name,
             [error](py::object alpha, py::object truth, py::object trimap, py::object threads) {
               const InputAlpha estimated(alpha, "alpha"), exact(truth, "truth");
               const InputTrimap unknown(trimap);
               const int count = read_threads(threads);
               const py::gil_scoped_release release;
               return error(estimated.view, exact.view, unknown.view, count);
             });
}

}  // namespace

void register_metrics(py::module_& module) {
  def_error(module, "alpha_error", [](const auto&... arguments) {
    const AlphaError error = alpha_error(arguments...);
    return std::tuple(error.absolute, error.squares, error.count);
  });
  def_error(module, "gradient_error", &gradient_error);
  def_error(module, "connectivity_error", &connectivity_error);
  module.def("temporal_error",
             [](py::object alpha_before, py::object alpha, py::object truth_before,
                py::object truth, py::object trimap, py::object threads) {
               const InputAlpha a0(alpha_before, "alphas"), a1(alpha, "alphas");
               const InputAlpha t0(truth_before, "truths"), t1(truth, "truths");
               const InputTrimap unknown(trimap);
               const int count = read_threads(threads);
               const py::gil_scoped_release release;
               return temporal_error(a0.view, a1.view, t0.view, t1.view, unknown.view, count);
             });
}

}  // namespace fastmatte
