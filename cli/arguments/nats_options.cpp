// SPDX-License-Identifier: MIT
#include "cli/arguments/nats_options.h"

#include <algorithm>

#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <fmt/format.h>

#include "cli/arguments/duration.h"
#include "maps/base/text.h"

namespace kudo {
namespace {

using std::chrono::milliseconds;

bool has_scheme(const std::string& url) {
    return url.starts_with("nats://") || url.starts_with("tls://");
}

// "nats://USER:PASSWORD@HOST", or a token in the same place.
bool has_secret(const std::string& url) {
    return url.find('@') != std::string::npos;
}

} // namespace

CLI::Option* add_nats_options(CLI::App& app, NatsOptions& options) {
    CLI::Option* const url = app.add_option("--nats", options.url,
                                            "The fleet's message server: nats://HOST:4222 or tls://HOST:4222; several "
                                            "separated by commas")
                                 ->type_name("URL");
    app.add_option("--nats-credentials", options.credentials,
                   "Credentials file: a line USER:PASSWORD, or nsc's file with a JWT")
        ->type_name("FILE");
    app.add_option("--nats-ca", options.ca_file, "CA bundle to verify the server; default: the system's")
        ->type_name("FILE");
    app.add_option("--nats-certificate", options.certificate, "Client certificate, if the server requires one")
        ->type_name("FILE");
    app.add_option("--nats-key", options.key, "Key of the client certificate")->type_name("FILE");
    return url;
}

void add_nats_waits(CLI::App& app, NatsWaitTexts& texts) {
    app.add_option("--nats-timeout", texts.timeout,
                   "Timeout for each response of the message server, at most 20s; twice that to connect")
        ->type_name("TIME")
        ->capture_default_str();
    app.add_option("--nats-health-check", texts.health_check,
                   "Interval of health checks of the message server, at most 2m")
        ->type_name("TIME")
        ->capture_default_str();
    app.add_option("--nats-doorbell-spread", texts.notification_spread,
                   "Read a new map after a random part of this, so that not all hosts read at once, at most 5m")
        ->type_name("TIME")
        ->capture_default_str();
}

Result<void> read_nats_waits(const NatsWaitTexts& texts, NatsOptions& options) {
    const auto read = [](std::string_view option, const std::string& text, milliseconds min,
                         milliseconds max) -> Result<milliseconds> {
        auto wait = KUDO_TRY(parse_wait(option, text));
        if (wait < min || wait > max)
            return bad_input(
                fmt::format("{}: {} is not between {} and {}", option, text, duration_text(min), duration_text(max)));
        return wait;
    };
    options.answer_wait = KUDO_TRY(read("--nats-timeout", texts.timeout, milliseconds(100), std::chrono::seconds(20)));
    options.connect_wait = 2 * options.answer_wait;
    options.health_check =
        KUDO_TRY(read("--nats-health-check", texts.health_check, milliseconds(100), std::chrono::minutes(2)));
    options.notification_spread =
        KUDO_TRY(read("--nats-doorbell-spread", texts.notification_spread, milliseconds(0), std::chrono::minutes(5)));
    return {};
}

Result<void> check_nats_options(const NatsOptions& options) {
    const bool anything = !options.credentials.empty() || !options.ca_file.empty() || !options.certificate.empty() ||
                          !options.key.empty();
    if (options.url.empty()) {
        if (anything) return bad_input("--nats: missing; required by the other options of the message server");
        return {};
    }
    if (std::ranges::any_of(options.urls(), has_secret))
        return bad_input(fmt::format("--nats: {}: contains a user, a password or a token, which everybody on this host "
                                     "could read; write USER:PASSWORD into a file and name it with --nats-credentials",
                                     redacted_url(options.url)));
    if (!std::ranges::all_of(options.urls(), has_scheme))
        return bad_input(fmt::format("--nats: \"{}\" is not a URL; write nats://HOST:4222 or tls://HOST:4222",
                                     redacted_url(options.url)));
    if (!is_simple_name(options.fleet))
        return bad_input(fmt::format("--fleet: {} is not a valid fleet name; expected 1 to 63 of [a-z0-9-]",
                                     quoted_text(options.fleet)));
    if (options.certificate.empty() != options.key.empty())
        return bad_input("--nats-certificate and --nats-key must be given together; one of them is missing");
    return {};
}

Result<void> check_ring(std::string_view option, const std::string& ring) {
    if (is_simple_name(ring)) return {};
    return bad_input(
        fmt::format("{}: {} is not a valid ring name; expected 1 to 63 of [a-z0-9-]", option, quoted_text(ring)));
}

} // namespace kudo
