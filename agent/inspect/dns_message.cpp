// SPDX-License-Identifier: MIT
#include "agent/inspect/dns_message.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <vector>

#include <ldns/ldns.h>

namespace kudo {
namespace {

constexpr std::size_t max_aliases = 16; // one behind the other; also ends a circle
constexpr std::size_t dns_header_size = 12, answer_count_at = 6, other_counts_at = 8; // RFC 1035 section 4.1.1

// The header and the answers alone, so that nothing else has to be parsed. Nothing: not worth it.
std::vector<uint8_t> without_other_sections(std::span<const uint8_t> message, std::size_t max_records) {
    if (message.size() < dns_header_size ||
        (std::size_t{message[answer_count_at]} << 8 | message[answer_count_at + 1]) > max_records)
        return {};
    std::vector<uint8_t> bytes(message.begin(), message.end());
    std::fill(bytes.begin() + other_counts_at, bytes.begin() + dns_header_size, uint8_t{0});
    return bytes;
}

// A name as bytes that compare like it. (Comparing two names by ldns takes the square of their labels.)
std::string comparable(const ldns_rdf* name) {
    std::string bytes;
    if (!name) return bytes;
    bytes.assign(reinterpret_cast<const char*>(ldns_rdf_data(name)), ldns_rdf_size(name));
    // Lengths of labels are below 'A'.
    std::ranges::transform(bytes, bytes.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c; });
    return bytes;
}

// As range maps write it. Nothing: it has other characters than a host's name; ldns shows a dot within a label, as all
// else that is unusual, behind a backslash.
std::optional<std::string> name_text(const ldns_rdf* name) {
    const std::unique_ptr<char, decltype(&std::free)> shown(ldns_rdf2str(name), std::free);
    if (!shown) return std::nullopt;
    std::string text = shown.get();
    if (text.ends_with('.')) text.pop_back();
    std::ranges::transform(text, text.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c; });
    constexpr std::string_view usual = "abcdefghijklmnopqrstuvwxyz0123456789-_.";
    if (text.find_first_not_of(usual) != std::string::npos) return std::nullopt;
    return text;
}

uint32_t ttl_of(const ldns_rr* record) {
    const uint32_t ttl = ldns_rr_ttl(record);
    return ttl >> 31 ? 0 : ttl;
}

std::optional<Address> address_of(const ldns_rr* record) {
    Address address;
    const ldns_rdf* data = ldns_rr_rdf(record, 0);
    address.family = ldns_rr_get_type(record) == LDNS_RR_TYPE_A ? Family::IPv4 : Family::IPv6;
    const std::size_t size = address.bits() / 8;
    if (!data || ldns_rdf_size(data) != size) return std::nullopt;
    std::memcpy(address.bytes.data(), ldns_rdf_data(data), size);
    return address;
}

} // namespace

std::optional<DnsAnswer> read_dns_answer(std::span<const uint8_t> message, std::size_t max_records) {
    const auto bytes = without_other_sections(message, max_records);
    ldns_pkt* made = nullptr;
    if (bytes.empty() || ldns_wire2pkt(&made, bytes.data(), bytes.size()) != LDNS_STATUS_OK) return std::nullopt;
    const std::unique_ptr<ldns_pkt, decltype(&ldns_pkt_free)> packet(made, ldns_pkt_free);
    const ldns_rr_list* questions = ldns_pkt_question(packet.get());
    if (!ldns_pkt_qr(packet.get()) || ldns_rr_list_rr_count(questions) != 1) return std::nullopt;
    const ldns_rr* question = ldns_rr_list_rr(questions, 0);
    if (ldns_rr_get_class(question) != LDNS_RR_CLASS_IN) return std::nullopt;
    auto name = name_text(ldns_rr_owner(question));
    if (!name || name->empty()) return std::nullopt;
    DnsAnswer answer{std::move(*name), {}, {}};

    const ldns_rr_list* records = ldns_pkt_answer(packet.get());
    const std::size_t count = ldns_rr_list_rr_count(records);
    std::vector<std::string> owners;
    for (std::size_t i = 0; i < count; ++i)
        owners.push_back(comparable(ldns_rr_owner(ldns_rr_list_rr(records, i))));
    std::string owner = comparable(ldns_rr_owner(question));
    uint32_t ttl = std::numeric_limits<uint32_t>::max(); // the least of the aliases'
    for (std::size_t alias = 0; !owner.empty() && alias < max_aliases; ++alias) {
        std::string next;
        uint32_t next_ttl = ttl;
        for (std::size_t i = 0; i < count; ++i) {
            const ldns_rr* record = ldns_rr_list_rr(records, i);
            const ldns_rr_type type = ldns_rr_get_type(record);
            if (ldns_rr_get_class(record) != LDNS_RR_CLASS_IN || owners[i] != owner) continue;
            if (type == LDNS_RR_TYPE_CNAME) {
                next = comparable(ldns_rr_rdf(record, 0));
                next_ttl = std::min(ttl, ttl_of(record));
            }
            if (type != LDNS_RR_TYPE_A && type != LDNS_RR_TYPE_AAAA) continue;
            const auto address = address_of(record);
            if (!address || std::ranges::find(answer.addresses, *address) != answer.addresses.end()) continue;
            answer.addresses.push_back(*address);
            answer.ttls.push_back(std::min(ttl, ttl_of(record)));
        }
        if (next == owner) break;
        owner = std::move(next);
        ttl = next_ttl;
    }
    return answer;
}

} // namespace kudo
