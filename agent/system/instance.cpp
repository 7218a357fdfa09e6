// SPDX-License-Identifier: MIT
#include "agent/system/instance.h"

#include <string>

#include "bpf/abi.h"

namespace kudo {

std::filesystem::path Instance::layout() const {
    return pins() / ("v" + std::to_string(KUDO_LAYOUT_VERSION));
}

} // namespace kudo
