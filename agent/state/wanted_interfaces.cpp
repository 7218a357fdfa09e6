// SPDX-License-Identifier: MIT
#include "agent/state/wanted_interfaces.h"

#include <unistd.h>

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "agent/datapath/pin_folder.h"
#include "agent/netlink/interface_number.h"
#include "maps/base/text.h"
#include "maps/compile/combine.h"
#include "maps/net/nat64.h"

namespace kudo {
namespace {

constexpr std::size_t max_range_questions = 400, max_interface_questions = 8, max_sources = 4;
constexpr unsigned parts_of_range = 4; // that are asked for apart: a route may lead to a part of a range

std::string names_of(const std::vector<Interface>& interfaces) {
    std::vector<std::string> names;
    std::ranges::transform(interfaces, std::back_inserter(names), &Interface::name);
    return joined(names);
}

const Interface* find_index(const std::vector<Interface>& interfaces, uint32_t index) {
    const auto found = std::ranges::find(interfaces, index, &Interface::index);
    return found == interfaces.end() ? nullptr : &*found;
}

// --- The names of before.

std::filesystem::path names_folder(const std::filesystem::path& data_path_folder) {
    return data_path_folder / "names";
}

// A symbolic link to the ifindex. In hexadecimal: a bpffs takes no dots in names, which "eth0.100" has.
std::filesystem::path name_link(const std::filesystem::path& data_path_folder, std::string_view name) {
    return names_folder(data_path_folder) / hex({reinterpret_cast<const unsigned char*>(name.data()), name.size()});
}

uint32_t remembered_index(const std::filesystem::path& link) {
    std::error_code error;
    return interface_number(std::filesystem::read_symlink(link, error).string()).value_or(0);
}

// --- What is named.

// `name` is what the interface is called now, or another name of it, or what it was called before; null: nothing is.
const Interface* resolve(const std::vector<Interface>& all, const std::string& name,
                         const std::filesystem::path& data_path_folder) {
    if (const auto found = std::ranges::find(all, name, &Interface::name); found != all.end()) return &*found;
    const auto called =
        std::ranges::find_if(all, [&](const Interface& interface) { return interface.is_called(name); });
    if (called != all.end()) return &*called;
    return find_index(all, remembered_index(name_link(data_path_folder, name)));
}

Result<void> add_named(const std::vector<Interface>& all, const std::string& name,
                       const std::filesystem::path& data_path_folder, bool must_exist, WantedInterfaces& wanted) {
    const Interface* found = resolve(all, name, data_path_folder);
    if (!found) {
        if (must_exist)
            return bad_input(fmt::format("--interface {}: no such interface; there are: {}", name, names_of(all)));
        wanted.missing.push_back(name);
        wanted.warnings.push_back(fmt::format("{} does not exist now; nothing is attached to it", name));
        return {};
    }
    wanted.named[name] = found->index;
    if (!found->is_called(name)) wanted.warnings.push_back(fmt::format("{} is now called {}", name, found->name));
    if (!found->supported) {
        if (must_exist)
            return bad_input(
                fmt::format("--interface {}: neither Ethernet nor bare IP; its packets cannot be classified", name));
        wanted.warnings.push_back(fmt::format("{} is neither Ethernet nor bare IP; nothing is attached to it", name));
    } else if (!find_index(wanted.present, found->index)) {
        wanted.present.push_back(*found);
    }
    return {};
}

// --- The routes.

// What is asked for one service and family.
struct RouteGroup {
    std::string service;
    Family family = Family::IPv4;
    bool nat64 = false; // IPv6 that stands for the service's IPv4
    std::vector<const Range*> ranges;
    std::vector<PortRule> ports;
    std::vector<RouteQuestion> questions{};
    std::set<uint32_t> interfaces{}; // the answers
};

// Of one of the four parts of a prefix. Not its first address, which is the broadcast address of before, or a router's
// anycast address.
Address host_in(const Prefix& prefix, unsigned part = 0) {
    Address address = prefix.address;
    for (unsigned bit = 0; bit < 2; bit++) // of the part's number, behind the prefix
        if (const unsigned at = prefix.length + bit; at < address.bits() && (part & (2U >> bit)) != 0)
            address.bytes[at / 8] |= static_cast<uint8_t>(0x80 >> at % 8);
    if (prefix.length + 3U < address.bits()) address.bytes[address.bits() / 8 - 1] |= 1;
    return address;
}
// The parts that differ: one of a /32, two of a /31.
unsigned quarters_of(const Prefix& prefix) {
    return std::min(parts_of_range, 1U << std::min(2U, prefix.address.bits() - prefix.length));
}

std::vector<RouteGroup> group_ranges(const RangeMap& map, const CompileOptions& options) {
    std::vector<RouteGroup> groups;
    for (const Service& service : map.services) {
        if (!is_chosen(service, options)) continue;
        const std::string name(parts_of(service.name).service); // early and retiring ranges are the service's too
        for (const Family family : {Family::IPv4, Family::IPv6}) {
            auto group = std::ranges::find_if(
                groups, [&](const RouteGroup& other) { return other.service == name && other.family == family; });
            for (const Range& range : service.ranges) {
                if (range.prefix.address.family != family) continue;
                if (group == groups.end())
                    group = groups.insert(groups.end(),
                                          {.service = name, .family = family, .ranges = {}, .ports = service.ports});
                group->ranges.push_back(&range);
            }
        }
    }
    return groups;
}

void ask_for(RouteGroup& group, const Address& address) {
    const PortRule port = group.ports.empty() ? PortRule{} : group.ports[group.questions.size() % group.ports.size()];
    group.questions.push_back({.to = address, .protocol = port.protocol, .port = port.port});
}

std::vector<RouteGroup> questions_for(const RangeMap& map, const CompileOptions& options) {
    std::vector<RouteGroup> groups = group_ranges(map, options);
    std::vector<RouteGroup> behind_nat64;
    const std::size_t quota = std::max<std::size_t>(1, max_range_questions / std::max<std::size_t>(1, groups.size()));
    for (RouteGroup& group : groups) {
        const std::size_t ranges = group.ranges.size(), all = ranges * std::max<std::size_t>(1, group.ports.size());
        const std::size_t count = std::min(all, quota);
        for (std::size_t at = 0; at < count; at++) // all ports of a range before the next range
            ask_for(group, host_in(group.ranges[at * ranges / count]->prefix));
        for (unsigned part = 1; part < parts_of_range; part++)
            for (const Range* range : group.ranges)
                if (part < quarters_of(range->prefix) && group.questions.size() < quota)
                    ask_for(group, host_in(range->prefix, part));
        if (group.family != Family::IPv4) continue;
        behind_nat64.push_back(
            {.service = group.service, .family = Family::IPv6, .nat64 = true, .ranges = {}, .ports = group.ports});
        for (const Prefix& prefix : options.nat64_prefixes())
            ask_for(behind_nat64.back(), host_in(embed(prefix, group.ranges.front()->prefix)));
    }
    std::ranges::move(behind_nat64, std::back_inserter(groups));
    return groups;
}

Result<void> ask_routes(Routes& routes, std::vector<RouteGroup>& groups) {
    for (RouteGroup& group : groups)
        for (const RouteQuestion& question : group.questions)
            for (const uint32_t interface : KUDO_TRY(routes.ask(question)))
                group.interfaces.insert(interface);
    return {};
}

// Would KUDO be reached by this interface if it were the only one, or for packets from an address of it?
Result<bool> could_carry(Routes& routes, const Interface& interface, const std::vector<RouteQuestion>& samples,
                         const std::vector<InterfaceAddress>& addresses) {
    for (RouteQuestion question : samples) {
        question.out = interface.index;
        if (!KUDO_TRY(routes.ask(question)).empty()) return true;
        std::size_t sources = 0;
        for (const auto& [owner, address] : addresses) {
            if (owner != interface.index || address.family != question.to.family) continue;
            if (sources++ == max_sources) break;
            question.from = address;
            if (!KUDO_TRY(routes.ask(question)).empty()) return true;
        }
    }
    return false;
}

// One question of each group, of at most so many, evenly.
std::vector<RouteQuestion> sample(const std::vector<RouteGroup>& groups) {
    std::vector<RouteQuestion> samples;
    const std::size_t count = std::min(groups.size(), max_interface_questions);
    for (std::size_t at = 0; at < count; at++)
        samples.push_back(groups[at * groups.size() / count].questions.front());
    return samples;
}

// Those that carry KUDO's packets now come with those that would if others were gone.
Result<void> add_automatic(Routes& routes, const std::vector<Interface>& all, const std::vector<RouteGroup>& groups,
                           WantedInterfaces& wanted) {
    std::set<uint32_t> used;
    for (const RouteGroup& group : groups)
        used.insert(group.interfaces.begin(), group.interfaces.end());
    const auto samples = sample(groups);
    const auto addresses = KUDO_TRY(list_addresses());
    for (const Interface& interface : all) {
        if (interface.loopback || !interface.supported || !interface.up) continue;
        if (used.contains(interface.index) || KUDO_TRY(could_carry(routes, interface, samples, addresses)))
            wanted.present.push_back(interface);
    }
    return {};
}

// What goes over `interface` is seen at a watched one: itself, what carries its frames, or each port of it that is up.
bool is_seen(const Interface& interface, const std::vector<Interface>& all, const std::vector<Interface>& watched) {
    if (find_index(watched, interface.index) || find_index(watched, interface.carrier)) return true;
    const auto is_watched = [&](const Interface& other) { return find_index(watched, other.index) != nullptr; };
    // Of a PPP interface the kernel does not tell which session it is, only which Ethernets carry sessions.
    if (interface.ppp) return std::ranges::any_of(watched, [](const auto& other) { return carries_pppoe(other.name); });
    const auto is_port = [&](const Interface& other) { return other.master == interface.index && other.up; };
    return std::ranges::any_of(all, is_port) &&
           std::ranges::all_of(all, [&](const Interface& other) { return !is_port(other) || is_watched(other); });
}

void describe_routes(const std::vector<Interface>& all, const std::vector<RouteGroup>& groups,
                     WantedInterfaces& wanted) {
    std::map<const Interface*, std::vector<std::string>> unseen;
    for (const RouteGroup& group : groups) {
        // A host that reaches IPv4 without a NAT64 sends nothing to the addresses behind one.
        const auto plain = std::ranges::find_if(groups, [&](const RouteGroup& other) {
            return group.nat64 && other.service == group.service && other.family == Family::IPv4 &&
                   !other.interfaces.empty();
        });
        if (plain != groups.end() || (group.nat64 && group.interfaces.empty())) continue;
        ServiceRoute route{group.service, group.family, {}};
        for (const uint32_t index : group.interfaces) {
            const Interface* interface = find_index(all, index);
            if (!interface) continue; // it has come since
            route.interfaces.push_back(interface->name);
            if (!interface->loopback && !is_seen(*interface, all, wanted.present))
                unseen[interface].push_back(group.service);
        }
        wanted.routes.push_back(std::move(route));
    }
    for (auto& [interface, services] : unseen) {
        std::ranges::sort(services);
        services.erase(std::unique(services.begin(), services.end()), services.end());
        const std::string sent = fmt::format("KUDO's {} {} sent through {}", joined(services),
                                             services.size() == 1 ? "is" : "are", interface->name);
        wanted.unwatched.push_back(
            interface->supported ? fmt::format("{}, which is not watched; add --interface {}", sent, interface->name)
                                 : sent + ", which is neither Ethernet nor bare IP; its packets cannot be classified");
    }
}

} // namespace

Result<WantedInterfaces> find_wanted_interfaces(const DesiredState& desired, const RangeMap& honoured,
                                                const std::filesystem::path& data_path_folder, bool must_exist) {
    const auto all = KUDO_TRY(list_interfaces());
    WantedInterfaces wanted;
    for (const std::string& name : desired.interfaces)
        KUDO_TRY(add_named(all, name, data_path_folder, must_exist, wanted));

    auto groups = questions_for(honoured, desired.compile_options());
    auto routes = KUDO_TRY(Routes::open());
    KUDO_TRY(ask_routes(routes, groups));
    if (desired.interfaces.empty()) {
        KUDO_TRY(add_automatic(routes, all, groups, wanted));
        if (wanted.present.empty() && must_exist)
            return bad_input(fmt::format("no interface has a default route or another to KUDO's ranges; name one: "
                                         "--interface IF (there are: {})",
                                         names_of(all)));
        if (wanted.present.empty())
            wanted.warnings.emplace_back(
                "no interface has a default route or another to KUDO's ranges; nothing is attached");
    }
    describe_routes(all, groups, wanted);
    return wanted;
}

std::vector<Prefix> routed_ranges(const CompileOptions& options, const RangeMap& honoured) {
    std::vector<Prefix> ranges;
    const auto nat64 = options.nat64_prefixes();
    for (const Service& service : honoured.services) {
        if (!is_chosen(service, options)) continue;
        for (const Range& range : service.ranges) {
            ranges.push_back(range.prefix);
            if (range.prefix.address.family != Family::IPv4) continue;
            for (const Prefix& prefix : nat64)
                ranges.push_back(embed(prefix, range.prefix));
        }
    }
    return ranges;
}

Result<void> remember_names(const WantedInterfaces& wanted, const std::filesystem::path& data_path_folder) {
    const auto folder = names_folder(data_path_folder);
    std::error_code error;
    std::set<std::filesystem::path> kept;
    if (!wanted.named.empty()) KUDO_TRY(make_pin_folder(folder));
    for (const auto& [name, index] : wanted.named) {
        const auto link = name_link(data_path_folder, name);
        kept.insert(link);
        if (remembered_index(link) == index) continue;
        unlink(link.c_str());
        if (symlink(std::to_string(index).c_str(), link.c_str()) != 0)
            return fail_errno(fmt::format("cannot remember which interface is {}", name));
    }
    for (const auto& entry : std::filesystem::directory_iterator(folder, error))
        if (!kept.contains(entry.path())) unlink(entry.path().c_str());
    return {};
}

} // namespace kudo
