// SPDX-License-Identifier: MIT
#include "agent/attach/attachment.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include "agent/attach/clsact.h"
#include "agent/attach/in_kernel.h"
#include "agent/attach/links.h"
#include "agent/netlink/interface_number.h"
#include "agent/netlink/xdp.h"

namespace kudo {
namespace fs = std::filesystem;
namespace {

// Packets are between XDP and tc ingress for as long as the kernel polls or merges them (GRO, RPS): microseconds.
constexpr std::chrono::milliseconds in_flight{20};

// What was asked of programs that were here before is no question to these.
void forget_runs(const DataPath& data_path, uint32_t interface) {
    for (uint32_t direction = 0; direction < KUDO_DIRECTIONS; direction++) {
        const uint32_t element = interface % KUDO_INTERFACES * KUDO_DIRECTIONS + direction;
        const kudo_run none{};
        bpf_map_update_elem(data_path.maps().runs.get(), &element, &none, BPF_ANY);
    }
}

Program counting_ingress(const Interface& interface) {
    return interface.link == KUDO_LINK_ETHERNET ? Program::TcIngress : Program::IpTcIngress;
}
Program egress_program(const Interface& interface) {
    return interface.link == KUDO_LINK_ETHERNET ? Program::TcEgress : Program::IpTcEgress;
}

// Others' programs on a tcx hook that run before this one; 0: all of them.
std::vector<uint32_t> others_before(uint32_t interface, bool ingress, uint32_t program = 0) {
    auto programs = tcx_programs(interface, ingress);
    programs.erase(std::ranges::find(programs, program), programs.end());
    std::erase_if(programs, is_kudo_tc_program);
    return programs;
}

// Moves the slot's link to the head of its chain. The same program cannot be there twice (kernel/bpf/mprog.c), so it is
// away for a moment.
Result<bool> move_to_head(const fs::path& folder, uint32_t interface, const LinkSlot& slot, int program) {
    if (others_before(interface, slot.is_ingress(), program_id(program)).empty()) return false;
    KUDO_TRY(remove_link(folder, interface, slot));
    return ensure_link(folder, interface, slot, program);
}

Result<bool> move_filter_to_front(const fs::path& folder, const ClsactHook& hook, int program, uint32_t handle) {
    const ClsactFilter filter = KUDO_TRY(read_clsact(folder, hook));
    if (filter.in_front.empty() || !filter.may_be_moved_to_front) return false;
    KUDO_TRY(clsact_remove_filter(folder, hook));
    KUDO_TRY(clsact_attach(folder, hook, program, handle));
    return true;
}

// One interface on its way to what is wanted.
//
// Ingress moves between native XDP and tc so that every packet is counted, and once. The new hook is attached beside
// the old one, and for as long as both are there XDP runs XdpHandover, which tells the tc program in the packet's
// metadata that it has counted it (bpf/handover.bpf.h). To tc: XDP tells, `in_flight` later tc comes, XDP goes. To XDP:
// XDP comes and tells, `in_flight` later tc goes, XDP ceases to tell.
//
// What remains: a driver without room for metadata, whose packets both count while both are there; and what a driver
// drops when it changes its rings, which no hook has seen. Killed in between, both stay and still count once; status
// calls that degraded, and the next attach completes it.
class Attaching {
public:
    Attaching(DataPath& data_path, const Interface& interface, const AttachOptions& options)
        : data_path_(data_path), folder_(data_path.folder()), interface_(interface), options_(options) {}

    AttachResult run(const HooksLeftAlone& left_alone) {
        // Egress first: an ingress packet's flow then never waits for its answer's mark.
        result_.egress_problem = attempt(left_alone.egress, [this] { return egress(); });
        result_.ingress_problem = attempt(left_alone.ingress, [this] { return ingress(); });
        if (options_.drops && result_.egress_problem && !result_.ingress_problem)
            result_.ingress_problem = attempt({}, [this] { return leave_ingress(); });
        result_.changed |= result_.moved;
        if (result_.changed) forget_runs(data_path_, interface_.index);
        return std::move(result_);
    }

private:
    template <typename Make> static std::optional<Error> attempt(const std::optional<Error>& left, const Make& make) {
        if (left) return left;
        auto made = make();
        return made ? std::nullopt : std::optional(std::move(made.error()));
    }

    Result<void> egress() {
        result_.attached.egress = KUDO_TRY(tc(tcx_egress, egress_program(interface_), "egress"));
        return {};
    }

