// SPDX-License-Identifier: MIT
// The options that name the fleet's message server, and how to reach it.
// Invariant: no secret is ever an option's value, for everybody can read a command line; only files are named.
#pragma once

#include <CLI/App.hpp>

#include "agent/sources/nats/options.h"
#include "maps/base/result.h"

namespace kudo {

// --nats, which is returned, --nats-credentials, --nats-ca, --nats-certificate and --nats-key. `options` outlives the
// app.
CLI::Option* add_nats_options(CLI::App& app, NatsOptions& options);

// --nats-timeout, --nats-health-check and --nats-doorbell-spread, of `run`, as they are written.
struct NatsWaitTexts {
    std::string timeout = "5s", health_check = "60s", notification_spread = "2s";
};
void add_nats_waits(CLI::App& app, NatsWaitTexts& texts);
// BadInput names the one that is wrong. Within their limits every fault is recovered from in less than five minutes:
// docs/fleet.md.
Result<void> read_nats_waits(const NatsWaitTexts& texts, NatsOptions& options);

// Checks the options together; BadInput names the one that is wrong. No --nats at all is valid.
Result<void> check_nats_options(const NatsOptions& options);

// BadInput unless it is 1..63 of [a-z0-9-]: "--ring: ...".
Result<void> check_ring(std::string_view option, const std::string& ring);

} // namespace kudo
