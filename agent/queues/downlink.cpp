// SPDX-License-Identifier: MIT
#include "agent/queues/downlink.h"

#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/tc_act/tc_mirred.h>
#include <net/if.h>
#include <netlink/route/link.h>
#include <netlink/route/link/inet6.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <optional>
#include <string_view>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include "agent/attach/clsact.h"
#include "agent/netlink/interface_number.h"
#include "agent/netlink/interfaces.h"
#include "agent/netlink/netlink.h"
#include "agent/netlink/tc_object.h"

namespace kudo {
namespace {

// Behind all other filters: they see the packets first, and what they decide is final. The first of these preferences
// that nobody else has.
constexpr uint16_t first_preference = 0xfff0, last_preference = 0xffff;
constexpr uint32_t first_rule = 0x80000800; // u32's
// The redirect's cookie (linux/pkt_cls.h, TCA_ACT_COOKIE), which stays when the device is gone.
constexpr std::string_view cookie = "kudo-agent";
constexpr uint32_t clsact_ingress = TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS);
constexpr std::chrono::milliseconds max_drain{1000};
constexpr std::string_view device_prefix = "kudo-ifb";

struct NlLinkFree {
    void operator()(rtnl_link* link) const { rtnl_link_put(link); }
};
using NlLink = std::unique_ptr<rtnl_link, NlLinkFree>;

struct Device {
    uint32_t index = 0; // 0: there is none
    bool up = false;
    std::string alias{};
};
Result<Device> find_ifb(nl_sock* socket, const std::string& name) {
    rtnl_link* raw = nullptr;
    const int error = rtnl_link_get_kernel(socket, 0, name.c_str(), &raw);
    const NlLink link(raw);
    if (error == -NLE_NODEV || error == -NLE_OBJ_NOTFOUND) return Device{};
    if (error < 0) return netlink_error(name + ": cannot read the interface", error);
    const char* type = rtnl_link_get_type(link.get());
    if (!type || std::string_view(type) != "ifb") return Device{};
    const char* alias = rtnl_link_get_ifalias(link.get());
    return Device{static_cast<uint32_t>(rtnl_link_get_ifindex(link.get())),
                  (rtnl_link_get_flags(link.get()) & IFF_UP) != 0, alias ? alias : ""};
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

struct Redirect {
    TcFilter filter;
    uint32_t target = 0; // 0: a device that is gone
    bool has_cookie = false;
};
std::optional<Redirect> as_redirect(const TcFilter& filter) {
    if (filter.kind != "u32" || filter.preference < first_preference) return std::nullopt;
    const auto action = find_attribute(find_attribute(filter.options, TCA_U32_ACT), 1); // the first of them
    const auto kind = find_attribute(action, TCA_ACT_KIND);
    if (!std::ranges::equal(kind, std::string_view("mirred\0", 7))) return std::nullopt;
    const auto mirred = read_attribute<tc_mirred>(find_attribute(action, TCA_ACT_OPTIONS), TCA_MIRRED_PARMS);
    if (!mirred || mirred->eaction != TCA_EGRESS_REDIR) return std::nullopt;
    return Redirect{filter, mirred->ifindex, std::ranges::equal(find_attribute(action, TCA_ACT_COOKIE), cookie)};
}

// Those to this device, and those with our cookie wherever they lead. Earlier versions gave none: `known` says that one
// whose device is gone and that is where those put it is ours.
Result<std::vector<Redirect>> find_redirects(uint32_t interface, uint32_t device, bool known) {
    std::vector<Redirect> ours;
    for (const TcFilter& filter : KUDO_TRY(list_filters(interface, clsact_ingress))) {
        const auto redirect = as_redirect(filter);
        if (!redirect) continue;
        const bool lost =
            known && redirect->target == 0 && filter.preference == first_preference && filter.handle == first_rule;
        if (redirect->has_cookie || (device != 0 && redirect->target == device) || lost) ours.push_back(*redirect);
    }
    return ours;
}

Result<void> remove_redirects(uint32_t interface, const std::vector<Redirect>& redirects) {
    for (const Redirect& redirect : redirects) {
        KUDO_TRY(remove_filter(interface, clsact_ingress, redirect.filter));
        // Beside another preference of u32 the kernel keeps the empty one (net/sched/cls_u32.c, u32_delete): its table.
        const auto rest = KUDO_TRY(list_filters(interface, clsact_ingress));
        if (std::ranges::count(rest, redirect.filter.preference, &TcFilter::preference) != 1) continue;
        TcFilter whole = redirect.filter;
        whole.handle = 0;
        KUDO_TRY(remove_filter(interface, clsact_ingress, whole));
    }
    return {};
}

// u32's options: every packet, to the device.
std::vector<uint8_t> redirect_options(uint32_t device) {
    std::vector<uint8_t> match(sizeof(tc_u32_sel) + sizeof(tc_u32_key)); // one key, all zero: no bit has to match
    auto* selector = reinterpret_cast<tc_u32_sel*>(match.data());
    selector->flags = TC_U32_TERMINAL;
    selector->nkeys = 1;
    tc_mirred mirred{};
    mirred.action = TC_ACT_STOLEN;
    mirred.eaction = TCA_EGRESS_REDIR;
    mirred.ifindex = device;
    const auto options = Attributes().put(TCA_MIRRED_PARMS, mirred).take();
    const auto action = Attributes()
                            .put(TCA_ACT_KIND, "mirred", sizeof "mirred")
                            .put(TCA_ACT_COOKIE, cookie.data(), cookie.size())
                            .put(TCA_ACT_OPTIONS, options.data(), options.size())
                            .take();
    const auto actions = Attributes().put(1, action.data(), action.size()).take();
    return Attributes()
        .put(TCA_U32_SEL, match.data(), match.size())
        .put(TCA_U32_ACT, actions.data(), actions.size())
        .take();
}

Result<void> set_up(nl_sock* socket, uint32_t index, const std::string& alias) {
    const NlLink which = KUDO_TRY(new_link(index));
    // No link-local address on it. A kernel without IPv6 does not know the setting.
    int error = 0;
    for (const bool with_ipv6 : {true, false}) {
        const NlLink change = KUDO_TRY(new_link());
        if (with_ipv6) rtnl_link_inet6_set_addr_gen_mode(change.get(), rtnl_link_inet6_str2addrgenmode("none"));
        rtnl_link_set_flags(change.get(), IFF_UP);
        rtnl_link_set_ifalias(change.get(), alias.c_str());
        error = rtnl_link_change(socket, which.get(), change.get(), 0);
        if (error >= 0) return {};
    }
    return netlink_error("cannot bring an IFB device up", error);
}

// Whose a device is: `ip link` shows it.
constexpr std::string_view alias_prefix = "kudo-agent ";
std::string alias_of(uint64_t instance) {
    return fmt::format("{}{:016x}", alias_prefix, instance);
}

uint64_t instance_of_alias(std::string_view alias) {
    uint64_t instance = 0;
    if (!alias.starts_with(alias_prefix)) return 0;
    alias.remove_prefix(alias_prefix.size());
    const auto [end, wrong] = std::from_chars(alias.data(), alias.data() + alias.size(), instance, 16);
    return wrong == std::errc{} && end == alias.data() + alias.size() ? instance : 0;
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
    return fmt::format("{}{}", device_prefix, interface);
}

std::optional<uint32_t> downlink_interface(std::string_view device) {
    return device.starts_with(device_prefix) ? interface_number(device.substr(device_prefix.size())) : std::nullopt;
}

Result<Downlink> read_downlink(uint32_t interface) {
    auto socket = KUDO_TRY(open_netlink());
    const Device device = KUDO_TRY(find_ifb(socket.get(), downlink_device_name(interface)));
    const auto redirects = KUDO_TRY(find_redirects(interface, device.index, false));
    return Downlink{device.index, device.up, !redirects.empty(), redirects.empty() ? 0 : redirects.front().target,
                    instance_of_alias(device.alias)};
}

Result<uint32_t> ensure_downlink_device(uint32_t interface, uint64_t instance) {
    auto socket = KUDO_TRY(open_netlink());
    const std::string name = downlink_device_name(interface);
    const Device present = KUDO_TRY(find_ifb(socket.get(), name));
    if (present.index != 0) {
        if (!present.up || present.alias != alias_of(instance))
            KUDO_TRY(set_up(socket.get(), present.index, alias_of(instance)));
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
    KUDO_TRY(set_up(socket.get(), made.index, alias_of(instance)));
    return made.index;
}

Result<bool> ensure_redirect(const std::filesystem::path& folder, uint32_t interface, uint32_t device) {
    KUDO_TRY(ensure_clsact(folder, {interface, true}));
    const auto present = KUDO_TRY(find_redirects(interface, device, true));
    if (present.size() == 1 && present.front().target == device) return false;
    KUDO_TRY(remove_redirects(interface, present)); // they lose packets, or send them elsewhere
    const auto filters = KUDO_TRY(list_filters(interface, clsact_ingress));
    TcFilter filter{.preference = first_preference,
                    .handle = 0, // the kernel's choice: u32's tables are numbered across preferences
                    .protocol = ETH_P_ALL,
                    .kind = "u32",
                    .options = redirect_options(device)};
    while (std::ranges::find(filters, filter.preference, &TcFilter::preference) != filters.end())
        if (filter.preference++ == last_preference)
            return fail(fmt::format("cannot redirect incoming packets: all tc preferences from {} to {} are taken",
                                    first_preference, last_preference));
    KUDO_TRY(
        add_filter(interface, clsact_ingress, filter).in("cannot redirect incoming packets (cls_u32, act_mirred)"));
    return true;
}

Result<void> remove_downlink(uint32_t interface) {
    auto socket = KUDO_TRY(open_netlink());
    const Device device = KUDO_TRY(find_ifb(socket.get(), downlink_device_name(interface)));
    const auto redirects = KUDO_TRY(find_redirects(interface, device.index, true));
    KUDO_TRY(remove_redirects(interface, redirects));
    if (device.index == 0) return {};
    if (!redirects.empty()) drain(device.index);
    return remove_device(socket.get(), device.index);
}

Result<std::vector<uint32_t>> downlinks_of(uint64_t instance) {
    auto socket = KUDO_TRY(open_netlink());
    std::vector<uint32_t> interfaces;
    for (const Interface& device : KUDO_TRY(list_interfaces())) {
        const auto number = downlink_interface(device.name);
        if (number && KUDO_TRY(find_ifb(socket.get(), device.name)).alias == alias_of(instance))
            interfaces.push_back(*number);
    }
    return interfaces;
}

Result<bool> remove_orphaned_downlink(uint32_t interface, uint64_t instance) {
    auto socket = KUDO_TRY(open_netlink());
    const Device device = KUDO_TRY(find_ifb(socket.get(), downlink_device_name(interface)));
    if (device.index != 0 && device.alias != alias_of(instance)) return false; // not ours, nor what leads to it
    if (device.index == 0 && KUDO_TRY(find_redirects(interface, 0, false)).empty()) return false;
    KUDO_TRY(remove_downlink(interface));
    return true;
}

} // namespace kudo
