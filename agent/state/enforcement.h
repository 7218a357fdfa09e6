// SPDX-License-Identifier: MIT
// Mode enforce with a way back: until when it is to be confirmed, by whom it was asked for, and what of it is in
// effect. The kernel's programs end an unconfirmed one by themselves (kudo_policy.deadline); this says the same to
// everybody else, and that after a reboot it does not come back. Invariant: pure, but for HostMoment::now(). What
// cannot be known (no boot id) counts as not confirmed.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "agent/lifelines/session.h"
#include "bpf/abi.h"
#include "maps/base/time.h"

namespace kudo {

// The clocks that decide.
struct HostMoment {
    uint64_t since_boot = 0; // ns of CLOCK_BOOTTIME, which no step of the clock changes
    std::string boot{};      // /proc/sys/kernel/random/boot_id
    Time wall{};
    static HostMoment now();
};

// Of a desired state with mode enforce; else as it is here.
struct Enforcement {
    bool confirmed = false;               // or asked for with --no-confirm
    uint64_t deadline = 0;                // ns of CLOCK_BOOTTIME in `boot`; 0: none
    uint64_t published = 0;               // as `deadline`: packets are judged by it since then; 0: not yet
    std::optional<uint32_t> last_login{}; // of that moment, see ancestry.h
    std::chrono::seconds within{};        // --confirm-within
    std::string boot{};                   // in which it was asked for
    Session asked_by{};
    std::string
        ssh{}; // Session::ssh that the lifeline ssh keeps; of an earlier command if the last was given otherwise
    bool operator==(const Enforcement&) const = default;
};

// Counts what enforce would drop, while another mode is in effect.
struct Rehearsal {
    Time begin{}, end{};
    bool operator==(const Rehearsal&) const = default;
};

// Why mode enforce is not in effect though it is desired.
enum class Lapse {
    None,
    Unconfirmed, // its deadline has passed
    Rebooted,    // before it was confirmed
};

struct ModeInEffect {
    kudo_mode mode = KUDO_PRIORITISE;
    kudo_admission admission = KUDO_ADMISSION_NONE;
    uint64_t deadline = 0; // see kudo_policy
    Lapse lapse = Lapse::None;
};
ModeInEffect mode_in_effect(kudo_mode desired, const Enforcement& enforcement,
                            const std::optional<Rehearsal>& rehearsal, const HostMoment& now);

// What the kernel's programs do by this policy now.
kudo_admission admission_now(const kudo_policy& policy, const HostMoment& now);

// A whole sentence, which says what happened and what to do; empty for None.
std::string lapse_text(Lapse lapse, const Enforcement& enforcement);

// The one that desired state `mode` begins, given from `session`: with a deadline `within` from now, or none at all
// (nothing: --no-confirm). `before`: what there was, null where it was not enforced; `same_rules`: what is enforced
// does not change. Then what was confirmed stays so.
struct EnforcementRequest {
    std::optional<std::chrono::seconds> within;
    Session session{};
};
Enforcement begin_enforcement(const EnforcementRequest& request, const Enforcement* before, bool same_rules,
                              const HostMoment& now);

// Is a command from this session certainly from the one that is to be confirmed, or from this host itself? A clause
// that begins with "this". Nothing: it is from another, which need not be a new one: see find_arrival(). `is_own`: is
// it an address of this host?
std::optional<std::string> same_session(const Enforcement& enforcement, const Session& session,
                                        const std::function<bool(const Address&)>& is_own);

} // namespace kudo
