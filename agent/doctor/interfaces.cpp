// SPDX-License-Identifier: MIT
#include "agent/doctor/interfaces.h"

#include <algorithm>
#include <iterator>
#include <string_view>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "agent/attach/attachment.h"
#include "agent/attach/in_kernel.h"
#include "agent/doctor/command.h"
#include "agent/netlink/offloads.h"
#include "agent/queues/plan.h"
#include "agent/queues/root.h"
#include "maps/base/text.h"

namespace kudo {
namespace {

constexpr uint32_t least_mtu = 1280;

// Several interfaces, one report: the worst of them, what was seen of all, and the fixes behind each other.
class Verdicts {
public:
    void add(CheckResult result, std::string text, const std::string& fix = {}, const std::string& advice = {}) {
        if (result == CheckResult::Warn || result == CheckResult::Fail) {
            if (report_.summary.empty() || result > report_.result) report_.summary = text;
            report_.result = std::max(report_.result, result);
            add_command(report_.fix, fix);
            if (!advice.empty()) add_clause(report_.advice, advice);
        }
        report_.evidence.push_back(std::move(text));
    }
    CheckReport report(std::string all_well) && {
        if (report_.result == CheckResult::Pass) report_.summary = std::move(all_well);
        if (report_.evidence.size() == 1 && report_.evidence.front() == report_.summary) report_.evidence.clear();
        return std::move(report_);
    }

private:
    CheckReport report_{.result = CheckResult::Pass};
};

// What does not carry frames of a network of its own has the MTU that is left by what it goes through.
bool is_encapsulated(const Interface& interface) {
    constexpr std::string_view drivers[] = {"tun", "vxlan", "geneve", "openvswitch"};
    return interface.link != KUDO_LINK_ETHERNET || interface.ppp || interface.carrier != 0 ||
           std::ranges::find(drivers, read_offloads(interface.name).driver) != std::end(drivers);
}

// Empty: by no command. A link stays for as long as its owner does.
std::string xdp_off_command(const Interface& interface) {
    const XdpAttachment attached = xdp_attachment(interface.index);
    if (attached.by_link != false || attached.mode.empty()) return "";
    return shell_command({"ip", "link", "set", "dev", interface.name, attached.mode, "off"});
}

const char* no_interface = "no interface leads to KUDO; see routes";

} // namespace

CheckReport check_interfaces(const Subject& subject) {
    if (subject.wanted.present.empty() && subject.wanted.missing.empty()) return skipped(no_interface);
    Verdicts verdicts;
    for (const std::string& name : subject.wanted.missing)
        verdicts.add(CheckResult::Fail, name + ", which is enabled, does not exist now", {},
                     "Plug it in, or enable without that --interface.");
    const AttachOptions options = subject.desired.attach_options();
    for (const Interface& interface : subject.wanted.present) {
        if (!interface.up) {
            verdicts.add(CheckResult::Fail, interface.name + " is down",
                         shell_command({"ip", "link", "set", "dev", interface.name, "up"}));
            continue;
        }
        const bool tcx = options.tc_hook != TcHook::Clsact && has_tcx(interface.index);
        if (const std::string obstacle = tcx ? "" : egress_obstacle(interface, options); !obstacle.empty()) {
            verdicts.add(CheckResult::Fail, interface.name + ": " + obstacle, {},
                         fmt::format("If it is not wanted: {}",
                                     shell_command({"tc", "qdisc", "del", "dev", interface.name, "ingress"})));
            continue;
        }
        const char* tc = tcx ? "tcx" : "a clsact filter";
        const std::string driver = read_offloads(interface.name).driver;
        verdicts.add(
            CheckResult::Pass,
            fmt::format(
                "{}{}: {} on ingress, {} on egress", interface.name, driver.empty() ? "" : fmt::format(" ({})", driver),
                options.xdp ? "native XDP if the driver takes it, which was not tried, else " + std::string(tc) : tc,
                tc));
    }
    std::string names;
    for (const std::string& sentence : subject.wanted.unwatched)
        verdicts.add(CheckResult::Fail, sentence, {},
                     "Run enable, and this, with that --interface as well, or without any.");
    for (const Interface& interface : subject.wanted.present)
        names += (names.empty() ? "" : ", ") + interface.name;
    return std::move(verdicts).report("enable would attach to " + names);
}

CheckReport check_programs(const Subject& subject) {
    if (subject.wanted.present.empty()) return skipped(no_interface);
    if (!subject.may_look) return skipped("only who may load programs may see which are attached; see privileges");
    Verdicts verdicts;
    for (const Interface& interface : subject.wanted.present)
        for (const HookProgram& program : programs_on(interface.index)) {
            const std::string text = program_text(program.id);
            if (text.starts_with("kudo_")) continue;
            if (program.hook == "XDP")
                verdicts.add(CheckResult::Warn,
                             fmt::format("{}: {} runs at XDP, before kudo-agent, which sees only what it passes on",
                                         interface.name, text),
                             xdp_off_command(interface),
                             "Whoever runs that program decides whether it may go, or passes KUDO's packets on.");
            else
                verdicts.add(CheckResult::Pass, fmt::format("{}: {} at {}; kudo-agent goes before it", interface.name,
                                                            text, program.hook));
        }
    return std::move(verdicts).report("no other program would run before kudo-agent's");
}

CheckReport check_queue(const Subject& subject) {
    if (subject.wanted.present.empty()) return skipped(no_interface);
    Verdicts verdicts;
    for (const Interface& interface : subject.wanted.present) {
        const auto tree = read_qdisc_tree(interface.index);
        if (!tree) return skipped(fmt::format("{}: {}", interface.name, tree.error().message));
        if (tree->root() && tree->root()->handle == queue_handle) {
            verdicts.add(CheckResult::Pass, interface.name + ": kudo-agent's own queue");
            continue;
        }
        const FoundQueue found = tree->found();
        const QueuePlan plan = uplink_plan(found, subject.desired.queues, interface.mtu, is_wireless(interface.index));
        const std::string text = fmt::format("{}: {}: {}", interface.name, found.text(), plan.why);
        const bool serves = found.honours_marks || found.kind == "noqueue" || found.kind == "none";
        // Where the administrator has made it, enable refuses to replace it.
        const bool replaces =
            !plan.candidates.empty() && (!found.made_by_admin || subject.desired.queues.replace_qdisc);
        if (serves || replaces)
            verdicts.add(CheckResult::Pass, text);
        else
            verdicts.add(
                CheckResult::Warn,
                fmt::format("{}: KUDO's packets wait in {} like all others", interface.name, found.text()), {},
                fmt::format("Let enable replace it until disable: --replace-qdisc with --uplink RATE or --queue "
                            "KIND; or, if it is not wanted: {}",
                            shell_command({"tc", "qdisc", "del", "dev", interface.name, "root"})));
    }
    return std::move(verdicts).report("the queues serve marked packets first, or there is nothing to queue");
}

CheckReport check_offloads(const Subject& subject) {
    if (subject.wanted.present.empty()) return skipped(no_interface);
    Verdicts verdicts;
    for (const Interface& interface : subject.wanted.present) {
        const Offloads offloads = read_offloads(interface.name);
        if (offloads.lro == true)
            verdicts.add(CheckResult::Warn,
                         fmt::format("{}: large receive offload is on, which keeps XDP away and damages what is "
                                     "forwarded",
                                     interface.name),
                         shell_command({"ethtool", "-K", interface.name, "lro", "off"}));
        // Virtual pairs come without it.
        if (offloads.gro == false && offloads.driver != "veth")
            verdicts.add(CheckResult::Warn,
                         fmt::format("{}: generic receive offload is off: bulk traffic costs several times the CPU",
                                     interface.name),
                         shell_command({"ethtool", "-K", interface.name, "gro", "on"}));
        if (!offloads.gro) verdicts.add(CheckResult::Pass, interface.name + ": the driver does not tell");
    }
    return std::move(verdicts).report("receive offloads are as drivers come with");
}

CheckReport check_mtu(const Subject& subject) {
    if (subject.wanted.present.empty()) return skipped(no_interface);
    Verdicts verdicts;
    for (const Interface& interface : subject.wanted.present) {
        if (interface.mtu < least_mtu)
            verdicts.add(
                CheckResult::Fail,
                fmt::format("{}: the MTU is {}, and media packets have up to {} bytes", interface.name, interface.mtu,
                            least_mtu),
                is_encapsulated(interface) ? std::string()
                                           : shell_command({"ip", "link", "set", "dev", interface.name, "mtu", "1500"}),
                is_encapsulated(interface) ? "Whoever set the tunnel up gives it the MTU that the network below it "
                                             "leaves room for."
                                           : "");
        else
            verdicts.add(CheckResult::Pass, fmt::format("{}: MTU {}", interface.name, interface.mtu));
    }
    for (const RangeRoute& way : subject.routes)
        if (way.route.mtu && *way.route.mtu < least_mtu) {
            verdicts.add(CheckResult::Fail,
                         fmt::format("the route to {} has an MTU of {}, and media packets have up to {} bytes",
                                     way.range.text(), *way.route.mtu, least_mtu),
                         {}, "Remove \"mtu\" from the route (ip route), or find the router that reports it.");
            break;
        }
    return std::move(verdicts).report("media packets fit");
}

CheckReport check_wifi_power_save(const Subject& subject) {
    Verdicts verdicts;
    bool any = false;
    for (const Interface& interface : subject.wanted.present) {
        if (!is_wireless(interface.index)) continue;
        const auto sleeps = wifi_power_save(interface.index);
        any |= sleeps.has_value();
        if (sleeps == true)
            verdicts.add(CheckResult::Warn,
                         fmt::format("{}: the Wi-Fi card sleeps between beacons: packets wait up to 100 ms and more",
                                     interface.name),
                         shell_command({"iw", "dev", interface.name, "set", "power_save", "off"}));
    }
    if (!any) return skipped("none of the interfaces is Wi-Fi that tells of its power saving");
    return std::move(verdicts).report("the Wi-Fi card does not sleep");
}

} // namespace kudo
