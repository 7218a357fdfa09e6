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

std::vector<Column> counter_columns(std::vector<Column> columns, bool rates) {
    for (const char* title : {"IN PACKETS", "IN BYTES", "OUT PACKETS", "OUT BYTES"})
        columns.push_back({title, Align::Right});
    if (rates) {
        for (const char* title : {"IN PKT/S", "IN RATE", "OUT PKT/S", "OUT RATE"})
            columns.push_back({title, Align::Right});
    }
    return columns;
}

void add_counters(std::vector<std::string>& cells, const Directions& directions) {
    for (const kudo_direction direction : {KUDO_INGRESS, KUDO_EGRESS}) {
        cells.push_back(count_text(directions[direction].packets));
        cells.push_back(bytes_text(directions[direction].bytes));
    }
}

void add_rates(std::vector<std::string>& cells, const Directions& directions, double seconds) {
    for (const kudo_direction direction : {KUDO_INGRESS, KUDO_EGRESS}) {
        cells.push_back(packet_rate_text(static_cast<double>(directions[direction].packets) / seconds));
        cells.push_back(bit_rate_text(8 * static_cast<double>(directions[direction].bytes) / seconds));
    }
}

class ServiceRows {
public:
    explicit ServiceRows(const Growth* growth)
        : growth_(growth), table_(counter_columns({{"SERVICE"}, {"CLASS"}}, growth != nullptr)) {}

    void add_service(const std::string& name, const Statistics::ServiceCounters& service) {
        const bool all_zero = is_zero(service.total());
        bool first = true;
        for (const kudo_class class_ : {KUDO_CLASS_MEDIA, KUDO_CLASS_FALLBACK, KUDO_CLASS_CONTROL, KUDO_CLASS_NONE}) {
            if (is_zero(service.classes[class_])) continue;
            const std::string label = class_ == KUDO_CLASS_NONE ? "no rule" : std::string(class_name(class_));
            add(first ? name : "", label, service.classes[class_], grown(name, class_));
            first = false;
        }
        if (all_zero) add(name, "-", {}, {}, Style::Dim);
    }
    void add_totals(const Directions& totals) {
        add("all packets", "", totals, growth_ ? growth_->totals : Directions{}, Style::Bold);
    }
    [[nodiscard]] std::string text(bool colour) const { return table_.text(colour); }

private:
    [[nodiscard]] Directions grown(const std::string& name, kudo_class class_) const {
        if (!growth_) return {};
        const auto found = growth_->services.find(name);
        return found == growth_->services.end() ? Directions{} : found->second.classes[class_];
    }
    void add(const std::string& name, const std::string& label, const Directions& counters, const Directions& added,
             Style style = Style::Plain) {
        std::vector<std::string> cells = {name, label};
        add_counters(cells, counters);
        if (growth_) add_rates(cells, added, growth_->seconds);
        table_.add(std::move(cells), style);
    }

    const Growth* growth_;
    Table table_;
};

std::string reasons_text(const Statistics& statistics, bool colour) {
    auto columns = counter_columns({{"REASON"}}, false);
    columns.push_back({"MEANING"});
    Table table(std::move(columns));
    for (std::size_t i = 0; i < statistics.reasons.size(); ++i) {
        if (is_zero(statistics.reasons[i])) continue;
        const auto reason = static_cast<kudo_reason>(i);
        std::vector<std::string> cells = {std::string(reason_name(reason))};
        add_counters(cells, statistics.reasons[i]);
        cells.emplace_back(reason_text(reason));
        table.add(std::move(cells));
    }
    return table.empty() ? "" : "\n" + table.text(colour);
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
    return table.empty() ? "" : "\n" + table.text(colour);
}

std::string moved_names_text(const Statistics& statistics, bool colour) {
    Table table({{"NAME"}, {"NOW AT"}, {"SERVICE"}, {"INTERFACE"}, {"LAST ANSWER", Align::Right}});
    for (const NamedAddress& named : statistics.stale.moved_names)
        table.add({named.name, named.address.text(), named.service, named.interface,
                   age_text(statistics.read_at - named.last_seen)});
    if (table.empty()) return "";
    return "\n" + table.text(colour) +
           "DNS gave these addresses, which the range map lacks; kudo-agent status says what that may mean.\n";
}

