// SPDX-License-Identifier: MIT
#include "agent/service/deliveries.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "agent/system/journal.h"
#include "maps/base/hash.h"

namespace kudo {
namespace {
constexpr std::chrono::milliseconds first_retry{1000}, max_retry{30'000};
constexpr std::size_t max_waiting = 64; // a source brings again what found no room
constexpr std::size_t max_logged = 4096;

// Why a valid map was left aside that people may expect to be taken; empty: nobody will miss it.
std::string not_taken(const Acceptance& acceptance) {
    return acceptance.what == Accepted::Held ? acceptance.text : acceptance.alarm;
}
} // namespace

Deliveries::Deliveries(const Instance& instance, AcceptanceSettings settings, ServiceAlarms& alarms, Retries& retries)
    : instance_(instance), settings_(std::move(settings)), alarms_(alarms), retry_(first_retry) {
    settings_.timeout = service_lock_timeout;
    settings_.retries = &retries;
}

void Deliveries::add(Delivery delivery) {
    std::erase_if(waiting_, [&](const Delivery& other) { return other.source == delivery.source; });
    if (waiting_.size() < max_waiting) waiting_.push_back(std::move(delivery));
}

std::chrono::steady_clock::time_point Deliveries::due() const {
    return waiting_.empty() ? std::chrono::steady_clock::time_point::max() : next_;
}

bool Deliveries::decide() {
    if (std::chrono::steady_clock::now() < due()) return false;
    bool changed = false;
    std::deque<Delivery> undecided;
    for (Delivery& delivery : std::exchange(waiting_, {})) {
        const LogFields source("KUDO_SOURCE", delivery.source);
        const auto acceptance = accept(instance_, settings_, delivery);
        if (acceptance) {
            changed |= log(*acceptance);
            if (!acceptance->alarm.empty()) changed |= alarms_.raise(delivery.source, acceptance->alarm);
            if (const std::string why = not_taken(*acceptance); !why.empty())
                log_once(delivery, why);
            else
                logged_.erase(delivery.source);
        } else if (acceptance.error().kind == ErrorKind::BadInput) {
            log_once(delivery, "refused: " + acceptance.error().message);
            changed |= alarms_.raise(delivery.source, acceptance.error().message);
        } else {
            alarms_.warn_once(fmt::format("{}: {}; will be tried again", delivery.source, acceptance.error().message));
            undecided.push_back(std::move(delivery));
        }
    }
    waiting_ = std::move(undecided);
    next_ = waiting_.empty() ? std::chrono::steady_clock::time_point{} : std::chrono::steady_clock::now() + retry_;
    retry_ = waiting_.empty() ? first_retry : std::min(2 * retry_, max_retry);
    return changed;
}

// A source brings it again at every re-read.
void Deliveries::log_once(const Delivery& delivery, const std::string& why) {
    if (logged_.size() > max_logged) logged_.clear();
    std::string what = content_hash(delivery.document) + content_hash(delivery.signatures) + why;
    auto& logged = logged_[delivery.source];
    if (logged == what) return;
    logged = std::move(what);
    spdlog::warn("{}", why);
}

// True if it changed anything.
bool Deliveries::log(const Acceptance& acceptance) {
    switch (acceptance.what) {
    case Accepted::Known:
    case Accepted::Superseded:
    case Accepted::Held:
        spdlog::debug("{}", acceptance.text);
        return false;
    case Accepted::KeySet:
        spdlog::info("{}", acceptance.text);
        return true;
    case Accepted::Activated:
    case Accepted::Staged: {
        const LogFields serial("KUDO_SERIAL", fmt::to_string(acceptance.serial));
        spdlog::info("{}", acceptance.text);
        return true;
    }
    }
    return false;
}

} // namespace kudo
