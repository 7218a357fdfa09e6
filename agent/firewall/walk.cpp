// SPDX-License-Identifier: MIT
#include "agent/firewall/walk.h"

#include <netinet/in.h>

#include <algorithm>
#include <limits>
#include <map>
#include <set>

namespace kudo::firewall {
namespace {

constexpr std::size_t max_statements = 2'000'000;
constexpr int max_depth = 16; // NFT_JUMP_STACK_SIZE
constexpr int destination_nat_priority = -100, source_nat_priority = 100;

// `ct state` as nftables has it: NF_CT_STATE_BIT().
constexpr std::pair<CtState, unsigned> state_bits[] = {
    {CtInvalid, 1}, {CtEstablished, 2}, {CtRelated, 4}, {CtNew, 8}, {CtUntracked, 64}};

using MaybeState = std::optional<PacketState>;

void add_state(MaybeState& states, const MaybeState& other) {
    if (other) states = states ? merged(*states, *other) : *other;
}

// Who is left: those that came to the end of a chain, and those that something accepted. Nothing: nobody.
struct Left {
    MaybeState through, accepted;
};

class Walk {
public:
    Walk(const Model& model, const PacketFacts& facts, const CounterBound& bound, CtState conntrack, unsigned bit,
         Drops& drops)
        : model_(model), facts_(facts), bound_(bound), conntrack_(conntrack), drops_(drops) {
        MaybeState state = first_state(facts);
        state->conntrack = Value::of(bit);
        for (const Hook hook : hooks_of(facts.path))
            if (state) state = pass(hook, *state);
        drops.may_pass |= state.has_value();
    }

private:
    static std::vector<Hook> hooks_of(PacketPath path) {
        switch (path) {
        case PacketPath::In:
            return {Hook::Ingress, Hook::Prerouting, Hook::Input};
        case PacketPath::Out:
            return {Hook::Output, Hook::Postrouting, Hook::Egress};
        case PacketPath::Forwarded:
            break;
        }
        return {Hook::Ingress, Hook::Prerouting, Hook::Forward, Hook::Postrouting, Hook::Egress};
    }

    // Chains of one priority run in an order that the ruleset does not tell: each is tried with all that the others may
    // have done.
    MaybeState pass(Hook hook, PacketState state) {
        std::map<int, std::vector<const Chain*>> by_priority;
        for (const Chain& chain : model_.chains)
            if (chain.hook == hook && chain.has_family(facts_.source.bits()))
                by_priority[chain.priority].push_back(&chain);
        for (const auto& [priority, chains] : by_priority) {
            forget_translated(hook, priority, state);
            bool stopped = false;
            for (PacketState before = state;; before = state) {
                MaybeState after = before;
                for (const Chain* chain : chains) {
                    const MaybeState left = pass(*chain, before);
                    stopped |= !left;
                    if (chains.size() == 1)
                        after = left;
                    else
                        add_state(after, left);
                }
                if (stopped) break;
                state = *after;
                if (chains.size() == 1 || state == before) break;
            }
            if (stopped) return std::nullopt;
        }
        forget_translated(hook, std::numeric_limits<int>::max(), state);
        return state;
    }

    // Of a connection that exists conntrack translates without asking a rule.
    void forget_translated(Hook hook, int priority, PacketState& state) const {
        if (!model_.translates || facts_.translated == false) return;
        if (conntrack_ != CtEstablished && conntrack_ != CtRelated) return;
        const bool destination = hook == Hook::Prerouting || hook == Hook::Output;
        if (destination && priority > destination_nat_priority) state.destination = state.destination_port = {};
        const bool source = hook == Hook::Input || hook == Hook::Postrouting;
        if (source && priority > source_nat_priority) state.source = state.source_port = {};
    }

    // Does the packet surely meet this base chain?
    [[nodiscard]] bool is_met(const Chain& base) const {
        if (base.nat) return false; // the first packet of a connection only
        const auto& name = base.hook == Hook::Ingress ? facts_.input : facts_.output;
        // A chain of another device may be met too: that of a bond's or bridge's port.
        return (base.hook != Hook::Ingress && base.hook != Hook::Egress) ||
               (name && std::ranges::find(base.devices, *name) != base.devices.end());
    }

