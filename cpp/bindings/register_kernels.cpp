// fastmatte._core: the kernels. Convert, check, release the GIL, call, return.
#include "bindings/arguments.h"
#include "bindings/register.h"
#include "bindings/yuv_frames.h"
#include "core/require.h"
#include "kernels/blur.h"
#include "kernels/carry.h"
#include "kernels/composite.h"
#include "kernels/estimate_foreground.h"
#include "kernels/from_tensor.h"
#include "kernels/guided_filter.h"
#include "kernels/morphology.h"
#include "kernels/quantise.h"
#include "kernels/resize.h"
#include "kernels/smoothing.h"
#include "kernels/to_tensor.h"
#include "kernels/yuv.h"

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

// A background: an image, or one row of a colour that stands for all rows of the foreground's size.
Input<std::uint8_t> read_background(py::handle object, int height, int width) {
  if (py::isinstance<py::array>(object)) {
    return read_image<std::uint8_t>(object, "background", {3});
  }
  const auto colour =
      read_colour(object, "background", "an (H, W, 3) uint8 array or a colour (r, g, b)");
  Buffer<std::uint8_t> row(3 * static_cast<std::size_t>(width));
  for (int x = 0; x < width; ++x) std::memcpy(row.data() + 3 * x, colour.data(), 3);
  ImageView<const std::uint8_t> view{row.data(), height, width, 3, 0};
  return {view, std::move(row), {}};
}

