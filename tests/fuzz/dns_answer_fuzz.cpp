// SPDX-License-Identifier: MIT
// Any bytes as a DNS response: what is learned from it is in it, and the work ends.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "tests/support/dns_walk.h"

namespace {

void require(bool what) {
    if (!what) std::abort();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
    const std::span<const uint8_t> message(data, size);
    if (size < KUDO_DNS_HEADER || !kudo_is_dns_response(data)) return 0;
    // Of what it asks itself: else hardly any input would get further than the question.
    uint64_t query = 0;
    if (size <= KUDO_RESPONSE_BYTES) {
        std::array<uint8_t, KUDO_RESPONSE_BYTES> memory{};
        std::ranges::copy(message, memory.begin());
        kudo_dns_walk walk{};
        kudo_dns_name name{};
        if (kudo_read_question_by(kudo_read_name, memory.data(), static_cast<uint32_t>(size), &walk, &name))
            query = walk.query;
        require(walk.work <= KUDO_DNS_MAX_WORK + 1);
    }
    const kudo::test::DnsWalk result = kudo::test::walk_of(message, query);
    require(result.outcome < KUDO_ANSWER_END);
    require(result.outcome != KUDO_ANSWER_LEARNED || !result.addresses.empty());
    require(result.addresses.size() + result.special + result.unrelated <= KUDO_DNS_MAX_RECORDS);
    for (const auto& [address, ttl] : result.addresses) {
        const std::span<const uint8_t> bytes(address.bytes.data(), address.bits() / 8);
        require(std::search(message.begin(), message.end(), bytes.begin(), bytes.end()) != message.end());
        require(ttl >> 31 == 0);
    }
    return 0;
}
