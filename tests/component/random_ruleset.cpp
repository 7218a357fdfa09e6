// SPDX-License-Identifier: MIT
#include "tests/component/random_ruleset.h"

#include <netinet/in.h>

#include <fmt/format.h>

namespace kudo::test {
namespace {

const char* ip_word(const PacketFacts& facts) {
    return facts.source.family == Family::IPv4 ? "ip" : "ip6";
}
const char* transport_word(const PacketFacts& facts) {
    return facts.protocol == IPPROTO_UDP ? "udp" : "tcp";
}

} // namespace

// The packet's own about as often as another.
std::string RandomRuleset::some_address(bool source) {
    const bool v4 = facts_.source.family == Family::IPv4;
    if (chance(55)) return (source ? facts_.source : facts_.destination).text();
    return v4 ? fmt::format("{}.{}.0.{}", 11 + number(80), number(250), 1 + number(200))
              : fmt::format("2001:db8:{:x}::{:x}", number(65000), 1 + number(65000));
}

std::string RandomRuleset::some_port(bool source) {
    const uint16_t own = (source ? facts_.source_port : facts_.destination_port).value_or(0);
    return std::to_string(chance(55) ? own : 1 + number(30000));
}

// One, a prefix, an interval, or a set of those.
std::string RandomRuleset::address_value(bool source) {
    const bool v4 = facts_.source.family == Family::IPv4;
    const Address own = source ? facts_.source : facts_.destination;
    switch (number(5)) {
    case 0:
        return some_address(source);
    case 1:
        return prefix_of(own, v4 ? 8 + number(24) : 16 + number(100)).text();
    case 2: {
        Address first = own, last = own;
        first.bytes[v4 ? 3 : 15] = 0;
        last.bytes[v4 ? 3 : 15] = static_cast<uint8_t>(number(256)); // may end before the packet's
        if (last.bytes[v4 ? 3 : 15] == 0) last.bytes[v4 ? 3 : 15] = 1;
        return first.text() + "-" + last.text();
    }
    case 3:
        return fmt::format("{{ {}, {} }}", some_address(source), v4 ? "198.51.100.0/24" : "2001:db8:ffff::/48");
    default:
        return source ? "@sources" : "@destinations";
    }
}

std::string RandomRuleset::port_value(bool source) {
    const uint16_t own = (source ? facts_.source_port : facts_.destination_port).value_or(0);
    switch (number(6)) {
    case 0:
        return some_port(source);
    case 1:
        return fmt::format("{}-{}", own - number(10), own + number(10) + 1);
    case 2:
        return fmt::format("{{ {}, 7, 500-600 }}", some_port(source));
    case 3:
        return fmt::format("> {}", chance(50) ? own - 1 : own);
    case 4:
        return fmt::format("!= {}", some_port(source));
    default:
        return source ? "> 0" : "@ports";
    }
}

std::string RandomRuleset::condition() {
    const char *ip = ip_word(facts_), *transport = transport_word(facts_);
    const char* unequal = chance(20) ? "!= " : "";
    switch (number(18)) {
    case 0:
    case 1:
        return fmt::format("{} saddr {}{}", ip, unequal, address_value(true));
    case 2:
    case 3:
        return fmt::format("{} daddr {}{}", ip, unequal, address_value(false));
    case 4:
    case 5:
        return fmt::format("{} dport {}", transport, port_value(false));
    case 6:
        return fmt::format("{} sport {}", transport, port_value(true));
    case 7:
        return fmt::format("{} saddr . {} dport {{ {} . {}, {} . 500-600 }}", ip, transport, some_address(true),
                           some_port(false), some_address(true));
    case 8:
        return pick({"meta l4proto { tcp, udp }", "meta l4proto != tcp", "meta l4proto udp", "udp length > 60"});
    case 9:
        return pick({"iifname \"eth0\"", "oifname \"eth*\"", "iifname != \"lo\"", "oifname \"wlan0\"", "iif lo"});
    case 10:
        return pick({"meta mark 0", "meta mark and 0xff == 0x4b", "meta mark != 7", "meta mark 1-100"});
    case 11:
        return pick({"ct state new", "ct state established,related", "ct state invalid", "ct state { new, untracked }",
                     "ct state != established"});
    case 12:
        return pick({"meta length > 100", "meta length 60-200", "meta length < 50"});
    case 13:
        return pick({"meta nfproto ipv4", "meta nfproto ipv6", "meta pkttype host"});
    case 14:
        return fmt::format("{} dscp {}", ip, pick({"ef", "cs0", "{ ef, af41, cs0 }", "!= cs0"}));
    case 15:
        return pick({"limit rate over 2/second burst 2 packets", "limit rate 1/second burst 3 packets",
                     "fib daddr type local", "numgen inc mod 3 0", "ct mark 0"});
    case 16:
        return transport == std::string("tcp") ? "tcp flags & (syn|ack) == syn" : "udp length != 9";
    default:
        return fmt::format("th dport {}", port_value(false));
    }
}

// Only chains behind one's own: no circles.
std::string RandomRuleset::target(unsigned chain, unsigned chains) {
    return "c" + std::to_string(chain + 1 + number(chains - chain - 1));
}

std::string RandomRuleset::verdict_map(unsigned chain, unsigned chains) {
    const std::string jump = chain + 1 < chains ? "jump " + target(chain, chains) : "continue";
    const char* end = pick({"drop", "drop", "accept", "return"});
    switch (number(4)) {
    case 0:
        return fmt::format("{} dport vmap {{ {} : {}, 1-3 : drop }}", transport_word(facts_), some_port(false),
                           chance(50) ? jump : end);
    case 1:
        return fmt::format("{} saddr vmap {{ {} : {}, {} : drop }}", ip_word(facts_), some_address(true), end,
                           facts_.source.family == Family::IPv4 ? "203.0.113.0/24" : "2001:db8:eeee::/48");
    case 2:
        return fmt::format("ct state vmap {{ established : {}, related : accept, invalid : drop, new : {} }}",
                           pick({"accept", "drop", "continue"}), chance(50) ? jump : end);
    default:
        return fmt::format("{} daddr . {} dport vmap {{ {} . {} : {} }}", ip_word(facts_), transport_word(facts_),
                           some_address(false), some_port(false), chance(50) ? jump : end);
    }
}

std::string RandomRuleset::verdict(unsigned chain, unsigned chains) {
    const unsigned which = number(100);
    if (which < 34) return "drop";
    if (which < 40) return "reject";
    if (which < 52) return "accept";
    if (which < 60) return "return";
    if (which < 76 && chain + 1 < chains) return (which < 70 ? "jump " : "goto ") + target(chain, chains);
    if (which < 86)
        return pick(
            {"meta mark set 0x4b", "meta mark set 7", "meta mark set meta mark or 0x40", "ct mark set meta mark"});
    if (which < 90)
        return fmt::format("meta mark set {} dport map {{ {} : 0x4b, 2 : 3 }}", transport_word(facts_),
                           some_port(false));
    return "log prefix \"seen\" drop";
}

std::string RandomRuleset::rule(unsigned chain, unsigned chains) {
    std::string text = "  ";
    const unsigned conditions = number(3);
    for (unsigned index = 0; index < conditions; index++)
        text += condition() + " ";
    if (chance(60)) text += "counter ";
    text += chance(18) ? verdict_map(chain, chains) : verdict(chain, chains);
    return text + "\n";
}

std::string RandomRuleset::base_chain(unsigned index, unsigned chains) {
    const bool in = facts_.path == PacketPath::In;
    const char* hook = in ? pick({"prerouting", "input", "input"}) : pick({"output", "output", "postrouting"});
    std::string text = fmt::format(" chain b{} {{ type filter hook {} priority {}; policy {};\n", index, hook,
                                   static_cast<int>(number(500)) - 250, chance(35) ? "drop" : "accept");
    for (unsigned count = 1 + number(6); count > 0; count--)
        text += rule(0, chains);
    return text + " }\n";
}

std::string RandomRuleset::table(unsigned index) {
    const char* ip = ip_word(facts_);
    const bool v4 = facts_.source.family == Family::IPv4;
    std::string text = fmt::format("table {} t{} {{\n", chance(60) ? "inet" : ip, index);
    for (const bool source : {true, false})
        text += fmt::format(" set {} {{ type {}; flags interval; elements = {{ {}, {} }} }}\n",
                            source ? "sources" : "destinations", v4 ? "ipv4_addr" : "ipv6_addr", some_address(source),
                            v4 ? "192.0.2.0/24, 198.18.0.1-198.18.0.9" : "2001:db8:1::/48");
    text += fmt::format(" set ports {{ type inet_service; flags interval; elements = {{ {}, 40-50 }} }}\n",
                        some_port(false));
    const unsigned chains = 1 + number(4);
    for (unsigned chain = chains - 1; chain > 0; chain--) { // those that are jumped to first
        text += fmt::format(" chain c{} {{\n", chain);
        for (unsigned count = 1 + number(3); count > 0; count--)
            text += rule(chain, chains);
        text += " }\n";
    }
    for (unsigned count = 1 + number(2), at = 0; at < count; at++)
        text += base_chain(at, chains);
    return text + "}\n";
}

// Ingress, before everything else.
std::string RandomRuleset::device_table() {
    return fmt::format(
        "table netdev dev {{\n chain ingress {{ type filter hook ingress device eth0 priority {}; policy {};\n"
        "  {} saddr {} {}counter {}\n }}\n}}\n",
        number(3), chance(10) ? "drop" : "accept", ip_word(facts_), some_address(true),
        chance(50) ? "meta length > 60 " : "", pick({"drop", "accept", "meta mark set 0x4b"}));
}

// Somebody else's connections, or this one's.
std::string RandomRuleset::nat_table() {
    const bool in = facts_.path == PacketPath::In;
    return fmt::format("table {} nat {{\n chain {} {{ type nat hook {} priority {}; policy {};\n"
                       "  {} {} dport {} {}\n }}\n}}\n",
                       ip_word(facts_), in ? "pre" : "post", in ? "prerouting" : "postrouting", in ? -100 : 100,
                       chance(8) ? "drop" : "accept", chance(50) ? "counter" : "", transport_word(facts_),
                       chance(30) ? some_port(false) : "7", in ? "redirect to :40001" : "masquerade");
}

std::string RandomRuleset::text() {
    std::string all;
    if (facts_.path == PacketPath::In && chance(15)) all += device_table();
    if (chance(15)) all += nat_table();
    if (chance(8))
        all += fmt::format(
            "table {} raw {{\n chain c {{ type filter hook {} priority -300;\n  {} dport {} notrack\n }}\n}}\n",
            ip_word(facts_), facts_.path == PacketPath::In ? "prerouting" : "output", transport_word(facts_),
            some_port(false));
    for (unsigned count = 1 + number(2), index = 0; index < count; index++)
        all += table(index);
    return all;
}

} // namespace kudo::test
