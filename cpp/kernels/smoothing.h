// motion_adaptive_filter, one_frame_delay: alpha of one frame, steadied by that of its neighbours.
#pragma once

#include <cstdint>

#include "core/image_view.h"
#include "cpu/dispatch.h"

namespace fastmatte {

// The largest window whose sum of differences fits in 16 bits: 15 * 15 * 255.
constexpr int kMaxMotionRadius = 7;

// The new alpha counts `weight` where nothing moves, 1 where the mean difference of the images over
// the window reaches motion_high levels or alpha's own jump_high, and in between what is linear
// from motion_low and jump_low on; the larger of the two decides. 0 < weight <= 1, low < high.
struct MotionGate {
  double weight;
  double motion_low, motion_high;
  double jump_low, jump_high;
};

// (H, W, 3) images, (H, W) alphas. out may be either alpha.
void motion_adaptive_filter(ImageView<const std::uint8_t> before,
                            ImageView<const std::uint8_t> image,
                            ImageView<const float> alpha_before, ImageView<const float> alpha,
                            const MotionGate& gate, int radius, ImageView<float> out, int threads);

// (H, W) alphas of three frames; the middle one where it is alone in being more than `threshold`
// off is the mean of its neighbours. out may be any of them.
void one_frame_delay(ImageView<const float> before, ImageView<const float> alpha,
                     ImageView<const float> after, float threshold, ImageView<float> out,
                     int threads);

// The gate as the row needs it: motion is sum * motion_scale - motion_start, clamped to [0, 1].
struct GateRow {
  float weight, rest;  // rest is 1 - weight
  float motion_scale, motion_start;
  float jump_scale, jump_start;
};

// The largest difference of the three channels.
FASTMATTE_ROW(difference_row,
              (const std::uint8_t* before, const std::uint8_t* image, std::uint8_t* out, int width))

FASTMATTE_ROW(add_difference_row, (const std::uint8_t* differences, std::uint16_t* sums, int width))
// Adds the entering row and takes the leaving one away.
FASTMATTE_ROW(slide_difference_row, (const std::uint8_t* entering, const std::uint8_t* leaving,
                                     std::uint16_t* sums, int width))

// sums: those of columns, from radius columns before the first pixel to radius after the last.
FASTMATTE_ROW(motion_adaptive_row,
              (const std::uint16_t* sums, int radius, const GateRow& gate,
               const float* alpha_before, const float* alpha, float* out, int width))

FASTMATTE_ROW(one_frame_delay_row, (const float* before, const float* alpha, const float* after,
                                    float threshold, float* out, int width))

}  // namespace fastmatte
