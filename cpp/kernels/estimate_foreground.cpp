// Walks each band downwards once: wide column sums slide, the first pass fills a ring of as many
// rows as the second pass reads, whose column sums follow it. A worker goes on from where its last
// band ended if that is near. Sums are integers, so where one starts changes no byte.
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
        words_((columns_ + 7) / 8),
        unknown_(area(height_, 8 * words_)),
        near_(area(height_, 8 * words_)) {
    const auto mark = active_mark_unknown_row();
    parallel_rows(Bands(height_, rows_per_band(alpha.width), threads),
                  [&](int, int begin, int end) noexcept {
                    for (int y = begin; y < end; ++y) {
                      mark(alpha.row(y), at(unknown_, y), at(near_, y), alpha.width);
                      std::memset(at(near_, y) + columns_, 0, area(1, 8 * words_ - columns_));
                    }
                  });
  }

  int columns() const noexcept { return columns_; }
  const std::uint8_t* unknown(int y) const noexcept { return at(unknown_, y); }

  bool any_near(int y) const noexcept {
    std::uint64_t any = 0;
    for (int i = 0; i < words_; ++i) any |= word(y, i);
    return any != 0;
  }

  // Flags the blocks that are near in any row of [first, last], eight to a word.
  void any_near(int first, int last, std::uint64_t* flags) const noexcept {
    for (int i = 0; i < words_; ++i) {
      std::uint64_t any = 0;
      for (int y = first; y <= last; ++y) any |= word(y, i);
      flags[i] = any;
    }
  }

 private:
  std::uint64_t word(int y, int i) const noexcept {
    std::uint64_t eight;
    std::memcpy(&eight, at(near_, y) + 8 * i, sizeof eight);
    return eight;
  }
  std::uint8_t* at(const Buffer<std::uint8_t>& flags, int y) const noexcept {
    return flags.data() + static_cast<std::ptrdiff_t>(y) * 8 * words_;
  }

  int height_;
  int columns_;
  int words_;  // eight flags each
  Buffer<std::uint8_t> unknown_;
  Buffer<std::uint8_t> near_;
};

bool none_of_eight(const std::uint8_t* flags) noexcept {
  std::uint64_t word;
  std::memcpy(&word, flags, sizeof word);
  return word == 0;
}

// Calls body(begin, end) for each run of flagged blocks, in pixels.
template <typename Body>
void for_each_run(const std::uint8_t* flags, int blocks, int width, const Body& body) {
  for (int i = 0; i < blocks; ++i) {
    while (i + 8 <= blocks && none_of_eight(flags + i)) i += 8;
    if (i == blocks || !flags[i]) continue;
    const int first = i;
    while (i < blocks && flags[i]) ++i;
    body(first * kForegroundBlock, std::min(i * kForegroundBlock, width));
  }
}

// How many of the 2 * radius + 1 positions around one lie in [0, size).
int inside(int position, int radius, int size) noexcept {
  return std::min(position + radius, size - 1) - std::max(position - radius, 0) + 1;
}

// Columns of the last step that begins in a row, whatever block it begins with.
int whole_width(int width) noexcept {
  return count_of_blocks(width) * kForegroundBlock + kForegroundStep - kForegroundBlock;
}

// For whole steps: beyond the image are weights too, which nothing depends on.
Buffer<std::int32_t> full_columns(int width, int radius) {
  const int columns = whole_width(width);
  Buffer<std::int32_t> full(static_cast<std::size_t>(columns));
  for (int x = 0; x < columns; ++x) full.data()[x] = 255 * inside(x, radius, width);
  return full;
}

// Rows or columns, from the first to before the last.
struct Range {
  int begin, end;
};

// What one worker keeps from row to row: one buffer for each element type, because the store that
// recycles them keeps a limited number.
class Worker {
 public:
  explicit Worker(int width)
      // An odd number of cache lines, lest columns of all planes fall into the same few of a cache.
      : stride_(aligned_count<std::uint8_t>(area(1, whole_width(width) + 2 * kForegroundMargin)) |
                kAlignment),
        words_((kColumnWords + 2 * kForegroundPlanes) * stride_),
        halves_((kColumnHalves + kNarrowWindow * kForegroundPlanes) * stride_),
        visited_(area(1, count_of_blocks(width)) / 8 + 1) {}

