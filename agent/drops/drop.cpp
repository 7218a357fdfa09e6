// SPDX-License-Identifier: MIT
#include "agent/drops/drop.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <tuple>

#include <netinet/in.h>

#include "agent/datapath/bpf_object.h"
#include "agent/datapath/clock.h"
#include "agent/drops/advice.h"
#include "agent/drops/places.h"
#include "agent/drops/programs.h"
#include "agent/drops/reasons.h"
#include "agent/drops/tables.h"
#include "agent/drops/tracing.h"

namespace kudo {
namespace {

// What rows and totals have in common.
struct Cause {
    uint64_t location;
    uint32_t reason;
    uint8_t direction, flags;
    auto operator<=>(const Cause&) const = default;
};

template <typename Key> FlowOfDrop flow_of(Family family, const Key& key) {
    return {.protocol = key.protocol,
            .local = Address::from_bytes(family, &key.local),
            .remote = Address::from_bytes(family, &key.remote),
            .local_port = key.local_port,
            .remote_port = key.remote_port,
            .non_first_fragment = key.non_first_fragment != 0,
            .interface_index = key.interface};
}

void add_counters(std::array<kudo_counter, KUDO_DIRECTIONS>& to,
                  const std::array<kudo_counter, KUDO_DIRECTIONS>& more) {
    for (std::size_t i = 0; i < to.size(); i++) {
        to[i].packets += more[i].packets;
        to[i].bytes += more[i].bytes;
    }
}

// Not a packet's loss, as only its flow tells.
bool is_needless(const Drop& drop) {
    if (!drop.flow) return false;
    const FlowOfDrop& flow = *drop.flow;
    // Answers to a program that pings by a raw socket, which has had its copy.
    const bool icmp = flow.protocol == IPPROTO_ICMP || flow.protocol == IPPROTO_ICMPV6;
    const std::string_view function = function_of(drop.place);
    const bool unnamed = drop.reason.empty() || drop.reason == "NOT_SPECIFIED";
    if (icmp && (drop.reason == "NO_SOCKET" || (unnamed && (function == "icmp_rcv" || function == "icmpv6_rcv"))))
        return true;
    const bool multicast =
        flow.local.family == Family::IPv4 ? flow.local.bytes[0] >> 4 == 0xe : flow.local.bytes[0] == 0xff;
    return multicast && drop.reason == "NOT_SPECIFIED";
}

class Reader {
public:
    Reader(const DropReasons& reasons, TickClock clock, HookPrograms programs)
        : reasons_(reasons), clock_(clock), programs_(std::move(programs)) {}
    // Its data path's programs have seen it, so it is of this namespace.
    template <typename Key> static bool is_seen(int flows, const Key& flow) {
        kudo_flow row{};
        return bpf_map_lookup_elem(flows, &flow, &row) == 0;
    }

    Drop drop_of(const Cause& cause) {
        const Named& named = named_of(cause);
        Drop drop;
        drop.layer = named.advice.layer;
        drop.reason = named.reason;
        drop.reason_number = cause.reason;
        drop.place = named.place;
        drop.location = cause.location;
        drop.is_loss = named.advice.is_loss;
        drop.is_ours = (cause.flags & KUDO_DROP_BY_TC) != 0;
        drop.namespace_known = (cause.flags & KUDO_DROP_NAMESPACE_UNKNOWN) == 0;
        drop.advice = named.advice.advice;
        drop.command = named.advice.command;
        return drop;
    }

    // `flows`: the flow table of the family.
    template <typename Key> Result<void> read_rows(int fd, int flows, Family family) {
        return for_each_entry<Key, kudo_drop>(fd, "the drops", [&](const Key& key, const kudo_drop& row) {
            Drop drop = drop_of({key.location, key.reason, key.direction, key.flags});
            drop.flow = flow_of(family, key.flow);
            drop.namespace_known = drop.namespace_known || is_seen(flows, key.flow);
            drop.is_loss = drop.is_loss && !is_needless(drop);
            drop.counters[key.direction & 1] = row.wire;
            if (drop.layer == DropLayer::Queue) drop.queue_class = key.queue_class;
            drop.first_seen = clock_.wall_time(row.first_seen);
            drop.last_seen = clock_.wall_time(row.last_seen);
            if (row.socket.protocol != 0)
                drop.socket = SocketFacts{.inode = row.socket.inode,
                                          .receive_buffer = row.socket.receive_buffer,
                                          .queued = row.socket.queued,
                                          .protocol = static_cast<uint8_t>(row.socket.protocol),
                                          .cookie = row.socket.cookie};
            name_programs(drop, key.flags, key.direction == KUDO_INGRESS);
            if (drop.is_ours || !drop.is_loss)
                add_counters(apart_[{key.location, key.reason, key.direction, key.flags}][drop.is_ours], drop.counters);
            add(std::move(drop), key.flags);
        });
    }

