// SPDX-License-Identifier: MIT
// Tells systemd how the service is: readiness, status, watchdog (sd_notify(3)).
// Invariant: without systemd all of it does nothing.
#pragma once

#include <chrono>
#include <optional>
#include <string>

namespace kudo {

void notify_ready();
void notify_alive();
void notify_stopping();
// What `systemctl status` shows; only what is new is sent.
void notify_status(const std::string& text);
// How often it wants to hear of us; nothing: it does not watch us.
std::optional<std::chrono::microseconds> watchdog_period();

} // namespace kudo
