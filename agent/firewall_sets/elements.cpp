// SPDX-License-Identifier: MIT
#include "agent/firewall_sets/elements.h"

#include <netinet/in.h>

#include <algorithm>
#include <span>
#include <tuple>

#include <fmt/format.h>

#include "maps/document/coverage.h"

namespace kudo {
namespace {

bool same_key(const SetElement& a, const SetElement& b) {
    return a.protocol == b.protocol && a.port == b.port;
}

// The address one higher or lower; nothing behind the family's ends.
std::optional<Address> step(Address address, int by) {
    for (std::size_t byte = address.bits() / 8; byte-- > 0;) {
        const uint8_t before = address.bytes[byte];
        address.bytes[byte] = static_cast<uint8_t>(before + by);
        if (before != (by > 0 ? 0xff : 0)) return address;
    }
    return std::nullopt;
}

// The parts of `element` that `cover`, which is sorted and without overlaps, covers, or those that it does not.
enum class Parts { Inside, Outside };
void add_parts(const SetElement& element, std::span<const SetElement> cover, Parts wanted, SetElements& parts) {
    auto other = std::ranges::lower_bound(cover, element, [](const SetElement& a, const SetElement& b) {
        return std::tie(a.protocol, a.port, a.last) < std::tie(b.protocol, b.port, b.first);
    });
    std::optional<Address> next = element.first; // up to where it is done
    const auto add = [&](Parts kind, const Address& first, const Address& last) {
        if (kind == wanted) parts.push_back({element.protocol, element.port, first, last});
    };
    for (; other != cover.end() && same_key(*other, element) && other->first <= element.last && next; ++other) {
        const Address first = std::max(other->first, *next), last = std::min(other->last, element.last);
        if (*next < first) add(Parts::Outside, *next, *step(first, -1));
        add(Parts::Inside, first, last);
        next = step(last, 1);
    }
    if (next && *next <= element.last) add(Parts::Outside, *next, element.last);
}

// The sets of one family.
struct FamilySets {
    SetElements &ranges, &services, &tcp, &udp;
};

void add_prefix(const Prefix& prefix, const kudo_match& match, const kudo_policy& policy, const FamilySets& sets) {
    const SetElement range{.first = prefix.address, .last = last_of(prefix)};
    for (const kudo_candidate& candidate : match.candidates) {
        if (candidate.service == 0) break;
        for (const kudo_port_rule& rule : policy.services[candidate.service].ports) {
            if (rule.protocol == 0) break;
            sets.services.push_back({rule.protocol, rule.port, range.first, range.last});
            SetElements& of_protocol = rule.protocol == IPPROTO_TCP ? sets.tcp : sets.udp;
            of_protocol.push_back({0, rule.port, range.first, range.last});
        }
        if (sets.ranges.empty() || sets.ranges.back() != range) sets.ranges.push_back(range);
    }
}

template <typename Key> Prefix prefix_of_key(Family family, const Key& key) {
    return {Address::from_bytes(family, &key.address), static_cast<uint8_t>(key.prefix_length)};
}

} // namespace

std::string SetElement::text() const {
    std::string text = first.text();
    if (first != last) text += "-" + last.text();
    if (protocol != 0) text += fmt::format(" . {}", protocol);
    if (port != 0) text += fmt::format(" . {}", port);
    return text;
}

FirewallSets firewall_sets_of(const CompiledPolicy& compiled) {
    FirewallSets sets;
    const FamilySets ipv4{sets[0], sets[2], sets[4], sets[5]}, ipv6{sets[1], sets[3], sets[6], sets[7]};
    for (const auto& [key, match] : compiled.entries4)
        add_prefix(prefix_of_key(Family::IPv4, key), match, *compiled.policy, ipv4);
    for (const auto& [key, match] : compiled.entries6)
        add_prefix(prefix_of_key(Family::IPv6, key), match, *compiled.policy, ipv6);
    for (SetElements& set : sets)
        set = merged(std::move(set));
    return sets;
}

SetElements merged(SetElements elements) {
    std::ranges::sort(elements);
    SetElements result;
    for (const SetElement& element : elements) {
        if (!result.empty() && same_key(result.back(), element)) {
            const auto behind = step(result.back().last, 1);
            if (!behind || element.first <= *behind) {
                result.back().last = std::max(result.back().last, element.last);
                continue;
            }
        }
        result.push_back(element);
    }
    return result;
}

SetEdit widening(const SetElements& present, const SetElements& desired) {
    const SetElements cover = merged(present);
    SetEdit edit;
    for (const SetElement& element : desired)
        add_parts(element, cover, Parts::Outside, edit.add);
    return edit;
}

SetEdit correction(const SetElements& present, const SetElements& desired) {
    SetEdit edit = widening(present, desired);
    for (const SetElement& element : present) {
        SetElements stays;
        add_parts(element, desired, Parts::Inside, stays);
        if (stays.size() == 1 && stays.front() == element) continue;
        edit.remove.push_back(element);
        edit.add.insert(edit.add.end(), stays.begin(), stays.end());
    }
    return edit;
}

} // namespace kudo
