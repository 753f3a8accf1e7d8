// Plain loops over pixels; sums go through lanes of a fixed number.
#include "kernels/metrics.h"

namespace fastmatte::FASTMATTE_ISA {
namespace {

// Sums value(x) over the row in double.
template <typename Value>
static inline double sum_row(int width, const Value& value) noexcept {
  double lanes[kLanes] = {};
  int x = 0;
  for (; x + kLanes <= width; x += kLanes) {
    for (int k = 0; k < kLanes; ++k) lanes[k] += value(x + k);
  }
  for (int k = 0; x + k < width; ++k) lanes[k] += value(x + k);
  return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) +
         ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

static inline double counted(double value, std::uint8_t trimap) noexcept {
  return trimap == kUnknown ? value : 0.0;
}

static inline double difference(float a, float b) noexcept {
  return static_cast<double>(a) - static_cast<double>(b);
}

static inline double squared(double value) noexcept { return value * value; }

// 1 - phi(alpha): the distance d to the level that connects the pixel, where it is large enough.
static inline float disconnected(float alpha, float connected) noexcept {
  const float d = alpha - connected;
  return d >= 0.15f ? d : 0.0f;
}

}  // namespace

void alpha_float_row(const std::uint8_t* alpha, float* out, int width) noexcept {
  for (int x = 0; x < width; ++x) out[x] = static_cast<float>(alpha[x]) / 255.0f;
}

void trimap_count_row(const std::uint8_t* trimap, int width, int* counts) noexcept {
  int unknown = 0, bad = 0;
  for (int x = 0; x < width; ++x) {
    unknown += trimap[x] == kUnknown ? 1 : 0;
    bad += trimap[x] == 0 || trimap[x] == kUnknown || trimap[x] == 255 ? 0 : 1;
  }
  counts[0] = unknown;
  counts[1] = bad;
}

void alpha_error_row(const float* alpha, const float* truth, const std::uint8_t* trimap, int width,
                     double* sums) noexcept {
  sums[0] = sum_row(width, [=](int x) noexcept {
    return counted(__builtin_fabs(difference(alpha[x], truth[x])), trimap[x]);
  });
  sums[1] = sum_row(width, [=](int x) noexcept {
    return counted(squared(difference(alpha[x], truth[x])), trimap[x]);
  });
}

void squared_error_row(const float* alpha, const float* truth, const std::uint8_t* trimap,
                       int width, double* sum) noexcept {
  *sum = sum_row(width, [=](int x) noexcept {
    return counted(squared(difference(alpha[x], truth[x])), trimap[x]);
  });
}

void temporal_error_row(const float* alpha_before, const float* alpha, const float* truth_before,
                        const float* truth, const std::uint8_t* trimap, int width,
                        double* sum) noexcept {
  *sum = sum_row(width, [=](int x) noexcept {
    const double changed =
        difference(alpha[x], alpha_before[x]) - difference(truth[x], truth_before[x]);
    return counted(squared(changed), trimap[x]);
  });
}

void gradient_columns_row(const float* const* rows, const float* taps, float* smooth, float* slope,
                          int width) noexcept {
  for (int x = 0; x < width; ++x) {
    float s = 0, d = 0;
    for (int k = 0; k < kGradientTaps; ++k) {
      s += taps[k] * rows[k][x];
      d += taps[kGradientTaps + k] * rows[k][x];
    }
    smooth[x] = s;
    slope[x] = d;
  }
}

void gradient_magnitude_row(const float* smooth, const float* slope, const float* taps, float* out,
                            int width) noexcept {
  for (int x = 0; x < width; ++x) {
    float across = 0, down = 0;
    for (int k = 0; k < kGradientTaps; ++k) {
      across += taps[kGradientTaps + k] * smooth[x + k];
      down += taps[k] * slope[x + k];
    }
    out[x] = __builtin_sqrtf(across * across + down * down);
  }
}

void levels_row(const float* alpha, const float* truth, std::uint8_t* out, int width) noexcept {
  for (int x = 0; x < width; ++x) {
    const float least = alpha[x] < truth[x] ? alpha[x] : truth[x];
    int level = 0;
    for (int i = 1; i <= kLevels; ++i) {
      level += least >= static_cast<float>(i) / static_cast<float>(kLevels) ? 1 : 0;
    }
    out[x] = static_cast<std::uint8_t>(level);
  }
}

void count_runs_row(const std::uint8_t* levels, int width, int level, int* count) noexcept {
  int starts = levels[0] >= level ? 1 : 0;
  for (int x = 1; x < width; ++x) {
    starts += (levels[x] >= level) & (levels[x - 1] < level) ? 1 : 0;
  }
  *count = starts;
}

void connectivity_error_row(const float* alpha, const float* truth, const std::uint8_t* connected,
                            const std::uint8_t* trimap, int width, double* sum) noexcept {
  *sum = sum_row(width, [=](int x) noexcept {
    const float l = static_cast<float>(connected[x]) / static_cast<float>(kLevels);
    const double phi = difference(disconnected(truth[x], l), disconnected(alpha[x], l));
    return counted(__builtin_fabs(phi), trimap[x]);
  });
}

}  // namespace fastmatte::FASTMATTE_ISA
