// Graph: work captured once, to be launched again and again by one call each.
#pragma once

#include <cstddef>
#include <utility>

#include "cuda/runtime.h"

namespace fastmatte::cuda {

class Graph {
 public:
  Graph() = default;
  Graph(Graph&& other) noexcept
      : handle_(std::exchange(other.handle_, nullptr)), nodes_(other.nodes_) {}
  Graph& operator=(Graph&& other) noexcept {
    std::swap(handle_, other.handle_);
    std::swap(nodes_, other.nodes_);
    return *this;
  }
  ~Graph() {
    if (handle_) cudaGraphExecDestroy(handle_);
  }

  // Captures what enqueue() puts on stream, and on streams that wait for it and are waited for.
  // Nothing of it runs. What enqueue() throws, and what cannot be captured, ends the capture.
  template <typename Enqueue>
  static Graph capture(cudaStream_t stream, const Enqueue& enqueue) {
    // Other threads may allocate meanwhile.
    check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal),
          "cudaStreamBeginCapture");
    Captured captured;
    try {
      enqueue();
    } catch (...) {
      cudaStreamEndCapture(stream, &captured.graph);
      cudaGetLastError();
      throw;
    }
    check(cudaStreamEndCapture(stream, &captured.graph), "cudaStreamEndCapture");
    Graph graph;
    check(cudaGraphInstantiate(&graph.handle_, captured.graph, 0), "cudaGraphInstantiate");
    check(cudaGraphGetNodes(captured.graph, nullptr, &graph.nodes_), "cudaGraphGetNodes");
    return graph;
  }

  void launch(cudaStream_t stream) const {
    check(cudaGraphLaunch(handle_, stream), "cudaGraphLaunch");
  }
  explicit operator bool() const noexcept { return handle_ != nullptr; }
  std::size_t nodes() const noexcept { return nodes_; }

 private:
  struct Captured {
    cudaGraph_t graph = nullptr;
    ~Captured() {
      if (graph) cudaGraphDestroy(graph);
    }
  };

  cudaGraphExec_t handle_ = nullptr;
  std::size_t nodes_ = 0;
};

}  // namespace fastmatte::cuda
