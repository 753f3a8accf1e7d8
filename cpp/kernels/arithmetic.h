// arithmetic: as many multiplications and additions as the processor can do, and bytes that it can
// move, for the bench's bounds.
#pragma once

#include <cstdint>

#include "core/image_view.h"
#include "cpu/dispatch.h"

namespace fastmatte {

// Works through `rounds` rounds on one thread and returns how many float32 operations they were.
std::int64_t calculate(int rounds);

// memcpy, each thread an equal share of every row in one call. They must not overlap.
void copy(ImageView<const std::uint8_t> source, ImageView<std::uint8_t> out, int threads);

// A polynomial for each value, kHornerSteps multiplications and additions: long enough to hide the
// load and the store, short enough that the next values' steps fill the waiting times.
constexpr int kHornerSteps = 5;
FASTMATTE_ROW(horner_row, (float* values, int count))

}  // namespace fastmatte
