// SPDX-License-Identifier: MIT
#include "agent/names/learned_tables.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "agent/datapath/clock.h"
#include "agent/datapath/generation.h"
#include "agent/inspect/name_explanation.h"
#include "agent/netlink/interfaces.h"
#include "agent/system/uptime.h"
#include "bpf/dns.h"
#include "bpf/learned.h"
#include "bpf/special.h"
#include "maps/base/text.h"
#include "maps/document/domain.h"

namespace kudo {
namespace {

// A program enters the same a little earlier.
constexpr uint64_t same_time = 30'000'000'000; // ns

void append16(std::vector<uint8_t>& bytes, unsigned number) {
    bytes.push_back(static_cast<uint8_t>(number >> 8));
    bytes.push_back(static_cast<uint8_t>(number));
}

// A response to that lookup as the programs keep it, with as many of its addresses as fit: only who gave them is asked
// of it later (learned_names.h).
std::vector<uint8_t> response_of(const Lookup& lookup) {
    const std::size_t size = lookup.ipv6 ? 16 : 4, record = 12 + size;
    const std::size_t question = lookup.name.size() + 2 + 4;
    const std::size_t count = std::min(
        {lookup.addresses.size(), max_dns_records, (KUDO_RESPONSE_BYTES - KUDO_DNS_HEADER - question) / record});
    std::vector<uint8_t> bytes;
    for (const unsigned number : {0U, KUDO_DNS_RESPONSE + 0U, 1U, static_cast<unsigned>(count), 0U, 0U})
        append16(bytes, number);
    for (const std::string_view label : split(lookup.name, '.')) {
        bytes.push_back(static_cast<uint8_t>(label.size()));
        bytes.insert(bytes.end(), label.begin(), label.end());
    }
    bytes.push_back(0);
    const unsigned type = lookup.ipv6 ? KUDO_DNS_TYPE_AAAA : KUDO_DNS_TYPE_A;
    append16(bytes, type);
    append16(bytes, KUDO_DNS_CLASS_IN);
    for (std::size_t at = 0; at < count; at++) {
        append16(bytes, 0xc000 | KUDO_DNS_HEADER);
        append16(bytes, type);
        append16(bytes, KUDO_DNS_CLASS_IN);
        append16(bytes, lookup.ttls[at] >> 16);
        append16(bytes, lookup.ttls[at] & 0xffff);
        append16(bytes, static_cast<unsigned>(size));
        const auto& address = lookup.addresses[at].bytes;
        bytes.insert(bytes.end(), address.begin(), address.begin() + static_cast<long>(size));
    }
    return bytes;
}

} // namespace

Result<LearnedTables> LearnedTables::open(DataPath& data_path) {
    auto filter = KUDO_TRY(Mapped<Filter>::map(data_path.maps().learned_filter.get(), "the learned addresses' filter"));
    auto policy = KUDO_TRY(read_active_policy(data_path.maps()));
    auto own = KUDO_TRY(own_addresses());
    return LearnedTables(data_path, std::move(filter), policy, std::move(own));
}

bool LearnedTables::is_refused(const Address& address) const {
    if (std::ranges::find(own_, address) != own_.end()) return true;
    std::array<__be32, 4> words{};
    std::memcpy(words.data(), address.bytes.data(), address.bits() / 8);
    return address.family == Family::IPv4 ? kudo_is_special4(kudo_swap32(words[0])) : kudo_is_special6(words.data());
}

template <typename Key>
Result<bool> LearnedTables::enter_one(int fd, const Key& key, uint64_t domain, uint64_t query, uint32_t ttl) {
    kudo_learned learned{};
    if (bpf_map_lookup_elem(fd, key.data(), &learned) != 0 && errno != ENOENT)
        return fail_errno("cannot read the learned addresses");
    const uint64_t now = kernel_boot_time(), until = now + kudo_learned_time(ttl);
    for (const kudo_learned_name& name : learned.names)
        if (name.domain == domain && name.until + same_time >= until) return false;
    std::array<__be32, 4> words{};
    std::memcpy(words.data(), key.data(), key.size());
    // Before the table, so that no packet finds the address behind a filter that denies it.
    const uint32_t byte = key.size() == 4 ? kudo_learned_byte4(words[0]) : kudo_learned_byte6(words.data());
    __atomic_store_n(&(*filter_)[byte % KUDO_LEARNED_FILTER], uint8_t{1}, __ATOMIC_RELEASE);
    kudo_add_learned(&learned, domain, query, now, ttl);
    if (bpf_map_update_elem(fd, key.data(), &learned, BPF_ANY) != 0)
        return fail_errno("cannot enter a learned address");
    return true;
}

Result<void> LearnedTables::keep_response(const Lookup& lookup, uint64_t query) {
    const auto clock = KUDO_TRY(TickClock::read(data_path_));
    const auto bytes = response_of(lookup);
    kudo_response response{};
    response.received = clock.now();
    response.interface = 0; // none: the service has it
    response.length = static_cast<uint32_t>(bytes.size());
    response.family = lookup.server.family == Family::IPv4 ? 4 : 6;
    std::memcpy(response.server, lookup.server.bytes.data(), lookup.server.bits() / 8);
    std::ranges::copy(bytes, response.message);
    if (bpf_map_update_elem(data_path_.maps().responses.get(), &query, &response, BPF_ANY) != 0)
        return fail_errno("cannot keep a name server's answer");
    return {};
}

Result<LearnedTables::Entered> LearnedTables::enter(const Lookup& lookup) {
    Entered entered;
    const uint64_t domain = domain_key(lookup.name);
    if (!kudo_find_domain(&policy_, domain)) return entered; // another range map has come meanwhile
    const uint64_t query = query_hash(lookup.name, lookup.ipv6);
    const auto& maps = data_path_.maps();
    for (std::size_t at = 0; at < lookup.addresses.size(); at++) {
        const Address& address = lookup.addresses[at];
        if (is_refused(address)) {
            entered.special++;
            continue;
        }
        std::array<uint8_t, 4> key4{};
        std::array<uint8_t, 16> key6{};
        std::copy_n(address.bytes.begin(), key4.size(), key4.begin());
        std::copy_n(address.bytes.begin(), key6.size(), key6.begin());
        const bool is_new = address.family == Family::IPv4
                                ? KUDO_TRY(enter_one(maps.learned4.get(), key4, domain, query, lookup.ttls[at]))
                                : KUDO_TRY(enter_one(maps.learned6.get(), key6, domain, query, lookup.ttls[at]));
        entered.addresses += is_new ? 1 : 0;
    }
    if (entered.addresses != 0) KUDO_TRY(keep_response(lookup, query));
    return entered;
}

} // namespace kudo
