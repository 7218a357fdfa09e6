// SPDX-License-Identifier: MIT
#include "cli/firewall/formats.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "cli/terminal/output.h"

namespace kudo {
namespace {

// The first lines, each behind `mark`.
std::string header(const FirewallRules& rules, std::string_view mark, const std::vector<std::string>& how) {
    std::vector<std::string> lines{
        fmt::format("KUDO's traffic by range map {} ({}), region {}{}.", rules.serial, one_line(rules.source),
                    fmt::join(rules.regions, ", "), rules.teams ? ", with teams" : ""),
        "Made by kudo-agent firewall show. Make it again when the range map changes; kudo-agent firewall sync keeps",
        "nftables sets up to date by itself."};
    lines.insert(lines.end(), how.begin(), how.end());
    for (const std::string& note : rules.notes)
        lines.push_back("Note: " + one_line(note));
    std::string text;
    for (const std::string& line : lines)
        text += fmt::format("{}{}\n", mark, line);
    return text;
}

// What is above the rules of a service.
std::string words_for(const FirewallRule& rule) {
    if (rule.state == "retiring")
        return fmt::format("{}: withdrawn by the range map in effect, honoured until its grace period ends",
                           rule.name());
    if (rule.state == "early") return fmt::format("{}: of a range map that takes effect later", rule.name());
    return rule.name();
}

std::string ports_text(const FirewallRule& rule) {
    return fmt::format("{}", fmt::join(rule.ports, ","));
}

std::string prefixes_text(const std::vector<Prefix>& prefixes) {
    std::string text;
    for (const Prefix& prefix : prefixes)
        text += (text.empty() ? "" : ", ") + prefix.text();
    return text;
}

template <typename Visit> void each_family(const FirewallRule& rule, Visit visit) {
    if (!rule.ipv4.empty()) visit(Family::IPv4, rule.ipv4);
    if (!rule.ipv6.empty()) visit(Family::IPv6, rule.ipv6);
}

std::string nft_chain(const FirewallRules& rules, bool out) {
    std::string text;
    for (const FirewallRule& rule : rules.rules) {
        text += fmt::format("\t\t# {}\n", words_for(rule));
        each_family(rule, [&](Family family, const std::vector<Prefix>& prefixes) {
            text += fmt::format("\t\t{}{} {} {{ {} }} {} {} {{ {} }} accept comment \"{}\"\n",
                                out ? "" : "ct state established ", family == Family::IPv4 ? "ip" : "ip6",
                                out ? "daddr" : "saddr", prefixes_text(prefixes), rule.protocol,
                                out ? "dport" : "sport", ports_text(rule), rule.name());
        });
    }
    return text;
}

std::string iptables_chain(const FirewallRules& rules, bool out) {
    std::string text;
    for (const FirewallRule& rule : rules.rules) {
        text += fmt::format("# {}\n", words_for(rule));
        each_family(rule, [&](Family family, const std::vector<Prefix>& prefixes) {
            for (const Prefix& prefix : prefixes)
                text += fmt::format("{} -A {} {} {} -p {} -m multiport {} {}{} -m comment --comment \"{}\" -j ACCEPT\n",
                                    family == Family::IPv4 ? "-4" : "-6", out ? "KUDO-OUT" : "KUDO-IN",
                                    out ? "-d" : "-s", prefix.text(), rule.protocol, out ? "--dports" : "--sports",
                                    ports_text(rule), out ? "" : " -m conntrack --ctstate ESTABLISHED", rule.name());
        });
    }
    return text;
}

OrderedJson texts_of(const std::vector<Prefix>& prefixes) {
    OrderedJson list = OrderedJson::array();
    for (const Prefix& prefix : prefixes)
        list.push_back(prefix.text());
    return list;
}

// XML 1.0 section 2.4, and no "--" in a comment (section 2.5).
std::string in_xml_comment(std::string text) {
    for (std::size_t at = 0; (at = text.find("--", at)) != std::string::npos;)
        text.insert(at + 1, " ");
    return text;
}

} // namespace

std::string nft_text(const FirewallRules& rules) {
    return header(rules, "# ",
                  {"Load it: nft -f FILE. Then, once, in your own chains for outgoing and incoming packets:",
                   "  nft add rule inet filter output jump kudo_out",
                   "  nft add rule inet filter input jump kudo_in"}) +
           "table inet filter {\n\tchain kudo_out {\n\t}\n\n\tchain kudo_in {\n\t}\n}\n"
           "flush chain inet filter kudo_out\nflush chain inet filter kudo_in\n"
           "table inet filter {\n\tchain kudo_out {\n" +
           nft_chain(rules, true) + "\t}\n\n\tchain kudo_in {\n" + nft_chain(rules, false) + "\t}\n}\n";
}

std::string iptables_text(const FirewallRules& rules) {
    return header(rules, "# ",
                  {"Load it: iptables-restore --noflush FILE; ip6tables-restore --noflush FILE. Then, once, for both:",
                   "  iptables -A OUTPUT -j KUDO-OUT; iptables -A INPUT -j KUDO-IN",
                   "  ip6tables -A OUTPUT -j KUDO-OUT; ip6tables -A INPUT -j KUDO-IN"}) +
           "*filter\n:KUDO-OUT - [0:0]\n:KUDO-IN - [0:0]\n" + iptables_chain(rules, true) +
           iptables_chain(rules, false) + "COMMIT\n";
}

std::string ufw_text(const FirewallRules& rules) {
    std::string text = "#!/bin/sh -e\n" +
                       header(rules, "# ",
                              {"Run it: sh FILE. ufw itself lets answers in (ct state established). It does not remove",
                               "the rules of an older range map: ufw status numbered shows them by their comments."});
    for (const FirewallRule& rule : rules.rules) {
        text += fmt::format("# {}\n", words_for(rule));
        each_family(rule, [&](Family, const std::vector<Prefix>& prefixes) {
            for (const Prefix& prefix : prefixes)
                text += fmt::format("ufw allow out proto {} to {} port {} comment '{}'\n", rule.protocol, prefix.text(),
                                    ports_text(rule), rule.name());
        });
    }
    return text;
}

std::string firewalld_text(const FirewallRules& rules) {
    std::string text =
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<!--\n" +
        in_xml_comment(header(rules, "",
                              {"Install it as /etc/firewalld/policies/kudo.xml, then: firewall-cmd with option reload.",
                               "firewalld itself lets answers in (ct state established)."})) +
        "-->\n<policy priority=\"-100\" target=\"CONTINUE\">\n  <short>KUDO</short>\n"
        "  <ingress-zone name=\"HOST\"/>\n  <egress-zone name=\"ANY\"/>\n";
    for (const FirewallRule& rule : rules.rules) {
        text += fmt::format("  <!-- {} -->\n", in_xml_comment(words_for(rule)));
        each_family(rule, [&](Family family, const std::vector<Prefix>& prefixes) {
            for (const Prefix& prefix : prefixes)
                for (const uint16_t port : rule.ports)
                    text += fmt::format("  <rule family=\"{}\">\n    <destination address=\"{}\"/>\n"
                                        "    <port port=\"{}\" protocol=\"{}\"/>\n    <accept/>\n  </rule>\n",
                                        family == Family::IPv4 ? "ipv4" : "ipv6", prefix.text(), port, rule.protocol);
        });
    }
    return text + "</policy>\n";
}

OrderedJson firewall_json(const FirewallRules& rules) {
    OrderedJson list = OrderedJson::array();
    for (const FirewallRule& rule : rules.rules)
        list.push_back({{"service", rule.service},
                        {"state", text_or_null(rule.state)},
                        {"protocol", rule.protocol},
                        {"ports", rule.ports},
                        {"ipv4", texts_of(rule.ipv4)},
                        {"ipv6", texts_of(rule.ipv6)}});
    return {{"map", {{"serial", rules.serial}, {"source", rules.source}}},
            {"regions", rules.regions},
            {"teams", rules.teams},
            {"rules", std::move(list)},
            {"notes", rules.notes}};
}

} // namespace kudo