std::string strays_text(const Statistics& statistics, bool colour) {
    Table table({{"STRAY"},
                 {"NAME"},
                 {"INTERFACE"},
                 {"REQUESTS", Align::Right},
                 {"ANSWERS", Align::Right},
                 {"LAST ANSWER", Align::Right}});
    for (const StrayRemote& stray : statistics.stale.strays)
        table.add({stray.remote.text(), stray.name.empty() ? "-" : stray.name, stray.interface,
                   count_text(stray.requests), count_text(stray.answers),
                   age_text(statistics.read_at - stray.last_seen)});
    if (table.empty()) return "";
    return "\n" + table.text(colour) +
           "Media servers answer there (STUN), outside of the range map; kudo-agent status says what that may mean.\n";
}

// Which SSRC of the shown flows is what.
std::string streams_text(const Statistics& statistics, std::size_t shown, bool colour) {
    Table table({{"RTP STREAM"}, {"FLOW"}, {"DIRECTION"}, {"KIND"}, {"PACKETS", Align::Right}, {"WHY"}});
    for (std::size_t i = 0; i < shown; ++i) {
        const FlowRecord& flow = statistics.flows[i];
        for (const auto& [ssrc, direction, what] : flow.streams)
            table.add({fmt::format("{:#010x}", ssrc), endpoint_text(flow.local, flow.local_port),
                       direction == KUDO_EGRESS ? "egress" : "ingress", std::string(rtp_kind_name(what.kind)),
                       count_text(what.packets), rtp_reason(what)});
    }
    return table.empty() ? "" : "\n" + table.text(colour);
}

std::string flows_text(const Statistics& statistics, const StatsView& view) {
    if (!view.flows) {
        if (statistics.flow_entries == 0) return "\nNo flows with KUDO yet.\n";
        return fmt::format("\n{}; kudo-agent stats --flows lists them.\n", counted(statistics.flow_entries, "flow"));
    }
    auto columns = counter_columns({{"FLOW"}, {"LOCAL"}, {"REMOTE"}, {"SERVICE"}, {"CLASS"}, {"VERDICT"}}, false);
    columns.push_back({"INTERFACE"});
    columns.push_back({"SEEN", Align::Right});
    Table table(std::move(columns));
    const std::size_t shown = std::min(statistics.flows.size(), view.flow_limit);
    for (std::size_t i = 0; i < shown; ++i) {
        const FlowRecord& flow = statistics.flows[i];
        std::vector<std::string> cells = {
            protocol_name(flow.protocol), endpoint_text(flow.local, flow.local_port),
            endpoint_text(flow.remote, flow.remote_port), flow.service.empty() ? "-" : flow.service,
            // Without a rule the reason tells more than the class.
            std::string(flow.class_ == KUDO_CLASS_NONE ? reason_name(flow.reason) : class_name(flow.class_)),
            std::string(verdict_name(flow.verdict))};
        add_counters(cells, flow.counters);
        cells.push_back(flow.interface);
        cells.push_back(age_text(statistics.read_at - flow.last_seen));
        table.add(std::move(cells));
    }
    if (table.empty()) return "\nNo flows with KUDO yet.\n";
    std::string text = "\n" + table.text(view.colour);
    if (shown < statistics.flows.size()) text += fmt::format("and {} more\n", statistics.flows.size() - shown);
    return text + streams_text(statistics, shown, view.colour);
}

} // namespace

std::string stats_text(const Statistics& statistics, const StatsView& view) {
    ServiceRows services(view.growth);
    for (const auto& [name, service] : statistics.services)
        services.add_service(name, service);
    services.add_totals(statistics.totals);
    std::string text = services.text(view.colour) + reasons_text(statistics, view.colour) +
                       queues_text(statistics, view.colour) + strays_text(statistics, view.colour) +
                       moved_names_text(statistics, view.colour) + flows_text(statistics, view);
    if (statistics.unrecorded_flow_packets > 0)
        text += fmt::format("The flow table was full: {} packets are counted everywhere but in a flow.\n",
                            count_text(statistics.unrecorded_flow_packets));
    return text;
}

} // namespace kudo
