// SPDX-License-Identifier: MIT
#include "cli/commands/by_service.h"

#include <algorithm>
#include <charconv>
#include <csignal>
#include <memory>

#include <fmt/format.h>
#include <spdlog/details/null_mutex.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include "agent/query/ask.h"
#include "agent/query/socket.h"
#include "agent/state/desired_state.h"
#include "agent/system/capabilities.h"
#include "agent/system/instance.h"
#include "cli/commands/commands.h"
#include "cli/terminal/output.h"

namespace kudo {
namespace {

constexpr std::string_view watch_option = "--watch";
constexpr double shortest_watch = 1; // seconds: others use this host as well

bool is_watch(const std::vector<std::string>& words) {
    return std::ranges::any_of(words, [](const std::string& word) { return word.starts_with(watch_option); });
}

// What a command logs here, it would on its standard error.
class LogToAsker : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
public:
    explicit LogToAsker(int connection) : connection_(connection) {}

protected:
    void sink_it_(const spdlog::details::log_msg& message) override {
        spdlog::memory_buf_t line;
        formatter_->format(message, line);
        // Whoever is gone is told nothing more; the output that follows finds out.
        [[maybe_unused]] const auto sent =
            send_piece(connection_, AnswerKind::Log, std::string_view(line.data(), line.size()));
    }
    void flush_() override {}

private:
    int connection_;
};

void log_to(int connection) {
    auto logger = std::make_shared<spdlog::logger>("kudo-agent", std::make_shared<LogToAsker>(connection));
    logger->set_pattern("%n: %l: %v");
    logger->set_level(spdlog::level::warn);
    spdlog::set_default_logger(std::move(logger));
}

Result<void> check_watch(const std::vector<std::string>& words) {
    for (auto word = words.begin(); word != words.end(); ++word) {
        std::string_view text;
        if (*word == watch_option && std::next(word) != words.end())
            text = *std::next(word);
        else if (word->starts_with("--watch="))
            text = std::string_view(*word).substr(watch_option.size() + 1);
        else
            continue;
        double seconds = shortest_watch; // what is no number is refused by the option itself
        std::from_chars(text.data(), text.data() + text.size(), seconds, std::chars_format::fixed);
        if (seconds < shortest_watch) return bad_input("--watch: at least 1 s without privileges");
    }
    return {};
}

// An allowance, not a measurement: a full flow table takes longer than the rest.
std::chrono::seconds time_for_flows(const Instance& instance) {
    constexpr uint32_t flows_a_second = 4000;
    const auto desired = load_desired_state(instance); // what keeps it from being read, the command itself says
    return answer_within + std::chrono::seconds(desired ? desired->max_flows / flows_a_second : 0);
}

AnswerTime time_of(const Query& query, const Instance& instance) {
    // They last as long as they are read: at the latest when the connection is closed, the service ends them.
    if (query.words.front() == "top" || is_watch(query.words)) return {.lasts = true, .within = {}};
    if (query.words.front() == "report") return {.lasts = true, .within = longest_answer}; // it looks at calls first
    return {.within = time_for_flows(instance)};
}

// In the process of the answer.
Result<int> answer(const Query& query, int connection, const BeginAnswer& begin, const Instance& instance) {
    if (query.instance == 0 || query.instance != instance_id(instance))
        return fail("the service of this socket looks after another --state-dir or network namespace");
    log_to(connection);
    KUDO_TRY(check_watch(query.words));
    auto invocation = KUDO_TRY(parse_query(commands(), query.words));
    invocation.options.json = query.json;
    invocation.options.instance = instance;
    invocation.options.asker = connection;
    KUDO_TRY(begin(time_of(query, instance)));
    send_output_elsewhere({.write = [connection](std::string_view text) -> Result<void> {
                               if (text.empty()) return {};
                               return send_piece(connection, AnswerKind::Output, text);
                           },
                           .colour = query.colour,
                           .screen = query.screen,
                           .width = query.width});
    return invocation.run(invocation.options);
}

volatile std::sig_atomic_t interrupted = 0;

// Ctrl-C ends a watch as it does with privileges: with exit status 0.
void interrupt_reading() {
    struct sigaction action {};
    action.sa_handler = [](int) { interrupted = 1; };
    for (const int signal : {SIGINT, SIGTERM})
        sigaction(signal, &action, nullptr);
}

ServiceQuery query_of(const Invocation& invocation, std::filesystem::path socket) {
    return {.socket = std::move(socket),
            .query = {.instance = instance_id(invocation.options.instance),
                      .words = invocation.words,
                      .json = invocation.options.json,
                      .colour = colour_wanted(),
                      .screen = is_screen(),
                      .width = output_width()}};
}

Result<int> print_answer(const Fd& service, bool goes_on) {
    const auto show = [](std::string_view text) -> Result<void> {
        if (interrupted) return fail("interrupted", EINTR);
        return print(text);
    };
    auto outcome = read_answer(service, {.output = show, .log = print_log, .goes_on = goes_on});
    if (interrupted && !outcome) return exit_done;
    return outcome;
}

void add_way_by_service(Error& error, const Error& why_not) {
    error.message += fmt::format(
        "; or ask the service, which answers members of its group, kudo-agent, while it runs: {}", why_not.message);
}

} // namespace

std::filesystem::path query_socket_of(const GlobalOptions& global) {
    if (global.query_socket) return *global.query_socket;
    const bool is_default = global.instance.state_dir == default_state_dir && global.instance.bpffs == default_bpffs;
    return is_default ? default_query_socket : "";
}

QuerySettings query_settings(const GlobalOptions& global) {
    return {.socket = query_socket_of(global),
            .answer = [instance = global.instance](const Query& query, int connection, const BeginAnswer& begin) {
                return answer(query, connection, begin, instance);
            }};
}

Result<void> print_log(std::string_view text) {
    [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
    return {};
}

Result<Fd> begin_by_service(const ServiceQuery& asked) {
    auto service = reach_service(asked.socket);
    if (service) return begin_asking(std::move(*service), asked);
    auto may = check_capabilities();
    if (may) return service;
    add_way_by_service(may.error(), service.error());
    return fail(std::move(may.error()));
}

Result<int> run_here_or_by_service(const Invocation& invocation) {
    const auto here = [&] { return invocation.run(invocation.options); };
    const auto socket = query_socket_of(invocation.options);
    if (invocation.words.empty() || socket.empty() || check_capabilities()) return here();
    const auto asked = query_of(invocation, socket);
    if (invocation.answered == Answered::InPart) {
        GlobalOptions options = invocation.options;
        options.service = asked;
        return invocation.run(options);
    }
    const bool goes_on = is_watch(asked.query.words);
    if (goes_on) interrupt_reading();
    auto service = reach_service(socket);
    if (service) {
        const Fd begun = KUDO_TRY(begin_asking(std::move(*service), asked));
        return print_answer(begun, goes_on);
    }
    auto outcome = here();
    if (!outcome && outcome.error().kind == ErrorKind::NotPermitted)
        add_way_by_service(outcome.error(), service.error());
    return outcome;
}

} // namespace kudo
