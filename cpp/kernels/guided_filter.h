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

// What the rows below share. Planes of one row lie plane_stride apart, planes of running sums
// running_stride; inverse_columns[x] is 1 / (pixels in a row of the window of x).
struct GuidedShape {
  int width;
  int channels;
  int radius;  // less than width
  std::ptrdiff_t plane_stride;
  std::ptrdiff_t running_stride;
  const double* inverse_columns;
};

// sums += moments of enter - moments of leave.
FASTMATTE_ROW(slide_moments_row, (const GuidedShape& shape, const GuideRow& enter,
                                  const GuideRow& leave, double* sums))

// sums += enter - leave, for the planes a[c] and b.
FASTMATTE_ROW(slide_sums_row,
              (const GuidedShape& shape, const float* enter, const float* leave, double* sums))

// Running sums along each plane, padded: the sum over the window of x is
// running[x + 2 radius + 1] - running[x]. The first radius + 1 are 0 before the first call.
FASTMATTE_ROW(running_sums_row,
              (const GuidedShape& shape, int planes, const double* sums, double* running))

// Solves one row of windows from the running sums of their moments: planes a[c], b and w.
FASTMATTE_ROW(solve_row, (const GuidedShape& shape, const double* running, double inverse_rows,
                          double eps, double unsure, float* solved))

// Averages one row of a[c] and b; where weight is not null it and alpha are as for unsure.
FASTMATTE_ROW(mean_row, (const GuidedShape& shape, const double* running, double inverse_rows,
                         const float* weight, const float* alpha, float* coefficients))

// How a row of small_width samples grows to width: those at from start[i] up to start[i + 1] lie
// between samples i and i + 1, fraction[x] of the way.
struct Growth {
  int small_width;
  int width;
  const int* start;
  const float* fraction;  // kGrowBlock - 1 elements longer than width
};

// Grown rows are written in blocks of this many; what a block writes beyond its samples the next
// one overwrites, and a row has room for it.
constexpr int kGrowBlock = 8;

FASTMATTE_ROW(grow_row, (const Growth& growth, const float* small, float* out))

// out = clip(lerp(top, bottom, fraction) . (guide, 1)) for channels + 1 planes of coefficients.
FASTMATTE_ROW(apply_row_f32,
              (const float* top, const float* bottom, std::ptrdiff_t plane_stride, float fraction,
               const std::uint8_t* guide, int channels, int width, float* out))
FASTMATTE_ROW(apply_row_u8,
              (const float* top, const float* bottom, std::ptrdiff_t plane_stride, float fraction,
               const std::uint8_t* guide, int channels, int width, std::uint8_t* out))

// The guide is taken as value - 127.5 in steps of 1 / 255: integer moments are then exact in
// double, and with values on both sides of 0 the float32 sum a . I + b loses least.
constexpr float kGuideCentre = 127.5f;

}  // namespace fastmatte
