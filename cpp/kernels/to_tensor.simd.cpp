// Plain loops with a constant distance between pixels: the compiler knows the shuffles.
#include "kernels/to_tensor.h"

namespace fastmatte::FASTMATTE_ISA {
namespace {

template <int kChannels, typename T>
static inline void spread(const T* __restrict row, int width, const float* factor,
                          const float* offset, float* __restrict first, float* __restrict second,
                          float* __restrict third) noexcept {
  const float f0 = factor[0], f1 = factor[1], f2 = factor[2];
  const float o0 = offset[0], o1 = offset[1], o2 = offset[2];
  for (int x = 0; x < width; ++x) {
    first[x] = static_cast<float>(row[kChannels * x]) * f0 + o0;
    second[x] = static_cast<float>(row[kChannels * x + 1]) * f1 + o1;
    third[x] = static_cast<float>(row[kChannels * x + 2]) * f2 + o2;
  }
}

template <typename T>
static inline void spread_row(const T* __restrict row, int channels, int width, const float* factor,
                              const float* offset, float* __restrict first, float* second,
                              float* third) noexcept {
  if (channels == 3) return spread<3>(row, width, factor, offset, first, second, third);
  if (channels == 4) return spread<4>(row, width, factor, offset, first, second, third);
  const float f = factor[0], o = offset[0];
  for (int x = 0; x < width; ++x) first[x] = static_cast<float>(row[x]) * f + o;
}

template <int kChannels, int kFirst, typename T>
static inline void level(const T* __restrict row, int width, const float* factor,
                         const float* offset, float* __restrict out) noexcept {
  constexpr int kLast = 2 - kFirst;
  const float f0 = factor[0], f1 = factor[1], f2 = factor[2];
  const float o0 = offset[0], o1 = offset[1], o2 = offset[2];
  for (int x = 0; x < width; ++x) {
    out[3 * x] = static_cast<float>(row[kChannels * x + kFirst]) * f0 + o0;
    out[3 * x + 1] = static_cast<float>(row[kChannels * x + 1]) * f1 + o1;
    out[3 * x + 2] = static_cast<float>(row[kChannels * x + kLast]) * f2 + o2;
  }
}

template <typename T>
static inline void level_row(const T* row, int channels, int width, ChannelOrder order,
                             const float* factor, const float* offset, float* out) noexcept {
  const bool reversed = order == ChannelOrder::bgr;
  if (channels == 4) {
    return reversed ? level<4, 2>(row, width, factor, offset, out)
                    : level<4, 0>(row, width, factor, offset, out);
  }
  return reversed ? level<3, 2>(row, width, factor, offset, out)
                  : level<3, 0>(row, width, factor, offset, out);
}

}  // namespace

void spread_row_u8(const std::uint8_t* row, int channels, int width, Levels levels, float* first,
                   float* second, float* third) noexcept {
  spread_row(row, channels, width, levels.factor, levels.offset, first, second, third);
}

void spread_row_f32(const float* row, int channels, int width, Levels levels, float* first,
                    float* second, float* third) noexcept {
  spread_row(row, channels, width, levels.factor, levels.offset, first, second, third);
}

void level_row_u8(const std::uint8_t* row, int channels, int width, ChannelOrder order,
                  Levels levels, float* out) noexcept {
  level_row(row, channels, width, order, levels.factor, levels.offset, out);
}

void level_row_f32(const float* row, int channels, int width, ChannelOrder order, Levels levels,
                   float* out) noexcept {
  level_row(row, channels, width, order, levels.factor, levels.offset, out);
}

}  // namespace fastmatte::FASTMATTE_ISA
