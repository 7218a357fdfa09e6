// SPDX-License-Identifier: MIT
#include "cli/views/stats_text.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/terminal/output.h"
#include "cli/terminal/units.h"
#include "maps/base/abi_names.h"

namespace kudo {
namespace {

bool is_zero(const Directions& directions) {
    return directions[KUDO_INGRESS].packets == 0 && directions[KUDO_EGRESS].packets == 0;
}

using Cells = std::vector<std::string>;

std::vector<Column> counter_columns(std::vector<Column> columns, std::vector<Column> more = {}) {
    for (const char* title : {"IN PACKETS", "IN BYTES", "OUT PACKETS", "OUT BYTES"})
        columns.push_back({title, Align::Right});
    columns.insert(columns.end(), more.begin(), more.end());
    return columns;
}

void add_counters(Cells& cells, const Directions& directions) {
    for (const kudo_counter& counter : directions)
        cells.insert(cells.end(), {count_text(counter.packets), bytes_text(counter.bytes)});
}

// After an empty line; nothing for an empty table.
std::string section(const Table& table, bool colour, const char* after = "") {
    return table.empty() ? "" : "\n" + table.text(colour) + after;
}

std::string services_text(const Statistics& statistics, const Growth* growth, bool colour) {
    std::vector<Column> rates;
    if (growth)
        for (const char* title : {"IN PKT/S", "IN RATE", "OUT PKT/S", "OUT RATE"})
            rates.push_back({title, Align::Right});
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
    return table.text(colour);
}

std::string reasons_text(const Statistics& statistics, bool colour) {
    Table table(counter_columns({{"REASON"}}, {{"MEANING"}}));
    for (std::size_t i = 0; i < statistics.reasons.size(); ++i) {
        if (is_zero(statistics.reasons[i])) continue;
        const auto reason = static_cast<kudo_reason>(i);
        std::vector<std::string> cells = {std::string(reason_name(reason))};
        add_counters(cells, statistics.reasons[i]);
        cells.emplace_back(reason_text(reason));
        table.add(std::move(cells));
    }
    return section(table, colour);
}

std::string queues_text(const Statistics& statistics, bool colour) {
    Table table({{"QUEUE"},
                 {"CARRIES"},
                 {"PACKETS", Align::Right},
                 {"BYTES", Align::Right},
                 {"WAITING", Align::Right},
                 {"DROPPED", Align::Right},
                 {"DELAY", Align::Right}});
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
    return section(table, colour);
}

std::string moved_names_text(const Statistics& statistics, bool colour) {
    Table table({{"NAME"}, {"NOW AT"}, {"SERVICE"}, {"INTERFACE"}, {"LAST ANSWER", Align::Right}});
    for (const NamedAddress& named : statistics.stale.moved_names)
        table.add({named.name, named.address.text(), named.service, named.interface,
                   age_text(statistics.read_at - named.last_seen)});
    return section(table, colour,
                   "DNS resolved these names to addresses that the range map lacks; see kudo-agent status.\n");
}

std::string strays_text(const Statistics& statistics, bool colour) {
    Table table({{"STRAY"},
                 {"NAME"},
                 {"INTERFACE"},
                 {"REQUESTS", Align::Right},
                 {"ANSWERS", Align::Right},
                 {"LAST ANSWER", Align::Right}});
    for (const StrayRemote& stray : statistics.stale.strays)
        table.add({stray.remote.text(), text_or_dash(stray.name), stray.interface, count_text(stray.requests),
                   count_text(stray.answers), age_text(statistics.read_at - stray.last_seen)});
    return section(table, colour, "Media servers answer STUN there, outside the range map; see kudo-agent status.\n");
}

// Which SSRC of the shown flows is what.
std::string streams_text(const Statistics& statistics, std::size_t shown, bool colour) {
    Table table({{"RTP STREAM"},
                 {"FLOW"},
                 {"DIRECTION"},
                 {"KIND"},
                 {"PACKETS", Align::Right},
                 {"PROBES", Align::Right},
                 {"WHY"}});
    for (std::size_t i = 0; i < shown; ++i) {
        const FlowRecord& flow = statistics.flows[i];
        for (const RtpStream& stream : flow.streams)
            table.add({fmt::format("{:#010x}", stream.ssrc), endpoint_text(flow.local, flow.local_port),
                       stream.direction == KUDO_EGRESS ? "egress" : "ingress", std::string(rtp_kind(stream)),
                       count_text(stream.what.packets), count_text(stream.what.probes), rtp_reason(stream)});
    }
    return section(table, colour);
}

std::string flows_text(const Statistics& statistics, const StatsView& view) {
    if (!view.flows) {
        if (statistics.flow_entries == 0) return "\nNo flows with KUDO yet.\n";
        return fmt::format("\n{}; kudo-agent stats --flows lists them.\n", counted(statistics.flow_entries, "flow"));
    }
    Table table(counter_columns({{"FLOW"}, {"LOCAL"}, {"REMOTE"}, {"SERVICE"}, {"CLASS"}, {"VERDICT"}},
                                {{"INTERFACE"}, {"SEEN", Align::Right}}));
    const std::size_t shown = std::min(statistics.flows.size(), view.flow_limit);
    for (std::size_t i = 0; i < shown; ++i) {
        const FlowRecord& flow = statistics.flows[i];
        std::vector<std::string> cells = {
            protocol_name(flow.protocol), endpoint_text(flow.local, flow.local_port),
            endpoint_text(flow.remote, flow.remote_port), text_or_dash(flow.service),
            // Without a rule the reason tells more than the class.
            std::string(flow.class_ == KUDO_CLASS_NONE ? reason_name(flow.reason) : class_name(flow.class_)),
            std::string(verdict_name(flow.verdict))};
        add_counters(cells, flow.counters);
        cells.push_back(flow.interface);
        cells.push_back(age_text(statistics.read_at - flow.last_seen));
        table.add(std::move(cells));
    }
    if (table.empty()) return "\nNo flows with KUDO yet.\n";
    std::string text = section(table, view.colour);
    if (shown < statistics.flows.size()) text += fmt::format("and {} more\n", statistics.flows.size() - shown);
    return text + streams_text(statistics, shown, view.colour);
}

} // namespace

std::string stats_text(const Statistics& statistics, const StatsView& view) {
    std::string text = services_text(statistics, view.growth, view.colour) + reasons_text(statistics, view.colour) +
                       queues_text(statistics, view.colour) + strays_text(statistics, view.colour) +
                       moved_names_text(statistics, view.colour) + flows_text(statistics, view);
    if (statistics.unrecorded_flow_packets > 0)
        text += fmt::format("The flow table was full: {} packets are in all counters except those of flows.\n",
                            count_text(statistics.unrecorded_flow_packets));
    if (statistics.evicted_flow_packets > 0)
        text += fmt::format(
            "The flow table was full and gave rows to newer flows: {} packets of flows are in all other "
            "counters,\nand a flow may have begun at zero again. disable, then enable --max-flows N, makes room.\n",
            count_text(statistics.evicted_flow_packets));
    return text;
}

} // namespace kudo
