// SPDX-License-Identifier: MIT
#include "agent/firewall/conntrack.h"

#include <arpa/inet.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>

#include <fstream>
#include <functional>
#include <vector>

#include <fmt/format.h>

#include "agent/netlink/netlink.h"

namespace kudo {
namespace {

constexpr const char* settings_folder = "/proc/sys/net/netfilter/";

// Of the network namespace of whoever opens it.
std::optional<uint64_t> setting(const char* name) {
    std::ifstream file(std::string(settings_folder) + name);
    uint64_t value = 0;
    if (!(file >> value)) return std::nullopt;
    return value;
}

NlMessage new_conntrack_request(int message, int flags, uint8_t family, int subsystem = NFNL_SUBSYS_CTNETLINK) {
    nfgenmsg head{};
    head.nfgen_family = family;
    head.version = NFNETLINK_V0;
    return new_request(subsystem << 8 | message, flags, head);
}

Error conntrack_error(Error error) {
    if (error.number == EPERM) return {ErrorKind::NotPermitted, "asking conntrack needs CAP_NET_ADMIN", EPERM};
    return std::move(error).in("conntrack");
}

bool put_tuple(nl_msg* message, const PacketFacts& facts) {
    const bool v4 = facts.source.family == Family::IPv4;
    const int size = static_cast<int>(facts.source.bits() / 8);
    const auto put_port = [&](int type, uint16_t port) { return nla_put_u16(message, type, htons(port)) == 0; };
    nlattr* tuple = nla_nest_start(message, CTA_TUPLE_ORIG);
    nlattr* addresses = nla_nest_start(message, CTA_TUPLE_IP);
    if (!tuple || !addresses || nla_put(message, v4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC, size, facts.source.bytes.data()) ||
        nla_put(message, v4 ? CTA_IP_V4_DST : CTA_IP_V6_DST, size, facts.destination.bytes.data()))
        return false;
    nla_nest_end(message, addresses);
    nlattr* protocol = nla_nest_start(message, CTA_TUPLE_PROTO);
    if (!protocol || nla_put_u8(message, CTA_PROTO_NUM, facts.protocol) ||
        !put_port(CTA_PROTO_SRC_PORT, facts.source_port.value_or(0)) ||
        !put_port(CTA_PROTO_DST_PORT, facts.destination_port.value_or(0)))
        return false;
    nla_nest_end(message, protocol);
    nla_nest_end(message, tuple);
    return true;
}

struct Tuple {
    std::vector<uint8_t> source, destination;
    uint16_t source_port = 0, destination_port = 0; // network order
};

std::vector<uint8_t> bytes_of(const nlattr* attribute) {
    if (!attribute) return {};
    const auto* bytes = static_cast<const uint8_t*>(nla_data(attribute));
    return {bytes, bytes + nla_len(attribute)};
}

Tuple read_tuple(const nlattr* attribute) {
    Tuple tuple;
    if (!attribute) return tuple;
    nlattr *parts[CTA_TUPLE_MAX + 1] = {}, *ip[CTA_IP_MAX + 1] = {}, *protocol[CTA_PROTO_MAX + 1] = {};
    auto* nested = const_cast<nlattr*>(attribute);
    if (nla_parse_nested(parts, CTA_TUPLE_MAX, nested, nullptr) < 0) return tuple;
    if (parts[CTA_TUPLE_IP]) nla_parse_nested(ip, CTA_IP_MAX, parts[CTA_TUPLE_IP], nullptr);
    if (parts[CTA_TUPLE_PROTO]) nla_parse_nested(protocol, CTA_PROTO_MAX, parts[CTA_TUPLE_PROTO], nullptr);
    tuple.source = bytes_of(ip[CTA_IP_V4_SRC] ? ip[CTA_IP_V4_SRC] : ip[CTA_IP_V6_SRC]);
    tuple.destination = bytes_of(ip[CTA_IP_V4_DST] ? ip[CTA_IP_V4_DST] : ip[CTA_IP_V6_DST]);
    tuple.source_port = value_of<uint16_t>(protocol[CTA_PROTO_SRC_PORT]).value_or(tuple.source_port);
    tuple.destination_port = value_of<uint16_t>(protocol[CTA_PROTO_DST_PORT]).value_or(tuple.destination_port);
    return tuple;
}

bool is_of(const Tuple& tuple, const PacketFacts& facts) {
    const std::size_t size = facts.source.bits() / 8;
    return tuple.source == std::vector<uint8_t>(facts.source.bytes.begin(), facts.source.bytes.begin() + size) &&
           tuple.destination ==
               std::vector<uint8_t>(facts.destination.bytes.begin(), facts.destination.bytes.begin() + size) &&
           tuple.source_port == htons(facts.source_port.value_or(0)) &&
           tuple.destination_port == htons(facts.destination_port.value_or(0));
}

bool is_reversed(const Tuple& one, const Tuple& other) {
    return one.source == other.destination && one.destination == other.source &&
           one.source_port == other.destination_port && one.destination_port == other.source_port;
}

struct ConntrackEntry {
    Tuple original, reply;
    uint32_t status = 0; // enum ip_conntrack_status
};

Result<std::optional<ConntrackEntry>> find_entry(const PacketFacts& facts) {
    const bool v4 = facts.source.family == Family::IPv4;
    const auto request = new_conntrack_request(IPCTNL_MSG_CT_GET, 0, v4 ? AF_INET : AF_INET6);
    if (!request || !put_tuple(request.get(), facts)) return fail("cannot allocate a netlink message", ENOMEM);
    std::optional<ConntrackEntry> entry;
    const auto asked = transact(
        request.get(),
        [&](const nlmsghdr* header) {
            const MessageAttributes<CTA_MAX> attributes(header, sizeof(nfgenmsg));
            entry =
                ConntrackEntry{read_tuple(attributes.at(CTA_TUPLE_ORIG)), read_tuple(attributes.at(CTA_TUPLE_REPLY)),
                               ntohl(attributes.value<uint32_t>(CTA_STATUS).value_or(0))};
        },
        NETLINK_NETFILTER);
    if (!asked && asked.error().number != ENOENT) return fail(conntrack_error(asked.error()));
    return entry;
}

// Statistics of all CPUs: `add` gets the attributes of each.
template <int max_type>
Result<void> read_counters_of_cpus(int subsystem, int message,
                                   const std::function<void(const MessageAttributes<max_type>&)>& add) {
    const auto request = new_conntrack_request(message, NLM_F_DUMP, AF_UNSPEC, subsystem);
    if (!request) return fail("cannot allocate a netlink message", ENOMEM);
    const auto asked = transact(
        request.get(), [&](const nlmsghdr* header) { add(MessageAttributes<max_type>(header, sizeof(nfgenmsg))); },
        NETLINK_NETFILTER);
    if (!asked) return fail(conntrack_error(asked.error()));
    return {};
}

template <int max_type> uint32_t counter_at(const MessageAttributes<max_type>& attributes, int type) {
    return ntohl(attributes.template value<uint32_t>(type).value_or(0));
}

// Has anything in this namespace ever announced a connection that is to come (helpers: FTP, SIP, ...)?
Result<bool> has_expected() {
    uint64_t expected = 0;
    KUDO_TRY(read_counters_of_cpus<CTA_STATS_EXP_MAX>(NFNL_SUBSYS_CTNETLINK_EXP, IPCTNL_MSG_EXP_GET_STATS_CPU,
                                                      [&](const MessageAttributes<CTA_STATS_EXP_MAX>& attributes) {
                                                          expected += counter_at(attributes, CTA_STATS_EXP_NEW) +
                                                                      counter_at(attributes, CTA_STATS_EXP_CREATE);
                                                      }));
    return expected > 0;
}

} // namespace

Result<std::optional<ConntrackTable>> read_conntrack() {
    const auto count = setting("nf_conntrack_count");
    if (!count) return std::optional<ConntrackTable>();
    ConntrackTable table{.count = *count, .max = setting("nf_conntrack_max").value_or(0)};
    KUDO_TRY(read_counters_of_cpus<CTA_STATS_MAX>(
        NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_GET_STATS_CPU, [&](const MessageAttributes<CTA_STATS_MAX>& attributes) {
            table.drop += counter_at(attributes, CTA_STATS_DROP);
            table.early_drop += counter_at(attributes, CTA_STATS_EARLY_DROP);
            table.insert_failed += counter_at(attributes, CTA_STATS_INSERT_FAILED);
            table.invalid += counter_at(attributes, CTA_STATS_INVALID);
        }));
    return table;
}

std::string conntrack_text(const ConntrackTable& table) {
    return fmt::format("conntrack table {}: {} of {} entries (net.netfilter.nf_conntrack_max)",
                       table.is_full() ? "full" : "in use", table.count, table.max);
}

Result<void> add_conntrack_facts(PacketFacts& facts, const ConntrackTable* before) {
    const auto table = KUDO_TRY(read_conntrack());
    if (!table) return {};
    const auto entry = KUDO_TRY(find_entry(facts));
    // Errors of ICMP are related to the connection that they are about.
    const bool is_icmp = facts.protocol == IPPROTO_ICMP || facts.protocol == IPPROTO_ICMPV6;
    const unsigned related = is_icmp || KUDO_TRY(has_expected()) ? CtRelated : 0;
    const bool had_invalid = table->invalid != (before ? before->invalid : 0);
    unsigned states = had_invalid || is_icmp ? CtInvalid : 0;
    if (entry) {
        // A packet of the flow may have been dropped before the first answer came.
        states |= CtEstablished;
        if (is_of(entry->original, facts)) states |= entry->status & IPS_EXPECTED ? CtRelated : CtNew;
        facts.translated = !is_reversed(entry->original, entry->reply);
    } else
        states |= CtNew | CtUntracked | related;
    facts.ct_states = static_cast<uint8_t>(states);
    return {};
}

} // namespace kudo
