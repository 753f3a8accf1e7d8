// Workspaces of the streams that free functions were called on.
#pragma once

#include <memory>
#include <mutex>

#include "bindings/device_arguments.h"
#include "cuda/workspace.h"

namespace fastmatte {

// One call at a time may enqueue with it.
struct SharedWorkspace {
  std::mutex mutex;
  cuda::Workspace workspace;
};

// That of a stream. A graph that was captured from calls on it keeps it alive.
std::shared_ptr<SharedWorkspace> workspace_of(const StreamArgument& stream);

// Gives all memory back that no graph needs.
void release_workspaces();
// That of a stream which is about to go: the next one may have its address.
void release_workspace(cudaStream_t stream);

}  // namespace fastmatte
