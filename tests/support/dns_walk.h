// SPDX-License-Identifier: MIT
// The walk of bpf/dns_answer.h through a message, without a kernel: what a program would learn from it.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <set>
#include <span>
#include <utility>

#include "bpf/dns_answer.h"
#include "bpf/learned.h"
#include "bpf/special.h"
#include "maps/net/prefix.h"

namespace kudo::test {

struct DnsWalk {
    uint32_t outcome = KUDO_ANSWER_NO_ADDRESS; // enum kudo_dns_outcome
    uint32_t unrelated = 0, special = 0;
    std::set<std::pair<Address, uint32_t>> addresses; // with their TTL
};

// The response to a query of that hash for a name under a domain. In memory of just the size that the programs have.
inline DnsWalk walk_of(std::span<const uint8_t> message, uint64_t query) {
    DnsWalk result;
    const auto memory = std::make_unique<std::array<uint8_t, KUDO_RESPONSE_BYTES>>();
    if (message.size() > memory->size()) return {.outcome = KUDO_ANSWER_TOO_LARGE, .addresses = {}};
    std::ranges::copy(message, memory->begin());
    kudo_dns_walk walk{};
    kudo_dns_name name{};
    const uint8_t* bytes = memory->data();
    if (!kudo_read_question_by(kudo_read_name, bytes, static_cast<uint32_t>(message.size()), &walk, &name)) {
        result.outcome = walk.failed;
        return result;
    }
    if (walk.query != query) {
        result.outcome = KUDO_ANSWER_WRONG_NAME;
        return result;
    }
    if (!kudo_has_dns_answers(bytes)) return result;
    for (uint32_t i = 0; i < std::min<uint32_t>(walk.left, KUDO_DNS_MAX_RECORDS); i++) {
        const int record = kudo_read_record_by(kudo_read_name, bytes, &walk, &name);
        if (record == KUDO_RECORD_BAD) {
            result.outcome = walk.failed;
            return result;
        }
        if (record == KUDO_RECORD_UNRELATED) result.unrelated++;
        if (record != KUDO_RECORD_ADDRESS) continue;
        const bool v4 = walk.type == KUDO_DNS_TYPE_A;
        if (v4 ? kudo_is_special4(kudo_swap32(walk.found[0])) : kudo_is_special6(walk.found)) {
            result.special++;
            continue;
        }
        result.addresses.emplace(Address::from_bytes(v4 ? Family::IPv4 : Family::IPv6, walk.found), walk.found_ttl);
        result.outcome = KUDO_ANSWER_LEARNED;
    }
    if (walk.left > KUDO_DNS_MAX_RECORDS) result.outcome = KUDO_ANSWER_LONG_CHAIN;
    return result;
}

} // namespace kudo::test
