// Whole rows go from the image through the resampler's scratch to the tensor, never a whole image.
#include "kernels/to_tensor.h"

#include <algorithm>
#include <array>
#include <optional>
#include <type_traits>
#include <utility>

#include "core/parallel.h"
#include "core/require.h"

namespace fastmatte {
namespace {

// R, G and B of one row, each of the box's width; rows that are read at once are to be cached.
struct Planes {
  float* first;
  float* second;
  float* third;
  Stores stores = Stores::cached;
};

// Rows of a tensor: the image's own are made by others, all else is done here.
template <typename T>
class TensorRows {
 public:
  TensorRows(TensorView<T> out, const Placement& place, const Levels& levels, int workers)
      : out_(out),
        box_(place.box),
        stores_(stores_for(out.memory())),
        stride_(static_cast<std::ptrdiff_t>(
            aligned_count<float>(static_cast<std::size_t>(box_.width)))),
        direct_(std::is_same_v<T, float> && out.layout == Layout::nchw) {
    // Three planes, and the same interleaved.
    if (!direct_) rows_ = Slices<float>(workers, 6 * static_cast<std::size_t>(stride_));
    float around[3];
    for (int c = 0; c < 3; ++c) {
      around[c] = static_cast<float>(place.around[c]) * levels.factor[c] + levels.offset[c];
    }
    store(around, 3, around_.data());
  }

  // Makes the rows that this thread filled visible to others.
  void finish() const noexcept { fastmatte::finish(stores_); }

  // Fills row y; make(y of the box, planes) writes the image's part of it.
  template <typename Make>
  void fill(int worker, int y, const Make& make) const noexcept {
    if (y < box_.y || y >= box_.y + box_.height) return pad(y, 0, out_.width);
    if (box_.x > 0) pad(y, 0, box_.x);
    if (box_.x + box_.width < out_.width) pad(y, box_.x + box_.width, out_.width);
    if constexpr (std::is_same_v<T, float>) {
      if (direct_) {
        const bool grey = out_.channels == 1;
        return make(y - box_.y, Planes{plane(0, y), grey ? nullptr : plane(1, y),
                                       grey ? nullptr : plane(2, y), stores_});
      }
    }
    float* const rows = rows_[worker];
    const Planes planes{rows, rows + stride_, rows + 2 * stride_};
    make(y - box_.y, planes);
    if (out_.layout == Layout::nchw) {
      store(planes.first, box_.width, plane(0, y));
      store(planes.second, box_.width, plane(1, y));
      store(planes.third, box_.width, plane(2, y));
      return;
    }
    T* const to = out_.pixel_row(y) + 3 * box_.x;
    if constexpr (std::is_same_v<T, float>) {
      interleave_(planes.first, planes.second, planes.third, to, box_.width);
    } else {
      float* const joined = rows + 3 * stride_;
      interleave_(planes.first, planes.second, planes.third, joined, box_.width);
      store(joined, 3 * box_.width, to);
    }
  }

 private:
  T* plane(int c, int y) const noexcept { return out_.plane_row(c, y) + box_.x; }

  void store(const float* row, int count, float* to) const noexcept { std::copy_n(row, count, to); }
  void store(const float* row, int count, Half* to) const noexcept {
    half_(row, count, to, stores_);
  }

  void pad(int y, int begin, int end) const noexcept {
    if (out_.layout == Layout::nchw) {
      for (int c = 0; c < 3; ++c) {
        std::fill_n(out_.plane_row(c, y) + begin, end - begin,
                    around_[static_cast<std::size_t>(c)]);
      }
      return;
    }
    for (int x = begin; x < end; ++x) std::copy_n(around_.data(), 3, out_.pixel_row(y) + 3 * x);
  }

  decltype(active_interleave_row()) interleave_ = active_interleave_row();
  decltype(active_half_row()) half_ = active_half_row();
  TensorView<T> out_;
  Box box_;
  Stores stores_;
  std::ptrdiff_t stride_;
  bool direct_;
  std::array<T, 3> around_{};
  Slices<float> rows_;
};

// Calls make(worker, y of the box, planes) for every row that holds a part of the image.
template <typename T, typename Make>
void fill_tensor(TensorView<T> out, const Placement& place, const Levels& levels, int band,
                 int threads, const Make& make) {
  const Bands bands(out.height, band, threads);
  const TensorRows<T> rows(out, place, levels, bands.workers);
  parallel_rows(bands, [&](int worker, int begin, int end) noexcept {
    for (int y = begin; y < end; ++y) {
      rows.fill(worker, y,
                [&](int row, const Planes& planes) noexcept { make(worker, row, planes); });
    }
    rows.finish();
  });
}

// An image's rows as float, resampled where the size asks for it.
class PlaneRows {
 public:
  PlaneRows(ImageView<const std::uint8_t> image, Box box, Filter filter, int workers)
      : image_(image) {
    if (image.height == box.height && image.width == box.width) return;
    resampler_.emplace(image, box.height, box.width, filter, workers);
  }

  void row(int worker, int y, float* out) const noexcept {
    if (resampler_) return resampler_->row(worker, y, out);
    widen_(image_.row(y), 1, image_.width, Levels{}, out, nullptr, nullptr, Stores::cached);
  }

