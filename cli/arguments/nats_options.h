// SPDX-License-Identifier: MIT
// The options that say which fleet, and how to reach its message server.
// Invariant: no secret is ever an option's value, for everybody can read a command line; only files are named.
#pragma once

#include <CLI/App.hpp>

#include "agent/sources/nats/options.h"
#include "maps/base/result.h"

namespace kudo {

enum class NatsUse { Required, Optional };

// --nats, --nats-credentials, --nats-ca, --nats-certificate and --nats-key. `options` outlives the app.
void add_nats_options(CLI::App& app, NatsOptions& options, NatsUse use);

// --nats-timeout, --nats-health-check and --nats-doorbell-spread, of `run`, as they are written.
struct NatsWaitTexts {
    std::string timeout = "5s", health_check = "60s", notification_spread = "2s";
};
void add_nats_waits(CLI::App& app, NatsWaitTexts& texts);
// BadInput names the one that is wrong. Within their limits every fault heals in less than five minutes: docs/fleet.md.
Result<void> read_nats_waits(const NatsWaitTexts& texts, NatsOptions& options);

// What the options say together; BadInput names the one that is wrong. Nothing given is right where it is optional.
Result<void> check_nats_options(const NatsOptions& options);

// BadInput unless it is 1..63 of [a-z0-9-]: "--ring: ...".
Result<void> check_ring(std::string_view option, const std::string& ring);

} // namespace kudo
