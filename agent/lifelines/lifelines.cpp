// SPDX-License-Identifier: MIT
#include "agent/lifelines/lifelines.h"

#include <algorithm>
#include <array>
#include <functional>
#include <iterator>
#include <map>

#include <fmt/format.h>
#include <netinet/in.h>

#include "maps/base/text.h"

namespace kudo {
namespace {

constexpr std::array<std::string_view, 9> names{
    "arp", "neighbour-discovery", "icmp-errors", "dhcp", "dns", "ntp", "ssh", "gateway", "map-sources"};
constexpr std::size_t max_named = 4;                                       // of the addresses that are left out
constexpr uint16_t dns_port = 53, dns_over_tls_port = 853, ntp_port = 123; // RFC 1035, RFC 7858, RFC 5905

constexpr __u8 both_open = KUDO_ALLOW_FROM | KUDO_ALLOW_TO;

kudo_allow of_kind(kudo_allow_kind kind) {
    return {
        .first_port = 0, .last_port = UINT16_MAX, .protocol = 0, .kind = static_cast<__u8>(kind), .flags = both_open};
}
kudo_allow of_port(uint8_t protocol, uint16_t port, __u8 who_opens) {
    return {
        .first_port = port, .last_port = port, .protocol = protocol, .kind = KUDO_ALLOW_PROTOCOL, .flags = who_opens};
}

std::vector<Prefix> only_family(Family family) {
    std::vector<Prefix> prefixes = any_prefixes();
    std::erase_if(prefixes, [family](const Prefix& prefix) { return prefix.address.family != family; });
    return prefixes;
}

std::vector<Prefix> hosts(const std::vector<Address>& addresses) {
    std::vector<Prefix> prefixes;
    for (const Address& address : addresses)
        prefixes.push_back(prefix_of(address, address.bits()));
    std::ranges::sort(prefixes);
    prefixes.erase(std::unique(prefixes.begin(), prefixes.end()), prefixes.end());
    return prefixes;
}

// The fewest prefixes that hold the same addresses and no others. `prefixes`: sorted, distinct, none within another.
std::vector<Prefix> shortest(const std::vector<Prefix>& prefixes) {
    std::vector<Prefix> result;
    for (Prefix next : prefixes) {
        while (!result.empty() && result.back().length == next.length && next.length > 0) {
            const auto parent_length = static_cast<uint8_t>(next.length - 1);
            const Prefix parent = prefix_of(result.back().address, parent_length);
            if (parent != prefix_of(next.address, parent_length)) break;
            next = parent;
            result.pop_back();
        }
        result.push_back(next);
    }
    return result;
}

// What is in both.
std::vector<Prefix> common(const std::vector<Prefix>& a, const std::vector<Prefix>& b) {
    std::vector<Prefix> result;
    for (const Prefix& one : a)
        for (const Prefix& other : b)
            if (one.contains(other))
                result.push_back(other);
            else if (other.contains(one))
                result.push_back(one);
    std::ranges::sort(result);
    result.erase(std::unique(result.begin(), result.end()), result.end());
    return result;
}

std::string remotes_text(const std::vector<Prefix>& remotes) {
    if (std::ranges::all_of(remotes, [](const Prefix& remote) { return remote.length == 0; })) return "any";
    std::string text;
    for (const Prefix& remote : remotes)
        text += (text.empty() ? "" : ",") +
                (remote.length == remote.address.bits() ? remote.address.text() : remote.text());
    return text;
}

// One lifeline on its way: what is restricted is left out as it is added.
class Maker {
public:
    Maker(const LifelineFacts& facts, Lifeline& lifeline) : facts_(facts), lifeline_(lifeline) {}

