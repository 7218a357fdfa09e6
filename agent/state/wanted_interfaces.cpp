// SPDX-License-Identifier: MIT
#include "agent/state/wanted_interfaces.h"

#include <unistd.h>

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "agent/datapath/pin_folder.h"
#include "agent/netlink/interface_number.h"
#include "agent/state/layers.h"
#include "agent/state/route_groups.h"
#include "maps/base/text.h"
#include "maps/net/nat64.h"

namespace kudo {
namespace {

constexpr std::size_t max_sources = 4, max_lans = 256, max_marks = 16;

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

// An address beside one of this host's own, as a client there would have.
std::optional<Address> client_beside(Address own, unsigned flip) {
    const bool link_local = own.family == Family::IPv6 && own.bytes[0] == 0xfe && (own.bytes[1] & 0xc0) == 0x80;
    if (link_local) return std::nullopt; // never forwarded
    own.bytes[own.bits() / 8 - 1] ^= static_cast<uint8_t>(flip);
    return own;
}

// By which interfaces packets of clients behind this host would be forwarded to KUDO, and those to which rules give
// ways of their own by a mark. None where the host does not forward: the kernel refuses.
Result<std::set<uint32_t>> forwarding_interfaces(Routes& routes, const std::vector<Interface>& all,
                                                 const std::vector<RouteQuestion>& samples,
                                                 const std::vector<InterfaceAddress>& addresses) {
    std::set<uint32_t> found;
    std::map<std::pair<uint32_t, Family>, std::size_t> lans; // addresses that were asked for
    const auto ask = [&](const RouteQuestion& question) -> Result<void> {
        for (const uint32_t interface : KUDO_TRY(routes.ask(question)))
            found.insert(interface);
        return {};
    };
    for (const auto& [lan, address] : addresses) {
        const Interface* interface = find_index(all, lan);
        if (!interface || interface->loopback || !interface->up) continue;
        const std::pair key(lan, address.family);
        if ((lans.size() == max_lans && !lans.contains(key)) || lans[key]++ >= max_sources) continue;
        for (const unsigned flip : {1U, 2U}) { // one of them may be the network's broadcast address
            const auto client = client_beside(address, flip);
            if (!client) continue;
            for (RouteQuestion question : samples) {
                if (question.to.family != client->family) continue;
                question.in = lan;
                question.from = client;
                KUDO_TRY(ask(question));
            }
        }
    }
    auto marks = KUDO_TRY(Routes::rule_marks());
    marks.resize(std::min(marks.size(), max_marks));
    for (const uint32_t mark : marks)
        for (RouteQuestion question : samples) {
            question.mark = mark;
            KUDO_TRY(ask(question));
        }
    return found;
}

// Those that carry KUDO's packets now, this host's own or a client's, come with those that would if others were gone.
Result<void> add_automatic(Routes& routes, const std::vector<Interface>& all, const std::vector<RouteGroup>& groups,
                           WantedInterfaces& wanted) {
    std::set<uint32_t> used;
    for (const RouteGroup& group : groups)
        if (!is_needless(group, groups)) used.insert(group.interfaces.begin(), group.interfaces.end());
    const auto samples = sample(groups);
    const auto addresses = KUDO_TRY(list_addresses());
    const auto forwarding = KUDO_TRY(forwarding_interfaces(routes, all, samples, addresses));
    for (const Interface& interface : all) {
        if (interface.loopback || !interface.supported || !interface.up) continue;
        // What comes in by a port of a bridge is the bridge's: a route that was left there carries no conversation.
        const Interface* master = find_index(all, interface.master);
        const bool is_port = master && master->bridge;
        if (used.contains(interface.index) ||
            (!is_port &&
             (forwarding.contains(interface.index) || KUDO_TRY(could_carry(routes, interface, samples, addresses)))))
            wanted.present.push_back(interface);
    }
    return {};
}

// Before the network is up, and while it is down, no route tells.
void add_last(const std::vector<Interface>& all, const std::vector<std::string>& last, WantedInterfaces& wanted) {
    for (const Interface& interface : all)
        if (!interface.loopback && interface.supported && std::ranges::find(last, interface.name) != last.end())
            wanted.present.push_back(interface);
    constexpr std::string_view none = "no interface has a default route or another to KUDO's ranges";
    wanted.warnings.push_back(wanted.present.empty()
                                  ? fmt::format("{}; nothing is attached", none)
                                  : fmt::format("{} now; attached as before: {}", none, names_of(wanted.present)));
}

void describe_routes(const std::vector<Interface>& all, const Layers& layers, const std::vector<RouteGroup>& groups,
                     WantedInterfaces& wanted) {
    std::map<const Interface*, std::vector<std::string>> unseen;
    for (const RouteGroup& group : groups) {
        if (is_needless(group, groups) || (group.nat64 && group.interfaces.empty())) continue;
        ServiceRoute route{group.service, group.family, {}};
        for (const uint32_t index : group.interfaces) {
            const Interface* interface = find_index(all, index);
            if (!interface) continue; // it has come since
            route.interfaces.push_back(interface->name);
            if (!interface->loopback && !layers.is_seen(*interface)) unseen[interface].push_back(group.service);
        }
        wanted.routes.push_back(std::move(route));
    }
    for (auto& [interface, services] : unseen) {
        std::ranges::sort(services);
        services.erase(std::unique(services.begin(), services.end()), services.end());
        const std::string sent = fmt::format("KUDO's {} {} sent through {}", joined(services),
                                             services.size() == 1 ? "is" : "are", interface->name);
        const auto ports = layers.ports_to_kudo(*interface);
        wanted.unwatched.push_back(
            interface->supported ? fmt::format("{}, which is not watched; add --interface {}", sent,
                                               ports.empty() ? interface->name : joined(ports))
                                 : sent + ", which is neither Ethernet nor bare IP; its packets cannot be classified");
    }
}

} // namespace

Result<WantedInterfaces> find_wanted_interfaces(const DesiredState& desired, const RangeMap& honoured,
                                                const std::filesystem::path& data_path_folder, bool must_exist,
                                                const std::vector<std::string>& last) {
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
        wanted.routes_tell = !wanted.present.empty();
        if (!wanted.routes_tell) add_last(all, last, wanted);
    }
    std::vector<RouteGroup> used;
    std::ranges::copy_if(groups, std::back_inserter(used),
                         [&](const RouteGroup& group) { return !is_needless(group, groups); });
    const Layers layers = KUDO_TRY(Layers::read(routes, all, wanted.present, sample(used)));
    describe_routes(all, layers, groups, wanted);
    wanted.notes = layers.notes();
    for (const Interface& interface : all) // ports are told by what they are ports of
        if (interface.up && !interface.loopback && interface.master == 0 && !layers.is_seen(interface))
            wanted.beside.push_back(interface.name);
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
