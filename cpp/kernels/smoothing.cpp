// Checks, then rows. The windows of differences slide down; a worker begins them anew where its
// band does not follow its last one.
#include "kernels/smoothing.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "core/buffer.h"
#include "core/parallel.h"
#include "core/require.h"
#include "kernels/alpha_range.h"

namespace fastmatte {
namespace {

void require_rising(const char* name, double low, double high) {
  if (low < high) return;
  throw ArgumentError(name, "the first to be less than the second",
                      std::to_string(low) + " and " + std::to_string(high));
}

// Rows of differences: those of a window, and the one that leaves it.
int kept_rows(int radius) noexcept { return 2 * radius + 2; }

// The sums of differences over 2 * radius + 1 rows around one that moves down, edges repeated.
class Columns {
 public:
  Columns(ImageView<const std::uint8_t> before, ImageView<const std::uint8_t> image, int radius,
          std::uint8_t* differences, std::ptrdiff_t stride, std::uint16_t* sums) noexcept
      : before_(before),
        image_(image),
        radius_(radius),
        differences_(differences),
        stride_(stride),
        sums_(sums) {}

  void move_to(int y) noexcept {
    if (y_ < 0 || y != y_ + 1) return start(y);
    ++y_;
    // Below the last row there is only that one again, and its slot holds it already.
    if (y_ + radius_ < image_.height) compare(y_ + radius_);
    slide_(slot(inside(y_ + radius_)), slot(inside(y_ - radius_ - 1)), sums_ + radius_,
           image_.width);
  }

  // The sums, with edges repeated to both sides.
  const std::uint16_t* sums() noexcept {
    for (int x = 0; x < radius_; ++x) {
      sums_[x] = sums_[radius_];
      sums_[radius_ + image_.width + x] = sums_[radius_ + image_.width - 1];
    }
    return sums_;
  }

 private:
  void start(int y) noexcept {
    y_ = y;
    std::memset(sums_, 0, static_cast<std::size_t>(image_.width + 2 * radius_) * sizeof *sums_);
    const int last = inside(y + radius_);
    for (int row = inside(y - radius_); row <= last; ++row) compare(row);
    for (int row = y - radius_; row <= y + radius_; ++row) {
      add_(slot(inside(row)), sums_ + radius_, image_.width);
    }
  }

  int inside(int row) const noexcept { return std::min(std::max(row, 0), image_.height - 1); }
  std::uint8_t* slot(int row) const noexcept {
    return differences_ + row % kept_rows(radius_) * stride_;
  }
  void compare(int row) noexcept {
    compare_(before_.row(row), image_.row(row), slot(row), image_.width);
  }

  ImageView<const std::uint8_t> before_, image_;
  int radius_, y_ = -1;
  std::uint8_t* differences_;
  std::ptrdiff_t stride_;
  std::uint16_t* sums_;
  decltype(active_difference_row()) compare_ = active_difference_row();
  decltype(active_add_difference_row()) add_ = active_add_difference_row();
  decltype(active_slide_difference_row()) slide_ = active_slide_difference_row();
};

}  // namespace

void motion_adaptive_filter(ImageView<const std::uint8_t> before,
                            ImageView<const std::uint8_t> image,
                            ImageView<const float> alpha_before, ImageView<const float> alpha,
                            const MotionGate& gate, int radius, ImageView<float> out, int threads) {
  require_same_size(before, "before", image, "image");
  require_same_size(alpha_before, "alpha_before", image, "image");
  require_same_size(alpha, "alpha", image, "image");
  require_rising("motion", gate.motion_low, gate.motion_high);
  require_rising("jump", gate.jump_low, gate.jump_high);
  require_apart(out, before, "before");
  require_apart(out, image, "image");
  require_same_or_apart(out, alpha_before, "alpha_before");
  require_same_or_apart(out, alpha, "alpha");
  require_alpha(alpha_before, "alpha_before", threads);
  require_alpha(alpha, "alpha", threads);
  const int side = 2 * radius + 1;
  const double motion = gate.motion_high - gate.motion_low;
  const double jump = gate.jump_high - gate.jump_low;
  const GateRow row_gate{static_cast<float>(gate.weight),
                         static_cast<float>(1 - gate.weight),
                         static_cast<float>(1 / (motion * side * side)),
                         static_cast<float>(gate.motion_low / motion),
                         static_cast<float>(1 / jump),
                         static_cast<float>(gate.jump_low / jump)};
  const auto row = active_motion_adaptive_row();
  // Where a band begins anew it compares 2 * radius rows that its neighbour compares too.
  const Bands bands(image.height, std::max(8 * radius, rows_per_band(image.width)), threads);
  const auto width = static_cast<std::size_t>(image.width);
  const auto stride = aligned_count<std::uint8_t>(width);
  const Slices<std::uint8_t> differences(bands.workers,
                                         static_cast<std::size_t>(kept_rows(radius)) * stride);
  const Slices<std::uint16_t> sums(bands.workers, width + 2 * static_cast<std::size_t>(radius));
  std::vector<Columns> columns;
  for (int i = 0; i < bands.workers; ++i) {
    columns.emplace_back(before, image, radius, differences[i], static_cast<std::ptrdiff_t>(stride),
                         sums[i]);
  }
  parallel_rows(bands, [&](int worker, int begin, int end) noexcept {
    Columns& mine = columns[static_cast<std::size_t>(worker)];
    for (int y = begin; y < end; ++y) {
      mine.move_to(y);
      row(mine.sums(), radius, row_gate, alpha_before.row(y), alpha.row(y), out.row(y),
          image.width);
    }
  });
}

void one_frame_delay(ImageView<const float> before, ImageView<const float> alpha,
                     ImageView<const float> after, float threshold, ImageView<float> out,
                     int threads) {
  require_same_size(before, "before", alpha, "alpha");
  require_same_size(after, "after", alpha, "alpha");
  require_same_or_apart(out, before, "before");
  require_same_or_apart(out, alpha, "alpha");
  require_same_or_apart(out, after, "after");
  require_alpha(before, "before", threads);
  require_alpha(alpha, "alpha", threads);
  require_alpha(after, "after", threads);
  const auto row = active_one_frame_delay_row();
  parallel_rows(Bands(alpha.height, rows_per_band(alpha.width), threads), [&](int, int begin,
                                                                              int end) noexcept {
    for (int y = begin; y < end; ++y) {
      row(before.row(y), alpha.row(y), after.row(y), threshold, out.row(y), alpha.width);
    }
  });
}

}  // namespace fastmatte
