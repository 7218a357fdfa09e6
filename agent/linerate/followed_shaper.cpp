// SPDX-License-Identifier: MIT
#include "agent/linerate/followed_shaper.h"

#include <cerrno>
#include <chrono>
#include <utility>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "agent/system/fd.h"
#include "agent/system/lock.h"

namespace kudo {
namespace {

constexpr uint64_t worth_changing = 200; // a two-hundredth

// While no command changes the host, and only what is as it was left: else another has given it a rate, or is about to.
Result<bool> change_if_unchanged(const Instance& instance, uint32_t device, uint64_t known, QueueKind kind,
                                 const ShapedLine& wanted) {
    auto lock = lock_folder(instance.state_dir, std::chrono::milliseconds(0));
    if (!lock && lock.error().number == EWOULDBLOCK) return false;
    const Fd held = KUDO_TRY(std::move(lock));
    const auto there = shaped_rate(KUDO_TRY(list_tc_objects(device)));
    if (!there || *there / 8 != known / 8) return fail("somebody else has changed its rate");
    KUDO_TRY(change_rate(device, kind, wanted));
    return true;
}

} // namespace

void FollowedShaper::take_up(const FollowingShaper& about) {
    // Rebuilt, or changed by hand.
    if (about_.device != about.device || about_.mtu != about.mtu || (applied_ != 0 && about.rate / 8 != applied_ / 8))
        applied_ = 0;
    about_ = about;
    stands_off_ = false;
    problem_.clear();
}

void FollowedShaper::stand_off(std::string problem) {
    problem_ = std::move(problem);
    stands_off_ = true;
    applied_ = 0;
}

std::optional<ShaperCounts> FollowedShaper::look() {
    const auto counts = read_shaper(about_.device);
    if (!counts || !*counts) { // the next look at the host tells, and makes it again
        stand_off(counts ? "" : counts.error().message);
        return std::nullopt;
    }
    if ((*counts)->bytes < bytes_) applied_ = 0; // another qdisc
    bytes_ = (*counts)->bytes;
    kind_ = (*counts)->kind;
    return *counts;
}

void FollowedShaper::set(uint64_t rate, const std::string& why) {
    if (stands_off_) return;
    const uint64_t difference = rate > applied_ ? rate - applied_ : applied_ - rate;
    const bool at_a_bound = rate == about_.bounds.min || rate == about_.bounds.max;
    if (applied_ != 0 && (difference == 0 || (difference < rate / worth_changing && !at_a_bound))) return;
    const uint64_t known = applied_ != 0 ? applied_ : about_.rate;
    if (known / 8 == rate / 8) {
        applied_ = rate;
        return;
    }
    const auto changed = change_if_unchanged(*instance_, about_.device, known, kind_,
                                             {.bits_per_second = rate, .mtu = about_.mtu, .incoming = about_.incoming});
    if (!changed) return stand_off(changed.error().message);
    if (!*changed) return; // the next step again
    applied_ = rate;
    spdlog::debug("{}: {}: {}", name_, rate_text(rate), why);
}

} // namespace kudo
