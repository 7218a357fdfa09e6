// SPDX-License-Identifier: MIT
#include "agent/firewall/key_value.h"

#include <linux/if_packet.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>

namespace kudo::firewall {
namespace {

constexpr Number nfproto_ipv4 = 2, nfproto_ipv6 = 10, ethertype_ipv4 = 0x0800, ethertype_ipv6 = 0x86dd;
constexpr int conntrack_priority = -200;
constexpr Number invalid_bit = 1, untracked_bit = 64; // NF_CT_STATE_BIT()

template <typename T> Value value_or_unknown(const std::optional<T>& fact) {
    return fact ? Value::of(*fact) : Value{};
}

Value address_value(const Address& address) {
    Number number = 0;
    for (std::size_t at = 0; at < address.bits() / 8; at++)
        number = number << 8 | address.bytes[at];
    return Value::of(number);
}

// nft_meta_get_eval(), Linux 5.10 and later: the name of no device is empty.
Value device(const Place& place, bool input) {
    const Hook hook = place.base.hook;
    const bool has_input = hook == Hook::Ingress || hook == Hook::Prerouting || hook == Hook::Input ||
                           hook == Hook::Forward ||
                           (hook == Hook::Postrouting && place.facts.path == PacketPath::Forwarded);
    const bool has_output =
        hook == Hook::Forward || hook == Hook::Output || hook == Hook::Postrouting || hook == Hook::Egress;
    if (!(input ? has_input : has_output)) return Value::named("");
    const auto& name = input ? place.facts.input : place.facts.output;
    return name ? Value::named(*name) : Value{};
}

// Before conntrack has seen a packet it is "invalid" to nftables (nft_ct_get_eval()), unless it comes from this host
// itself, over the loopback interface. What the facts tell is what conntrack says.
Value conntrack_state(const Place& place) {
    const Hook hook = place.base.hook;
    const bool before = hook == Hook::Ingress || ((hook == Hook::Prerouting || hook == Hook::Output) &&
                                                  place.base.priority <= conntrack_priority);
    if (!before) return place.state.conntrack;
    const bool is_untracked = place.state.conntrack == Value::of(untracked_bit);
    const bool is_new = hook == Hook::Output || (place.facts.input && *place.facts.input != "lo");
    return is_untracked || !is_new || place.base.priority == conntrack_priority ? Value{} : Value::of(invalid_bit);
}

// `fib saddr type`, `fib daddr type`: where the packet's path has decided it. Not of broadcast and multicast.
Value route_type(const Place& place, bool source) {
    const Value& value = source ? place.state.source : place.state.destination;
    const Address& address = source ? place.facts.source : place.facts.destination;
    const bool v4 = address.family == Family::IPv4;
    if (value.kind != Value::Kind::Number || (v4 ? address.bytes[0] >= 224 : address.bytes[0] == 0xff)) return {};
    if (source) return place.facts.path == PacketPath::Out ? Value::of(RTN_LOCAL) : Value{};
    if (place.facts.packet_type.value_or(PACKET_HOST) != PACKET_HOST) return {};
    return Value::of(place.facts.path == PacketPath::In ? RTN_LOCAL : RTN_UNICAST);
}

Value transport(const Expression& expression, const Place& place, const Value& port) {
    if (expression.protocol != 0 && expression.protocol != place.facts.protocol) return {Value::Kind::Absent};
    const uint8_t protocol = place.facts.protocol;
    if (protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6) return {};
    return port;
}

} // namespace

Value key_value(const Expression& expression, const Place& place) {
    const PacketFacts& facts = place.facts;
    const bool v4 = facts.source.family == Family::IPv4;
    const Key key = expression.key;
    const auto of_family = [&](bool wanted_v4, const Value& value) {
        return v4 == wanted_v4 ? value : Value{Value::Kind::Absent};
    };
    switch (key) {
    case Key::Constant:
        return Value::of(expression.constant);
    case Key::Ip4Source:
        return of_family(true, place.state.source);
    case Key::Ip4Destination:
        return of_family(true, place.state.destination);
    case Key::Ip4Protocol:
        return of_family(true, Value::of(facts.protocol));
    case Key::Ip4Length:
        return of_family(true, value_or_unknown(facts.length));
    case Key::Ip4Dscp:
        return of_family(true, place.state.dscp);
    case Key::Ip4Version:
        return of_family(true, Value::of(4));
    case Key::Ip4Other:
        return of_family(true, {});
    case Key::Ip6Source:
        return of_family(false, place.state.source);
    case Key::Ip6Destination:
        return of_family(false, place.state.destination);
    case Key::Ip6Length:
        return of_family(false, facts.length && *facts.length >= 40 ? Value::of(*facts.length - 40) : Value{});
    case Key::Ip6Dscp:
        return of_family(false, place.state.dscp);
    case Key::Ip6Version:
        return of_family(false, Value::of(6));
    case Key::Ip6Other:
        return of_family(false, {});
    case Key::SourcePort:
        return transport(expression, place, place.state.source_port);
    case Key::DestinationPort:
        return transport(expression, place, place.state.destination_port);
    case Key::TcpFlags:
        return transport(expression, place, value_or_unknown(facts.tcp_flags));
    case Key::UdpLength: {
        // Of a packet without options or extensions, as those of calls are.
        const uint32_t header = v4 ? 20 : 40;
        return transport(expression, place,
                         facts.length && *facts.length >= header ? Value::of(*facts.length - header) : Value{});
    }
    case Key::SourceType:
        return route_type(place, true);
    case Key::DestinationType:
        return route_type(place, false);
    case Key::TransportOther:
        return transport(expression, place, {});
    case Key::Protocol:
        return Value::of(facts.protocol);
    case Key::NetworkFamily:
        return Value::of(v4 ? nfproto_ipv4 : nfproto_ipv6);
    case Key::EtherType:
        return Value::of(v4 ? ethertype_ipv4 : ethertype_ipv6);
    case Key::Mark:
        return place.state.mark;
    // At egress it counts the header of the link layer as well.
    case Key::Length:
        return place.base.hook == Hook::Egress ? Value{} : value_or_unknown(facts.length);
    case Key::PacketType:
        // What this host sends itself is made as PACKET_HOST.
        return facts.path == PacketPath::Out ? Value::of(PACKET_HOST) : value_or_unknown(facts.packet_type);
    case Key::InputName:
        return device(place, true);
    case Key::OutputName:
        return device(place, false);
    case Key::Uid:
        return facts.path == PacketPath::Out ? value_or_unknown(facts.uid) : Value{};
    case Key::Gid:
        return facts.path == PacketPath::Out ? value_or_unknown(facts.gid) : Value{};
    case Key::ConntrackState:
        return conntrack_state(place);
    case Key::Unknown:
        break;
    }
    return {};
}

PacketState first_state(const PacketFacts& facts) {
    return {.source = address_value(facts.source),
            .destination = address_value(facts.destination),
            .source_port = value_or_unknown(facts.source_port),
            .destination_port = value_or_unknown(facts.destination_port),
            .mark = value_or_unknown(facts.mark),
            .dscp = value_or_unknown(facts.dscp),
            .conntrack = {}};
}

} // namespace kudo::firewall