    // A flow is this host's own once it has sent in it, which only the program on egress sees: alone, the one on
    // ingress would drop the answers to all that this host asks.
    Result<void> leave_ingress() {
        for (const LinkSlot* slot : {&xdp_native, &xdp_generic, &tcx_ingress, &tcx_mark})
            KUDO_TRY(remove(*slot));
        result_.changed |= KUDO_TRY(clsact_remove_filter(folder_, {interface_.index, true}));
        result_.attached.ingress.reset();
        return fail(
            Error{ErrorKind::Degraded,
                  fmt::format("{}: ingress: mode enforce drops nothing here, since outgoing packets are not judged",
                              interface_.name),
                  0});
    }

    Result<void> ingress() {
        const bool ethernet = interface_.link == KUDO_LINK_ETHERNET;
        if (!ethernet && options_.xdp)
            result_.note = fmt::format("{} has no Ethernet header; using tc", interface_.name);
        if (ethernet && options_.xdp && KUDO_TRY(ingress_by_xdp())) return {};
        return ingress_by_tc(ethernet);
    }

    // False: there can be no native XDP. Nothing has changed then.
    Result<bool> ingress_by_xdp() {
        const bool moves = KUDO_TRY(tc_counts().in(interface_.name + ": ingress"));
        if (!KUDO_TRY(xdp(xdp_native, moves ? Program::XdpHandover : Program::Xdp))) return false;
        if (moves) std::this_thread::sleep_for(in_flight);
        result_.attached.ingress = Hook::XdpNative;
        result_.attached.marks_ingress = options_.marks_ingress;
        if (options_.marks_ingress) {
            KUDO_TRY(tc(tcx_mark, Program::TcIngressMark, "firewall mark"));
        } else {
            result_.changed |= KUDO_TRY(clsact_remove_filter(folder_, {interface_.index, true}));
            KUDO_TRY(remove(tcx_mark));
        }
        KUDO_TRY(remove(tcx_ingress));
        KUDO_TRY(remove(xdp_generic));
        if (moves) KUDO_TRY(xdp(xdp_native, Program::Xdp));
        return true;
    }

    Result<void> ingress_by_tc(bool ethernet) {
        const bool moves = KUDO_TRY(open_link(folder_, interface_.index, xdp_native)).has_value();
        if (moves) tell_tc();
        result_.attached.ingress = KUDO_TRY(tc(tcx_ingress, counting_ingress(interface_), "ingress"));
        KUDO_TRY(remove(xdp_native));
        KUDO_TRY(remove(tcx_mark));
        if (ethernet && options_.xdp && options_.xdp_generic && KUDO_TRY(xdp(xdp_generic, Program::XdpGeneric)))
            result_.attached.ingress = Hook::XdpGeneric;
        else
            KUDO_TRY(remove(xdp_generic));
        return {};
    }

    // If that fails, both count the packets of the moment; no reason to stay where we are.
    void tell_tc() {
        const auto program = data_path_.program(Program::XdpHandover);
        if (program && ensure_link(folder_, interface_.index, xdp_native, program->get()))
            std::this_thread::sleep_for(in_flight);
    }

    // Does a tc program count incoming packets? If it is another build's, which does not understand what it is told, it
    // is replaced by this one's where it is: another kind of tc hook would count beside it.
    Result<bool> tc_counts() {
        const Fd program = KUDO_TRY(data_path_.program(Program::TcIngress));
        if (KUDO_TRY(open_link(folder_, interface_.index, tcx_ingress))) {
            result_.changed |= KUDO_TRY(ensure_link(folder_, interface_.index, tcx_ingress, program.get()));
            return true;
        }
        const ClsactHook hook{interface_.index, true};
        const uint32_t running = KUDO_TRY(read_clsact(folder_, hook)).program;
        if (running == 0 || running == program_id(program.get())) return running != 0;
        const auto mark = data_path_.pinned_program(Program::TcIngressMark);
        if (mark && program_id(mark->get()) == running) return false;
        if (KUDO_TRY(open_link(folder_, interface_.index, xdp_native))) return false; // beside which it only marks
        KUDO_TRY(clsact_attach(folder_, hook, program.get(), filter_handle(data_path_.instance())));
        return result_.changed = true;
    }

