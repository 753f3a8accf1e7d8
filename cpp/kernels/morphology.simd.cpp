// A window is a column of rows, then a row of columns.
//
// Down, as van Herk (1992) and Gil and Werman (1993) do: the window of row y is a suffix of the
// block's first 2 * radius + 1 input rows and a prefix of the rows after them, so that three
// comparisons per pixel serve any radius. Blocks read each input row twice and share nothing.
//
// Along the row a prefix would need lanes to cross. Passes that each make the window up to four
// times as long do not: two at radius 7, four at 127. Every pass runs within the first-level cache.
#include "kernels/morphology.h"

namespace fastmatte::FASTMATTE_ISA {
namespace {

template <typename T>
struct Least {
  using Alpha = T;
  using Value = T;
  static constexpr T kOutside = static_cast<T>(sizeof(T) == 1 ? 255 : 1);
  static inline T join(T a, T b) noexcept { return a < b ? a : b; }
  static inline T value(T alpha, T, T) noexcept { return alpha; }
  static inline T finish(T value) noexcept { return value; }
};

template <typename T>
struct Greatest {
  using Alpha = T;
  using Value = T;
  static constexpr T kOutside = 0;
  static inline T join(T a, T b) noexcept { return a > b ? a : b; }
  static inline T value(T alpha, T, T) noexcept { return alpha; }
  static inline T finish(T value) noexcept { return value; }
};

// Bit 0: some pixel is below high, so that the window is not foreground; bit 1: some pixel is above
// low, so that it is not background. One of them is always set.
template <typename T>
struct Unsure {
  using Alpha = T;
  using Value = std::uint8_t;
  static constexpr Value kOutside = 0;
  static inline Value join(Value a, Value b) noexcept { return static_cast<Value>(a | b); }
  static inline Value value(T alpha, T low, T high) noexcept {
    return static_cast<Value>((alpha < high ? 1 : 0) | (alpha > low ? 2 : 0));
  }
  // 1, 2, 3 to 0, 255, 128.
  static inline Value finish(Value value) noexcept {
    return value == 1 ? Value{0} : value == 2 ? Value{255} : Value{128};
  }
};

// Processors look ahead within a page of 4 KiB, which holds little more than a row, so that rows
// are asked for. A piece at a time, between pieces of work: a row at once fills all places that a
// core has for what is on its way, and waits for them (4K took 1.7 times as long for each pixel as
// 1080p).
constexpr int kPiece = 256;
constexpr int kRowsAhead = 2;

template <typename Op>
class Windows {
  using Alpha = typename Op::Alpha;
  using Value = typename Op::Value;
  using Block = WindowBlock<Alpha, Value>;

 public:
  explicit Windows(const Block& block) noexcept
      : block_(block), running_(scratch(0)), columns_(scratch(1)), spare_{scratch(2), scratch(3)} {}

  void run() noexcept {
    for (int x = 1; x <= block_.column_radius; ++x) {
      columns_[-x] = columns_[block_.width + x - 1] = Op::kOutside;
    }
    const Value* top = suffixes();
    const int first_own = block_.begin > block_.row_radius ? block_.begin : block_.row_radius;
    load(input(block_.begin + block_.row_radius), running_);
    for (int y = block_.begin; y < block_.end; ++y) {
      const Alpha* from = input(y + block_.row_radius);
      const Value* suffix = y < first_own ? top : suffix_row(y);
      in_pieces<false>(input(y + block_.row_radius + kRowsAhead), block_.width,
                       [&](int begin, int count) noexcept {
                         sweep(from + begin, suffix + begin, running_ + begin, columns_ + begin,
                               count);
                       });
      // Rows below the block may be another thread's.
      along(output(y), output(y + kRowsAhead < block_.end ? y + kRowsAhead : y));
    }
  }

 private:
  Value* scratch(int row) const noexcept {
    return block_.scratch + row * block_.scratch_stride + block_.lead;
  }
  // A row below the image stands for the last one, which is in the same windows.
  const Alpha* input(int y) const noexcept {
    return block_.alpha + (y < block_.height ? y : block_.height - 1) * block_.alpha_stride;
  }
  Value* output(int y) const noexcept { return block_.out + y * block_.out_stride; }
  Value* suffix_row(int y) const noexcept {
    return block_.suffixes + (y - block_.begin) * block_.suffix_stride;
  }

  // Calls work(begin, count) for one piece of a row after the other, each time with as much of
  // another row on its way.
  template <bool kWrite, typename T, typename Work>
  static inline void in_pieces(const T* later, int width, const Work& work) noexcept {
    constexpr int step = static_cast<int>(64 / sizeof(T));
    for (int begin = 0; begin < width; begin += kPiece) {
      const int count = begin + kPiece < width ? kPiece : width - begin;
      for (int x = 0; x < count; x += step) __builtin_prefetch(later + begin + x, kWrite, 2);
      work(begin, count);
    }
  }

