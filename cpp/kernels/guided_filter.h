// guided_filter, guided_upsample: alpha as a local linear function of a photograph, so that its
// edges lie where those of the photograph do.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "core/image_view.h"
#include "cpu/dispatch.h"

namespace fastmatte {

// He, Sun and Tang, Guided Image Filtering, 2013, eq. 5, 6, 8 (grey guide) and 14 to 16 (colour):
// in each window k of 2 radius + 1 pixels squared, alpha ~ a_k . I + b_k by least squares, eps
// added to the variances of I; pixel i becomes (mean of a_k) . I_i + (mean of b_k) over the windows
// that hold it, and is then clipped to [0, 1]. Windows keep to the pixels inside the image. I is in
// [0, 1]. guide has one channel or three; out is float32, or uint8 rounded half up. out must not
// overlap an input.
//
// subsample > 1 solves on both shrunk by area to ceil(size / subsample) with a radius of
// radius / subsample rounded half up, at least 1, and goes on as guided_upsample does: He and Sun,
// Fast Guided Filter, 2015.
template <typename Out>
void guided_filter(ImageView<const std::uint8_t> guide, ImageView<const float> alpha, int radius,
                   double eps, int subsample, ImageView<Out> out, int threads);

// The same for an alpha of at most the guide's size: a and b are solved and averaged at alpha's
// size, radius counted in its pixels, on the guide shrunk to it by area; then they grow bilinearly
// (half-pixel centres, the edge repeated) and meet the guide itself.
//
// unsure, where given, keeps alpha as it is where it is sure of itself: with m the mean of alpha
// over the window of a pixel and w = min(1, unsure m (1 - m)), the averaged a becomes w a, and b
// becomes w b + (1 - w) alpha. Blending here and not at the guide's size costs nothing there.
template <typename Out>
void guided_upsample(ImageView<const std::uint8_t> guide, ImageView<const float> alpha, int radius,
                     double eps, std::optional<double> unsure, ImageView<Out> out, int threads);

// Lowers *left to where the first kChangeBlock pixels of a row begin of which one is unlike its
// neighbour to the right or below, and raises *right to the end of the last such, both included.
constexpr int kChangeBlock = 64;
FASTMATTE_ROW(change_extent_row,
              (const float* row, const float* below, int width, int* left, int* right))

// One row of the guide, channel by channel, and of alpha.
struct GuideRow {
  const float* guide[3];
  const float* alpha;
};

// The planes kept per window, in this order: alpha; guide[c] alpha; guide[c]; guide[c] guide[d] for
// c <= d.
static constexpr int moment_count(int channels) noexcept {
  return 1 + 2 * channels + channels * (channels + 1) / 2;
}

// Sums along a row would wait for each other, so that a row is cut into kSegments segments which
// lie side by side: element i * kSegments + k is pixel i of segment k. Each segment repeats the
// pixels next to it that its windows reach, 2 radius on either side, and zeros outside the image.
// Where that is much of the row, it stays one segment.
constexpr int kSegments = 8;

// Of a row in such an order: `pixels` of each of `lanes` segments, without what they repeat.
struct GuidedShape {
  int lanes;   // kSegments or 1
  int pixels;  // a multiple of kLanePixels
  int channels;
  int radius;
  // Between planes of one row, and between planes of running sums.
  std::ptrdiff_t plane_stride;
  std::ptrdiff_t running_stride;
  // 1 / (pixels in a row of the window), 0 outside the image, for the pixels and radius around
  // them.
  const double* inverse_columns;
};

// Elements of a plane that reaches `radii` radius around the pixels of each segment.
static inline std::ptrdiff_t elements_of(const GuidedShape& shape, int radii) noexcept {
  return (shape.pixels + std::ptrdiff_t{2} * radii * shape.radius) * shape.lanes;
}

// Rows change their order in squares of this side.
constexpr int kLanePixels = 4;

// From one that has 2 radius pixels on either side, zeros outside the image, to kSegments segments;
// and back, without what they repeat.
FASTMATTE_ROW(cut_segments_row, (const GuidedShape& shape, const float* row, float* segments))
FASTMATTE_ROW(join_segments_row, (const GuidedShape& shape, const float* segments, float* row))

// sums += moments of enter - moments of leave.
FASTMATTE_ROW(moments_row, (const GuidedShape& shape, const GuideRow& enter, const GuideRow& leave,
                            double* sums))

// The same for the planes a[c] and b: sums += enter - leave.
FASTMATTE_ROW(sums_row,
              (const GuidedShape& shape, const float* enter, const float* leave, double* sums))

// moments_row, then solves one row of windows: planes a[c], b and, where unsure is not null, w.
// A single segment needs running, room for as many planes of running_stride as there are sums, and
// an element before them that is 0.
FASTMATTE_ROW(solve_row, (const GuidedShape& shape, const GuideRow& enter, const GuideRow& leave,
                          double* sums, double* running, double inverse_rows, double eps,
                          const double* unsure, float* solved))

// sums_row, then averages one row of a[c] and b; where weight is not null it and alpha are as for
// unsure, and begin at the same pixel as coefficients.
FASTMATTE_ROW(mean_row, (const GuidedShape& shape, const float* enter, const float* leave,
                         double* sums, double* running, double inverse_rows, const float* weight,
                         const float* alpha, float* coefficients))

// out = top + fraction * (bottom - top), count elements each.
FASTMATTE_ROW(mix_coefficients_row,
              (const float* top, const float* bottom, float fraction, int count, float* out))

// How a row grows: pixel x lies between samples start[x] and start[x] + 1, fraction[x] of the way.
// start never falls nor rises by more than one. Both, and the samples, have kGrowBlock elements
// more than the row.
struct Growth {
  const std::int32_t* start;
  const float* fraction;
};
constexpr int kGrowBlock = 64;

// out = clip(coefficients . (guide, 1)) for channels + 1 planes of coefficients, of the row itself
// or, where growth is not null, of samples that it grows from.
FASTMATTE_ROW(apply_row_f32,
              (const Growth* growth, const float* coefficients, std::ptrdiff_t plane_stride,
               const std::uint8_t* guide, int channels, int width, float* out))
FASTMATTE_ROW(apply_row_u8,
              (const Growth* growth, const float* coefficients, std::ptrdiff_t plane_stride,
               const std::uint8_t* guide, int channels, int width, std::uint8_t* out))

// The guide is taken as value - 127.5 in steps of 1 / 255: integer moments are then exact in
// double, and with values on both sides of 0 the float32 sum a . I + b loses least.
constexpr float kGuideCentre = 127.5f;

}  // namespace fastmatte
