// What the options of several kernels stand for, wherever those run.
#pragma once

#include <cmath>

#include "bindings/arguments.h"
#include "kernels/to_tensor.h"

namespace fastmatte {

// A colour of three integers 0..255; expected says what else the argument may be.
inline std::array<std::uint8_t, 3> read_colour(py::handle object, const char* name,
                                               const char* expected) {
  if (!py::isinstance<py::sequence>(object) || py::isinstance<py::str>(object) ||
      py::len(object) != 3) {
    detail::throw_type(name, expected, detail::text_of(py::repr(object)));
  }
  std::array<std::uint8_t, 3> colour{};
  for (std::size_t c = 0; c < 3; ++c) {
    colour[c] = static_cast<std::uint8_t>(
        read_integer(py::object(py::reinterpret_borrow<py::sequence>(object)[c]), name, 0, 255));
  }
  return colour;
}

enum class Planes { interleaved, nv12, i420 };

struct PixelFormat {
  Planes planes;
  int channels;
  ChannelOrder order;
};

inline PixelFormat read_pixel_format(py::handle object) {
  return read_choice<PixelFormat>(object, "pixel_format",
                                  {{"rgb", {Planes::interleaved, 3, ChannelOrder::rgb}},
                                   {"bgr", {Planes::interleaved, 3, ChannelOrder::bgr}},
                                   {"rgba", {Planes::interleaved, 4, ChannelOrder::rgb}},
                                   {"bgra", {Planes::interleaved, 4, ChannelOrder::bgr}},
                                   {"nv12", {Planes::nv12, 1, ChannelOrder::rgb}},
                                   {"i420", {Planes::i420, 1, ChannelOrder::rgb}}});
}

inline std::string text_of_size(int height, int width) {
  return std::to_string(height) + " x " + std::to_string(width);
}

// (x * scale - mean) / std as one multiplication and one addition.
inline Levels read_levels(py::handle scale, py::handle mean, py::handle std) {
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

inline Filter read_filter(py::handle object) {
  return read_choice<Filter>(object, "filter",
                             {{"nearest", Filter::nearest},
                              {"bilinear", Filter::bilinear},
                              {"area", Filter::area},
                              {"bicubic", Filter::bicubic},
                              {"lanczos3", Filter::lanczos3}});
}

}  // namespace fastmatte
