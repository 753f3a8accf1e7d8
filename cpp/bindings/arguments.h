// Python arguments to what the core takes: every check of type, dtype, shape and size, in one
// place.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <initializer_list>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/buffer.h"
#include "core/error.h"
#include "core/half.h"
#include "core/image_view.h"
#include "core/tensor_view.h"

namespace fastmatte {

namespace py = pybind11;

// An array read by a kernel. Rows of adjacent pixels are used where they lie, whatever the distance
// between rows; any other layout (reversed channels, every second column) is packed here once.
template <typename T>
struct Input {
  ImageView<const T> view;
  Buffer<T> packed;
  py::array array;  // kept alive while the GIL is released
};

// An array written by a kernel: the caller's out, or a new one.
template <typename T>
struct Output {
  ImageView<T> view;
  py::array array;
};

// The same for tensors, which are always C-contiguous.
template <typename T>
struct InputTensor {
  TensorView<const T> view;
  py::array array;
};

template <typename T>
struct OutputTensor {
  TensorView<T> view;
  py::array array;
};

namespace detail {

template <typename T>
constexpr const char* dtype_name() {
  return sizeof(T) == 1 ? "uint8" : sizeof(T) == 2 ? "float16" : "float32";
}

inline std::string text_of(py::handle object) { return py::str(object).cast<std::string>(); }

inline std::string type_name(py::handle object) {
  return py::type::handle_of(object).attr("__name__").cast<std::string>();
}

inline std::string describe(const py::array& array) {
  return text_of(array.attr("shape")) + " " + text_of(array.dtype());
}

inline std::string expected_image(std::initializer_list<int> channels, const char* dtype) {
  std::string text;
  std::size_t i = 0;
  for (const int c : channels) {
    if (i++ > 0) text += i == channels.size() ? " or " : ", ";
    text += c == 1 ? std::string("(H, W)") : "(H, W, " + std::to_string(c) + ")";
  }
  return text + " " + dtype;
}

[[noreturn]] inline void throw_type(const char* name, const std::string& expected,
                                    const std::string& got) {
  throw py::type_error(std::string(name) + ": expected " + expected + ", got " + got);
}

inline py::array require_array(py::handle object, const char* name, const std::string& expected) {
  if (!py::isinstance<py::array>(object)) {
    throw_type(name, "a NumPy array, " + expected, type_name(object));
  }
  return py::reinterpret_borrow<py::array>(object);
}

inline void require_pixel_count(std::int64_t height, std::int64_t width, const char* name) {
  const std::string size = std::to_string(height) + " x " + std::to_string(width);
  if (height < 1 || width < 1) throw ArgumentError(name, "at least 1 x 1 pixels", size);
  if (height > kMaxPixels / width) {
    throw ArgumentError(name, "at most " + std::to_string(kMaxPixels) + " pixels", size);
  }
}

template <typename T>
bool has_dtype(const py::array& array) {
  return py::isinstance<py::array_t<T>>(array);
}
template <>
inline bool has_dtype<Half>(const py::array& array) {
  return array.dtype().equal(py::dtype("float16"));
}

template <typename T>
void require_shape(const py::array& array, const char* name, std::initializer_list<int> channels) {
  const std::string expected = expected_image(channels, dtype_name<T>());
  if (!has_dtype<T>(array)) throw_type(name, expected, describe(array));
  const auto ndim = array.ndim();
  const std::int64_t found = ndim == 2 ? 1 : ndim == 3 ? array.shape(2) : 0;
  bool allowed = false;
  for (const int c : channels) allowed = allowed || (c == found && (ndim == 2) == (c == 1));
  if (!allowed) throw ArgumentError(name, expected, describe(array));
  require_pixel_count(array.shape(0), array.shape(1), name);
}

// Whether each row is a run of adjacent, aligned elements.
template <typename T>
bool has_adjacent_pixels(const py::array& array, int channels) {
  constexpr auto size = static_cast<py::ssize_t>(sizeof(T));
  const bool row_aligned = array.strides(0) % size == 0 || array.shape(0) == 1;
  const bool columns = array.strides(1) == size * channels || array.shape(1) == 1;
  const bool interleaved = array.ndim() == 2 || array.strides(2) == size;
  return row_aligned && columns && interleaved &&
         reinterpret_cast<std::uintptr_t>(array.data()) % alignof(T) == 0;
}

template <typename T>
void require_contiguous(const py::array& array, const char* name) {
  if ((array.flags() & py::array::c_style) != 0 &&
      reinterpret_cast<std::uintptr_t>(array.data()) % alignof(T) == 0) {
    return;
  }
  throw ArgumentError(name, "a C-contiguous array", "strides " + text_of(array.attr("strides")));
}

// The caller's out, writable and of this shape.
template <typename T>
py::array require_out(py::handle object, const std::vector<py::ssize_t>& shape) {
  std::string expected;
  for (const auto side : shape) {
    expected += (expected.empty() ? "(" : ", ") + std::to_string(side);
  }
  expected += std::string(") ") + dtype_name<T>();
  py::array array = require_array(object, "out", expected);
  if (!has_dtype<T>(array)) throw_type("out", expected, describe(array));
  if (array.ndim() != static_cast<py::ssize_t>(shape.size()) ||
      !std::equal(shape.begin(), shape.end(), array.shape())) {
    throw ArgumentError("out", expected, describe(array));
  }
  if (!array.writeable()) throw ArgumentError("out", "a writable array", "a read-only one");
  return array;
}

template <typename T>
std::ptrdiff_t row_stride(const py::array& array, int row_elements) {
  // NumPy leaves the stride of a one-row array undefined.
  return array.shape(0) == 1 ? row_elements
                             : array.strides(0) / static_cast<py::ssize_t>(sizeof(T));
}

}  // namespace detail

// The array, once its dtype, shape and size are those of an image with one of these channel counts.
template <typename T>
py::array require_image(py::handle object, const char* name, std::initializer_list<int> channels) {
  py::array array = detail::require_array(
      object, name, detail::expected_image(channels, detail::dtype_name<T>()));
  detail::require_shape<T>(array, name, channels);
  return array;
}

template <typename T>
Input<T> read_image(py::handle object, const char* name, std::initializer_list<int> channels) {
  py::array array = require_image<T>(object, name, channels);
  const int height = static_cast<int>(array.shape(0));
  const int width = static_cast<int>(array.shape(1));
  const int depth = array.ndim() == 2 ? 1 : static_cast<int>(array.shape(2));
  const int row = width * depth;
  if (detail::has_adjacent_pixels<T>(array, depth)) {
    const auto* data = static_cast<const T*>(array.data());
    const auto stride = detail::row_stride<T>(array, row);
    return {{data, height, width, depth, stride}, {}, std::move(array)};
  }
  Buffer<T> packed(static_cast<std::size_t>(height) * static_cast<std::size_t>(row));
  const auto* base = static_cast<const char*>(array.data());
  const py::ssize_t channel_step = array.ndim() == 2 ? 0 : array.strides(2);
  T* to = packed.data();
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const char* pixel = base + y * array.strides(0) + x * array.strides(1);
      for (int c = 0; c < depth; ++c) std::memcpy(to++, pixel + c * channel_step, sizeof(T));
    }
  }
  ImageView<const T> view{packed.data(), height, width, depth, row};
  return {view, std::move(packed), std::move(array)};
}

