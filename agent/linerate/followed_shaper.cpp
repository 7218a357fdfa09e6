// SPDX-License-Identifier: MIT
#include "agent/linerate/followed_shaper.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "agent/queues/leaf_room.h"
#include "agent/system/fd.h"
#include "agent/system/lock.h"

namespace kudo {
namespace {

constexpr uint64_t worth_changing = 200; // a two-hundredth
constexpr uint64_t worth_another_room = 32;

bool is_worth(uint64_t now, uint64_t wanted, uint64_t part) {
    return now == 0 || std::max(now, wanted) - std::min(now, wanted) >= std::max<uint64_t>(wanted / part, 1);
}

// While no command changes the host, and only what is as it was left: else another has given it a rate, or is about to.
Result<bool> change_if_unchanged(const Instance& instance, uint32_t device, uint64_t known, QueueKind kind,
                                 const ShapedLine& wanted, const std::optional<ShapedLine>& room_for,
                                 std::chrono::milliseconds patience) {
    auto lock = lock_folder(instance.state_dir, patience);
    if (!lock && lock.error().number == EWOULDBLOCK) return false;
    const Fd held = KUDO_TRY(std::move(lock));
    const auto objects = KUDO_TRY(list_tc_objects(device));
    const auto there = shaped_rate(objects);
    if (!there || *there / 8 != known / 8) return fail("a command, or somebody else, has changed its rate", ESTALE);
    if (*there / 8 != wanted.bits_per_second / 8) KUDO_TRY(change_rate(device, kind, wanted));
    if (room_for) KUDO_TRY(change_leaf_room(device, objects, kind, *room_for));
    return true;
}

} // namespace

bool FollowedShaper::take_up(const FollowingShaper& about) {
    // Rebuilt, or changed by hand.
    const bool is_new = about_.device != about.device || about_.mtu != about.mtu;
    const bool was_changed = !is_new && (changed_ || (applied_ != 0 && about.rate / 8 != applied_ / 8));
    if (is_new || was_changed) applied_ = room_for_ = 0;
    about_ = about;
    stands_off_ = changed_ = false;
    problem_.clear();
    return was_changed;
}

void FollowedShaper::stand_off(std::string problem) {
    problem_ = std::move(problem);
    stood_off_ |= !stands_off_;
    stands_off_ = true;
    applied_ = room_for_ = 0;
}

std::optional<ShaperCounts> FollowedShaper::look() {
    const auto counts = read_shaper(about_.device);
    if (!counts || !*counts) { // the next look at the host tells, and makes it again
        stand_off(counts ? "" : counts.error().message);
        return std::nullopt;
    }
    if ((*counts)->bytes < bytes_) applied_ = room_for_ = 0; // another qdisc
    bytes_ = (*counts)->bytes;
    kind_ = (*counts)->kind;
    return *counts;
}

void FollowedShaper::set(uint64_t rate, uint64_t room_for, const std::string& why) {
    change(rate, room_for, followed_bulk_room, std::chrono::milliseconds(0), why);
}

void FollowedShaper::leave(uint64_t rate, const std::string& why) {
    room_for_ = 0;
    change(rate, rate, usual_bulk_room, std::chrono::seconds(1), why);
}

void FollowedShaper::change(uint64_t rate, uint64_t room_for, uint32_t bulk_room, std::chrono::milliseconds patience,
                            const std::string& why) {
    if (stands_off_) return;
    room_for = std::clamp(room_for, about_.bounds.min, about_.bounds.max); // it may be a little more, which is drift
    const bool at_a_bound = rate == about_.bounds.min || rate == about_.bounds.max;
    const bool other_rate = is_worth(applied_, rate, at_a_bound ? rate : worth_changing);
    const bool other_room = kind_ == QueueKind::Htb && is_worth(room_for_, room_for, worth_another_room);
    if (!other_rate && !other_room) return;
    const uint64_t known = applied_ != 0 ? applied_ : about_.rate;
    const auto line_of = [&](uint64_t bits) {
        return ShapedLine{
            .bits_per_second = bits, .mtu = about_.mtu, .incoming = about_.incoming, .bulk_room = bulk_room};
    };
    const ShapedLine wanted = line_of(other_rate ? rate : known);
    const auto changed = change_if_unchanged(*instance_, about_.device, known, kind_, wanted,
                                             other_room ? std::optional(line_of(room_for)) : std::nullopt, patience);
    if (!changed) {
        changed_ = changed.error().number == ESTALE;
        return stand_off(changed.error().message);
    }
    if (!*changed) return; // the next step again
    applied_ = wanted.bits_per_second;
    if (other_room) room_for_ = room_for;
    spdlog::debug("{}: {}: {}", name_, rate_text(applied_), why);
}

} // namespace kudo
