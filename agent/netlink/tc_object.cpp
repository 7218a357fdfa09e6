// SPDX-License-Identifier: MIT
#include "agent/netlink/tc_object.h"

#include <linux/gen_stats.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>

#include <cstring>
#include <functional>

#include <fmt/format.h>

#include "agent/netlink/netlink.h"

namespace kudo {

namespace {

struct NlCallbacksFree {
    void operator()(nl_cb* callbacks) const { nl_cb_put(callbacks); }
};

using Visitor = std::function<void(const nlmsghdr*)>;

// What the callbacks write to.
struct Answer {
    int error = 0; // errno, negative
    const Visitor* visit = nullptr;
};

int on_error(sockaddr_nl*, nlmsgerr* error, void* answer) {
    static_cast<Answer*>(answer)->error = error->error;
    return NL_STOP;
}
int on_ack(nl_msg*, void*) {
    return NL_STOP;
}
int on_message(nl_msg* message, void* answer) {
    const auto* visit = static_cast<Answer*>(answer)->visit;
    if (visit) (*visit)(nlmsg_hdr(message));
    return NL_OK;
}

// Sends one request and reads to the end of the answer. An Error's number is the kernel's.
Result<void> transact(nl_msg* message, const Visitor& visit = {}) {
    auto socket = KUDO_TRY(open_netlink());
    if (const int error = nl_send_auto(socket.get(), message); error < 0)
        return fail(std::string("netlink: ") + nl_geterror(error));
    const std::unique_ptr<nl_cb, NlCallbacksFree> callbacks(nl_cb_alloc(NL_CB_CUSTOM));
    if (!callbacks) return fail("cannot allocate netlink callbacks", ENOMEM);
    Answer answer;
    if (visit) answer.visit = &visit;
    nl_cb_err(callbacks.get(), NL_CB_CUSTOM, on_error, &answer);
    nl_cb_set(callbacks.get(), NL_CB_ACK, NL_CB_CUSTOM, on_ack, nullptr);
    nl_cb_set(callbacks.get(), NL_CB_FINISH, NL_CB_CUSTOM, on_ack, nullptr);
    nl_cb_set(callbacks.get(), NL_CB_VALID, NL_CB_CUSTOM, on_message, &answer);
    const int error = nl_recvmsgs(socket.get(), callbacks.get());
    if (answer.error != 0) return fail_errno("netlink", -answer.error);
    if (error < 0) return fail(std::string("netlink: ") + nl_geterror(error), error == -NLE_DUMP_INTR ? EINTR : 0);
    return {};
}

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

template <typename T> void copy_from(T& to, nlattr* attribute) {
    if (!attribute) return;
    std::memcpy(&to, nla_data(attribute), std::min(sizeof to, static_cast<std::size_t>(nla_len(attribute))));
}

TcStatistics read_statistics(nlattr* stats2) {
    TcStatistics statistics;
    nlattr* parts[TCA_STATS_MAX + 1] = {};
    if (!stats2 || nla_parse_nested(parts, TCA_STATS_MAX, stats2, nullptr) < 0) return statistics;
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
    if (nlattr* own = parts[TCA_STATS_APP]) {
        const auto* bytes = static_cast<const uint8_t*>(nla_data(own));
        statistics.own.assign(bytes, bytes + nla_len(own));
    }
    return statistics;
}

bool has_estimator(nlattr* stats2) {
    nlattr* parts[TCA_STATS_MAX + 1] = {};
    return stats2 && nla_parse_nested(parts, TCA_STATS_MAX, stats2, nullptr) == 0 && parts[TCA_STATS_RATE_EST];
}

Result<std::vector<TcObject>> list_once(int request, uint32_t interface, bool classes) {
    auto message = KUDO_TRY(new_message(request, NLM_F_DUMP, interface, 0, 0));
    std::vector<TcObject> objects;
    KUDO_TRY(transact(message.get(), [&](const nlmsghdr* header) {
        const auto* head = static_cast<const tcmsg*>(nlmsg_data(header));
        nlattr* parts[TCA_MAX + 1] = {};
        if (head->tcm_ifindex != static_cast<int>(interface) ||
            nlmsg_parse(const_cast<nlmsghdr*>(header), sizeof(tcmsg), parts, TCA_MAX, nullptr) < 0 || !parts[TCA_KIND])
            return;
        TcObject object;
        object.is_class = classes;
        object.handle = head->tcm_handle;
        object.parent = head->tcm_parent;
        object.kind = nla_get_string(parts[TCA_KIND]);
        if (nlattr* options = parts[TCA_OPTIONS]) {
            const auto* bytes = static_cast<const uint8_t*>(nla_data(options));
            object.has_options = true;
            object.options.assign(bytes, bytes + nla_len(options));
        }
        if (parts[TCA_STAB])
            object.unrestorable = "a size table (stab)";
        else if (has_estimator(parts[TCA_STATS2]))
            object.unrestorable = "a rate estimator";
        else if (object.kind == "htb" && !find_attribute(object.options, TCA_HTB_OFFLOAD).empty())
            object.unrestorable = "offload to hardware";
        object.statistics = read_statistics(parts[TCA_STATS2]);
        objects.push_back(std::move(object));
    }));
    return objects;
}

Result<std::vector<TcObject>> list(int request, uint32_t interface, bool classes) {
    return until_whole([&] { return list_once(request, interface, classes); });
}

std::string id_text(uint32_t id) {
    return id == TC_H_ROOT ? "root" : fmt::format("{:x}:{:x}", id >> 16, id & 0xffff);
}

} // namespace

Result<std::vector<TcObject>> list_qdiscs(uint32_t interface) {
    auto all = KUDO_TRY(list(RTM_GETQDISC, interface, false).in("cannot read the qdiscs"));
    return all;
}

Result<std::vector<TcObject>> list_classes(uint32_t interface) {
    auto all = KUDO_TRY(list(RTM_GETTCLASS, interface, true).in("cannot read the traffic classes"));
    return all;
}

Result<bool> has_filters(uint32_t interface, uint32_t parent) {
    bool any = false;
    auto read = until_whole([&]() -> Result<void> {
        auto message = KUDO_TRY(new_message(RTM_GETTFILTER, NLM_F_DUMP, interface, parent, 0));
        any = false;
        return transact(message.get(), [&](const nlmsghdr*) { any = true; });
    });
    if (!read) return fail(std::move(read.error()).in("cannot read the tc filters"));
    return any;
}

Result<void> put(uint32_t interface, const TcObject& object) {
    auto message =
        KUDO_TRY(new_message(object.is_class ? RTM_NEWTCLASS : RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE | NLM_F_ACK,
                             interface, object.parent, object.handle));
    nl_msg* raw = message.get();
    if (nla_put_string(raw, TCA_KIND, object.kind.c_str()) < 0 ||
        (object.has_options &&
         nla_put(raw, TCA_OPTIONS, static_cast<int>(object.options.size()), object.options.data()) < 0))
        return fail("cannot build a netlink message", ENOMEM);
    if (auto made = transact(raw); !made)
        return fail(std::move(made.error())
                        .in(fmt::format("{} {} at {}", object.is_class ? "class" : "qdisc", object.kind,
                                        id_text(object.parent))));
    return {};
}

Result<bool> has_qdisc_kind(uint32_t interface, const std::string& kind) {
    constexpr uint32_t unused_handle = 0x4b540000;
    // An attribute that every one of them knows as a number, or will not do without, too short to be one.
    Attributes wrong;
    for (uint16_t type = 1; type <= 2; type++)
        wrong.put<uint8_t>(type, 0);
    TcObject object{.handle = unused_handle, .parent = TC_H_ROOT, .kind = kind, .has_options = true};
    object.options = wrong.take();
    auto made = put(interface, object);
    if (made) return fail(fmt::format("qdisc {} takes options that are wrong", kind));
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

void Attributes::put(uint16_t type, const void* value, std::size_t size) {
    const nlattr head{static_cast<uint16_t>(sizeof head + size), type};
    const auto* first = reinterpret_cast<const uint8_t*>(&head);
    bytes_.insert(bytes_.end(), first, first + sizeof head);
    const auto* bytes = static_cast<const uint8_t*>(value);
    bytes_.insert(bytes_.end(), bytes, bytes + size);
    bytes_.resize(NLA_ALIGN(bytes_.size()));
}

std::vector<uint8_t> find_attribute(const std::vector<uint8_t>& attributes, uint16_t type) {
    const auto* head = reinterpret_cast<const nlattr*>(attributes.data());
    const nlattr* found = nla_find(head, static_cast<int>(attributes.size()), type);
    if (!found) return {};
    const auto* bytes = static_cast<const uint8_t*>(nla_data(found));
    return {bytes, bytes + nla_len(found)};
}

} // namespace kudo
