// SPDX-License-Identifier: MIT
#include "cli/commands/confirm.h"

#include <netinet/in.h>

#include <algorithm>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "agent/inspect/status.h"
#include "agent/lifelines/arrival.h"
#include "agent/netlink/interfaces.h"
#include "agent/reconcile/reconcile.h"
#include "agent/sockets/sockets.h"
#include "agent/state/range_store.h"
#include "cli/arguments/options.h"
#include "cli/terminal/output.h"
#include "maps/base/abi_names.h"

namespace kudo {
namespace {

// What tells where this command comes from.
struct Origin {
    Session session;
    Ancestry ancestry;
    Sockets tcp;
    std::vector<Address> own;
};

Result<Origin> read_origin() {
    constexpr uint8_t protocols[] = {IPPROTO_TCP};
    Sockets tcp = KUDO_TRY(Sockets::read(protocols));
    std::vector<Address> own = KUDO_TRY(own_addresses());
    return Origin{.session = own_session(), .ancestry = own_ancestry(), .tcp = std::move(tcp), .own = std::move(own)};
}

tl::unexpected<Error> not_from_here(const std::string& why) {
    return fail(fmt::format("not confirmed: {}; a new login or connection shows that this host can still be reached: "
                            "open one and give kudo-agent confirm there",
                            why));
}

// Is there nothing to confirm, or is it too late for it?
Result<void> check_state(const DesiredState& state) {
    if (!state.enabled) return fail(Error{ErrorKind::NotEnabled, "nothing to confirm: kudo-agent is not enabled", 0});
    if (state.mode != KUDO_ENFORCE)
        return fail(fmt::format("nothing to confirm: mode {} drops nothing", mode_name(state.mode)));
    if (const auto effect = state.in_effect(); effect.lapse != Lapse::None)
        return fail(Error{ErrorKind::Degraded, "too late: " + lapse_text(effect.lapse, state.enforcement), 0});
    return {};
}

// What shows that this host can be reached.
Result<std::string> check_origin(const DesiredState& state, const Origin& origin) {
    const auto is_own = [&](const Address& address) {
        return std::ranges::find(origin.own, address) != origin.own.end();
    };
    if (const auto why = same_session(state.enforcement, origin.session, is_own)) return not_from_here(*why);
    Arrival arrival = find_arrival(origin.ancestry, origin.tcp.all(), state.enforcement.published,
                                   state.enforcement.last_login, is_own);
    if (arrival.by.empty()) return not_from_here(arrival.why_not);
    return std::move(arrival.by);
}

// What is in effect cannot be published again, without its deadline: another map's rules would take its place untried.
Result<void> check_map(const Instance& instance, const DesiredState& state) {
    const auto maps = KUDO_TRY(load_honoured_maps(instance, state));
    if (maps.lost.empty()) return {};
    return fail(Error{ErrorKind::Degraded, "not confirmed: " + maps.lost, 0});
}

// A login proves nothing where nothing is judged.
Result<void> check_in_effect(const Status& status) {
    if (status.admission != KUDO_ADMISSION_ENFORCE)
        return fail(Error{ErrorKind::Degraded, "not confirmed: the kernel does not enforce; see kudo-agent status", 0});
    for (const InterfaceStatus& interface : status.interfaces)
        if (interface.ingress.empty() || interface.egress.empty())
            return fail(
                Error{ErrorKind::Degraded,
                      fmt::format("not confirmed: {} packets of {} are not judged, so nothing was tried out; see "
                                  "kudo-agent status",
                                  interface.ingress.empty() ? "incoming" : "outgoing", interface.name),
                      0});
    if (status.interfaces.empty())
        return fail(Error{ErrorKind::Degraded, "not confirmed: no interface is attached to; see kudo-agent status", 0});
    return {};
}

Result<int> run_confirm(const GlobalOptions& global) {
    const Origin origin = KUDO_TRY(read_origin());
    const Status status = KUDO_TRY(read_status(global.instance));
    std::string by;
    bool confirmed_before = false;
    const auto change = [&](DesiredState& state) -> Result<void> {
        confirmed_before = state.enabled && state.mode == KUDO_ENFORCE && state.enforcement.confirmed;
        if (confirmed_before) return {};
        KUDO_TRY(check_state(state));
        KUDO_TRY(check_in_effect(status));
        KUDO_TRY(check_map(global.instance, state));
        by = KUDO_TRY(check_origin(state, origin));
        state.enforcement.confirmed = true;
        state.enforcement.deadline = 0;
        return {};
    };
    const auto report = KUDO_TRY(change_and_reconcile(global.instance, change, Asked::Policy));
    const OrderedJson json = {{"confirmed", true},
                              {"changed", !confirmed_before},
                              {"by", confirmed_before ? OrderedJson() : OrderedJson(by)},
                              {"generation", report.generation}};
    KUDO_TRY(print_either(
        global.json, json,
        confirmed_before ? "already confirmed; nothing changed\n"
                         : fmt::format("confirmed by {}: mode enforce stays, generation {}\n", by, report.generation)));
    return report.problems.empty() ? exit_done : exit_degraded;
}

} // namespace

Run setup_confirm(CLI::App& app) {
    app.footer(
        "To be given from a new login or connection, not from the one that enable --mode enforce was given from: "
        "what would be confirmed is that this host can still be reached. That is shown by a connection which was "
        "accepted since, such as SSH, or by a login with a terminal. What has outlived its session (setsid, nohup, "
        "tmux) or comes from cron or a service shows nothing.\n"
        "Exit status: 0 confirmed, now or before, 1 not from here, or nothing to confirm, 3 not enabled, 4 too "
        "late.");
    return run_confirm;
}

} // namespace kudo
