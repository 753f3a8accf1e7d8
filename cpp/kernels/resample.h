// resample: the filters, and the two separable passes that resize and to_tensor share.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "core/buffer.h"
#include "core/image_view.h"
#include "core/parallel.h"
#include "core/stores.h"
#include "cpu/dispatch.h"

namespace fastmatte {

// With s = input size / output size and output i centred at (i + 1/2) s, in input coordinates whose
// pixel j covers [j, j + 1]:
enum class Filter {
  nearest,   // the pixel that holds the centre
  bilinear,  // the two pixels around the centre, the edge repeated; no antialiasing
  area,      // the exact mean over [i s, (i + 1) s], also where that is less than a pixel
  bicubic,   // Keys, Cubic Convolution Interpolation, 1981, with a = -1/2; widened by max(s, 1)
  lanczos3,  // sinc(x) sinc(x / 3) for |x| < 3; widened by max(s, 1)
};

// The fraction bits of an integer weight, and of the int16 between two integer passes.
//
// Why int16 holds both: let L be the sum of an output's absolute weights. L is 1 but for bicubic
// and lanczos3, whose worst case is an output at the very edge, where weights beyond it are missing
// and the rest is divided by a smaller sum: there L < 1.6 (tests/test_resize.py scans the phases).
// Weights are differences of a rounded running sum, and rounding a rising or falling run keeps it
// rising or falling, so integer weights add at most one step for each of the six lobes: their
// absolute sum is below 1.7 * 2^14. Values between the passes therefore lie between
// -0.35 * 255 * 64 = -5712 and 1.35 * 255 * 64 = 22032, and the second pass stays below
// 22032 * 1.7 * 2^14 + 2^19 < 2^30.
constexpr int kWeightBits = 14;
constexpr int kPassBits = 6;

// The inputs of every output along a row, as a row function takes them; of Axis, below.
template <typename Weight>
struct RowTaps {
  const int* start;
  const int* count;
  const Weight* weights;
  int taps;
  int input;
  int output;
};

// Which inputs make each output along one axis: weights[i * taps + t] for input start[i] + t, with
// t < count[i] <= taps; the rest of the taps weights are 0. No weight at either end of a run is 0:
// where an input has no part in an output its NaN has none either.
template <typename Weight>
struct Axis {
  int input = 0;
  int output = 0;
  int taps = 0;
  Buffer<int> start;
  Buffer<int> count;
  Buffer<Weight> weights;

  RowTaps<Weight> row_taps() const noexcept {
    return {start.data(), count.data(), weights.data(), taps, input, output};
  }
};

// Weight is float, or int16_t for weights in 2^-14 that sum to exactly 2^14. The integers are the
// steps of the running sum rounded half up, so that not even a thousand taps drift; giving the
// error of 1000 rounded weights to the largest of them would move the result by several levels.
// filter is not nearest. Float weights are divided by divisor, for inputs that are as much too
// large.
template <typename Weight>
Axis<Weight> make_axis(Filter filter, int input, int output, int divisor = 1);

// Weights of area are whole numbers over a common denominator, and sums of bytes with small ones
// are exact in 16 bits: what shrinks a row of three channels by a ratio of few digits then takes no
// float. Taps come in blocks of as many pixels as 16 bytes hold, four and a fifth.
constexpr int kBlockTaps = 5;
constexpr int kWeightBytes = 16;

// Of blocks of taps of all outputs, the first blocks of each before the second ones: four of the
// fours are those of one channel, the same for each, then four zeros; of the fifths, one and zeros.
struct ByteTaps {
  const int* start;
  const std::int8_t* fours;
  const std::int8_t* fifths;
  int blocks;
  int input;
  int output;
};

struct ByteAxis {
  int denominator = 0;  // 0 where there are no such weights
  int blocks = 0;
  int input = 0;
  int output = 0;
  Buffer<int> start;
  Buffer<std::int8_t> fours;
  Buffer<std::int8_t> fifths;

