// The GPU twins of kernels/: the same names, contracts and oracles, on device memory and a stream.
//
// All are enqueued and return at once. They take the scratch they need from workspace, which
// belongs to the stream, and nothing of it where a call of these sizes came before. Alpha outside
// [0, 1] is clamped, NaN to 0, where the processor's kernels refuse it: to look would be to wait.
//
// Bytes are what must be read and written for each pixel of the result (P) or of an input. All
// these kernels are bound by memory: the bound of each is its bytes over the device's bandwidth.
#pragma once

#include <cstdint>
#include <optional>

#include "core/image_view.h"
#include "core/tensor_view.h"
#include "cuda/workspace.h"
#include "kernels/to_tensor.h"

namespace fastmatte::cuda {

// An image, or one colour where data is null.
struct Background {
  ImageView<const std::uint8_t> image;
  std::uint8_t colour[3];
};

// 9 or 6 bytes P and those of alpha, 1 or 4. Alpha is uint8_t or float.
template <typename Alpha>
void composite(ImageView<const std::uint8_t> foreground, const Background& background,
               ImageView<const Alpha> alpha, ImageView<std::uint8_t> out, cudaStream_t stream);

// 7 bytes P and those of alpha.
template <typename Alpha>
void cutout(ImageView<const std::uint8_t> foreground, ImageView<const Alpha> alpha,
            ImageView<std::uint8_t> out, cudaStream_t stream);

// Every pixel of image once, 12 or 6 bytes P. T is float or Half, and 2 bytes each of nv12.
template <typename T>
void to_tensor(ImageView<const std::uint8_t> image, TensorView<T> out, const Placement& place,
               Filter filter, ChannelOrder order, const Levels& levels, Workspace& workspace,
               cudaStream_t stream);
template <typename T>
void to_tensor(const YuvImage& image, TensorView<T> out, const Placement& place, Filter filter,
               const Levels& levels, Workspace& workspace, cudaStream_t stream);

// Every pixel of image and of out once; T is uint8_t or float. The image between the passes does
// not exist: each result sums its own window, which costs 36 products each way for lanczos3 at most
// where it enlarges.
template <typename T>
void resize(ImageView<const T> image, ImageView<T> out, Filter filter, Workspace& workspace,
            cudaStream_t stream);
void resize(ImageView<const float> image, ImageView<std::uint8_t> out, Filter filter,
            Workspace& workspace, cudaStream_t stream);

// Out is float or uint8_t. 3 bytes and those of out P; guide's 3 again and some 60 for each pixel
// of alpha, which as a rule is a tenth of P.
template <typename Out>
void guided_upsample(ImageView<const std::uint8_t> guide, ImageView<const float> alpha, int radius,
                     double eps, std::optional<double> unsure, ImageView<Out> out,
                     Workspace& workspace, cudaStream_t stream);

// Blur fusion. 7 bytes P, and where alpha is neither 0 nor 1 some 50 more, which the second-level
// cache gives.
template <typename Alpha>
void estimate_foreground(ImageView<const std::uint8_t> image, ImageView<const Alpha> alpha,
                         ImageView<std::uint8_t> out, Workspace& workspace, cudaStream_t stream);

// Twice the bytes of image and, where weight has data, its own.
template <typename Weight>
void blur(ImageView<const std::uint8_t> image, double sigma, ImageView<const Weight> weight,
          ImageView<std::uint8_t> out, Workspace& workspace, cudaStream_t stream);

// 1 byte P and those of alpha.
template <typename Alpha>
void trimap(ImageView<const Alpha> alpha, int radius, float low, float high,
            ImageView<std::uint8_t> out, Workspace& workspace, cudaStream_t stream);

// 6 or 12 bytes P of the planes, 3 of the image. T is float or Half.
template <typename T>
void from_tensor(TensorView<const T> tensor, ImageView<std::uint8_t> out, ChannelOrder order,
                 cudaStream_t stream);

// 4.5 bytes P. Chroma is interleaved.
void yuv_to_rgb(const YuvImage& image, ImageView<std::uint8_t> out, cudaStream_t stream);

// A plane of a network's input from a trimap of its size or smaller: levels times scale. 1 byte P
// and those of the plane.
template <typename T>
void lay_trimap(ImageView<const std::uint8_t> trimap, double scale, TensorView<T> plane,
                cudaStream_t stream);

// What planes have below and right of what fills them: its last pixels again, or zeros.
enum class Border { edge, zero };
template <typename T>
void extend(TensorView<T> tensor, int height, int width, Border border, cudaStream_t stream);

// Alpha where a trimap of its size is sure of it: 1 byte P and, there, those of alpha.
template <typename Out>
void set_known(ImageView<const std::uint8_t> trimap, ImageView<Out> alpha, cudaStream_t stream);

// Where alpha lies in a network's output, in elements, and whether a sigmoid is still to come.
struct AlphaPlace {
  std::ptrdiff_t first, step, row;
  bool is_logit;
};

// Alpha in [0, 1] of a network's output in either precision. What lies outside by more than
// rounding, NaN included, is clamped too, and one such value is left in *strange.
template <typename T, typename Out>
void read_alpha(const T* output, const AlphaPlace& place, ImageView<Out> out, float* strange,
                cudaStream_t stream);

}  // namespace fastmatte::cuda
