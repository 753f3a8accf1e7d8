// Plain loops: whatever a row needs beside the alphas stays in the first-level cache.
#include "kernels/smoothing.h"

#include "simd/portable.h"
#include "simd/vec.h"

namespace fastmatte::FASTMATTE_ISA {
namespace {

// Pixels whose bytes are held at a time.
constexpr int kRun = 512;

static inline int apart(std::uint8_t a, std::uint8_t b) noexcept { return a < b ? b - a : a - b; }

static inline float apart(float a, float b) noexcept { return a < b ? b - a : a - b; }

static inline float clamp_to_unit(float value) noexcept {
  const float low = value < 0.0f ? 0.0f : value;
  return low > 1.0f ? 1.0f : low;
}

}  // namespace

void difference_row(const std::uint8_t* __restrict before, const std::uint8_t* __restrict image,
                    std::uint8_t* __restrict out, int width) noexcept {
  int done = 0;
#if defined(FASTMATTE_VEC)
  // Bytes first, whatever their channel: a third as long as taking pixels apart before.
  alignas(64) std::uint8_t bytes[3 * kRun + 64], most[3 * kRun + 64];
  // A byte number above 127 picks 0.
  constexpr int none = static_cast<int>(0xffffff00u);
  const Ints firsts = repeat(_mm_setr_epi32(none, none | 3, none | 6, none | 9));
  for (; done + kInts <= width;) {
    const int count = width - done < kRun ? (width - done) / kInts * kInts : kRun;
    const std::uint8_t *one = before + 3 * done, *other = image + 3 * done;
    for (int i = 0; i < 3 * count; ++i) {
      // The larger less the smaller: anything else is done in ints.
      const std::uint8_t large = one[i] < other[i] ? other[i] : one[i];
      const std::uint8_t small = one[i] < other[i] ? one[i] : other[i];
      bytes[i] = static_cast<std::uint8_t>(large - small);
    }
    bytes[3 * count] = bytes[3 * count + 1] = 0;
    store_word(most + 3 * count, 0);
    for (int i = 0; i < 3 * count; ++i) {
      const std::uint8_t two = bytes[i] < bytes[i + 1] ? bytes[i + 1] : bytes[i];
      most[i] = two < bytes[i + 2] ? bytes[i + 2] : two;
    }
    for (int x = 0; x < count; x += kInts) {
      store_bytes(pick_bytes(load_lanes(most + 3 * x, 12), firsts), out + done + x);
    }
    done += count;
  }
#endif
  for (int x = done; x < width; ++x) {
    const int first = apart(before[3 * x], image[3 * x]);
    const int second = apart(before[3 * x + 1], image[3 * x + 1]);
    const int third = apart(before[3 * x + 2], image[3 * x + 2]);
    const int two = first < second ? second : first;
    out[x] = static_cast<std::uint8_t>(two < third ? third : two);
  }
}

void add_difference_row(const std::uint8_t* __restrict differences, std::uint16_t* __restrict sums,
                        int width) noexcept {
  for (int x = 0; x < width; ++x) sums[x] = static_cast<std::uint16_t>(sums[x] + differences[x]);
}

void slide_difference_row(const std::uint8_t* __restrict entering,
                          const std::uint8_t* __restrict leaving, std::uint16_t* __restrict sums,
                          int width) noexcept {
  for (int x = 0; x < width; ++x) {
    sums[x] = static_cast<std::uint16_t>(sums[x] + entering[x] - leaving[x]);
  }
}

// The sum of kCount adjacent ones, as often as it may wrap around.
template <int kCount>
static inline std::uint16_t sum_of(const std::uint16_t* first) noexcept {
  if constexpr (kCount == 1) {
    return first[0];
  } else {
    return static_cast<std::uint16_t>(sum_of<kCount - 1>(first) + first[kCount - 1]);
  }
}

template <int kRadius>
static inline void adapt(const std::uint16_t* __restrict sums, const GateRow& gate,
                         const float* alpha_before, const float* alpha, float* out,
                         int width) noexcept {
  // A copy, which stores to out cannot change.
  const GateRow g = gate;
  FASTMATTE_INDEPENDENT
  for (int x = 0; x < width; ++x) {
    const float earlier = alpha_before[x];
    const float now = alpha[x];
    const auto window = static_cast<float>(sum_of<2 * kRadius + 1>(sums + x));
    const float motion = clamp_to_unit(window * g.motion_scale - g.motion_start);
    const float jump = clamp_to_unit(apart(now, earlier) * g.jump_scale - g.jump_start);
    const float weight = g.weight + g.rest * (motion < jump ? jump : motion);
    const float mixed = earlier + weight * (now - earlier);
    // What moves is the new alpha to the last bit, and nothing leaves [0, 1].
    out[x] = weight < 1.0f ? clamp_to_unit(mixed) : now;
  }
}

void motion_adaptive_row(const std::uint16_t* sums, int radius, const GateRow& gate,
                         const float* alpha_before, const float* alpha, float* out,
                         int width) noexcept {
  static_assert(kMaxMotionRadius == 7, "the sums of windows are written out");
  if (radius == 0) return adapt<0>(sums, gate, alpha_before, alpha, out, width);
  if (radius == 1) return adapt<1>(sums, gate, alpha_before, alpha, out, width);
  if (radius == 2) return adapt<2>(sums, gate, alpha_before, alpha, out, width);
  if (radius == 3) return adapt<3>(sums, gate, alpha_before, alpha, out, width);
  if (radius == 4) return adapt<4>(sums, gate, alpha_before, alpha, out, width);
  if (radius == 5) return adapt<5>(sums, gate, alpha_before, alpha, out, width);
  if (radius == 6) return adapt<6>(sums, gate, alpha_before, alpha, out, width);
  adapt<7>(sums, gate, alpha_before, alpha, out, width);
}

void one_frame_delay_row(const float* before, const float* alpha, const float* after,
                         float threshold, float* out, int width) noexcept {
  FASTMATTE_INDEPENDENT
  for (int x = 0; x < width; ++x) {
    const float earlier = before[x], now = alpha[x], later = after[x];
    const bool alone = (apart(earlier, later) <= threshold) & (apart(now, earlier) > threshold) &
                       (apart(now, later) > threshold);
    const float mean = (earlier + later) * 0.5f;
    out[x] = alone ? mean : now;
  }
}

}  // namespace fastmatte::FASTMATTE_ISA
