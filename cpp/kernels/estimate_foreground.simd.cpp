// Pixels keep their three channels side by side, and whatever is one for each pixel is repeated for
// each of them, so that plain loops run over adjacent values. Only the prefix sums run along the
// row. All sums are integers, so exact, and 32 bits hold every window's: 91 * 91 * 255 * 255 <
// 2^30. Prefixes may wrap around, their differences do not.
#include "kernels/estimate_foreground.h"

#include "simd/portable.h"

namespace fastmatte::FASTMATTE_ISA {
namespace {

// Pixels whose weights are held at a time.
constexpr int kRun = 256;

static_assert(kRun % kForegroundStep == 0);

// Each value once for each channel.
template <typename T>
static inline void repeat_thrice(const T* from, T* __restrict out, int count) noexcept {
  int done = 0;
#if defined(FASTMATTE_SHUFFLES)
  // Where GCC has wider vectors it shuffles them word by word: eight times the work.
  if constexpr (sizeof(T) == 1) {
    using Bytes = Vec<std::uint8_t, 16>;
    for (; done + 16 <= count; done += 16) {
      Bytes v;
      __builtin_memcpy(&v, from + done, sizeof v);
      const Bytes parts[3] = {
          FASTMATTE_SHUFFLE(v, v, Bytes, 0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5),
          FASTMATTE_SHUFFLE(v, v, Bytes, 5, 5, 6, 6, 6, 7, 7, 7, 8, 8, 8, 9, 9, 9, 10, 10),
          FASTMATTE_SHUFFLE(v, v, Bytes, 10, 11, 11, 11, 12, 12, 12, 13, 13, 13, 14, 14, 14, 15, 15,
                            15)};
      __builtin_memcpy(out + 3 * done, parts, sizeof parts);
    }
  }
#endif
  for (int x = done; x < count; ++x) {
    for (int c = 0; c < 3; ++c) out[3 * x + c] = from[x];
  }
}

static inline std::uint16_t product(std::uint8_t a, std::uint8_t b) noexcept {
  return static_cast<std::uint16_t>(a * b);  // 255 * 255 fits
}

static inline float reciprocal(std::int32_t weight) noexcept {
  return 1.0f / static_cast<float>(weight > 1 ? weight : 1);
}

static inline float opacity(std::uint8_t alpha) noexcept {
  return static_cast<float>(alpha) * (1.0f / 255.0f);
}

// A row's pixels from x on, `count` of them though the row may end before: there all is 0.
class Pixels {
 public:
  Pixels(const std::uint8_t* image, const std::uint8_t* alpha, int x, int count, int width) noexcept
      : inside_(width - x < count ? width - x : count), image_(image + 3 * x), alpha_(alpha + x) {
    if (inside_ == count) return;
    for (int i = 0; i < 3 * count; ++i) image_copy_[i] = i < 3 * inside_ ? image_[i] : 0;
    for (int i = 0; i < count; ++i) alpha_copy_[i] = i < inside_ ? alpha_[i] : 0;
    image_ = image_copy_;
    alpha_ = alpha_copy_;
  }

  const std::uint8_t* image() const noexcept { return image_; }
  const std::uint8_t* alpha() const noexcept { return alpha_; }
  // How many of them the row has.
  int inside() const noexcept { return inside_; }

