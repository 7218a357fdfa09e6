// SPDX-License-Identifier: MIT
// Whether what this process mounts stays on the host.
#pragma once

namespace kudo {

// A mount made in another mount namespace than the host's is gone with it. Which one this is is told by comparing with
// the first process's, or the parent's where that may not be read; true where neither may. In a container's own PID
// namespace the first process is the container's: false.
bool in_host_mount_namespace();

} // namespace kudo
