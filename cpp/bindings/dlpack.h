// As much of DLPack's C structures (dmlc/dlpack, dlpack.h, version 0) as arrays of ours need.
#pragma once

#include <cstdint>
#include <string>

namespace fastmatte {

constexpr int kDlCpu = 1;
constexpr int kDlCuda = 2;
constexpr int kDlCudaManaged = 13;
constexpr const char* kDlUnused = "dltensor";
constexpr const char* kDlUsed = "used_dltensor";

struct DlDevice {
  std::int32_t type;
  std::int32_t id;
};

struct DlDtype {
  std::uint8_t code;  // 0 signed, 1 unsigned, 2 float
  std::uint8_t bits;
  std::uint16_t lanes;
};

struct DlTensor {
  void* data;
  DlDevice device;
  std::int32_t ndim;
  DlDtype dtype;
  std::int64_t* shape;
  std::int64_t* strides;  // elements; null for C-contiguous
  std::uint64_t byte_offset;
};

struct DlManagedTensor {
  DlTensor tensor;
  void* context;
  void (*deleter)(DlManagedTensor* self);
};

inline std::string dlpack_dtype(DlDtype dtype) {
  static constexpr const char* kinds[] = {"int", "uint", "float"};
  const std::string kind =
      dtype.code < 3 ? kinds[dtype.code] : "code " + std::to_string(dtype.code) + " ";
  return kind + std::to_string(dtype.bits) + (dtype.lanes == 1 ? "" : " vectors");
}

}  // namespace fastmatte
