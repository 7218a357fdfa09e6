// SPDX-License-Identifier: MIT
// Names of drop reasons from BTF that was made up, advice for all reasons that are known, layers, places.
#include <bpf/btf.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>

#include "agent/drops/advice.h"
#include "agent/drops/places.h"
#include "agent/drops/reasons.h"
#include "bpf/drops.h"

namespace kudo::test {
namespace {

constexpr const char* known_reasons[] = {
    "ARP_PVLAN_DISABLE",
    "BPF_CGROUP_EGRESS",
    "BRIDGE_INGRESS_STP_STATE",
    "CANFD_RX_INVALID_FRAME",
    "CANXL_RX_INVALID_FRAME",
    "CAN_RX_INVALID_FRAME",
    "CPU_BACKLOG",
    "DEV_HDR",
    "DEV_READY",
    "DUP_FRAG",
    "FQ_BAND_LIMIT",
    "FQ_FLOW_LIMIT",
    "FQ_HORIZON_LIMIT",
    "FRAG_REASM_TIMEOUT",
    "FRAG_TOO_FAR",
    "FULL_RING",
    "HDR_TRUNC",
    "ICMP_CSUM",
    "INVALID_PROTO",
    "IPV6DISABLED",
    "IPV6_BAD_EXTHDR",
    "IPV6_NDISC_BAD_CODE",
    "IPV6_NDISC_BAD_OPTIONS",
    "IPV6_NDISC_FRAG",
    "IPV6_NDISC_HOP_LIMIT",
    "IPV6_NDISC_NS_OTHERHOST",
    "IPV6_TOO_MANY_EXTHDRS",
    "IPVLAN_MULTICAST_BACKLOG",
    "IP_CSUM",
    "IP_INADDRERRORS",
    "IP_INHDR",
    "IP_INNOROUTES",
    "IP_INVALID_DEST",
    "IP_INVALID_SOURCE",
    "IP_LOCALNET",
    "IP_LOCAL_SOURCE",
    "IP_NOPROTO",
    "IP_OUTNOROUTES",
    "IP_RPFILTER",
    "IP_TUNNEL_ECN",
    "LOCAL_MAC",
    "MACVLAN_BROADCAST_BACKLOG",
    "MAC_IEEE_MAC_CONTROL",
    "MAC_INVALID_SOURCE",
    "NEIGH_CREATEFAIL",
    "NEIGH_DEAD",
    "NEIGH_FAILED",
    "NEIGH_HH_FILLFAIL",
    "NEIGH_QUEUEFULL",
    "NETFILTER_DROP",
    "NOMEM",
    "NOT_SPECIFIED",
    "NO_SOCKET",
    "NO_TX_TARGET",
    "OTHERHOST",
    "PACKET_SOCK_ERROR",
    "PFMEMALLOC",
    "PKT_TOO_BIG",
    "PKT_TOO_SMALL",
    "PROTO_MEM",
    "PSP_INPUT",
    "PSP_OUTPUT",
    "QDISC_BURST_DROP",
    "QDISC_DROP",
    "QDISC_DROP_BAND_LIMIT",
    "QDISC_DROP_CONGESTED",
    "QDISC_DROP_FLOOD_PROTECTION",
    "QDISC_DROP_FLOW_LIMIT",
    "QDISC_DROP_GENERIC",
    "QDISC_DROP_HORIZON_LIMIT",
    "QDISC_DROP_L4S_STEP_NON_ECN",
    "QDISC_DROP_MAXFLOWS",
    "QDISC_DROP_OVERLIMIT",
    "QDISC_DROP_UNSPEC",
    "QUEUE_PURGE",
    "RECURSION_LIMIT",
    "SECURITY_HOOK",
    "SKB_BAD_GSO",
    "SKB_CONSUMED",
    "SKB_CSUM",
    "SKB_GSO_SEG",
    "SKB_NOT_DROPPED_YET",
    "SKB_UCOPY_FAULT",
    "SOCKET_BACKLOG",
    "SOCKET_CLOSE",
    "SOCKET_FILTER",
    "SOCKET_RCVBUFF",
    "TAP_FILTER",
    "TAP_TXFILTER",
    "TCP_ABORT_ON_DATA",
    "TCP_ACK_UNSENT_DATA",
    "TCP_AOFAILURE",
    "TCP_AOKEYNOTFOUND",
    "TCP_AONOTFOUND",
    "TCP_AOUNEXPECTED",
    "TCP_AUTH_HDR",
    "TCP_CLOSE",
    "TCP_CSUM",
    "TCP_FASTOPEN",
    "TCP_FLAGS",
    "TCP_INVALID_ACK_SEQUENCE",
    "TCP_INVALID_END_SEQUENCE",
    "TCP_INVALID_SEQUENCE",
    "TCP_INVALID_SYN",
    "TCP_LISTEN_OVERFLOW",
    "TCP_MD5FAILURE",
    "TCP_MD5NOTFOUND",
    "TCP_MD5UNEXPECTED",
    "TCP_MINTTL",
    "TCP_OFOMERGE",
    "TCP_OFO_DROP",
    "TCP_OFO_QUEUE_PRUNE",
    "TCP_OLD_ACK",
    "TCP_OLD_DATA",
    "TCP_OLD_SEQUENCE",
    "TCP_OVERWINDOW",
    "TCP_RESET",
    "TCP_RFC7323_PAWS",
    "TCP_RFC7323_PAWS_ACK",
    "TCP_RFC7323_TSECR",
    "TCP_RFC7323_TW_PAWS",
    "TCP_TOO_OLD_ACK",
    "TCP_ZEROWINDOW",
    "TC_CHAIN_NOTFOUND",
    "TC_COOKIE_ERROR",
    "TC_EGRESS",
    "TC_INGRESS",
    "TC_RECLASSIFY_LOOP",
    "TUNNEL_TXINFO",
    "UDP_CSUM",
    "UNHANDLED_PROTO",
    "UNICAST_IN_L2_MULTICAST",
    "UNIX_DISCONNECT",
    "UNIX_SKIP_OOB",
    "VXLAN_ENTRY_EXISTS",
    "VXLAN_INVALID_HDR",
    "VXLAN_VNI_NOT_FOUND",
    "XDP",
    "XFRM_POLICY",
};

struct FreeBtf {
    void operator()(btf* types) const { btf__free(types); }
};

// A kernel's types, as far as they are looked at.
class MadeUpTypes {
public:
    MadeUpTypes() : types_(btf__new_empty()) {}
    MadeUpTypes& with_enum(const char* name, const std::vector<std::pair<std::string, uint32_t>>& entries) {
        btf__add_enum(types_.get(), name, 4);
        for (const auto& [entry, value] : entries)
            btf__add_enum_value(types_.get(), entry.c_str(), value);
        return *this;
    }
    // typedef void (*btf_trace_kfree_skb)(void *, ...)
    MadeUpTypes& with_tracepoint(int arguments) {
        const int function = btf__add_func_proto(types_.get(), 0);
        for (int i = 0; i <= arguments; i++)
            btf__add_func_param(types_.get(), "", 0);
        btf__add_typedef(types_.get(), "btf_trace_kfree_skb", btf__add_ptr(types_.get(), function));
        return *this;
    }
    [[nodiscard]] DropReasons parsed() const {
        uint32_t size = 0;
        const void* bytes = btf__raw_data(types_.get(), &size);
        auto reasons = DropReasons::parse({static_cast<const uint8_t*>(bytes), size});
        EXPECT_TRUE(reasons) << reasons.error().message;
        return std::move(*reasons);
    }

