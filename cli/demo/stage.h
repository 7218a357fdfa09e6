// SPDX-License-Identifier: MIT
// The stage of `demo`: four private network namespaces, a private bpffs and state directory.
// Invariant: nothing on it reaches the machine's own network, and all of it is gone when the process ends, however it
// ends: namespaces, mounts and files live in the process's own mount and network namespaces.
#pragma once

#include "agent/system/instance.h"
#include "agent/system/network_namespace.h"

namespace kudo {

//   host 10.77.0.2 --- internet --- server 52.200.60.17 (media), 3.97.146.187 (Canada)
//                          \------- stranger 198.51.100.7
inline constexpr const char* demo_media_address = "52.200.60.17";
inline constexpr const char* demo_region_address = "3.97.146.187";
inline constexpr const char* demo_stranger_address = "198.51.100.7";

struct DemoStage {
    NetworkNamespace host, internet, server, stranger;
    Instance instance;
};
// Moves the calling thread, and those it starts from then on, into a mount namespace of their own.
Result<DemoStage> build_demo_stage();

} // namespace kudo
