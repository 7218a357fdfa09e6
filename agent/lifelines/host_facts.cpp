// SPDX-License-Identifier: MIT
#include "agent/lifelines/host_facts.h"

#include <algorithm>

#include "agent/netlink/interfaces.h"
#include "agent/netlink/routes.h"
#include "agent/system/files.h"
#include "maps/base/text.h"

namespace kudo {
namespace {

constexpr std::size_t max_resolv_conf = 65536;

constexpr const char* resolv_conf = "/etc/resolv.conf";
// Where a resolver on this host is in the first file, the servers that it asks are in one of these.
constexpr const char* behind_stub[] = {
    "/run/systemd/resolve/resolv.conf",        // systemd-resolved.service(8)
    "/run/NetworkManager/no-stub-resolv.conf", // NetworkManager.conf(5), of its dnsmasq too
    "/run/dnsmasq/resolv.conf"};               // Debian's dnsmasq with resolvconf

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
            if (hop && *hop && (*hop)->neighbour != to) facts.gateways.push_back((*hop)->neighbour);
        }
    }
    std::ranges::sort(facts.gateways);
    facts.gateways.erase(std::unique(facts.gateways.begin(), facts.gateways.end()), facts.gateways.end());
    if (facts.gateways.size() > max_gateways) facts.more_gateways = facts.gateways.size() - max_gateways;
    facts.gateways.resize(facts.gateways.size() - facts.more_gateways);
    return {};
}

} // namespace

std::vector<Address> name_servers(std::string_view content) {
    std::vector<Address> servers;
    for (std::string_view line : split(content, '\n')) {
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

std::vector<std::filesystem::path> resolver_files() {
    std::vector<std::filesystem::path> files{resolv_conf};
    files.insert(files.end(), std::begin(behind_stub), std::end(behind_stub));
    return files;
}

LifelineFacts read_resolvers() {
    LifelineFacts facts;
    const auto add = [&](const std::vector<Address>& from) {
        for (const Address& server : from)
            if (!is_on_loopback(server) && std::ranges::find(facts.resolvers, server) == facts.resolvers.end())
                facts.resolvers.push_back(server);
    };
    bool has_stub = false;
    if (const auto content = read_file(resolv_conf, max_resolv_conf)) {
        const auto servers = name_servers(*content);
        add(servers);
        has_stub = std::ranges::any_of(servers, is_on_loopback);
    } else {
        facts.resolvers_unread = content.error().message;
    }
    if (has_stub) {
        std::string unread;
        for (const char* file : behind_stub) {
            if (const auto content = read_file(file, max_resolv_conf))
                add(name_servers(*content));
            else if (content.error().number != ENOENT || unread.empty())
                unread = content.error().message;
        }
        if (facts.resolvers.empty()) facts.resolvers_unread = unread;
    }
    facts.only_stub = has_stub && facts.resolvers.empty();
    if (facts.resolvers.size() > max_resolvers) facts.more_resolvers = facts.resolvers.size() - max_resolvers;
    facts.resolvers.resize(facts.resolvers.size() - facts.more_resolvers);
    return facts;
}

LifelineFacts read_lifeline_facts() {
    LifelineFacts facts = read_resolvers();
    if (const auto read = read_gateways(facts); !read) facts.gateways_unread = read.error().message;
    return facts;
}

} // namespace kudo