    // A cause's sum; what its rows tell apart, since only a flow tells it, is a total of its own.
    void add_totals(const Cause& cause, std::array<kudo_counter, KUDO_DIRECTIONS> sum, std::vector<Drop>& totals) {
        const Drop total = drop_of(cause);
        for (const auto& [ours, part] : apart_[cause]) {
            if (ours ? total.is_ours : !total.is_loss) continue; // as the whole cause is
            Drop own = total;
            (ours ? own.is_ours : own.is_loss) = ours;
            for (std::size_t i = 0; i < sum.size(); i++) {
                own.counters[i] = {std::min(sum[i].packets, part[i].packets), std::min(sum[i].bytes, part[i].bytes)};
                sum[i].packets -= own.counters[i].packets;
                sum[i].bytes -= own.counters[i].bytes;
            }
            totals.push_back(std::move(own));
        }
        totals.push_back(total);
        totals.back().counters = sum;
    }

    std::vector<Drop> take() {
        std::vector<Drop> drops;
        for (auto& [key, drop] : rows_)
            drops.push_back(std::move(drop));
        sort_drops(drops);
        return drops;
    }

    static void sort_drops(std::vector<Drop>& drops) {
        const auto packets = [](const Drop& drop) { return drop.counters[0].packets + drop.counters[1].packets; };
        std::ranges::stable_sort(drops, [&](const Drop& a, const Drop& b) {
            return std::tuple(b.is_loss, packets(b)) < std::tuple(a.is_loss, packets(a));
        });
    }

private:
    struct Named {
        std::string reason, place;
        DropAdvice advice;
    };
    const Named& named_of(const Cause& cause) {
        // Of the process: the service reads the rows again and again, and each reading of kallsyms takes its time.
        static std::map<std::pair<uint32_t, uint64_t>, Named> names;
        const auto key = std::pair(cause.reason, cause.location);
        if (const auto known = names.find(key); known != names.end()) return known->second;
        if (!places_) places_ = Places::of_running_kernel();
        Named named{.reason = reasons_.name(cause.reason), .place = places_->name(cause.location), .advice = {}};
        named.advice = advice_for(named.reason, function_of(named.place));
        return names.emplace(key, std::move(named)).first->second;
    }

    void name_programs(Drop& drop, uint8_t flags, bool ingress) const {
        if (drop.layer != DropLayer::Xdp && drop.layer != DropLayer::Tc) return;
        const uint32_t interface = drop.flow->interface_index;
        if (drop.layer == DropLayer::Xdp && (flags & KUDO_DROP_JUDGED) != 0 && programs_.has_our_xdp(interface))
            drop.is_ours = true;
        if (!drop.is_ours) drop.programs = programs_.of_others(interface, drop.layer, ingress);
    }

    // Rows that differ only in a queue's class, where none has dropped them.
    void add(Drop drop, uint8_t flags) {
        const FlowOfDrop& flow = *drop.flow;
        const auto key = std::tuple(drop.location, drop.reason_number, flags, drop.counters[1].packets != 0,
                                    drop.queue_class, flow.protocol, flow.local, flow.remote, flow.local_port,
                                    flow.remote_port, flow.non_first_fragment, flow.interface_index);
        const auto [row, fresh] = rows_.try_emplace(key, drop);
        if (fresh) return;
        Drop& known = row->second;
        add_counters(known.counters, drop.counters);
        known.first_seen = std::min(known.first_seen, drop.first_seen);
        if (drop.last_seen >= known.last_seen && drop.socket) known.socket = drop.socket;
        known.last_seen = std::max(known.last_seen, drop.last_seen);
    }