  // Empties the columns and the ring.
  void clear() const noexcept {
    std::memset(words_.data(), 0, kNarrowWords * stride_ * sizeof(std::uint32_t));
    std::memset(
        halves_.data(), 0,
        (kColumnHalves + kNarrowWindow * kForegroundPlanes) * stride_ * sizeof(std::uint16_t));
  }
  WideColumns columns() const noexcept {
    return {words_.data() + 3 * kForegroundMargin, halves_.data() + 3 * kForegroundMargin,
            halves_.data() + 3 * stride_ + kForegroundMargin};
  }
  void clear_columns(const Range& range) const noexcept {
    const WideColumns sums = columns();
    const auto count = static_cast<std::size_t>(range.end - range.begin);
    std::memset(sums.front + 3 * range.begin, 0, 3 * count * sizeof *sums.front);
    std::memset(sums.behind + 3 * range.begin, 0, 3 * count * sizeof *sums.behind);
    std::memset(sums.alpha + range.begin, 0, count * sizeof *sums.alpha);
  }
  NarrowColumns narrow() const noexcept { return planes(words_.data() + kColumnWords * stride_); }
  WidePrefix prefix() const noexcept { return planes(words_.data() + kNarrowWords * stride_); }
  // The products of row y and of those kNarrowWindow rows off.
  NarrowProducts products(int y) const noexcept { return planes(ring(y)); }
  // Takes the row kNarrowWindow above y, which lies below the image, out of the ring.
  void retire(int y) const noexcept {
    active_retire_products_row()(ring(y), words_.data() + kColumnWords * stride_,
                                 static_cast<int>(kForegroundPlanes * stride_));
  }
  // A flag for each block of a row, eight to a word.
  std::uint64_t* visited() const noexcept { return visited_.data(); }

  // The row that the first pass came to, -1 for none, and the columns whose sums there are.
  int reached = -1;
  Range summed{0, 0};

 private:
  static constexpr std::size_t kColumnWords = 3;
  static constexpr std::size_t kNarrowWords = kColumnWords + kForegroundPlanes;
  static constexpr std::size_t kColumnHalves = 4;

  template <typename T>
  ForegroundColumns<T, T> planes(T* first) const noexcept {
    return {first + 3 * kForegroundMargin, first + 3 * stride_ + 3 * kForegroundMargin,
            first + 6 * stride_ + kForegroundMargin};
  }
  std::uint16_t* ring(int y) const noexcept {
    const auto slot = static_cast<std::size_t>(y % kNarrowWindow);
    return halves_.data() + (kColumnHalves + slot * kForegroundPlanes) * stride_;
  }

  std::size_t stride_;
  Buffer<std::uint32_t> words_;
  Buffer<std::uint16_t> halves_;
  Buffer<std::uint64_t> visited_;
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

  void run() {
    parallel_rows(bands_, [this](int worker, int begin, int end) noexcept {
      const Range rows = unknown_rows(begin, end);
      for (int y = begin; y < rows.begin; ++y) copy(y);
      if (rows.begin < rows.end) fuse(workers_[static_cast<std::size_t>(worker)], rows);
      for (int y = rows.end; y < end; ++y) copy(y);
    });
  }

 private:
  void copy(int y) const noexcept {
    std::memcpy(out_.row(y), image_.row(y), static_cast<std::size_t>(out_.row_elements()));
  }

  // From the first row that holds a block the passes visit to the last.
  Range unknown_rows(int begin, int end) const noexcept {
    while (begin < end && !blocks_.any_near(begin)) ++begin;
    while (begin < end && !blocks_.any_near(end - 1)) --end;
    return {begin, end};
  }

  // The columns in windows of the blocks that the first pass visits on its way to the second pass
  // for these rows, from the beginning of a block on.
  Range columns_for(const Worker& worker, const Range& rows) const noexcept {
    const std::uint8_t* visited =
        gather(worker, rows.begin - 2 * kNarrowRadius, rows.end - 1 + 2 * kNarrowRadius);
    Range columns{image_.width, 0};
    for_each_run(visited, blocks_.columns(), image_.width, [&](int left, int right) {
      columns.begin = std::min(columns.begin, left);
      columns.end = right;
    });
    const int left = std::max(columns.begin - kWideRadius, 0);
    return {left - left % kForegroundBlock, std::min(columns.end + kWideRadius, image_.width)};
  }

  // The flags of blocks near an unknown pixel in any of these rows, as far as the image has them.
  const std::uint8_t* gather(const Worker& worker, int first, int last) const noexcept {
    blocks_.any_near(std::max(first, 0), std::min(last, image_.height - 1), worker.visited());
    return reinterpret_cast<const std::uint8_t*>(worker.visited());
  }

