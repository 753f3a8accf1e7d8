// fastmatte._core: the kernels. Convert, check, release the GIL, call, return.
#include <cmath>

#include "bindings/arguments.h"
#include "bindings/register.h"
#include "kernels/blur.h"
#include "kernels/composite.h"
#include "kernels/estimate_foreground.h"
#include "kernels/from_tensor.h"
#include "kernels/guided_filter.h"
#include "kernels/morphology.h"
#include "kernels/quantise.h"
#include "kernels/resize.h"
#include "kernels/to_tensor.h"

namespace fastmatte {
namespace {

// The array of result, once call has filled it without the GIL.
template <typename Result, typename Call>
py::array filled(const Result& result, const Call& call) {
  {
    const py::gil_scoped_release release;
    call();
  }
  return result.array;
}

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

// What dtype asks for or, where it is None, what out is: calls make(float or uint8 zero).
template <typename Make>
py::array with_alpha_dtype(py::handle dtype, py::handle out, const Make& make) {
  const bool bytes = dtype.is_none()
                         ? holds<std::uint8_t>(out)
                         : read_choice<bool>(dtype, "dtype", {{"float32", false}, {"uint8", true}});
  return bytes ? make(std::uint8_t{}) : make(float{});
}

struct GuidedArguments {
  Input<std::uint8_t> guide;
  Input<float> alpha;
  int radius;
  double eps;
};

GuidedArguments read_guided(py::handle guide, py::handle alpha, py::handle radius, py::handle eps) {
  return {read_image<std::uint8_t>(guide, "guide", {1, 3}), read_image<float>(alpha, "alpha", {1}),
          static_cast<int>(read_integer(radius, "radius", 1, kMaxPixels)),
          // Below this eps the float32 result is noise.
          read_number(eps, "eps", 1e-9)};
}

template <typename T>
py::array resize_array(py::handle image, std::pair<int, int> size, Filter filter, py::handle out,
                       int threads) {
  const auto input = read_image<T>(image, "image", {1, 3, 4});
  auto result = write_image<T>(out, size.first, size.second, input.view.channels);
  return filled(result, [&] { resize(input.view, result.view, filter, threads); });
}

struct PixelFormat {
  int channels;
  ChannelOrder order;
};

PixelFormat read_pixel_format(py::handle object) {
  return read_choice<PixelFormat>(object, "pixel_format",
                                  {{"rgb", {3, ChannelOrder::rgb}},
                                   {"bgr", {3, ChannelOrder::bgr}},
                                   {"rgba", {4, ChannelOrder::rgb}},
                                   {"bgra", {4, ChannelOrder::bgr}}});
}

// (x * scale - mean) / std as one multiplication and one addition.
Levels read_levels(py::handle scale, py::handle mean, py::handle std) {
  const double times = read_number(scale, "scale", std::numeric_limits<double>::lowest());
  const auto means = read_per_channel(mean, "mean");
  const auto deviations = read_per_channel(std, "std");
  Levels levels;
  for (std::size_t c = 0; c < 3; ++c) {
    if (deviations[c] <= 0) {
      throw ArgumentError("std", "three numbers above 0", detail::text_of(py::repr(std)));
    }
    levels.factor[c] = static_cast<float>(times / deviations[c]);
    levels.offset[c] = static_cast<float>(-means[c] / deviations[c]);
    if (!std::isfinite(levels.factor[c]) || !std::isfinite(levels.offset[c])) {
      throw ArgumentError("std", "scale / std and mean / std that float32 can hold",
                          detail::text_of(py::repr(std)));
    }
  }
  return levels;
}

}  // namespace

void register_kernels(py::module_& module) {
  module.attr("MIN_SIGMA") = kMinSigma;
  module.attr("MAX_SIGMA") = kMaxSigma;
  module.def("blur", [](py::object image, py::object sigma, py::object weight, py::object out,
                        py::object threads) {
    const auto input = read_image<std::uint8_t>(image, "image", {1, 3, 4});
    const double deviation = read_number(sigma, "sigma", kMinSigma, kMaxSigma);
    auto result =
        write_image<std::uint8_t>(out, input.view.height, input.view.width, input.view.channels);
    const int count = read_threads(threads);
    if (weight.is_none()) {
      return filled(result, [&] { blur(input.view, deviation, result.view, count); });
    }
    with_alpha(weight, "weight",
               [&](auto view) { blur(input.view, deviation, view, result.view, count); });
    return py::array(result.array);
  });
  module.def("composite", [](py::object foreground, py::object background, py::object alpha,
                             py::object linear_light, py::object out, py::object threads) {
    const auto image = read_image<std::uint8_t>(foreground, "foreground", {3});
    const auto behind = read_background(background, image.view);
    const auto mixing = read_flag(linear_light, "linear_light") ? Mixing::light : Mixing::levels;
    auto result = write_image<std::uint8_t>(out, image.view.height, image.view.width, 3);
    const int count = read_threads(threads);
    with_alpha(alpha, "alpha", [&](auto view) {
      composite(image.view, behind.view, view, mixing, result.view, count);
    });
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
  module.def("from_tensor", [](py::object tensor, py::object pixel_format, py::object out,
                               py::object threads) {
    const auto input = read_tensor<float>(tensor, "tensor", 3);
    const auto order = read_choice<ChannelOrder>(
        pixel_format, "pixel_format", {{"rgb", ChannelOrder::rgb}, {"bgr", ChannelOrder::bgr}});
    const int count = read_threads(threads);
    auto result = write_image<std::uint8_t>(out, input.view.height, input.view.width, 3);
    return filled(result, [&] { from_tensor(input.view, result.view, order, count); });
  });
  module.def("guided_filter", [](py::object guide, py::object alpha, py::object radius,
                                 py::object eps, py::object subsample, py::object dtype,
                                 py::object out, py::object threads) {
    const auto input = read_guided(guide, alpha, radius, eps);
    const int factor = static_cast<int>(read_integer(subsample, "subsample", 1, kMaxPixels));
    const int count = read_threads(threads);
    return with_alpha_dtype(dtype, out, [&](auto zero) {
      const auto& view = input.guide.view;
      const auto result = write_image<decltype(zero)>(out, view.height, view.width, 1);
      return filled(result, [&] {
        guided_filter(view, input.alpha.view, input.radius, input.eps, factor, result.view, count);
      });
    });
  });
  module.def("guided_upsample", [](py::object guide, py::object alpha, py::object radius,
                                   py::object eps, py::object unsure, py::object dtype,
                                   py::object out, py::object threads) {
    const auto input = read_guided(guide, alpha, radius, eps);
    const auto keep = unsure.is_none() ? std::optional<double>{} : read_number(unsure, "unsure", 0);
    const int count = read_threads(threads);
    return with_alpha_dtype(dtype, out, [&](auto zero) {
      const auto& view = input.guide.view;
      const auto result = write_image<decltype(zero)>(out, view.height, view.width, 1);
      return filled(result, [&] {
        guided_upsample(view, input.alpha.view, input.radius, input.eps, keep, result.view, count);
      });
    });
  });
  module.def("quantise", [](py::object alpha, py::object out, py::object threads) {
    const auto source = read_image<float>(alpha, "alpha", {1});
    auto result = write_image<std::uint8_t>(out, source.view.height, source.view.width, 1);
    const int count = read_threads(threads);
    return filled(result, [&] { quantise(source.view, result.view, count); });
  });
  module.def("resize", [](py::object image, py::object size, py::object filter, py::object out,
                          py::object threads) {
    const auto to = read_size(size, "size");
    const auto kind = read_choice<Filter>(filter, "filter",
                                          {{"nearest", Filter::nearest},
                                           {"bilinear", Filter::bilinear},
                                           {"area", Filter::area},
                                           {"bicubic", Filter::bicubic},
                                           {"lanczos3", Filter::lanczos3}});
    const int count = read_threads(threads);
    return holds<float>(image) ? resize_array<float>(image, to, kind, out, count)
                               : resize_array<std::uint8_t>(image, to, kind, out, count);
  });
  module.def("to_tensor", [](py::object image, py::object size, py::object filter, py::object scale,
                             py::object mean, py::object std, py::object pixel_format,
                             py::object layout, py::object out, py::object threads) {
    const PixelFormat format = read_pixel_format(pixel_format);
    const auto input = read_image<std::uint8_t>(image, "image", {format.channels});
    const auto [height, width] =
        size.is_none() ? std::pair(input.view.height, input.view.width) : read_size(size, "size");
    const auto kind = read_choice<Filter>(filter, "filter",
                                          {{"bilinear", Filter::bilinear}, {"area", Filter::area}});
    const Levels levels = read_levels(scale, mean, std);
    const auto order =
        read_choice<Layout>(layout, "layout", {{"nchw", Layout::nchw}, {"nhwc", Layout::nhwc}});
    const int count = read_threads(threads);
    auto result = write_tensor<float>(out, 3, height, width, order);
    return filled(result,
                  [&] { to_tensor(input.view, result.view, kind, format.order, levels, count); });
  });
  const auto def_rgba = [&](const char* name, auto kernel) {
    module.def(name, [kernel](py::object rgba, py::object out, py::object threads) {
      const auto image = read_image<std::uint8_t>(rgba, "rgba", {4});
      auto result = write_image<std::uint8_t>(out, image.view.height, image.view.width, 4);
      const int count = read_threads(threads);
      return filled(result, [&] { kernel(image.view, result.view, count); });
    });
  };
  // The kernel is called with alpha, radius, out and threads.
  const auto def_window = [&](const char* name, auto kernel) {
    module.def(name,
               [kernel](py::object alpha, py::object radius, py::object out, py::object threads) {
                 const int reach = static_cast<int>(read_integer(radius, "radius", 0, kMaxPixels));
                 const int count = read_threads(threads);
                 const auto run = [&](auto zero) -> py::array {
                   using Alpha = decltype(zero);
                   const auto input = read_image<Alpha>(alpha, "alpha", {1});
                   auto result = write_image<Alpha>(out, input.view.height, input.view.width, 1);
                   return filled(result, [&] { kernel(input.view, reach, result.view, count); });
                 };
                 return holds<std::uint8_t>(alpha) ? run(std::uint8_t{}) : run(float{});
               });
  };
  def_window("dilate", [](auto... arguments) { dilate(arguments...); });
  def_window("erode", [](auto... arguments) { erode(arguments...); });
  module.def("trimap", [](py::object alpha, py::object radius, py::object low, py::object high,
                          py::object out, py::object threads) {
    const int reach = static_cast<int>(read_integer(radius, "radius", 0, kMaxPixels));
    const auto background = static_cast<float>(read_number(low, "low", 0, 1));
    const auto foreground = static_cast<float>(read_number(high, "high", 0, 1));
    const int count = read_threads(threads);
    const auto run = [&](auto zero) -> py::array {
      const auto input = read_image<decltype(zero)>(alpha, "alpha", {1});
      auto result = write_image<std::uint8_t>(out, input.view.height, input.view.width, 1);
      return filled(result,
                    [&] { trimap(input.view, reach, background, foreground, result.view, count); });
    };
    return holds<std::uint8_t>(alpha) ? run(std::uint8_t{}) : run(float{});
  });
  def_rgba("premultiply", &premultiply);
  def_rgba("unpremultiply", &unpremultiply);
}

}  // namespace fastmatte