  ByteTaps taps() const noexcept {
    return {start.data(), fours.data(), fifths.data(), blocks, input, output};
  }
};

ByteAxis make_byte_axis(Filter filter, int input, int output);

// The input pixel nearest to the centre of output i.
inline int nearest_input(int i, int input, int output) noexcept {
  return static_cast<int>((2 * std::int64_t{i} + 1) * input / (2 * std::int64_t{output}));
}

// Rows stride apart from the first on, wrapping round after ring of them.
template <typename T>
struct RowRing {
  const T* data;
  std::ptrdiff_t stride;
  int first;
  int ring;
};

// mix_rows_<in>_<out>: out[i] = sum over t < count of weights[t] * row t [i], in that order.
FASTMATTE_ROW(mix_rows_u8_f32, (RowRing<std::uint8_t> rows, const float* weights, int count,
                                float* out, int elements))
FASTMATTE_ROW(mix_rows_f32_f32,
              (RowRing<float> rows, const float* weights, int count, float* out, int elements))
FASTMATTE_ROW(mix_rows_u8_i16, (RowRing<std::uint8_t> rows, const std::int16_t* weights, int count,
                                std::int16_t* out, int elements))
FASTMATTE_ROW(mix_rows_i16_u8, (RowRing<std::int16_t> rows, const std::int16_t* weights, int count,
                                std::uint8_t* out, int elements))

FASTMATTE_ROW(mix_rows_i16_f32, (RowRing<std::int16_t> rows, const float* weights, int count,
                                 float* out, int elements))

// The same as mix_rows_f32_f32, past the caches. Made and stored a few values at a time, so that
// memory takes what was stored while the next is made; a row first made and then copied has to wait
// for it (a quarter of the time of alpha on its way to 4K).
FASTMATTE_ROW(stream_rows_f32,
              (RowRing<float> rows, const float* weights, int count, float* out, int elements))

// out[4 x + c] = sum of the weighted bytes of channel c, of three; out[4 x + 3] = 0.
FASTMATTE_ROW(sum_columns_u8_i16, (const std::uint8_t* row, ByteTaps taps, std::int16_t* out))

// mix_columns_<in>_<out>: the same along one row of interleaved pixels of 1, 3 or 4 channels.
FASTMATTE_ROW(mix_columns_u8_f32,
              (const std::uint8_t* row, RowTaps<float> taps, int channels, float* out))
FASTMATTE_ROW(mix_columns_f32_f32,
              (const float* row, RowTaps<float> taps, int channels, float* out))
FASTMATTE_ROW(mix_columns_u8_i16, (const std::uint8_t* row, RowTaps<std::int16_t> taps,
                                   int channels, std::int16_t* out))
FASTMATTE_ROW(mix_columns_i16_u8, (const std::int16_t* row, RowTaps<std::int16_t> taps,
                                   int channels, std::uint8_t* out))

// The four row functions of one element type, chosen once per image.
template <typename In, typename Weight>
struct Mixers;

template <>
struct Mixers<std::uint8_t, std::int16_t> {
  using Middle = std::int16_t;
  using Out = std::uint8_t;
  decltype(active_mix_rows_u8_i16()) rows_first = active_mix_rows_u8_i16();
  decltype(active_mix_rows_i16_u8()) rows_last = active_mix_rows_i16_u8();
  decltype(active_mix_columns_u8_i16()) columns_first = active_mix_columns_u8_i16();
  decltype(active_mix_columns_i16_u8()) columns_last = active_mix_columns_i16_u8();
};

template <>
struct Mixers<std::uint8_t, float> {
  using Middle = float;
  using Out = float;
  decltype(active_sum_columns_u8_i16()) columns_summed = active_sum_columns_u8_i16();
  decltype(active_mix_rows_i16_f32()) rows_of_sums = active_mix_rows_i16_f32();
  decltype(active_mix_rows_u8_f32()) rows_first = active_mix_rows_u8_f32();
  decltype(active_mix_rows_f32_f32()) rows_last = active_mix_rows_f32_f32();
  decltype(active_mix_columns_u8_f32()) columns_first = active_mix_columns_u8_f32();
  decltype(active_mix_columns_f32_f32()) columns_last = active_mix_columns_f32_f32();
};

template <>
struct Mixers<float, float> {
  using Middle = float;
  using Out = float;
  decltype(active_mix_rows_f32_f32()) rows_first = active_mix_rows_f32_f32();
  decltype(active_mix_rows_f32_f32()) rows_last = active_mix_rows_f32_f32();
  decltype(active_stream_rows_f32()) rows_streamed = active_stream_rows_f32();
  decltype(active_mix_columns_f32_f32()) columns_first = active_mix_columns_f32_f32();
  decltype(active_mix_columns_f32_f32()) columns_last = active_mix_columns_f32_f32();
};

// Bands with about as much work in each as rows_per_band means, whatever the scale.
template <typename In>
Bands resample_bands(ImageView<In> image, int height, int width, int threads) {
  const std::int64_t rows = (std::int64_t{image.height} + height - 1) / height;
  const auto pixels = std::min<std::int64_t>(rows * image.width + width, kMaxPixels);
  return Bands(height, rows_per_band(static_cast<int>(pixels)), threads);
}

// One image on its way to height x width: the axes, and what each worker keeps between rows.
//
// The columns pass runs along rows and is the slower one, so it runs on the fewer rows: after the
// rows pass where the height shrinks, before it where the height grows. Sums of bytes are an
// exception: they come first, and a quarter as many numbers are left for the rows pass.
template <typename Weight, typename In>
class Resampler {
 public:
  using Middle = typename Mixers<In, Weight>::Middle;
  using Out = typename Mixers<In, Weight>::Out;

