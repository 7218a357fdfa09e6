// SPDX-License-Identifier: MIT
#include "cli/top/layout.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "cli/terminal/printable.h"
#include "cli/terminal/units.h"
#include "cli/top/flow_columns.h"
#include "cli/top/pages.h"
#include "maps/base/text.h"

namespace kudo {
namespace {

Line plain(std::string_view text, Style style = Style::Plain) {
    return {.spans = {{printable(text), style}}};
}

Style style_of_place(LossPlace place) {
    return place == LossPlace::None ? Style::Green : place == LossPlace::Unknown ? Style::Yellow : Style::Red;
}

void add_lines(Lines& lines, std::string_view text, Style style, std::size_t limit = SIZE_MAX) {
    if (text.ends_with('\n')) text.remove_suffix(1);
    for (const std::string_view line : split(text, '\n')) {
        if (limit-- == 0) {
            lines.back().spans.back().text += "…";
            return;
        }
        lines.push_back(plain(line, style));
    }
}

Line title_line(const Reading& reading, std::size_t shown, const Pace& pace, const TopState& state) {
    std::string text = "kudo-agent top";
    if (const Diagnosis* const diagnosis = reading.diagnosis()) {
        const std::size_t flows = diagnosis->statistics.flows.size();
        text += "  " + (state.filter.empty() ? counted(flows, "flow")
                                             : fmt::format("{} of {}", shown, counted(flows, "flow")));
        if (const auto total = reading.total())
            text += fmt::format("  in {}  out {}", bit_rate_text(total->in), bit_rate_text(total->out));
    }
    if (!pace.read_at.empty()) text += "  " + pace.read_at;
    if (pace.slowed) text += fmt::format("  every {:.1f} s", std::chrono::duration<double>(pace.interval).count());
    return plain(text, Style::Bold);
}

// What is to be known before a number is believed.
Lines notices(const Reading& reading, const Pace& pace, const TopState& state) {
    Lines lines;
    const Diagnosis* const diagnosis = reading.diagnosis();
    if (reading.not_enabled())
        lines.push_back(plain("Not enabled; waiting for kudo-agent enable. " + reading.problem(), Style::Yellow));
    else if (!reading.problem().empty())
        lines.push_back(plain(
            fmt::format("Cannot be read now{}: {}", diagnosis ? "; this is of " + pace.read_at : "", reading.problem()),
            Style::Red));
    if (state.frozen) lines.push_back(plain("Frozen: nothing is read until Space is pressed.", Style::Yellow));
    if (!diagnosis) return lines;
    if (!diagnosis->drops_measured)
        lines.push_back(plain("This host's drops are not measured: " + diagnosis->drops_why_not, Style::Yellow));
    for (const std::string& gap : diagnosis->gaps)
        lines.push_back(plain("Not known: " + gap, Style::Yellow));
    if (diagnosis->statistics.unrecorded_flow_packets + diagnosis->statistics.evicted_flow_packets > 0)
        lines.push_back(plain("The flow table was full: not every packet is in a flow here.", Style::Yellow));
    constexpr std::size_t most = 3;
    if (lines.size() > most) {
        lines.resize(most - 1);
        lines.push_back(plain("There is more that is not known: press v.", Style::Yellow));
    }
    return lines;
}

// `hidden`: lines of a page above or below the screen.
Line footer(const TopState& state, std::size_t width, std::size_t hidden) {
    if (state.typed) return plain("Filter, then Enter: " + *state.typed + "_", Style::Bold);
    Line line;
    std::size_t left = width;
    for (const KeyBinding& binding : key_bindings()) {
        if (binding.label.empty()) continue;
        if (state.page != Page::Flows && binding.action != Action::Quit && binding.action != Action::Freeze) continue;
        const std::string label(binding.action == Action::Freeze && state.frozen ? "go on" : binding.label);
        const std::size_t taken = binding.name.size() + 1 + label.size() + (line.spans.empty() ? 0 : 1);
        if (taken > left) break;
        left -= taken;
        line.spans.push_back({(line.spans.empty() ? "" : " ") + std::string(binding.name), Style::Bold});
        line.spans.push_back({" " + label, Style::Dim});
    }
    if (state.page != Page::Flows) {
        line.spans.push_back({" Esc", Style::Bold});
        line.spans.push_back({" back", Style::Dim});
        if (hidden == 0) return line;
        line.spans.push_back({" Up Down", Style::Bold});
        line.spans.push_back({fmt::format(" {} more", counted(hidden, "line")), Style::Dim});
    } else if (!state.filter.empty()) {
        const std::string shown = " filter: " + state.filter;
        if (shown.size() <= left) line.spans.push_back({shown, Style::Yellow});
    }
    return line;
}

std::string page_text(const Reading& reading, const TopState& state, std::size_t width) {
    const Diagnosis* const diagnosis = reading.diagnosis();
    if (state.page == Page::Help) return help_page(width);
    if (!diagnosis) return "Nothing was read yet.";
    if (state.page == Page::Verdict) return verdict_page(*diagnosis, width);
    const auto& flows = diagnosis->statistics.flows;
    const auto found = std::ranges::find_if(
        flows, [&](const FlowRecord& flow) { return state.selected && key_of(flow) == *state.selected; });
    if (found == flows.end()) return "This flow is not in the flow table any more.";
    return flow_page(reading, static_cast<std::size_t>(found - flows.begin()), width);
}

// How many lines are not shown.
std::size_t add_page(Lines& lines, const Reading& reading, std::size_t width, std::size_t rows, TopState& state) {
    Lines page;
    add_lines(page, page_text(reading, state, width), Style::Plain);
    state.first_line = std::min(state.first_line, page.size() - std::min(page.size(), rows));
    for (std::size_t i = state.first_line; i < std::min(page.size(), state.first_line + rows); ++i)
        lines.push_back(std::move(page[i]));
    return page.size() - std::min(page.size(), rows);
}

void add_flows(Lines& lines, const Reading& reading, const std::vector<std::size_t>& flows, std::size_t width,
               std::size_t rows, TopState& state) {
    const auto& records = reading.diagnosis()->statistics.flows;
    if (flows.empty()) {
        lines.push_back(plain(records.empty() ? "No flows with KUDO yet."
                                              : "No flow passes the filter " + quoted_text(state.filter) + "."));
        return;
    }
    const bool long_addresses =
        std::ranges::any_of(records, [](const FlowRecord& flow) { return flow.remote.family == Family::IPv6; });
    const FlowColumns columns(width, long_addresses);
    lines.push_back(columns.titles(state));
    std::vector<FlowKey> keys;
    keys.reserve(flows.size());
    for (const std::size_t flow : flows)
        keys.push_back(key_of(records[flow]));
    const std::size_t selected = selected_row(state, {.flows = keys, .rows = rows});
    for (std::size_t i = state.first_row; i < std::min(flows.size(), state.first_row + rows); ++i) {
        lines.push_back(columns.row(reading, flows[i]));
        lines.back().selected = i == selected;
    }
}

void keep_within(Line& line, std::size_t width) {
    std::size_t left = width;
    for (Span& span : line.spans) {
        if (left == 0)
            span.text.clear();
        else
            span.text = cut(span.text, left);
        left -= characters(span.text);
    }
}

} // namespace

Lines layout(const Reading& reading, const std::vector<std::size_t>& flows, const Pace& pace, ScreenSize size,
             TopState& state, std::size_t& rows) {
    Lines lines;
    const auto [width, height] = size;
    rows = 1;
    if (width < least_screen.width || height < least_screen.height) {
        add_lines(lines,
                  wrapped(fmt::format("{}x{} is too small: top needs {}x{}. q ends it.", width, height,
                                      least_screen.width, least_screen.height),
                          std::max<std::size_t>(width, 1)),
                  Style::Plain);
    } else {
        lines.push_back(title_line(reading, flows.size(), pace, state));
        const Diagnosis* const diagnosis = reading.diagnosis();
        if (diagnosis && state.page != Page::Verdict) {
            const Verdict& verdict = diagnosis->verdict;
            add_lines(lines, wrapped(one_line(verdict.summary), width - 1), style_of_place(verdict.where),
                      height < 24 ? 1 : 2);
        } else if (!diagnosis && reading.problem().empty()) {
            lines.push_back(plain("Reading …"));
        }
        const Lines more = notices(reading, pace, state);
        lines.insert(lines.end(), more.begin(), more.end());
        if (height >= 24) lines.emplace_back();
        const std::size_t used = lines.size() + 1; // with the line at the bottom
        rows = height - std::min(used, height - 1);
        std::size_t hidden = 0;
        if (state.page != Page::Flows) {
            hidden = add_page(lines, reading, width, rows, state);
        } else if (diagnosis) {
            rows = std::max<std::size_t>(rows, 2) - 1; // below the titles
            add_flows(lines, reading, flows, width, rows, state);
        }
        lines.resize(height - 1);
        lines.push_back(footer(state, width, hidden));
    }
    lines.resize(height);
    for (Line& line : lines)
        keep_within(line, width);
    return lines;
}

} // namespace kudo
