// Pixels of four bytes are words, which plain loops do well. Pixels of three are not: their alpha
// is first repeated for each byte, a run at a time, so that the blend itself is one loop over
// bytes.
#include "kernels/composite.h"

#include "kernels/from_tensor.h"
#include "simd/portable.h"
#include "simd/vec.h"

namespace fastmatte::FASTMATTE_ISA {
namespace {

// A run's alphas and their repetition stay in the first-level cache.
constexpr int kRun = 512;

static inline void count_steps(const std::uint8_t* alpha, int count,
                               std::uint16_t* steps) noexcept {
  for (int x = 0; x < count; ++x) steps[x] = alpha[x];
}

static inline void count_steps(const float* alpha, int count, std::uint16_t* steps) noexcept {
  for (int x = 0; x < count; ++x) steps[x] = steps_65536(alpha[x]);
}

static inline std::uint8_t mix(const std::uint8_t*, std::uint16_t foreground,
                               std::uint16_t background, std::uint16_t alpha) noexcept {
  return blend_255ths(foreground, background, alpha);
}

static inline std::uint8_t mix(const float*, std::uint16_t foreground, std::uint16_t background,
                               std::uint16_t alpha) noexcept {
  return blend_65536ths(foreground, background, alpha);
}

// Each value three times over; count is rounded up to a multiple of 16.
static inline void repeat(const std::uint16_t* __restrict values, int count,
                          std::uint16_t* __restrict thrice) noexcept {
#if defined(__AVX2__)
  using Lanes = Vec<std::uint16_t, 16>;
  for (int x = 0; x < count; x += 16) {
    Lanes v;
    __builtin_memcpy(&v, values + x, sizeof v);
    const Lanes parts[3] = {
        FASTMATTE_SHUFFLE(v, v, Lanes, 0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5),
        FASTMATTE_SHUFFLE(v, v, Lanes, 5, 5, 6, 6, 6, 7, 7, 7, 8, 8, 8, 9, 9, 9, 10, 10),
        FASTMATTE_SHUFFLE(v, v, Lanes, 10, 11, 11, 11, 12, 12, 12, 13, 13, 13, 14, 14, 14, 15, 15,
                          15)};
    __builtin_memcpy(thrice + 3 * x, parts, sizeof parts);
  }
#elif FASTMATTE_SHUFFLES
  using Lanes = Vec<std::uint16_t, 8>;
  for (int x = 0; x < count; x += 8) {
    Lanes v;
    __builtin_memcpy(&v, values + x, sizeof v);
    const Lanes parts[3] = {FASTMATTE_SHUFFLE(v, v, Lanes, 0, 0, 0, 1, 1, 1, 2, 2),
                            FASTMATTE_SHUFFLE(v, v, Lanes, 2, 3, 3, 3, 4, 4, 4, 5),
                            FASTMATTE_SHUFFLE(v, v, Lanes, 5, 5, 6, 6, 6, 7, 7, 7)};
    __builtin_memcpy(thrice + 3 * x, parts, sizeof parts);
  }
#else
  for (int x = 0; x < count; ++x) {
    for (int c = 0; c < 3; ++c) thrice[3 * x + c] = values[x];
  }
#endif
}

template <typename Alpha>
static inline void composite_row(const std::uint8_t* foreground, const std::uint8_t* background,
                                 const Alpha* alpha, std::uint8_t* out, int width) noexcept {
  alignas(64) std::uint16_t steps[kRun] = {};
  alignas(64) std::uint16_t thrice[3 * kRun];
  for (int begin = 0; begin < width; begin += kRun) {
    const int count = width - begin < kRun ? width - begin : kRun;
    count_steps(alpha + begin, count, steps);
    repeat(steps, count, thrice);
    const std::uint8_t* f = foreground + 3 * begin;
    const std::uint8_t* b = background + 3 * begin;
    std::uint8_t* to = out + 3 * begin;
    FASTMATTE_INDEPENDENT
    for (int i = 0; i < 3 * count; ++i) to[i] = mix(alpha, f[i], b[i], thrice[i]);
  }
}

// Pixels that are looked at together: most of a matte is all foreground or all background.
constexpr int kBlock = 16;

// 255ths are 65535ths of 257, and the division by them is that of blend_255ths in twice the bits.
static inline std::uint32_t mix_light(std::uint8_t alpha, std::uint32_t foreground,
                                      std::uint32_t background) noexcept {
  const std::uint32_t steps = 257u * alpha;
  const std::uint32_t y = steps * foreground + (65535u - steps) * background + 32768u;
  return (y + (y >> 16)) >> 16;
}

// The largest sum is 65536 * 65535 + 32768, within 32 bits.
static inline std::uint32_t mix_light(float alpha, std::uint32_t foreground,
                                      std::uint32_t background) noexcept {
  const std::uint32_t steps = to_steps(alpha, 65536.0f);
  return (steps * foreground + (65536u - steps) * background + 32768u) >> 16;
}

// Whether all of a block is this alpha.
template <typename Alpha>
static inline bool is_all(const Alpha* alpha, Alpha value) noexcept {
  int others = 0;
  for (int x = 0; x < kBlock; ++x) others += alpha[x] == value ? 0 : 1;
  return others == 0;
}

// Table look-ups do not vectorise. Where alpha is full or none they would only return what went in.
template <typename Alpha>
static inline void composite_light_row(const std::uint8_t* foreground,
                                       const std::uint8_t* background, const Alpha* alpha,
                                       Alpha full, const SrgbTables& srgb, std::uint8_t* out,
                                       int width) noexcept {
  for (int begin = 0; begin < width; begin += kBlock) {
    const int end = begin + kBlock < width ? begin + kBlock : width;
    const bool whole = end - begin == kBlock;
    const bool clear = whole && is_all(alpha + begin, Alpha{0});
    if (clear || (whole && is_all(alpha + begin, full))) {
      __builtin_memmove(out + 3 * begin, (clear ? background : foreground) + 3 * begin, 3 * kBlock);
      continue;
    }
    for (int x = begin; x < end; ++x) {
      const Alpha a = alpha[x];
      const std::uint8_t* f = foreground + 3 * x;
      const std::uint8_t* b = background + 3 * x;
      // All three before the first is stored, which might be anything's memory.
      std::uint32_t mixed[3];
      for (int c = 0; c < 3; ++c) mixed[c] = mix_light(a, srgb.light[f[c]], srgb.light[b[c]]);
      for (int c = 0; c < 3; ++c) out[3 * x + c] = srgb.level[mixed[c]];
    }
  }
}

#if defined(FASTMATTE_VEC)
// blend_65536ths in 32 bits, where 65536 steps need no exception.
template <int kChannel>
static inline Ints mix_plane(const float* plane, Ints behind, Ints steps) noexcept {
  const Ints level = whole_steps(clamp_to_unit(load_floats(plane)), 255.0f);
  const Ints under = pick_bytes(behind, repeat(load_lane(kChannelOf[kChannel])));
  const Ints change = multiply_ints(steps, subtract_ints(level, under));
  return shift_left<8 * kChannel>(
      add_ints(under, shift_right<16>(add_ints(change, all_ints(32768)))));
}
#endif

static inline std::uint32_t word_of(const std::uint8_t* colour, std::uint8_t alpha) noexcept {
  const std::uint32_t word =
      static_cast<std::uint32_t>(colour[0]) | static_cast<std::uint32_t>(colour[1]) << 8 |
      static_cast<std::uint32_t>(colour[2]) << 16 | static_cast<std::uint32_t>(alpha) << 24;
  return alpha == 0 ? 0 : word;
}

static inline void cutout_run(const std::uint8_t* __restrict foreground,
                              const std::uint8_t* __restrict alpha, std::uint8_t* __restrict out,
                              int count) noexcept {
  int x = 0;
#if FASTMATTE_SHUFFLES
  using Bytes = Vec<std::uint8_t, 16>;
  using Words = Vec<std::uint32_t, 4>;
  // Four pixels, of whose sixteen bytes four belong to the next ones.
  for (; x + 6 <= count; x += 4) {
    Bytes colours;
    __builtin_memcpy(&colours, foreground + 3 * x, sizeof colours);
    colours = FASTMATTE_SHUFFLE(colours, Bytes{}, Bytes, 0, 1, 2, 16, 3, 4, 5, 16, 6, 7, 8, 16, 9,
                                10, 11, 16);
    const Words a{alpha[x], alpha[x + 1], alpha[x + 2], alpha[x + 3]};
    const Words pixels = (reinterpret_cast<Words&>(colours) & Words(a != 0)) | a << 24;
    __builtin_memcpy(out + 4 * x, &pixels, sizeof pixels);
  }
#endif
  for (; x < count; ++x) store_word(out + 4 * x, word_of(foreground + 3 * x, alpha[x]));
}

}  // namespace

void composite_row_u8(const std::uint8_t* foreground, const std::uint8_t* background,
                      const std::uint8_t* alpha, std::uint8_t* out, int width) noexcept {
  composite_row(foreground, background, alpha, out, width);
}

void composite_row_f32(const std::uint8_t* foreground, const std::uint8_t* background,
                       const float* alpha, std::uint8_t* out, int width) noexcept {
  composite_row(foreground, background, alpha, out, width);
}

// One loop, so that the processor loads the next pixels while it mixes these: a row of levels at a
// time, then mixed, takes a third longer.
void composite_planes_row(const float* first, const float* second, const float* third,
                          const std::uint8_t* background, const float* alpha, std::uint8_t* out,
                          int width) noexcept {
  int x = 0;
#if defined(FASTMATTE_VEC)
  // Left to themselves, four streams at once come a seventh later at 1080p.
  constexpr int kAhead = 384;
  const float* const read[] = {first, second, third, alpha};
  // The last lane of a background reads the first byte of the pixel after the next.
  for (; x + kInts + 2 <= width; x += kInts) {
    for (int i = 0; i < 4; ++i) __builtin_prefetch(read[i] + x + kAhead);
    const Ints behind = load_lanes(background + 3 * x, 12);
    const Ints steps = whole_steps(load_floats(alpha + x), 65536.0f);
    const Ints two =
        add_ints(mix_plane<0>(first + x, behind, steps), mix_plane<1>(second + x, behind, steps));
    store_triples(add_ints(two, mix_plane<2>(third + x, behind, steps)), out + 3 * x);
  }
#endif
  for (; x < width; ++x) {
    const std::uint16_t steps = steps_65536(alpha[x]);
    const float colours[3] = {first[x], second[x], third[x]};
    for (int c = 0; c < 3; ++c) {
      out[3 * x + c] = blend_65536ths(level_of(colours[c]), background[3 * x + c], steps);
    }
  }
}

void composite_light_row_u8(const std::uint8_t* foreground, const std::uint8_t* background,
                            const std::uint8_t* alpha, const SrgbTables& srgb, std::uint8_t* out,
                            int width) noexcept {
  composite_light_row(foreground, background, alpha, std::uint8_t{255}, srgb, out, width);
}

void composite_light_row_f32(const std::uint8_t* foreground, const std::uint8_t* background,
                             const float* alpha, const SrgbTables& srgb, std::uint8_t* out,
                             int width) noexcept {
  composite_light_row(foreground, background, alpha, 1.0f, srgb, out, width);
}

void cutout_row_u8(const std::uint8_t* foreground, const std::uint8_t* alpha, std::uint8_t* out,
                   int width) noexcept {
  cutout_run(foreground, alpha, out, width);
}

void cutout_row_f32(const std::uint8_t* foreground, const float* alpha, std::uint8_t* out,
                    int width) noexcept {
  std::uint8_t bytes[kRun];
  for (int begin = 0; begin < width; begin += kRun) {
    const int count = width - begin < kRun ? width - begin : kRun;
    for (int x = 0; x < count; ++x) {
      bytes[x] = static_cast<std::uint8_t>(to_steps(alpha[begin + x], 255.0f));
    }
    cutout_run(foreground + 3 * begin, bytes, out + 4 * begin, count);
  }
}

void premultiply_row(const std::uint8_t* rgba, std::uint8_t* out, int width) noexcept {
  FASTMATTE_INDEPENDENT
  for (int x = 0; x < width; ++x) store_word(out + 4 * x, premultiplied(load_word(rgba + 4 * x)));
}

void unpremultiply_row(const std::uint8_t* rgba, std::uint8_t* out, int width) noexcept {
  FASTMATTE_INDEPENDENT
  for (int x = 0; x < width; ++x) store_word(out + 4 * x, straight(load_word(rgba + 4 * x)));
}

}  // namespace fastmatte::FASTMATTE_ISA
