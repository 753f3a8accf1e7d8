// Detection by psABI level, the same token that chose the compiler's flags: a level is available
// only if every feature its code was compiled for is.
#include "cpu/isa.h"

#include <atomic>
#include <cstdlib>
#include <string>

#include "core/error.h"

namespace fastmatte {
namespace {

bool runs_here(Isa isa) noexcept {
  switch (isa) {
#if defined(__x86_64__)
    case Isa::sse4:
      return __builtin_cpu_supports("x86-64-v2");
    case Isa::avx2:
      return __builtin_cpu_supports("x86-64-v3");
    case Isa::avx512:
      return __builtin_cpu_supports("x86-64-v4");
#endif
    default:
      return true;  // the architecture's baseline
  }
}

Isa available_named(std::string_view name, const char* argument) {
  std::string names;
  for (const Isa isa : available_isas()) {
    if (name_of(isa) == name) return isa;
    names += (names.empty() ? "" : ", ") + std::string(name_of(isa));
  }
  throw ArgumentError(argument, "one of " + names, "'" + std::string(name) + "'");
}

Isa initial_isa() {
  const char* name = std::getenv("FASTMATTE_CPU");
  return name && *name ? available_named(name, "FASTMATTE_CPU") : available_isas().back();
}

std::atomic<Isa>& active() {
  static std::atomic<Isa> isa{initial_isa()};
  return isa;
}

}  // namespace

std::string_view name_of(Isa isa) noexcept {
#define FASTMATTE_ISA_STRING_(isa, ...) #isa,
  static constexpr std::string_view names[] = {FASTMATTE_FOR_EACH_ISA(FASTMATTE_ISA_STRING_, )};
#undef FASTMATTE_ISA_STRING_
  return names[static_cast<int>(isa)];
}

std::vector<Isa> available_isas() {
#define FASTMATTE_ISA_VALUE_(isa, ...) Isa::isa,
  static constexpr Isa all[] = {FASTMATTE_FOR_EACH_ISA(FASTMATTE_ISA_VALUE_, )};
#undef FASTMATTE_ISA_VALUE_
  std::vector<Isa> isas;
  for (const Isa isa : all) {
    if (runs_here(isa)) isas.push_back(isa);
  }
  return isas;
}

Isa active_isa() { return active().load(std::memory_order_relaxed); }

void force_isa(std::string_view name) {
  active().store(available_named(name, "isa"), std::memory_order_relaxed);
}

}  // namespace fastmatte
