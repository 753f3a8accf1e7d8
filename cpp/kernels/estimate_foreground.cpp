// Walks each band downwards once: wide column sums slide, the first pass fills a ring of as many
// rows as the second pass reads. Sums are integers, so where a band starts changes no byte.
#include "kernels/estimate_foreground.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "core/buffer.h"
#include "core/parallel.h"
#include "core/require.h"
#include "kernels/alpha_range.h"
#include "kernels/multilevel.h"
#include "kernels/quantise.h"

namespace fastmatte {
namespace {

// A band first sums kWideWindow rows of columns; shorter ones would do little else.
constexpr int kMinimumBand = 128;
constexpr int kBands = 8;

int count_of_blocks(int width) noexcept {
  return (width + kForegroundBlock - 1) / kForegroundBlock;
}

std::size_t area(int height, int width) noexcept {
  return static_cast<std::size_t>(height) * static_cast<std::size_t>(width);
}

// Which blocks of each row each pass visits.
class UnknownBlocks {
 public:
  UnknownBlocks(ImageView<const std::uint8_t> alpha, int threads)
      : height_(alpha.height),
        columns_(count_of_blocks(alpha.width)),
        unknown_(area(height_, columns_)),
        near_(area(height_, columns_)) {
    const auto mark = active_mark_unknown_row();
    parallel_rows(Bands(height_, rows_per_band(alpha.width), threads),
                  [&](int, int begin, int end) noexcept {
                    for (int y = begin; y < end; ++y) {
                      mark(alpha.row(y), at(unknown_, y), at(near_, y), alpha.width);
                    }
                  });
  }

  int columns() const noexcept { return columns_; }
  const std::uint8_t* unknown(int y) const noexcept { return at(unknown_, y); }
  const std::uint8_t* near(int y) const noexcept { return at(near_, y); }

 private:
  std::uint8_t* at(const Buffer<std::uint8_t>& flags, int y) const noexcept {
    return flags.data() + static_cast<std::ptrdiff_t>(y) * columns_;
  }

  int height_;
  int columns_;
  Buffer<std::uint8_t> unknown_;
  Buffer<std::uint8_t> near_;
};

// Calls body(begin, end) for each run of flagged blocks, in pixels.
template <typename Body>
void for_each_run(const std::uint8_t* flags, int blocks, int width, const Body& body) {
  for (int i = 0; i < blocks; ++i) {
    if (!flags[i]) continue;
    const int first = i;
    while (i < blocks && flags[i]) ++i;
    body(first * kForegroundBlock, std::min(i * kForegroundBlock, width));
  }
}

// How many of the 2 * radius + 1 positions around one lie in [0, size).
int inside(int position, int radius, int size) noexcept {
  return std::min(position + radius, size - 1) - std::max(position - radius, 0) + 1;
}

Buffer<std::int32_t> full_columns(int width, int radius) {
  Buffer<std::int32_t> columns(static_cast<std::size_t>(width));
  for (int x = 0; x < width; ++x) columns.data()[x] = 255 * inside(x, radius, width);
  return columns;
}

// The memory of one worker: one buffer for each element type, because the store that recycles them
// keeps a limited number.
class Worker {
 public:
  explicit Worker(int width)
      : stride_(aligned_count<std::uint8_t>(area(1, width + 2 * kForegroundMargin))),
        words_((kColumnWords + kForegroundPlanes) * stride_),
        halves_((kColumnHalves + kRingRows * kForegroundPlanes) * stride_),
        lanes_(6 * stride_),
        bytes_(7 * stride_) {}

