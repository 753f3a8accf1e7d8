// Four launches: the guide shrunk to alpha's size beside alpha, the windows solved, their results
// averaged, and those grown to the guide. All but the last work at alpha's size.
//
// Sums are double, as the processor's are and for the same reason: mean of squares less square of
// mean cancels all but a few bits of a float. There are so few of these pixels that even the
// devices with one double for 64 floats take them in about the time of the last launch.
#include "core/require.h"
#include "cuda/access.h"
#include "cuda/box_window.h"
#include "cuda/kernels.h"
#include "cuda/sample.h"
#include "kernels/guided_filter.h"
#include "kernels/quantise.h"

namespace fastmatte::cuda {
namespace {

// The guide's channels less kGuideCentre, then alpha: 16 bytes for a colour guide.
template <int kChannels>
struct alignas(4 * (kChannels + 1)) Guided {
  float at[kChannels + 1];
};

template <int kChannels>
struct Shrink {
  AreaSampler<kChannels> guide;
  ImageView<const float> alpha;
  Guided<kChannels>* to;

  FASTMATTE_EVERYWHERE void operator()(int x, int y) const noexcept {
    float levels[kChannels];
    guide.sample(x, y, levels);
    Guided<kChannels> pixel;
    FASTMATTE_UNROLL
    for (int c = 0; c < kChannels; ++c) pixel.at[c] = levels[c] - kGuideCentre;
    pixel.at[kChannels] = unit(alpha.row(y)[x]);
    to[std::ptrdiff_t{y} * alpha.width + x] = pixel;
  }
};

template <int kChannels>
struct Moments {
  static constexpr bool kSparse = false;
  const Guided<kChannels>* pixels;
  int width;

  FASTMATTE_EVERYWHERE void operator()(int y, int x,
                                       double (&sums)[moment_count(kChannels)]) const noexcept {
    const Guided<kChannels> pixel = pixels[std::ptrdiff_t{y} * width + x];
    const double alpha = pixel.at[kChannels];
    int k = 1 + 2 * kChannels;
    sums[0] = alpha;
    FASTMATTE_UNROLL
    for (int c = 0; c < kChannels; ++c) {
      const double value = pixel.at[c];
      sums[1 + c] = value * alpha;
      sums[1 + kChannels + c] = value;
      FASTMATTE_UNROLL
      for (int d = c; d < kChannels; ++d) sums[k++] = value * static_cast<double>(pixel.at[d]);
    }
  }
};

// He, Sun and Tang's eq. 5 and 6, or 14 and 15 by L D L^T, as the processor's solve_row has them.
template <int kChannels>
struct Solve {
  double eps;
  double unsure;
  Guided<kChannels>* coefficients;  // a, then b
  float* weights;                   // null where unsure is not given
  int width;