  // Leaves in suffix row y what joins the input rows from y - radius to begin + radius, and returns
  // the one of row begin or, where that starts above the image, of the first that does not.
  const Value* suffixes() noexcept {
    const int radius = block_.row_radius;
    const int last =
        block_.begin + radius < block_.height ? block_.begin + radius : block_.height - 1;
    const int first = block_.begin > radius ? block_.begin - radius : 0;
    const Value* suffix = nullptr;
    for (int i = last; i >= first; --i) {
      Value* to = i + radius < block_.end ? suffix_row(i + radius) : spare_[i & 1];
      const auto joined = [&](int begin, int count) noexcept {
        join(input(i) + begin, suffix + begin, to + begin, count);
      };
      // Of out's first rows nobody above has asked for.
      const int row = block_.begin + i - first;
      if (!suffix) {
        load(input(i), to);
      } else if (i < first + kRowsAhead && row < block_.end) {
        in_pieces<true>(output(row), block_.width, joined);
      } else {
        joined(0, block_.width);
      }
      suffix = to;
    }
    return suffix;
  }

  void load(const Alpha* __restrict from, Value* __restrict to) const noexcept {
    const Alpha low = block_.low, high = block_.high;
    const int width = block_.width;
    for (int x = 0; x < width; ++x) to[x] = Op::value(from[x], low, high);
  }

  void join(const Alpha* __restrict from, const Value* __restrict suffix, Value* __restrict to,
            int count) const noexcept {
    const Alpha low = block_.low, high = block_.high;
    for (int x = 0; x < count; ++x) to[x] = Op::join(Op::value(from[x], low, high), suffix[x]);
  }

  void sweep(const Alpha* __restrict from, const Value* __restrict suffix,
             Value* __restrict running, Value* __restrict columns, int count) const noexcept {
    const Alpha low = block_.low, high = block_.high;
    for (int x = 0; x < count; ++x) {
      const Value prefix = Op::join(Op::value(from[x], low, high), running[x]);
      running[x] = prefix;
      columns[x] = Op::join(prefix, suffix[x]);
    }
  }

  void along(Value* out, const Value* later) const noexcept {
    const int wanted = 2 * block_.column_radius + 1;
    const Value* from = columns_ - block_.column_radius;
    for (int covered = 1, pass = 0;; ++pass) {
      const int rest = wanted - covered;
      const int steps[3] = {covered < rest ? covered : rest,
                            2 * covered < rest ? 2 * covered : rest,
                            3 * covered < rest ? 3 * covered : rest};
      covered += steps[2];
      if (covered == wanted) {
        return in_pieces<true>(later, block_.width, [&](int begin, int count) noexcept {
          lengthen<true>(from + begin, steps, out + begin, count);
        });
      }
      Value* to = spare_[pass & 1] - block_.lead;
      lengthen<false>(from, steps, to, block_.width + wanted - covered);
      from = to;
    }
  }

  template <bool kFinish>
  static void lengthen(const Value* __restrict from, const int* steps, Value* __restrict to,
                       int count) noexcept {
    const Value* __restrict second = from + steps[0];
    const Value* __restrict third = from + steps[1];
    const Value* __restrict fourth = from + steps[2];
    for (int x = 0; x < count; ++x) {
      const Value all = Op::join(Op::join(from[x], second[x]), Op::join(third[x], fourth[x]));
      to[x] = kFinish ? Op::finish(all) : all;
    }
  }

  const Block& block_;
  Value* running_;   // the prefix
  Value* columns_;   // the joined column of rows
  Value* spare_[2];  // suffixes of rows below the block, then the passes along a row
};

}  // namespace

void erode_block_u8(const WindowBlock<std::uint8_t, std::uint8_t>& block) noexcept {
  Windows<Least<std::uint8_t>>(block).run();
}

void erode_block_f32(const WindowBlock<float, float>& block) noexcept {
  Windows<Least<float>>(block).run();
}

void dilate_block_u8(const WindowBlock<std::uint8_t, std::uint8_t>& block) noexcept {
  Windows<Greatest<std::uint8_t>>(block).run();
}

void dilate_block_f32(const WindowBlock<float, float>& block) noexcept {
  Windows<Greatest<float>>(block).run();
}

void trimap_block_u8(const WindowBlock<std::uint8_t, std::uint8_t>& block) noexcept {
  Windows<Unsure<std::uint8_t>>(block).run();
}

void trimap_block_f32(const WindowBlock<float, std::uint8_t>& block) noexcept {
  Windows<Unsure<float>>(block).run();
}

}  // namespace fastmatte::FASTMATTE_ISA
