// Chroma is weighted where it is small, for the matrix is linear; the rest are plain loops over
// runs of ints in the first-level cache, and shuffles where pixels of three bytes are put together
// or taken apart.
#include "kernels/yuv.h"

#include "simd/vec.h"

namespace fastmatte::FASTMATTE_ISA {
namespace {

// Chroma samples of a run.
constexpr int kRun = 128;

static inline int clamp_level(int level) noexcept {
  const int low = level < 0 ? 0 : level;
  return low > 255 ? 255 : low;
}

// What chroma adds to R, G and B, in fourths of a row: samples [begin - 1, begin + count + 1),
// edges repeated, from the first element on.
static inline void weigh(const YuvRows& rows, const RgbWeights& w, int begin, int count, int width,
                         int* __restrict red, int* __restrict green,
                         int* __restrict blue) noexcept {
  const auto put = [&](int i, int x) {
    const int u = 3 * rows.u[x] + rows.far_u[x] - 512, v = 3 * rows.v[x] + rows.far_v[x] - 512;
    red[i] = w.red_v * v;
    green[i] = w.green_u * u + w.green_v * v;
    blue[i] = w.blue_u * u;
  };
  put(0, begin > 0 ? begin - 1 : 0);
  const std::uint8_t *u = rows.u + begin, *far_u = rows.far_u + begin;
  const std::uint8_t *v = rows.v + begin, *far_v = rows.far_v + begin;
  const int red_v = w.red_v, green_u = w.green_u, green_v = w.green_v, blue_u = w.blue_u;
  for (int i = 0; i < count; ++i) {
    const int cu = 3 * u[i] + far_u[i] - 512, cv = 3 * v[i] + far_v[i] - 512;
    red[i + 1] = red_v * cv;
    green[i + 1] = green_u * cu + green_v * cv;
    blue[i + 1] = blue_u * cu;
  }
  put(count + 1, begin + count < width ? begin + count : width - 1);
}

// Twice as many: each sample with a fourth of its neighbour to either side.
static inline void spread(const int* __restrict from, int count, int* __restrict to) noexcept {
  for (int i = 0; i < count; ++i) {
    const int near = 3 * from[i + 1];
    to[2 * i] = near + from[i];
    to[2 * i + 1] = near + from[i + 2];
  }
}

}  // namespace

void rgb_row(const YuvRows& rows, int width, const RgbWeights& weights,
             std::uint8_t* out) noexcept {
  alignas(64) int red[kRun + 2], green[kRun + 2], blue[kRun + 2];
  alignas(64) int reds[2 * kRun], greens[2 * kRun], blues[2 * kRun];
  alignas(64) std::uint32_t pixels[2 * kRun];
  const int luma = weights.luma, black = weights.black * luma - (1 << (kYuvBits - 1));
  for (int begin = 0; begin < width / 2; begin += kRun) {
    const int count = width / 2 - begin < kRun ? width / 2 - begin : kRun;
    weigh(rows, weights, begin, count, width / 2, red, green, blue);
    spread(red, count, reds);
    spread(green, count, greens);
    spread(blue, count, blues);
    const std::uint8_t* y = rows.y + 2 * begin;
    for (int x = 0; x < 2 * count; ++x) {
      const int level = luma * y[x] - black;
      const int r = clamp_level((level + reds[x]) >> kYuvBits);
      const int g = clamp_level((level + greens[x]) >> kYuvBits);
      const int b = clamp_level((level + blues[x]) >> kYuvBits);
      pixels[x] = static_cast<std::uint32_t>(r | g << 8 | b << 16);
    }
    std::uint8_t* to = out + 6 * begin;
    int x = 0;
#if defined(FASTMATTE_VEC)
    for (; x + kInts <= 2 * count; x += kInts) store_triples(load(pixels + x), to + 3 * x);
#endif
    for (; x < 2 * count; ++x) {
      to[3 * x] = static_cast<std::uint8_t>(pixels[x]);
      to[3 * x + 1] = static_cast<std::uint8_t>(pixels[x] >> 8);
      to[3 * x + 2] = static_cast<std::uint8_t>(pixels[x] >> 16);
    }
  }
}

namespace {

// The colours of `count` pixels; `readable` bytes may be read from row on.
static inline void take_apart(const std::uint8_t* __restrict row, int count,
                              [[maybe_unused]] int readable, int* __restrict red,
                              int* __restrict green, int* __restrict blue) noexcept {
  int x = 0;
#if defined(FASTMATTE_VEC)
  constexpr int none = static_cast<int>(0xffffff00u);
  const Ints first = repeat(_mm_setr_epi32(none, none | 3, none | 6, none | 9));
  const Ints second = repeat(_mm_setr_epi32(none | 1, none | 4, none | 7, none | 10));
  const Ints third = repeat(_mm_setr_epi32(none | 2, none | 5, none | 8, none | 11));
  // The last lane reads 16 bytes, of which its pixels are but 12.
  for (; x + kInts <= count && 3 * (x + kInts) + 4 <= readable; x += kInts) {
    const Ints pixels = load_lanes(row + 3 * x, 12);
    store(pick_bytes(pixels, first), red + x);
    store(pick_bytes(pixels, second), green + x);
    store(pick_bytes(pixels, third), blue + x);
  }
#endif
  for (; x < count; ++x) {
    red[x] = row[3 * x];
    green[x] = row[3 * x + 1];
    blue[x] = row[3 * x + 2];
  }
}

static inline void weigh_luma(const int* __restrict red, const int* __restrict green,
                              const int* __restrict blue, int count, const YuvSums& sums,
                              std::uint8_t* __restrict out) noexcept {
  const int r = sums.red, g = sums.green, b = sums.blue, offset = sums.offset;
  for (int x = 0; x < count; ++x) {
    out[x] =
        static_cast<std::uint8_t>((r * red[x] + g * green[x] + b * blue[x] + offset) >> kYuvBits);
  }
}

}  // namespace

void yuv_rows(const std::uint8_t* top, const std::uint8_t* bottom, int width,
              const YuvFromRgb& weights, std::uint8_t* y_top, std::uint8_t* y_bottom,
              std::uint8_t* u, std::uint8_t* v) noexcept {
  constexpr int kPixels = 2 * kRun;
  alignas(64) int red[kPixels], green[kPixels], blue[kPixels];
  alignas(64) int red_below[kPixels], green_below[kPixels], blue_below[kPixels];
  const YuvFromRgb w = weights;
  for (int begin = 0; begin < width; begin += kPixels) {
    const int count = width - begin < kPixels ? width - begin : kPixels;
    const int readable = 3 * (width - begin);
    take_apart(top + 3 * begin, count, readable, red, green, blue);
    take_apart(bottom + 3 * begin, count, readable, red_below, green_below, blue_below);
    weigh_luma(red, green, blue, count, w.y, y_top + begin);
    weigh_luma(red_below, green_below, blue_below, count, w.y, y_bottom + begin);
    for (int x = 0; x < count; ++x) {
      red[x] += red_below[x];
      green[x] += green_below[x];
      blue[x] += blue_below[x];
    }
    for (int i = 0; i < count / 2; ++i) {
      const int r = red[2 * i] + red[2 * i + 1];
      const int g = green[2 * i] + green[2 * i + 1];
      const int b = blue[2 * i] + blue[2 * i + 1];
      const int cu = w.u.red * r + w.u.green * g + w.u.blue * b + w.u.offset;
      const int cv = w.v.red * r + w.v.green * g + w.v.blue * b + w.v.offset;
      // Only the purest blue and red of the full range round to 256.
      u[begin / 2 + i] = static_cast<std::uint8_t>(clamp_level(cu >> (kYuvBits + 2)));
      v[begin / 2 + i] = static_cast<std::uint8_t>(clamp_level(cv >> (kYuvBits + 2)));
    }
  }
}

}  // namespace fastmatte::FASTMATTE_ISA
