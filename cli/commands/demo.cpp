// SPDX-License-Identifier: MIT
#include "cli/commands/demo.h"

#include <fmt/format.h>

#include "agent/inspect/statistics.h"
#include "agent/reconcile/disable.h"
#include "agent/reconcile/reconcile.h"
#include "cli/demo/stage.h"
#include "cli/demo/traffic.h"
#include "cli/views/report.h"
#include "cli/views/stats_json.h"
#include "cli/views/stats_text.h"

namespace kudo {
namespace {

constexpr unsigned media_packets = 2000, media_bytes = 960, stranger_packets = 500, stranger_bytes = 120;
constexpr uint64_t fallback_bytes = 2'000'000, control_bytes = 100'000, web_bytes = 500'000;

class Narrator {
public:
    Narrator(bool quiet, bool colour) : quiet_(quiet), colour_(colour) {}
    Result<void> say(const std::string& line) const { return quiet_ ? Result<void>{} : print(fitted(line + "\n")); }
    Result<void> command(const std::string& line) const {
        return say("\n" + paint("$ kudo-agent " + line, Style::Bold, colour_));
    }

private:
    bool quiet_, colour_;
};

Result<void> enable_on(const DemoStage& stage, const Narrator& narrator, bool colour) {
    KUDO_TRY(narrator.command("enable --region ca"));
    return stage.host.run([&]() -> Result<void> {
        const auto report = KUDO_TRY(change_and_reconcile(stage.instance, [](DesiredState& state) -> Result<void> {
            state.enabled = true;
            state.regions = {"ca"};
            return {};
        }));
        return narrator.say(report_text(report, colour));
    });
}

Result<void> send_traffic(const DemoStage& stage, const Narrator& narrator) {
    const Endpoint media{&stage.server, demo_media_address, 3478}, fallback{&stage.server, demo_media_address, 443},
        control{&stage.server, demo_region_address, 443}, resolver{&stage.stranger, demo_stranger_address, 53},
        web{&stage.stranger, demo_stranger_address, 443};
    auto meeting = KUDO_TRY(exchange_udp(stage.host, media, media_packets, media_bytes));
    const auto marked = meeting.dscp_received.find(34);
    KUDO_TRY(narrator.say(fmt::format("media     {} UDP packets to {}:3478, {} answered; {} arrived there marked AF41",
                                      media_packets, demo_media_address, meeting.answered,
                                      marked == meeting.dscp_received.end() ? 0 : marked->second)));
    auto over_tcp = KUDO_TRY(exchange_tcp(stage.host, fallback, fallback_bytes));
    KUDO_TRY(
        narrator.say(fmt::format("fallback  {} bytes each way over TCP with {}:443", over_tcp, demo_media_address)));
    auto region = KUDO_TRY(exchange_tcp(stage.host, control, control_bytes));
    KUDO_TRY(
        narrator.say(fmt::format("control   {} bytes each way over TCP with {}:443", region, demo_region_address)));
    auto names = KUDO_TRY(exchange_udp(stage.host, resolver, stranger_packets, stranger_bytes));
    auto pages = KUDO_TRY(exchange_tcp(stage.host, web, web_bytes));
    return narrator.say(fmt::format(
        "stranger  {} UDP packets to {}:53, {} arrived unmarked; {} bytes each way over TCP", stranger_packets,
        demo_stranger_address, names.dscp_received.contains(0) ? names.dscp_received.at(0) : 0, pages));
}

Result<int> run_demo(const GlobalOptions& options) {
    const bool colour = colour_wanted();
    const Narrator narrator(options.json, colour);
    KUDO_TRY(narrator.say("A host, a KUDO media server and an unrelated server, each in a private network namespace.\n"
                          "The network of this machine itself is not changed."));
    auto stage = KUDO_TRY(build_demo_stage());
    KUDO_TRY(enable_on(stage, narrator, colour));
    KUDO_TRY(narrator.say(paint("Traffic", Style::Bold, colour)));
    KUDO_TRY(send_traffic(stage, narrator));

    KUDO_TRY(narrator.command("stats --flows"));
    KUDO_TRY(stage.host.run([&]() -> Result<void> {
        const auto diagnosis = KUDO_TRY(diagnose(stage.instance));
        const StatsView view{.flows = true, .width = output_width(), .colour = colour};
        return options.json ? write_stats_json(diagnosis, view, false, print) : print(stats_text(diagnosis, view));
    }));

    KUDO_TRY(narrator.command("disable"));
    Disabled disabled;
    KUDO_TRY(stage.host.run([&]() -> Result<void> {
        disabled = KUDO_TRY(disable(stage.instance));
        return {};
    }));
    KUDO_TRY(narrator.say(disabled.changed ? "disabled; all kudo-agent programs, maps and queues removed"
                                           : "not enabled; nothing of kudo-agent found"));
    return exit_done;
}

} // namespace

Run setup_demo(CLI::App&) {
    return run_demo;
}

} // namespace kudo
