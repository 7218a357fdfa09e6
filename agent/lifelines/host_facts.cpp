// SPDX-License-Identifier: MIT
#include "agent/lifelines/host_facts.h"

#include <algorithm>

#include "agent/netlink/interfaces.h"
#include "agent/netlink/routes.h"
#include "agent/system/files.h"
#include "maps/base/text.h"

namespace kudo {
namespace {

constexpr std::size_t max_resolv_conf = 65536, max_resolvers = 16, max_gateways = 32;

std::vector<Address> servers_in(const char* file) {
    const auto content = read_file(file, max_resolv_conf);
    return content ? name_servers(*content) : std::vector<Address>{};
}

// systemd-resolved's stub is in the one file, the servers that it asks are in the other: systemd-resolved.service(8).
void read_resolvers(LifelineFacts& facts) {
    const auto servers = servers_in("/etc/resolv.conf");
    const auto add = [&](const std::vector<Address>& from) {
        for (const Address& server : from)
            if (!is_on_loopback(server) && facts.resolvers.size() < max_resolvers &&
                std::ranges::find(facts.resolvers, server) == facts.resolvers.end())
                facts.resolvers.push_back(server);
    };
    add(servers);
    const bool has_stub = std::ranges::any_of(servers, is_on_loopback);
    if (has_stub) add(servers_in("/run/systemd/resolve/resolv.conf"));
    facts.only_stub = has_stub && facts.resolvers.empty();
}

// Of every interface that has a default route: the neighbour by which the kernel would send to an address far away.
// That is one of a root name server's (RFC 7720), which no private route leads to; nothing is sent to it.
Result<void> read_gateways(LifelineFacts& facts) {
    static const Address far_away[] = {Address::parse("198.41.0.4").value(),
                                       Address::parse("2001:503:ba3e::2:30").value()};
    auto routes = KUDO_TRY(Routes::open());
    const auto interfaces = KUDO_TRY(list_interfaces());
    for (const Interface& interface : interfaces) {
        if (interface.loopback || !interface.up) continue;
        for (const Address& to : far_away) {
            const auto hop = routes.next_hop({.to = to, .out = interface.index});
            if (hop && *hop && (*hop)->neighbour != to && facts.gateways.size() < max_gateways)
                facts.gateways.push_back((*hop)->neighbour);
        }
    }
    std::ranges::sort(facts.gateways);
    facts.gateways.erase(std::unique(facts.gateways.begin(), facts.gateways.end()), facts.gateways.end());
    return {};
}

} // namespace

std::vector<Address> name_servers(std::string_view resolv_conf) {
    std::vector<Address> servers;
    for (std::string_view line : split(resolv_conf, '\n')) {
        constexpr std::string_view keyword = "nameserver", blanks = " \t\r";
        if (!line.starts_with(keyword)) continue;
        line.remove_prefix(keyword.size());
        const auto begin = line.find_first_not_of(blanks);
        if (begin == 0 || begin == std::string_view::npos) continue;
        std::string_view word = line.substr(begin);
        word = word.substr(0, word.find_first_of(blanks));
        if (const auto address = Address::parse(word.substr(0, word.find('%')))) servers.push_back(*address);
    }
    return servers;
}

LifelineFacts read_lifeline_facts() {
    LifelineFacts facts;
    read_resolvers(facts);
    [[maybe_unused]] const auto read = read_gateways(facts); // what cannot be asked for is not there
    return facts;
}

} // namespace kudo
