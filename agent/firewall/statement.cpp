// SPDX-License-Identifier: MIT
#include "agent/firewall/statement.h"

#include <netinet/in.h>

#include <set>

namespace kudo::firewall {
namespace {

using StatementKind = Statement::Kind;

Statement read_match(const Json& body, const Sets& sets) {
    static const std::map<std::string, Statement::Operator> operators{
        {"==", Statement::Operator::Equal},       {"!=", Statement::Operator::Unequal},
        {"<", Statement::Operator::Less},         {">", Statement::Operator::Greater},
        {"<=", Statement::Operator::LessOrEqual}, {">=", Statement::Operator::GreaterOrEqual},
        {"in", Statement::Operator::AnyBit},      {"!", Statement::Operator::NoBit}};
    Statement result{StatementKind::Match};
    result.left = read_expression(at(body, "left"), sets);
    result.words = result.left.words;
    const auto found = operators.find(text_at(body, "op"));
    if (found == operators.end()) return {.kind = StatementKind::MayEnd, .words = result.words};
    result.op = found->second;
    result.right = read_right(at(body, "right"), sets);
    result.ambiguous = result.op == Statement::Operator::Unequal && has(at(body, "right"), "range");
    return result;
}

Statement read_mangle(const Json& body, const Sets& sets) {
    const Json& key = at(body, "key");
    const std::string field = text_at(at(key, "payload"), "field");
    Statement result{StatementKind::MangleOther};
    if (text_at(at(key, "meta"), "key") == "mark") result.kind = StatementKind::MangleMark;
    if (field == "dscp") result.kind = StatementKind::MangleDscp;
    result.source = field == "saddr" || field == "sport";
    result.destination = field == "daddr" || field == "dport";
    if (result.source || result.destination) result.kind = StatementKind::Rewrite;
    result.needs = read_expression(key, sets);
    result.left = read_expression(at(body, "value"), sets);
    return result;
}

// What "reject with tcp reset", "dnat ip to" and their like are only for.
Expression needed(Key key, uint8_t protocol = 0) {
    Expression needs;
    needs.key = key;
    needs.protocol = protocol;
    return needs;
}

std::optional<Expression> needed_family(const Json& body) {
    const std::string family = text_at(body, "family");
    if (family == "ip") return needed(Key::Ip4Version);
    if (family == "ip6") return needed(Key::Ip6Version);
    return std::nullopt;
}

Statement read_reject(const Json& body) {
    Statement result{StatementKind::Reject};
    const std::string type = text_at(body, "type");
    if (type == "icmp") result.needs = needed(Key::Ip4Version);
    if (type == "icmpv6") result.needs = needed(Key::Ip6Version);
    if (type == "tcp reset") result.needs = needed(Key::TransportOther, IPPROTO_TCP);
    return result;
}

Statement read_nat(const Json& body, bool source) {
    return {.kind = StatementKind::Translate, .needs = needed_family(body), .source = source, .destination = !source};
}

Statement read_vmap(const Json& body, const Sets& sets) {
    Statement result{StatementKind::VerdictMap};
    result.left = read_expression(at(body, "key"), sets);
    result.words = result.left.words;
    const Json& data = at(body, "data");
    result.right = has(data, "set") ? read_elements(at(data, "set"), true) : read_right(data, sets);
    return result;
}

// iptables-nft: matches come before the counter, one target behind it.
Statement read_xt(const Json& body, bool is_last) {
    const std::string type = text_at(body, "type"), name = text_at(body, "name");
    Statement result{.kind = is_last ? StatementKind::MayDrop : StatementKind::MayEnd,
                     .words = name.empty() ? "xt" : name};
    if (type.empty()) return result; // before nft 1.0.5
    if (type == "match") {
        result.kind = name == "comment" ? StatementKind::Counter : StatementKind::MayEnd;
        return result;
    }
    static const std::set<std::string> harmless{"LOG",         "NFLOG", "CLASSIFY", "TCPMSS", "CONNMARK",   "CHECKSUM",
                                                "SECMARK",     "AUDIT", "TRACE",    "TEE",    "IDLETIMER",  "RATEEST",
                                                "CONNSECMARK", "TTL",   "HL",       "ECN",    "TCPOPTSTRIP"};
    static const std::set<std::string> translating{"DNAT", "SNAT", "MASQUERADE", "REDIRECT", "NETMAP"};
    if (harmless.contains(name)) result.kind = StatementKind::Counter;
    if (name == "REJECT") result.kind = StatementKind::Reject;
    if (name == "SYNPROXY") result.kind = StatementKind::Synproxy;
    if (name == "MARK") result.kind = StatementKind::MangleMark; // to what is not told
    if (name == "DSCP" || name == "TOS") result.kind = StatementKind::MangleDscp;
    if (name == "CT" || name == "NOTRACK") result.kind = StatementKind::Untrack;
    if (name == "NFQUEUE") result = {.kind = StatementKind::Verdict, .verdict = {Verdict::Kind::Queue, {}}};
    if (translating.contains(name)) result = {.kind = StatementKind::Translate, .source = true, .destination = true};
    return result;
}

Statement read_counter(const Json& body, const Counters& counters) {
    Statement result{StatementKind::Counter};
    if (const auto packets = number_at(body, "packets"); packets && *packets >= 0)
        result.packets = static_cast<uint64_t>(*packets);
    else if (body.is_string())
        if (const auto found = counters.find(body.get<std::string>()); found != counters.end())
            result.packets = found->second;
    return result;
}

Statement read_statement(const std::string& name, const Json& body, bool is_last, const Sets& sets,
                         const Counters& counters) {
    static const std::map<std::string, StatementKind> plain{{"notrack", StatementKind::Untrack},
                                                            {"log", StatementKind::Counter},
                                                            {"dup", StatementKind::Counter},
                                                            {"ct helper", StatementKind::Counter},
                                                            {"ct timeout", StatementKind::Counter},
                                                            {"limit", StatementKind::MayEnd},
                                                            {"quota", StatementKind::MayEnd},
                                                            {"ct count", StatementKind::MayEnd},
                                                            {"ct expectation", StatementKind::Counter},
                                                            {"set", StatementKind::MayEnd},
                                                            {"map", StatementKind::MayEnd},
                                                            {"flow", StatementKind::MayEnd},
                                                            {"tproxy", StatementKind::MayEnd},
                                                            {"last", StatementKind::Counter},
                                                            {"meter", StatementKind::MayEnd},
                                                            {"secmark", StatementKind::Counter}};
    if (name == "match") return read_match(body, sets);
    if (name == "mangle") return read_mangle(body, sets);
    if (name == "vmap") return read_vmap(body, sets);
    if (name == "xt") return read_xt(body, is_last);
    if (name == "counter") return read_counter(body, counters);
    if (name == "reject") return read_reject(body);
    if (name == "fwd") return {.kind = StatementKind::Leaves, .needs = needed_family(body)};
    if (name == "snat" || name == "masquerade") return read_nat(body, true);
    if (name == "dnat" || name == "redirect") return read_nat(body, false);
    if (name == "synproxy")
        return {.kind = StatementKind::Synproxy, .needs = needed(Key::TransportOther, IPPROTO_TCP), .words = name};
    if (const auto found = plain.find(name); found != plain.end()) return {.kind = found->second, .words = name};
    return {.kind = StatementKind::MayDrop, .words = name};
}

// nft (1.0.6) makes of neighbouring fields of one header, each unequal to a value, one comparison, which holds if any
// of them is unequal (payload_try_merge()), and prints them as if all had to be.
void mark_merged(const Json& expressions, std::vector<Statement>& statements) {
    const auto protocol_of = [&](std::size_t index) {
        const Json& match = at(expressions[index], "match");
        if (text_at(match, "op") != "!=" || at(match, "right").is_object()) return std::string();
        return text_at(at(at(match, "left"), "payload"), "protocol");
    };
    for (std::size_t one = 0; one < statements.size(); one++)
        for (std::size_t other = one + 1; other < statements.size(); other++)
            if (const std::string protocol = protocol_of(one); !protocol.empty() && protocol == protocol_of(other))
                statements[one].merged = statements[other].merged = true;
}

} // namespace

std::vector<Statement> read_statements(const Json& expressions, const Sets& sets, const Counters& counters) {
    std::vector<Statement> statements;
    if (!expressions.is_array()) return {{.kind = StatementKind::MayDrop}};
    for (std::size_t index = 0; index < expressions.size(); index++) {
        const Json& json = expressions[index];
        if (const auto verdict = read_verdict(json)) {
            statements.push_back({.kind = StatementKind::Verdict, .verdict = *verdict});
            continue;
        }
        if (!json.is_object() || json.size() != 1) {
            statements.push_back({.kind = StatementKind::MayDrop});
            continue;
        }
        statements.push_back(
            read_statement(json.begin().key(), json.begin().value(), index + 1 == expressions.size(), sets, counters));
    }
    mark_merged(expressions, statements);
    return statements;
}

} // namespace kudo::firewall