    // True if the interface has this kind of XDP now; else the reason is noted, unless there is one already.
    Result<bool> xdp(const LinkSlot& slot, Program which) {
        const Fd program = KUDO_TRY(data_path_.program(which).in(interface_.name + ": XDP"));
        const auto changed = ensure_link(folder_, interface_.index, slot, program.get());
        if (changed) result_.changed |= *changed;
        if (!changed && result_.note.empty()) result_.note = why_not_xdp(changed.error().number, program.get());
        return changed.has_value();
    }

    // tcx where the kernel has it and the administrator does not say otherwise, else clsact.
    Result<Hook> tc(const LinkSlot& slot, Program which, const char* what) {
        return attach_tc(slot, which).in(interface_.name + ": " + what);
    }

    Result<Hook> attach_tc(const LinkSlot& slot, Program which) {
        const Fd program = KUDO_TRY(data_path_.program(which));
        const ClsactHook hook{interface_.index, slot.is_ingress()};
        if (options_.tc_hook != TcHook::Clsact) {
            auto linked = ensure_link(folder_, interface_.index, slot, program.get());
            if (linked) {
                result_.changed |= *linked;
                result_.changed |= KUDO_TRY(clsact_remove_filter(folder_, hook));
                if (options_.to_front)
                    result_.moved |= KUDO_TRY(move_to_head(folder_, interface_.index, slot, program.get()));
                return Hook::Tcx;
            }
            // A kernel before 6.6 does not know the attach type.
            const int number = linked.error().number;
            if (options_.tc_hook == TcHook::Tcx || (number != EINVAL && number != EOPNOTSUPP))
                return fail(std::move(linked.error()).in("tcx"));
        }
        const uint32_t handle = filter_handle(data_path_.instance());
        const ClsactFilter present = KUDO_TRY(read_clsact(folder_, hook));
        if (present.program != program_id(program.get()) || !present.once) {
            KUDO_TRY(clsact_attach(folder_, hook, program.get(), handle));
            result_.changed = true;
        }
        if (options_.to_front) result_.moved |= KUDO_TRY(move_filter_to_front(folder_, hook, program.get(), handle));
        result_.changed |= KUDO_TRY(remove_link(folder_, interface_.index, slot));
        return Hook::Tc;
    }

    Result<void> remove(const LinkSlot& slot) {
        result_.changed |= KUDO_TRY(remove_link(folder_, interface_.index, slot));
        return {};
    }

    // `number`: the errno of the refusal.
    [[nodiscard]] std::string why_not_xdp(int number, int program) const {
        const std::string& name = interface_.name;
        if (number == EBUSY) return fmt::format("another XDP program is attached to {}; using tc", name);
        if (options_.explains_refusal)
            if (const std::string words = why_xdp_is_refused(interface_.index, program); !words.empty())
                return fmt::format("{} takes no native XDP: {}; using tc", name, words);
        // Without the kernel's words EOPNOTSUPP does not tell a driver without XDP from one whose offloads forbid it.
        return fmt::format("{} takes no native XDP ({}); using tc", name, strerror(number));
    }

