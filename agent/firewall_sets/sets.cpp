// SPDX-License-Identifier: MIT
#include "agent/firewall_sets/sets.h"

#include <nftables/libnftables.h>

#include <algorithm>
#include <optional>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "agent/firewall/json.h"
#include "agent/firewall/nftables.h"
#include "maps/base/text.h"
#include "maps/document/coverage.h"

namespace kudo {
namespace {

using firewall::at;
using firewall::Json;
using firewall::number_at;
using firewall::text_at;

constexpr std::size_t set_count = firewall_set_names.size();
constexpr std::array<const char*, set_count> set_types{"ipv4_addr",
                                                       "ipv6_addr",
                                                       "ipv4_addr . inet_proto . inet_service",
                                                       "ipv6_addr . inet_proto . inet_service",
                                                       "ipv4_addr . inet_service",
                                                       "ipv4_addr . inet_service",
                                                       "ipv6_addr . inet_service",
                                                       "ipv6_addr . inet_service"};
// Somebody else may change the table between reading and writing: how often it is read again.
constexpr int attempts = 3;

std::string name_of_set(std::size_t set) {
    return fmt::format("inet {} {}", firewall_table, firewall_set_names[set]);
}

// {"prefix": {"addr", "len"}}, {"range": [first, last]}, or an address.
std::optional<SetElement> read_addresses(const Json& json) {
    const auto address_in = [](const Json& text) -> std::optional<Address> {
        if (!text.is_string()) return std::nullopt;
        auto address = Address::parse(text.get<std::string>());
        return address ? std::optional(*address) : std::nullopt;
    };
    SetElement element;
    std::optional<Address> first, last;
    if (const Json& prefix = at(json, "prefix"); !prefix.is_null()) {
        const auto parsed =
            Prefix::parse(fmt::format("{}/{}", text_at(prefix, "addr"), number_at(prefix, "len").value_or(-1)));
        if (!parsed) return std::nullopt;
        first = parsed->address;
        last = last_of(*parsed);
    } else if (const Json& range = at(json, "range"); range.is_array() && range.size() == 2) {
        first = address_in(range[0]);
        last = address_in(range[1]);
    } else {
        first = last = address_in(json);
    }
    if (!first || !last) return std::nullopt;
    element.first = *first;
    element.last = *last;
    return element;
}

std::optional<SetElement> read_element(const Json& json) {
    const Json& element = firewall::has(json, "elem") ? at(at(json, "elem"), "val") : json; // with a comment or counter
    const Json& concat = at(element, "concat");
    if (!concat.is_array()) return read_addresses(element);
    const bool has_protocol = concat.size() == 3;
    if ((!has_protocol && concat.size() != 2) || !concat[1].is_number_integer() || !concat.back().is_number_integer())
        return std::nullopt;
    auto result = read_addresses(concat[0]);
    if (!result) return std::nullopt;
    if (has_protocol) result->protocol = concat[1].get<uint8_t>();
    result->port = concat.back().get<uint16_t>();
    return result;
}

bool has_type(const Json& set, std::size_t number) {
    const Json& type = at(set, "type");
    std::string words;
    if (type.is_array())
        for (const Json& part : type)
            words += (words.empty() ? "" : " . ") + (part.is_string() ? part.get<std::string>() : "");
    else if (type.is_string())
        words = type.get<std::string>();
    const Json& flags = at(set, "flags");
    return words == set_types[number] && flags.is_array() && std::ranges::find(flags, Json("interval")) != flags.end();
}

Result<void> read_set(const Json& set, FirewallSetsThere& there) {
    const auto name = std::ranges::find(firewall_set_names, text_at(set, "name"));
    if (name == firewall_set_names.end()) {
        there.others = true;
        return {};
    }
    const auto number = static_cast<std::size_t>(name - firewall_set_names.begin());
    there.present[number] = true;
    there.foreign[number] = !has_type(set, number);
    if (there.foreign[number]) return {};
    for (const Json& json : at(set, "elem")) {
        const auto element = read_element(json);
        if (!element)
            return fail(fmt::format("nftables' set {} has an element that is not understood: {}", name_of_set(number),
                                    escaped(json.dump(), 100)));
        there.elements[number].push_back(*element);
    }
    return {};
}

void read_rule(const Json& rule, FirewallSetsThere& there) {
    const std::string text = at(rule, "expr").dump();
    for (std::size_t set = 0; set < set_count; set++)
        if (text.find(fmt::format("\"@{}\"", firewall_set_names[set])) != std::string::npos)
            there.rules[set].push_back(fmt::format("inet {} {} handle {}", firewall_table, text_at(rule, "chain"),
                                                   number_at(rule, "handle").value_or(0)));
}

std::string elements_text(const SetElements& elements) {
    std::string text;
    for (const SetElement& element : elements)
        text += (text.empty() ? "" : ", ") + element.text();
    return text;
}

// The commands of one transaction.
std::string commands_for(const FirewallSetsThere& there, const FirewallSets& desired,
                         SetEdit (*edit)(const SetElements&, const SetElements&)) {
    std::string commands;
    if (!there.table) commands += fmt::format("add table inet {}\n", firewall_table);
    for (std::size_t set = 0; set < set_count; set++) {
        if (!there.present[set])
            commands += fmt::format("add set {} {{ type {}; flags interval; }}\n", name_of_set(set), set_types[set]);
        const SetEdit change = edit(there.elements[set], desired[set]);
        if (!change.remove.empty())
            commands += fmt::format("delete element {} {{ {} }}\n", name_of_set(set), elements_text(change.remove));
        if (!change.add.empty())
            commands += fmt::format("add element {} {{ {} }}\n", name_of_set(set), elements_text(change.add));
    }
    return commands;
}

// Reads, and does what `commands` makes of it, until nobody comes in between.
template <typename Commands> Result<bool> change_sets(Commands commands) {
    for (int attempt = 1;; attempt++) {
        const auto there = KUDO_TRY(read_firewall_sets());
        const std::string text = KUDO_TRY(commands(there));
        if (text.empty()) return false;
        const auto done = run_nftables(text);
        if (done) return true;
        if (attempt == attempts || done.error().kind == ErrorKind::NotPermitted)
            return fail(Error(done.error()).in("nftables refuses the sets in table inet kudo_agent"));
    }
}

Result<void> check_none_is_foreign(const FirewallSetsThere& there) {
    for (std::size_t set = 0; set < set_count; set++)
        if (there.foreign[set])
            return fail(fmt::format("nftables' set {} is not of type {} with flags interval: rename it, or declare it "
                                    "so",
                                    name_of_set(set), set_types[set]));
    return {};
}

Result<bool> edit_sets(const FirewallSets& desired, SetEdit (*edit)(const SetElements&, const SetElements&)) {
    return change_sets([&](const FirewallSetsThere& there) -> Result<std::string> {
        KUDO_TRY(check_none_is_foreign(there));
        return commands_for(there, desired, edit);
    });
}

} // namespace

bool FirewallSetsThere::any() const {
    for (std::size_t set = 0; set < set_count; set++)
        if (present[set] && !foreign[set]) return true;
    return false;
}

Result<FirewallSetsThere> read_firewall_sets() {
    FirewallSetsThere there;
    const auto listed = run_nftables(fmt::format("list table inet {}", firewall_table),
                                     NFT_CTX_OUTPUT_JSON | NFT_CTX_OUTPUT_HANDLE | NFT_CTX_OUTPUT_NUMERIC_ALL);
    if (!listed && listed.error().number == ENOENT) return there;
    if (!listed) return fail(Error(listed.error()).in("cannot read nftables' table inet kudo_agent"));
    const Json document = Json::parse(*listed, nullptr, false);
    there.table = true;
    for (const Json& object : at(document, "nftables")) {
        if (const Json& set = at(object, "set"); !set.is_null())
            KUDO_TRY(read_set(set, there));
        else if (const Json& rule = at(object, "rule"); !rule.is_null())
            read_rule(rule, there);
        if (!firewall::has(object, "set") && !firewall::has(object, "table") && !firewall::has(object, "metainfo"))
            there.others = true;
    }
    return there;
}

std::string firewall_difference(const FirewallSetsThere& there, const FirewallSets& desired) {
    if (const auto foreign = check_none_is_foreign(there); !foreign) return foreign.error().message;
    std::string text;
    for (std::size_t set = 0; set < set_count; set++) {
        if (!there.present[set]) {
            add_clause(text, fmt::format("{} is not there", firewall_set_names[set]));
            continue;
        }
        const SetElements actual = merged(there.elements[set]);
        if (actual == desired[set]) continue;
        const bool lacks = !widening(actual, desired[set]).empty(), has_more = !widening(desired[set], actual).empty();
        add_clause(text, fmt::format("{} {}", firewall_set_names[set],
                                     lacks && has_more ? "lacks ranges of the policy, and has others"
                                     : lacks           ? "lacks ranges of the policy"
                                                       : "has ranges that the policy has not"));
    }
    return text.empty() ? text : "nftables' sets in table inet kudo_agent are not as desired: " + text;
}

Result<bool> widen_firewall_sets(const FirewallSets& desired) {
    return edit_sets(desired, widening);
}

Result<bool> ensure_firewall_sets(const FirewallSets& desired) {
    return edit_sets(desired, correction);
}

Result<RemovedFirewallSets> remove_firewall_sets() {
    RemovedFirewallSets removed;
    removed.any = KUDO_TRY(change_sets([&](const FirewallSetsThere& there) -> Result<std::string> {
        removed.kept.clear();
        bool all = !there.others;
        std::string commands;
        for (std::size_t set = 0; set < set_count; set++) {
            all &= !there.foreign[set];
            if (!there.present[set] || there.foreign[set]) continue;
            if (there.rules[set].empty()) {
                commands += fmt::format("delete set {}\n", name_of_set(set));
                continue;
            }
            if (!there.elements[set].empty()) commands += fmt::format("flush set {}\n", name_of_set(set));
            removed.kept.push_back(fmt::format("nftables' set {} is empty and stays, because rules refer to it: {}",
                                               name_of_set(set), fmt::join(there.rules[set], ", ")));
        }
        if (there.table && all) commands += fmt::format("delete table inet {}\n", firewall_table);
        return commands;
    }));
    return removed;
}

} // namespace kudo
