// SPDX-License-Identifier: MIT
// DNS messages as they are on the wire (RFC 1035).
// Invariant: nothing is checked: what a test asks for is what it gets.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bpf/dns.h"
#include "maps/net/prefix.h"
#include "tests/support/packet_builder.h"

namespace kudo::test {

inline void append16(Bytes& bytes, unsigned number) {
    bytes.push_back(static_cast<uint8_t>(number >> 8));
    bytes.push_back(static_cast<uint8_t>(number));
}

// "live.kudoway.ca": its labels, each behind its length, and a zero.
inline Bytes dns_name(std::string_view text) {
    Bytes bytes;
    while (!text.empty()) {
        const std::string_view label = text.substr(0, text.find('.'));
        bytes.push_back(static_cast<uint8_t>(label.size()));
        bytes.insert(bytes.end(), label.begin(), label.end());
        text.remove_prefix(std::min(text.size(), label.size() + 1));
    }
    bytes.push_back(0);
    return bytes;
}

inline Bytes dns_header(uint16_t id, unsigned flags, unsigned questions, unsigned answers) {
    Bytes bytes;
    for (const unsigned number : {unsigned{id}, flags, questions, answers, 0U, 0U})
        append16(bytes, number);
    return bytes;
}

inline Bytes dns_question(std::string_view name, uint16_t id = 7, unsigned type = KUDO_DNS_TYPE_A,
                          unsigned flags = 0x0100, unsigned answers = 0) {
    Bytes bytes = dns_header(id, flags, 1, answers);
    const Bytes owner = dns_name(name);
    bytes.insert(bytes.end(), owner.begin(), owner.end());
    append16(bytes, type);
    append16(bytes, KUDO_DNS_CLASS_IN);
    return bytes;
}

// A record of an answer: of an address (A, AAAA), or of a name (CNAME).
struct DnsRecord {
    std::string owner, data;
};

inline Bytes dns_answer(std::string_view name, const std::vector<DnsRecord>& records, uint16_t id = 7,
                        unsigned type = KUDO_DNS_TYPE_A, unsigned flags = 0x8180) {
    Bytes bytes = dns_question(name, id, type, flags, static_cast<unsigned>(records.size()));
    for (const DnsRecord& record : records) {
        const Bytes owner = dns_name(record.owner);
        bytes.insert(bytes.end(), owner.begin(), owner.end());
        const auto address = Address::parse(record.data);
        const bool ipv4 = address && address->family == Family::IPv4;
        append16(bytes, !address ? 5 : ipv4 ? KUDO_DNS_TYPE_A : KUDO_DNS_TYPE_AAAA);
        append16(bytes, KUDO_DNS_CLASS_IN);
        append16(bytes, 0); // 60 s
        append16(bytes, 60);
        const Bytes data = address ? Bytes(address->bytes.begin(), address->bytes.begin() + address->bits() / 8)
                                   : dns_name(record.data);
        append16(bytes, static_cast<unsigned>(data.size()));
        bytes.insert(bytes.end(), data.begin(), data.end());
    }
    return bytes;
}

// As much work as a message of `records` answers can make: aliases of themselves, with names of 127 labels of which all
// but the first point at one before them.
inline Bytes dns_labyrinth(std::string_view name, unsigned records, uint16_t id = 7) {
    Bytes bytes = dns_question(name, id, KUDO_DNS_TYPE_A, 0x8180, records);
    Bytes longest;
    for (int label = 0; label < 127; label++) {
        longest.push_back(1);
        longest.push_back('a');
    }
    longest.push_back(0);
    const auto first = static_cast<unsigned>(bytes.size());
    for (unsigned record = 0; record < records; record++) {
        if (record == 0)
            bytes.insert(bytes.end(), longest.begin(), longest.end());
        else
            append16(bytes, 0xc000 | first);
        for (const unsigned number : {5U, KUDO_DNS_CLASS_IN + 0U, 0U, 60U, 2U, 0xc000U | first})
            append16(bytes, number);
    }
    // The name that was asked for is an alias of it.
    return bytes;
}

} // namespace kudo::test