  FASTMATTE_EVERYWHERE void operator()(int y, int x, const double (&sums)[moment_count(kChannels)],
                                       int pixels) const noexcept {
    const double inverse = 1.0 / pixels;
    const auto mean = [&](int k) { return sums[k] * inverse; };
    const double p = mean(0);
    const std::ptrdiff_t at = std::ptrdiff_t{y} * width + x;
    Guided<kChannels> solved;
    if constexpr (kChannels == 1) {
      const double i = mean(2);
      const double a = (mean(1) - i * p) / (mean(3) - i * i + eps);
      solved.at[0] = static_cast<float>(a);
      solved.at[1] = static_cast<float>(p - static_cast<double>(solved.at[0]) * i);
    } else {
      const double r = mean(4), g = mean(5), b = mean(6);
      const double rp = mean(1) - r * p, gp = mean(2) - g * p, bp = mean(3) - b * p;
      const double rr = mean(7) - r * r + eps, rg = mean(8) - r * g, rb = mean(9) - r * b;
      const double gg = mean(10) - g * g + eps, gb = mean(11) - g * b;
      const double bb = mean(12) - b * b + eps;
      const double inverse_d0 = 1.0 / rr;
      const double l10 = rg * inverse_d0, l20 = rb * inverse_d0;
      const double inverse_d1 = 1.0 / (gg - l10 * rg);
      const double e21 = gb - l20 * rg;
      const double l21 = e21 * inverse_d1;
      const double d2 = bb - l20 * rb - l21 * e21;
      const double z1 = gp - l10 * rp;
      const double a2 = (bp - l20 * rp - l21 * z1) / d2;
      const double a1 = z1 * inverse_d1 - l21 * a2;
      const double a0 = rp * inverse_d0 - l10 * a1 - l20 * a2;
      solved.at[0] = static_cast<float>(a0);
      solved.at[1] = static_cast<float>(a1);
      solved.at[2] = static_cast<float>(a2);
      solved.at[3] = static_cast<float>(p - static_cast<double>(solved.at[0]) * r -
                                        static_cast<double>(solved.at[1]) * g -
                                        static_cast<double>(solved.at[2]) * b);
    }
    coefficients[at] = solved;
    if (!weights) return;
    const double weight = unsure * p * (1.0 - p);
    weights[at] = static_cast<float>(weight < 0.0 ? 0.0 : weight > 1.0 ? 1.0 : weight);
  }
};

template <int kChannels>
struct Coefficients {
  static constexpr bool kSparse = false;
  const Guided<kChannels>* coefficients;
  int width;

  FASTMATTE_EVERYWHERE void operator()(int y, int x, double (&sums)[kChannels + 1]) const noexcept {
    const Guided<kChannels> pixel = coefficients[std::ptrdiff_t{y} * width + x];
    FASTMATTE_UNROLL
    for (int k = 0; k <= kChannels; ++k) sums[k] = pixel.at[k];
  }
};

template <int kChannels>
struct Average {
  const float* weights;
  const Guided<kChannels>* pixels;  // whose last is alpha
  Guided<kChannels>* to;
  int width;

  FASTMATTE_EVERYWHERE void operator()(int y, int x, const double (&sums)[kChannels + 1],
                                       int count) const noexcept {
    const std::ptrdiff_t at = std::ptrdiff_t{y} * width + x;
    const double inverse = 1.0 / count;
    const double weight = weights ? static_cast<double>(weights[at]) : 1.0;
    Guided<kChannels> mean;
    FASTMATTE_UNROLL
    for (int k = 0; k < kChannels; ++k) {
      mean.at[k] = static_cast<float>(weight * (sums[k] * inverse));
    }
    double b = weight * (sums[kChannels] * inverse);
    if (weights) b += (1.0 - weight) * static_cast<double>(pixels[at].at[kChannels]);
    mean.at[kChannels] = static_cast<float>(b);
    to[at] = mean;
  }
};

FASTMATTE_EVERYWHERE inline void put(float alpha, float& out) noexcept { out = alpha; }
FASTMATTE_EVERYWHERE inline void put(float alpha, std::uint8_t& out) noexcept {
  out = static_cast<std::uint8_t>(to_steps(alpha, 255.0f));
}

// A thread takes as many pixels as 16 bytes of uint8 hold.
template <int kChannels, typename Out>
struct Apply {
  static constexpr int kPixels = 16;
  ImageView<const std::uint8_t> guide;
  const Guided<kChannels>* coefficients;
  RowTaps<float> down, across;
  ImageView<Out> out;

