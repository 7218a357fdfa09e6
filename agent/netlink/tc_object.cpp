// SPDX-License-Identifier: MIT
#include "agent/netlink/tc_object.h"

#include <arpa/inet.h>
#include <linux/gen_stats.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>

#include <algorithm>
#include <cstring>
#include <iterator>

#include <fmt/format.h>

#include "agent/netlink/netlink.h"

namespace kudo {
namespace {

Result<NlMessage> new_message(int type, int flags, uint32_t interface, uint32_t parent, uint32_t handle) {
    NlMessage message(nlmsg_alloc_simple(type, flags | NLM_F_REQUEST));
    tcmsg head{};
    head.tcm_family = AF_UNSPEC;
    head.tcm_ifindex = static_cast<int>(interface);
    head.tcm_parent = parent;
    head.tcm_handle = handle;
    if (!message || nlmsg_append(message.get(), &head, sizeof head, NLMSG_ALIGNTO) < 0)
        return fail("cannot allocate a netlink message", ENOMEM);
    return message;
}

std::vector<uint8_t> payload(const nlattr* attribute) {
    if (!attribute) return {};
    const auto* bytes = static_cast<const uint8_t*>(nla_data(attribute));
    return {bytes, bytes + nla_len(attribute)};
}

template <typename T> void copy_from(T& to, nlattr* attribute) {
    if (!attribute) return;
    std::memcpy(&to, nla_data(attribute), std::min(sizeof to, static_cast<std::size_t>(nla_len(attribute))));
}

TcStatistics read_statistics(nlattr* const (&parts)[TCA_STATS_MAX + 1]) {
    TcStatistics statistics;
    gnet_stats_basic basic{};
    gnet_stats_queue queue{};
    copy_from(basic, parts[TCA_STATS_BASIC]);
    copy_from(queue, parts[TCA_STATS_QUEUE]);
    statistics.bytes = basic.bytes;
    statistics.packets = basic.packets;
    copy_from(statistics.packets, parts[TCA_STATS_PKT64]);
    statistics.backlog_packets = queue.qlen;
    statistics.backlog_bytes = queue.backlog;
    statistics.drops = queue.drops;
    statistics.own = payload(parts[TCA_STATS_APP]);
    return statistics;
}

TcObject describe(const tcmsg& head, nlattr* const (&parts)[TCA_MAX + 1], bool is_class) {
    TcObject object{.is_class = is_class,
                    .handle = head.tcm_handle,
                    .parent = head.tcm_parent,
                    .kind = text_of(parts[TCA_KIND]),
                    .options = payload(parts[TCA_OPTIONS])};
    nlattr* counters[TCA_STATS_MAX + 1] = {};
    if (parts[TCA_STATS2]) nla_parse_nested(counters, TCA_STATS_MAX, parts[TCA_STATS2], nullptr);
    object.statistics = read_statistics(counters);
    if (parts[TCA_STAB])
        object.unrestorable = "a size table (stab)";
    else if (counters[TCA_STATS_RATE_EST])
        object.unrestorable = "a rate estimator";
    else if (object.kind == "htb" && !find_attribute(object.options, TCA_HTB_OFFLOAD).empty())
        object.unrestorable = "offload to hardware";
    return object;
}

Result<std::vector<TcObject>> list(uint32_t interface, bool classes) {
    return retry_dump([&]() -> Result<std::vector<TcObject>> {
        auto message = KUDO_TRY(new_message(classes ? RTM_GETTCLASS : RTM_GETQDISC, NLM_F_DUMP, interface, 0, 0));
        std::vector<TcObject> objects;
        KUDO_TRY(transact(message.get(), [&](const nlmsghdr* header) {
            const auto* head = head_of<tcmsg>(header);
            nlattr* parts[TCA_MAX + 1] = {};
            if (head && head->tcm_ifindex == static_cast<int>(interface) &&
                nlmsg_parse(const_cast<nlmsghdr*>(header), sizeof(tcmsg), parts, TCA_MAX, nullptr) >= 0 &&
                parts[TCA_KIND])
                objects.push_back(describe(*head, parts, classes));
        }));
        return objects;
    });
}

std::string id_text(uint32_t id) {
    return id == TC_H_ROOT ? "root" : fmt::format("{:x}:{:x}", id >> 16, id & 0xffff);
}

} // namespace

Result<std::vector<TcObject>> list_qdiscs(uint32_t interface) {
    return list(interface, false).in("cannot read the qdiscs");
}

Result<std::vector<TcObject>> list_tc_objects(uint32_t interface) {
    auto objects = KUDO_TRY(list_qdiscs(interface));
    auto classes = list(interface, true).in("cannot read the traffic classes");
    if (!classes && classes.error().number != ENODEV) return classes; // ENODEV: the interface has just gone
    if (classes) std::ranges::move(*classes, std::back_inserter(objects));
    return objects;
}

Result<std::vector<TcFilter>> list_filters(uint32_t interface, uint32_t parent) {
    return retry_dump([&]() -> Result<std::vector<TcFilter>> {
               auto message = KUDO_TRY(new_message(RTM_GETTFILTER, NLM_F_DUMP, interface, parent, 0));
               std::vector<TcFilter> filters;
               KUDO_TRY(transact(message.get(), [&](const nlmsghdr* header) {
                   const auto* head = head_of<tcmsg>(header);
                   nlattr* parts[TCA_MAX + 1] = {};
                   // A kind's chain as such, which has no rule of its own, shows as handle 0.
                   if (!head || head->tcm_handle == 0 ||
                       nlmsg_parse(const_cast<nlmsghdr*>(header), sizeof(tcmsg), parts, TCA_MAX, nullptr) < 0 ||
                       !parts[TCA_KIND] || value_of<uint32_t>(parts[TCA_CHAIN]).value_or(0) != 0)
                       return;
                   filters.push_back({.preference = TC_H_MAJ(head->tcm_info) >> 16,
                                      .handle = head->tcm_handle,
                                      .protocol = ntohs(static_cast<uint16_t>(TC_H_MIN(head->tcm_info))),
                                      .kind = text_of(parts[TCA_KIND]),
                                      .options = payload(parts[TCA_OPTIONS])});
               }));
               return filters;
           })
        .in("cannot read the tc filters");
}

Result<void> add_filter(uint32_t interface, uint32_t parent, const TcFilter& filter) {
    auto message =
        KUDO_TRY(new_message(RTM_NEWTFILTER, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, interface, parent, filter.handle));
    auto* head = static_cast<tcmsg*>(nlmsg_data(nlmsg_hdr(message.get())));
    head->tcm_info = TC_H_MAKE(filter.preference << 16, htons(filter.protocol));
    if (nla_put_string(message.get(), TCA_KIND, filter.kind.c_str()) < 0 ||
        nla_put(message.get(), TCA_OPTIONS, static_cast<int>(filter.options.size()), filter.options.data()) < 0)
        return fail("cannot build a netlink message", ENOMEM);
    return transact(message.get());
}

Result<void> remove_filter(uint32_t interface, uint32_t parent, const TcFilter& filter) {
    auto message = KUDO_TRY(new_message(RTM_DELTFILTER, NLM_F_ACK, interface, parent, filter.handle));
    auto* head = static_cast<tcmsg*>(nlmsg_data(nlmsg_hdr(message.get())));
    head->tcm_info = TC_H_MAKE(filter.preference << 16, htons(filter.protocol));
    if (nla_put_string(message.get(), TCA_KIND, filter.kind.c_str()) < 0)
        return fail("cannot build a netlink message", ENOMEM);
    auto removed = transact(message.get());
    if (!removed && removed.error().number != ENOENT && removed.error().number != ENODEV)
        return fail(std::move(removed.error()).in("cannot remove a tc filter"));
    return {};
}

Result<void> add_chain(uint32_t interface, uint32_t parent, uint32_t chain) {
    auto message = KUDO_TRY(new_message(RTM_NEWCHAIN, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, interface, parent, 0));
    if (nla_put_u32(message.get(), TCA_CHAIN, chain) < 0) return fail("cannot build a netlink message", ENOMEM);
    return transact(message.get()).in("cannot add a chain of filters");
}

Result<bool> has_chain(uint32_t interface, uint32_t parent, uint32_t chain) {
    bool found = false;
    KUDO_TRY(retry_dump([&]() -> Result<void> {
                 auto message = KUDO_TRY(new_message(RTM_GETCHAIN, NLM_F_DUMP, interface, parent, 0));
                 found = false;
                 return transact(message.get(), [&](const nlmsghdr* header) {
                     nlattr* parts[TCA_MAX + 1] = {};
                     found |= nlmsg_parse(const_cast<nlmsghdr*>(header), sizeof(tcmsg), parts, TCA_MAX, nullptr) >= 0 &&
                              value_of<uint32_t>(parts[TCA_CHAIN]) == chain;
                 });
             }).in("cannot read the chains of filters"));
    return found;
}

Result<bool> has_filters(uint32_t interface, uint32_t parent) {
    bool any = false;
    KUDO_TRY(retry_dump([&]() -> Result<void> {
                 auto message = KUDO_TRY(new_message(RTM_GETTFILTER, NLM_F_DUMP, interface, parent, 0));
                 any = false;
                 return transact(message.get(), [&](const nlmsghdr*) { any = true; });
             }).in("cannot read the tc filters"));
    return any;
}

// `flags`: NLM_F_* besides NLM_F_ACK.
static Result<void> send(uint32_t interface, const TcObject& object, int flags) {
    auto message = KUDO_TRY(new_message(object.is_class ? RTM_NEWTCLASS : RTM_NEWQDISC, flags | NLM_F_ACK, interface,
                                        object.parent, object.handle));
    nl_msg* raw = message.get();
    if (nla_put_string(raw, TCA_KIND, object.kind.c_str()) < 0 ||
        (!object.options.empty() &&
         nla_put(raw, TCA_OPTIONS, static_cast<int>(object.options.size()), object.options.data()) < 0))
        return fail("cannot build a netlink message", ENOMEM);
    return transact(raw).in(
        fmt::format("{} {} at {}", object.is_class ? "class" : "qdisc", object.kind, id_text(object.parent)));
}

Result<void> put(uint32_t interface, const TcObject& object) {
    return send(interface, object, NLM_F_CREATE | NLM_F_REPLACE);
}

Result<void> change(uint32_t interface, const TcObject& object) {
    return send(interface, object, 0);
}

Result<bool> has_qdisc_kind(uint32_t interface, const std::string& kind) {
    constexpr uint32_t unused_handle = 0x4b540000;
    // Attributes that each of these kinds takes as a number or requires, too short to be one.
    Attributes wrong;
    for (uint16_t type = 1; type <= 2; type++)
        wrong.put<uint8_t>(type, 0);
    auto made = put(interface, {.handle = unused_handle, .parent = TC_H_ROOT, .kind = kind, .options = wrong.take()});
    if (made) return fail(fmt::format("qdisc {} accepted invalid options", kind));
    return made.error().number != ENOENT;
}

Result<void> remove_root_qdisc(uint32_t interface) {
    auto message = KUDO_TRY(new_message(RTM_DELQDISC, NLM_F_ACK, interface, TC_H_ROOT, 0));
    auto removed = transact(message.get());
    // ENOENT: only the kernel's default one is there, which cannot be removed. ENODEV: the interface is gone.
    if (!removed && removed.error().number != ENOENT && removed.error().number != ENODEV)
        return fail(std::move(removed.error()).in("cannot remove the root qdisc"));
    return {};
}

Attributes& Attributes::put(uint16_t type, const void* value, std::size_t size) {
    const nlattr head{static_cast<uint16_t>(sizeof head + size), type};
    const auto* first = reinterpret_cast<const uint8_t*>(&head);
    bytes_.insert(bytes_.end(), first, first + sizeof head);
    const auto* bytes = static_cast<const uint8_t*>(value);
    bytes_.insert(bytes_.end(), bytes, bytes + size);
    bytes_.resize(NLA_ALIGN(bytes_.size()));
    return *this;
}

std::vector<uint8_t> find_attribute(const std::vector<uint8_t>& attributes, uint16_t type) {
    const auto* head = reinterpret_cast<const nlattr*>(attributes.data());
    return payload(nla_find(head, static_cast<int>(attributes.size()), type));
}

void clear_attribute(std::vector<uint8_t>& attributes, uint16_t type) {
    auto* head = reinterpret_cast<nlattr*>(attributes.data());
    nlattr* found = nla_find(head, static_cast<int>(attributes.size()), type);
    if (found) std::memset(nla_data(found), 0, static_cast<std::size_t>(nla_len(found)));
}

} // namespace kudo