  // Empties the columns and the ring.
  void clear() const noexcept {
    std::memset(words_.data(), 0, kColumnWords * stride_ * sizeof(std::uint32_t));
    std::memset(halves_.data(), 0,
                (kColumnHalves + kRingRows * kForegroundPlanes) * stride_ * sizeof(std::uint16_t));
  }
  ForegroundColumns columns() const noexcept {
    return {words_.data() + 3 * kForegroundMargin, halves_.data() + 3 * kForegroundMargin,
            halves_.data() + 3 * stride_ + kForegroundMargin};
  }
  ForegroundScratch scratch() const noexcept {
    return {words_.data() + kColumnWords * stride_, lanes_.data(), bytes_.data(),
            static_cast<std::ptrdiff_t>(stride_)};
  }
  // The products of row y; rows outside the image share one of zeros.
  std::uint16_t* products(int y, int height) const noexcept {
    const auto slot =
        static_cast<std::size_t>(y < 0 || y >= height ? kNarrowWindow : y % kNarrowWindow);
    return halves_.data() + (kColumnHalves + slot * kForegroundPlanes) * stride_ +
           kForegroundMargin;
  }
  // A flag for each block of a row.
  std::uint8_t* visited() const noexcept { return bytes_.data() + 6 * stride_; }

 private:
  // Planes of column sums of either type, and rows of products, the last of them zeros.
  static constexpr std::size_t kColumnWords = 3;
  static constexpr std::size_t kColumnHalves = 4;
  static constexpr std::size_t kRingRows = kNarrowWindow + 1;

  std::size_t stride_;
  Buffer<std::uint32_t> words_;
  Buffer<std::uint16_t> halves_;
  Buffer<float> lanes_;
  Buffer<std::uint8_t> bytes_;
};

class Estimation {
 public:
  Estimation(ImageView<const std::uint8_t> image, ImageView<const std::uint8_t> alpha,
             ImageView<std::uint8_t> out, int threads)
      : image_(image),
        alpha_(alpha),
        out_(out),
        blocks_(alpha, threads),
        wide_columns_(full_columns(image.width, kWideRadius)),
        narrow_columns_(full_columns(image.width, kNarrowRadius)),
        zeros_(area(3, image.width)),
        bands_(image.height, std::max(kMinimumBand, (image.height + kBands - 1) / kBands),
               threads) {
    std::memset(zeros_.data(), 0, area(3, image.width));
    for (int i = 0; i < bands_.workers; ++i) workers_.emplace_back(image.width);
  }

  void run() const {
    parallel_rows(bands_, [this](int worker, int begin, int end) noexcept {
      for (int y = begin; y < end; ++y) {
        std::memcpy(out_.row(y), image_.row(y), static_cast<std::size_t>(out_.row_elements()));
      }
      const Region unknown = unknown_region(begin, end);
      if (unknown.top < unknown.bottom) fuse(workers_[static_cast<std::size_t>(worker)], unknown);
    });
  }

 private:
  // Rows and columns that hold every block the passes visit for one band.
  struct Region {
    int top, bottom, left, right;
  };

  Region unknown_region(int begin, int end) const noexcept {
    Region region{end, begin, image_.width, 0};
    for (int y = begin; y < end; ++y) {
      for_each_run(blocks_.near(y), blocks_.columns(), image_.width, [&](int left, int right) {
        region.top = std::min(region.top, y);
        region.bottom = y + 1;
        region.left = std::min(region.left, left);
        region.right = std::max(region.right, right);
      });
    }
    return region;
  }

  void fuse(const Worker& worker, const Region& unknown) const noexcept {
    const int height = image_.height;
    const int first = std::max(unknown.top - kNarrowRadius, 0);
    const int left = std::max(unknown.left - kWideRadius, 0);
    const int right = std::min(unknown.right + kWideRadius, image_.width);
    const ForegroundColumns columns = worker.columns();
    const ForegroundScratch scratch = worker.scratch();
    worker.clear();
    for (int y = std::max(first - kWideRadius, 0); y <= std::min(first + kWideRadius, height - 1);
         ++y) {
      add_columns_(image_.row(y), alpha_.row(y), left, right, columns, scratch);
    }
    for (int y = first; y < unknown.bottom + kNarrowRadius; ++y) {
      if (y < height) {
        if (y > first) slide_columns(y, left, right, columns, scratch);
        wide_pass(y, unknown, worker);
      }
      if (y - kNarrowRadius >= unknown.top) narrow_pass(y - kNarrowRadius, worker);
    }
  }

