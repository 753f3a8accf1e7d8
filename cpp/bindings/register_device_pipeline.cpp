// fastmatte._cuda: the pipeline.
#include "bindings/device_arguments.h"
#include "bindings/options.h"
#include "bindings/register_device.h"
#include "cuda/pipeline.h"

namespace fastmatte {
namespace {

// A pipeline, and what its network reads and writes.
struct OwnedPipeline {
  std::shared_ptr<cuda::Array> tensor, alpha;
  std::unique_ptr<cuda::Pipeline> pipeline;
  int device;
  cuda::PipelineOptions options;
};

cuda::Dtype read_float_dtype(py::handle object, const char* name) {
  return read_choice<cuda::Dtype>(
      object, name, {{"float32", cuda::Dtype::float32}, {"float16", cuda::Dtype::float16}});
}

std::unique_ptr<OwnedPipeline> make_pipeline(
    py::object network, py::object frame_size, py::object size, py::object pixel_format,
    py::object filter, py::object scale, py::object mean, py::object std, py::object dtype,
    py::object alpha_dtype, py::object refine, py::object result, py::object background,
    py::object foreground, bool overlap, bool graph, int device) {
  cuda::require_driver();
  cuda::PipelineOptions options{};
  std::tie(options.height, options.width) = read_size(frame_size, "frame_size");
  std::tie(options.tensor_height, options.tensor_width) = read_size(size, "size");
  options.order = read_choice<ChannelOrder>(
      pixel_format, "pixel_format", {{"rgb", ChannelOrder::rgb}, {"bgr", ChannelOrder::bgr}});
  options.filter = read_choice<Filter>(filter, "filter",
                                       {{"bilinear", Filter::bilinear}, {"area", Filter::area}});
  options.levels = read_levels(scale, mean, std);
  options.tensor_dtype = read_float_dtype(dtype, "dtype");
  options.alpha_dtype = read_float_dtype(alpha_dtype, "alpha_dtype");
  if (!refine.is_none()) {
    const py::tuple numbers(refine);
    const py::object unsure = numbers[2];
    options.refine = cuda::RefineOptions{
        static_cast<int>(read_integer(py::object(numbers[0]), "radius", 1, kMaxPixels)),
        read_number(py::object(numbers[1]), "eps", 1e-9),
        unsure.is_none() ? std::optional<double>{} : read_number(unsure, "unsure", 0)};
  }
  options.result = read_choice<cuda::ResultKind>(result, "result",
                                                 {{"alpha", cuda::ResultKind::alpha},
                                                  {"cutout", cuda::ResultKind::cutout},
                                                  {"composite", cuda::ResultKind::composite}});
  const auto colour = read_colour(background, "background", "a colour (r, g, b)");
  std::copy(colour.begin(), colour.end(), options.background);
  options.estimates_foreground =
      read_choice<bool>(foreground, "foreground", {{"image", false}, {"estimated", true}});
  options.overlaps = overlap;
  options.graphs = graph;

  const cuda::DeviceScope scope(device);
  auto owned = std::make_unique<OwnedPipeline>();
  owned->device = device;
  owned->options = options;
  owned->tensor = std::make_shared<cuda::Array>(
      std::vector<std::int64_t>{1, 3, options.tensor_height, options.tensor_width},
      options.tensor_dtype);
  owned->alpha = std::make_shared<cuda::Array>(
      std::vector<std::int64_t>{1, 1, options.tensor_height, options.tensor_width},
      options.alpha_dtype);
  // network(tensor, alpha, stream, slot). The GIL is held while a pipeline is made; where nothing
  // could be captured, it is taken for every frame.
  auto call = [network, tensor = owned->tensor, alpha = owned->alpha](cudaStream_t stream,
                                                                      int slot) {
    const py::gil_scoped_acquire acquire;
    network(tensor, alpha, reinterpret_cast<std::uintptr_t>(stream), slot);
  };
  owned->pipeline =
      std::make_unique<cuda::Pipeline>(options, *owned->tensor, *owned->alpha, std::move(call));
  return owned;
}

std::vector<py::ssize_t> result_shape(const OwnedPipeline& self) {
  std::vector<py::ssize_t> shape{self.options.height, self.options.width};
  const int channels = self.pipeline->result_channels();
  if (channels > 1) shape.push_back(channels);
  return shape;
}

void submit(OwnedPipeline& self, py::object frame) {
  cuda::Pipeline& pipeline = *self.pipeline;
  const cuda::DeviceScope scope(self.device);
  const int height = self.options.height, width = self.options.width;
  const auto require_frame = [&](auto view) {
    if (view.height == height && view.width == width) return;
    throw ArgumentError("frame",
                        "the size of the pipeline's frames, " + text_of_size(height, width),
                        text_of_size(view.height, view.width));
  };
  if (frame.is_none()) {
    const py::gil_scoped_release release;
    return pipeline.submit();
  }
  if (py::isinstance<py::array>(frame)) {
    const auto input = read_image<std::uint8_t>(frame, "frame", {3});
    require_frame(input.view);
    const py::gil_scoped_release release;
    std::uint8_t* const to = pipeline.frame();
    const auto row_bytes = static_cast<std::size_t>(3 * width);
    for (int y = 0; y < height; ++y) {
      std::memcpy(to + static_cast<std::size_t>(y) * row_bytes, input.view.row(y), row_bytes);
    }
    return pipeline.submit();
  }
  StreamArgument stream = read_stream(py::none());
  const auto input = read_device_image<std::uint8_t>(frame, "frame", {3}, stream);
  require_frame(input.view);
  const py::gil_scoped_release release;
  pipeline.submit(input.view, stream.handle);
}

py::array result(OwnedPipeline& self, py::object out) {
  const auto shape = result_shape(self);
  py::array array;
  if (out.is_none()) {
    array = py::array(py::dtype("uint8"), shape);
  } else {
    array = detail::require_out<std::uint8_t>(out, shape);
    detail::require_contiguous<std::uint8_t>(array, "out");
  }
  void* const to = array.mutable_data();
  const py::gil_scoped_release release;
  const cuda::DeviceScope scope(self.device);
  std::memcpy(to, self.pipeline->result(), self.pipeline->result_bytes());
  return array;
}

// A view of pinned memory, which keeps the pipeline alive.
py::array pinned(py::object self, std::vector<py::ssize_t> shape, const std::uint8_t* data) {
  return py::array(py::dtype("uint8"), std::move(shape), data, self);
}

}  // namespace

void register_device_pipeline(py::module_& module) {
  py::class_<OwnedPipeline>(module, "Pipeline", py::module_local())
      .def(py::init(&make_pipeline))
      .def("submit", &submit)
      .def("result", &result)
      .def("frame",
           [](py::object object) {
             auto& self = object.cast<OwnedPipeline&>();
             std::uint8_t* data = nullptr;
             {
               const py::gil_scoped_release release;
               const cuda::DeviceScope scope(self.device);
               data = self.pipeline->frame();
             }
             return pinned(object, {self.options.height, self.options.width, 3}, data);
           })
      .def("peek",
           [](py::object object) {
             auto& self = object.cast<OwnedPipeline&>();
             const std::uint8_t* data = nullptr;
             {
               const py::gil_scoped_release release;
               const cuda::DeviceScope scope(self.device);
               data = self.pipeline->result();
             }
             return pinned(object, result_shape(self), data);
           })
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
