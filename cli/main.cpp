// SPDX-License-Identifier: MIT
// kudo-agent: reads the command line, runs the command, prints an error once, gives the exit status.
// Invariant: standard input, output and error are open, so that nothing we open is taken for one of them; no exception
// and no SIGPIPE ends the program.
#include <csignal>
#include <cstdlib>
#include <exception>
#include <memory>
#include <string>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include "agent/system/journal.h"
#include "cli/arguments/command_line.h"
#include "cli/commands/by_service.h"
#include "cli/commands/commands.h"
#include "cli/terminal/output.h"

namespace {

// If standard error cannot be written, the exit status alone tells it.
void print_error(std::string_view message) {
    // The journal takes it as an error, and without the number: systemd.exec(5), SyslogLevelPrefix=.
    const bool to_journal = kudo::is_journal_stream(STDERR_FILENO, std::getenv("JOURNAL_STREAM"));
    const std::string line = fmt::format("{}kudo-agent: {}\n", to_journal ? "<3>" : "", kudo::one_line(message));
    [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
}

// A closed descriptor is filled with one on which writing fails, as it did before.
void keep_standard_descriptors() {
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
        // The lowest free number is given, which is fd: those below it are open.
        if (::fcntl(fd, F_GETFD) < 0 && errno == EBADF) ::open("/dev/null", O_RDONLY);
    }
}

void set_up_log(bool verbose, const std::string& instance) {
    auto sink = kudo::journal_sink(instance);
    if (!sink) sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    auto logger = std::make_shared<spdlog::logger>("kudo-agent", std::move(sink));
    logger->set_pattern("%n: %l: %v");
    logger->set_level(verbose ? spdlog::level::debug : spdlog::level::warn);
    spdlog::set_default_logger(std::move(logger));
}

kudo::Result<int> run(int argc, char** argv) {
    const auto invocation = kudo::parse_command_line(kudo::commands(), argc, argv);
    if (!invocation) return kudo::fail(invocation.error());
    set_up_log(invocation->options.verbose, invocation->options.instance.state_dir.string());
    return kudo::run_here_or_by_service(*invocation);
}

} // namespace

int main(int argc, char** argv) {
    keep_standard_descriptors();
    std::signal(SIGPIPE, SIG_IGN);
    try {
        const auto status = run(argc, argv);
        if (status) return *status;
        print_error(status.error().message);
        return static_cast<int>(status.error().kind);
    } catch (const std::exception& error) {
        print_error(fmt::format("internal error: {}", error.what()));
    } catch (...) {
        print_error("internal error");
    }
    return static_cast<int>(kudo::ErrorKind::Failed);
}