  void slide_columns(int y, int left, int right, const ForegroundColumns& columns,
                     const ForegroundScratch& scratch) const noexcept {
    const int entering = y + kWideRadius, leaving = y - kWideRadius - 1;
    const bool enters = entering < image_.height, leaves = leaving >= 0;
    slide_columns_(enters ? image_.row(entering) : zeros_.data(),
                   enters ? alpha_.row(entering) : zeros_.data(),
                   leaves ? image_.row(leaving) : zeros_.data(),
                   leaves ? alpha_.row(leaving) : zeros_.data(), left, right, columns, scratch);
  }

  void wide_pass(int y, const Region& unknown, const Worker& worker) const noexcept {
    std::uint8_t* visited = worker.visited();
    std::memset(visited, 0, area(1, blocks_.columns()));
    const int last = std::min(y + kNarrowRadius, unknown.bottom - 1);
    for (int row = std::max(y - kNarrowRadius, unknown.top); row <= last; ++row) {
      const std::uint8_t* flags = blocks_.near(row);
      for (int i = 0; i < blocks_.columns(); ++i) visited[i] |= flags[i];
    }
    const FullWeight full{wide_columns_.data(), inside(y, kWideRadius, image_.height)};
    for_each_run(visited, blocks_.columns(), image_.width, [&](int begin, int end) {
      fuse_wide_(image_.row(y), alpha_.row(y), worker.columns(), full, begin, end, worker.scratch(),
                 worker.products(y, image_.height));
    });
  }

  // Where no unknown pixel's window reaches, products are left over from other rows: what comes of
  // them is never shown.
  void narrow_pass(int y, const Worker& worker) const noexcept {
    const std::uint16_t* rows[kNarrowWindow];
    for (int i = 0; i < kNarrowWindow; ++i) {
      rows[i] = worker.products(y - kNarrowRadius + i, image_.height);
    }
    const FullWeight full{narrow_columns_.data(), inside(y, kNarrowRadius, image_.height)};
    for_each_run(blocks_.unknown(y), blocks_.columns(), image_.width, [&](int begin, int end) {
      fuse_narrow_(image_.row(y), alpha_.row(y), rows, full, begin, end, worker.scratch(),
                   out_.row(y));
    });
  }

  const decltype(active_add_columns_row()) add_columns_ = active_add_columns_row();
  const decltype(active_slide_columns_row()) slide_columns_ = active_slide_columns_row();
  const decltype(active_fuse_wide_row()) fuse_wide_ = active_fuse_wide_row();
  const decltype(active_fuse_narrow_row()) fuse_narrow_ = active_fuse_narrow_row();
  ImageView<const std::uint8_t> image_;
  ImageView<const std::uint8_t> alpha_;
  ImageView<std::uint8_t> out_;
  UnknownBlocks blocks_;
  Buffer<std::int32_t> wide_columns_;
  Buffer<std::int32_t> narrow_columns_;
  Buffer<std::uint8_t> zeros_;  // a row above or below the image
  Bands bands_;
  std::vector<Worker> workers_;
};

}  // namespace

template <typename Alpha>
void estimate_foreground(ImageView<const std::uint8_t> image, ImageView<const Alpha> alpha,
                         ForegroundMethod method, ImageView<std::uint8_t> out, int threads) {
  require_same_size(alpha, "alpha", image, "image");
  require_apart(out, image, "image");
  require_apart(out, alpha, "alpha");
  if (method == ForegroundMethod::multilevel) {
    require_alpha(alpha, "alpha", threads);
    return multilevel_foreground(image, alpha, out, threads);
  }
  const AlphaBytes bytes = alpha_bytes(alpha, "alpha", threads);
  Estimation(image, bytes.view, out, threads).run();
}

template void estimate_foreground(ImageView<const std::uint8_t>, ImageView<const std::uint8_t>,
                                  ForegroundMethod, ImageView<std::uint8_t>, int);
template void estimate_foreground(ImageView<const std::uint8_t>, ImageView<const float>,
                                  ForegroundMethod, ImageView<std::uint8_t>, int);

}  // namespace fastmatte
