// SPDX-License-Identifier: MIT
#include "agent/firewall/expression.h"

#include <netinet/in.h>

#include <algorithm>
#include <charconv>

#include "maps/net/prefix.h"

namespace kudo::firewall {
namespace {

Number number_of(const Address& address) {
    Number number = 0;
    for (std::size_t at = 0; at < address.bits() / 8; at++)
        number = number << 8 | address.bytes[at];
    return number;
}

// Names that are left where everything is asked for in numbers, and that other versions print.
std::optional<Number> number_named(const std::string& name) {
    static const std::map<std::string, unsigned> names{
        {"tcp", IPPROTO_TCP},
        {"udp", IPPROTO_UDP},
        {"icmp", IPPROTO_ICMP},
        {"icmpv6", IPPROTO_ICMPV6},
        {"ipv6-icmp", IPPROTO_ICMPV6},
        {"sctp", IPPROTO_SCTP},
        {"dccp", IPPROTO_DCCP},
        {"udplite", IPPROTO_UDPLITE},
        {"esp", IPPROTO_ESP},
        {"ah", IPPROTO_AH},
        {"igmp", IPPROTO_IGMP},
        {"gre", IPPROTO_GRE},
        {"ip", 0x0800},
        {"ip6", 0x86dd},
        {"arp", 0x0806},
        {"vlan", 0x8100},
        {"unicast", 1},
        {"local", 2},
        {"broadcast", 3},
        {"anycast", 4},
        {"multicast", 5},
        {"blackhole", 6},
        {"unreachable", 7},
        {"prohibit", 8},
    };
    const auto found = names.find(name);
    if (found == names.end()) return std::nullopt;
    return found->second;
}

Literal read_text(const std::string& text) {
    if (text == "*") return {Literal::Kind::Any};
    if (const auto address = Address::parse(text)) return Literal::number(number_of(*address));
    uint64_t number = 0;
    const bool hexadecimal = text.starts_with("0x");
    const char* begin = text.data() + (hexadecimal ? 2 : 0);
    const char* end = text.data() + text.size();
    if (const auto [to, error] = std::from_chars(begin, end, number, hexadecimal ? 16 : 10);
        begin != end && error == std::errc() && to == end)
        return Literal::number(number);
    if (const auto known = number_named(text)) return Literal::number(*known);
    Literal name{Literal::Kind::Name, 0, 0, text};
    if (name.name.ends_with("\\*"))
        name.name.erase(name.name.size() - 2, 1);
    else if (name.name.ends_with('*')) {
        name.name.pop_back();
        name.wildcard = true;
    }
    return name;
}

// ["syn", "ack"] with -nn: [2, 16]; {"|": [2, 16]}
Literal read_flags(const Json& list) {
    Number bits = 0;
    for (const Json& part : list) {
        const Literal flag = read_literal(part);
        if (flag.kind != Literal::Kind::Range || flag.first != flag.last) return {};
        bits |= flag.first;
    }
    return Literal::number(bits);
}

Literal read_prefix(const Json& json) {
    const std::string text = text_at(json, "addr");
    const auto address = Address::parse(text);
    const auto length = number_at(json, "len");
    if (!address || !length || *length < 0 || *length > static_cast<int>(address->bits())) return {};
    const unsigned host_bits = address->bits() - static_cast<unsigned>(*length);
    const Number mask = host_bits >= 128 ? ~Number{0} : (Number{1} << host_bits) - 1;
    const Number first = number_of(*address) & ~mask;
    return Literal::range(first, first | mask);
}

Key key_of_ip(const std::string& field, bool v6) {
    if (field == "saddr") return v6 ? Key::Ip6Source : Key::Ip4Source;
    if (field == "daddr") return v6 ? Key::Ip6Destination : Key::Ip4Destination;
    if (field == "length") return v6 ? Key::Ip6Length : Key::Ip4Length;
    if (field == "dscp") return v6 ? Key::Ip6Dscp : Key::Ip4Dscp;
    if (field == "version") return v6 ? Key::Ip6Version : Key::Ip4Version;
    if (field == "protocol") return Key::Ip4Protocol;
    return v6 ? Key::Ip6Other : Key::Ip4Other; // the next header: extensions may come first
}

void read_payload(const Json& json, Expression& result) {
    const std::string protocol = text_at(json, "protocol"), field = text_at(json, "field");
    result.words = protocol + " " + field;
    static const std::map<std::string, uint8_t> transports{{"th", 0},
                                                           {"tcp", IPPROTO_TCP},
                                                           {"udp", IPPROTO_UDP},
                                                           {"udplite", IPPROTO_UDPLITE},
                                                           {"sctp", IPPROTO_SCTP},
                                                           {"dccp", IPPROTO_DCCP},
                                                           {"icmp", IPPROTO_ICMP},
                                                           {"icmpv6", IPPROTO_ICMPV6},
                                                           {"igmp", IPPROTO_IGMP},
                                                           {"esp", IPPROTO_ESP},
                                                           {"ah", IPPROTO_AH},
                                                           {"comp", IPPROTO_COMP}};
    if (protocol == "ip" || protocol == "ip6")
        result.key = key_of_ip(field, protocol == "ip6");
    else if (protocol == "ether" && field == "type")
        result.key = Key::EtherType;
    else if (const auto transport = transports.find(protocol); transport != transports.end()) {
        result.protocol = transport->second;
        const bool ports = result.protocol != IPPROTO_ICMP && result.protocol != IPPROTO_ICMPV6;
        if (ports && field == "sport")
            result.key = Key::SourcePort;
        else if (ports && field == "dport")
            result.key = Key::DestinationPort;
        else if (result.protocol == IPPROTO_TCP && field == "flags")
            result.key = Key::TcpFlags;
        else if (result.protocol == IPPROTO_UDP && field == "length")
            result.key = Key::UdpLength;
        else
            result.key = Key::TransportOther;
    }
    if (protocol.empty()) result.words = "@" + text_at(json, "base"); // bytes at an offset
}

void read_meta(const Json& json, Expression& result) {
    static const std::map<std::string, Key> keys{{"l4proto", Key::Protocol},   {"nfproto", Key::NetworkFamily},
                                                 {"protocol", Key::EtherType}, {"mark", Key::Mark},
                                                 {"length", Key::Length},      {"pkttype", Key::PacketType},
                                                 {"iif", Key::InputName},      {"iifname", Key::InputName},
                                                 {"oif", Key::OutputName},     {"oifname", Key::OutputName},
                                                 {"skuid", Key::Uid},          {"skgid", Key::Gid}};
    const std::string name = text_at(json, "key");
    result.words = name == "iif" || name == "oif" ? name : "meta " + name;
    if (const auto key = keys.find(name); key != keys.end()) result.key = key->second;
}

} // namespace

Literal read_literal(const Json& json) {
    if (json.is_number_unsigned()) return Literal::number(json.get<uint64_t>());
    if (json.is_boolean()) return Literal::number(json.get<bool>() ? 1 : 0);
    if (json.is_string()) return read_text(json.get<std::string>());
    if (json.is_array()) return read_flags(json);
    if (const Json& range = at(json, "range"); range.is_array() && range.size() == 2) {
        const Literal first = read_literal(range[0]), last = read_literal(range[1]);
        if (first.kind != Literal::Kind::Range || last.kind != Literal::Kind::Range) return {};
        return Literal::range(first.first, last.last);
    }
    if (has(json, "prefix")) return read_prefix(at(json, "prefix"));
    if (const Json& flags = at(json, "|"); flags.is_array()) return read_flags(flags);
    return {};
}

Expression read_expression(const Json& json, const Sets& sets) {
    Expression result;
    if (!json.is_object() || json.size() != 1) {
        const Literal literal = read_literal(json);
        if (literal.kind == Literal::Kind::Range && literal.first == literal.last) {
            result.key = Key::Constant;
            result.constant = literal.first;
        }
        return result;
    }
    const std::string kind = json.begin().key();
    const Json& body = json.begin().value();
    static const std::map<std::string, Expression::Kind> operators{
        {"&", Expression::Kind::And},         {"|", Expression::Kind::Or},
        {"^", Expression::Kind::Xor},         {"<<", Expression::Kind::ShiftLeft},
        {">>", Expression::Kind::ShiftRight}, {"concat", Expression::Kind::Concat}};
    if (const auto found = operators.find(kind); found != operators.end() && body.is_array()) {
        result.kind = found->second;
        for (const Json& part : body)
            result.parts.push_back(read_expression(part, sets));
        if (result.parts.empty()) return {};
        result.words = result.parts[0].words;
    } else if (kind == "payload")
        read_payload(body, result);
    else if (kind == "meta")
        read_meta(body, result);
    else if (kind == "ct") {
        result.words = "ct " + text_at(body, "key");
        if (text_at(body, "key") == "state") result.key = Key::ConntrackState;
    } else if (kind == "tcp option") {
        result.key = Key::TransportOther;
        result.protocol = IPPROTO_TCP;
        result.words = kind;
    } else if (kind == "fib") {
        const Json& flags = at(body, "flags");
        result.words = "fib";
        if (text_at(body, "result") == "type" && flags.is_array() && flags.size() == 1)
            result.key = flags[0] == "saddr"   ? Key::SourceType
                         : flags[0] == "daddr" ? Key::DestinationType
                                               : Key::Unknown;
    } else if (kind == "map") {
        result.kind = Expression::Kind::Map;
        result.parts.push_back(read_expression(at(body, "key"), sets));
        result.words = result.parts[0].words;
        result.map = has(at(body, "data"), "set") ? read_elements(at(at(body, "data"), "set"), true)
                                                  : read_right(at(body, "data"), sets);
    } else {
        result.words = kind;
        if (kind == "xt") result.words += " " + text_at(body, "name");
    }
    return result;
}

std::optional<Verdict> read_verdict(const Json& json) {
    static const std::map<std::string, Verdict::Kind> kinds{
        {"accept", Verdict::Kind::Accept}, {"drop", Verdict::Kind::Drop}, {"return", Verdict::Kind::Return},
        {"jump", Verdict::Kind::Jump},     {"goto", Verdict::Kind::Goto}, {"continue", Verdict::Kind::Continue},
        {"queue", Verdict::Kind::Queue}};
    if (!json.is_object() || json.size() != 1) return std::nullopt;
    const auto kind = kinds.find(json.begin().key());
    if (kind == kinds.end()) return std::nullopt;
    return Verdict{kind->second, text_at(json.begin().value(), "target")};
}

std::shared_ptr<const Set> read_elements(const Json& elements, bool is_map) {
    auto set = std::make_shared<Set>();
    const auto add = [&](const Json& json) {
        Element element;
        const Json* key = &json;
        if (is_map) {
            if (!json.is_array() || json.size() != 2) {
                set->incomplete = true;
                return;
            }
            key = &json[0];
            if (const auto verdict = read_verdict(json[1]))
                element.verdict = *verdict;
            else {
                element.verdict.kind = Verdict::Kind::Unknown;
                element.data = read_literal(json[1]);
            }
        }
        if (has(*key, "elem")) key = &at(at(*key, "elem"), "val");
        if (const Json& fields = at(*key, "concat"); fields.is_array())
            std::ranges::transform(fields, std::back_inserter(element.fields), read_literal);
        else
            element.fields.push_back(read_literal(*key));
        const bool is_range = element.fields.size() == 1 && element.fields[0].kind == Literal::Kind::Range;
        (is_range ? set->sorted : set->others).push_back(std::move(element));
    };
    if (elements.is_array())
        for (const Json& element : elements)
            add(element);
    else if (!elements.is_null())
        add(elements);
    std::ranges::sort(set->sorted, {}, [](const Element& element) { return element.fields[0].first; });
    // What overlaps is looked through one by one.
    const auto overlap = std::ranges::adjacent_find(set->sorted, [](const Element& one, const Element& next) {
        return next.fields[0].first <= one.fields[0].last;
    });
    if (overlap != set->sorted.end()) {
        std::ranges::move(set->sorted, std::back_inserter(set->others));
        set->sorted.clear();
    }
    return set;
}

std::shared_ptr<const Set> read_right(const Json& json, const Sets& sets) {
    if (json.is_string() && json.get<std::string>().starts_with('@')) {
        const auto found = sets.find(json.get<std::string>());
        return found == sets.end() ? nullptr : found->second;
    }
    if (has(json, "set")) return read_elements(at(json, "set"), false);
    // A list of flags is one value.
    return read_elements(json.is_array() ? Json::array({json}) : json, false);
}

} // namespace kudo::firewall