    MaybeState pass(const Chain& base, const PacketState& state) {
        if (base.nat && conntrack_ != CtNew && conntrack_ != CtRelated) return state;
        base_ = &base;
        const Left left = walk(base, state, 0);
        MaybeState result = left.accepted;
        if (left.through && base.drops) add({&base, &base, nullptr, DropPoint::Kind::Policy, {}, {}});
        if (!base.drops) add_state(result, left.through);
        if (!is_met(base)) add_state(result, state);
        return result;
    }

    Left walk(const Chain& chain, PacketState state, int depth) {
        Left left;
        if (depth > max_depth) {
            drops_.too_many_rules = true;
            return {state, state};
        }
        for (const Rule& rule : chain.rules) {
            const std::size_t known = undecided_.size();
            const MaybeState next = apply(chain, rule, state, left, depth);
            undecided_.resize(known);
            if (!next) return left;
            state = *next;
        }
        add_state(left.through, state);
        return left;
    }

    struct RulePlace {
        const Chain& chain;
        const Rule& rule;
        std::optional<uint64_t> counter;
        int depth;
    };

    // What of the packets goes on to the next rule. Those that a condition may hold back go on at once, those for which
    // all conditions may hold are followed to the end.
    MaybeState apply(const Chain& chain, const Rule& rule, PacketState here, Left& left, int depth) {
        using Kind = Statement::Kind;
        MaybeState next;
        RulePlace at{chain, rule, {}, depth};
        const auto may_end = [&](const std::string& words) {
            add_state(next, here);
            if (!words.empty() && std::ranges::find(undecided_, words) == undecided_.end()) undecided_.push_back(words);
        };
        for (const Statement& statement : rule.statements) {
            if (++statements_ > max_statements) drops_.too_many_rules = true;
            if (drops_.too_many_rules) return std::nullopt;
            const auto values = [&] { return evaluate(statement.left, Place{facts_, here, *base_}); };
            if (statement.needs &&
                single_value(*statement.needs, Place{facts_, here, *base_}).kind == Value::Kind::Absent) {
                may_end({});
                return next;
            }
            switch (statement.kind) {
            case Kind::Match: {
                const Truth truth = holds(statement, values());
                if (truth != Truth::Yes) may_end(statement.words);
                if (truth == Truth::No) return next;
                break;
            }
            case Kind::Counter:
                if (!statement.packets) break;
                if (const Counted counted = bound_(chain, rule, *statement.packets); counted.packets != uint64_t{0})
                    at.counter = counted.packets;
                else {
                    // None of the packets in question came here; or the rule is younger than they are.
                    if (!counted.in_time) add_state(next, here);
                    return next;
                }
                break;
            case Kind::MayEnd:
                may_end(statement.words);
                break;
            case Kind::MangleMark:
            case Kind::MangleDscp:
            case Kind::MangleOther: {
                const Value value = single_value(statement.left, Place{facts_, here, *base_});
                const bool is_map = statement.left.kind == Expression::Kind::Map;
                if (value.kind == Value::Kind::Absent || (is_map && value.kind == Value::Kind::Unknown)) may_end({});
                if (value.kind == Value::Kind::Absent) return next;
                if (statement.kind == Kind::MangleMark) here.mark = value;
                if (statement.kind == Kind::MangleDscp) here.dscp = value;
                break;
            }
            case Kind::Untrack:
                here.conntrack = Value::of(state_bits[4].second);
                break;
            case Kind::Rewrite:
                forget(statement, here);
                break;
            case Kind::Translate:
                may_end({}); // protocols that are implied
                if (facts_.translated != false) {
                    add(at, DropPoint::Kind::Nat);
                    forget(statement, here);
                }
                add_state(left.accepted, here);
                return next;
            case Kind::Leaves:
                return next;
            case Kind::Synproxy: // only what opens a connection
                may_end(statement.words);
                add(at, DropPoint::Kind::Nat);
                break;
            case Kind::Reject:
                add(at, DropPoint::Kind::Reject);
                return next;
            case Kind::MayDrop:
                may_end(statement.words);
                add(at, DropPoint::Kind::Unknown);
                here.mark = here.dscp = {};
                add_state(left.accepted, here);
                add_state(left.through, here);
                break;
            case Kind::VerdictMap:
                if (!choose(at, statement, values(), here, left, next, may_end)) return next;
                break;
            case Kind::Verdict:
                if (statement.verdict.kind == Verdict::Kind::Continue) break;
                decide(at, statement.verdict, here, left, next);
                return next;
            }
        }
        add_state(next, here);
        return next;
    }