    void arp() { add("arp", of_kind(KUDO_ALLOW_ARP), "with", only_family(Family::IPv4)); }
    void neighbour_discovery() {
        add("neighbour discovery", of_kind(KUDO_ALLOW_NEIGHBOUR), "with", only_family(Family::IPv6));
    }
    void icmp_errors() { add("icmp errors", of_kind(KUDO_ALLOW_ICMP_ERROR), "with", any_prefixes()); }
    void dhcp() { add("dhcp", of_kind(KUDO_ALLOW_DHCP), "with", any_prefixes()); }
    void dns() {
        const bool told = facts_.only_stub && !lifeline_.only.empty(); // by the administrator
        const auto resolvers = told ? lifeline_.only : hosts(facts_.resolvers);
        add("udp/53", of_port(IPPROTO_UDP, dns_port, KUDO_ALLOW_TO), "to", resolvers);
        add("tcp/53", of_port(IPPROTO_TCP, dns_port, KUDO_ALLOW_TO), "to", resolvers);
        add("tcp/853", of_port(IPPROTO_TCP, dns_over_tls_port, KUDO_ALLOW_TO), "to", resolvers);
        if (facts_.only_stub && resolvers.empty()) {
            lifeline_.unknown = !facts_.queries_allowed;
            lifeline_.note = "the resolver is on this host, and which servers it asks is not known: ";
            lifeline_.note += facts_.queries_allowed
                                  ? "--allow says which it may"
                                  : "its queries are dropped. --lifeline dns=ADDRESS[,ADDRESS] names them, "
                                    "dns=0.0.0.0/0,::/0 admits all";
        } else if (!facts_.resolvers_unread.empty() && !told) {
            lifeline_.stale = !resolvers.empty();
            lifeline_.note = (resolvers.empty() ? "which name servers there are is not known: "
                                                : "the name servers of before are kept: ") +
                             facts_.resolvers_unread;
        } else if (resolvers.empty())
            lifeline_.note = "no resolver is configured";
        note_reduced(facts_.more_resolvers, "name server", max_resolvers);
    }
    void ntp() { add("udp/123", of_port(IPPROTO_UDP, ntp_port, KUDO_ALLOW_TO), "to", any_prefixes()); }
    void ssh() {
        const auto connection = parse_ssh_connection(facts_.ssh);
        if (!connection) {
            lifeline_.note = "the command was not given over SSH";
            return;
        }
        add(fmt::format("tcp/{}", connection->server_port),
            of_port(IPPROTO_TCP, connection->server_port, KUDO_ALLOW_FROM), "from", hosts({connection->client}));
    }
    void gateway() {
        const auto gateways = hosts(facts_.gateways);
        add("icmp", of_kind(KUDO_ALLOW_ECHO), "with", gateways);
        if (!facts_.gateways_unread.empty())
            lifeline_.note = "the default gateways are not known: " + facts_.gateways_unread;
        else if (gateways.empty())
            lifeline_.note = "there is no default gateway";
        note_reduced(facts_.more_gateways, "gateway", max_gateways);
    }
    void map_sources() {
        if (!facts_.sources_known) {
            lifeline_.note = "the service, kudo-agent run, has not told its sources yet";
            return;
        }
        if (facts_.sources.empty()) lifeline_.note = "the service has no source in the network";
        // One rule a port: several names often have the same address, and no more than 16 rules may be over one.
        std::map<uint16_t, std::vector<Address>> by_port;
        for (const MapSource& source : facts_.sources) {
            if (source.addresses.empty()) add_clause(lifeline_.note, source.name + " could not be resolved yet");
            std::ranges::copy(source.addresses, std::back_inserter(by_port[source.port]));
            note_left_out(source);
        }
        for (const auto& [port, addresses] : by_port)
            add(fmt::format("tcp/{}", port), of_port(IPPROTO_TCP, port, KUDO_ALLOW_TO), "to",
                shortest(hosts(addresses)));
    }

private:
    void note_reduced(std::size_t more, std::string_view noun, std::size_t limit) {
        if (more == 0) return;
        lifeline_.reduced = true;
        add_clause(lifeline_.note, fmt::format("{} beyond the first {} left out", counted(more, noun), limit));
    }
    void note_left_out(const MapSource& source) {
        if (source.left_out.empty()) return;
        lifeline_.reduced = true;
        std::vector<std::string> named;
        for (const Address& address : std::span(source.left_out).first(std::min(source.left_out.size(), max_named)))
            named.push_back(address.text());
        if (named.size() < source.left_out.size())
            named.push_back(fmt::format("{} more", source.left_out.size() - named.size()));
        add_clause(lifeline_.note,
                   fmt::format("{} beyond the first {} addresses of {} left out: {}", source.left_out.size(),
                               max_source_addresses, source.name, joined(named)));
    }
    void add(std::string_view what, const kudo_allow& rule, std::string_view word, std::vector<Prefix> remotes) {
        if (!lifeline_.only.empty()) remotes = common(remotes, lifeline_.only);
        if (remotes.empty()) return;
        std::string text = fmt::format("{} {} {}", what, word, remotes_text(remotes));
        lifeline_.rules.push_back(
            {.rule = rule, .remotes = std::move(remotes), .text = std::move(text), .lifeline = lifeline_.name});
    }

