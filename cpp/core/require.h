// What every public kernel requires of its views; failures name the argument.
#pragma once

#include <cstdint>
#include <string>

#include "core/error.h"
#include "core/image_view.h"

namespace fastmatte {

template <typename A, typename B>
void require_same_size(ImageView<A> view, const char* name, ImageView<B> other,
                       const char* other_name) {
  if (view.height == other.height && view.width == other.width) return;
  const auto size = [](auto v) {
    return std::to_string(v.height) + " x " + std::to_string(v.width);
  };
  throw ArgumentError(name, "the size of " + std::string(other_name) + ", " + size(other),
                      size(view));
}

namespace detail {
struct Extent {
  std::uintptr_t begin, end;
};
template <typename T>
Extent extent(ImageView<T> view) noexcept {
  const auto first = reinterpret_cast<std::uintptr_t>(view.row(0));
  const auto last = reinterpret_cast<std::uintptr_t>(view.row(view.height - 1));
  const auto row_bytes = static_cast<std::uintptr_t>(view.row_elements()) * sizeof(T);
  return {first < last ? first : last, (first < last ? last : first) + row_bytes};
}
template <typename A, typename B>
bool overlaps(ImageView<A> a, ImageView<B> b) noexcept {
  const Extent i = extent(a), j = extent(b);
  return i.begin < j.end && j.begin < i.end;
}
}  // namespace detail

// For kernels that read an input after they wrote part of the output. Conservative: two column
// ranges of one array share an extent and count as overlapping.
template <typename Out, typename In>
void require_apart(ImageView<Out> out, ImageView<In> input, const char* input_name) {
  if (!detail::overlaps(out, input)) return;
  throw ArgumentError("out", "memory apart from " + std::string(input_name), "overlapping arrays");
}

// For pixelwise kernels: out may be the very pixels of the input, but not a shifted view of them.
template <typename Out, typename In>
void require_same_or_apart(ImageView<Out> out, ImageView<In> input, const char* input_name) {
  const bool same = static_cast<const void*>(out.data) == static_cast<const void*>(input.data) &&
                    out.row_stride == input.row_stride && out.width == input.width &&
                    out.height == input.height && out.channels == input.channels;
  if (same || !detail::overlaps(out, input)) return;
  throw ArgumentError("out",
                      "the memory of " + std::string(input_name) + " itself or apart from it",
                      "partly overlapping arrays");
}

}  // namespace fastmatte
