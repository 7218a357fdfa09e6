// SPDX-License-Identifier: MIT
#include "tests/component/rule_trace.h"

#include <arpa/inet.h>
#include <endian.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <sys/socket.h>

#include <cstring>
#include <stdexcept>
#include <vector>

namespace kudo::test {
namespace {

constexpr int receive_buffer = 8 << 20;

bool has_addresses(const nlattr* header, const PacketFacts& facts) {
    const bool v4 = facts.source.family == Family::IPv4;
    const std::size_t at = v4 ? 12 : 8, size = facts.source.bits() / 8;
    const auto* bytes = static_cast<const uint8_t*>(nla_data(header));
    const auto length = static_cast<std::size_t>(nla_len(header));
    return length >= at + 2 * size && bytes[0] >> 4 == (v4 ? 4 : 6) && bytes[v4 ? 9 : 6] == facts.protocol &&
           std::memcmp(bytes + at, facts.source.bytes.data(), size) == 0 &&
           std::memcmp(bytes + at + size, facts.destination.bytes.data(), size) == 0;
}

} // namespace

RuleTrace::RuleTrace() {
    auto socket = open_netlink(NETLINK_NETFILTER);
    if (!socket) throw std::runtime_error(socket.error().message);
    socket_ = std::move(*socket);
    setsockopt(nl_socket_get_fd(socket_.get()), SOL_SOCKET, SO_RCVBUFFORCE, &receive_buffer, sizeof receive_buffer);
    if (nl_socket_add_memberships(socket_.get(), NFNLGRP_NFTRACE, 0) != 0) throw std::runtime_error("no trace");
}

std::map<TracedDrop, unsigned> RuleTrace::drops_of(const PacketFacts& facts) {
    std::map<TracedDrop, unsigned> drops;
    std::vector<char> buffer(1 << 16);
    for (;;) {
        const ssize_t size = recv(nl_socket_get_fd(socket_.get()), buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (size < 0 && errno == EAGAIN) return drops;
        if (size <= 0) throw std::runtime_error("trace: some was lost");
        int left = static_cast<int>(size);
        for (auto* header = reinterpret_cast<nlmsghdr*>(buffer.data()); nlmsg_ok(header, left);
             header = nlmsg_next(header, &left))
            take(header, facts, drops);
    }
}

void RuleTrace::take(const nlmsghdr* header, const PacketFacts& facts, std::map<TracedDrop, unsigned>& drops) {
    if (header->nlmsg_type != (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_TRACE)) return;
    const MessageAttributes<NFTA_TRACE_MAX> attributes(header, sizeof(nfgenmsg));
    const uint32_t id = attributes.value<uint32_t>(NFTA_TRACE_ID).value_or(0);
    if (const nlattr* ip = attributes.at(NFTA_TRACE_NETWORK_HEADER); ip && has_addresses(ip, facts)) ours_.insert(id);
    const auto text = [&](int type) {
        const nlattr* attribute = attributes.at(type);
        return attribute ? std::string(static_cast<const char*>(nla_data(attribute))) : std::string();
    };
    const uint32_t type = ntohl(attributes.value<uint32_t>(NFTA_TRACE_TYPE).value_or(0));
    uint32_t verdict = ntohl(attributes.value<uint32_t>(NFTA_TRACE_POLICY).value_or(NF_ACCEPT));
    if (const nlattr* nested = attributes.at(NFTA_TRACE_VERDICT)) {
        nlattr* parts[NFTA_VERDICT_MAX + 1] = {};
        nla_parse_nested(parts, NFTA_VERDICT_MAX, const_cast<nlattr*>(nested), nullptr);
        if (parts[NFTA_VERDICT_CODE]) verdict = ntohl(nla_get_u32(parts[NFTA_VERDICT_CODE]));
    }
    if (verdict != NF_DROP || !ours_.contains(id)) return;
    const bool policy = type == NFT_TRACETYPE_POLICY;
    const uint64_t handle = policy ? 0 : be64toh(attributes.value<uint64_t>(NFTA_TRACE_RULE_HANDLE).value_or(0));
    drops[{text(NFTA_TRACE_TABLE), text(NFTA_TRACE_CHAIN), handle}]++;
}

} // namespace kudo::test
