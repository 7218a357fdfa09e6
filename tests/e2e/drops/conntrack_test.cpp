// SPDX-License-Identifier: MIT
// A table of connection tracking that is full: named, with its use and its maximum, and what the advice does.
// Invariant: the table is filled in the test's own network namespace; the maximum, which is the machine's, stays.
#include <arpa/inet.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include <cstring>

#include <fmt/format.h>

#include "agent/firewall/conntrack.h"
#include "tests/e2e/drops/drops_fixture.h"
#include "tests/support/running_service.h"

namespace kudo::test {
namespace {

constexpr uint64_t most_entries = 1 << 20; // for which there are time and memory here
const Endpoint here{host_address, 40001}, there{media_address, 3478};

// A message of nested netlink attributes.
class Message {
public:
    template <typename T> void add(uint16_t type, const T& value) {
        const nlattr header{.nla_len = NLA_HDRLEN + sizeof value, .nla_type = type};
        append(&header, sizeof header);
        append(&value, sizeof value);
        bytes_.resize(NLMSG_ALIGN(bytes_.size()));
    }
    void nested(uint16_t type, const std::function<void()>& content) {
        const std::size_t at = bytes_.size();
        const nlattr empty{};
        append(&empty, sizeof empty);
        content();
        const nlattr header{.nla_len = static_cast<uint16_t>(bytes_.size() - at),
                            .nla_type = static_cast<uint16_t>(type | NLA_F_NESTED)};
        std::memcpy(&bytes_[at], &header, sizeof header);
    }
    void append(const void* data, std::size_t size) {
        const auto* const begin = static_cast<const uint8_t*>(data);
        bytes_.insert(bytes_.end(), begin, begin + size);
    }
    [[nodiscard]] Bytes& bytes() { return bytes_; }

private:
    Bytes bytes_;
};

void add_tuple(Message& message, uint16_t type, const in_addr& from, uint16_t from_port, const in_addr& to,
               uint16_t to_port) {
    message.nested(type, [&] {
        message.nested(CTA_TUPLE_IP, [&] {
            message.add(CTA_IP_V4_SRC, from);
            message.add(CTA_IP_V4_DST, to);
        });
        message.nested(CTA_TUPLE_PROTO, [&] {
            message.add(CTA_PROTO_NUM, static_cast<uint8_t>(IPPROTO_UDP));
            message.add(CTA_PROTO_SRC_PORT, htons(from_port));
            message.add(CTA_PROTO_DST_PORT, htons(to_port));
        });
    });
}

// Connections of strangers with one another, which the kernel does not throw out for new ones.
void add_connections(uint64_t count) {
    const Fd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER));
    in_addr to{};
    inet_pton(AF_INET, "203.0.113.1", &to);
    Bytes batch;
    for (uint64_t i = 0; i < count; ++i) {
        const in_addr from{.s_addr = htonl(0x0a630000 + static_cast<uint32_t>(i >> 15))}; // 10.99.0.0
        const auto port = static_cast<uint16_t>(1024 + (i & 0x7fff));
        Message message;
        nlmsghdr header{.nlmsg_len = 0,
                        .nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW,
                        .nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE,
                        .nlmsg_seq = 0,
                        .nlmsg_pid = 0};
        const nfgenmsg family{.nfgen_family = AF_INET, .version = NFNETLINK_V0, .res_id = 0};
        message.append(&header, sizeof header);
        message.append(&family, sizeof family);
        add_tuple(message, CTA_TUPLE_ORIG, from, port, to, 9);
        add_tuple(message, CTA_TUPLE_REPLY, to, 9, from, port);
        message.add(CTA_STATUS, htonl(IPS_ASSURED | IPS_CONFIRMED | IPS_SEEN_REPLY));
        message.add(CTA_TIMEOUT, htonl(600));
        header.nlmsg_len = static_cast<uint32_t>(message.bytes().size());
        std::memcpy(message.bytes().data(), &header, sizeof header);
        batch.insert(batch.end(), message.bytes().begin(), message.bytes().end());
        if (batch.size() < 32768 && i + 1 < count) continue;
        if (send(socket.get(), batch.data(), batch.size(), 0) != static_cast<ssize_t>(batch.size()))
            throw std::system_error(errno, std::generic_category(), "ctnetlink");
        batch.clear();
    }
}

class FullConntrack : public DropsTest {
protected:
    [[nodiscard]] ConntrackTable table() const {
        return inside<ConntrackTable>(test_->host, [] {
            const auto read = read_conntrack();
            return read && *read ? **read : ConntrackTable{};
        });
    }
    // Of so many datagrams to KUDO, each of a flow of its own, those that the kernel refuses to send.
    [[nodiscard]] unsigned refused(unsigned count) const {
        unsigned refused = 0;
        for (unsigned i = 0; i < count; ++i)
            try {
                send_datagram(udp_socket(test_->host, {host_address, static_cast<uint16_t>(41000 + i)}).get(), there,
                              Bytes(100, 1));
            } catch (const std::system_error&) {
                ++refused;
            }
        return refused;
    }
};

TEST_F(FullConntrack, IsNamedWithItsUseAndMaximumAndTheAdviceHelps) {
    nft("add table inet t; add chain inet t out { type filter hook output priority 0; }; "
        "add rule inet t out ct state new counter");
    const uint64_t most = table().max;
    if (most == 0 || most > most_entries) GTEST_SKIP() << "the machine's maximum is " << most;
    inside<int>(test_->host, [&] {
        add_connections(most);
        return 0;
    });
    if (table().count < most) GTEST_SKIP() << "the kernel takes " << table().count << " of " << most << " entries";

    constexpr unsigned many = 20;
    ASSERT_EQ(refused(many), many);
    nlohmann::json row; // any of them
    EXPECT_TRUE(eventually([&] {
        uint64_t packets = 0;
        const auto stats = test_->stats();
        for (const auto& drop : stats["drops"])
            if (drop["layer"] == "conntrack" && drop["namespace_known"] == true) {
                packets += drop["egress"]["packets"].get<uint64_t>();
                row = drop;
            }
        return packets == many;
    })) << test_->stats()["drops"].dump(1);
    ASSERT_FALSE(row.is_null());
    const std::string use = fmt::format("conntrack table full: {0} of {0} entries", most);
    EXPECT_NE(row["owner"].dump().find(use), std::string::npos) << row.dump(1);
    EXPECT_NE(row["advice"].dump().find("nf_conntrack_max"), std::string::npos) << row.dump(1);
    EXPECT_NE(test_->agent({"stats", "--drops"}).out.find(use), std::string::npos) << test_->agent({"stats"}).out;

    // Of the advice's two ways the one that is not the machine's.
    nft("add chain inet t raw { type filter hook output priority raw; }; "
        "add rule inet t raw ip daddr 3.123.12.0/24 notrack");
    EXPECT_EQ(refused(many), 0U);
}

} // namespace
} // namespace kudo::test
