// fastmatte._core: the kernels. Convert, check, release the GIL, call, return.
#include "bindings/arguments.h"
#include "bindings/register.h"
#include "kernels/blur.h"
#include "kernels/composite.h"
#include "kernels/estimate_foreground.h"

namespace fastmatte {
namespace {

// Runs call(alpha view) without the GIL for alpha of either dtype.
template <typename Call>
void with_alpha(py::handle object, const char* name, const Call& call) {
  if (holds<std::uint8_t>(object)) {
    const auto alpha = read_image<std::uint8_t>(object, name, {1});
    const py::gil_scoped_release release;
    call(alpha.view);
  } else {
    const auto alpha = read_image<float>(object, name, {1});
    const py::gil_scoped_release release;
    call(alpha.view);
  }
}

// A background: an image of the foreground's size, or one row of a colour that stands for all rows.
Input<std::uint8_t> read_background(py::handle object, ImageView<const std::uint8_t> foreground) {
  if (py::isinstance<py::array>(object)) {
    return read_image<std::uint8_t>(object, "background", {3});
  }
  if (!py::isinstance<py::sequence>(object) || py::isinstance<py::str>(object) ||
      py::len(object) != 3) {
    detail::throw_type("background", "an (H, W, 3) uint8 array or a colour (r, g, b)",
                       detail::text_of(py::repr(object)));
  }
  std::array<std::uint8_t, 3> colour{};
  for (std::size_t c = 0; c < 3; ++c) {
    colour[c] = static_cast<std::uint8_t>(read_integer(
        py::object(py::reinterpret_borrow<py::sequence>(object)[c]), "background", 0, 255));
  }
  Buffer<std::uint8_t> row(static_cast<std::size_t>(foreground.row_elements()));
  for (int x = 0; x < foreground.width; ++x) std::memcpy(row.data() + 3 * x, colour.data(), 3);
  ImageView<const std::uint8_t> view{row.data(), foreground.height, foreground.width, 3, 0};
  return {view, std::move(row), {}};
}

}  // namespace

void register_kernels(py::module_& module) {
  module.def("blur", [](py::object image, py::object sigma, py::object weight, py::object out,
                        py::object threads) {
    const auto input = read_image<std::uint8_t>(image, "image", {1, 3, 4});
    const double deviation = read_number(sigma, "sigma", kMinSigma, kMaxSigma);
    auto result =
        write_image<std::uint8_t>(out, input.view.height, input.view.width, input.view.channels);
    const int count = read_threads(threads);
    if (weight.is_none()) {
      const py::gil_scoped_release release;
      blur(input.view, deviation, result.view, count);
    } else {
      with_alpha(weight, "weight",
                 [&](auto view) { blur(input.view, deviation, view, result.view, count); });
    }
    return result.array;
  });
  module.def("composite", [](py::object foreground, py::object background, py::object alpha,
                             py::object out, py::object threads) {
    const auto image = read_image<std::uint8_t>(foreground, "foreground", {3});
    const auto behind = read_background(background, image.view);
    auto result = write_image<std::uint8_t>(out, image.view.height, image.view.width, 3);
    const int count = read_threads(threads);
    with_alpha(alpha, "alpha",
               [&](auto view) { composite(image.view, behind.view, view, result.view, count); });
    return result.array;
  });
  module.def("cutout", [](py::object foreground, py::object alpha, py::object out,
                          py::object threads) {
    const auto image = read_image<std::uint8_t>(foreground, "foreground", {3});
    auto result = write_image<std::uint8_t>(out, image.view.height, image.view.width, 4);
    const int count = read_threads(threads);
    with_alpha(alpha, "alpha", [&](auto view) { cutout(image.view, view, result.view, count); });
    return result.array;
  });
  module.def("estimate_foreground", [](py::object image, py::object alpha, py::object method,
                                       py::object out, py::object threads) {
    const auto input = read_image<std::uint8_t>(image, "image", {3});
    const auto chosen = read_choice<ForegroundMethod>(
        method, "method", {{"blur_fusion", ForegroundMethod::blur_fusion}});
    auto result = write_image<std::uint8_t>(out, input.view.height, input.view.width, 3);
    const int count = read_threads(threads);
    with_alpha(alpha, "alpha", [&](auto view) {
      estimate_foreground(input.view, view, chosen, result.view, count);
    });
    return result.array;
  });
  const auto def_rgba = [&](const char* name, auto kernel) {
    module.def(name, [kernel](py::object rgba, py::object out, py::object threads) {
      const auto image = read_image<std::uint8_t>(rgba, "rgba", {4});
      auto result = write_image<std::uint8_t>(out, image.view.height, image.view.width, 4);
      const int count = read_threads(threads);
      {
        const py::gil_scoped_release release;
        kernel(image.view, result.view, count);
      }
      return result.array;
    });
  };
  def_rgba("premultiply", &premultiply);
  def_rgba("unpremultiply", &unpremultiply);
}

}  // namespace fastmatte
