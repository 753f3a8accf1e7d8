// The weights of each filter, worked out in integers where they are rational and in double else.
#include "kernels/resample.h"

#include <cmath>
#include <numeric>
#include <type_traits>

namespace fastmatte {
namespace {

constexpr double kPi = 3.14159265358979323846;

double cubic(double x) noexcept {
  const double d = std::abs(x);
  if (d >= 2) return 0;
  if (d >= 1) return ((-0.5 * d + 2.5) * d - 4) * d + 2;
  return (1.5 * d - 2.5) * d * d + 1;
}

double sinc(double x) noexcept {
  if (x == std::floor(x)) return x == 0 ? 1 : 0;  // sin(kPi * 3) is not quite 0
  return std::sin(kPi * x) / (kPi * x);
}

double lanczos3(double x) noexcept { return std::abs(x) >= 3 ? 0 : sinc(x) * sinc(x / 3); }

// The inputs [start, start + count) of output i, and their weights up to a common factor.
struct Run {
  int start;
  int count;
};

Run bilinear_run(int i, int input, int output, double* weights) noexcept {
  // The centre is half a pixel right of the middle of pixel `left`, in units of 1 / (2 output).
  const std::int64_t unit = 2 * std::int64_t{output};
  const std::int64_t position = (2 * std::int64_t{i} + 1) * input - output;
  const std::int64_t left = position < 0 ? -1 : position / unit;
  if (left < 0 || left >= input - 1 || position == left * unit) {
    weights[0] = 1;
    return {static_cast<int>(left < 0 ? 0 : left), 1};
  }
  weights[0] = static_cast<double>((left + 1) * unit - position);
  weights[1] = static_cast<double>(position - left * unit);
  return {static_cast<int>(left), 2};
}

Run area_run(int i, int input, int output, double* weights) noexcept {
  // In units of 1 / output: the output covers [begin, end), input j covers [j, j + 1) * output.
  const std::int64_t begin = std::int64_t{i} * input;
  const std::int64_t end = begin + input;
  const std::int64_t first = begin / output;
  int count = 0;
  for (std::int64_t j = first; j * output < end; ++j) {
    weights[count++] =
        static_cast<double>(std::min(end, (j + 1) * output) - std::max(begin, j * output));
  }
  return {static_cast<int>(first), count};
}

template <typename Kernel>
Run windowed_run(int i, int input, int output, double support, Kernel kernel,
                 double* weights) noexcept {
  const double scale = static_cast<double>(input) / output;
  const double widening = std::max(scale, 1.0);
  const double centre = (i + 0.5) * scale;
  const double reach = support * widening;
  // The pixels whose middles lie within reach; the kernel is 0 beyond, so one too many is harmless.
  const int begin = static_cast<int>(std::max(0.0, std::floor(centre - reach)));
  const int end = static_cast<int>(std::min<double>(input, std::ceil(centre + reach)));
  int first = end, last = begin;
  for (int j = begin; j < end; ++j) {
    weights[j - begin] = kernel((j + 0.5 - centre) / widening);
    if (weights[j - begin] == 0) continue;
    first = std::min(first, j);
    last = j;
  }
  for (int j = first; j <= last; ++j) weights[j - first] = weights[j - begin];
  return {first, last - first + 1};
}

// How far bicubic and lanczos3 reach at most; the others' weights are whole numbers and cheap.
double support_of(Filter filter) noexcept {
  return filter == Filter::bicubic ? 2 : filter == Filter::lanczos3 ? 3 : 0;
}

// Whether output i lies between its inputs exactly as the one a period before, which is advance
// inputs away, and both have all of theirs inside. The difference is exact, being smaller than the
// centre.
bool repeats(Filter filter, int i, int period, int advance, int input, int output) noexcept {
  const double support = support_of(filter);
  if (support == 0 || i < period) return false;
  const double scale = static_cast<double>(input) / output;
  const double reach = support * std::max(scale, 1.0);
  const double centre = (i + 0.5) * scale, before = (i - period + 0.5) * scale;
  return centre - advance == before && before >= reach && centre + reach <= input;
}

Run run_of(Filter filter, int i, int input, int output, double* weights) noexcept {
  switch (filter) {
    case Filter::area:
      return area_run(i, input, output, weights);
    case Filter::bicubic:
      return windowed_run(i, input, output, support_of(filter), cubic, weights);
    case Filter::lanczos3:
      return windowed_run(i, input, output, support_of(filter), lanczos3, weights);
    default:
      return bilinear_run(i, input, output, weights);
  }
}

int most_taps(Filter filter, int input, int output) noexcept {
  const double scale = static_cast<double>(input) / output;
  const double reach =
      filter == Filter::area ? scale : 2 * support_of(filter) * std::max(scale, 1.0);
  // A stretch of that length touches at most this many pixels.
  return static_cast<int>(std::min<double>(input, std::ceil(reach) + 2));
}

}  // namespace

template <typename Weight>
Axis<Weight> make_axis(Filter filter, int input, int output, int divisor) {
  const int taps = most_taps(filter, input, output);
  const auto size = static_cast<std::size_t>(output);
  Axis<Weight> axis{input,
                    output,
                    taps,
                    Buffer<int>(size),
                    Buffer<int>(size),
                    Buffer<Weight>(size * static_cast<std::size_t>(taps))};
  const Buffer<double> raw(static_cast<std::size_t>(taps) + 2);
  const int common = std::gcd(input, output);
  const int period = output / common, advance = input / common;
  for (int i = 0; i < output; ++i) {
    const auto place = static_cast<std::size_t>(i);
    Weight* weights = axis.weights.data() + place * static_cast<std::size_t>(taps);
    // Sines took a third of the time of a frame on its way to a sixth.
    if (repeats(filter, i, period, advance, input, output)) {
      const std::size_t before = place - static_cast<std::size_t>(period);
      axis.start[place] = axis.start[before] + advance;
      axis.count[place] = axis.count[before];
      std::copy_n(axis.weights.data() + before * static_cast<std::size_t>(taps), taps, weights);
      continue;
    }
    const Run run = run_of(filter, i, input, output, raw.data());
    axis.start[place] = run.start;
    axis.count[place] = run.count;
    double total = 0;
    for (int t = 0; t < run.count; ++t) total += raw[static_cast<std::size_t>(t)];
    double sum = 0, reached = 0;
    for (int t = 0; t < run.count; ++t) {
      const double weight = raw[static_cast<std::size_t>(t)];
      if constexpr (std::is_same_v<Weight, float>) {
        weights[t] = static_cast<float>(weight / (total * divisor));
      } else {
        sum += weight;
        const double next = std::floor(sum / total * (1 << kWeightBits) + 0.5);
        weights[t] = static_cast<Weight>(next - reached);
        reached = next;
      }
    }
    std::fill(weights + run.count, weights + taps, Weight{0});
  }
  return axis;
}

template Axis<float> make_axis(Filter, int, int, int);
template Axis<std::int16_t> make_axis(Filter, int, int, int);

ByteAxis make_byte_axis(Filter filter, int input, int output) {
  // In units of 1 / (output / common), an input pixel is output / common long, and an output
  // input / common. Two products with bytes, and all of an output, must fit int16.
  const int common = std::gcd(input, output);
  const int denominator = input / common;
  if (filter != Filter::area || output >= input || denominator > 128 || output / common > 64) {
    return {};
  }
  const Buffer<double> raw(static_cast<std::size_t>(most_taps(filter, input, output)));
  int taps = 0;
  for (int i = 0; i < output; ++i)
    taps = std::max(taps, area_run(i, input, output, raw.data()).count);
  const int blocks = (taps + kBlockTaps - 1) / kBlockTaps;
  const std::size_t size = static_cast<std::size_t>(output);
  const std::size_t bytes = size * static_cast<std::size_t>(blocks) * kWeightBytes;
  ByteAxis axis{denominator,
                blocks,
                input,
                output,
                Buffer<int>(size),
                Buffer<std::int8_t>(bytes),
                Buffer<std::int8_t>(bytes)};
  std::fill_n(axis.fours.data(), bytes, std::int8_t{0});
  std::fill_n(axis.fifths.data(), bytes, std::int8_t{0});
  for (int i = 0; i < output; ++i) {
    const Run run = area_run(i, input, output, raw.data());
    axis.start[static_cast<std::size_t>(i)] = run.start;
    for (int t = 0; t < run.count; ++t) {
      const auto weight = static_cast<std::int8_t>(raw[static_cast<std::size_t>(t)] / common);
      const auto block =
          static_cast<std::size_t>(t / kBlockTaps) * size + static_cast<std::size_t>(i);
      const auto tap = static_cast<std::size_t>(t % kBlockTaps);
      for (std::size_t c = 0; c < 3; ++c) {
        (tap < 4 ? axis.fours : axis.fifths)[block * kWeightBytes + 4 * c + tap % 4] = weight;
      }
    }
  }
  return axis;
}

}  // namespace fastmatte
