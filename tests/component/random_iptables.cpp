// SPDX-License-Identifier: MIT
#include "tests/component/random_iptables.h"

#include <netinet/in.h>

#include <random>

#include <fmt/format.h>

namespace kudo::test {
namespace {

class IptablesRules {
public:
    IptablesRules(uint64_t seed, const PacketFacts& facts) : random_(seed), facts_(facts) {}

    std::string text() {
        const bool in = facts_.path == PacketPath::In;
        const char* chain = in ? "INPUT" : "OUTPUT";
        std::string filter = fmt::format("*filter\n:{} {} [0:0]\n:calls - [0:0]\n:later - [0:0]\n", chain,
                                         chance(50) ? "DROP" : "ACCEPT");
        for (unsigned count = 2 + number(5); count > 0; count--)
            filter += rule(chain, 2);
        for (unsigned count = 1 + number(3); count > 0; count--)
            filter += rule("calls", 1) + rule("later", 0);
        filter += "COMMIT\n";
        if (chance(60)) return filter;
        chain = in ? "PREROUTING" : "OUTPUT";
        return fmt::format("*mangle\n:{} ACCEPT [0:0]\n-A {} {} -j MARK --set-xmark 0x4b/0xff\n{}COMMIT\n", chain,
                           chain, condition(), chance(40) ? rule(chain, 0) : "") +
               filter;
    }

private:
    unsigned number(unsigned below) { return static_cast<unsigned>(random_() % below); }
    bool chance(unsigned percent) { return number(100) < percent; }
    const char* pick(std::initializer_list<const char*> list) {
        return *(list.begin() + number(static_cast<unsigned>(list.size())));
    }
    uint16_t port(bool source) {
        const uint16_t own = (source ? facts_.source_port : facts_.destination_port).value_or(0);
        return chance(60) ? own : static_cast<uint16_t>(1 + number(30000));
    }

    std::string condition() {
        const char *no = chance(25) ? "! " : "", *protocol = facts_.protocol == IPPROTO_UDP ? "udp" : "tcp";
        const Address& own = chance(50) ? facts_.source : facts_.destination;
        const char* side = own == facts_.source ? "-s" : "-d";
        const auto transport = [&](const std::string& more) { return fmt::format("-p {} {}", protocol, more); };
        switch (number(14)) {
        case 0:
            return fmt::format("{}{} {}", no, side, prefix_of(own, 8 + number(25)).text());
        case 1:
            return fmt::format("{}{} 192.0.2.0/24", no, side);
        case 2:
            return transport(fmt::format("{}--dport {}", no, port(false)));
        case 3:
            return transport(fmt::format("--sport {}:{}", 1 + number(3000), port(true) + 10));
        case 4:
            return transport(fmt::format("-m multiport {}--dports {},7,500:600", no, port(false)));
        case 5:
            return fmt::format("-m conntrack {}--ctstate {}", no,
                               pick({"NEW", "ESTABLISHED", "RELATED,ESTABLISHED", "INVALID"}));
        case 6:
            return fmt::format("-m mark {}--mark {}", no, pick({"0x4b/0xff", "0x0", "0x7"}));
        case 7:
            return fmt::format("-m length {}--length {}", no, pick({"0:60", "100:500", "128"}));
        case 8:
            return fmt::format("-m dscp {}--dscp 0x2e", no);
        case 9:
            return facts_.path == PacketPath::In ? pick({"-i eth0", "! -i eth+", "-i lo"})
                                                 : pick({"-o eth+", "-o wlan0"});
        case 10:
            return pick({"-m limit --limit 2/sec --limit-burst 2", "-m statistic --mode nth --every 3 --packet 0"});
        case 11:
            return "-m comment --comment \"-j ACCEPT \\\"calls\\\"\"";
        case 12:
            return fmt::format("-m iprange {}--src-range {}-255.255.255.255", no, facts_.source.text());
        default:
            return transport("");
        }
    }

    // `below`: how many other chains it may jump to.
    std::string rule(const std::string& chain, unsigned below) {
        std::string words = "-A " + chain;
        const bool two = chance(40);
        std::string first = condition();
        const std::string second = condition();
        words += " " + first;
        if (two && (first.find("-p ") == std::string::npos || second.find("-p ") == std::string::npos))
            words += " " + second;
        const char* target = pick({"DROP", "DROP", "REJECT", "ACCEPT", "RETURN", "LOG"});
        if (below > 0 && chance(30)) target = below == 2 && chance(50) ? "calls" : "later";
        return words + " -j " + target + "\n";
    }

    std::mt19937_64 random_;
    PacketFacts facts_;
};

} // namespace

std::string random_iptables(uint64_t seed, const PacketFacts& facts) {
    return IptablesRules(seed, facts).text();
}

} // namespace kudo::test
