// gaussian: the weights of a blur, and when it is done on cells of pixels, for whatever does it.
#pragma once

#include "kernels/blur.h"

namespace fastmatte {

// Beyond 3.5 sigma lies 0.05 % of a Gaussian, an eighth of a level of an edge from 0 to 255.
constexpr double kTruncation = 3.5;

// Cells of sigma / 2.4 or less: at least 48 dB to the true Gaussian on binary noise, the worst case
// there is, and 57 dB on photographs; sigma / 2 would lose 4 dB of each.
constexpr double kSigmaPerCell = 2.4;

// Below these a direct convolution costs less. In fixed point it lasts longer; weights may differ
// by more than 16 bits hold, and take float32.
constexpr double kDirectSigma = 8;
constexpr double kDirectWeightedSigma = 2 * kSigmaPerCell;

constexpr int kMaxRadius = 28;
static_assert(kMaxRadius % kTapGroup == 0 && kMaxRadius >= kTruncation * kDirectSigma);

// As fir_row_* take it: half[0] counts twice.
template <typename T>
struct Kernel {
  T half[kMaxRadius + 1];
  int radius;
  double sum;
};

Kernel<float> gaussian(double sigma);

// The cells that a blur of this width is done on, 0 where pixels themselves are convolved.
int cell_step(double sigma, bool weighted) noexcept;

// The Gaussian to convolve cells of step pixels with, where boxes and interpolation do the rest.
double sigma_of_cells(double sigma, int step) noexcept;

}  // namespace fastmatte
