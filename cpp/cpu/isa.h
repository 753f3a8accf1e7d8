// Instruction sets a kernel is compiled for, and the one in use.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

// Every ISA of this architecture, weakest first; CMakeLists.txt has the flags of each.
#if defined(__x86_64__) || defined(_M_X64)
#define FASTMATTE_FOR_EACH_ISA(X, ...) \
  X(scalar, __VA_ARGS__) X(sse4, __VA_ARGS__) X(avx2, __VA_ARGS__) X(avx512, __VA_ARGS__)
#elif defined(__aarch64__)
#define FASTMATTE_FOR_EACH_ISA(X, ...) X(scalar, __VA_ARGS__) X(neon, __VA_ARGS__)
#else
#define FASTMATTE_FOR_EACH_ISA(X, ...) X(scalar, __VA_ARGS__)
#endif

namespace fastmatte {

#define FASTMATTE_ISA_NAME_(isa, ...) isa,
enum class Isa { FASTMATTE_FOR_EACH_ISA(FASTMATTE_ISA_NAME_, ) };
#undef FASTMATTE_ISA_NAME_

std::string_view name_of(Isa isa) noexcept;

// What this processor can run, weakest first.
std::vector<Isa> available_isas();

// What kernels run now: the strongest available one, the one the environment's FASTMATTE_CPU
// names, or the one last forced. Throws ArgumentError when FASTMATTE_CPU names no available one.
Isa active_isa();

// Process-wide; a call under way keeps the ISA it began with. Throws ArgumentError where `name` is
// not available.
void force_isa(std::string_view name);

}  // namespace fastmatte
