// SPDX-License-Identifier: MIT
// Any bytes as nftables' JSON, and as what iptables-save prints: read, and asked which rule drops a packet.
#include <netinet/in.h>

#include <cstdint>
#include <cstdlib>
#include <string>

#include "agent/firewall/dropping_rule.h"
#include "tests/support/media_packet.h"

using namespace kudo;

namespace {

PacketFacts media(bool known) {
    const PacketFacts whole = test::media_packet();
    if (known) return whole;
    PacketFacts facts;
    facts.protocol = whole.protocol;
    facts.source = whole.source;
    facts.destination = whole.destination;
    return facts;
}

void ask(const Result<Ruleset>& ruleset) {
    if (!ruleset) return;
    for (const bool known : {true, false}) {
        const RuleVerdict verdict = find_dropping_rule(*ruleset, media(known), {.drops = 3, .before = &*ruleset});
        if ((verdict.certainty == RuleVerdict::Certainty::Certain) && verdict.points.size() != 1) abort();
        for (const DropPoint& point : verdict.points)
            (void)name_of(point);
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
    const std::string text(reinterpret_cast<const char*>(data), size);
    if (text.starts_with('{'))
        ask(parse_ruleset({.json = text, .text = text}));
    else
        ask(parse_ruleset(
            {.json = R"({"nftables":[]})", .text = text, .legacy = {{"ip", text}}, .extensions = {{"ip", text}}}));
    return 0;
}
