// SPDX-License-Identifier: MIT
#include "agent/firewall/dropping_rule.h"

#include <algorithm>

#include <fmt/format.h>

#include "agent/firewall/walk.h"

namespace kudo {
namespace {

using firewall::Chain;
using firewall::Counted;
using firewall::PossibleDrop;
using firewall::Rule;
using firewall::Statement;

// The only counter of a rule; nothing: it has none, or several.
std::optional<uint64_t> packets_of(const Rule& rule) {
    std::optional<uint64_t> packets;
    for (const Statement& statement : rule.statements) {
        if (!statement.packets) continue;
        if (packets) return std::nullopt;
        packets = statement.packets;
    }
    return packets;
}

const Rule* same_rule(const firewall::Model& model, const Chain& chain, const Rule& rule) {
    const Chain* same = model.find(chain, chain.name);
    if (!same) return nullptr;
    const auto found = std::ranges::find(same->rules, rule.handle, &Rule::handle);
    // iptables-legacy has no handles: a rule's number is another rule's after a change.
    return found == same->rules.end() || (chain.legacy && found->text != rule.text) ? nullptr : &*found;
}

// The counters stand for the packets in question: since `before` where there is such a reading of the same rule.
Counted counted(const DropEvidence& evidence, const Chain& chain, const Rule& rule, uint64_t packets) {
    if (!evidence.counters) return {};
    if (!evidence.before || evidence.drops == 0) return {packets};
    const Rule* earlier = same_rule(evidence.before->model(), chain, rule);
    if (!earlier) return {packets};
    const auto then = packets_of(*earlier);
    if (!then || *then > packets) return {}; // several, or set back meanwhile
    return {packets - *then, true};
}

DropPoint point_of(const PossibleDrop& drop) {
    DropPoint point{.kind = drop.kind, .legacy = drop.chain->legacy, .family = drop.chain->family};
    point.table = drop.chain->table;
    point.chain = drop.chain->name;
    point.hook = firewall::hook_name(drop.base->hook);
    point.priority = drop.base->priority;
    point.counted = drop.counter;
    point.undecided = drop.undecided;
    if (drop.rule) {
        point.handle = drop.rule->handle;
        point.text = drop.rule->text;
        point.comment = drop.rule->comment;
        point.counter = packets_of(*drop.rule);
    } else
        point.text = "policy drop";
    return point;
}

// Is there a counter that has excluded something?
bool counters_excluded(const Ruleset& ruleset, const PacketFacts& facts, std::size_t found) {
    const auto all = firewall::find_possible_drops(ruleset.model(), facts,
                                                   [](const Chain&, const Rule&, uint64_t) { return Counted{}; });
    return all.possible.size() > found;
}

} // namespace

std::string name_of(const DropPoint& point) {
    const std::string place =
        fmt::format("{}{} {} {}", point.legacy ? "iptables-legacy " : "", point.family, point.table, point.chain);
    if (point.kind == DropPoint::Kind::Policy) return place + " policy drop";
    return fmt::format("{} {} {}", place, point.legacy ? "rule" : "handle", point.handle);
}

RuleVerdict find_dropping_rule(const Ruleset& ruleset, const PacketFacts& facts, const DropEvidence& evidence) {
    const auto drops = firewall::find_possible_drops(ruleset.model(), facts,
                                                     [&](const Chain& chain, const Rule& rule, uint64_t packets) {
                                                         return counted(evidence, chain, rule, packets);
                                                     });
    RuleVerdict verdict;
    if (drops.too_many_rules) {
        verdict.certainty = RuleVerdict::Certainty::Candidates;
        verdict.why = "too many rules to follow: it cannot be told which of them";
        return verdict;
    }
    std::ranges::transform(drops.possible, std::back_inserter(verdict.points), point_of);
    if (verdict.points.empty()) {
        verdict.why =
            "no rule or chain policy of this ruleset drops it: conntrack, another hook, or a rule that is gone";
        return verdict;
    }
    verdict.certainty = RuleVerdict::Certainty::Candidates;
    if (verdict.points.size() > 1) {
        verdict.why = fmt::format("{} rules or policies can have dropped it", verdict.points.size());
        return verdict;
    }
    const DropPoint& point = verdict.points[0];
    if (point.counted && *point.counted < evidence.drops) {
        verdict.why = fmt::format("its counter has {} of the {} packets: something else drops as well", *point.counted,
                                  evidence.drops);
        return verdict;
    }
    if (!ruleset.gaps().empty()) {
        verdict.why = "of what could be read: " + ruleset.gaps().front();
        return verdict;
    }
    verdict.certainty = RuleVerdict::Certainty::Certain;
    verdict.why = counters_excluded(ruleset, facts, 1) ? "the counters of all others that could have dropped it say no"
                                                       : "nothing else in the ruleset can have dropped it";
    return verdict;
}

RuleForecast forecast(const Ruleset& ruleset, const PacketFacts& facts) {
    const auto drops = firewall::find_possible_drops(ruleset.model(), facts,
                                                     [](const Chain&, const Rule&, uint64_t) { return Counted{}; });
    RuleForecast result;
    if (drops.too_many_rules) return result;
    for (const PossibleDrop& drop : drops.possible)
        if (drop.kind != DropPoint::Kind::Nat) result.points.push_back(point_of(drop));
    result.kind = !drops.may_pass         ? RuleForecast::Kind::Drops
                  : result.points.empty() ? RuleForecast::Kind::Passes
                                          : RuleForecast::Kind::MayDrop;
    return result;
}

} // namespace kudo