    [[nodiscard]] std::vector<uint8_t> bytes() const {
        uint32_t size = 0;
        const auto* const begin = static_cast<const uint8_t*>(btf__raw_data(types_.get(), &size));
        return {begin, begin + size};
    }

private:
    std::unique_ptr<btf, FreeBtf> types_;
};

TEST(DropReasons, NumbersAreWhatTheBtfSays) {
    std::mt19937 random(1);
    for (int round = 0; round < 20; round++) {
        std::vector<std::pair<std::string, uint32_t>> entries;
        for (const char* name : known_reasons)
            entries.emplace_back("SKB_DROP_REASON_" + std::string(name), static_cast<uint32_t>(entries.size()));
        std::vector<uint32_t> numbers(entries.size());
        std::ranges::transform(entries, numbers.begin(), [](const auto& entry) { return entry.second; });
        std::ranges::shuffle(numbers, random);
        for (std::size_t i = 0; i < entries.size(); i++)
            entries[i].second = numbers[i];
        const DropReasons reasons = MadeUpTypes().with_enum("skb_drop_reason", entries).parsed();
        for (const auto& [name, number] : entries)
            ASSERT_EQ(reasons.name(number), name.substr(16));
    }
}

TEST(DropReasons, AnUnknownNumberIsShown) {
    const DropReasons reasons =
        MadeUpTypes()
            .with_enum("skb_drop_reason", {{"SKB_DROP_REASON_NO_SOCKET", 3}, {"SKB_DROP_REASON_MAX", 4}})
            .parsed();
    EXPECT_EQ(reasons.name(3), "NO_SOCKET");
    EXPECT_EQ(reasons.name(4), "reason 4") << "a limit is no reason";
    EXPECT_EQ(reasons.name(300), "reason 300");
    EXPECT_EQ(reasons.name(0x30007), "reason 196615");
}

TEST(DropReasons, SubsystemsHaveTheirOwn) {
    const DropReasons reasons =
        MadeUpTypes()
            .with_enum("skb_drop_reason",
                       {{"SKB_DROP_REASON_NO_SOCKET", 3}, {"SKB_DROP_REASON_SUBSYS_MASK", 0xffff0000}})
            .with_enum("mac80211_drop_reason", {{"RX_CONTINUE", 1}, {"RX_DROP_U_MIC_FAIL", 0x10001}})
            .with_enum("qdisc_drop_reason", {{"QDISC_DROP_OVERLIMIT", 0x40003}})
            .parsed();
    EXPECT_EQ(reasons.name(0x10001), "RX_DROP_U_MIC_FAIL");
    EXPECT_EQ(reasons.name(0x40003), "QDISC_DROP_OVERLIMIT");
    EXPECT_EQ(reasons.name(1), "reason 1");
    EXPECT_EQ(reasons.names().size(), 3u);
    EXPECT_EQ(advice_for("RX_DROP_U_MIC_FAIL", "").layer, DropLayer::Network);
    EXPECT_EQ(advice_for("QDISC_DROP_OVERLIMIT", "").layer, DropLayer::Queue);
}

TEST(DropReasons, AKernelWithoutReasonsHasNone) {
    const DropReasons reasons = MadeUpTypes().with_tracepoint(2).parsed();
    EXPECT_EQ(reasons.name(0), "");
    EXPECT_EQ(reasons.tracepoint_arguments(), 2u);
}

TEST(DropReasons, TheTracepointsArgumentsAreCounted) {
    EXPECT_EQ(MadeUpTypes().parsed().tracepoint_arguments(), 0u);
    EXPECT_EQ(MadeUpTypes().with_tracepoint(3).parsed().tracepoint_arguments(), 3u);
    EXPECT_EQ(MadeUpTypes().with_tracepoint(4).parsed().tracepoint_arguments(), 4u);
}

TEST(DropReasons, WhatIsNoBtfIsRefused) {
    const std::array<uint8_t, 32> noise{1, 2, 3};
    EXPECT_FALSE(DropReasons::parse(noise));
}

TEST(DropReasons, OfDamagedBtfNothingBeyondItIsRead) {
    const auto whole =
        MadeUpTypes().with_enum("skb_drop_reason", {{"SKB_DROP_REASON_NO_SOCKET", 3}}).with_tracepoint(3).bytes();
    ASSERT_TRUE(DropReasons::parse(whole));
    for (std::size_t size = 0; size < whole.size(); size++)
        EXPECT_FALSE(DropReasons::parse(std::span(whole).first(size))) << size;
    for (std::size_t at = 0; at < whole.size(); at++)
        for (const uint8_t byte : {0, 1, 0x7f, 0xff}) {
            auto damaged = whole;
            damaged[at] = byte;
            [[maybe_unused]] const auto reasons = DropReasons::parse(damaged);
        }
}

TEST(DropReasons, OfTheRunningKernelAreThoseThatLibbpfFinds) {
    const auto reasons = DropReasons::of_running_kernel();
    if (!reasons) GTEST_SKIP() << reasons.error().message;
    const std::unique_ptr<btf, FreeBtf> types(btf__parse("/sys/kernel/btf/vmlinux", nullptr));
    ASSERT_TRUE(types);
    const int id = btf__find_by_name_kind(types.get(), "skb_drop_reason", BTF_KIND_ENUM);
    if (id < 0) return; // before Linux 5.17
    const btf_type* const type = btf__type_by_id(types.get(), static_cast<uint32_t>(id));
    for (uint32_t i = 0; i < btf_vlen(type); i++) {
        const std::string name = btf__name_by_offset(types.get(), btf_enum(type)[i].name_off);
        const auto number = static_cast<uint32_t>(btf_enum(type)[i].val);
        if (name.starts_with("SKB_DROP_REASON_") && (*reasons)->names().contains(number))
            EXPECT_EQ((*reasons)->name(number), name.substr(16));
    }
}

TEST(DropAdvice, EveryReasonOfTheRunningKernelHasOne) {
    const auto reasons = DropReasons::of_running_kernel();
    if (!reasons) GTEST_SKIP() << reasons.error().message;
    for (const auto& [number, name] : (*reasons)->names())
        EXPECT_NE(advice_on(name), nullptr)
            << name << " (" << number << ") has no advice: add a row to advice_table.cpp";
}

TEST(DropAdvice, EveryReasonOfOtherKernelsHasOne) {
    for (const char* name : known_reasons)
        EXPECT_NE(advice_on(name), nullptr) << name;
}

TEST(DropAdvice, IsOneSentenceAndOneCommand) {
    std::string before;
    for (const ReasonAdvice& row : reason_advice()) {
        EXPECT_LT(before, row.reason) << "each once, in order";
        before = row.reason;
        EXPECT_TRUE(row.advice.ends_with(".")) << row.reason;
        EXPECT_FALSE(row.command.empty()) << row.reason;
        EXPECT_EQ(row.command.find('\n'), std::string_view::npos);
        EXPECT_EQ(advice_on(row.reason), &row) << "no prefix hides " << row.reason;
    }
}

TEST(DropAdvice, WhatIsNotNeededIsNoLoss) {
    for (const char* reason : {"QUEUE_PURGE", "TCP_OLD_DATA", "TCP_OLD_SEQUENCE", "TCP_OFOMERGE", "TCP_OLD_ACK",
                               "TCP_RFC7323_PAWS_ACK", "DUP_FRAG", "OTHERHOST", "PACKET_SOCK_ERROR", "SOCKET_CLOSE"})
        EXPECT_FALSE(advice_for(reason, "").is_loss) << reason;
    for (const char* reason : {"NETFILTER_DROP", "SOCKET_RCVBUFF", "QDISC_DROP", "NO_SOCKET", "reason 300", "UDP_CSUM"})
        EXPECT_TRUE(advice_for(reason, "").is_loss) << reason;
    for (const char* reason : {"", "NOT_SPECIFIED"}) {
        EXPECT_FALSE(advice_for(reason, "").is_loss) << "nothing says what it was";
        EXPECT_TRUE(advice_for(reason, "some_function").is_loss);
    }
    EXPECT_FALSE(advice_for("SOCKET_RCVBUFF", "raw_rcv_skb").is_loss) << "a raw socket has a copy";
    EXPECT_FALSE(advice_for("NOT_SPECIFIED", "tpacket_rcv").is_loss) << "a capture has a copy";
    EXPECT_FALSE(advice_for("NOT_SPECIFIED", "udp_destruct_common").is_loss);
}

TEST(DropLayers, ComeFromTheReason) {
    EXPECT_EQ(layer_of("NETFILTER_DROP", "nf_hook_slow"), DropLayer::Firewall);
    EXPECT_EQ(layer_of("SOCKET_RCVBUFF", "udp_queue_rcv_one_skb"), DropLayer::Socket);
    EXPECT_EQ(layer_of("QDISC_DROP", "__dev_queue_xmit"), DropLayer::Queue);
    EXPECT_EQ(layer_of("IP_RPFILTER", ""), DropLayer::Route);
    EXPECT_EQ(layer_of("NEIGH_FAILED", ""), DropLayer::Neighbour);
    EXPECT_EQ(layer_of("TC_EGRESS", ""), DropLayer::Tc);
    EXPECT_EQ(layer_of("XFRM_POLICY", ""), DropLayer::Policy);
    EXPECT_EQ(layer_of("reason 300", "nowhere"), DropLayer::Other);
}

TEST(DropLayers, ComeFromTheFunctionWhereTheReasonSaysNothing) {
    for (const char* reason : {"", "NOT_SPECIFIED"}) {
        EXPECT_EQ(layer_of(reason, "nf_hook_slow"), DropLayer::Firewall);
        EXPECT_EQ(layer_of(reason, "nf_conntrack_in"), DropLayer::Conntrack);
        EXPECT_EQ(layer_of(reason, "udp_queue_rcv_one_skb"), DropLayer::Socket);
        EXPECT_EQ(layer_of(reason, "__udp4_lib_rcv"), DropLayer::Socket);
        EXPECT_EQ(layer_of(reason, "__dev_queue_xmit"), DropLayer::Queue);
        EXPECT_EQ(layer_of(reason, "__rtnl_unlock"), DropLayer::Queue);
        EXPECT_EQ(layer_of(reason, "ip_rcv_finish_core"), DropLayer::Route);
        EXPECT_EQ(layer_of(reason, "ip_rcv_core"), DropLayer::Network);
        EXPECT_EQ(layer_of(reason, "veth_xdp_rcv_skb"), DropLayer::Xdp);
        EXPECT_EQ(layer_of(reason, "neigh_invalidate"), DropLayer::Neighbour);
        EXPECT_EQ(layer_of(reason, ""), DropLayer::Other);
    }
}

TEST(DropLayers, HaveTheNamesOfTheJson) {
    EXPECT_EQ(layer_name(DropLayer::Network), "network");
    EXPECT_EQ(layer_name(DropLayer::Neighbour), "neighbour");
    EXPECT_EQ(layer_name(DropLayer::Other), "other");
}

constexpr const char* kallsyms = "ffffffff81000000 T _stext\n"
                                 "ffffffff81000100 t one.isra.0\n"
                                 "ffffffff81000200 D some_data\n"
                                 "ffffffff81000300 T two\n"
                                 "ffffffff81000300 t another_two\n"
                                 "ffffffffc0000000 t three\t[some_module]\n"
                                 "ffffffffc0400000 T far\n";

TEST(DropPlaces, AreFunctionsAndOffsets) {
    const Places places = Places::parse(kallsyms);
    EXPECT_EQ(places.name(0xffffffff81000101), "one.isra.0+0x1");
    EXPECT_EQ(places.name(0xffffffff81000280), "one.isra.0+0x180") << "data is no function";
    EXPECT_EQ(places.name(0xffffffff81000300), "one.isra.0+0x200") << "a call at a function's end returns behind it";
    EXPECT_EQ(places.name(0xffffffff81000344), "two+0x44");
    EXPECT_EQ(places.name(0xffffffffc0000010), "three+0x10");
    EXPECT_EQ(places.name(0xffffffffc0200000), "unknown") << "too far from any";
    EXPECT_EQ(places.name(0x1000), "unknown");
}

TEST(DropPlaces, AddressesThatAreHiddenAreUnknown) {
    const Places places = Places::parse("0000000000000000 T _stext\n0000000000000000 T two\n");
    EXPECT_TRUE(places.empty());
    EXPECT_EQ(places.name(0xffffffff81000344), "unknown");
}

TEST(DropPlaces, OddLinesAreLeftOut) {
    const char* const text = "\nnothing\nffffffff81000300\nffffffff81000300 T\nffffffff81000300 T x\n";
    EXPECT_EQ(Places::parse(text).name(0xffffffff81000310), "x+0x10");
}

TEST(DropPlaces, FunctionOfAPlace) {
    EXPECT_EQ(function_of("nft_do_chain+0x5f3"), "nft_do_chain");
    EXPECT_EQ(function_of("udp_queue_rcv_one_skb.part.0+0x1"), "udp_queue_rcv_one_skb");
    EXPECT_EQ(function_of("unknown"), "");
}

} // namespace
} // namespace kudo::test
