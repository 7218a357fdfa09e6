// SPDX-License-Identifier: MIT
#include "agent/inspect/learned_names.h"

#include <algorithm>
#include <array>
#include <map>
#include <tuple>

#include "agent/datapath/bpf_object.h"
#include "agent/datapath/generation.h"
#include "agent/datapath/slot_names.h"
#include "agent/inspect/dns_responses.h"
#include "agent/system/uptime.h"
#include "bpf/judge.h"
#include "maps/compile/domains.h"

namespace kudo {
namespace {

template <std::size_t Size> Result<void> read_rows(int fd, Family family, std::map<Address, kudo_learned>& rows) {
    return for_each_entry<std::array<uint8_t, Size>, kudo_learned>(
        fd, "the learned addresses", [&](const std::array<uint8_t, Size>& key, const kudo_learned& learned) {
            rows[Address::from_bytes(family, key.data())] = learned;
        });
}

std::vector<std::string> services_of(const SlotNames& names, const kudo_domain& domain) {
    std::vector<std::string> services;
    for (const uint8_t slot : domain.services)
        if (slot != 0) services.push_back(names[slot % KUDO_MAX_SERVICES].name);
    return services;
}

} // namespace

Result<std::vector<LearnedName>> read_learned_names(const DataPath& data_path, const std::optional<Address>& only) {
    std::map<Address, kudo_learned> rows;
    KUDO_TRY(read_rows<4>(data_path.maps().learned4.get(), Family::IPv4, rows));
    KUDO_TRY(read_rows<16>(data_path.maps().learned6.get(), Family::IPv6, rows));
    if (only) std::erase_if(rows, [&only](const auto& row) { return row.first != *only; });
    std::vector<LearnedName> names;
    if (rows.empty()) return names;

    const ActivePolicy active = KUDO_TRY(read_active(data_path.maps()));
    const SlotNames slots = KUDO_TRY(read_slot_names(data_path.maps()));
    const auto responses = KUDO_TRY(read_responses(data_path));
    const uint64_t now = kernel_boot_time();
    for (const auto& [address, learned] : rows) {
        for (const kudo_learned_name& row : learned.names) {
            if (row.domain == 0 || row.until <= now) continue;
            LearnedName& name = names.emplace_back();
            name.address = address;
            name.row = row;
            if (const kudo_domain* domain = kudo_find_domain(active.compiled.policy.get(), row.domain)) {
                name.domain = domain_text(*domain);
                name.services = services_of(slots, *domain);
            }
            name.until =
                std::chrono::system_clock::now() + std::chrono::duration_cast<std::chrono::system_clock::duration>(
                                                       std::chrono::nanoseconds(row.until - now));
            const auto response = std::ranges::find(responses, row.query, &NamedResponse::query);
            if (!name.domain.starts_with("*.")) name.name = name.domain;
            if (response == responses.end() || !response->answer) continue;
            name.name = response->answer->name;
            const auto& given = response->answer->addresses;
            if (std::ranges::find(given, address) == given.end()) continue;
            name.server =
                Address::from_bytes(response->row.family == 4 ? Family::IPv4 : Family::IPv6, response->row.server);
            name.by_service = response->row.interface == 0;
        }
    }
    if (only) return names;
    std::ranges::sort(names, [](const LearnedName& a, const LearnedName& b) {
        return std::tie(a.name, a.address) < std::tie(b.name, b.address);
    });
    return names;
}

kudo_judgement judge_packet(const kudo_policy& policy, const kudo_match* match, const std::vector<LearnedName>& names,
                            uint8_t protocol, uint16_t port) {
    kudo_judgement judgement = kudo_judge(&policy, match, protocol, port, 0);
    for (const LearnedName& name : names)
        if (judgement.reason == KUDO_REASON_STRANGER)
            judgement = kudo_judge_learned_name(&policy, &name.row, kernel_boot_time(), protocol, port);
    return judgement;
}

} // namespace kudo