  Resampler(ImageView<const In> image, int height, int width, Filter filter, int workers,
            Stores stores = Stores::cached)
      : image_(image), grows_(height > image.height), stores_(stores) {
    if constexpr (kSumsBytes) {
      if (image.channels == 3) summed_ = make_byte_axis(filter, image.width, width);
    }
    down_ = make_axis<Weight>(filter, image.height, height, std::max(summed_.denominator, 1));
    if (!sums()) across_ = make_axis<Weight>(filter, image.width, width);
    if (!grows_ && !sums()) {
      middle_ = Slices<Middle>(workers, static_cast<std::size_t>(image.row_elements()));
      if (kStreams && stores == Stores::streamed) {
        last_ = Slices<Out>(
            workers, static_cast<std::size_t>(width) * static_cast<std::size_t>(image.channels));
      }
      return;
    }
    // A ring of as many finished input rows as one output row may need; each keeps the number of
    // the row it holds, so that a worker's next band finds those that it shares with the last.
    const auto ring = static_cast<std::size_t>(down_.taps);
    slice_ = aligned_count<std::int16_t>(static_cast<std::size_t>(width) *
                                         static_cast<std::size_t>(channels()));
    if (sums()) {
      sums_ = Slices<std::int16_t>(workers, ring * slice_);
    } else {
      middle_ = Slices<Middle>(workers, ring * slice_);
    }
    held_ = Slices<int>(workers, ring);
    for (int worker = 0; worker < workers; ++worker) std::fill_n(held_[worker], ring, -1);
  }

  // Of an output row: the image's, or four of which the last is without meaning.
  int channels() const noexcept { return sums() ? 4 : image_.channels; }

  // Writes output row y; no two calls with the same worker may overlap.
  void row(int worker, int y, Out* out) const noexcept {
    const int start = down_.start[static_cast<std::size_t>(y)];
    const int count = down_.count[static_cast<std::size_t>(y)];
    const Weight* weights =
        &down_.weights[static_cast<std::size_t>(y) * static_cast<std::size_t>(down_.taps)];
    const int elements = across_.output * image_.channels;
    if constexpr (kSumsBytes) {
      if (sums()) {
        const auto rows = held_rows(worker, start, count, sums_[worker],
                                    [&](const In* row, std::int16_t* to) noexcept {
                                      mix_.columns_summed(row, summed_.taps(), to);
                                    });
        return mix_.rows_of_sums(rows, weights, count, out, summed_.output * channels());
      }
    }
    Middle* const middle = middle_[worker];
    if (!grows_) {
      const RowRing<In> rows{image_.row(start), image_.row_stride, 0, image_.height};
      mix_.rows_first(rows, weights, count, middle, image_.row_elements());
      if constexpr (kStreams) {
        if (stores_ == Stores::streamed) {
          Out* const last = last_[worker];
          mix_.columns_last(middle, across_.row_taps(), image_.channels, last);
          const float whole = 1.0f;
          mix_.rows_streamed({last, 0, 0, 1}, &whole, 1, out, elements);
          return finish(stores_);
        }
      }
      mix_.columns_last(middle, across_.row_taps(), image_.channels, out);
      return;
    }
    const auto rows =
        held_rows(worker, start, count, middle, [&](const In* row, Middle* to) noexcept {
          mix_.columns_first(row, across_.row_taps(), image_.channels, to);
        });
    if constexpr (kStreams) {
      if (stores_ == Stores::streamed) {
        mix_.rows_streamed(rows, weights, count, out, elements);
        return finish(stores_);
      }
    }
    mix_.rows_last(rows, weights, count, out, elements);
  }

 private:
  static constexpr bool kSumsBytes =
      std::is_same_v<Mixers<In, Weight>, Mixers<std::uint8_t, float>>;
  static constexpr bool kStreams = std::is_same_v<In, float>;

  bool sums() const noexcept { return summed_.denominator > 0; }

  // Input rows [start, start + count) in the ring; finish(row, to) makes those that it lacks.
  template <typename T, typename Finish>
  RowRing<T> held_rows(int worker, int start, int count, T* ring,
                       const Finish& finish) const noexcept {
    int* const held = held_[worker];
    for (int source = start; source < start + count; ++source) {
      const int place = source % down_.taps;
      if (held[place] == source) continue;
      finish(image_.row(source), ring + static_cast<std::size_t>(place) * slice_);
      held[place] = source;
    }
    return {ring, static_cast<std::ptrdiff_t>(slice_), start % down_.taps, down_.taps};
  }

  Mixers<In, Weight> mix_;
  ImageView<const In> image_;
  Axis<Weight> down_;
  Axis<Weight> across_;
  ByteAxis summed_;
  bool grows_;
  Stores stores_;
  std::size_t slice_ = 0;
  Slices<Middle> middle_;
  Slices<Out> last_;
  Slices<std::int16_t> sums_;
  Slices<int> held_;
};

// Resamples image to height x width. For each output row y, once and on some worker, row_of(worker,
// y) says where to write it and done(worker, y) is told that it is there. bands are resample_bands.
// Only float32 to float32 goes past the caches.
template <typename Weight, typename In, typename RowOf, typename Done>
void resample(ImageView<const In> image, int height, int width, Filter filter, const Bands& bands,
              const RowOf& row_of, const Done& done, Stores stores = Stores::cached) {
  const Resampler<Weight, In> rows(image, height, width, filter, bands.workers, stores);
  parallel_rows(bands, [&](int worker, int begin, int end) noexcept {
    for (int y = begin; y < end; ++y) {
      rows.row(worker, y, row_of(worker, y));
      done(worker, y);
    }
  });
}

}  // namespace fastmatte
