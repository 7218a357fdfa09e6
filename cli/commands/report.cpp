// SPDX-License-Identifier: MIT
#include "cli/commands/report.h"

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "agent/query/ask.h"
#include "agent/system/files.h"
#include "cli/arguments/duration.h"
#include "cli/arguments/options.h"
#include "cli/commands/by_service.h"
#include "cli/report/fields.h"
#include "cli/report/gather.h"
#include "cli/report/page.h"
#include "cli/report/redaction.h"
#include "cli/report/save.h"
#include "cli/report/text.h"
#include "cli/terminal/output.h"
#include "maps/base/text.h"

namespace kudo {
namespace {

constexpr std::chrono::minutes longest_look{10};
constexpr const char* standard_output = "-";

struct ReportOptions {
    std::string output, show;
    bool redact = false, no_doctor = false;
    ReportRequest request;
};

Result<std::chrono::seconds> parse_look(const std::string& text) {
    const auto duration = KUDO_TRY(parse_duration(text));
    if (duration > longest_look) return bad_input(quoted_text(text) + " is too long; at most 10m");
    return duration;
}

Result<int> show(const ReportOptions& options, const GlobalOptions& global) {
    auto page = read_file(options.show, max_report_page);
    if (!page) return fail(std::move(page.error()));
    const OrderedJson document = KUDO_TRY(document_of_page(*page, options.show));
    KUDO_TRY(print_either(global.json, document, report_as_text(document, output_width(), colour_wanted())));
    return exit_done;
}

Result<OrderedJson> gather(const ReportOptions& options, const Instance& instance) {
    GatheredReport gathered = KUDO_TRY(gather_report(instance, options.request));
    OrderedJson document = KUDO_TRY(report_document(std::move(gathered.parts)));
    return options.redact ? redacted(document, std::move(gathered.identities)) : document;
}

// What the service hands out: all of the report but its page.
Result<OrderedJson> gather_by_service(ServiceQuery asked) {
    std::erase_if(asked.query.words, [](const std::string& word) { return word.starts_with("--output="); });
    const Fd service = KUDO_TRY(begin_by_service(asked));
    std::string text;
    const auto take = [&text](std::string_view piece) -> Result<void> {
        if (text.size() + piece.size() > max_report_page) return fail("the service's report is too large", EPROTO);
        text += piece;
        return {};
    };
    KUDO_TRY(read_answer(service, {.output = take, .log = print_log}));
    return parse_report_document(text, "the service's answer");
}

// It takes its time, which whoever waits is told.
void tell_how_long(std::chrono::seconds duration, bool doctor) {
    if (isatty(STDERR_FILENO) == 0) return;
    const std::string text = fmt::format("looking at calls for {}{} ...\n", duration_text(duration),
                                         doctor ? ", then checking the network for at most 15 s" : "");
    [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
}

Result<int> make(const ReportOptions& options, const GlobalOptions& global) {
    if (options.output.empty() && !global.json)
        return bad_input("report needs -o, the file to write, or - for standard output; for example: kudo-agent "
                         "report -o report.html");
    const bool to_output = options.output == standard_output, to_file = !options.output.empty() && !to_output;
    if (to_output && global.json) return bad_input("--json and -o - both mean standard output: give one of them");
    if (to_file) KUDO_TRY(check_report_path(options.output));
    tell_how_long(options.request.duration, options.request.doctor && !global.service);
    const OrderedJson document =
        KUDO_TRY(global.service ? gather_by_service(*global.service) : gather(options, global.instance));
    if (to_output) {
        KUDO_TRY(print(report_page(document)));
        return exit_done;
    }
    if (to_file) KUDO_TRY(save_report(options.output, report_page(document)));
    const OrderedJson& answer = field(document, "answer");
    const std::string who = text_field(answer, "who");
    KUDO_TRY(print_either(
        global.json, document,
        wrapped(one_line(text_field(answer, "summary")), output_width()) +
            (who.empty() ? "\n" : "\n" + wrapped("who must act: " + one_line(who), output_width()) + "\n") +
            fmt::format("written to {}\n", one_line(options.output))));
    return exit_done;
}

Result<int> make_in_service(ReportOptions options, const GlobalOptions& global) {
    if (options.request.doctor) options.request.why_no_doctor = "doctor needs root, and the service does without";
    options.request.doctor = false;
    KUDO_TRY(print_json(KUDO_TRY(gather(options, global.instance)), true));
    return exit_done;
}

void add_request(CLI::App& app, ReportOptions& options) {
    app.add_flag("--redact", options.redact,
                 "Replace addresses and names of this host and its network, each by the same word everywhere");
    add_option(app, "--for", options.request.duration, parse_look,
               "How long calls are looked at, for round trips and rate over time; at most 10m")
        ->type_name("T")
        ->default_str(duration_text(options.request.duration));
    app.add_flag("--no-doctor", options.no_doctor, "Send nothing: leave the checks of doctor out");
    app.add_option("--region", options.request.regions, "As for doctor; default: those that are enabled")
        ->type_name("REGION[,REGION]")
        ->delimiter(',')
        ->allow_extra_args(false);
    app.add_flag("--teams", options.request.teams, "Include KUDO in Microsoft Teams");
}

} // namespace

Run setup_report(CLI::App& app) {
    const auto options = std::make_shared<ReportOptions>();
    app.add_option("-o,--output", options->output, "The page to write, for its owner alone; - for standard output")
        ->type_name("FILE");
    add_request(app, *options);
    app.add_option("--show", options->show, "Read the report in this page back, and print it; needs no privileges")
        ->type_name("FILE");
    for (const char* name : {"--output", "--redact", "--for", "--no-doctor", "--region", "--teams"})
        app.get_option("--show")->excludes(app.get_option(name));
    app.footer(
        "Changes nothing on this host. Make it while the call is bad. It takes the time of --for and at most 15 s "
        "more; doctor sends what docs/doctor.md says, and needs root.\n"
        "Examples: kudo-agent report -o report.html; kudo-agent report --show report.html");
    return [options](const GlobalOptions& global) {
        options->request.doctor = !options->no_doctor;
        return options->show.empty() ? make(*options, global) : show(*options, global);
    };
}

Run setup_report_in_service(CLI::App& app) {
    const auto options = std::make_shared<ReportOptions>();
    add_request(app, *options);
    return [options](const GlobalOptions& global) {
        options->request.doctor = !options->no_doctor;
        return make_in_service(*options, global);
    };
}

} // namespace kudo