    DataPath& data_path_;
    const fs::path& folder_;
    const Interface& interface_;
    const AttachOptions& options_;
    AttachResult result_;
};

} // namespace

std::string_view hook_name(Hook hook) {
    static constexpr std::string_view names[] = {"xdp-native", "xdp-generic", "tcx", "tc"};
    return names[static_cast<std::size_t>(hook)];
}

AttachResult attach(DataPath& data_path, const Interface& interface, const AttachOptions& options,
                    const HooksLeftAlone& left_alone) {
    return Attaching(data_path, interface, options).run(left_alone);
}

Result<Attached> read_attached(DataPath& data_path, const Interface& interface) {
    Attached attached;
    const fs::path& folder = data_path.folder();
    const auto read_link = [&](const LinkSlot& slot, Program which) -> Result<bool> {
        const auto link = KUDO_TRY(open_link(folder, interface.index, slot));
        if (!link) return false;
        const auto program = data_path.pinned_program(which);
        const uint32_t running = KUDO_TRY(link_info(link->get())).program_id;
        const uint32_t wanted = program ? program_id(program->get()) : 0;
        if (wanted == 0 || running != wanted) {
            attached.current = false;
            attached.stale = fmt::format("{} runs program #{}, not {}", slot.pin, running,
                                         wanted == 0 ? "one of this build" : fmt::format("#{}", wanted));
        }
        if (slot.type != BPF_XDP)
            for (const uint32_t other : others_before(interface.index, slot.is_ingress(), running))
                attached.in_front.push_back(
                    fmt::format("{}: {}", slot.is_ingress() ? "ingress" : "egress", program_text(other)));
        return true;
    };
    // Which program our clsact filter runs; one of another build counts as the first.
    const auto read_filter = [&](bool ingress, std::initializer_list<Program> which) -> Result<std::optional<Program>> {
        const ClsactFilter filter = KUDO_TRY(read_clsact(folder, {interface.index, ingress}));
        if (filter.program == 0) return std::optional<Program>{};
        const char* side = ingress ? "ingress" : "egress";
        attached.current &= filter.once;
        for (const uint32_t other : others_before(interface.index, ingress)) // all of them run before clsact
            attached.in_front.push_back(fmt::format("{}: {} on tcx", side, program_text(other)));
        for (const std::string& other : filter.in_front)
            attached.in_front.push_back(fmt::format("{}: {}", side, other));
        for (const Program candidate : which) {
            auto program = data_path.pinned_program(candidate);
            if (program && filter.program == program_id(program->get())) return std::optional(candidate);
        }
        attached.current = false;
        return std::optional(*which.begin());
    };
    const bool native = KUDO_TRY(read_link(xdp_native, Program::Xdp));
    const bool generic = KUDO_TRY(read_link(xdp_generic, Program::XdpGeneric));
    const bool ingress_link = KUDO_TRY(read_link(tcx_ingress, counting_ingress(interface)));
    const bool mark_link = KUDO_TRY(read_link(tcx_mark, Program::TcIngressMark));
    const auto filter = KUDO_TRY(read_filter(true, {counting_ingress(interface), Program::TcIngressMark}));
    attached.marks_ingress = mark_link || filter || ingress_link;
    // A command was killed between attaching the new hook and removing the old one: some packets count twice.
    const int counting = native + ingress_link + (filter && filter != Program::TcIngressMark);
    if (counting > 1 || (native && generic)) attached.current = false;
    if (native)
        attached.ingress = Hook::XdpNative;
    else if (counting > 0)
        attached.ingress = generic ? Hook::XdpGeneric : ingress_link ? Hook::Tcx : Hook::Tc;
    const bool egress_link = KUDO_TRY(read_link(tcx_egress, egress_program(interface)));
    const bool egress_filter = KUDO_TRY(read_filter(false, {egress_program(interface)})).has_value();
    if (egress_link || egress_filter) attached.egress = egress_link ? Hook::Tcx : Hook::Tc;
    if (egress_link && egress_filter) attached.current = false;
    return attached;
}

std::string egress_obstacle(const Interface& interface, const AttachOptions& options) {
    const bool by_clsact =
        options.tc_hook == TcHook::Clsact || (options.tc_hook == TcHook::Auto && !has_tcx(interface.index));
    return by_clsact ? clsact_obstacle({interface.index, false}) : "";
}

Result<bool> detach(const fs::path& folder, uint32_t interface) {
    bool changed = false;
    std::optional<Error> first;
    const auto failed = [&first](Error error) {
        if (!first) first = std::move(error);
    };
    for (const LinkSlot* slot : link_slots) {
        auto removed = remove_link(folder, interface, *slot);
        if (removed)
            changed |= *removed;
        else
            failed(std::move(removed.error()));
    }
    for (const ClsactHook& hook : clsact_hooks(folder)) {
        if (hook.interface != interface) continue;
        auto removed = clsact_detach(folder, hook);
        if (removed)
            changed = true;
        else
            failed(std::move(removed.error()));
    }
    if (first) return fail(std::move(*first));
    return changed;
}

std::vector<LinkInfo> pinned_links(const fs::path& folder) {
    std::vector<LinkInfo> links;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(folder / "links", error)) {
        const auto link = open_pin(entry.path());
        if (!link) continue;
        if (auto info = link_info(link->get())) links.push_back(*info);
    }
    return links;
}

std::set<uint32_t> attached_interfaces(const fs::path& folder) {
    std::set<uint32_t> interfaces;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(folder / "links", error))
        if (const auto number = interface_number(entry.path().filename().string())) interfaces.insert(*number);
    for (const ClsactHook& hook : clsact_hooks(folder))
        interfaces.insert(hook.interface);
    return interfaces;
}

} // namespace kudo
