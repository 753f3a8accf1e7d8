// Frames of 4:2:0 video from Python, in one array or as planes, on the processor or on a device.
#pragma once

#include <initializer_list>
#include <string>

#include "bindings/options.h"

namespace fastmatte {

inline YuvMatrix read_yuv_matrix(py::handle matrix) {
  return read_choice<YuvMatrix>(matrix, "matrix",
                                {{"bt601", YuvMatrix::bt601}, {"bt709", YuvMatrix::bt709}});
}

inline YuvRange read_yuv_range(py::handle range) {
  return read_choice<YuvRange>(range, "range",
                               {{"limited", YuvRange::limited}, {"full", YuvRange::full}});
}

namespace detail {

// The frame in one array, as OpenCV, V4L2 and PyAV's to_ndarray have it: luma, then chroma.
template <typename Read>
YuvImage read_joined_yuv(py::handle object, const char* name, bool planar, const Read& read) {
  YuvImage image;
  const ImageView<const std::uint8_t> all = read(object, name, {1});
  if (all.height % 3 != 0 || all.width % 2 != 0) {
    throw ArgumentError(name, "(H * 3 / 2, W) with even H and W, or a tuple of planes",
                        text_of_size(all.height, all.width));
  }
  const int height = all.height / 3 * 2, width = all.width;
  image.y = {all.data, height, width, 1, all.row_stride};
  if (!planar) {
    image.u = {all.row(height), height / 2, width / 2, 2, all.row_stride};
    return image;
  }
  // Two rows of U lie in one of the array, so rows apart would tear them.
  if (all.row_stride != width) {
    throw ArgumentError(name, "a C-contiguous array for 'i420', or a tuple of planes",
                        "strides " + text_of(object.attr("strides")));
  }
  image.u = {all.row(height), height / 2, width / 2, 1, width / 2};
  image.v = {image.u.row(height / 2), height / 2, width / 2, 1, width / 2};
  return image;
}

// (y, uv) or (y, u, v), each with rows of its own stride, as decoders have them.
template <typename Read>
YuvImage read_split_yuv(const py::sequence& planes, const char* name, bool planar,
                        const Read& read) {
  YuvImage image;
  const auto name_of = [&](int i) { return name + ("[" + std::to_string(i) + "]"); };
  const auto plane = [&](int i, std::initializer_list<int> channels) {
    return read(py::object(planes[static_cast<std::size_t>(i)]), name_of(i).c_str(), channels);
  };
  image.y = plane(0, {1});
  if (image.y.height % 2 != 0 || image.y.width % 2 != 0) {
    throw ArgumentError(name_of(0), "even height and width",
                        text_of_size(image.y.height, image.y.width));
  }
  const int height = image.y.height / 2, width = image.y.width / 2;
  const auto require_chroma = [&](int i, auto chroma) {
    if (chroma.height == height && chroma.width == width) return;
    throw ArgumentError(name_of(i), "half the size of luma, " + text_of_size(height, width),
                        text_of_size(chroma.height, chroma.width));
  };
  if (planar) {
    image.u = plane(1, {1});
    image.v = plane(2, {1});
    require_chroma(2, image.v);
  } else {
    image.u = plane(1, {1, 2});
    // (H / 2, W) is (H / 2, W / 2, 2) seen flat.
    if (image.u.channels == 1 && image.u.width % 2 == 0) {
      image.u.width /= 2;
      image.u.channels = 2;
    }
  }
  require_chroma(1, image.u);
  if (!planar && image.u.channels == 1) require_chroma(1, ImageView<const std::uint8_t>{});
  return image;
}

}  // namespace detail

// Both orders of chroma: planar is (y, u, v), else (y, uv). read(object, name, channels) gives the
// view of an array, and keeps what holds it.
template <typename Read>
YuvImage read_yuv(py::handle object, const char* name, bool planar, const Read& read) {
  const bool split = py::isinstance<py::tuple>(object) || py::isinstance<py::list>(object);
  if (!split) return detail::read_joined_yuv(object, name, planar, read);
  if (py::len(object) != (planar ? 3 : 2)) {
    throw ArgumentError(name, planar ? "planes (y, u, v)" : "planes (y, uv)",
                        std::to_string(py::len(object)) + " planes");
  }
  return detail::read_split_yuv(py::reinterpret_borrow<py::sequence>(object), name, planar, read);
}

}  // namespace fastmatte