    const DropReasons& reasons_;
    TickClock clock_;
    HookPrograms programs_;
    std::optional<Places> places_;
    std::map<Cause, std::map<bool, std::array<kudo_counter, KUDO_DIRECTIONS>>> apart_; // by is_ours
    std::map<std::tuple<uint64_t, uint32_t, uint8_t, bool, uint32_t, uint8_t, Address, Address, uint16_t, uint16_t,
                        bool, uint32_t>,
             Drop>
        rows_;
};

Result<std::map<Cause, std::array<kudo_counter, KUDO_DIRECTIONS>>> read_totals(int fd) {
    std::map<Cause, std::array<kudo_counter, KUDO_DIRECTIONS>> totals;
    const auto visit = [&](const kudo_drop_total_key& key, const kudo_counter& wire) {
        std::array<kudo_counter, KUDO_DIRECTIONS> counters{};
        counters[key.direction & 1] = wire;
        add_counters(totals[{key.location, key.reason, key.direction, key.flags}], counters);
    };
    KUDO_TRY(for_each_entry<kudo_drop_total_key, kudo_counter>(fd, "the drops' totals", visit));
    return totals;
}

// What rows that were evicted had: at least so much, as rows that came after the totals were read are in it already.
void find_evicted(DropReport& report) {
    std::array<kudo_counter, KUDO_DIRECTIONS> rows{};
    for (const Drop& drop : report.totals)
        add_counters(report.evicted, drop.counters);
    for (const Drop& drop : report.rows)
        add_counters(rows, drop.counters);
    for (std::size_t i = 0; i < rows.size(); i++) {
        kudo_counter& evicted = report.evicted[i];
        evicted.packets -= std::min(evicted.packets, rows[i].packets);
        evicted.bytes -= std::min(evicted.bytes, rows[i].bytes);
    }
}

} // namespace

bool is_untold(const Drop& drop) {
    return !drop.is_loss && !drop.is_ours && (drop.reason.empty() || drop.reason == "NOT_SPECIFIED") &&
           function_of(drop.place).empty();
}

Result<DropReport> read_drops(DataPath& data_path) {
    const Tracing tracing = read_tracing(data_path);
    DropReport report{.available = tracing.attached, .why_not = tracing.why_not, .missed = tracing.missed};
    const auto tables = open_drop_tables(data_path.folder());
    if (!tables && tables.error().number == ENOENT) return report;
    if (!tables) return fail(Error(tables.error()));

    const auto control = KUDO_TRY(read_drop_control(*tables));
    report.missed += control.nested;
    report.unparsed = control.unparsed;
    const auto totals = KUDO_TRY(read_totals(tables->totals.get()));
    if (totals.empty()) return report; // mostly so; the rest takes its time

    const auto reasons = KUDO_TRY(DropReasons::of_running_kernel());
    const auto clock = KUDO_TRY(TickClock::read(data_path));
    Reader reader(*reasons, clock, HookPrograms(data_path));
    KUDO_TRY(reader.read_rows<kudo_drop4_key>(tables->drops4.get(), data_path.maps().flows4.get(), Family::IPv4));
    KUDO_TRY(reader.read_rows<kudo_drop6_key>(tables->drops6.get(), data_path.maps().flows6.get(), Family::IPv6));
    for (const auto& [cause, counters] : totals)
        reader.add_totals(cause, counters, report.totals);
    report.rows = reader.take();
    Reader::sort_drops(report.totals);
    find_evicted(report);
    return report;
}

namespace {

// Whoever asks the kernel for a route to KUDO's addresses, as kudo-agent itself does, has it free a packet that it made
// up for that: of TCP or UDP without any port, and never sent.
template <typename Key> bool is_route_lookup(const Key& flow) {
    return (flow.protocol == IPPROTO_TCP || flow.protocol == IPPROTO_UDP) && flow.local_port == 0 &&
           flow.remote_port == 0 && flow.non_first_fragment == 0;
}

} // namespace

Result<bool> has_drops_since(DataPath& data_path, std::chrono::seconds age) {
    const auto tables = open_drop_tables(data_path.folder());
    if (!tables && tables.error().number == ENOENT) return false;
    if (!tables) return fail(Error(tables.error()));
    uint64_t last = 0;
    const auto visit = [&last](const auto& key, const kudo_drop& drop) {
        if (!is_route_lookup(key.flow)) last = std::max(last, uint64_t{drop.last_seen});
    };
    KUDO_TRY((for_each_entry<kudo_drop4_key, kudo_drop>(tables->drops4.get(), "the drops", visit)));
    KUDO_TRY((for_each_entry<kudo_drop6_key, kudo_drop>(tables->drops6.get(), "the drops", visit)));
    if (last == 0) return false;
    const auto clock = KUDO_TRY(TickClock::read(data_path));
    return std::chrono::system_clock::now() - clock.wall_time(last) <= age;
}

} // namespace kudo
