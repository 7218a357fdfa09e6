// SPDX-License-Identifier: MIT
#include "cli/top/flow_columns.h"

#include <algorithm>
#include <array>

#include "agent/diagnosis/flow_findings.h"
#include "agent/inspect/protocol_name.h"
#include "cli/terminal/printable.h"
#include "cli/terminal/units.h"
#include "cli/top/order.h"
#include "cli/top/sparkline.h"
#include "cli/views/flow_cells.h"
#include "cli/views/stats_view.h"
#include "maps/base/abi_names.h"

namespace kudo {
namespace {

enum ColumnOf {
    OfProtocol,
    OfLocal,
    OfRemote,
    OfService,
    OfClass,
    OfRate,
    OfIn,
    OfOut,
    OfTrend,
    OfLost,
    OfHere,
    OfRtt,
    OfJitter,
    OfProcess,
    OfInterface,
    OfSeen,
};

struct FlowColumn {
    std::string_view title;
    std::size_t least, most; // columns; between them it takes what is left
    Align align;
    int yields;                   // as Column::yields
    std::optional<SortBy> sort{}; // whose order it shows
};
// 80 columns hold those that never yield, and HERE.
constexpr std::array<FlowColumn, 16> flow_columns = {{
    {"FLOW", 4, 4, Align::Left, always},
    {"LOCAL", 18, 47, Align::Left, 9},
    {"REMOTE", 21, 47, Align::Left, always, SortBy::Remote},
    {"SERVICE", 10, 16, Align::Left, 8},
    {"CLASS", 8, 8, Align::Left, 7},
    {"RATE", 11, 11, Align::Right, always, SortBy::Rate},
    {"IN", 11, 11, Align::Right, 5},
    {"OUT", 11, 11, Align::Right, 5},
    {"TREND", 7, Rates::history, Align::Left, 2},
    {"LOST", 8, 8, Align::Right, always, SortBy::Loss},
    {"HERE", 5, 5, Align::Right, 1},
    {"RTT", 7, 7, Align::Right, 1, SortBy::RoundTrip},
    {"JITTER", 7, 7, Align::Right, 4, SortBy::Jitter},
    {"PROCESS", 10, 19, Align::Left, always, SortBy::Process},
    {"INTERFACE", 9, 15, Align::Left, 10},
    {"SEEN", 7, 7, Align::Right, 6},
}};

using Cells = std::array<std::string, flow_columns.size()>;

Cells cells_of(const Reading& reading, std::size_t place, std::size_t trend) {
    const Diagnosis& diagnosis = *reading.diagnosis();
    const FlowRecord& flow = diagnosis.statistics.flows[place];
    const FlowDiagnosis* const detail = reading.detail(place);
    const auto rate = reading.rates().rate(place);
    const auto bits = [&](double FlowRate::*way) { return rate ? bit_rate_text((*rate).*way) : std::string("-"); };
    uint64_t dropped = 0;
    if (detail)
        for (const kudo_counter& counter : detail->dropped)
            dropped += counter.packets;
    Cells cells;
    cells[OfProtocol] = protocol_name(flow.protocol);
    cells[OfLocal] = endpoint_text(flow.local, flow.local_port);
    cells[OfRemote] = endpoint_text(flow.remote, flow.remote_port);
    cells[OfService] = service_cell(flow);
    // Without a rule the reason tells more than the class.
    cells[OfClass] = flow.class_ == KUDO_CLASS_NONE ? reason_name(flow.reason) : class_name(flow.class_);
    cells[OfRate] = rate ? bit_rate_text(rate->both()) : "-";
    cells[OfIn] = bits(&FlowRate::in);
    cells[OfOut] = bits(&FlowRate::out);
    cells[OfTrend] = sparkline(reading.rates().trend(place, trend), trend);
    cells[OfLost] = loss_cell(incoming_loss(flow, diagnosis.statistics.read_at));
    cells[OfHere] = diagnosis.drops_measured ? count_text(dropped) : "?";
    cells[OfRtt] = round_trip_cell(flow, detail);
    cells[OfJitter] = jitter_cell(flow);
    cells[OfProcess] = processes_cell(detail);
    cells[OfInterface] = flow.interface;
    cells[OfSeen] = age_text(diagnosis.statistics.read_at - flow.last_seen);
    return cells;
}

std::string line_text(const std::vector<std::size_t>& widths, const Cells& cells) {
    std::string text;
    for (std::size_t i = 0; i < flow_columns.size(); ++i)
        if (widths[i] != 0)
            text += (text.empty() ? "" : " ") + in_columns(printable(cells[i]), widths[i], flow_columns[i].align);
    return text;
}

} // namespace

FlowColumns::FlowColumns(std::size_t width, bool long_addresses) {
    for (const FlowColumn& column : flow_columns)
        widths_.push_back(column.least);
    const auto taken = [this] {
        std::size_t sum = 0;
        for (const std::size_t each : widths_)
            if (each != 0) sum += each + (sum == 0 ? 0 : 1);
        return sum;
    };
    while (taken() > width) {
        std::size_t first = flow_columns.size(); // to yield
        for (std::size_t i = 0; i < flow_columns.size(); ++i)
            if (widths_[i] != 0 && flow_columns[i].yields != always &&
                (first == flow_columns.size() || flow_columns[i].yields >= flow_columns[first].yields))
                first = i;
        if (first == flow_columns.size()) break; // the rest is cut at the screen's edge
        widths_[first] = 0;
    }
    std::size_t left = width - std::min(width, taken());
    for (const std::size_t i : {OfProcess, OfRemote, OfLocal, OfTrend, OfService, OfInterface}) {
        if (widths_[i] == 0) continue;
        constexpr std::size_t short_address = 21; // "255.255.255.255:65535"
        const bool short_one = (i == OfRemote || i == OfLocal) && !long_addresses;
        const std::size_t most = short_one ? short_address : flow_columns[i].most;
        const std::size_t more = std::min(left, most - flow_columns[i].least);
        widths_[i] += more;
        left -= more;
    }
}

Line FlowColumns::titles(const TopState& state) const {
    Line line;
    for (std::size_t i = 0; i < flow_columns.size(); ++i) {
        if (widths_[i] == 0) continue;
        const bool sorted = flow_columns[i].sort == state.sort;
        const std::string title = std::string(flow_columns[i].title) + (sorted ? (state.reverse ? "↑" : "↓") : "");
        line.spans.push_back({(line.spans.empty() ? "" : " ") + in_columns(title, widths_[i], flow_columns[i].align),
                              sorted ? Style::Bold : Style::Dim});
    }
    return line;
}

Line FlowColumns::row(const Reading& reading, std::size_t flow) const {
    const Diagnosis& diagnosis = *reading.diagnosis();
    const FlowRecord& record = diagnosis.statistics.flows[flow];
    const auto lost = lost_share(diagnosis, record, reading.detail(flow));
    constexpr double worth_a_look = 0.01; // of packets: as `status` is degraded from
    const auto rate = reading.rates().rate(flow);
    const Style style = lost && *lost >= worth_a_look ? Style::Red
                        : rate && rate->both() == 0   ? Style::Dim
                                                      : Style::Plain;
    return {.spans = {{line_text(widths_, cells_of(reading, flow, widths_[OfTrend])), style}}};
}

} // namespace kudo
