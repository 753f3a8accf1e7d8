// arithmetic: as many multiplications and additions as the processor can do, for the bench's bound.
#pragma once

#include <cstdint>

#include "cpu/dispatch.h"

namespace fastmatte {

// Works through `rounds` rounds on one thread and returns how many float32 operations they were.
std::int64_t calculate(int rounds);

// A polynomial for each value, kHornerSteps multiplications and additions: long enough to hide the
// load and the store, short enough that the next values' steps fill the waiting times.
constexpr int kHornerSteps = 5;
FASTMATTE_ROW(horner_row, (float* values, int count))

}  // namespace fastmatte
