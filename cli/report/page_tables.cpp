// SPDX-License-Identifier: MIT
#include "cli/report/page_tables.h"

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/report/answer.h"
#include "cli/report/fields.h"
#include "cli/report/html.h"
#include "cli/report/words.h"
#include "maps/base/text.h"

namespace kudo {
namespace {

constexpr std::size_t shown_flows = 25, shown_drops = 25;

// "✓ met": the sign and the word say it, the colour only repeats it.
std::string badge(std::string_view result) {
    const bool good = result == "met" || result == "pass", bad = result == "not_met" || result == "fail",
               doubtful = result == "doubtful" || result == "warn";
    return fmt::format(R"(<span class="badge {}">{} {}</span>)",
                       good       ? "good"
                       : bad      ? "bad"
                       : doubtful ? "doubt"
                                  : "unknown",
                       good       ? "✓"
                       : bad      ? "✗"
                       : doubtful ? "!"
                                  : "?",
                       html(result_words(result)));
}

// Cells hold HTML. On a narrow screen each cell stands below its title.
class HtmlTable {
public:
    explicit HtmlTable(std::vector<std::string> titles, std::string_view kind = "") : titles_(std::move(titles)) {
        text_ = fmt::format("<table class=\"{}\"><thead><tr>", kind);
        for (const std::string& title : titles_)
            text_ += fmt::format("<th scope=\"col\">{}</th>", html(title));
        text_ += "</tr></thead><tbody>\n";
    }
    void add(const std::vector<std::string>& cells) {
        text_ += "<tr>";
        for (std::size_t i = 0; i < cells.size(); ++i)
            text_ += fmt::format(R"(<{0} data-title="{1}">{2}</{3}>)", i == 0 ? "th scope=\"row\"" : "td",
                                 html(titles_[i]), cells[i], i == 0 ? "th" : "td");
        text_ += "</tr>\n";
    }
    [[nodiscard]] std::string text() const { return text_ + "</tbody></table>\n"; }

private:
    std::vector<std::string> titles_;
    std::string text_;
};

std::string code(const std::string& text) {
    return text.empty() ? "" : fmt::format("<code>{}</code>", html(text));
}

// Not broken into lines.
std::string number(const std::string& text) {
    return fmt::format("<span class=\"n\">{}</span>", html(text));
}

std::string paragraph(std::string_view label, const std::string& text) {
    return text.empty() ? "" : fmt::format("<p><b>{}</b> {}</p>\n", label, html(text));
}

std::string joined_sentences(const OrderedJson& list) {
    std::string text;
    for (const std::string& sentence : sentences(list))
        text += (text.empty() ? "" : "<br>") + html(sentence);
    return text;
}

// What a document that was cut, or the page, leaves out.
std::string left_out(const OrderedJson& document, const char* what, std::size_t all, std::size_t shown) {
    const double cut = number_field(field(document, "left_out"), what);
    std::string text;
    if (all > shown) text += fmt::format("The first {} of {} in the report's data are shown. ", shown, all);
    if (cut > 0) text += fmt::format("{:.0f} more were left out of the data.", cut);
    return text.empty() ? "" : fmt::format("<p class=\"note\">{}</p>\n", text);
}

} // namespace

std::string list_html(const OrderedJson& list) {
    std::string text;
    for (const std::string& sentence : sentences(list))
        text += fmt::format("<li>{}</li>", html(sentence));
    return text.empty() ? "" : "<ul>" + text + "</ul>\n";
}

std::string asked_html(const OrderedJson& document) {
    HtmlTable table({"KUDO asks for", "Here", "What was seen"}, "asked");
    for (const OrderedJson& point : list_field(document, "asked"))
        table.add({fmt::format("{}<span class=\"asks\">{}</span>", html(text_field(point, "topic")),
                               html(text_field(point, "asked"))),
                   badge(text_field(point, "result")), joined_sentences(field(point, "seen"))});
    return table.text();
}

std::string findings_html(const OrderedJson& document) {
    const OrderedJson& answer = field(document, "answer");
    std::string text;
    const std::string first = text_field(answer, "summary");
    for (const OrderedJson& finding : list_field(field(field(document, "stats"), "verdict"), "findings")) {
        if (text_field(finding, "summary") == first) continue;
        text += fmt::format("<article><h3>{}{}</h3>\n{}{}</article>\n", is_true(finding, "past") ? "Earlier: " : "",
                            html(text_field(finding, "summary")), list_html(field(finding, "evidence")),
                            paragraph("To do:", text_field(finding, "advice")));
    }
    return text.empty() ? "" : "<section><h2>Also found in the traffic</h2>\n" + text + "</section>\n";
}

std::string flows_html(const OrderedJson& document) {
    const OrderedJson& flows = list_field(field(document, "stats"), "flows");
    if (flows.empty()) return "<p class=\"note\">No flow with KUDO was counted.</p>\n";
    HtmlTable table({"Flow", "Service", "In", "Out", "Media lost", "Round trip", "Process"}, "flows");
    for (std::size_t i = 0; i < std::min<std::size_t>(flows.size(), shown_flows); ++i) {
        const OrderedJson& flow = flows[i];
        table.add(
            {fmt::format("{} {}<br>to {}", html(text_field(flow, "protocol")),
                         html(end_words(flow, "local", "local_port")), html(end_words(flow, "remote", "remote_port"))),
             html(fmt::format("{} (class {})", text_field(flow, "service"), text_field(flow, "class"))),
             number(counter_words(field(flow, "ingress"))), number(counter_words(field(flow, "egress"))),
             number(flow_loss_words(flow)), number(flow_rtt_words(flow)), html(process_words(flow))});
    }
    return "<p class=\"note\">Packets and bytes are as on the wire, since the flow began.</p>\n" + table.text() +
           left_out(document, "flows", flows.size(), shown_flows);
}

std::string drops_html(const OrderedJson& document) {
    const OrderedJson& stats = field(document, "stats");
    if (!stats.is_object()) return "<p class=\"note\">Not looked at.</p>\n";
    std::vector<const OrderedJson*> losses;
    for (const OrderedJson& drop : list_field(stats, "drops"))
        if (is_true(drop, "loss")) losses.push_back(&drop);
    if (!is_true(stats, "drops_measured"))
        return fmt::format("<p class=\"note\">Not known: {}</p>\n",
                           html(text_field(stats, "drops_not_measured_because")));
    if (losses.empty()) return "<p>This host's kernel has dropped no packet that KUDO's flows were to have.</p>\n";
    HtmlTable table({"Where", "In", "Out", "Whose decision", "Last seen"});
    for (std::size_t i = 0; i < std::min(losses.size(), shown_drops); ++i) {
        const OrderedJson& drop = *losses[i];
        const std::string reason = text_field(drop, "reason"), owner = text_field(field(drop, "owner"), "text");
        table.add({html(text_field(drop, "layer") + (reason.empty() ? "" : ", " + reason)),
                   number(counter_words(field(drop, "ingress"))), number(counter_words(field(drop, "egress"))),
                   owner.empty() ? "not known" : html(owner), html(time_words(text_field(drop, "last_seen")))});
    }
    return "<p class=\"note\">Packets and bytes.</p>\n" + table.text() +
           left_out(document, "drops", losses.size(), shown_drops);
}

std::string doctor_html(const OrderedJson& document) {
    const OrderedJson& checks = list_field(field(document, "doctor"), "checks");
    if (checks.empty()) return "<p class=\"note\">Not checked; the last section says why.</p>\n";
    std::string text;
    for (const std::string_view result : {"fail", "warn"})
        for (const OrderedJson& check : checks) {
            if (text_field(check, "result") != result) continue;
            const std::string fix = text_field(check, "fix");
            text += fmt::format("<article><h3>{} {}: {}</h3>\n{}{}{}{}</article>\n", badge(result),
                                html(text_field(check, "title")), html(text_field(check, "summary")),
                                list_html(field(check, "evidence")), paragraph("Who must act:", who_for_check(check)),
                                paragraph("To do:", text_field(check, "advice")),
                                fix.empty() ? "" : "<p><b>Command of this host:</b> " + code(fix) + "</p>\n");
        }
    HtmlTable table({"Check", "Result", "What was seen"});
    for (const std::string_view result : {"pass", "skip"})
        for (const OrderedJson& check : checks)
            if (text_field(check, "result") == result)
                table.add({html(text_field(check, "title")), badge(result), html(text_field(check, "summary"))});
    return text + table.text();
}

std::string map_html(const OrderedJson& document) {
    const OrderedJson& map = field(document, "map");
    HtmlTable facts({"Range map", ""}, "facts");
    const auto add = [&](const char* name, const std::string& value) {
        if (!value.empty()) facts.add({name, html(value)});
    };
    add("Serial", text_field(map, "serial"));
    add("In effect since", time_words(text_field(map, "effective")));
    add("Source", text_field(map, "source"));
    add("Signature", signature_words(map));
    add("Hash of its content", text_field(map, "hash"));
    HtmlTable services({"Service", "Ports", "Addresses", "Domains"});
    for (const OrderedJson& service : list_field(map, "services")) {
        std::string ranges;
        for (const std::string& range : sentences(field(service, "ranges")))
            ranges += (ranges.empty() ? "" : ", ") + range;
        services.add({html(text_field(service, "name")), html(joined(sentences(field(service, "ports")))),
                      html(ranges.empty() ? "-" : ranges), html(joined(sentences(field(service, "domains"))))});
    }
    return facts.text() + "<h3>What it asks a firewall to allow, in both directions</h3>\n" + services.text();
}

std::string agent_html(const OrderedJson& document) {
    const OrderedJson &status = field(document, "status"), &version = field(document, "version");
    HtmlTable facts({"kudo-agent", ""}, "facts");
    const auto add = [&](const char* name, const std::string& value) {
        if (!value.empty()) facts.add({name, html(value)});
    };
    add("Version", text_field(version, "version"));
    add("Kernel", fmt::format("{} ({})", text_field(field(version, "kernel"), "release"),
                              text_field(field(version, "kernel"), "machine")));
    if (status.is_object()) {
        add("State", !is_true(status, "enabled")  ? "not enabled"
                     : is_true(status, "healthy") ? "enabled, healthy"
                                                  : "enabled, degraded: what it counts and marks may be incomplete");
        add("Mode", is_true(status, "enabled") ? text_field(status, "mode") : "");
        add("Regions", joined(sentences(field(status, "regions"))));
    }
    return facts.text() + list_html(field(status, "drift")) + list_html(field(status, "alarms"));
}

std::string not_known_html(const OrderedJson& document) {
    return list_html(field(document, "not_known")) +
           "<p>What the network loses of what this host sends is not known here: only the far side sees it. Over TCP "
           "443, TLS hides what is missing of the media.</p>\n";
}

} // namespace kudo
