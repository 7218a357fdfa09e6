// SPDX-License-Identifier: MIT
#include "agent/inspect/dns_responses.h"

#include <algorithm>
#include <array>
#include <functional>
#include <span>
#include <string>

#include "agent/confined/process.h"
#include "agent/datapath/bpf_object.h"
#include "bpf/dns.h"
#include "maps/base/text.h"

namespace kudo {
namespace {

constexpr std::size_t max_responses = 128;

// By the hash of the question, which the message must have as well.
bool answers_question(uint64_t hash, const kudo_response& row) {
    std::array<uint8_t, KUDO_DNS_WINDOW> window{};
    const uint32_t seen = std::min<uint32_t>(row.length, KUDO_DNS_WINDOW);
    std::copy_n(row.message, seen, window.begin());
    kudo_dns_query query{};
    return kudo_read_dns_name(window.data(), seen, &query) && query.hash == hash;
}

// From there a line comes for each response: the name and its addresses, or nothing.
Result<void> parse_confined(std::vector<NamedResponse>& responses) {
    if (responses.empty()) return {};
    const std::string text = KUDO_TRY(compute_confined([&responses] {
        std::string lines;
        for (const NamedResponse& response : responses) {
            if (const auto answer = read_dns_answer({response.row.message, response.row.length})) {
                lines += answer->name;
                for (const Address& address : answer->addresses)
                    lines += ' ' + address.text();
            }
            lines += '\n';
        }
        return lines;
    }));
    const auto lines = split(text, '\n');
    if (lines.size() != responses.size() + 1) return fail("the answers of name servers could not be parsed");
    for (std::size_t row = 0; row < responses.size(); row++) {
        if (lines[row].empty()) continue;
        const auto words = split(lines[row], ' ');
        DnsAnswer& answer = responses[row].answer.emplace(DnsAnswer{escaped(words.front(), 255), {}, {}});
        for (const std::string_view word : std::span(words).subspan(1))
            answer.addresses.push_back(KUDO_TRY(Address::parse(word)));
    }
    return {};
}

} // namespace

Result<std::vector<NamedResponse>> read_responses(const DataPath& data_path) {
    std::vector<NamedResponse> responses;
    const auto take = [&responses](uint64_t hash, const kudo_response& row) {
        if (row.length <= sizeof row.message && answers_question(hash, row)) responses.push_back({hash, row, {}});
    };
    KUDO_TRY(
        for_each_entry<uint64_t, kudo_response>(data_path.maps().responses.get(), "the answers of name servers", take));
    std::ranges::sort(responses, std::greater{}, [](const NamedResponse& response) { return response.row.received; });
    if (responses.size() > max_responses) responses.resize(max_responses);
    KUDO_TRY(parse_confined(responses));
    return responses;
}

} // namespace kudo
