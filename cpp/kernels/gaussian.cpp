// Sampled, cut off and made to sum to 1.
#include "kernels/gaussian.h"

#include <algorithm>
#include <cmath>

namespace fastmatte {

Kernel<float> gaussian(double sigma) {
  const auto value = [&](int i) { return std::exp(-0.5 * i * i / (sigma * sigma)); };
  const int reach = std::max(1, static_cast<int>(std::ceil(kTruncation * sigma)));
  Kernel<float> kernel{{}, (reach + kTapGroup - 1) / kTapGroup * kTapGroup, 1.0};
  double sum = value(0);
  for (int i = 1; i <= reach; ++i) sum += 2 * value(i);
  for (int i = 0; i <= reach; ++i) kernel.half[i] = static_cast<float>(value(i) / sum);
  kernel.half[0] /= 2;
  return kernel;
}

int cell_step(double sigma, bool weighted) noexcept {
  if (sigma < (weighted ? kDirectWeightedSigma : kDirectSigma)) return 0;
  return static_cast<int>(sigma / kSigmaPerCell);
}

double sigma_of_cells(double sigma, int step) noexcept {
  // A box of n pixels has the variance (n^2 - 1) / 12, the triangle that interpolates (n^2 - 1)
  // / 6.
  const double squared = static_cast<double>(step) * step;
  return std::sqrt((sigma * sigma - (squared - 1) / 4) / squared);
}

}  // namespace fastmatte
