// SPDX-License-Identifier: MIT
#include "agent/queues/downlink.h"

#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/tc_act/tc_mirred.h>
#include <net/if.h>
#include <netlink/route/act/mirred.h>
#include <netlink/route/action.h>
#include <netlink/route/classifier.h>
#include <netlink/route/cls/u32.h>
#include <netlink/route/link.h>
#include <netlink/route/link/inet6.h>

#include <algorithm>
#include <chrono>
#include <string_view>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include "agent/attach/clsact.h"
#include "agent/netlink/netlink.h"
#include "agent/netlink/tc_object.h"

namespace kudo {
namespace {

// Behind all other filters: they see the packets first, and what they decide is final.
constexpr uint16_t last_priority = 0xfff0;
constexpr uint32_t clsact_ingress = TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS);
constexpr std::chrono::milliseconds max_drain{1000};

struct NlLinkFree {
    void operator()(rtnl_link* link) const { rtnl_link_put(link); }
};
struct NlFilterFree {
    void operator()(rtnl_cls* filter) const { rtnl_cls_put(filter); }
};
using NlLink = std::unique_ptr<rtnl_link, NlLinkFree>;
using NlFilter = std::unique_ptr<rtnl_cls, NlFilterFree>;

struct Device {
    uint32_t index = 0; // 0: there is none
    bool up = false;
};
Result<Device> find_ifb(nl_sock* socket, const std::string& name) {
    rtnl_link* raw = nullptr;
    const int error = rtnl_link_get_kernel(socket, 0, name.c_str(), &raw);
    const NlLink link(raw);
    if (error == -NLE_NODEV || error == -NLE_OBJ_NOTFOUND) return Device{};
    if (error < 0) return netlink_error(name + ": cannot read the interface", error);
    const char* type = rtnl_link_get_type(link.get());
    if (!type || std::string_view(type) != "ifb") return Device{};
    return Device{static_cast<uint32_t>(rtnl_link_get_ifindex(link.get())),
                  (rtnl_link_get_flags(link.get()) & IFF_UP) != 0};
}

Result<NlLink> new_link(uint32_t index = 0) {
    NlLink link(rtnl_link_alloc());
    if (!link) return fail("cannot allocate a link", ENOMEM);
    if (index != 0) rtnl_link_set_ifindex(link.get(), static_cast<int>(index));
    return link;
}

Result<void> remove_device(nl_sock* socket, uint32_t index) {
    const NlLink link = KUDO_TRY(new_link(index));
    const int error = rtnl_link_delete(socket, link.get());
    if (error < 0 && error != -NLE_NODEV) return netlink_error("cannot remove an IFB device", error);
    return {};
}

NlFilter new_filter(uint32_t interface) {
    NlFilter filter(rtnl_cls_alloc());
    if (!filter) return filter;
    rtnl_tc_set_ifindex(TC_CAST(filter.get()), static_cast<int>(interface));
    rtnl_tc_set_parent(TC_CAST(filter.get()), clsact_ingress);
    rtnl_tc_set_kind(TC_CAST(filter.get()), "u32");
    rtnl_cls_set_prio(filter.get(), last_priority);
    rtnl_cls_set_protocol(filter.get(), ETH_P_ALL);
    return filter;
}

struct Redirect {
    bool present = false;
    uint32_t target = 0;
};
Result<Redirect> read_redirect(nl_sock* socket, uint32_t interface) {
    nl_cache* raw = nullptr;
    if (const int error = rtnl_cls_alloc_cache(socket, static_cast<int>(interface), clsact_ingress, &raw); error < 0)
        return netlink_error("cannot read the tc filters", error);
    const NlCache filters(raw);
    Redirect redirect;
    for (nl_object* object = nl_cache_get_first(filters.get()); object; object = nl_cache_get_next(object)) {
        auto* filter = reinterpret_cast<rtnl_cls*>(object);
        const char* kind = rtnl_tc_get_kind(TC_CAST(filter));
        if (rtnl_cls_get_prio(filter) != last_priority || !kind || std::string_view(kind) != "u32") continue;
        redirect.present = true;
        if (rtnl_act* action = rtnl_u32_get_action(filter)) redirect.target = rtnl_mirred_get_ifindex(action);
    }
    return redirect;
}

Result<void> remove_redirect(nl_sock* socket, uint32_t interface) {
    const NlFilter filter = new_filter(interface);
    if (!filter) return fail("cannot allocate a filter", ENOMEM);
    if (const int error = rtnl_cls_delete(socket, filter.get(), 0);
        error < 0 && error != -NLE_OBJ_NOTFOUND && error != -NLE_NODEV)
        return netlink_error("cannot remove kudo-agent's tc filter", error);
    return {};
}

Result<void> bring_up(nl_sock* socket, uint32_t index) {
    const NlLink which = KUDO_TRY(new_link(index));
    // No link-local address on it. A kernel without IPv6 does not know the setting.
    int error = 0;
    for (const bool with_ipv6 : {true, false}) {
        const NlLink change = KUDO_TRY(new_link());
        if (with_ipv6) rtnl_link_inet6_set_addr_gen_mode(change.get(), rtnl_link_inet6_str2addrgenmode("none"));
        rtnl_link_set_flags(change.get(), IFF_UP);
        error = rtnl_link_change(socket, which.get(), change.get(), 0);
        if (error >= 0) return {};
    }
    return netlink_error("cannot bring an IFB device up", error);
}

// What waits in the device goes on to the interface.
void drain(uint32_t device) {
    const auto end = std::chrono::steady_clock::now() + max_drain;
    while (std::chrono::steady_clock::now() < end) {
        const auto qdiscs = list_qdiscs(device);
        if (!qdiscs || std::ranges::all_of(*qdiscs, [](const TcObject& qdisc) {
                return qdisc.parent != TC_H_ROOT || qdisc.statistics.backlog_packets == 0;
            }))
            return;
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
}

} // namespace

std::string downlink_device_name(uint32_t interface) {
    return fmt::format("kudo-ifb{}", interface);
}

Result<Downlink> read_downlink(uint32_t interface) {
    auto socket = KUDO_TRY(open_netlink());
    const Device device = KUDO_TRY(find_ifb(socket.get(), downlink_device_name(interface)));
    const Redirect redirect = KUDO_TRY(read_redirect(socket.get(), interface));
    return Downlink{device.index, device.up, redirect.present, redirect.target};
}

Result<uint32_t> ensure_downlink_device(uint32_t interface) {
    auto socket = KUDO_TRY(open_netlink());
    const std::string name = downlink_device_name(interface);
    const Device present = KUDO_TRY(find_ifb(socket.get(), name));
    if (present.index != 0) {
        if (!present.up) KUDO_TRY(bring_up(socket.get(), present.index));
        return present.index;
    }

    // The kernel's module creates these two when it is loaded.
    std::vector<std::string> unwanted;
    for (const char* by_module : {"ifb0", "ifb1"})
        if (KUDO_TRY(find_ifb(socket.get(), by_module)).index == 0) unwanted.emplace_back(by_module);
    const NlLink link = KUDO_TRY(new_link());
    rtnl_link_set_name(link.get(), name.c_str());
    rtnl_link_set_type(link.get(), "ifb");
    rtnl_link_set_num_tx_queues(link.get(), 1);
    rtnl_link_set_num_rx_queues(link.get(), 1);
    if (const int error = rtnl_link_add(socket.get(), link.get(), NLM_F_CREATE | NLM_F_EXCL); error < 0) {
        if (error == -NLE_OPNOTSUPP)
            return bad_input("--downlink: this kernel has no IFB devices, which ingress shaping needs");
        return netlink_error(name + ": cannot create the IFB device", error);
    }
    for (const std::string& by_module : unwanted)
        if (const Device extra = KUDO_TRY(find_ifb(socket.get(), by_module)); extra.index != 0)
            KUDO_TRY(remove_device(socket.get(), extra.index));
    const Device made = KUDO_TRY(find_ifb(socket.get(), name));
    if (made.index == 0) return fail(name + ": created, but not found");
    KUDO_TRY(bring_up(socket.get(), made.index));
    return made.index;
}

Result<bool> ensure_redirect(const std::filesystem::path& folder, uint32_t interface, uint32_t device) {
    KUDO_TRY(ensure_clsact(folder, {interface, true}));
    auto socket = KUDO_TRY(open_netlink());
    auto present = KUDO_TRY(read_redirect(socket.get(), interface));
    if (present.present && present.target == device) return false;
    if (present.present)
        KUDO_TRY(remove_redirect(socket.get(), interface)); // it loses packets, or sends them elsewhere
    const NlFilter filter = new_filter(interface);
    rtnl_act* action = rtnl_act_alloc(); // the filter takes it
    if (!filter || !action) return fail("cannot allocate a filter", ENOMEM);
    rtnl_tc_set_kind(TC_CAST(action), "mirred");
    rtnl_mirred_set_action(action, TCA_EGRESS_REDIR);
    rtnl_mirred_set_policy(action, TC_ACT_STOLEN);
    rtnl_mirred_set_ifindex(action, device);
    rtnl_u32_set_handle(filter.get(), 0x800, 0, 0x800);
    rtnl_u32_add_key_uint32(filter.get(), 0, 0, 0, 0); // every packet
    rtnl_u32_set_cls_terminal(filter.get());
    rtnl_u32_add_action(filter.get(), action);
    const int error = rtnl_cls_add(socket.get(), filter.get(), NLM_F_CREATE | NLM_F_EXCL);
    rtnl_act_put(action);
    if (error < 0) return netlink_error("cannot redirect incoming packets (cls_u32, act_mirred)", error);
    return true;
}

Result<void> remove_downlink(uint32_t interface, bool known) {
    auto downlink = KUDO_TRY(read_downlink(interface));
    auto socket = KUDO_TRY(open_netlink());
    if (downlink.redirected && (known || downlink.target == downlink.device || downlink.target == 0)) {
        KUDO_TRY(remove_redirect(socket.get(), interface));
        if (downlink.device != 0) drain(downlink.device);
    }
    return downlink.device == 0 ? Result<void>{} : remove_device(socket.get(), downlink.device);
}

} // namespace kudo
