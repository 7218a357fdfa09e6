// SPDX-License-Identifier: MIT
#include "agent/drops/programs.h"

#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <cstring>

#include "agent/attach/attachment.h"
#include "agent/attach/in_kernel.h"
#include "agent/netlink/tc_object.h"

namespace kudo {
namespace {

// A text attribute of a filter's options; "" if it has none.
std::string text_attribute(const std::vector<uint8_t>& options, uint16_t type) {
    for (std::size_t at = 0; at + sizeof(rtattr) <= options.size();) {
        rtattr attribute;
        std::memcpy(&attribute, &options[at], sizeof attribute);
        if (attribute.rta_len < sizeof attribute || at + attribute.rta_len > options.size()) break;
        if ((attribute.rta_type & NLA_TYPE_MASK) == type)
            return std::string(reinterpret_cast<const char*>(&options[at + RTA_LENGTH(0)]),
                               strnlen(reinterpret_cast<const char*>(&options[at + RTA_LENGTH(0)]),
                                       attribute.rta_len - RTA_LENGTH(0)));
        at += RTA_ALIGN(attribute.rta_len);
    }
    return "";
}

void add_clsact_filters(uint32_t interface, bool ingress, std::vector<std::string>& names) {
    const auto filters = list_filters(interface, TC_H_MAKE(TC_H_CLSACT, ingress ? TC_H_MIN_INGRESS : TC_H_MIN_EGRESS));
    if (!filters) return;
    for (const TcFilter& filter : *filters) {
        const std::string name = filter.kind == "bpf" ? text_attribute(filter.options, TCA_BPF_NAME) : "";
        if (name.starts_with(kudo_tc_names)) continue;
        names.push_back(name.empty() ? filter.kind + " filter" : name);
    }
}

} // namespace

HookPrograms::HookPrograms(const DataPath& data_path) {
    for (const LinkInfo& link : pinned_links(data_path.folder()))
        ours_.insert(link.program_id);
}

bool HookPrograms::has_our_xdp(uint32_t interface) const {
    return std::ranges::any_of(programs_on(interface), [&](const HookProgram& program) {
        return program.hook == "XDP" && ours_.contains(program.id);
    });
}

std::vector<std::string> HookPrograms::of_others(uint32_t interface, DropLayer layer, bool ingress) const {
    std::vector<std::string> names;
    if (interface == 0) return names;
    const std::string hook = layer == DropLayer::Xdp ? "XDP" : ingress ? "tcx ingress" : "tcx egress";
    for (const HookProgram& program : programs_on(interface))
        if (program.hook == hook && !ours_.contains(program.id)) names.push_back(program_text(program.id));
    if (layer == DropLayer::Tc) add_clsact_filters(interface, ingress, names);
    return names;
}

} // namespace kudo
