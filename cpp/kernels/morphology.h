// erode, dilate, trimap: the least and the greatest alpha of a square around each pixel.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/image_view.h"
#include "cpu/dispatch.h"

namespace fastmatte {

// The least (erode) or greatest (dilate) of the (2 * radius + 1)^2 pixels around each, those
// outside the image left out. radius is at least 0.
template <typename Alpha>
void erode(ImageView<const Alpha> alpha, int radius, ImageView<Alpha> out, int threads);
template <typename Alpha>
void dilate(ImageView<const Alpha> alpha, int radius, ImageView<Alpha> out, int threads);

// 0 where the square holds nothing above low, 255 where it holds nothing below high, else 128;
// 0 <= low < high <= 1. uint8 alpha counts as float32 alpha / 255.
template <typename Alpha>
void trimap(ImageView<const Alpha> alpha, int radius, float low, float high,
            ImageView<std::uint8_t> out, int threads);

// Rows begin <= y < end of out, at most 2 * row_radius + 1 of them. The radii are below the sides
// of the image, so that no window lies outside it altogether.
template <typename Alpha, typename Value>
struct WindowBlock {
  const Alpha* alpha;
  Value* out;
  std::ptrdiff_t alpha_stride, out_stride;  // elements
  int height, width;
  int begin, end;
  int row_radius, column_radius;
  Alpha low, high;  // trimap's thresholds
  // kWindowScratchRows rows of scratch_stride elements; columns start aligned `lead` into a row.
  Value* scratch;
  std::ptrdiff_t scratch_stride, lead;
  // A row for each of the block's; out's own will do.
  Value* suffixes;
  std::ptrdiff_t suffix_stride;
};

constexpr int kWindowScratchRows = 4;

FASTMATTE_ROW(erode_block_u8, (const WindowBlock<std::uint8_t, std::uint8_t>& block))
FASTMATTE_ROW(erode_block_f32, (const WindowBlock<float, float>& block))
FASTMATTE_ROW(dilate_block_u8, (const WindowBlock<std::uint8_t, std::uint8_t>& block))
FASTMATTE_ROW(dilate_block_f32, (const WindowBlock<float, float>& block))
FASTMATTE_ROW(trimap_block_u8, (const WindowBlock<std::uint8_t, std::uint8_t>& block))
FASTMATTE_ROW(trimap_block_f32, (const WindowBlock<float, std::uint8_t>& block))

}  // namespace fastmatte
