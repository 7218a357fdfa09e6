// SPDX-License-Identifier: MIT
#include "agent/queues/pure_acks.h"

#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <netinet/in.h>

namespace kudo {
namespace {

// Straight down; a test that fails ends it without a match.
class Steps {
public:
    void load(uint32_t width, uint32_t from) { add(BPF_LD | BPF_ABS | width, from); }
    void load_behind_x(uint32_t width, uint32_t from) { add(BPF_LD | BPF_IND | width, from); }
    void add(uint32_t code, uint32_t value = 0) { steps_.push_back(BPF_STMT(static_cast<uint16_t>(code), value)); }
    void require(uint32_t test, uint32_t value = 0) { jump(test, value, 0, 1); }
    void refuse(uint32_t test, uint32_t value) { jump(test, value, 1, 0); }

    std::vector<sock_filter> take() {
        add(BPF_RET | BPF_K, UINT32_MAX); // the filter's class
        add(BPF_RET | BPF_K, 0);
        for (std::size_t i = 0; i < steps_.size(); i++) {
            const auto to_end = static_cast<uint8_t>(steps_.size() - 2 - i);
            steps_[i].jt = steps_[i].jt ? to_end : uint8_t{0};
            steps_[i].jf = steps_[i].jf ? to_end : uint8_t{0};
        }
        return std::move(steps_);
    }

private:
    void jump(uint32_t test, uint32_t value, uint8_t if_true, uint8_t if_false) {
        steps_.push_back(BPF_JUMP(static_cast<uint16_t>(BPF_JMP | test), value, if_true, if_false));
    }
    std::vector<sock_filter> steps_;
};

// From the IP header on, wherever the packet's data begins.
constexpr uint32_t ip(uint32_t offset) {
    return static_cast<uint32_t>(SKF_NET_OFF) + offset;
}

// Expects M[0]: bytes of TCP's header and payload; X: bytes of the IP header.
std::vector<sock_filter> only_acks(Steps steps) {
    constexpr uint32_t all_but_ecn = 0x3f, ack = 0x10;
    steps.load_behind_x(BPF_B, ip(13));
    steps.add(BPF_ALU | BPF_AND | BPF_K, all_but_ecn);
    steps.require(BPF_JEQ | BPF_K, ack);
    steps.load_behind_x(BPF_B, ip(12)); // its upper half: the header's length in words
    steps.add(BPF_ALU | BPF_AND | BPF_K, 0xf0);
    steps.add(BPF_ALU | BPF_RSH | BPF_K, 2);
    steps.add(BPF_MISC | BPF_TAX);
    steps.add(BPF_LD | BPF_MEM, 0);
    steps.require(BPF_JEQ | BPF_X);
    return steps.take();
}

// Bulk leaves both at their second step.
std::vector<sock_filter> ipv4_acks() {
    Steps steps;
    steps.load(BPF_H, ip(2));               // total length
    steps.refuse(BPF_JGT | BPF_K, 60 + 60); // two headers full of options
    steps.add(BPF_ST, 0);
    steps.load(BPF_B, ip(9));
    steps.require(BPF_JEQ | BPF_K, IPPROTO_TCP);
    steps.load(BPF_H, ip(6));
    steps.refuse(BPF_JSET | BPF_K, 0x3fff); // a fragment
    steps.load(BPF_B, ip(0));
    steps.add(BPF_ALU | BPF_AND | BPF_K, 0x0f);
    steps.add(BPF_ALU | BPF_LSH | BPF_K, 2);
    steps.add(BPF_MISC | BPF_TAX);
    steps.add(BPF_LD | BPF_MEM, 0);
    steps.add(BPF_ALU | BPF_SUB | BPF_X);
    steps.add(BPF_ST, 0);
    return only_acks(std::move(steps));
}

std::vector<sock_filter> ipv6_acks() {
    Steps steps;
    steps.load(BPF_H, ip(4)); // payload length
    steps.refuse(BPF_JGT | BPF_K, 60);
    steps.add(BPF_ST, 0);
    steps.load(BPF_B, ip(6));
    steps.require(BPF_JEQ | BPF_K, IPPROTO_TCP);
    steps.add(BPF_LDX | BPF_IMM, 40);
    return only_acks(std::move(steps));
}

TcFilter filter_of(uint32_t preference, uint16_t protocol, const std::vector<sock_filter>& code, uint32_t class_id) {
    return {.preference = preference,
            .handle = 1,
            .protocol = protocol,
            .kind = "bpf",
            .options = Attributes()
                           .put<uint32_t>(TCA_BPF_CLASSID, class_id)
                           .put(TCA_BPF_OPS_LEN, static_cast<uint16_t>(code.size()))
                           .put(TCA_BPF_OPS, code.data(), code.size() * sizeof(sock_filter))
                           .take()};
}

} // namespace

std::vector<TcFilter> pure_ack_filters(uint32_t class_id) {
    return {filter_of(first_queue_filter, ETH_P_IP, ipv4_acks(), class_id),
            filter_of(last_queue_filter, ETH_P_IPV6, ipv6_acks(), class_id)};
}

} // namespace kudo
