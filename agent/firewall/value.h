// SPDX-License-Identifier: MIT
// What an expression is worth for a packet, and what sets say of it, in three-valued logic.
// Invariant: Yes and No hold for every packet that fits the facts.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "agent/firewall/model.h"
#include "agent/firewall/packet_facts.h"

namespace kudo::firewall {

enum class Truth { No, Unknown, Yes };

struct Value {
    enum class Kind {
        Unknown,
        Absent, // the packet has no such field: the rule ends here
        Number,
        Name,
    };
    Kind kind = Kind::Unknown;
    Number number = 0;
    std::string_view name{}; // of the facts, which outlive it

    static Value of(Number number) { return {Kind::Number, number, {}}; }
    static Value named(std::string_view name) { return {Kind::Name, 0, name}; }
    bool operator==(const Value&) const = default;
};

// What of a packet may change between the hooks.
struct PacketState {
    Value source, destination, source_port, destination_port, mark, dscp, conntrack;
    bool operator==(const PacketState&) const = default;
};
PacketState first_state(const PacketFacts& facts);
// Both may be: what differs is not known.
PacketState merged(const PacketState& one, const PacketState& other);

struct Place {
    const PacketFacts& facts;
    const PacketState& state;
    const Chain& base;
};
// Of what is no concatenation.
Value single_value(const Expression& expression, const Place& place);
// One value; of a concatenation one for each field.
std::vector<Value> evaluate(const Expression& expression, const Place& place);

// Which elements of a set or map it can be.
struct Lookup {
    std::vector<const Element*> possible; // one alone if it is sure
    bool always = false;                  // one of them holds the value, whatever it is
};
Lookup look_up(const Set* set, const std::vector<Value>& values);

// Of a match: Absent is No.
Truth holds(const Statement& match, const std::vector<Value>& values);

} // namespace kudo::firewall
