// How kernels are written and launched: programs of which nvcc makes GPU code, and any compiler the
// same for the processor, where tests hold it against the oracles.
//
// A pixel program is called once for every (x, y). A block program is called once for every block
// and is a sequence of loops that its threads share, with a barrier after each: what one loop
// writes to shared memory the next may read, and nothing else passes between threads. On the
// processor a block has a few threads, which take turns, each as far as it gets: where a barrier is
// missing, one reads what the others have not written yet, or wrote over.
#pragma once

#include <cstddef>
#include <cstring>
#include <vector>

#include "core/everywhere.h"
#include "cuda/runtime.h"

#if defined(__CUDA_ARCH__)
#define FASTMATTE_UNROLL _Pragma("unroll")
#else
#define FASTMATTE_UNROLL
#endif

namespace fastmatte::cuda {

// Every device lends a block this much shared memory without being asked.
constexpr std::size_t kSharedBytes = 48 * 1024;

struct Block {
  int x, y;
  int columns;  // blocks beside each other
  int thread, threads;

  FASTMATTE_EVERYWHERE int index() const noexcept { return y * columns + x; }

  // Calls body(i) for all i < count, without a barrier: for a block's last loop, or one whose
  // results the next does not touch.
  template <typename Body>
  FASTMATTE_EVERYWHERE void share(int count, const Body& body) const {
    for (int i = thread; i < count; i += threads) body(i);
  }
  template <typename Body>
  FASTMATTE_EVERYWHERE void each(int count, const Body& body) const {
    share(count, body);
#if defined(__CUDA_ARCH__)
    __syncthreads();
#elif defined(FASTMATTE_CUDA_EMULATED)
    emulated::barrier();
#endif
  }
};

// threads is a multiple of 32.
struct Blocks {
  int columns, rows;
  int threads;
  std::size_t shared_bytes;
};

constexpr int ceil_divide(int a, int b) noexcept { return (a + b - 1) / b; }

#if defined(FASTMATTE_CUDA_EMULATED)

template <typename Program>
void launch_pixels(const Program& program, int width, int height, cudaStream_t stream) {
  check(emulated::launch(stream, width, height, 1, 0,
                         [=] {
                           for (int y = 0; y < height; ++y) {
                             for (int x = 0; x < width; ++x) program(x, y);
                           }
                         }),
        "cudaLaunchKernel");
}

template <typename Program>
void launch_blocks(const Program& program, const Blocks& blocks, cudaStream_t stream) {
  check(emulated::launch(stream, blocks.columns, blocks.rows, blocks.threads, blocks.shared_bytes,
                         [=] {
                           // Exactly as much as was asked for, so that sanitizers see its end.
                           std::vector<double> shared((blocks.shared_bytes + 7) / 8);
                           for (int y = 0; y < blocks.rows; ++y) {
                             for (int x = 0; x < blocks.columns; ++x) {
                               // Nothing may count on its being zero.
                               std::memset(shared.data(), 0xcd, 8 * shared.size());
                               emulated::run_threads([&](int thread, int threads) {
                                 program(Block{x, y, blocks.columns, thread, threads},
                                         shared.data());
                               });
                             }
                           }
                         }),
        "cudaLaunchKernel");
}

#elif defined(__CUDACC__)

constexpr int kPixelThreads = 128;
// The most blocks that a grid may have along y.
constexpr int kMostRows = 65535;

template <typename Program>
__global__ void __launch_bounds__(kPixelThreads)
    run_pixels(const Program program, int width, int height) {
  const int x = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (x >= width) return;
  for (int y = static_cast<int>(blockIdx.y); y < height; y += static_cast<int>(gridDim.y)) {
    program(x, y);
  }
}

template <typename Program>
__global__ void run_blocks(const Program program, int columns, int rows) {
  extern __shared__ double shared[];
  for (int y = static_cast<int>(blockIdx.y); y < rows; y += static_cast<int>(gridDim.y)) {
    program(Block{static_cast<int>(blockIdx.x), y, columns, static_cast<int>(threadIdx.x),
                  static_cast<int>(blockDim.x)},
            shared);
    __syncthreads();
  }
}

template <typename Program>
void launch_pixels(const Program& program, int width, int height, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(ceil_divide(width, kPixelThreads)),
                  static_cast<unsigned>(height < kMostRows ? height : kMostRows));
  Program copy = program;
  void* arguments[] = {&copy, &width, &height};
  check(cudaLaunchKernel(&run_pixels<Program>, grid, dim3(kPixelThreads), arguments, 0, stream),
        "cudaLaunchKernel");
}

template <typename Program>
void launch_blocks(const Program& program, const Blocks& blocks, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(blocks.columns),
                  static_cast<unsigned>(blocks.rows < kMostRows ? blocks.rows : kMostRows));
  Program copy = program;
  int columns = blocks.columns, rows = blocks.rows;
  void* arguments[] = {&copy, &columns, &rows};
  check(cudaLaunchKernel(&run_blocks<Program>, grid, dim3(static_cast<unsigned>(blocks.threads)),
                         arguments, blocks.shared_bytes, stream),
        "cudaLaunchKernel");
}

#endif

}  // namespace fastmatte::cuda
