// SPDX-License-Identifier: MIT
#include "agent/netlink/interfaces.h"

#include <linux/genetlink.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/nl80211.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "agent/netlink/address.h"
#include "agent/netlink/netlink.h"

namespace kudo {
namespace {

void set_kind(Interface& interface, unsigned short hardware) {
    switch (hardware) {
    case ARPHRD_ETHER:
    case ARPHRD_LOOPBACK:
        interface.link = KUDO_LINK_ETHERNET;
        break;
    case ARPHRD_NONE: // tun, WireGuard, xfrm
    case ARPHRD_PPP:
    case ARPHRD_RAWIP:
    case ARPHRD_TUNNEL:
    case ARPHRD_TUNNEL6:
    case ARPHRD_SIT:
        interface.link = KUDO_LINK_NONE;
        break;
    default:
        interface.supported = false;
    }
    interface.ppp = hardware == ARPHRD_PPP;
}

std::string driver_kind(const nlattr* link_info) {
    return link_info
               ? text_of(nla_find(static_cast<const nlattr*>(nla_data(link_info)), nla_len(link_info), IFLA_INFO_KIND))
               : std::string();
}

std::vector<std::string> alternative_names(const nlattr* list) {
    std::vector<std::string> names;
    if (!list) return names;
    int left = nla_len(list);
    for (const auto* entry = static_cast<const nlattr*>(nla_data(list)); nla_ok(entry, left);
         entry = nla_next(entry, &left))
        if (nla_type(entry) == IFLA_ALT_IFNAME) names.push_back(text_of(entry));
    return names;
}

Interface describe(const nlmsghdr* header, const ifinfomsg& head) {
    const MessageAttributes<IFLA_MAX> attributes(header, sizeof head);
    Interface interface;
    interface.index = static_cast<uint32_t>(head.ifi_index);
    interface.name = text_of(attributes.at(IFLA_IFNAME));
    interface.other_names = alternative_names(attributes.at(IFLA_PROP_LIST));
    interface.mtu = attributes.value<uint32_t>(IFLA_MTU).value_or(interface.mtu);
    interface.up = head.ifi_flags & IFF_UP;
    interface.loopback = head.ifi_flags & IFF_LOOPBACK;
    interface.master = attributes.value<uint32_t>(IFLA_MASTER).value_or(0);
    const std::string kind = driver_kind(attributes.at(IFLA_LINKINFO));
    interface.bridge = kind == "bridge";
    // A link of another namespace has a number of that namespace.
    if ((kind == "vlan" || kind == "macvlan") && !attributes.at(IFLA_LINK_NETNSID))
        interface.carrier = attributes.value<uint32_t>(IFLA_LINK).value_or(0);
    set_kind(interface, head.ifi_type);
    return interface;
}

NlMessage generic_message(int family, uint8_t command) {
    NlMessage message(nlmsg_alloc_simple(family, NLM_F_REQUEST | NLM_F_ACK));
    genlmsghdr head{};
    head.cmd = command;
    head.version = 1;
    if (message && nlmsg_append(message.get(), &head, sizeof head, NLMSG_ALIGNTO) < 0) message.reset();
    return message;
}

// False: there is no Wi-Fi, or it has refused.
bool ask_nl80211(uint8_t command, uint32_t interface, const NetlinkVisitor& visit) {
    // The class is there in every network namespace once cfg80211 is. Asking for nl80211 would load it.
    std::error_code error;
    if (std::filesystem::exists("/sys/class/net", error) && !std::filesystem::exists("/sys/class/ieee80211", error))
        return false;
    const NlMessage ask = generic_message(GENL_ID_CTRL, CTRL_CMD_GETFAMILY);
    if (!ask || nla_put_string(ask.get(), CTRL_ATTR_FAMILY_NAME, NL80211_GENL_NAME) < 0) return false;
    int family = 0;
    const auto read_family = [&family](const nlmsghdr* header) {
        const nlattr* id = nlmsg_find_attr(const_cast<nlmsghdr*>(header), sizeof(genlmsghdr), CTRL_ATTR_FAMILY_ID);
        family = value_of<uint16_t>(id).value_or(0);
    };
    if (!transact(ask.get(), read_family, NETLINK_GENERIC) || family == 0) return false; // no nl80211: no Wi-Fi
    const NlMessage get = generic_message(family, command);
    if (!get || nla_put_u32(get.get(), NL80211_ATTR_IFINDEX, interface) < 0) return false;
    return transact(get.get(), visit, NETLINK_GENERIC).has_value();
}

} // namespace

Result<std::vector<Interface>> list_interfaces() {
    return retry_dump([]() -> Result<std::vector<Interface>> {
        std::vector<Interface> interfaces;
        const auto request = new_request(RTM_GETLINK, NLM_F_DUMP, ifinfomsg{});
        if (!request) return fail("cannot allocate a netlink message", ENOMEM);
        KUDO_TRY(transact(request.get(), [&](const nlmsghdr* header) {
                     const auto* head = head_of<ifinfomsg>(header);
                     if (head && header->nlmsg_type == RTM_NEWLINK) interfaces.push_back(describe(header, *head));
                 }).in("cannot read the interfaces"));
        std::ranges::sort(interfaces, {}, &Interface::index);
        return interfaces;
    });
}

Result<std::vector<InterfaceAddress>> list_addresses() {
    return retry_dump([]() -> Result<std::vector<InterfaceAddress>> {
        std::vector<InterfaceAddress> addresses;
        const auto request = new_request(RTM_GETADDR, NLM_F_DUMP, ifaddrmsg{});
        if (!request) return fail("cannot allocate a netlink message", ENOMEM);
        KUDO_TRY(transact(request.get(), [&](const nlmsghdr* header) {
                     const auto* head = head_of<ifaddrmsg>(header);
                     if (!head) return;
                     const MessageAttributes<IFA_MAX> attributes(header, sizeof *head);
                     // IFA_ADDRESS is the other end's on a point-to-point link, where there is IFA_LOCAL beside it.
                     const nlattr* local = attributes.at(IFA_LOCAL);
                     const auto address = address_of(head->ifa_family, local ? local : attributes.at(IFA_ADDRESS));
                     if (address) addresses.push_back({head->ifa_index, *address});
                 }).in("cannot list this host's addresses"));
        return addresses;
    });
}

Result<std::vector<Address>> own_addresses() {
    std::vector<Address> addresses;
    for (const InterfaceAddress& entry : KUDO_TRY(list_addresses()))
        addresses.push_back(entry.address);
    return addresses;
}

bool carries_pppoe(const std::string& name) {
    // "Id       Address              Device", one session a line: drivers/net/ppp/pppoe.c, pppoe_seq_show().
    std::ifstream sessions("/proc/thread-self/net/pppoe");
    for (std::string line; std::getline(sessions, line);) {
        std::istringstream words(line);
        std::string id, address, device;
        if (words >> id >> address >> device && device == name) return true;
    }
    return false;
}

bool is_wireless(uint32_t interface) {
    bool answered = false;
    return ask_nl80211(NL80211_CMD_GET_INTERFACE, interface, [&](const nlmsghdr*) { answered = true; }) && answered;
}

std::optional<bool> wifi_power_save(uint32_t interface) {
    std::optional<bool> sleeps;
    ask_nl80211(NL80211_CMD_GET_POWER_SAVE, interface, [&](const nlmsghdr* header) {
        const nlattr* state = nlmsg_find_attr(const_cast<nlmsghdr*>(header), sizeof(genlmsghdr), NL80211_ATTR_PS_STATE);
        if (const auto value = value_of<uint32_t>(state)) sleeps = *value == NL80211_PS_ENABLED;
    });
    return sleeps;
}

} // namespace kudo
