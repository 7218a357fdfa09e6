// SPDX-License-Identifier: MIT
#include "cli/report/page.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/report/answer.h"
#include "cli/report/document.h"
#include "cli/report/fields.h"
#include "cli/report/html.h"
#include "cli/report/page_charts.h"
#include "cli/report/page_tables.h"
#include "cli/report/words.h"

namespace kudo {

extern const std::string_view report_page_html; // page.html

namespace {

constexpr std::string_view data_begin = R"(<script type="application/json" id="kudo-report">)", data_end = "</script>";

std::string row(std::string_view title, const std::string& content, std::string_view kind = "") {
    return content.empty() ? "" : fmt::format("<dt>{}</dt><dd class=\"{}\">{}</dd>\n", title, kind, content);
}

std::string answer_html(const OrderedJson& document) {
    const OrderedJson& answer = field(document, "answer");
    const std::string who = text_field(answer, "who"), command = text_field(answer, "command");
    return row("Who must act", who.empty() ? "Nobody, as far as this host can see." : html(who), "who") +
           row("Others must act too", html(also_failing(answer, field(document, "doctor")))) +
           row("What to do", html(text_field(answer, "advice"))) + row("How sure", html(confidence_words(answer))) +
           row("What was seen", list_html(field(answer, "evidence"))) +
           row("Command, on this host", command.empty() ? "" : "<code>" + html(command) + "</code>");
}

std::string_view sign_of(std::string_view kind) {
    return kind == "bad" ? "✗ Somebody must act" : kind == "good" ? "✓ No loss was seen" : "? Not known";
}

} // namespace

std::string report_page(const OrderedJson& document) {
    const std::string_view kind = answer_kind(document);
    const std::string host = text_field(document, "host"), made = time_words(text_field(document, "made_at"));
    const std::string version = text_field(field(document, "version"), "version");
    return filled_in(
        report_page_html,
        {{"title", html(fmt::format("KUDO network report: {}, {}", host, made))},
         {"version", html(version)},
         {"made", html(fmt::format("Host {}, {}, by kudo-agent {}", host, made, version))},
         {"kind", std::string(kind)},
         {"sign", std::string(sign_of(kind))},
         {"summary", html(text_field(field(document, "answer"), "summary"))},
         {"answer", answer_html(document)},
         {"findings", findings_html(document)},
         {"asked", asked_html(document)},
         {"timeline", timeline_html(field(document, "timeline"))},
         {"flows", flows_html(document)},
         {"drops", drops_html(document)},
         {"doctor", doctor_html(document)},
         {"map", map_html(document)},
         {"agent", agent_html(document)},
         {"unknown", not_known_html(document)},
         {"privacy", is_true(document, "redacted")
                         ? "Addresses and names of this host and its network have been replaced, each by the same word "
                           "everywhere; KUDO's ranges have not."
                         : "This page holds addresses of this host and its network, and names of its processes."},
         {"data", json_for_page(json_text(document, true))}});
}

Result<OrderedJson> document_of_page(std::string_view page, const std::string& shown) {
    const std::size_t begin = page.find(data_begin);
    if (begin == std::string_view::npos || page.find(data_begin, begin + 1) != std::string_view::npos)
        return bad_input(shown + ": not a report of kudo-agent: expected one element with id \"kudo-report\"");
    page.remove_prefix(begin + data_begin.size());
    const std::size_t end = page.find(data_end);
    if (end == std::string_view::npos) return bad_input(shown + ": the report in it has no end; the file was cut");
    return parse_report_document(page.substr(0, end), shown);
}

} // namespace kudo
