// SPDX-License-Identifier: MIT
// Tells systemd how the service is: readiness, status, watchdog (sd_notify(3)). Included by the service.
// Invariant: without systemd all of it does nothing.
#pragma once

#include <chrono>
#include <optional>

#include "agent/status.h"

namespace kudo {

void notify_ready();
void notify_alive();
void notify_stopping(bool to_reload);
void notify_status(const Status& status);
// How often it wants to hear of us; nothing: it does not watch us.
std::optional<std::chrono::microseconds> watchdog_period();

} // namespace kudo
