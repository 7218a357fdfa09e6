// SPDX-License-Identifier: MIT
#include "cli/views/diagnosis_text.h"

#include <algorithm>
#include <map>
#include <tuple>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "agent/inspect/protocol_name.h"
#include "cli/terminal/output.h"
#include "cli/terminal/units.h"

namespace kudo {
namespace {

constexpr std::size_t label_width = 9;

// "  seen     the kernel says …", wrapped below itself. `label` in the first line only.
std::string labelled(std::string_view label, std::string_view text, std::size_t width) {
    const std::string begin = fmt::format("  {:<{}}", label, label_width);
    return begin + wrapped(one_line(text), width, begin.size(), begin.size()) + "\n";
}

std::string ago_text(std::chrono::nanoseconds age) {
    const std::string text = age_text(age);
    return text == "now" ? text : text + " ago";
}

Style style_of(const Verdict& verdict) {
    switch (verdict.where) {
    case LossPlace::None:
        return Style::Green;
    case LossPlace::Unknown:
        return Style::Yellow;
    default:
        return Style::Red;
    }
}

std::string sure_text(Confidence confidence) {
    switch (confidence) {
    case Confidence::Certain:
        return "certain that it is lost there: it was counted where it happened";
    case Confidence::Likely:
        return "likely: nothing else that was seen explains it as well";
    case Confidence::Possible:
        break;
    }
    return "possible: other causes would look the same from this host";
}

void add_reading(std::string& text, const std::vector<std::string>& evidence, const std::string& advice,
                 const std::string& command, std::size_t width) {
    std::string_view label = "seen";
    for (const std::string& sentence : evidence)
        text += labelled(std::exchange(label, ""), sentence, width);
    if (!advice.empty()) text += labelled("advice", advice, width);
    // Not wrapped: it is copied.
    if (!command.empty()) text += fmt::format("  {:<{}}{}\n", "look", label_width, one_line(command));
}

// Findings beyond the verdict's own.
std::string more_findings(const Verdict& verdict, std::size_t width) {
    std::string text;
    std::size_t shown = 0, left = 0;
    for (const Finding& finding : verdict.findings) {
        if (finding.summary == verdict.summary) continue;
        if (shown == 5) {
            ++left;
            continue;
        }
        ++shown;
        const std::string prefix = finding.past                                 ? "earlier: "
                                   : finding.confidence == Confidence::Possible ? "perhaps: "
                                                                                : "";
        text += labelled(shown == 1 ? "also" : "", prefix + finding.summary, width);
        if (!finding.advice.empty()) text += labelled("", "→ " + finding.advice, width);
    }
    if (left > 0) text += labelled("", fmt::format("and {} more; --json has them all", left), width);
    return text;
}

std::string flow_cell(const DiagnosedDrop& drop) {
    if (!drop.drop.flow) return "-";
    const FlowOfDrop& flow = *drop.drop.flow;
    return fmt::format("{} {} {}", protocol_name(flow.protocol), endpoint_text(flow.local, flow.local_port),
                       endpoint_text(flow.remote, flow.remote_port));
}

std::string reason_cell(const Drop& drop) {
    return drop.reason.empty() ? drop.place.substr(0, drop.place.find('+')) : drop.reason;
}

std::string owner_cell(const DiagnosedDrop& drop) {
    if (drop.drop.is_ours) return "kudo-agent's own policy";
    if (!drop.drop.is_loss) return "no loss: the packet was not needed";
    if (!drop.drop.namespace_known && !drop.flow) return "unknown; perhaps of another network namespace";
    return text_or_dash(drop.owner.text);
}

struct Sum {
    const DiagnosedDrop* first = nullptr;
    Directions counters{};
    std::chrono::system_clock::time_point last_seen;
};

} // namespace

std::string verdict_text(const Diagnosis& diagnosis, const StatsView& view) {
    const Verdict& verdict = diagnosis.verdict;
    std::string text;
    if (diagnosis.since) text += fmt::format("In the last {}:\n", age_text(*diagnosis.since));
    text += paint(wrapped(verdict.summary, view.width), style_of(verdict), view.colour) + "\n";
    const bool loses = verdict.where != LossPlace::None && verdict.where != LossPlace::Unknown;
    if (loses) text += labelled("sure?", sure_text(verdict.confidence), view.width);
    add_reading(text, verdict.evidence, verdict.advice, verdict.command, view.width);
    if (const auto who = who_can_help(verdict.where); !who.empty()) text += labelled("who", who, view.width);
    text += more_findings(verdict, view.width);
    for (const std::string& gap : diagnosis.gaps)
        text += labelled("unknown", gap, view.width);
    return text;
}

std::string drops_text(const Diagnosis& diagnosis, const StatsView& view) {
    if (!diagnosis.drops_measured && diagnosis.drops.empty())
        return view.drops ? wrapped("Drops are not measured: " + diagnosis.drops_why_not, view.width) + "\n" : "";
    const auto now = diagnosis.statistics.read_at;
    std::string text;
    if (view.drops) {
        Table table({{"LAYER"},
                     {"REASON", Align::Left, 2},
                     {"INCOMING", Align::Right},
                     {"OUTGOING", Align::Right},
                     {"LAST SEEN", Align::Right, 4},
                     {"FLOW"},
                     {"WHO"},
                     {"PLACE", Align::Left, 5}});
        for (const DiagnosedDrop& drop : diagnosis.drops)
            table.add({std::string(layer_name(drop.drop.layer)), reason_cell(drop.drop),
                       count_text(drop.drop.counters[KUDO_INGRESS].packets),
                       count_text(drop.drop.counters[KUDO_EGRESS].packets), ago_text(now - drop.drop.last_seen),
                       flow_cell(drop), owner_cell(drop), drop.drop.place},
                      drop.drop.is_loss ? Style::Plain : Style::Dim);
        if (table.empty())
            text = "No packet of KUDO's was dropped by this host's kernel.\n";
        else
            text = table.text(view.colour, view.width);
    } else {
        std::map<std::tuple<std::string, std::string, std::string>, Sum> sums;
        for (const DiagnosedDrop& drop : diagnosis.drops) {
            if (!drop.drop.is_loss || (!drop.drop.namespace_known && !drop.flow)) continue;
            Sum& sum = sums[{std::string(layer_name(drop.drop.layer)), reason_cell(drop.drop), owner_cell(drop)}];
            if (!sum.first) sum.first = &drop;
            for (std::size_t i = 0; i < KUDO_DIRECTIONS; ++i)
                sum.counters[i].packets += drop.drop.counters[i].packets;
            sum.last_seen = std::max(sum.last_seen, drop.drop.last_seen);
        }
        Table table({{"DROPPED AT"},
                     {"REASON", Align::Left, 2},
                     {"INCOMING", Align::Right},
                     {"OUTGOING", Align::Right},
                     {"LAST SEEN", Align::Right},
                     {"BY"}});
        for (const auto& [cause, sum] : sums)
            table.add({std::get<0>(cause), std::get<1>(cause), count_text(sum.counters[KUDO_INGRESS].packets),
                       count_text(sum.counters[KUDO_EGRESS].packets), ago_text(now - sum.last_seen),
                       std::get<2>(cause)});
        if (table.empty()) return "";
        text = table.text(view.colour, view.width);
    }
    const uint64_t evicted =
        diagnosis.drops_evicted[KUDO_INGRESS].packets + diagnosis.drops_evicted[KUDO_EGRESS].packets;
    if (evicted > 0)
        text += wrapped(fmt::format("{} more drops are in no row: the table gave their rows to newer ones.",
                                    count_text(evicted)),
                        view.width) +
                "\n";
    if (diagnosis.drops_missed > 0)
        text += wrapped(fmt::format(
                            "{} drops could not be looked at, of whatever packets: they came while another was being "
                            "counted.",
                            count_text(diagnosis.drops_missed)),
                        view.width) +
                "\n";
    if (!diagnosis.drops_measured)
        text += wrapped("Drops are not measured now: " + diagnosis.drops_why_not, view.width) + "\n";
    return text;
}

} // namespace kudo