 private:
  decltype(active_spread_row_u8()) widen_ = active_spread_row_u8();
  ImageView<const std::uint8_t> image_;
  std::optional<Resampler<float, std::uint8_t>> resampler_;
};

int band_of(ImageView<const std::uint8_t> image, const Placement& place) {
  const Box& box = place.box;
  return image.height == box.height && image.width == box.width
             ? rows_per_band(box.width)
             : resample_bands(image, box.height, box.width, 1).band;
}

}  // namespace

template <typename T>
void to_tensor(ImageView<const std::uint8_t> image, TensorView<T> out, const Placement& place,
               Filter filter, ChannelOrder order, const Levels& levels, int threads) {
  require_apart(out.memory(), image, "image");
  const Box& box = place.box;
  const int channels = image.channels, band = band_of(image, place);
  // Spreading B, G, R to the planes in reverse order needs no loop of its own.
  const bool reversed = order == ChannelOrder::bgr;
  Levels of_image = levels;
  if (reversed) {
    std::swap(of_image.factor[0], of_image.factor[2]);
    std::swap(of_image.offset[0], of_image.offset[2]);
  }
  const auto in_order = [reversed](Planes planes) noexcept {
    if (reversed) std::swap(planes.first, planes.third);
    return planes;
  };
  if (image.height == box.height && image.width == box.width) {
    const auto spread = active_spread_row_u8();
    fill_tensor(out, place, levels, band, threads, [&](int, int y, const Planes& rows) noexcept {
      const Planes to = in_order(rows);
      spread(image.row(y), channels, box.width, of_image, to.first, to.second, to.third, to.stores);
    });
  } else if (filter == Filter::bilinear) {
    const auto blend = active_blend_row_u8();
    const Axis<float> down = make_axis<float>(filter, image.height, box.height);
    const Axis<float> across = make_axis<float>(filter, image.width, box.width);
    const RowTaps<float> columns = across.row_taps();
    fill_tensor(out, place, levels, band, threads, [&](int, int y, const Planes& rows) noexcept {
      const Planes to = in_order(rows);
      const auto at = static_cast<std::size_t>(y);
      const int start = down.start[at], last = start + down.count[at] - 1;
      const float* weights = &down.weights[at * static_cast<std::size_t>(down.taps)];
      const RowPair pair{image.row(start), image.row(last), weights[0],
                         last > start ? weights[1] : 0.0f};
      blend(pair, channels, columns, of_image, to.first, to.second, to.third);
    });
  } else {
    const auto spread = active_spread_row_f32();
    const int workers = Bands(out.height, band, threads).workers;
    const Resampler<float, std::uint8_t> resampler(image, box.height, box.width, filter, workers);
    const int of_rows = resampler.channels();
    const Slices<float> pixels(
        workers, static_cast<std::size_t>(box.width) * static_cast<std::size_t>(of_rows));
    fill_tensor(
        out, place, levels, band, threads, [&](int worker, int y, const Planes& rows) noexcept {
          const Planes to = in_order(rows);
          resampler.row(worker, y, pixels[worker]);
          spread(pixels[worker], of_rows, box.width, of_image, to.first, to.second, to.third);
        });
  }
}

template <typename T>
void to_tensor(const YuvImage& image, TensorView<T> out, const Placement& place, Filter filter,
               const Levels& levels, int threads) {
  require_apart(out.memory(), image.y, "image");
  require_apart(out.memory(), image.u, "image");
  if (image.u.channels == 2) {
    // Taken apart once: every pass over them is then the one that grey images have.
    const auto split = active_split_row();
    const int height = image.u.height, width = image.u.width;
    const Buffer<std::uint8_t> chroma(2 * static_cast<std::size_t>(height) *
                                      static_cast<std::size_t>(width));
    const ImageView<std::uint8_t> u{chroma.data(), height, width, 1, width};
    const ImageView<std::uint8_t> v{u.row(height), height, width, 1, width};
    parallel_rows(Bands(height, rows_per_band(width), threads),
                  [&](int, int begin, int end) noexcept {
                    for (int y = begin; y < end; ++y)
                      split(image.u.row(y), u.row(y), v.row(y), width);
                  });
    const YuvImage planar{image.y, u, v, image.matrix, image.range};
    return to_tensor(planar, out, place, filter, levels, threads);
  }
  require_apart(out.memory(), image.v, "image");
  const Box& box = place.box;
  const int band = band_of(image.y, place);
  const int workers = Bands(out.height, band, threads).workers;
  const PlaneRows luma(image.y, box, filter, workers);
  const PlaneRows first(image.u, box, filter, workers), second(image.v, box, filter, workers);
  const auto stride = aligned_count<float>(static_cast<std::size_t>(box.width));
  const Slices<float> rows(workers, 3 * stride);
  const auto colour = active_colour_row();
  const YuvWeights weights = yuv_weights(image.matrix, image.range);
  fill_tensor(out, place, levels, band, threads, [&](int worker, int y, const Planes& to) noexcept {
    float* const l = rows[worker];
    float *const u = l + stride, *const v = u + stride;
    luma.row(worker, y, l);
    first.row(worker, y, u);
    second.row(worker, y, v);
    colour(l, u, v, box.width, weights, levels, to.first, to.second, to.third);
  });
}

template void to_tensor(ImageView<const std::uint8_t>, TensorView<float>, const Placement&, Filter,
                        ChannelOrder, const Levels&, int);
template void to_tensor(ImageView<const std::uint8_t>, TensorView<Half>, const Placement&, Filter,
                        ChannelOrder, const Levels&, int);
template void to_tensor(const YuvImage&, TensorView<float>, const Placement&, Filter, const Levels&,
                        int);
template void to_tensor(const YuvImage&, TensorView<Half>, const Placement&, Filter, const Levels&,
                        int);

}  // namespace fastmatte
