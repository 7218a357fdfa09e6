// SPDX-License-Identifier: MIT
#include "cli/report/text.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/report/answer.h"
#include "cli/report/fields.h"
#include "cli/report/words.h"
#include "cli/terminal/output.h"
#include "maps/base/text.h"

namespace kudo {
namespace {

constexpr std::size_t label_column = 12;

class Lines {
public:
    Lines(std::size_t width, bool colour) : width_(width), colour_(colour) {}

    void labelled(std::string_view label, const std::string& content, bool is_command = false) {
        if (content.empty()) return;
        const std::string line = one_line(content);
        text += fmt::format("  {:<{}}", label, label_column) +
                (is_command ? line : wrapped(line, width_, label_column + 2, label_column + 2)) + "\n";
    }
    void labelled(std::string_view label, const OrderedJson& list) {
        for (const std::string& sentence : sentences(list)) {
            labelled(label, sentence);
            label = "";
        }
    }
    void title(std::string_view words) { text += "\n" + paint(words, Style::Bold, colour_) + "\n"; }
    void plain(const std::string& line) { text += wrapped(one_line(line), width_, 2) + "\n"; }

    std::string text;

private:
    std::size_t width_;
    bool colour_;
};

void add_findings(const OrderedJson& document, Lines& lines) {
    const std::string first = text_field(field(document, "answer"), "summary");
    bool any = false;
    for (const OrderedJson& finding : list_field(field(field(document, "stats"), "verdict"), "findings")) {
        if (text_field(finding, "summary") == first) continue;
        if (!any) lines.title("Also found in the traffic");
        any = true;
        lines.plain((is_true(finding, "past") ? "earlier: " : "") + text_field(finding, "summary"));
        lines.labelled("to do", text_field(finding, "advice"));
    }
}

void add_checks(const OrderedJson& document, Lines& lines) {
    const OrderedJson& checks = list_field(field(document, "doctor"), "checks");
    lines.title("Checks that did not pass");
    bool any = false;
    for (const OrderedJson& check : checks) {
        const std::string result = text_field(check, "result");
        if (result != "fail" && result != "warn") continue;
        any = true;
        lines.plain(fmt::format("{}  {}: {}", result, text_field(check, "title"), text_field(check, "summary")));
        lines.labelled("fix", text_field(check, "fix"), true);
        lines.labelled("to do", text_field(check, "advice"));
    }
    if (!any) lines.plain(checks.empty() ? "not checked" : "none");
}

std::string flows_text(const OrderedJson& document, std::size_t width, bool colour) {
    Table table({{"PROTOCOL"},
                 {"LOCAL"},
                 {"REMOTE"},
                 {"SERVICE"},
                 {"IN", Align::Right, 2},
                 {"OUT", Align::Right, 2},
                 {"LOST", Align::Right, 1},
                 {"RTT", Align::Right, 1},
                 {"PROCESS", Align::Left, 3}});
    for (const OrderedJson& flow : list_field(field(document, "stats"), "flows"))
        table.add({one_line(text_field(flow, "protocol")), one_line(end_words(flow, "local", "local_port")),
                   one_line(end_words(flow, "remote", "remote_port")), one_line(text_field(flow, "service")),
                   counter_words(field(flow, "ingress")), counter_words(field(flow, "egress")), flow_loss_words(flow),
                   flow_rtt_words(flow), one_line(process_words(flow))});
    return table.empty() ? "none was counted\n" : table.text(colour, width);
}

} // namespace

std::string report_as_text(const OrderedJson& document, std::size_t width, bool colour) {
    Lines lines(width, colour);
    const OrderedJson &answer = field(document, "answer"), &map = field(document, "map");
    const std::string_view kind = answer_kind(document);
    lines.text = paint(wrapped(one_line(text_field(answer, "summary")), width),
                       kind == "bad"    ? Style::Red
                       : kind == "good" ? Style::Green
                                        : Style::Yellow,
                       colour) +
                 "\n";
    const std::string who = text_field(answer, "who");
    lines.labelled("who", who.empty() ? "nobody, as far as this host can see" : who);
    lines.labelled("others", also_failing(answer, field(document, "doctor")));
    lines.labelled("to do", text_field(answer, "advice"));
    lines.labelled("sure?", confidence_words(answer));
    lines.labelled("seen", field(answer, "evidence"));
    lines.labelled("look", text_field(answer, "command"), true);
    lines.labelled("made", fmt::format("{}, on {}, by kudo-agent {}{}", time_words(text_field(document, "made_at")),
                                       text_field(document, "host"), text_field(field(document, "version"), "version"),
                                       is_true(document, "redacted") ? "; names and addresses replaced" : ""));
    lines.labelled("range map", fmt::format("{} ({})", text_field(map, "serial"), text_field(map, "source")));
    lines.labelled("signature", signature_words(map));
    add_findings(document, lines);
    lines.title("What KUDO asks of a network, and what this one did");
    for (const OrderedJson& point : list_field(document, "asked")) {
        lines.plain(fmt::format("{}: {}", text_field(point, "topic"), result_words(text_field(point, "result"))));
        lines.labelled("seen", field(point, "seen"));
    }
    lines.title("Flows");
    lines.text += flows_text(document, width, colour);
    add_checks(document, lines);
    if (!list_field(document, "not_known").empty()) lines.title("What cannot be known");
    for (const std::string& sentence : sentences(field(document, "not_known")))
        lines.plain(sentence);
    return lines.text;
}

} // namespace kudo
