// Planes of one quantity each, so that plain loops vectorise over pixels. Only the prefix sums run
// along the row; being integers they are exact, and 32 bits hold every window's sum: 91 * 91 * 255
// * 255 < 2^30. They may wrap around, their differences do not.
#include "kernels/estimate_foreground.h"

namespace fastmatte::FASTMATTE_ISA {

void mark_unknown_row(const std::uint8_t* alpha, std::uint8_t* unknown, std::uint8_t* near,
                      int width) noexcept {
  for (int block = 0, begin = 0; begin < width; ++block, begin += kForegroundBlock) {
    const int end = begin + kForegroundBlock < width ? begin + kForegroundBlock : width;
    std::uint8_t any = 0;
    for (int x = begin; x < end; ++x) any |= static_cast<std::uint8_t>(is_unknown(alpha[x]));
    unknown[block] = any;
    for (int i = 1; i <= kNarrowRadius; ++i) {
      if (begin - i >= 0) any |= static_cast<std::uint8_t>(is_unknown(alpha[begin - i]));
      if (end - 1 + i < width) any |= static_cast<std::uint8_t>(is_unknown(alpha[end - 1 + i]));
    }
    near[block] = any;
  }
}

// Alpha once for each channel, so that products run over adjacent elements.
static inline void expand(const std::uint8_t* alpha, std::uint8_t* __restrict out, int begin,
                          int end) noexcept {
  for (int x = begin; x < end; ++x) {
    for (int c = 0; c < 3; ++c) out[3 * x + c] = alpha[x];
  }
}

static inline std::uint16_t product(std::uint8_t a, std::uint8_t b) noexcept {
  return static_cast<std::uint16_t>(a * b);  // 255 * 255 fits
}

void add_columns_row(const std::uint8_t* image, const std::uint8_t* alpha, int begin, int end,
                     const ForegroundColumns& columns, const ForegroundScratch& scratch) noexcept {
  std::uint32_t* __restrict weighted = columns.weighted;
  std::uint16_t* __restrict plain = columns.plain;
  std::uint16_t* __restrict sums = columns.alpha;
  std::uint8_t* wide = scratch.bytes;
  expand(alpha, wide, begin, end);
  for (int i = 3 * begin; i < 3 * end; ++i) weighted[i] += product(image[i], wide[i]);
  for (int i = 3 * begin; i < 3 * end; ++i)
    plain[i] = static_cast<std::uint16_t>(plain[i] + image[i]);
  for (int x = begin; x < end; ++x) sums[x] = static_cast<std::uint16_t>(sums[x] + alpha[x]);
}

void slide_columns_row(const std::uint8_t* entering_image, const std::uint8_t* entering_alpha,
                       const std::uint8_t* leaving_image, const std::uint8_t* leaving_alpha,
                       int begin, int end, const ForegroundColumns& columns,
                       const ForegroundScratch& scratch) noexcept {
  std::uint32_t* __restrict weighted = columns.weighted;
  std::uint16_t* __restrict plain = columns.plain;
  std::uint16_t* __restrict sums = columns.alpha;
  std::uint8_t* entering = scratch.bytes;
  std::uint8_t* leaving = scratch.bytes + 3 * scratch.stride;
  expand(entering_alpha, entering, begin, end);
  expand(leaving_alpha, leaving, begin, end);
  for (int i = 3 * begin; i < 3 * end; ++i) {
    weighted[i] += static_cast<std::uint32_t>(product(entering_image[i], entering[i])) -
                   product(leaving_image[i], leaving[i]);
  }
  for (int i = 3 * begin; i < 3 * end; ++i) {
    plain[i] = static_cast<std::uint16_t>(plain[i] + entering_image[i] - leaving_image[i]);
  }
  for (int x = begin; x < end; ++x) {
    sums[x] = static_cast<std::uint16_t>(sums[x] + entering_alpha[x] - leaving_alpha[x]);
  }
}

// out[k * stride + i] is the sum of quantity k over the columns from begin - kWideRadius to before
// begin - kWideRadius + i.
static inline void prefix_sums(const ForegroundColumns& columns, int begin, int end,
                               std::uint32_t* __restrict out, std::ptrdiff_t stride) noexcept {
  const int first = begin - kWideRadius;
  const int count = end - begin + kWideWindow;
  const std::uint32_t* weighted = columns.weighted + 3 * first;
  const std::uint16_t* plain = columns.plain + 3 * first;
  const std::uint16_t* alpha = columns.alpha + first;
  std::uint32_t w0 = 0, w1 = 0, w2 = 0, p0 = 0, p1 = 0, p2 = 0, a = 0;
  for (int i = 0; i < count; ++i) {
    out[i] = w0;
    out[i + stride] = w1;
    out[i + 2 * stride] = w2;
    out[i + 3 * stride] = p0;
    out[i + 4 * stride] = p1;
    out[i + 5 * stride] = p2;
    out[i + 6 * stride] = a;
    w0 += weighted[3 * i];
    w1 += weighted[3 * i + 1];
    w2 += weighted[3 * i + 2];
    p0 += plain[3 * i];
    p1 += plain[3 * i + 1];
    p2 += plain[3 * i + 2];
    a += alpha[i];
  }
}

static inline std::int32_t window_sum(const std::uint32_t* prefix, int i) noexcept {
  return static_cast<std::int32_t>(prefix[i + kWideWindow] - prefix[i]);
}

static inline float reciprocal(std::int32_t weight) noexcept {
  return 1.0f / static_cast<float>(weight > 1 ? weight : 1);
}

static inline void split_channels(const std::uint8_t* image, float* __restrict red,
                                  float* __restrict green, float* __restrict blue,
                                  int count) noexcept {
  for (int i = 0; i < count; ++i) {
    red[i] = image[3 * i];
    green[i] = image[3 * i + 1];
    blue[i] = image[3 * i + 2];
  }
}

// What both passes read for each pixel of a run, in scratch.lanes.
struct RunLanes {
  const float* inside;   // 1 / (sum of alpha in the window)
  const float* outside;  // 1 / (sum of 255 - alpha)
  const float* opacity;
  const float* channels;  // three planes of the image
};

template <typename AlphaSum>
static inline RunLanes lanes_of_run(const std::uint8_t* image, const std::uint8_t* alpha,
                                    const FullWeight& full, int begin, int count,
                                    const ForegroundScratch& scratch,
                                    const AlphaSum& alpha_sum) noexcept {
  const std::ptrdiff_t stride = scratch.stride;
  float* __restrict inside = scratch.lanes;
  float* __restrict outside = inside + stride;
  float* __restrict opacity = outside + stride;
  float* channels = opacity + stride;
  split_channels(image + 3 * begin, channels, channels + stride, channels + 2 * stride, count);
  const std::uint8_t* a = alpha + begin;
  const std::int32_t* full_row = full.columns + begin;
  for (int i = 0; i < count; ++i) {
    const std::int32_t sum = alpha_sum(i);
    inside[i] = reciprocal(sum);
    outside[i] = reciprocal(full.rows * full_row[i] - sum);
    opacity[i] = static_cast<float>(a[i]) * (1.0f / 255.0f);
  }
  return {inside, outside, opacity, channels};
}

void fuse_wide_row(const std::uint8_t* image, const std::uint8_t* alpha,
                   const ForegroundColumns& columns, const FullWeight& full, int begin, int end,
                   const ForegroundScratch& scratch, std::uint16_t* products) noexcept {
  const std::ptrdiff_t stride = scratch.stride;
  const int count = end - begin;
  prefix_sums(columns, begin, end, scratch.sums, stride);
  const std::uint8_t* a = alpha + begin;
  const std::uint32_t* alpha_prefix = scratch.sums + 6 * stride;
  const RunLanes lanes = lanes_of_run(image, alpha, full, begin, count, scratch,
                                      [=](int i) { return window_sum(alpha_prefix, i); });
  std::uint16_t* __restrict weights = products + 6 * stride + begin;
  for (int i = 0; i < count; ++i) weights[i] = a[i];
  for (int c = 0; c < 3; ++c) {
    const std::uint32_t* weighted = scratch.sums + c * stride;
    const std::uint32_t* plain = scratch.sums + (3 + c) * stride;
    const float* I = lanes.channels + c * stride;
    std::uint16_t* __restrict foreground = products + c * stride + begin;
    std::uint16_t* __restrict background = products + (3 + c) * stride + begin;
    for (int i = 0; i < count; ++i) {
      const std::int32_t front = window_sum(weighted, i);
      const std::int32_t behind = 255 * window_sum(plain, i) - front;
      const float F = static_cast<float>(front) * lanes.inside[i];
      const float B = static_cast<float>(behind) * lanes.outside[i];
      const float fused = fuse(I[i], lanes.opacity[i], F, B);
      // Rounding the products, not the colours, keeps what a uint8 colour would lose.
      const float weight = static_cast<float>(a[i]);
      foreground[i] = static_cast<std::uint16_t>(static_cast<std::int32_t>(weight * fused + 0.5f));
      background[i] =
          static_cast<std::uint16_t>(static_cast<std::int32_t>((255.0f - weight) * B + 0.5f));
    }
  }
}

static inline std::int32_t narrow_sum(const std::uint32_t* column) noexcept {
  return static_cast<std::int32_t>(column[0] + column[1] + column[2] + column[3] + column[4] +
                                   column[5] + column[6]);
}

void fuse_narrow_row(const std::uint8_t* image, const std::uint8_t* alpha,
                     const std::uint16_t* const* rows, const FullWeight& full, int begin, int end,
                     const ForegroundScratch& scratch, std::uint8_t* out) noexcept {
  static_assert(kNarrowWindow == 7, "the sums below are written out");
  const std::ptrdiff_t stride = scratch.stride;
  const int count = end - begin;
  for (int k = 0; k < kForegroundPlanes; ++k) {
    const std::ptrdiff_t first = k * stride + begin - kNarrowRadius;
    const std::uint16_t *r0 = rows[0] + first, *r1 = rows[1] + first, *r2 = rows[2] + first,
                        *r3 = rows[3] + first, *r4 = rows[4] + first, *r5 = rows[5] + first,
                        *r6 = rows[6] + first;
    std::uint32_t* __restrict sums = scratch.sums + k * stride;
    for (int i = 0; i < count + 2 * kNarrowRadius; ++i) {
      sums[i] = static_cast<std::uint32_t>(r0[i]) + r1[i] + r2[i] + r3[i] + r4[i] + r5[i] + r6[i];
    }
  }
  const std::uint8_t* a = alpha + begin;
  const std::uint32_t* alpha_sums = scratch.sums + 6 * stride;
  const RunLanes lanes = lanes_of_run(image, alpha, full, begin, count, scratch,
                                      [=](int i) { return narrow_sum(alpha_sums + i); });
  for (int c = 0; c < 3; ++c) {
    const std::uint32_t* front = scratch.sums + c * stride;
    const std::uint32_t* behind = scratch.sums + (3 + c) * stride;
    const float* I = lanes.channels + c * stride;
    std::uint8_t* __restrict result = scratch.bytes + c * stride;
    for (int i = 0; i < count; ++i) {
      const float F = static_cast<float>(narrow_sum(front + i)) * lanes.inside[i];
      const float B = static_cast<float>(narrow_sum(behind + i)) * lanes.outside[i];
      const float fused = fuse(I[i], lanes.opacity[i], F, B);
      const auto level = static_cast<std::uint8_t>(static_cast<std::int32_t>(fused + 0.5f));
      result[i] = is_unknown(a[i]) ? level : static_cast<std::uint8_t>(I[i]);
    }
  }
  const std::uint8_t* red = scratch.bytes;
  const std::uint8_t* green = red + stride;
  const std::uint8_t* blue = green + stride;
  std::uint8_t* __restrict to = out + 3 * begin;
  for (int i = 0; i < count; ++i) {
    to[3 * i] = red[i];
    to[3 * i + 1] = green[i];
    to[3 * i + 2] = blue[i];
  }
}

}  // namespace fastmatte::FASTMATTE_ISA
