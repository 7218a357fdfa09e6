// SPDX-License-Identifier: MIT
#include "agent/notify.h"

#include <systemd/sd-daemon.h>
#include <time.h>

#include <fmt/format.h>

namespace kudo {

void notify_ready() {
    sd_notify(0, "READY=1");
}

void notify_alive() {
    if (watchdog_period()) sd_notify(0, "WATCHDOG=1");
}

void notify_stopping(bool to_reload) {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    const auto microseconds = static_cast<uint64_t>(now.tv_sec) * 1'000'000 + static_cast<uint64_t>(now.tv_nsec) / 1000;
    // MONOTONIC_USEC: what Type=notify-reload (systemd 253) asks for.
    const std::string reload = fmt::format("RELOADING=1\nMONOTONIC_USEC={}", microseconds);
    sd_notify(0, to_reload ? reload.c_str() : "STOPPING=1");
}

void notify_status(const Status& status) {
    static std::string said; // a reader that is slow would make us wait: only what is new is worth that
    const char* health = !status.desired.enabled ? "not enabled" : status.drift.empty() ? "healthy" : "degraded";
    std::string text = fmt::format("STATUS=range map {}, {}", status.serial, health);
    if (text == said) return;
    said = std::move(text);
    sd_notify(0, said.c_str());
}

std::optional<std::chrono::microseconds> watchdog_period() {
    uint64_t period = 0;
    if (sd_watchdog_enabled(0, &period) <= 0) return {};
    return std::chrono::microseconds(period);
}

} // namespace kudo
