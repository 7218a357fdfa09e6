// SPDX-License-Identifier: MIT
#include "cli/views/stats_text.h"

#include <algorithm>
#include <span>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "agent/diagnosis/flow_findings.h"
#include "agent/inspect/protocol_name.h"
#include "cli/terminal/output.h"
#include "cli/terminal/units.h"
#include "cli/views/diagnosis_text.h"
#include "cli/views/flow_cells.h"
#include "cli/views/stats_json.h"
#include "maps/base/abi_names.h"
#include "maps/base/text.h"

namespace kudo {
namespace {

bool is_zero(const Directions& directions) {
    return directions[KUDO_INGRESS].packets == 0 && directions[KUDO_EGRESS].packets == 0;
}

using Cells = std::vector<std::string>;

std::vector<Column> counter_columns(std::vector<Column> columns, std::vector<Column> more = {}) {
    for (const char* title : {"IN PACKETS", "IN BYTES", "OUT PACKETS", "OUT BYTES"})
        columns.push_back({title, Align::Right, std::string_view(title).ends_with("BYTES") ? 5 : always});
    columns.insert(columns.end(), more.begin(), more.end());
    return columns;
}

void add_counters(Cells& cells, const Directions& directions) {
    for (const kudo_counter& counter : directions)
        cells.insert(cells.end(), {count_text(counter.packets), bytes_text(counter.bytes)});
}

// After an empty line; nothing for an empty table.
std::string section(const Table& table, const StatsView& view, std::string_view after = "") {
    if (table.empty()) return "";
    return "\n" + table.text(view.colour, view.width) + (after.empty() ? "" : wrapped(after, view.width) + "\n");
}

std::string services_text(const Statistics& statistics, const StatsView& view) {
    const Growth* const growth = view.growth;
    std::vector<Column> rates;
    if (growth)
        for (const char* title : {"IN PKT/S", "IN RATE", "OUT PKT/S", "OUT RATE"})
            rates.push_back({title, Align::Right, std::string_view(title).ends_with("/S") ? 2 : 1});
    Table table(counter_columns({{"SERVICE"}, {"CLASS"}}, std::move(rates)));
    const auto add = [&](Cells cells, const Directions& counters, const Directions& added, Style style) {
        add_counters(cells, counters);
        for (const kudo_counter& counter : added)
            if (growth)
                cells.insert(cells.end(), {packet_rate_text(static_cast<double>(counter.packets) / growth->seconds),
                                           bit_rate_text(8 * static_cast<double>(counter.bytes) / growth->seconds)});
        table.add(std::move(cells), style);
    };
    for (const auto& [service, counters] : statistics.services) {
        const auto grown = growth && growth->services.contains(service) ? growth->services.at(service).classes
                                                                        : decltype(counters.classes){};
        std::string name = service; // in its first row only
        for (const kudo_class class_ : {KUDO_CLASS_MEDIA, KUDO_CLASS_FALLBACK, KUDO_CLASS_CONTROL, KUDO_CLASS_NONE})
            if (!is_zero(counters.classes[class_]))
                add({std::exchange(name, ""), class_ == KUDO_CLASS_NONE ? "no rule" : std::string(class_name(class_))},
                    counters.classes[class_], grown[class_], Style::Plain);
        if (!name.empty()) add({name, "-"}, {}, {}, Style::Dim);
    }
    add({"all packets", ""}, statistics.totals, growth ? growth->totals : Directions{}, Style::Bold);
    return section(table, view);
}

std::string reasons_text(const Statistics& statistics, const StatsView& view) {
    Table table(counter_columns({{"REASON"}}, {{"MEANING"}}));
    for (std::size_t i = 0; i < statistics.reasons.size(); ++i) {
        if (is_zero(statistics.reasons[i])) continue;
        const auto reason = static_cast<kudo_reason>(i);
        std::vector<std::string> cells = {std::string(reason_name(reason))};
        add_counters(cells, statistics.reasons[i]);
        cells.emplace_back(reason_text(reason));
        table.add(std::move(cells));
    }
    return section(table, view);
}

std::string queues_text(const Statistics& statistics, const StatsView& view) {
    Table table({{"QUEUE"},
                 {"CARRIES"},
                 {"PACKETS", Align::Right},
                 {"BYTES (LAYER 2)", Align::Right, 3},
                 {"WAITING", Align::Right, 1},
                 {"DROPPED", Align::Right},
                 {"DELAY", Align::Right, 2}});
    for (const QueueNumbers& queue : statistics.queues) {
        std::string name = fmt::format("{} {} {}", queue.interface, queue.direction, queue.kind);
        for (const QueueClass& part : queue.classes) {
            const bool everything = part.carries.size() > 3 && part.carries.back() == "other";
            const auto number = [](const auto& value) { return value ? count_text(*value) : std::string("-"); };
            table.add({std::exchange(name, ""),
                       everything ? "everything" : fmt::format("{}", fmt::join(part.carries, ", ")),
                       count_text(part.packets), bytes_text(part.bytes), number(part.backlog_packets),
                       number(part.drops), part.delay_us ? fmt::format("{:.1f} ms", *part.delay_us / 1000.0) : "-"});
        }
    }
    return section(table, view);
}

std::string moved_names_text(const Statistics& statistics, const StatsView& view) {
    Table table({{"NAME"}, {"NOW AT"}, {"SERVICE"}, {"INTERFACE"}, {"LAST ANSWER", Align::Right}});
    for (const NamedAddress& named : statistics.stale.moved_names)
        table.add({named.name, where_text(named), named.service, text_or_dash(named.interface),
                   age_text(statistics.read_at - named.last_seen)});
    return section(table, view,
                   "DNS resolved these names to addresses that the range map lacks, or has for media; see kudo-agent "
                   "status.");
}

// Why names may be missing.
std::string hidden_names_text(const Statistics& statistics, const StatsView& view) {
    if (statistics.denied.admission != KUDO_ADMISSION_NONE) return ""; // then it is not looked at
    const auto& counts = statistics.tls;
    std::vector<std::string> parts;
    const auto add = [&](uint64_t count, std::string_view one, std::string_view many, std::string_view what) {
        if (count > 0) parts.push_back(fmt::format("{} {}{}", count_text(count), count == 1 ? one : many, what));
    };
    add(counts[KUDO_TLS_DOH] + counts[KUDO_TLS_DOT], "first packet", "first packets",
        " of connections to DNS resolvers over HTTPS, TLS or QUIC, whose answers cannot be read");
    add(counts[KUDO_TLS_ECH], "ClientHello", "ClientHellos",
        " with an encrypted one inside (browsers also send one that hides nothing)");
    add(counts[KUDO_TLS_QUIC], "first packet", "first packets", " of QUIC connections");
    add(counts[KUDO_TLS_UNREADABLE], "ClientHello", "ClientHellos", " in a shape that is not read");
    if (parts.empty()) return "";
    return "\n" +
           wrapped(fmt::format("Names that cannot be seen here, since enable: {}.", fmt::join(parts, "; ")),
                   view.width) +
           "\n";
}

std::string strays_text(const Statistics& statistics, const StatsView& view) {
    Table table({{"STRAY"},
                 {"NAME"},
                 {"INTERFACE"},
                 {"REQUESTS", Align::Right},
                 {"ANSWERS", Align::Right},
                 {"LAST ANSWER", Align::Right}});
    for (const StrayRemote& stray : statistics.stale.strays)
        table.add({stray.remote.text(), text_or_dash(stray.name), stray.interface, count_text(stray.requests),
                   count_text(stray.answers), age_text(statistics.read_at - stray.last_seen)});
    return section(table, view, "Media servers answer STUN there, outside the range map; see kudo-agent status.");
}

// Counted by reason in a rehearsal; what is dropped is in the table of reasons.
std::string would_drop_text(const Denied& denied, const StatsView& view) {
    Table table(counter_columns({{"WOULD BE DROPPED"}}, {{"MEANING"}}));
    for (std::size_t i = 0; i < denied.would_drop.size(); ++i) {
        if (is_zero(denied.would_drop[i])) continue;
        const auto reason = static_cast<kudo_reason>(i);
        Cells cells = {std::string(reason_name(reason))};
        add_counters(cells, denied.would_drop[i]);
        cells.emplace_back(reason_text(reason));
        table.add(std::move(cells));
    }
    return section(table, view);
}

std::string flows_text(const Diagnosis& diagnosis, const StatsView& view) {
    const Statistics& statistics = diagnosis.statistics;
    if (!view.flows) {
        if (statistics.flow_entries == 0) return "\nNo flows with KUDO yet.\n";
        return fmt::format("\n{}; kudo-agent stats --flows lists them.\n", counted(statistics.flow_entries, "flow"));
    }
    Table table({{"FLOW"},
                 {"LOCAL", Align::Left, 6},
                 {"REMOTE"},
                 {"SERVICE", Align::Left, 2},
                 {"CLASS", Align::Left, 3},
                 {"VERDICT", Align::Left, 10},
                 {"IN PACKETS", Align::Right, 4},
                 {"IN BYTES", Align::Right, 8},
                 {"OUT PACKETS", Align::Right, 4},
                 {"OUT BYTES", Align::Right, 8},
                 {"LOST BEFORE", Align::Right},
                 {"HERE", Align::Right},
                 {"RTT", Align::Right},
                 {"JITTER", Align::Right, 2},
                 {"PROCESS", Align::Left, 1},
                 {"INTERFACE", Align::Left, 7},
                 {"SEEN", Align::Right, 5}});
    const std::size_t shown = std::min(statistics.flows.size(), view.flow_limit);
    for (std::size_t i = 0; i < shown; ++i) {
        const FlowRecord& flow = statistics.flows[i];
        const auto found = diagnosis.flows.find(i);
        const FlowDiagnosis* const detail = found != diagnosis.flows.end() ? &found->second : nullptr;
        const uint64_t dropped =
            detail ? detail->dropped[KUDO_INGRESS].packets + detail->dropped[KUDO_EGRESS].packets : 0;
        table.add({protocol_name(flow.protocol), endpoint_text(flow.local, flow.local_port),
                   endpoint_text(flow.remote, flow.remote_port), service_cell(flow),
                   // Without a rule the reason tells more than the class.
                   std::string(flow.class_ == KUDO_CLASS_NONE ? reason_name(flow.reason) : class_name(flow.class_)),
                   std::string(verdict_name(flow.verdict)), count_text(flow.counters[KUDO_INGRESS].packets),
                   bytes_text(flow.counters[KUDO_INGRESS].bytes), count_text(flow.counters[KUDO_EGRESS].packets),
                   bytes_text(flow.counters[KUDO_EGRESS].bytes), loss_cell(incoming_loss(flow, statistics.read_at)),
                   diagnosis.drops_measured ? count_text(dropped) : "?", round_trip_cell(flow, detail),
                   jitter_cell(flow), processes_cell(detail), flow.interface,
                   age_text(statistics.read_at - flow.last_seen)});
    }
    if (table.empty()) return "\nNo flows with KUDO yet.\n";
    std::string text = section(table, view);
    if (shown < statistics.flows.size()) text += fmt::format("and {} more\n", statistics.flows.size() - shown);
    return text + section(streams_table(std::span(statistics.flows).first(shown), statistics.read_at), view);
}

} // namespace

std::string denied_text(const Diagnosis& diagnosis, const StatsView& view, std::size_t limit) {
    const Denied& denied = diagnosis.statistics.denied;
    const bool enforces = denied.admission == KUDO_ADMISSION_ENFORCE;
    std::string text;
    if (!enforces) text += would_drop_text(denied, view);
    Table table({{enforces ? "DROPPED FLOW" : "WOULD BE DROPPED"},
                 {"LOCAL", Align::Left, 4},
                 {"REMOTE"},
                 {"NAME"},
                 {"PROCESS", Align::Left, 2},
                 {"REASON"},
                 {"IN PACKETS", Align::Right},
                 {"OUT PACKETS", Align::Right},
                 {"INTERFACE", Align::Left, 5},
                 {"SEEN", Align::Right, 3}});
    const std::size_t shown = std::min(denied.flows.size(), limit);
    for (std::size_t i = 0; i < shown; ++i) {
        const DeniedFlow& flow = denied.flows[i];
        const auto owners = diagnosis.denied.find(i);
        table.add(
            {protocol_name(flow.protocol), endpoint_text(flow.local, flow.local_port),
             endpoint_text(flow.remote, flow.remote_port), text_or_dash(flow.name),
             owners == diagnosis.denied.end() ? "-" : processes_cell(owners->second.processes, owners->second.complete),
             std::string(reason_name(flow.reason())), count_text(flow.counters[KUDO_INGRESS].packets),
             count_text(flow.counters[KUDO_EGRESS].packets), flow.interface,
             age_text(diagnosis.statistics.read_at - flow.last_seen)});
    }
    if (table.empty()) return text;
    text += section(table, view);
    if (shown < denied.flows.size()) text += fmt::format("and {} more\n", denied.flows.size() - shown);
    if (denied.untracked_packets > 0)
        text +=
            wrapped(fmt::format("Counts of flows are \"at least\": {} packets more are in none, since a flood is not "
                                "entered packet by packet.",
                                count_text(denied.untracked_packets)),
                    view.width) +
            "\n";
    return text;
}

std::string stats_text(const Diagnosis& diagnosis, const StatsView& view) {
    const Statistics& statistics = diagnosis.statistics;
    std::string text = verdict_text(diagnosis, view);
    if (const std::string drops = drops_text(diagnosis, view); !drops.empty()) text += "\n" + drops;
    constexpr std::size_t denied_of_an_overview = 10;
    text += services_text(statistics, view) + reasons_text(statistics, view) +
            denied_text(diagnosis, view, view.flows ? view.flow_limit : denied_of_an_overview) +
            queues_text(statistics, view) + strays_text(statistics, view) + moved_names_text(statistics, view) +
            hidden_names_text(statistics, view) + flows_text(diagnosis, view);
    if (statistics.unrecorded_flow_packets > 0)
        text += wrapped(fmt::format("The flow table was full: {} packets are in all counters except those of flows.",
                                    count_text(statistics.unrecorded_flow_packets)),
                        view.width) +
                "\n";
    if (statistics.evicted_flow_packets > 0)
        text +=
            wrapped(fmt::format(
                        "The flow table was full and gave rows to newer flows: {} packets of flows are in all other "
                        "counters, and a flow may have begun at zero again. disable, then enable --max-flows N, makes "
                        "room.",
                        count_text(statistics.evicted_flow_packets)),
                    view.width) +
            "\n";
    return text;
}

} // namespace kudo
