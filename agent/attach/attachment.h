// SPDX-License-Identifier: MIT
// kudo-agent's programs on one interface: which hooks they are on, attaching and detaching. Links are pinned in the
// data path's folder as "<ifindex>_<hook>". Invariant: another program is never replaced; a link's pin and the
// attachment live and die together.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/attach/options.h"
#include "agent/datapath/datapath.h"
#include "agent/netlink/interfaces.h"

namespace kudo {

// In the order of the JSON's names: "xdp-native", "xdp-generic", "tcx", "tc".
enum class Hook { XdpNative, XdpGeneric, Tcx, Tc };
std::string_view hook_name(Hook hook);

struct Attached {
    std::optional<Hook> ingress; // of the program that counts
    std::optional<Hook> egress;
    bool marks_ingress = false; // one of them marks incoming packets, for a firewall or for our qdisc
    bool current = true;        // all of them run this build's programs
    std::string stale{};        // which does not: "xdp_native runs program #12, not #15"
    // Other programs on the same tc hooks that run before ours, so that ours sees only what they pass on: "egress:
    // cil_to_netdev (#12)". Not a foreign XDP program, which is before all of tc anyway.
    std::vector<std::string> in_front;
};

// What is on the interface now, read from the kernel.
Result<Attached> read_attached(DataPath& data_path, const Interface& interface);

// Sides that are to be left alone, and what was wrong with them.
struct HooksLeftAlone {
    std::optional<Error> ingress, egress;
};
struct AttachResult {
    Attached attached;
    std::optional<Error> ingress_problem, egress_problem; // why that side is not as desired; what was there stays
    bool changed = false;
    bool moved = false; // to the front, before another program
    std::string note;   // why a better hook was not available; empty if it was
};
// Attaches what is missing, at the head of the chain on tcx, updates what runs another build's programs, moves ingress
// to the hook that is wanted, moves ours to the front if that is asked for (which takes it away for a moment), leaves
// the rest alone. What is wrong with one side keeps nothing from the other.
AttachResult attach(DataPath& data_path, const Interface& interface, const AttachOptions& options,
                    const HooksLeftAlone& left_alone = {});

// What keeps our program from egress, as attach() would say it; empty: nothing that can be seen.
std::string egress_obstacle(const Interface& interface, const AttachOptions& options);

// Detaches all kudo-agent programs from this ifindex. True if there was anything.
Result<bool> detach(const std::filesystem::path& data_path_folder, uint32_t interface);

// What the pinned links are; one that cannot be read is left out.
std::vector<LinkInfo> pinned_links(const std::filesystem::path& data_path_folder);

// Every ifindex that a pin or a filter marker names, whether the interface still exists or not.
std::set<uint32_t> attached_interfaces(const std::filesystem::path& data_path_folder);

} // namespace kudo