// The array for a result of this shape: object, checked, or a new one where object is None.
template <typename T>
Output<T> write_image(py::handle object, int height, int width, int channels) {
  std::vector<py::ssize_t> shape{height, width};
  if (channels > 1) shape.push_back(channels);
  if (object.is_none()) {
    detail::require_pixel_count(height, width, "out");
    py::array_t<T> array(shape);
    return {{array.mutable_data(), height, width, channels, width * channels}, std::move(array)};
  }
  py::array array = detail::require_out<T>(object, shape);
  if (!detail::has_adjacent_pixels<T>(array, channels)) {
    throw ArgumentError("out", "rows of adjacent pixels",
                        "strides " + detail::text_of(array.attr("strides")));
  }
  const auto stride = detail::row_stride<T>(array, width * channels);
  return {{static_cast<T*>(array.mutable_data()), height, width, channels, stride},
          std::move(array)};
}

// The one image of a (1, channels, H, W) or (1, H, W, channels) array. What makes tensors makes
// them contiguous, so that any other layout is a mistake to tell of rather than to copy.
template <typename T>
InputTensor<T> read_tensor(py::handle object, const char* name, int channels,
                           Layout layout = Layout::nchw) {
  const std::string depth = std::to_string(channels);
  const bool planes = layout == Layout::nchw;
  const std::string expected =
      (planes ? "(1, " + depth + ", H, W) " : "(1, H, W, " + depth + ") ") +
      std::string(detail::dtype_name<T>());
  py::array array = detail::require_array(object, name, expected);
  if (!detail::has_dtype<T>(array)) detail::throw_type(name, expected, detail::describe(array));
  if (array.ndim() != 4 || array.shape(0) != 1 || array.shape(planes ? 1 : 3) != channels) {
    throw ArgumentError(name, expected, detail::describe(array));
  }
  const auto height = array.shape(planes ? 2 : 1), width = array.shape(planes ? 3 : 2);
  detail::require_pixel_count(height, width, name);
  detail::require_contiguous<T>(array, name);
  return {{static_cast<const T*>(array.data()), channels, static_cast<int>(height),
           static_cast<int>(width), layout},
          std::move(array)};
}

