// SPDX-License-Identifier: MIT
#include "agent/state/enforcement.h"

#include <algorithm>

#include <fmt/format.h>

#include "agent/lifelines/lifelines.h"
#include "agent/system/uptime.h"

namespace kudo {

HostMoment HostMoment::now() {
    return {.since_boot = kernel_boot_time(), .boot = read_uptime().boot, .wall = wall_time()};
}

ModeInEffect mode_in_effect(kudo_mode desired, const Enforcement& enforcement,
                            const std::optional<Rehearsal>& rehearsal, const HostMoment& now) {
    if (desired != KUDO_ENFORCE)
        return {.mode = desired,
                .admission = rehearsal && now.wall < rehearsal->end ? KUDO_ADMISSION_REHEARSE : KUDO_ADMISSION_NONE};
    constexpr auto enforced = KUDO_ENFORCE;
    if (enforcement.confirmed) return {.mode = enforced, .admission = KUDO_ADMISSION_ENFORCE};
    if (now.boot.empty() || enforcement.boot != now.boot) return {.lapse = Lapse::Rebooted};
    if (now.since_boot >= enforcement.deadline) return {.lapse = Lapse::Unconfirmed};
    return {.mode = enforced, .admission = KUDO_ADMISSION_ENFORCE, .deadline = enforcement.deadline};
}

kudo_admission admission_now(const kudo_policy& policy, const HostMoment& now) {
    const auto admission = static_cast<kudo_admission>(policy.admission);
    const bool ended = policy.deadline != 0 && now.since_boot >= policy.deadline;
    return admission == KUDO_ADMISSION_ENFORCE && ended ? KUDO_ADMISSION_NONE : admission;
}

std::string lapse_text(Lapse lapse, const Enforcement& enforcement) {
    constexpr std::string_view again =
        "mode prioritise is in effect and drops nothing; give the same kudo-agent enable "
        "--mode enforce again, then kudo-agent confirm from a new login";
    if (lapse == Lapse::Unconfirmed)
        return fmt::format("mode enforce was not confirmed within {} s: {}", enforcement.within.count(), again);
    if (lapse == Lapse::Rebooted)
        return fmt::format("this host was booted before mode enforce was confirmed: {}", again);
    return "";
}

// Do both let the same in? The port on the client's side is another one with each connection.
static bool same_ssh_rule(const std::string& a, const std::string& b) {
    const auto one = parse_ssh_connection(a), other = parse_ssh_connection(b);
    return one.has_value() == other.has_value() &&
           (!one || (one->client == other->client && one->server_port == other->server_port));
}

Enforcement begin_enforcement(const EnforcementRequest& request, const Enforcement* before, bool same_rules,
                              const HostMoment& now) {
    Enforcement result{.asked_by = request.session, .ssh = request.session.ssh};
    if (before && result.ssh.empty()) result.ssh = before->ssh;
    if (!request.within || (before && before->confirmed && same_rules && same_ssh_rule(before->ssh, result.ssh))) {
        result.confirmed = true;
        return result;
    }
    result.within = *request.within;
    result.boot = now.boot;
    result.deadline = now.since_boot + static_cast<uint64_t>(request.within->count()) * 1'000'000'000;
    return result;
}

std::optional<std::string> same_session(const Enforcement& enforcement, const Session& session,
                                        const std::function<bool(const Address&)>& is_own) {
    const Session& asked = enforcement.asked_by;
    if (enforcement.published == 0)
        return "this comes before packets are known to be judged by it; kudo-agent enable gives it again";
    const bool has_same_above = std::ranges::find(session.ssh_above, asked.ssh) != session.ssh_above.end();
    if (!asked.ssh.empty() && (session.ssh == asked.ssh || has_same_above))
        return "this is the SSH connection by which enable was given";
    if (const auto connection = parse_ssh_connection(session.ssh);
        connection && (is_own(connection->client) || is_on_loopback(connection->client)))
        return fmt::format("this SSH connection comes from this host itself ({}), which the rules do not concern",
                           connection->client.text());
    if (session.login != Session::no_login && session.login == asked.login)
        return "this is the login by which enable was given";
    if (session.leader != 0 && session.leader == asked.leader && session.leader_started == asked.leader_started)
        return "this is the terminal session by which enable was given";
    return std::nullopt;
}

} // namespace kudo
