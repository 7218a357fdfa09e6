// SPDX-License-Identifier: MIT
// Qdiscs and traffic classes over rtnetlink, with their options as the kernel wrote them, so that what was read can be
// restored.
// Invariant: an Error's number is the kernel's errno; ENOENT means that the kernel does not have the kind.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "maps/base/result.h"

namespace kudo {

// linux/gen_stats.h
struct TcStatistics {
    uint64_t bytes = 0, packets = 0; // sent
    uint32_t backlog_packets = 0, backlog_bytes = 0;
    uint32_t drops = 0;
    std::vector<uint8_t> own; // the kind's own, TCA_STATS_APP
};

struct TcObject {
    bool is_class = false;
    uint32_t handle = 0; // of a class: its id. 0: a qdisc that the kernel has made by itself
    uint32_t parent = 0; // TC_H_ROOT: the interface's root qdisc, or a class right below its qdisc
    std::string kind;
    std::vector<uint8_t> options{}; // TCA_OPTIONS, of which the kind decides; empty: none
    std::string unrestorable{};     // what is not in these options and so could not be restored; empty: nothing
    TcStatistics statistics{};      // only of what was read
};

// In the kernel's order. `interface`: ifindex.
Result<std::vector<TcObject>> list_qdiscs(uint32_t interface);
// The qdiscs, and behind them the classes.
Result<std::vector<TcObject>> list_tc_objects(uint32_t interface);
// A classifier, as its own program or rules stand in the order in which packets meet them.
struct TcFilter {
    uint32_t preference = 0; // 1 comes first; the kernel's tc filters of one preference are of one kind
    uint32_t handle = 0;
    uint16_t protocol = 0;          // ETH_P_*, host order
    std::string kind;               // "bpf", "u32"
    std::vector<uint8_t> options{}; // TCA_OPTIONS
};
// One where it stands: at a qdisc or class.
struct PlacedFilter {
    uint32_t parent = 0;
    TcFilter filter;
};
// In the kernel's order, of chain 0, where packets begin. `parent`: of a clsact TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS
// or _EGRESS).
Result<std::vector<TcFilter>> list_filters(uint32_t interface, uint32_t parent);
// EEXIST where this preference already has one with this handle.
Result<void> add_filter(uint32_t interface, uint32_t parent, const TcFilter& filter);
Result<void> remove_filter(uint32_t interface, uint32_t parent, const TcFilter& filter);
// An empty chain of filters, to which no packet goes: it lives as long as its qdisc. Kernel >= 4.19, at most 28 bits.
Result<void> add_chain(uint32_t interface, uint32_t parent, uint32_t chain);
Result<bool> has_chain(uint32_t interface, uint32_t parent, uint32_t chain);
// Is any filter attached to this qdisc or class?
Result<bool> has_filters(uint32_t interface, uint32_t parent);

// Makes it, in place of what is at its parent.
Result<void> put(uint32_t interface, const TcObject& object);
// Changes the options of one that is there, by its handle. ENOENT: it is not, and none is made.
Result<void> change(uint32_t interface, const TcObject& object);
// Does the kernel have this kind of qdisc? Asked by a request for one with invalid options at the root of the
// interface, which changes nothing. For cake, htb, prio and tbf.
Result<bool> has_qdisc_kind(uint32_t interface, const std::string& kind);
// Removes the root qdisc; the kernel puts its default one there. None there is no error.
Result<void> remove_root_qdisc(uint32_t interface);

// Builds attributes: linux/netlink.h, struct nlattr.
class Attributes {
public:
    Attributes& put(uint16_t type, const void* value, std::size_t size);
    template <typename T> Attributes& put(uint16_t type, const T& value) { return put(type, &value, sizeof value); }
    [[nodiscard]] std::vector<uint8_t> take() { return std::move(bytes_); }

private:
    std::vector<uint8_t> bytes_;
};

// The payload of the first attribute of this type; empty if there is none.
std::vector<uint8_t> find_attribute(const std::vector<uint8_t>& attributes, uint16_t type);
// The same as a value; nothing if there is none, or a shorter one.
template <typename T> std::optional<T> read_attribute(const std::vector<uint8_t>& attributes, uint16_t type) {
    const auto bytes = find_attribute(attributes, type);
    T value{};
    if (bytes.size() < sizeof value) return std::nullopt;
    std::memcpy(&value, bytes.data(), sizeof value);
    return value;
}
// Zeros in the place of such a payload.
void clear_attribute(std::vector<uint8_t>& attributes, uint16_t type);

} // namespace kudo
