// SPDX-License-Identifier: MIT
// Rulesets as nft 1.0.6 prints them in JSON, put together from pieces, and a packet of a call that meets them.
#pragma once

#include <stdexcept>
#include <string>

#include <fmt/format.h>

#include "agent/firewall/dropping_rule.h"
#include "tests/support/media_packet.h"

namespace kudo::test {

using Certainty = RuleVerdict::Certainty;

inline Address address(const char* text) {
    return Address::parse(text).value();
}

// A packet of a call, coming in.
inline PacketFacts media() {
    PacketFacts facts = media_packet();
    facts.packet_type = 0;
    facts.ct_states = CtEstablished;
    return facts;
}

inline std::string object(const char* kind, const std::string& body) {
    return fmt::format(R"(,{{"{}":{{"family":"inet","table":"t",{}}}}})", kind, body);
}
inline std::string chain(const std::string& name, const std::string& more = {}) {
    return object("chain", fmt::format(R"("name":"{}","handle":1{})", name, more));
}
inline std::string base(const std::string& name, const char* hook, int priority, const char* policy = "accept") {
    return chain(name, fmt::format(R"(,"type":"filter","hook":"{}","prio":{},"policy":"{}")", hook, priority, policy));
}
inline std::string rule(const std::string& chain, unsigned handle, const std::string& expressions) {
    return object("rule", fmt::format(R"("chain":"{}","handle":{},"expr":[{}])", chain, handle, expressions));
}
inline Ruleset ruleset(const std::string& objects, const std::string& text = {}) {
    RulesetText all;
    all.json = R"({"nftables":[{"metainfo":{"version":"1.0.6"}},{"table":{"family":"inet","name":"t","handle":1}})" +
               objects + "]}";
    all.text = text;
    auto result = parse_ruleset(all);
    if (!result) throw std::runtime_error(result.error().message);
    return *result;
}
inline const std::string drop = R"({"drop":null})", accept = R"({"accept":null})";

inline std::string names(const RuleVerdict& verdict) {
    std::string text;
    for (const DropPoint& point : verdict.points)
        text += (text.empty() ? "" : ", ") + name_of(point);
    return verdict.certainty == Certainty::Certain ? text : verdict.points.empty() ? "none" : "one of: " + text;
}

inline std::string match(const char* left, const char* right, const char* op = "==") {
    return fmt::format(R"({{"match":{{"op":"{}","left":{},"right":{}}}}})", op, left, right);
}
inline std::string payload(const char* protocol, const char* field, const char* right, const char* op = "==") {
    return match(fmt::format(R"({{"payload":{{"protocol":"{}","field":"{}"}}}})", protocol, field).c_str(), right, op);
}
inline std::string meta(const char* key, const char* right, const char* op = "==") {
    return match(fmt::format(R"({{"meta":{{"key":"{}"}}}})", key).c_str(), right, op);
}

} // namespace kudo::test
