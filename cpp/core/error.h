// What the core throws; bindings turn both into Python's ValueError.
#pragma once

#include <stdexcept>
#include <string>

namespace fastmatte {

// An argument whose value is unusable. The message reads "name: expected this, got that".
class ArgumentError : public std::invalid_argument {
 public:
  ArgumentError(const std::string& name, const std::string& expected, const std::string& got)
      : std::invalid_argument(name + ": expected " + expected + ", got " + got) {}
};

}  // namespace fastmatte
