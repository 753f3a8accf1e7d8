// The one macro that ties a kernel's row function to its per-ISA builds.
#pragma once

#include "cpu/isa.h"

// FASTMATTE_ROW(name, (parameters)) declares fastmatte::<isa>::name for every ISA and
// fastmatte::active_name(), which returns the active one. Choose once per image, not per row.
// <kernel>.simd.cpp defines name inside namespace FASTMATTE_ISA and is compiled once per ISA; it
// uses no STL and no inline function with linkage, because the linker would keep one ISA's copy of
// it for all (tests/test_symbols.py).
#define FASTMATTE_ROW(name, parameters)                                                   \
  FASTMATTE_FOR_EACH_ISA(FASTMATTE_ROW_DECLARATION_, name, parameters)                    \
  inline auto active_##name() {                                                           \
    using Row = void(*) parameters noexcept;                                              \
    static constexpr Row rows[] = {FASTMATTE_FOR_EACH_ISA(FASTMATTE_ROW_ADDRESS_, name)}; \
    return rows[static_cast<int>(active_isa())];                                          \
  }
#define FASTMATTE_ROW_DECLARATION_(isa, name, parameters) \
  namespace isa {                                         \
  void name parameters noexcept;                          \
  }
#define FASTMATTE_ROW_ADDRESS_(isa, name) &isa::name,