 private:
  int inside_;
  const std::uint8_t *image_, *alpha_;
  std::uint8_t image_copy_[3 * kRun], alpha_copy_[kRun];
};

// What both passes read of a run: 1 / (sum of alpha in the window), 1 / (sum of 255 - alpha), and
// alpha, for each value.
struct Weights {
  float inside[3 * kRun], outside[3 * kRun];
  std::uint8_t alpha[3 * kRun];
};

// sum(i) is the sum of alpha in the window of pixel i.
template <typename Sum>
static inline void weigh(const std::uint8_t* alpha, const std::int32_t* full, int rows, int count,
                         const Sum& sum, Weights& out) noexcept {
  float inside[kRun], outside[kRun];
  for (int i = 0; i < count; ++i) {
    const std::int32_t weight = sum(i);
    inside[i] = reciprocal(weight);
    outside[i] = reciprocal(rows * full[i] - weight);
  }
  repeat_thrice(inside, out.inside, count);
  repeat_thrice(outside, out.outside, count);
  repeat_thrice(alpha, out.alpha, count);
}

}  // namespace

void mark_unknown_row(const std::uint8_t* alpha, std::uint8_t* unknown, std::uint8_t* near,
                      int width) noexcept {
  // Columns whose flags are held at a time, and those held on both sides: words of eight reach
  // there.
  constexpr int run = 32 * kForegroundBlock, beside = 8;
  static_assert(kForegroundBlock == 16 && kNarrowRadius <= beside,
                "the words below are written out");
  std::uint8_t flags[beside + run + beside];
  const auto any = [](const std::uint8_t* from) noexcept {
    return load_word(from) | load_word(from + 4);
  };
  for (int begin = 0; begin < width; begin += run) {
    const int left = begin > 0 ? beside : 0;
    const int right = width - begin < run + beside ? width - begin : run + beside;
    for (int i = left; i < beside; ++i) flags[beside - 1 - i] = 0;
    for (int i = -left; i < right; ++i) {
      flags[beside + i] = static_cast<std::uint8_t>(is_unknown(alpha[begin + i]));
    }
    for (int i = right; i < run + beside; ++i) flags[beside + i] = 0;
    for (int i = 0; i < run && begin + i < width; i += kForegroundBlock) {
      const std::uint8_t* at = flags + beside + i;
      const std::uint32_t inside = any(at) | any(at + 8);
      const std::uint32_t around =
          inside | any(at - kNarrowRadius) | any(at + kForegroundBlock + kNarrowRadius - 8);
      unknown[(begin + i) / kForegroundBlock] = inside != 0;
      near[(begin + i) / kForegroundBlock] = around != 0;
    }
  }
}

void add_columns_row(const std::uint8_t* image, const std::uint8_t* alpha, int begin, int end,
                     const WideColumns& columns) noexcept {
  std::uint8_t weights[3 * kRun];
  for (int x = begin; x < end; x += kRun) {
    const int count = end - x < kRun ? end - x : kRun;
    const std::uint8_t *colours = image + 3 * x, *opacities = alpha + x;
    repeat_thrice(opacities, weights, count);
    std::uint32_t* __restrict front = columns.front + 3 * x;
    std::uint16_t* __restrict behind = columns.behind + 3 * x;
    std::uint16_t* __restrict sums = columns.alpha + x;
    for (int i = 0; i < 3 * count; ++i) front[i] += product(colours[i], weights[i]);
    for (int i = 0; i < 3 * count; ++i) {
      behind[i] = static_cast<std::uint16_t>(behind[i] + colours[i]);
    }
    for (int i = 0; i < count; ++i) sums[i] = static_cast<std::uint16_t>(sums[i] + opacities[i]);
  }
}

void slide_columns_row(const std::uint8_t* entering_image, const std::uint8_t* entering_alpha,
                       const std::uint8_t* leaving_image, const std::uint8_t* leaving_alpha,
                       int begin, int end, const WideColumns& columns) noexcept {
  std::uint8_t entering[3 * kRun], leaving[3 * kRun];
  for (int x = begin; x < end; x += kRun) {
    const int count = end - x < kRun ? end - x : kRun;
    const std::uint8_t *more = entering_image + 3 * x, *less = leaving_image + 3 * x;
    const std::uint8_t *more_alpha = entering_alpha + x, *less_alpha = leaving_alpha + x;
    repeat_thrice(more_alpha, entering, count);
    repeat_thrice(less_alpha, leaving, count);
    std::uint32_t* __restrict front = columns.front + 3 * x;
    std::uint16_t* __restrict behind = columns.behind + 3 * x;
    std::uint16_t* __restrict sums = columns.alpha + x;
    FASTMATTE_INDEPENDENT
    for (int i = 0; i < 3 * count; ++i) {
      front[i] +=
          static_cast<std::uint32_t>(product(more[i], entering[i])) - product(less[i], leaving[i]);
    }
    FASTMATTE_INDEPENDENT
    for (int i = 0; i < 3 * count; ++i) {
      behind[i] = static_cast<std::uint16_t>(behind[i] + more[i] - less[i]);
    }
    FASTMATTE_INDEPENDENT
    for (int i = 0; i < count; ++i) {
      sums[i] = static_cast<std::uint16_t>(sums[i] + more_alpha[i] - less_alpha[i]);
    }
  }
}

void sum_columns_row(const WideColumns& columns, int begin, int end,
                     const WidePrefix& prefix) noexcept {
  // Four values at a time, the last of which is not of this column: the next store takes its place.
  using Words = Vec<std::uint32_t, 4>;
  using Halves = Vec<std::uint16_t, 8>;
  const std::uint32_t* front = columns.front + 3 * begin;
  const std::uint16_t *behind = columns.behind + 3 * begin, *alpha = columns.alpha + begin;
  std::uint32_t *fronts = prefix.front + 3 * begin, *behinds = prefix.behind + 3 * begin,
                *alphas = prefix.alpha + begin;
  Words front_sum{}, behind_sum{};
  std::uint32_t alpha_sum = 0;
  for (int i = 0; i <= end - begin; ++i) {
    __builtin_memcpy(fronts + 3 * i, &front_sum, sizeof front_sum);
    __builtin_memcpy(behinds + 3 * i, &behind_sum, sizeof behind_sum);
    alphas[i] = alpha_sum;
    Words weighted;
    Halves plain;
    __builtin_memcpy(&weighted, front + 3 * i, sizeof weighted);
    __builtin_memcpy(&plain, behind + 3 * i, sizeof plain);
    front_sum += weighted;
    behind_sum += reinterpret_cast<Words>(
        FASTMATTE_SHUFFLE(plain, Halves{}, Halves, 0, 8, 1, 9, 2, 10, 3, 11));
    alpha_sum += alpha[i];
  }
}

void fuse_wide_row(const std::uint8_t* image, const std::uint8_t* alpha, const WidePrefix& prefix,
                   const FullWeight& full, int begin, int end, int width,
                   const NarrowProducts& products, const NarrowColumns& sums) noexcept {
  Weights weights;
  for (int x = begin; x < end; x += kRun) {
    const int count = foreground_steps(end - x < kRun ? end - x : kRun);
    const Pixels pixels(image, alpha, x, count, width);
    // A window begins at the first and ends before the second.
    const int first = x - kWideRadius, second = x + kWideRadius + 1;
    const std::uint8_t* a = pixels.alpha();
    const std::uint32_t *alpha_first = prefix.alpha + first, *alpha_second = prefix.alpha + second;
    weigh(
        a, full.columns + x, full.rows, count,
        [=](int i) { return static_cast<std::int32_t>(alpha_second[i] - alpha_first[i]); },
        weights);
    std::uint16_t* __restrict alphas = products.alpha + x;
    std::uint32_t* __restrict alpha_sums = sums.alpha + x;
    FASTMATTE_INDEPENDENT
    for (int i = 0; i < count; ++i) {
      alpha_sums[i] += static_cast<std::uint32_t>(a[i]) - alphas[i];
      alphas[i] = a[i];
    }
    const std::uint32_t *front_first = prefix.front + 3 * first,
                        *front_second = prefix.front + 3 * second,
                        *all_first = prefix.behind + 3 * first,
                        *all_second = prefix.behind + 3 * second;
    const std::uint8_t* I = pixels.image();
    std::uint16_t* __restrict front = products.front + 3 * x;
    std::uint16_t* __restrict behind = products.behind + 3 * x;
    std::uint32_t* __restrict front_sums = sums.front + 3 * x;
    std::uint32_t* __restrict behind_sums = sums.behind + 3 * x;
    FASTMATTE_INDEPENDENT
    for (int i = 0; i < 3 * count; ++i) {
      const auto weighted = static_cast<std::int32_t>(front_second[i] - front_first[i]);
      const auto all = static_cast<std::int32_t>(all_second[i] - all_first[i]);
      const float F = static_cast<float>(weighted) * weights.inside[i];
      const float B = static_cast<float>(255 * all - weighted) * weights.outside[i];
      const float fused = fuse(I[i], opacity(weights.alpha[i]), F, B);
      // Rounding the products, not the colours, keeps what a uint8 colour would lose.
      const float weight = weights.alpha[i];
      const auto f = static_cast<std::uint16_t>(static_cast<std::int32_t>(weight * fused + 0.5f));
      const auto b =
          static_cast<std::uint16_t>(static_cast<std::int32_t>((255.0f - weight) * B + 0.5f));
      front_sums[i] += static_cast<std::uint32_t>(f) - front[i];
      behind_sums[i] += static_cast<std::uint32_t>(b) - behind[i];
      front[i] = f;
      behind[i] = b;
    }
    // Beyond the image nothing is opaque, and nothing is behind it either.
    for (int i = 3 * pixels.inside(); i < 3 * count; ++i) behind_sums[i] = behind[i] = 0;
  }
}

void retire_products_row(std::uint16_t* __restrict products, std::uint32_t* __restrict sums,
                         int count) noexcept {
  for (int i = 0; i < count; ++i) {
    sums[i] -= products[i];
    products[i] = 0;
  }
}

// The sum of what lies `step` elements apart.
static inline std::int32_t narrow_sum(const std::uint32_t* first, int step) noexcept {
  static_assert(kNarrowWindow == 7, "the sum is written out");
  return static_cast<std::int32_t>(first[0] + first[step] + first[2 * step] + first[3 * step] +
                                   first[4 * step] + first[5 * step] + first[6 * step]);
}

void fuse_narrow_row(const std::uint8_t* image, const std::uint8_t* alpha,
                     const NarrowColumns& sums, const FullWeight& full, int begin, int end,
                     int width, std::uint8_t* out) noexcept {
  Weights weights;
  for (int x = begin; x < end; x += kRun) {
    const int count = foreground_steps(end - x < kRun ? end - x : kRun);
    const Pixels pixels(image, alpha, x, count, width);
    const int first = x - kNarrowRadius;
    const std::uint32_t* alpha_sums = sums.alpha + first;
    weigh(
        pixels.alpha(), full.columns + x, full.rows, count,
        [=](int i) { return narrow_sum(alpha_sums + i, 1); }, weights);
    const std::uint32_t *front = sums.front + 3 * first, *behind = sums.behind + 3 * first;
    const std::uint8_t* I = pixels.image();
    std::uint8_t levels[3 * kRun];
    for (int i = 0; i < 3 * count; ++i) {
      const float F = static_cast<float>(narrow_sum(front + i, 3)) * weights.inside[i];
      const float B = static_cast<float>(narrow_sum(behind + i, 3)) * weights.outside[i];
      const float fused = fuse(I[i], opacity(weights.alpha[i]), F, B);
      levels[i] = static_cast<std::uint8_t>(static_cast<std::int32_t>(fused + 0.5f));
    }
    std::uint8_t* __restrict to = out + 3 * x;
    const int shown = end - x < kRun ? end - x : kRun;
    for (int i = 0; i < 3 * shown; ++i) {
      to[i] = is_unknown(weights.alpha[i]) ? levels[i] : I[i];
    }
  }
}

}  // namespace fastmatte::FASTMATTE_ISA
