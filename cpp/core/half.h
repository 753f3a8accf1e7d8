// Half: an IEEE 754 binary16, as networks of that precision take it.
#pragma once

#include <cstdint>

namespace fastmatte {

struct Half {
  std::uint16_t bits;
};

}  // namespace fastmatte