// The array for a tensor of one image: object, checked, or a new one where object is None.
template <typename T>
OutputTensor<T> write_tensor(py::handle object, int channels, int height, int width,
                             Layout layout = Layout::nchw) {
  std::vector<py::ssize_t> shape{1, height, width, channels};
  if (layout == Layout::nchw) shape = {1, channels, height, width};
  if (object.is_none()) {
    detail::require_pixel_count(height, width, "out");
    py::array array(py::dtype(detail::dtype_name<T>()), shape);
    return {{static_cast<T*>(array.mutable_data()), channels, height, width, layout},
            std::move(array)};
  }
  py::array array = detail::require_out<T>(object, shape);
  detail::require_contiguous<T>(array, "out");
  return {{static_cast<T*>(array.mutable_data()), channels, height, width, layout},
          std::move(array)};
}

// True for an array of dtype T, so that a binding can choose between two it takes.
template <typename T>
bool holds(py::handle object) {
  return py::isinstance<py::array>(object) &&
         detail::has_dtype<T>(py::reinterpret_borrow<py::array>(object));
}

inline std::int64_t read_integer(py::handle object, const char* name, std::int64_t low,
                                 std::int64_t high) {
  const std::string expected =
      "an integer from " + std::to_string(low) + " to " + std::to_string(high);
  if (!PyIndex_Check(object.ptr())) detail::throw_type(name, expected, detail::type_name(object));
  const auto index = py::reinterpret_steal<py::object>(PyNumber_Index(object.ptr()));
  if (!index) throw py::error_already_set();
  int overflow = 0;
  const long long value = PyLong_AsLongLongAndOverflow(index.ptr(), &overflow);
  if (overflow != 0 || value < low || value > high) {
    throw ArgumentError(name, expected, detail::text_of(index));
  }
  return value;
}

inline double read_number(py::handle object, const char* name, double low,
                          double high = std::numeric_limits<double>::max()) {
  constexpr double kMost = std::numeric_limits<double>::max();
  const std::string expected = high == kMost ? low == -kMost ? "a finite number"
                                                             : "a finite number of at least " +
                                                                   detail::text_of(py::float_(low))
                                             : "a number from " + detail::text_of(py::float_(low)) +
                                                   " to " + detail::text_of(py::float_(high));
  const double value = PyFloat_AsDouble(object.ptr());
  if (value == -1.0 && PyErr_Occurred()) {
    PyErr_Clear();
    detail::throw_type(name, expected, detail::type_name(object));
  }
  if (!(value >= low && value <= high)) {
    throw ArgumentError(name, expected, detail::text_of(object));
  }
  return value;
}

// Three finite numbers, one for each of R, G, B.
inline std::array<double, 3> read_per_channel(py::handle object, const char* name) {
  if (!py::isinstance<py::sequence>(object) || py::isinstance<py::str>(object) ||
      py::len(object) != 3) {
    detail::throw_type(name, "three numbers, for R, G, B", detail::text_of(py::repr(object)));
  }
  std::array<double, 3> values{};
  for (std::size_t c = 0; c < 3; ++c) {
    values[c] = read_number(py::object(py::reinterpret_borrow<py::sequence>(object)[c]), name,
                            std::numeric_limits<double>::lowest());
  }
  return values;
}

// (height, width) of an image to be made.
inline std::pair<int, int> read_size(py::handle object, const char* name) {
  if (!py::isinstance<py::sequence>(object) || py::isinstance<py::str>(object) ||
      py::len(object) != 2) {
    detail::throw_type(name, "(height, width)", detail::text_of(py::repr(object)));
  }
  const auto pair = py::reinterpret_borrow<py::sequence>(object);
  const auto height = read_integer(py::object(pair[0]), name, 1, kMaxPixels);
  const auto width = read_integer(py::object(pair[1]), name, 1, kMaxPixels);
  detail::require_pixel_count(height, width, name);
  return {static_cast<int>(height), static_cast<int>(width)};
}

// None: as many as there are processors.
inline int read_threads(py::handle object) {
  return object.is_none() ? 0 : static_cast<int>(read_integer(object, "threads", 1, 1024));
}

// True or False alone: what else has a truth value was hardly meant as one.
inline bool read_flag(py::handle object, const char* name) {
  if (!py::isinstance<py::bool_>(object)) {
    detail::throw_type(name, "True or False", detail::type_name(object));
  }
  return object.cast<bool>();
}

// One of a few named values: {{"area", Filter::area}, ...}.
template <typename T>
T read_choice(py::handle object, const char* name,
              std::initializer_list<std::pair<const char*, T>> choices) {
  const std::string text = py::isinstance<py::str>(object) ? object.cast<std::string>() : "";
  std::string names;
  for (const auto& [key, value] : choices) {
    if (text == key) return value;
    names += (names.empty() ? "'" : ", '") + std::string(key) + "'";
  }
  throw ArgumentError(name, "one of " + names, detail::text_of(py::repr(object)));
}

}  // namespace fastmatte
