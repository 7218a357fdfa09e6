// SPDX-License-Identifier: MIT
// Where one agent keeps its state and pins: several can run side by side with different folders.
// Invariant: nothing of kudo-agent exists outside these two folders and the hooks that the pins name.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace kudo {

inline constexpr const char* default_bpffs = "/sys/fs/bpf";
inline constexpr const char* default_state_dir = "/var/lib/kudo-agent";

struct Instance {
    std::filesystem::path bpffs = default_bpffs;         // --bpffs: a folder on a bpffs
    std::filesystem::path state_dir = default_state_dir; // --state-dir

    // kudo-agent's folder within the bpffs.
    [[nodiscard]] std::filesystem::path pins() const { return bpffs / "kudo-agent"; }
    // Locked by the service while it runs.
    [[nodiscard]] std::filesystem::path service_lock() const { return state_dir / "service.lock"; }
    // What the service has seen of the counters before.
    [[nodiscard]] std::filesystem::path snapshots() const { return state_dir / "snapshots"; }
    // What the service says of the rates that follow their lines.
    [[nodiscard]] std::filesystem::path line_rates() const { return state_dir / "line-rates.json"; }
    // What the service has given each destination of flow records, so that it goes on there after a restart.
    [[nodiscard]] std::filesystem::path flow_ledgers() const { return state_dir / "flow-ledgers"; }
    // Where KUDO's traffic went when it was last known; see agent/state/last_interfaces.h.
    [[nodiscard]] std::filesystem::path last_interfaces() const { return state_dir / "interfaces.json"; }
    // This layout's pins: "v1" for KUDO_LAYOUT_VERSION 1.
    [[nodiscard]] std::filesystem::path layout() const;
};

// Of this state directory in this network namespace: by it what an instance has put into the kernel is known to be its
// own, whatever has become of its pins. 0: the namespace cannot be told.
uint64_t instance_id(const Instance& instance);
// The same of "INODE STATE-DIRECTORY", which a data path keeps as its owner.
uint64_t instance_number(const std::string& owner);

} // namespace kudo