ChannelOrder read_colour_order(py::handle object) {
  return read_choice<ChannelOrder>(object, "pixel_format",
                                   {{"rgb", ChannelOrder::rgb}, {"bgr", ChannelOrder::bgr}});
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

// Two numbers of a gate: where it begins to open and where it is open.
std::pair<double, double> read_range(py::handle object, const char* name, double high) {
  if (!py::isinstance<py::sequence>(object) || py::isinstance<py::str>(object) ||
      py::len(object) != 2) {
    detail::throw_type(name, "two numbers", detail::text_of(py::repr(object)));
  }
  const auto pair = py::reinterpret_borrow<py::sequence>(object);
  return {read_number(py::object(pair[0]), name, 0, high),
          read_number(py::object(pair[1]), name, 0, high)};
}

template <typename T, typename Out>
py::array resize_array(py::handle image, std::pair<int, int> size, Filter filter, py::handle out,
                       int threads) {
  const auto input = read_image<T>(image, "image", {1, 3, 4});
  auto result = write_image<Out>(out, size.first, size.second, input.view.channels);
  return filled(result, [&] { resize(input.view, result.view, filter, threads); });
}

// The planes of a frame, and the arrays that hold them.
struct YuvInput {
  Input<std::uint8_t> arrays[3];
  YuvImage view;
};

YuvInput read_frame(py::handle object, bool planar, py::handle matrix, py::handle range) {
  YuvInput input;
  auto* next = input.arrays;
  input.view =
      read_yuv(object, "image", planar,
               [&](py::handle plane, const char* name, std::initializer_list<int> channels) {
                 *next = read_image<std::uint8_t>(plane, name, channels);
                 return (next++)->view;
               });
  input.view.matrix = read_yuv_matrix(matrix);
  input.view.range = read_yuv_range(range);
  return input;
}

struct YuvOutput {
  YuvPlanes view;
  py::tuple arrays;
};

// Planes (y, u, v) for a frame of this size: out, checked, or new ones where it is None.
YuvOutput write_yuv(py::handle out, int height, int width) {
  if (!out.is_none() && (!py::isinstance<py::tuple>(out) || py::len(out) != 3)) {
    detail::throw_type("out", "planes (y, u, v)", detail::type_name(out));
  }
  const auto plane = [&](std::size_t i, int h, int w) {
    const auto given = out.is_none() ? py::object(py::none())
                                     : py::object(py::reinterpret_borrow<py::tuple>(out)[i]);
    return write_image<std::uint8_t>(given, h, w, 1);
  };
  const auto y = plane(0, height, width);
  const auto u = plane(1, height / 2, width / 2), v = plane(2, height / 2, width / 2);
  require_apart(u.view, y.view, "out[0]");
  require_apart(v.view, y.view, "out[0]");
  require_apart(v.view, u.view, "out[1]");
  return {{y.view, u.view, v.view}, py::make_tuple(y.array, u.array, v.array)};
}

// (x, y, width, height) inside an image, all of it where object is None; multiples of step.
Box read_crop(py::handle object, int height, int width, int step) {
  if (object.is_none()) return {0, 0, width, height};
  if (!py::isinstance<py::sequence>(object) || py::isinstance<py::str>(object) ||
      py::len(object) != 4) {
    detail::throw_type("crop", "(x, y, width, height)", detail::text_of(py::repr(object)));
  }
  std::array<int, 4> values{};
  for (std::size_t i = 0; i < 4; ++i) {
    values[i] =
        static_cast<int>(read_integer(py::object(py::reinterpret_borrow<py::sequence>(object)[i]),
                                      "crop", i < 2 ? 0 : 1, kMaxPixels));
  }
  const Box box{values[0], values[1], values[2], values[3]};
  if (box.x > width - box.width || box.y > height - box.height) {
    throw ArgumentError("crop", "a part of the image, " + text_of_size(height, width),
                        detail::text_of(py::repr(object)));
  }
  for (const int value : values) {
    if (value % step == 0) continue;
    throw ArgumentError("crop", "even numbers, for chroma has half the size",
                        detail::text_of(py::repr(object)));
  }
  return box;
}

template <typename T>
ImageView<T> part_of(ImageView<T> image, Box box) {
  return {image.row(box.y) + std::ptrdiff_t{box.x} * image.channels, box.height, box.width,
          image.channels, image.row_stride};
}

// Calls run(image, order): what to_tensor reads, of a size that crop has cut.
template <typename Run>
py::array with_frame(py::handle image, py::handle pixel_format, py::handle crop, py::handle matrix,
                     py::handle range, const Run& run) {
  const PixelFormat format = read_pixel_format(pixel_format);
  if (format.planes == Planes::interleaved) {
    const auto input = read_image<std::uint8_t>(image, "image", {format.channels});
    const auto& view = input.view;
    return run(part_of(view, read_crop(crop, view.height, view.width, 1)), format.order);
  }
  const auto input = read_frame(image, format.planes == Planes::i420, matrix, range);
  YuvImage view = input.view;
  const Box box = read_crop(crop, view.y.height, view.y.width, 2);
  const Box half{box.x / 2, box.y / 2, box.width / 2, box.height / 2};
  view.y = part_of(view.y, box);
  view.u = part_of(view.u, half);
  if (view.v.data) view.v = part_of(view.v, half);
  return run(view, format.order);
}

ImageView<const std::uint8_t> first_plane(ImageView<const std::uint8_t> image) { return image; }
ImageView<const std::uint8_t> first_plane(const YuvImage& image) { return image.y; }

template <typename T>
void to_tensor(const YuvImage& image, TensorView<T> out, const Placement& place, Filter filter,
               ChannelOrder, const Levels& levels, int threads) {
  fastmatte::to_tensor(image, out, place, filter, levels, threads);
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
  module.def("carry", [](py::object before, py::object image, py::object alpha, py::object out,
                         py::object threads) {
    const auto earlier = read_image<std::uint8_t>(before, "before", {1});
    const auto now = read_image<std::uint8_t>(image, "image", {1});
    const auto matte = read_image<float>(alpha, "alpha", {1});
    const int count = read_threads(threads);
    const auto result = write_image<float>(out, matte.view.height, matte.view.width, 1);
    return filled(result, [&] { carry(earlier.view, now.view, matte.view, result.view, count); });
  });
  module.def("composite", [](py::object foreground, py::object background, py::object alpha,
                             py::object linear_light, py::object out, py::object threads) {
    const auto image = read_image<std::uint8_t>(foreground, "foreground", {3});
    const auto behind = read_background(background, image.view.height, image.view.width);
    const auto mixing = read_flag(linear_light, "linear_light") ? Mixing::light : Mixing::levels;
    auto result = write_image<std::uint8_t>(out, image.view.height, image.view.width, 3);
    const int count = read_threads(threads);
    with_alpha(alpha, "alpha", [&](auto view) {
      composite(image.view, behind.view, view, mixing, result.view, count);
    });
    return result.array;
  });
  module.def("composite_tensor", [](py::object tensor, py::object background, py::object alpha,
                                    py::object pixel_format, py::object out, py::object threads) {
    const auto input = read_tensor<float>(tensor, "tensor", 3);
    const auto behind = read_background(background, input.view.height, input.view.width);
    const auto matte = read_image<float>(alpha, "alpha", {1});
    const auto order = read_colour_order(pixel_format);
    auto result = write_image<std::uint8_t>(out, input.view.height, input.view.width, 3);
    const int count = read_threads(threads);
    return filled(result, [&] {
      composite_tensor(input.view, order, behind.view, matte.view, result.view, count);
    });
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
    const auto chosen =
        read_choice<ForegroundMethod>(method, "method",
                                      {{"blur_fusion", ForegroundMethod::blur_fusion},
                                       {"multilevel", ForegroundMethod::multilevel}});
    auto result = write_image<std::uint8_t>(out, input.view.height, input.view.width, 3);
    const int count = read_threads(threads);
    with_alpha(alpha, "alpha", [&](auto view) {
      estimate_foreground(input.view, view, chosen, result.view, count);
    });
    return result.array;
  });
  module.def("from_tensor",
             [](py::object tensor, py::object pixel_format, py::object out, py::object threads) {
               const auto input = read_tensor<float>(tensor, "tensor", 3);
               const auto order = read_colour_order(pixel_format);
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
  module.def("motion_adaptive_filter", [](py::object before, py::object image,
                                          py::object alpha_before, py::object alpha,
                                          py::object weight, py::object radius, py::object motion,
                                          py::object jump, py::object out, py::object threads) {
    const auto earlier = read_image<std::uint8_t>(before, "before", {3});
    const auto now = read_image<std::uint8_t>(image, "image", {3});
    const auto alpha_earlier = read_image<float>(alpha_before, "alpha_before", {1});
    const auto alpha_now = read_image<float>(alpha, "alpha", {1});
    const double least = read_number(weight, "weight", 1e-3, 1);
    const int reach = static_cast<int>(read_integer(radius, "radius", 0, kMaxMotionRadius));
    const auto [motion_low, motion_high] = read_range(motion, "motion", 255);
    const auto [jump_low, jump_high] = read_range(jump, "jump", 1);
    const MotionGate gate{least, motion_low, motion_high, jump_low, jump_high};
    const int count = read_threads(threads);
    const auto result = write_image<float>(out, now.view.height, now.view.width, 1);
    return filled(result, [&] {
      motion_adaptive_filter(earlier.view, now.view, alpha_earlier.view, alpha_now.view, gate,
                             reach, result.view, count);
    });
  });
  module.def("one_frame_delay", [](py::object before, py::object alpha, py::object after,
                                   py::object threshold, py::object out, py::object threads) {
    const auto earlier = read_image<float>(before, "before", {1});
    const auto now = read_image<float>(alpha, "alpha", {1});
    const auto later = read_image<float>(after, "after", {1});
    const auto most = static_cast<float>(read_number(threshold, "threshold", 0, 1));
    const int count = read_threads(threads);
    const auto result = write_image<float>(out, now.view.height, now.view.width, 1);
    return filled(result, [&] {
      one_frame_delay(earlier.view, now.view, later.view, most, result.view, count);
    });
  });
  module.def("quantise", [](py::object alpha, py::object out, py::object threads) {
    const auto source = read_image<float>(alpha, "alpha", {1});
    auto result = write_image<std::uint8_t>(out, source.view.height, source.view.width, 1);
    const int count = read_threads(threads);
    return filled(result, [&] { quantise(source.view, result.view, count); });
  });
  module.def("resize", [](py::object image, py::object size, py::object filter, py::object dtype,
                          py::object out, py::object threads) {
    const auto to = read_size(size, "size");
    const auto kind = read_filter(filter);
    const int count = read_threads(threads);
    if (!holds<float>(image)) {
      if (!dtype.is_none()) read_choice<bool>(dtype, "dtype", {{"uint8", true}});
      return resize_array<std::uint8_t, std::uint8_t>(image, to, kind, out, count);
    }
    return with_alpha_dtype(dtype, out, [&](auto zero) {
      return resize_array<float, decltype(zero)>(image, to, kind, out, count);
    });
  });
  module.def("letterbox", [](py::object image_size, py::object size) {
    const auto [image_height, image_width] = read_size(image_size, "image_size");
    const auto [height, width] = read_size(size, "size");
    const Box box = letterbox(image_height, image_width, height, width);
    return py::make_tuple(box.x, box.y, box.width, box.height);
  });
  module.def(
      "to_tensor", [](py::object image, py::object size, py::object crop, py::object around,
                      py::object filter, py::object scale, py::object mean, py::object std,
                      py::object pixel_format, py::object matrix, py::object range,
                      py::object layout, py::object dtype, py::object out, py::object threads) {
        return with_frame(
            image, pixel_format, crop, matrix, range, [&](const auto& frame, ChannelOrder colours) {
              const auto view = first_plane(frame);
              const auto [height, width] =
                  size.is_none() ? std::pair(view.height, view.width) : read_size(size, "size");
              Placement place{{0, 0, width, height}};
              if (!around.is_none()) {
                const auto colour = read_colour(around, "letterbox", "a colour (r, g, b)");
                std::copy(colour.begin(), colour.end(), place.around);
                place.box = letterbox(view.height, view.width, height, width);
              }
              const auto kind = read_choice<Filter>(
                  filter, "filter", {{"bilinear", Filter::bilinear}, {"area", Filter::area}});
              const Levels levels = read_levels(scale, mean, std);
              const auto order = read_choice<Layout>(
                  layout, "layout", {{"nchw", Layout::nchw}, {"nhwc", Layout::nhwc}});
              const bool half =
                  dtype.is_none()
                      ? holds<Half>(out)
                      : read_choice<bool>(dtype, "dtype", {{"float32", false}, {"float16", true}});
              const int count = read_threads(threads);
              const auto fill = [&](auto zero) {
                auto result = write_tensor<decltype(zero)>(out, 3, height, width, order);
                return filled(result, [&] {
                  to_tensor(frame, result.view, place, kind, colours, levels, count);
                });
              };
              return half ? fill(Half{}) : fill(float{});
            });
      });
  module.def("rgb_to_yuv", [](py::object image, py::object matrix, py::object range, py::object out,
                              py::object threads) {
    const auto input = read_image<std::uint8_t>(image, "image", {3});
    const auto& view = input.view;
    if (view.height % 2 != 0 || view.width % 2 != 0) {
      throw ArgumentError("image", "even height and width", text_of_size(view.height, view.width));
    }
    const YuvMatrix of_colours = read_yuv_matrix(matrix);
    const YuvRange of_levels = read_yuv_range(range);
    const auto result = write_yuv(out, view.height, view.width);
    const int count = read_threads(threads);
    {
      const py::gil_scoped_release release;
      rgb_to_yuv(view, of_colours, of_levels, result.view, count);
    }
    return result.arrays;
  });
  module.def("yuv_to_rgb", [](py::object image, py::object pixel_format, py::object matrix,
                              py::object range, py::object out, py::object threads) {
    const bool planar =
        read_choice<bool>(pixel_format, "pixel_format", {{"i420", true}, {"nv12", false}});
    const auto input = read_frame(image, planar, matrix, range);
    const auto& luma = input.view.y;
    const int count = read_threads(threads);
    auto result = write_image<std::uint8_t>(out, luma.height, luma.width, 3);
    return filled(result, [&] { yuv_to_rgb(input.view, result.view, count); });
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
