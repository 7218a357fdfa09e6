// SPDX-License-Identifier: MIT
#include "agent/system/instance.h"

#include <sys/stat.h>

#include <string>

#include "bpf/abi.h"
#include "maps/base/hash.h"

namespace kudo {

std::filesystem::path Instance::layout() const {
    return pins() / ("v" + std::to_string(KUDO_LAYOUT_VERSION));
}

uint64_t instance_id(const Instance& instance) {
    struct stat network {};
    if (stat("/proc/thread-self/ns/net", &network) != 0) return 0;
    std::error_code error;
    const auto state = std::filesystem::absolute(instance.state_dir, error).lexically_normal();
    return instance_number(std::to_string(network.st_ino) + " " + state.string());
}

uint64_t instance_number(const std::string& owner) {
    return std::stoull(content_hash(owner).substr(0, 16), nullptr, 16);
}

} // namespace kudo
