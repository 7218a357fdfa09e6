// SPDX-License-Identifier: MIT
// What the running kernel offers of what kudo-agent uses, asked of the kernel itself, not read from its version.
// Invariant: nothing is attached and nothing stays loaded; what may not be asked is told as that, never as missing.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace kudo {

struct KernelFeature {
    std::string name;          // stable: "tcx", "xdp_link"
    std::optional<bool> there; // nothing: this process may not ask
    std::string means;         // for people: what it is for
};

std::vector<KernelFeature> kernel_features();

} // namespace kudo