    static void forget(const Statement& statement, PacketState& state) {
        if (statement.source) state.source = state.source_port = {};
        if (statement.destination) state.destination = state.destination_port = {};
    }

    void add(const RulePlace& at, DropPoint::Kind kind) {
        add({base_, &at.chain, &at.rule, kind, at.counter, undecided_});
    }
    void add(PossibleDrop drop) {
        const auto same = std::ranges::find_if(drops_.possible, [&](const PossibleDrop& known) {
            return known.chain == drop.chain && known.rule == drop.rule && known.kind == drop.kind;
        });
        if (same == drops_.possible.end()) drops_.possible.push_back(std::move(drop));
    }

    void decide(const RulePlace& at, const Verdict& verdict, const PacketState& here, Left& left, MaybeState& next) {
        switch (verdict.kind) {
        case Verdict::Kind::Drop:
            add(at, DropPoint::Kind::Rule);
            break;
        case Verdict::Kind::Accept:
            add_state(left.accepted, here);
            break;
        case Verdict::Kind::Return:
            add_state(left.through, here);
            break;
        case Verdict::Kind::Continue:
            add_state(next, here);
            break;
        case Verdict::Kind::Queue: // the program behind it may change what it likes
            add(at, DropPoint::Kind::Queue);
            add_state(left.accepted, here);
            break;
        case Verdict::Kind::Unknown:
            add(at, DropPoint::Kind::Unknown);
            add_state(left.accepted, here);
            add_state(next, here);
            break;
        case Verdict::Kind::Jump:
        case Verdict::Kind::Goto: {
            const Chain* target = model_.find(at.chain, verdict.target);
            if (!target) return decide(at, {Verdict::Kind::Unknown, {}}, here, left, next);
            const Left inner = walk(*target, here, at.depth + 1);
            add_state(left.accepted, inner.accepted);
            add_state(verdict.kind == Verdict::Kind::Jump ? next : left.through, inner.through);
        }
        }
    }

    // A verdict map. True: the rule may go on behind it.
    template <typename MayEndFunction>
    bool choose(const RulePlace& at, const Statement& statement, const std::vector<Value>& values,
                const PacketState& here, Left& left, MaybeState& next, const MayEndFunction& may_end) {
        if (std::ranges::any_of(values, [](const Value& value) { return value.kind == Value::Kind::Absent; })) {
            may_end({});
            return false;
        }
        const Lookup found = look_up(statement.right.get(), values);
        const bool is_unknown = !statement.right || (statement.right->incomplete && !found.always);
        const bool is_sure = !is_unknown && (found.possible.empty() || (found.always && found.possible.size() == 1));
        if (!found.always) may_end(is_sure ? "" : statement.words);
        if (is_unknown) decide(at, {Verdict::Kind::Unknown, {}}, here, left, next);
        std::set<std::pair<Verdict::Kind, std::string>> tried;
        bool goes_on = false;
        for (const Element* element : found.possible) {
            const Verdict& verdict = element->verdict;
            if (!tried.emplace(verdict.kind, verdict.target).second) continue;
            goes_on |= verdict.kind == Verdict::Kind::Continue;
            if (verdict.kind != Verdict::Kind::Continue) decide(at, verdict, here, left, next);
        }
        return goes_on;
    }

    const Model& model_;
    const PacketFacts& facts_;
    const CounterBound& bound_;
    CtState conntrack_;
    Drops& drops_;
    const Chain* base_ = nullptr;
    std::vector<std::string> undecided_;
    std::size_t statements_ = 0;
};

} // namespace

Drops find_possible_drops(const Model& model, const PacketFacts& facts, const CounterBound& bound) {
    Drops drops;
    uint8_t states = facts.ct_states.value_or(0xff);
    // Only neighbour discovery goes untracked by itself (nf_conntrack_in()).
    if (!model.untracks && facts.protocol != IPPROTO_ICMPV6) states &= static_cast<uint8_t>(~CtUntracked);
    // One state at a time: what it decides in one rule it decides in all.
    for (const auto& [state, bit] : state_bits) {
        if (!(states & state)) continue;
        const Walk walk(model, facts, bound, state, bit, drops); // its construction is the walk
        if (!model.uses_states && !model.translates) break;      // all states are alike
    }
    return drops;
}

} // namespace kudo::firewall
