// fastmatte._cuda: the pipeline.
#include <algorithm>
#include <cstring>

#include "bindings/device_arguments.h"
#include "bindings/register_device.h"
#include "bindings/yuv_frames.h"
#include "core/parallel.h"
#include "cuda/pipeline.h"

namespace fastmatte {
namespace {

// As many as a server's memory takes to be busy; one takes 4K frames no faster than 400 a second.
constexpr int kCopyThreads = 4;

// Frames lie adjacent in pinned memory, in the caller's wherever they are.
void copy_rows(ImageView<const std::uint8_t> from, std::uint8_t* to) {
  const auto row_bytes = static_cast<std::size_t>(from.row_elements());
  parallel_rows(Bands(from.height, rows_per_band(from.row_elements()), kCopyThreads),
                [&](int, int begin, int end) noexcept {
                  for (int y = begin; y < end; ++y) {
                    std::memcpy(to + static_cast<std::size_t>(y) * row_bytes, from.row(y),
                                row_bytes);
                  }
                });
}

struct OwnedPipeline {
  std::unique_ptr<cuda::Pipeline> pipeline;
  int device;
  cuda::PipelineOptions options;
};

cuda::Dtype read_float_dtype(py::handle object, const char* name) {
  return read_choice<cuda::Dtype>(
      object, name, {{"float32", cuda::Dtype::float32}, {"float16", cuda::Dtype::float16}});
}

// Where a channel of a network's output lies, which is (1, C, h, w) or (1, h, w, C).
void read_alpha_place(const py::dict& from, cuda::PipelineOptions& options) {
  std::vector<std::int64_t> shape{1, 1, options.tensor_height, options.tensor_width};
  if (const py::object given = from["alpha_shape"]; !given.is_none()) {
    shape = given.cast<std::vector<std::int64_t>>();
  }
  const bool planes = options.layout == Layout::nchw;
  const auto text = detail::text_of(py::tuple(py::cast(shape)));
  if (shape.size() != 4 || shape[0] != 1 ||
      std::any_of(shape.begin(), shape.end(), [](auto side) { return side < 1; })) {
    throw ArgumentError("alpha_shape", planes ? "(1, C, h, w)" : "(1, h, w, C)", text);
  }
  const std::int64_t channels = shape[planes ? 1 : 3];
  const std::int64_t channel =
      read_integer(from["alpha_channel"], "alpha_channel", 0, channels - 1);
  detail::require_pixel_count(shape[planes ? 2 : 1], shape[planes ? 3 : 2], "alpha_shape");
  const auto height = static_cast<int>(shape[planes ? 2 : 1]);
  const auto width = static_cast<int>(shape[planes ? 3 : 2]);
  // As much of it as the frame fills of the tensor.
  const auto part = [](std::int64_t side, int content, int whole) {
    return static_cast<int>(side * content / whole);
  };
  options.alpha_height = part(height, options.content_height, options.tensor_height);
  options.alpha_width = part(width, options.content_width, options.tensor_width);
  const std::ptrdiff_t pixels = std::ptrdiff_t{height} * width;
  options.alpha = {
      planes ? channel * pixels : channel, planes ? 1 : channels, planes ? width : width * channels,
      read_choice<bool>(from["activation"], "activation", {{"none", false}, {"sigmoid", true}})};
}

cuda::PipelineOptions read_options(const py::dict& from) {
  cuda::PipelineOptions options{};
  std::tie(options.height, options.width) = read_size(from["frame_size"], "frame_size");
  std::tie(options.tensor_height, options.tensor_width) = read_size(from["size"], "size");
  std::tie(options.order, options.nv12) =
      read_choice<std::pair<ChannelOrder, bool>>(from["pixel_format"], "pixel_format",
                                                 {{"rgb", {ChannelOrder::rgb, false}},
                                                  {"bgr", {ChannelOrder::bgr, false}},
                                                  {"nv12", {ChannelOrder::rgb, true}}});
  options.matrix = read_yuv_matrix(from["matrix"]);
  options.range = read_yuv_range(from["range"]);
  if (options.nv12 && (options.height % 2 != 0 || options.width % 2 != 0)) {
    throw ArgumentError("frame_size", "even height and width for 'nv12'",
                        text_of_size(options.height, options.width));
  }
  std::tie(options.content_height, options.content_width) =
      from["content"].is_none() ? std::pair(options.tensor_height, options.tensor_width)
                                : read_size(from["content"], "content");
  if (options.content_height > options.tensor_height ||
      options.content_width > options.tensor_width) {
    throw ArgumentError("content",
                        "at most the size of the tensor, " +
                            text_of_size(options.tensor_height, options.tensor_width),
                        text_of_size(options.content_height, options.content_width));
  }
  options.border = read_choice<cuda::Border>(
      from["border"], "border", {{"edge", cuda::Border::edge}, {"zero", cuda::Border::zero}});
  options.guidance = cuda::Guidance::none;
  if (!from["guidance"].is_none()) {
    options.guidance = read_choice<cuda::Guidance>(
        from["guidance"], "guidance",
        {{"trimap", cuda::Guidance::trimap}, {"background", cuda::Guidance::background}});
  }
  options.trimap_scale = read_number(from["trimap_scale"], "trimap_scale", 0);
  options.layout = read_choice<Layout>(from["layout"], "layout",
                                       {{"nchw", Layout::nchw}, {"nhwc", Layout::nhwc}});
  options.filter = read_choice<Filter>(from["filter"], "filter",
                                       {{"bilinear", Filter::bilinear}, {"area", Filter::area}});
  options.levels = read_levels(from["scale"], from["mean"], from["std"]);
  read_alpha_place(from, options);
  if (const py::object refine = from["refine"]; !refine.is_none()) {
    const py::tuple numbers(refine);
    const py::object unsure = numbers[2];
    options.refine = cuda::RefineOptions{
        static_cast<int>(read_integer(py::object(numbers[0]), "radius", 1, kMaxPixels)),
        read_number(py::object(numbers[1]), "eps", 1e-9),
        unsure.is_none() ? std::optional<double>{} : read_number(unsure, "unsure", 0)};
  }
  options.result = read_choice<cuda::ResultKind>(from["result"], "result",
                                                 {{"alpha", cuda::ResultKind::alpha},
                                                  {"cutout", cuda::ResultKind::cutout},
                                                  {"composite", cuda::ResultKind::composite}});
  options.result_dtype =
      read_choice<cuda::Dtype>(from["result_dtype"], "result_dtype",
                               {{"uint8", cuda::Dtype::uint8}, {"float32", cuda::Dtype::float32}});
  if (options.result != cuda::ResultKind::alpha && options.result_dtype != cuda::Dtype::uint8) {
    throw ArgumentError("result_dtype", "'uint8', for a result that is no alpha", "'float32'");
  }
  options.colours = read_choice<cuda::Colours>(from["foreground"], "foreground",
                                               {{"image", cuda::Colours::image},
                                                {"estimated", cuda::Colours::estimated},
                                                {"network", cuda::Colours::network}});
  options.overlaps = from["overlap"].cast<bool>();
  options.graphs = from["graph"].cast<bool>();
  options.downloads =
      read_choice<bool>(from["results"], "results", {{"host", true}, {"device", false}});
  return options;
}

// The network's own memory that the pipeline has to know: read, or cleared.
cuda::NetworkMemory make_memory(const py::dict& from, const cuda::PipelineOptions& options) {
  cuda::NetworkMemory memory;
  const bool alone = from["guide"].is_none();
  const std::int64_t channels = options.guidance == cuda::Guidance::trimap && alone ? 4 : 3;
  std::vector<std::int64_t> shape{1, options.tensor_height, options.tensor_width, channels};
  if (options.layout == Layout::nchw) {
    shape = {1, channels, options.tensor_height, options.tensor_width};
  } else if (options.guidance != cuda::Guidance::none ||
             options.content_height != options.tensor_height ||
             options.content_width != options.tensor_width) {
    throw ArgumentError("layout", "'nchw', with guidance or content", "'nhwc'");
  }
  memory.tensor =
      std::make_shared<cuda::Array>(std::move(shape), read_float_dtype(from["dtype"], "dtype"));
  shape = {1, 1, options.tensor_height, options.tensor_width};
  if (!from["alpha_shape"].is_none()) shape = from["alpha_shape"].cast<std::vector<std::int64_t>>();
  memory.alpha = std::make_shared<cuda::Array>(
      std::move(shape), read_float_dtype(from["alpha_dtype"], "alpha_dtype"));
  const auto read = [](py::handle object, const char* name) {
    if (!py::isinstance<cuda::Array>(object)) {
      detail::throw_type(name, "an array of fastmatte.cuda.empty", detail::type_name(object));
    }
    auto array = object.cast<std::shared_ptr<cuda::Array>>();
    if (array->device == cuda::current_device()) return array;
    throw ArgumentError(name, "memory of device " + std::to_string(cuda::current_device()),
                        "that of device " + std::to_string(array->device));
  };
  for (const py::handle state : from["states"]) memory.states.push_back(read(state, "states"));
  if (!alone) {
    memory.guide = read(from["guide"], "guide");
    const std::vector<std::int64_t> wanted{1, options.guidance == cuda::Guidance::trimap ? 1 : 3,
                                           options.tensor_height, options.tensor_width};
    if (memory.guide->shape != wanted || memory.guide->dtype == cuda::Dtype::uint8) {
      throw ArgumentError("guide",
                          detail::text_of(py::tuple(py::cast(wanted))) + " float32 or float16",
                          detail::text_of(py::repr(from["guide"])));
    }
  } else if (options.guidance == cuda::Guidance::background) {
    throw ArgumentError("guide", "an input for the background", "None");
  }
  if (options.colours != cuda::Colours::network) return memory;
  memory.colours = read(from["own_foreground"], "own_foreground");
  // As large as the frames, or as the tensor that they fill without being resampled.
  const bool fills =
      options.content_height == options.height && options.content_width == options.width;
  const std::vector<std::int64_t> wanted{1, 3, fills ? options.tensor_height : options.height,
                                         fills ? options.tensor_width : options.width};
  if (memory.colours->shape != wanted || memory.colours->dtype == cuda::Dtype::uint8) {
    throw ArgumentError("own_foreground",
                        detail::text_of(py::tuple(py::cast(wanted))) + " float32 or float16",
                        detail::text_of(py::repr(from["own_foreground"])));
  }
  return memory;
}

std::unique_ptr<OwnedPipeline> make_pipeline(py::object network, const py::kwargs& from) {
  cuda::require_driver();
  cuda::PipelineOptions options = read_options(from);
  ImageView<const std::uint8_t> background{};
  py::object behind = from["background"];
  if (py::isinstance<py::array>(behind)) {
    background = read_image<std::uint8_t>(behind, "background", {3}).view;
    if (background.height != options.height || background.width != options.width) {
      throw ArgumentError("background",
                          "the size of the frames, " + text_of_size(options.height, options.width),
                          text_of_size(background.height, background.width));
    }
  } else {
    const auto colour =
        read_colour(behind, "background", "a colour (r, g, b) or an (H, W, 3) uint8 image");
    std::copy(colour.begin(), colour.end(), options.background);
  }
  const cuda::DeviceScope scope(from["device"].cast<int>());
  auto owned = std::make_unique<OwnedPipeline>();
  owned->device = cuda::current_device();
  owned->options = options;
  cuda::NetworkMemory memory = make_memory(from, options);
  // network(tensor, alpha, stream, slot). The GIL is held while a pipeline is made; where nothing
  // could be captured, it is taken for every frame.
  auto call = [network, tensor = memory.tensor, alpha = memory.alpha](cudaStream_t stream,
                                                                      int slot) {
    const py::gil_scoped_acquire acquire;
    network(tensor, alpha, reinterpret_cast<std::uintptr_t>(stream), slot);
  };
  owned->pipeline =
      std::make_unique<cuda::Pipeline>(options, std::move(memory), background, std::move(call));
  return owned;
}

std::vector<py::ssize_t> result_shape(const OwnedPipeline& self) {
  std::vector<py::ssize_t> shape{self.options.height, self.options.width};
  const int channels = self.pipeline->result_channels();
  if (channels > 1) shape.push_back(channels);
  return shape;
}

void require_frame(const OwnedPipeline& self, ImageView<const std::uint8_t> view) {
  const int height = self.options.height, width = self.options.width;
  if (view.height == height && view.width == width) return;
  throw ArgumentError("frame", "the size of the pipeline's frames, " + text_of_size(height, width),
                      text_of_size(view.height, view.width));
}

// One array or (y, uv), all on the host or all on the device.
void submit_nv12(OwnedPipeline& self, const py::object& frame, const StreamArgument& stream) {
  const bool split = py::isinstance<py::tuple>(frame) || py::isinstance<py::list>(frame);
  const py::object first = split && py::len(frame) > 0 ? py::object(frame[py::int_(0)]) : frame;
  if (!py::isinstance<py::array>(first)) {
    py::object owners[2];
    const YuvImage image = read_device_nv12(frame, "frame", stream, owners);
    require_frame(self, image.y);
    const py::gil_scoped_release release;
    return self.pipeline->submit(image, stream.handle);
  }
  Input<std::uint8_t> arrays[2];
  auto* next = arrays;
  const YuvImage image =
      read_yuv(frame, "frame", false,
               [&](py::handle plane, const char* name, std::initializer_list<int> channels) {
                 *next = read_image<std::uint8_t>(plane, name, channels);
                 return (next++)->view;
               });
  require_frame(self, image.y);
  const py::gil_scoped_release release;
  std::uint8_t* const to = self.pipeline->frame();
  copy_rows(image.y, to);
  copy_rows(image.u, to + std::ptrdiff_t{image.y.height} * image.y.width);
  self.pipeline->submit();
}

void submit(OwnedPipeline& self, py::object frame, py::object on) {
  cuda::Pipeline& pipeline = *self.pipeline;
  const cuda::DeviceScope scope(self.device);
  const StreamArgument stream = read_stream(on);
  if (stream.device != self.device) {
    throw ArgumentError("stream", "one of device " + std::to_string(self.device),
                        "one of device " + std::to_string(stream.device));
  }
  if (frame.is_none()) {
    const py::gil_scoped_release release;
    return pipeline.submit();
  }
  if (self.options.nv12) return submit_nv12(self, frame, stream);
  if (py::isinstance<py::array>(frame)) {
    const auto input = read_image<std::uint8_t>(frame, "frame", {3});
    require_frame(self, input.view);
    const py::gil_scoped_release release;
    copy_rows(input.view, pipeline.frame());
    return pipeline.submit();
  }
  const auto input = read_device_image<std::uint8_t>(frame, "frame", {3}, stream);
  require_frame(self, input.view);
  const py::gil_scoped_release release;
  pipeline.submit(input.view, stream.handle);
}

void tell(OwnedPipeline& self, py::object guidance) {
  const bool trimap = self.options.guidance == cuda::Guidance::trimap;
  const auto input = read_image<std::uint8_t>(guidance, "guidance", {trimap ? 1 : 3});
  if (input.view.height != self.options.height || input.view.width != self.options.width) {
    throw ArgumentError("guidance",
                        "the size of the pipeline's frames, " +
                            text_of_size(self.options.height, self.options.width),
                        text_of_size(input.view.height, input.view.width));
  }
  const py::gil_scoped_release release;
  const cuda::DeviceScope scope(self.device);
  self.pipeline->tell(input.view);
}

const char* dtype_of_result(const OwnedPipeline& self) {
  return self.options.result_dtype == cuda::Dtype::float32 ? "float32" : "uint8";
}

// A result on the device: the same memory as rows of bytes.
py::object result_on_device(OwnedPipeline& self, py::object out, const StreamArgument& stream) {
  const int channels = self.pipeline->result_channels();
  const int height = self.options.height, width = self.options.width;
  const auto take = [&](auto result) {
    const int bytes = static_cast<int>(sizeof(*result.view.data));
    const ImageView<std::uint8_t> rows{reinterpret_cast<std::uint8_t*>(result.view.data), height,
                                       width * channels * bytes, 1, result.view.row_stride * bytes};
    const py::gil_scoped_release release;
    self.pipeline->result(rows, stream.handle);
    return result.object;
  };
  if (self.options.result_dtype == cuda::Dtype::float32) {
    return take(write_device_image<float>(out, height, width, channels, stream));
  }
  return take(write_device_image<std::uint8_t>(out, height, width, channels, stream));
}

py::object result(OwnedPipeline& self, py::object out, py::object on) {
  const cuda::DeviceScope scope(self.device);
  const auto shape = result_shape(self);
  if (!self.options.downloads || !(out.is_none() || py::isinstance<py::array>(out))) {
    const StreamArgument stream = read_stream(on);
    if (stream.device != self.device) {
      throw ArgumentError("stream", "one of device " + std::to_string(self.device),
                          "one of device " + std::to_string(stream.device));
    }
    return result_on_device(self, std::move(out), stream);
  }
  py::array array;
  if (out.is_none()) {
    array = py::array(py::dtype(dtype_of_result(self)), shape);
  } else if (self.options.result_dtype == cuda::Dtype::float32) {
    array = detail::require_out<float>(out, shape);
    detail::require_contiguous<float>(array, "out");
  } else {
    array = detail::require_out<std::uint8_t>(out, shape);
    detail::require_contiguous<std::uint8_t>(array, "out");
  }
  auto* const to = static_cast<std::uint8_t*>(array.mutable_data());
  const py::gil_scoped_release release;
  const std::uint8_t* const from = self.pipeline->result();
  const int row_bytes = static_cast<int>(self.pipeline->result_bytes()) / self.options.height;
  copy_rows(ImageView<const std::uint8_t>{from, self.options.height, row_bytes, 1, row_bytes}, to);
  return array;
}

// A view of pinned memory, which keeps the pipeline alive.
py::array pinned(py::object self, const char* dtype, std::vector<py::ssize_t> shape,
                 const std::uint8_t* data) {
  return py::array(py::dtype(dtype), std::move(shape), data, self);
}

void require_downloads(const OwnedPipeline& self) {
  if (self.options.downloads) return;
  throw ArgumentError("results", "'host'", "'device': the results stay there");
}

}  // namespace

void register_device_pipeline(py::module_& module) {
  py::class_<OwnedPipeline>(module, "Pipeline", py::module_local())
      .def(py::init(&make_pipeline))
      .def("submit", &submit)
      .def("result", &result)
      .def("tell", &tell)
      .def("frame",
           [](py::object object) {
             auto& self = object.cast<OwnedPipeline&>();
             std::uint8_t* data = nullptr;
             {
               const py::gil_scoped_release release;
               const cuda::DeviceScope scope(self.device);
               data = self.pipeline->frame();
             }
             const int height = self.options.height, width = self.options.width;
             if (self.options.nv12) return pinned(object, "uint8", {height * 3 / 2, width}, data);
             return pinned(object, "uint8", {height, width, 3}, data);
           })
      .def("peek",
           [](py::object object) {
             auto& self = object.cast<OwnedPipeline&>();
             require_downloads(self);
             const std::uint8_t* data = nullptr;
             {
               const py::gil_scoped_release release;
               const cuda::DeviceScope scope(self.device);
               data = self.pipeline->result();
             }
             return pinned(object, dtype_of_result(self), result_shape(self), data);
           })
      .def("again",
           [](py::object object) {
             auto& self = object.cast<OwnedPipeline&>();
             require_downloads(self);
             const std::uint8_t* data = nullptr;
             {
               const py::gil_scoped_release release;
               const cuda::DeviceScope scope(self.device);
               data = self.pipeline->again();
             }
             return pinned(object, dtype_of_result(self), result_shape(self), data);
           })
      .def("reset",
           [](OwnedPipeline& self) {
             const py::gil_scoped_release release;
             const cuda::DeviceScope scope(self.device);
             self.pipeline->reset();
           })
      .def("synchronize",
           [](const OwnedPipeline& self) {
             const py::gil_scoped_release release;
             self.pipeline->synchronize();
           })
      .def_property_readonly("next_slot",
                             [](const OwnedPipeline& self) { return self.pipeline->next_slot(); })
      .def_property_readonly("waiting",
                             [](const OwnedPipeline& self) { return self.pipeline->waiting(); })
      .def_property_readonly("depth",
                             [](const OwnedPipeline& self) { return self.pipeline->depth(); })
      .def_property_readonly("nodes",
                             [](const OwnedPipeline& self) { return self.pipeline->nodes(); })
      .def_property_readonly("why_no_graph",
                             [](const OwnedPipeline& self) { return self.pipeline->why(); })
      .def_property_readonly(
          "device_bytes", [](const OwnedPipeline& self) { return self.pipeline->device_bytes(); });
}

}  // namespace fastmatte