    const LifelineFacts& facts_;
    Lifeline& lifeline_;
};

constexpr std::array<void (Maker::*)(), names.size()> makers{&Maker::arp,         &Maker::neighbour_discovery,
                                                             &Maker::icmp_errors, &Maker::dhcp,
                                                             &Maker::dns,         &Maker::ntp,
                                                             &Maker::ssh,         &Maker::gateway,
                                                             &Maker::map_sources};

Result<void> add_setting(std::string_view spec, std::vector<LifelineSetting>& settings) {
    const auto equals = spec.find('=');
    const std::string name(spec.substr(0, equals));
    if (std::ranges::find(names, name) == names.end())
        return bad_input(fmt::format("there is no lifeline {}; there are {}", quoted_text(name),
                                     joined(std::vector<std::string>(names.begin(), names.end()))));
    if (equals == std::string_view::npos || equals + 1 == spec.size())
        return bad_input(fmt::format("{}: expected {}=off or {}=PREFIX[,PREFIX]", quoted_text(spec), name, name));
    auto place = std::ranges::find(settings, name, &LifelineSetting::name);
    if (place == settings.end()) place = settings.insert(place, {.name = name});
    const std::string_view value = spec.substr(equals + 1);
    if (value == "off") {
        place->off = true;
    } else {
        for (const std::string_view part : split(value))
            place->only.push_back(KUDO_TRY(Prefix::parse(part).in(quoted_text(spec))));
    }
    if (place->off && !place->only.empty())
        return bad_input(fmt::format("{}: off and restricted to prefixes at once", name));
    return {};
}

} // namespace

bool admits_queries(const kudo_allow& rule) {
    return rule.kind == KUDO_ALLOW_PROTOCOL && (rule.protocol == 0 || rule.protocol == IPPROTO_UDP) &&
           rule.first_port <= dns_port && rule.last_port >= dns_port && (rule.flags & KUDO_ALLOW_TO) != 0;
}

bool is_on_loopback(const Address& address) {
    static const Prefix loopbacks[] = {Prefix::parse("127.0.0.0/8").value(), Prefix::parse("::1").value()};
    return std::ranges::any_of(loopbacks, [&](const Prefix& prefix) { return prefix.contains(address); });
}

std::span<const std::string_view> lifeline_names() {
    return names;
}

Result<std::vector<LifelineSetting>> parse_lifelines(const std::vector<std::string>& specs) {
    std::vector<LifelineSetting> settings;
    for (const std::string& spec : specs)
        KUDO_TRY(add_setting(spec, settings));
    std::ranges::sort(settings, {}, [](const LifelineSetting& setting) {
        return std::ranges::find(names, setting.name) - names.begin();
    });
    for (LifelineSetting& setting : settings) {
        std::ranges::sort(setting.only);
        setting.only.erase(std::unique(setting.only.begin(), setting.only.end()), setting.only.end());
    }
    return settings;
}

std::string lifeline_text(const LifelineSetting& setting) {
    if (setting.off) return setting.name + "=off";
    std::vector<std::string> prefixes;
    for (const Prefix& prefix : setting.only)
        prefixes.push_back(prefix.text());
    std::string text = setting.name + "=";
    for (std::size_t i = 0; i < prefixes.size(); ++i)
        text += (i == 0 ? "" : ",") + prefixes[i];
    return text;
}

std::vector<Lifeline> make_lifelines(const LifelineFacts& facts, std::span<const LifelineSetting> settings) {
    std::vector<Lifeline> lifelines;
    for (std::size_t i = 0; i < names.size(); ++i) {
        Lifeline& lifeline = lifelines.emplace_back(Lifeline{.name = std::string(names[i])});
        const auto setting = std::ranges::find(settings, lifeline.name, &LifelineSetting::name);
        if (setting != settings.end()) {
            lifeline.off = setting->off;
            lifeline.only = setting->only;
        }
        if (lifeline.off) continue;
        Maker maker(facts, lifeline);
        std::invoke(makers[i], maker);
        if (lifeline.rules.empty() && lifeline.note.empty())
            lifeline.note = "none of its remotes is in the prefixes that it is restricted to";
    }
    return lifelines;
}

} // namespace kudo
