// FASTMATTE_EVERYWHERE: what runs on the processor and, where nvcc compiles it, on a GPU too.
#pragma once

#if defined(__CUDACC__)
#define FASTMATTE_EVERYWHERE __host__ __device__
#else
#define FASTMATTE_EVERYWHERE
#endif