  void fuse(Worker& worker, const Range& rows) const noexcept {
    const Range columns = columns_for(worker, rows);
    const int first = std::max(rows.begin - kNarrowRadius, 0);
    // Bands come in any order. Sliding over a row costs as much as adding two.
    const bool near =
        worker.reached < rows.begin + kNarrowRadius && first - worker.reached <= kWideRadius;
    if (worker.reached < 0 || !near) {
      worker.clear();
      worker.summed = {columns.begin, columns.begin};
      worker.reached = first;
      sum_columns(worker, columns);
      wide_pass(first, worker);
    } else {
      sum_columns(worker, columns);
    }
    for (int y = worker.reached + 1; y < rows.end + kNarrowRadius; ++y) {
      if (y < image_.height) {
        slide_columns(y, worker);
        wide_pass(y, worker);
      } else {
        worker.retire(y);
      }
      worker.reached = y;
      if (y - kNarrowRadius >= rows.begin) narrow_pass(y - kNarrowRadius, worker);
    }
  }

  // Makes the sums of these columns those there are, of the row that the worker reached.
  void sum_columns(Worker& worker, const Range& columns) const noexcept {
    const Range summed = worker.summed;
    for (const Range& more : {Range{columns.begin, std::min(summed.begin, columns.end)},
                              Range{std::max(summed.end, columns.begin), columns.end}}) {
      if (more.begin >= more.end) continue;
      worker.clear_columns(more);
      const int last = std::min(worker.reached + kWideRadius, image_.height - 1);
      for (int y = std::max(worker.reached - kWideRadius, 0); y <= last; ++y) {
        add_columns_(image_.row(y), alpha_.row(y), more.begin, more.end, worker.columns());
      }
    }
    worker.summed = columns;
  }

  void slide_columns(int y, const Worker& worker) const noexcept {
    const int entering = y + kWideRadius, leaving = y - kWideRadius - 1;
    const bool enters = entering < image_.height, leaves = leaving >= 0;
    slide_columns_(enters ? image_.row(entering) : zeros_.data(),
                   enters ? alpha_.row(entering) : zeros_.data(),
                   leaves ? image_.row(leaving) : zeros_.data(),
                   leaves ? alpha_.row(leaving) : zeros_.data(), worker.summed.begin,
                   worker.summed.end, worker.columns());
  }

  void wide_pass(int y, const Worker& worker) const noexcept {
    const std::uint8_t* visited = gather(worker, y - kNarrowRadius, y + kNarrowRadius);
    // Runs whose windows meet have their columns summed together.
    Range windows{0, 0};
    for_each_run(visited, blocks_.columns(), image_.width, [&](int begin, int end) {
      const Range mine{begin - kWideRadius, begin + foreground_steps(end - begin) + kWideRadius};
      if (mine.begin > windows.end || windows.end == 0) {
        sum_windows(worker, windows);
        windows = mine;
      }
      windows.end = mine.end;
    });
    sum_windows(worker, windows);
    const FullWeight full{wide_columns_.data(), inside(y, kWideRadius, image_.height)};
    for_each_run(visited, blocks_.columns(), image_.width, [&](int begin, int end) {
      fuse_wide_(image_.row(y), alpha_.row(y), worker.prefix(), full, begin, end, image_.width,
                 worker.products(y), worker.narrow());
    });
  }

  void sum_windows(const Worker& worker, const Range& windows) const noexcept {
    if (windows.begin < windows.end) {
      prefix_(worker.columns(), windows.begin, windows.end, worker.prefix());
    }
  }

  // Where no unknown pixel's window reaches, products are left over from other rows: what comes of
  // them is never shown.
  void narrow_pass(int y, const Worker& worker) const noexcept {
    copy(y);
    const FullWeight full{narrow_columns_.data(), inside(y, kNarrowRadius, image_.height)};
    for_each_run(blocks_.unknown(y), blocks_.columns(), image_.width, [&](int begin, int end) {
      fuse_narrow_(image_.row(y), alpha_.row(y), worker.narrow(), full, begin, end, image_.width,
                   out_.row(y));
    });
  }

  const decltype(active_add_columns_row()) add_columns_ = active_add_columns_row();
  const decltype(active_slide_columns_row()) slide_columns_ = active_slide_columns_row();
  const decltype(active_sum_columns_row()) prefix_ = active_sum_columns_row();
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