  FASTMATTE_EVERYWHERE void operator()(int run, int y) const noexcept {
    const int begin = run * kPixels;
    const int count = out.width - begin < kPixels ? out.width - begin : kPixels;
    Run<std::uint8_t, kChannels * kPixels> colours;
    Run<Out, kPixels> result;
    load(guide.row(y) + kChannels * begin, kChannels * count, colours);
    const bool falls = down.count[y] > 1;
    const float lower = falls ? down.weights[2 * static_cast<std::ptrdiff_t>(y) + 1] : 0.0f;
    const Guided<kChannels>* const top =
        coefficients + std::ptrdiff_t{down.start[y]} * across.input;
    const Guided<kChannels>* const bottom = falls ? top + across.input : top;
    FASTMATTE_UNROLL
    for (int i = 0; i < kPixels; ++i) {
      if (i >= count) continue;
      const int x = begin + i, left = across.start[x];
      const bool goes = across.count[x] > 1;
      const float right = goes ? across.weights[2 * static_cast<std::ptrdiff_t>(x) + 1] : 0.0f;
      const int next = goes ? left + 1 : left;
      const Guided<kChannels> a = top[left], b = top[next], c = bottom[left], d = bottom[next];
      float alpha = 0.0f;
      FASTMATTE_UNROLL
      for (int k = 0; k <= kChannels; ++k) {
        const float first = a.at[k] + lower * (c.at[k] - a.at[k]);
        const float second = b.at[k] + lower * (d.at[k] - b.at[k]);
        const float value = first + right * (second - first);
        alpha += k == kChannels
                     ? value
                     : value * (static_cast<float>(colours.at[kChannels * i + k]) - kGuideCentre);
      }
      put(unit(alpha), result.at[i]);
    }
    store(result, count, out.row(y) + begin);
  }
};

template <int kChannels, typename Out>
void run(ImageView<const std::uint8_t> guide, ImageView<const float> alpha, int radius, double eps,
         std::optional<double> unsure, ImageView<Out> out, Workspace& workspace,
         cudaStream_t stream) {
  workspace.begin();
  const int height = alpha.height, width = alpha.width;
  const auto count = static_cast<std::size_t>(height) * static_cast<std::size_t>(width);
  auto* const pixels = workspace.take<Guided<kChannels>>(count, stream);
  auto* const solved = workspace.take<Guided<kChannels>>(count, stream);
  auto* const averaged = workspace.take<Guided<kChannels>>(count, stream);
  float* const weights = unsure ? workspace.take<float>(count, stream) : nullptr;

  launch_pixels(Shrink<kChannels>{area_sampler<kChannels>(guide, height, width, workspace, stream),
                                  alpha, pixels},
                width, height, stream);
  launch_windows<double, moment_count(kChannels)>(
      Moments<kChannels>{pixels, width},
      Solve<kChannels>{eps * 255 * 255, unsure.value_or(0), solved, weights, width}, height, width,
      radius, workspace, stream);
  launch_windows<double, kChannels + 1>(Coefficients<kChannels>{solved, width},
                                        Average<kChannels>{weights, pixels, averaged, width},
                                        height, width, radius, workspace, stream);
  const auto down = workspace.axis<float>(Filter::bilinear, height, guide.height, stream);
  const auto across = workspace.axis<float>(Filter::bilinear, width, guide.width, stream);
  using Last = Apply<kChannels, Out>;
  launch_pixels(Last{guide, averaged, down, across, out}, ceil_divide(out.width, Last::kPixels),
                out.height, stream);
}

}  // namespace

template <typename Out>
void guided_upsample(ImageView<const std::uint8_t> guide, ImageView<const float> alpha, int radius,
                     double eps, std::optional<double> unsure, ImageView<Out> out,
                     Workspace& workspace, cudaStream_t stream) {
  if (alpha.height > guide.height || alpha.width > guide.width) {
    const auto size = [](auto view) {
      return std::to_string(view.height) + " x " + std::to_string(view.width);
    };
    throw ArgumentError("alpha", "at most the size of guide, " + size(guide), size(alpha));
  }
  require_apart(out, guide, "guide");
  require_apart(out, alpha, "alpha");
  (guide.channels == 1 ? &run<1, Out> : &run<3, Out>)(guide, alpha, radius, eps, unsure, out,
                                                      workspace, stream);
}

template void guided_upsample(ImageView<const std::uint8_t>, ImageView<const float>, int, double,
                              std::optional<double>, ImageView<float>, Workspace&, cudaStream_t);
template void guided_upsample(ImageView<const std::uint8_t>, ImageView<const float>, int, double,
                              std::optional<double>, ImageView<std::uint8_t>, Workspace&,
                              cudaStream_t);

}  // namespace fastmatte::cuda
