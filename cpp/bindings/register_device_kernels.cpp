// fastmatte._cuda: the kernels. Convert, check, release the GIL, enqueue, return.
#include "bindings/device_arguments.h"
#include "bindings/register_device.h"
#include "bindings/workspaces.h"
#include "bindings/yuv_frames.h"
#include "cuda/kernels.h"
#include "kernels/blur.h"

namespace fastmatte {
namespace {

// An nv12 frame, and what holds it.
struct DeviceYuv {
  YuvImage view;
  py::object owners[2];
};

DeviceYuv read_frame(py::handle object, py::handle matrix, py::handle range,
                     const StreamArgument& stream) {
  DeviceYuv input;
  input.view = read_device_nv12(object, "image", stream, input.owners);
  input.view.matrix = read_yuv_matrix(matrix);
  input.view.range = read_yuv_range(range);
  return input;
}

// Enqueues call(workspace) on the stream without the GIL, and returns what the caller gets.
template <typename Call>
py::object enqueued(const StreamArgument& stream, const py::object& result, const Call& call) {
  const auto shared = workspace_of(stream);
  {
    const py::gil_scoped_release release;
    const cuda::DeviceScope scope(stream.device);
    const std::lock_guard lock(shared->mutex);
    call(shared->workspace);
  }
  return result;
}

// The result of run(alpha view) for alpha of either dtype.
template <typename Run>
py::object with_device_alpha(py::handle object, const char* name, const StreamArgument& stream,
                             const Run& run) {
  if (holds_on_device(object, "uint8")) {
    const auto alpha = read_device_image<std::uint8_t>(object, name, {1}, stream);
    return run(alpha.view);
  }
  const auto alpha = read_device_image<float>(object, name, {1}, stream);
  return run(alpha.view);
}

// What dtype asks for or, where it is None, what out is: calls make(float or uint8 zero).
template <typename Make>
py::object with_device_dtype(py::handle dtype, py::handle out, const Make& make) {
  const bool bytes = dtype.is_none()
                         ? !out.is_none() && holds_on_device(out, "uint8")
                         : read_choice<bool>(dtype, "dtype", {{"float32", false}, {"uint8", true}});
  return bytes ? make(std::uint8_t{}) : make(float{});
}

template <typename T, typename Out>
py::object resize_on_device(py::handle image, std::pair<int, int> size, Filter filter,
                            py::handle out, const StreamArgument& stream) {
  const auto input = read_device_image<T>(image, "image", {1, 3, 4}, stream);
  const auto result =
      write_device_image<Out>(out, size.first, size.second, input.view.channels, stream);
  return enqueued(stream, result.object, [&](cuda::Workspace& workspace) {
    cuda::resize(input.view, result.view, filter, workspace, stream.handle);
  });
}

}  // namespace

void register_device_kernels(py::module_& module) {
  module.def("blur", [](py::object image, py::object sigma, py::object weight, py::object out,
                        py::object on) {
    const auto stream = read_stream(on);
    const auto input = read_device_image<std::uint8_t>(image, "image", {1, 3, 4}, stream);
    const double deviation = read_number(sigma, "sigma", kMinSigma, kMaxSigma);
    const auto result = write_device_image<std::uint8_t>(out, input.view.height, input.view.width,
                                                         input.view.channels, stream);
    const auto run = [&](auto view) {
      return enqueued(stream, result.object, [&](cuda::Workspace& workspace) {
        cuda::blur(input.view, deviation, view, result.view, workspace, stream.handle);
      });
    };
    if (weight.is_none()) return run(ImageView<const std::uint8_t>{});
    return with_device_alpha(weight, "weight", stream, run);
  });
  module.def("composite", [](py::object foreground, py::object background, py::object alpha,
                             py::object out, py::object on) {
    const auto stream = read_stream(on);
    const auto image = read_device_image<std::uint8_t>(foreground, "foreground", {3}, stream);
    cuda::Background behind{};
    DeviceInput<std::uint8_t> plate;
    if (py::isinstance<py::tuple>(background) || py::isinstance<py::list>(background)) {
      const auto colour = read_colour(background, "background", "a colour (r, g, b)");
      std::copy(colour.begin(), colour.end(), behind.colour);
    } else {
      plate = read_device_image<std::uint8_t>(background, "background", {3}, stream);
      behind.image = plate.view;
    }
    const auto result =
        write_device_image<std::uint8_t>(out, image.view.height, image.view.width, 3, stream);
    return with_device_alpha(alpha, "alpha", stream, [&](auto view) {
      return enqueued(stream, result.object, [&](cuda::Workspace&) {
        cuda::composite(image.view, behind, view, result.view, stream.handle);
      });
    });
  });
  module.def("cutout", [](py::object foreground, py::object alpha, py::object out, py::object on) {
    const auto stream = read_stream(on);
    const auto image = read_device_image<std::uint8_t>(foreground, "foreground", {3}, stream);
    const auto result =
        write_device_image<std::uint8_t>(out, image.view.height, image.view.width, 4, stream);
    return with_device_alpha(alpha, "alpha", stream, [&](auto view) {
      return enqueued(stream, result.object, [&](cuda::Workspace&) {
        cuda::cutout(image.view, view, result.view, stream.handle);
      });
    });
  });
  module.def(
      "estimate_foreground", [](py::object image, py::object alpha, py::object out, py::object on) {
        const auto stream = read_stream(on);
        const auto input = read_device_image<std::uint8_t>(image, "image", {3}, stream);
        const auto result =
            write_device_image<std::uint8_t>(out, input.view.height, input.view.width, 3, stream);
        return with_device_alpha(alpha, "alpha", stream, [&](auto view) {
          return enqueued(stream, result.object, [&](cuda::Workspace& workspace) {
            cuda::estimate_foreground(input.view, view, result.view, workspace, stream.handle);
          });
        });
      });
  module.def(
      "from_tensor", [](py::object tensor, py::object pixel_format, py::object out, py::object on) {
        const auto stream = read_stream(on);
        const auto order = read_choice<ChannelOrder>(
            pixel_format, "pixel_format", {{"rgb", ChannelOrder::rgb}, {"bgr", ChannelOrder::bgr}});
        const auto join = [&](auto zero) {
          using T = decltype(zero);
          const auto planes = read_device_planes<T>(tensor, "tensor", stream);
          const auto result = write_device_image<std::uint8_t>(out, planes.view.height,
                                                               planes.view.width, 3, stream);
          return enqueued(stream, result.object, [&](cuda::Workspace&) {
            cuda::from_tensor(planes.view, result.view, order, stream.handle);
          });
        };
        return holds_on_device(tensor, "float16") ? join(Half{}) : join(float{});
      });
  module.def("guided_upsample", [](py::object guide, py::object alpha, py::object radius,
                                   py::object eps, py::object unsure, py::object dtype,
                                   py::object out, py::object on) {
    const auto stream = read_stream(on);
    const auto input = read_device_image<std::uint8_t>(guide, "guide", {1, 3}, stream);
    const auto small = read_device_image<float>(alpha, "alpha", {1}, stream);
    const int reach = static_cast<int>(read_integer(radius, "radius", 1, kMaxPixels));
    const double least = read_number(eps, "eps", 1e-9);
    const auto keep = unsure.is_none() ? std::optional<double>{} : read_number(unsure, "unsure", 0);
    return with_device_dtype(dtype, out, [&](auto zero) {
      const auto result =
          write_device_image<decltype(zero)>(out, input.view.height, input.view.width, 1, stream);
      return enqueued(stream, result.object, [&](cuda::Workspace& workspace) {
        cuda::guided_upsample(input.view, small.view, reach, least, keep, result.view, workspace,
                              stream.handle);
      });
    });
  });
  module.def("resize", [](py::object image, py::object size, py::object filter, py::object dtype,
                          py::object out, py::object on) {
    const auto stream = read_stream(on);
    const auto to = read_size(size, "size");
    const Filter kind = read_filter(filter);
    if (!holds_on_device(image, "float32")) {
      if (!dtype.is_none()) read_choice<bool>(dtype, "dtype", {{"uint8", true}});
      return resize_on_device<std::uint8_t, std::uint8_t>(image, to, kind, out, stream);
    }
    return with_device_dtype(dtype, out, [&](auto zero) {
      return resize_on_device<float, decltype(zero)>(image, to, kind, out, stream);
    });
  });
  module.def("to_tensor", [](py::object image, py::object size, py::object around,
                             py::object filter, py::object scale, py::object mean, py::object std,
                             py::object pixel_format, py::object matrix, py::object range,
                             py::object layout, py::object dtype, py::object out, py::object on) {
    const auto stream = read_stream(on);
    const PixelFormat format = read_pixel_format(pixel_format);
    if (format.planes == Planes::i420) {
      throw ArgumentError("pixel_format", "'rgb', 'bgr', 'rgba', 'bgra' or 'nv12' on a device",
                          "'i420'");
    }
    const bool yuv = format.planes == Planes::nv12;
    DeviceInput<std::uint8_t> pixels;
    DeviceYuv planes;
    if (yuv) {
      planes = read_frame(image, matrix, range, stream);
    } else {
      pixels = read_device_image<std::uint8_t>(image, "image", {format.channels}, stream);
    }
    const auto& first = yuv ? planes.view.y : pixels.view;
    const auto [height, width] =
        size.is_none() ? std::pair(first.height, first.width) : read_size(size, "size");
    Placement place{{0, 0, width, height}};
    if (!around.is_none()) {
      const auto colour = read_colour(around, "letterbox", "a colour (r, g, b)");
      std::copy(colour.begin(), colour.end(), place.around);
      place.box = letterbox(first.height, first.width, height, width);
    }
    const auto kind = read_choice<Filter>(filter, "filter",
                                          {{"bilinear", Filter::bilinear}, {"area", Filter::area}});
    const Levels levels = read_levels(scale, mean, std);
    const auto order =
        read_choice<Layout>(layout, "layout", {{"nchw", Layout::nchw}, {"nhwc", Layout::nhwc}});
    const bool half = dtype.is_none() ? !out.is_none() && holds_on_device(out, "float16")
                                      : read_choice<bool>(dtype, "dtype",
                                                          {{"float32", false}, {"float16", true}});
    const int rows = height, columns = width;
    const auto fill = [&](auto zero) {
      const auto result = write_device_tensor<decltype(zero)>(out, rows, columns, order, stream);
      return enqueued(stream, result.object, [&](cuda::Workspace& workspace) {
        if (yuv) {
          cuda::to_tensor(planes.view, result.view, place, kind, levels, workspace, stream.handle);
        } else {
          cuda::to_tensor(pixels.view, result.view, place, kind, format.order, levels, workspace,
                          stream.handle);
        }
      });
    };
    return half ? fill(Half{}) : fill(float{});
  });
  module.def("trimap", [](py::object alpha, py::object radius, py::object low, py::object high,
                          py::object out, py::object on) {
    const auto stream = read_stream(on);
    const int reach = static_cast<int>(read_integer(radius, "radius", 0, kMaxPixels));
    const auto background = static_cast<float>(read_number(low, "low", 0, 1));
    const auto foreground = static_cast<float>(read_number(high, "high", 0, 1));
    return with_device_alpha(alpha, "alpha", stream, [&](auto view) {
      const auto result = write_device_image<std::uint8_t>(out, view.height, view.width, 1, stream);
      return enqueued(stream, result.object, [&](cuda::Workspace& workspace) {
        cuda::trimap(view, reach, background, foreground, result.view, workspace, stream.handle);
      });
    });
  });
  module.def("yuv_to_rgb", [](py::object image, py::object matrix, py::object range, py::object out,
                              py::object on) {
    const auto stream = read_stream(on);
    const DeviceYuv planes = read_frame(image, matrix, range, stream);
    const auto result =
        write_device_image<std::uint8_t>(out, planes.view.y.height, planes.view.y.width, 3, stream);
    return enqueued(stream, result.object, [&](cuda::Workspace&) {
      cuda::yuv_to_rgb(planes.view, result.view, stream.handle);
    });
  });
}

}  // namespace fastmatte
