// metrics: how far an alpha is from the truth, in the measures of the matting literature.
#pragma once

#include <cstdint>
#include <optional>
#include <variant>

#include "core/image_view.h"
#include "cpu/dispatch.h"

namespace fastmatte {

// Alpha of either dtype; uint8 counts as float32 a / 255.
using AlphaView = std::variant<ImageView<const std::uint8_t>, ImageView<const float>>;
// Which pixels count: those of kUnknown, all of them without a trimap.
using TrimapView = std::optional<ImageView<const std::uint8_t>>;

constexpr std::uint8_t kUnknown = 128;

struct AlphaError {
  double absolute;  // sum of |alpha - truth|
  double squares;   // sum of (alpha - truth)^2
  std::int64_t count;
};

// All of these throw where sizes differ, alpha leaves [0, 1], the trimap holds anything but 0, 128
// and 255, or no pixel counts.
AlphaError alpha_error(AlphaView alpha, AlphaView truth, TrimapView trimap, int threads);

// Sum of the squared difference of gradient magnitudes, which come of the derivatives of a Gaussian
// of sigma 1.4, normalised to unit L2 norm, the edge repeated.
double gradient_error(AlphaView alpha, AlphaView truth, TrimapView trimap, int threads);

// Sum of |phi(alpha) - phi(truth)|, phi being how connected a pixel is: see metrics.cpp.
double connectivity_error(AlphaView alpha, AlphaView truth, TrimapView trimap, int threads);

// Mean over the pixels of the squared difference of what changed from one frame to the next.
double temporal_error(AlphaView alpha_before, AlphaView alpha, AlphaView truth_before,
                      AlphaView truth, TrimapView trimap, int threads);

// Sums over a row are kept in so many lanes, pixel x in lane x % kLanes, and folded in one order,
// so that vectors of any width give the same bits.
constexpr int kLanes = 8;

// The half-size at which the Gaussian of sigma 1.4 has fallen to 1e-2: ceil(sigma * sqrt(-2 *
// ln(sqrt(2 * pi) * sigma * 1e-2))).
constexpr int kGradientRadius = 4;
constexpr int kGradientTaps = 2 * kGradientRadius + 1;

// Alpha is cut at multiples of 1 / kLevels.
constexpr int kLevels = 10;

FASTMATTE_ROW(alpha_float_row, (const std::uint8_t* alpha, float* out, int width))
// counts: pixels of kUnknown, and pixels no trimap may have.
FASTMATTE_ROW(trimap_count_row, (const std::uint8_t* trimap, int width, int* counts))
// sums: |alpha - truth| and its square.
FASTMATTE_ROW(alpha_error_row, (const float* alpha, const float* truth, const std::uint8_t* trimap,
                                int width, double* sums))
FASTMATTE_ROW(squared_error_row, (const float* alpha, const float* truth,
                                  const std::uint8_t* trimap, int width, double* sum))
FASTMATTE_ROW(temporal_error_row,
              (const float* alpha_before, const float* alpha, const float* truth_before,
               const float* truth, const std::uint8_t* trimap, int width, double* sum))
// The columns' part of both derivatives, from kGradientTaps rows.
FASTMATTE_ROW(gradient_columns_row,
              (const float* const* rows, const float* taps, float* smooth, float* slope, int width))
// The rows' part and the magnitude; smooth and slope start kGradientRadius left of the row.
FASTMATTE_ROW(gradient_magnitude_row,
              (const float* smooth, const float* slope, const float* taps, float* out, int width))
// How many of 1/10, 2/10 ... 1 both alpha and truth reach.
FASTMATTE_ROW(levels_row, (const float* alpha, const float* truth, std::uint8_t* out, int width))
// Counts the runs of adjacent pixels of at least this level.
FASTMATTE_ROW(count_runs_row, (const std::uint8_t* levels, int width, int level, int* count))
FASTMATTE_ROW(connectivity_error_row,
              (const float* alpha, const float* truth, const std::uint8_t* connected,
               const std::uint8_t* trimap, int width, double* sum))

}  // namespace fastmatte
