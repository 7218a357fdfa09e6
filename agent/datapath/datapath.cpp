// SPDX-License-Identifier: MIT
#include "agent/datapath/datapath.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdarg>
#include <memory>
#include <vector>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "agent/datapath/pin_folder.h"
#include "agent/system/memory_cgroup.h"
#include "bpf/parse.h"
#include "kudo_bpf.skel.h"
#include "maps/base/hash.h"
#include "maps/document/range_map.h"

namespace kudo {
namespace {

struct SkeletonDestroy {
    void operator()(kudo_bpf* skeleton) const { kudo_bpf::destroy(skeleton); }
};
using Skeleton = std::unique_ptr<kudo_bpf, SkeletonDestroy>;

bpf_program* program_of(const kudo_bpf& skeleton, const char* name) {
    return bpf_object__find_program_by_name(skeleton.obj, name);
}

// libbpf's messages: to the log, and the last warning into the error.
thread_local std::string last_libbpf_warning;

int log_libbpf(libbpf_print_level level, const char* format, va_list arguments) {
    char line[1024];
    vsnprintf(line, sizeof line, format, arguments);
    std::string text = line;
    while (!text.empty() && text.back() == '\n')
        text.pop_back();
    spdlog::debug("{}", text);
    if (level == LIBBPF_WARN) last_libbpf_warning = text.substr(0, text.find('\n'));
    return 0;
}

// From the start of the program: all of agent/ calls libbpf.
[[maybe_unused]] const auto before_us = libbpf_set_print(log_libbpf);

// None of its programs is to be loaded yet.
Result<Skeleton> open_skeleton() {
    last_libbpf_warning.clear();
    Skeleton skeleton(kudo_bpf::open());
    if (!skeleton) return fail_errno("cannot open the BPF object");
    bpf_program* program = nullptr;
    bpf_object__for_each_program(program, skeleton->obj) bpf_program__set_autoload(program, false);
    return skeleton;
}

// What keeps maps from being made, which the kernel does not say, and what to do.
std::string memory_advice(int error) {
    if (error == ENOMEM) {
        const auto limit = memory_limit();
        if (!limit) return "; free memory, or choose a smaller --max-flows";
        return fmt::format("; this process's memory is limited to {} MiB by {}: raise that (MemoryMax= of a systemd "
                           "unit), or choose a smaller --max-flows",
                           limit->bytes >> 20, limit->file.string());
    }
    rlimit locked{};
    if (error == EPERM && getrlimit(RLIMIT_MEMLOCK, &locked) == 0 && locked.rlim_cur != RLIM_INFINITY)
        return fmt::format("; kernels before 5.11 count maps as locked memory, of which this process may have {} KiB "
                           "(ulimit -l): raise that, or choose a smaller --max-flows",
                           locked.rlim_cur >> 10);
    return "";
}

Result<void> load_skeleton(kudo_bpf& skeleton) {
    if (const int error = kudo_bpf::load(&skeleton); error != 0)
        return fail(fmt::format("the kernel does not load the BPF object: {}{}{}{}", strerror(-error),
                                last_libbpf_warning.empty() ? "" : "; ", last_libbpf_warning, memory_advice(-error)),
                    -error);
    return {};
}

// Every map that outlives the loading process, and the name of its pin.
struct PinnedMap {
    const char* name;
    Fd& (*fd)(DataPath::Maps&);
    bpf_map* (*map)(const kudo_bpf&);
};
#define KUDO_PINNED(field, member)                                                                                     \
    PinnedMap {                                                                                                        \
#member, [](DataPath::Maps &                                                                                   \
                    maps) -> Fd& { return maps.field; }, [](const kudo_bpf& skeleton) { return skeleton.maps.member; } \
    }
const PinnedMap pinned_maps[] = {
    KUDO_PINNED(lpm4[0], kudo_lpm4_0),
    KUDO_PINNED(lpm4[1], kudo_lpm4_1),
    KUDO_PINNED(lpm6[0], kudo_lpm6_0),
    KUDO_PINNED(lpm6[1], kudo_lpm6_1),
    KUDO_PINNED(allow4[0], kudo_allow4_0),
    KUDO_PINNED(allow4[1], kudo_allow4_1),
    KUDO_PINNED(allow6[0], kudo_allow6_0),
    KUDO_PINNED(allow6[1], kudo_allow6_1),
    KUDO_PINNED(fragments, kudo_fragments),
    KUDO_PINNED(denied4, kudo_denied4),
    KUDO_PINNED(denied6, kudo_denied6),
    KUDO_PINNED(flows4, kudo_flows4),
    KUDO_PINNED(flows6, kudo_flows6),
    KUDO_PINNED(rtp4, kudo_rtp4),
    KUDO_PINNED(rtp6, kudo_rtp6),
    KUDO_PINNED(qualities, kudo_qualities),
    KUDO_PINNED(probes4, kudo_probes4),
    KUDO_PINNED(probes6, kudo_probes6),
    KUDO_PINNED(videos4, kudo_videos4),
    KUDO_PINNED(videos6, kudo_videos6),
    KUDO_PINNED(strays4, kudo_strays4),
    KUDO_PINNED(strays6, kudo_strays6),
    KUDO_PINNED(queries, kudo_queries),
    KUDO_PINNED(responses, kudo_responses),
    KUDO_PINNED(last_query, data_last_query),
    KUDO_PINNED(learned4, kudo_learned4),
    KUDO_PINNED(learned6, kudo_learned6),
    KUDO_PINNED(learned_filter, data_learned_filter),
    KUDO_PINNED(openings, data_openings),
    KUDO_PINNED(hellos4, kudo_hellos4),
    KUDO_PINNED(hellos6, kudo_hellos6),
    KUDO_PINNED(last_hello, data_last_hello),
    KUDO_PINNED(outgoing4, kudo_outgoing4),
    KUDO_PINNED(outgoing6, kudo_outgoing6),
    KUDO_PINNED(runs, kudo_runs),
    KUDO_PINNED(interfaces, kudo_interfaces),
    KUDO_PINNED(cpus, kudo_cpus),
    KUDO_PINNED(services, kudo_services),
    KUDO_PINNED(grace, kudo_grace),
    KUDO_PINNED(active, data_active),
    KUDO_PINNED(policies, data_policies),
    KUDO_PINNED(clock, data_clock),
};
#undef KUDO_PINNED

// What this host has sent and what is under way go on over a change of layout: programs of both use the older one's map
// while one is put in the other's place, and no answer is missed between them. `since`: the layout that has last
// changed what is in it; to be raised with that.
struct HandedOnMap {
    const char* name;
    bpf_map* (*map)(const kudo_bpf&);
    unsigned since;
};
const HandedOnMap handed_on_maps[] = {
    {"kudo_outgoing4", [](const kudo_bpf& skeleton) { return skeleton.maps.kudo_outgoing4; }, 10},
    {"kudo_outgoing6", [](const kudo_bpf& skeleton) { return skeleton.maps.kudo_outgoing6; }, 10},
    {"kudo_fragments", [](const kudo_bpf& skeleton) { return skeleton.maps.kudo_fragments; }, 10},
};

bool is_like(int fd, const bpf_map* map) {
    bpf_map_info info{};
    uint32_t size = sizeof info;
    return bpf_obj_get_info_by_fd(fd, &info, &size) == 0 && info.type == bpf_map__type(map) &&
           info.key_size == bpf_map__key_size(map) && info.value_size == bpf_map__value_size(map) &&
           info.max_entries == bpf_map__max_entries(map) && info.map_flags == bpf_map__map_flags(map);
}

// Of the newest layout that has one. Where none fits the new layout begins with its own.
void take_over_maps(const Instance& instance, const kudo_bpf& skeleton) {
    auto layouts = pinned_layouts(instance);
    std::ranges::reverse(layouts);
    for (const HandedOnMap& handed : handed_on_maps)
        for (const auto& [folder, version] : layouts) {
            if (version < handed.since || version > KUDO_LAYOUT_VERSION) continue;
            const auto older = open_pin(folder / "maps" / handed.name);
            if (!older || !is_like(older->get(), handed.map(skeleton))) continue;
            if (bpf_map__reuse_fd(handed.map(skeleton), older->get()) == 0) break;
        }
}

Result<DataPath::Maps> open_maps(const std::filesystem::path& folder) {
    DataPath::Maps maps;
    for (const PinnedMap& pinned : pinned_maps) {
        auto fd = KUDO_TRY(open_pin(folder / "maps" / pinned.name));
        pinned.fd(maps) = std::move(fd);
    }
    return maps;
}

// One loaded copy of the object: which constants it has, which of its programs are pinned and as what.
struct Copy {
    kudo_link_layer link;
    bool ingress_counts;
    struct Entry {
        Program which;
        const char* pin;
        const char* name; // in the object
    };
    std::vector<Entry> programs;
    bool hands_over = false;
};
const Copy copies[] = {
    {KUDO_LINK_ETHERNET,
     true,
     {{Program::TcIngress, "tc_ingress", "kudo_tc_ingress"},
      {Program::TcEgress, "tc_egress", "kudo_tc_egress"},
      {Program::Clock, "clock", "kudo_clock"}}},
    {KUDO_LINK_ETHERNET, true, {{Program::Xdp, "xdp", "kudo_xdp"}}},
    {KUDO_LINK_ETHERNET, true, {{Program::XdpHandover, "xdp_handover", "kudo_xdp"}}, true},
    {KUDO_LINK_ETHERNET, false, {{Program::XdpGeneric, "xdp_generic", "kudo_xdp"}}},
    {KUDO_LINK_ETHERNET, false, {{Program::TcIngressMark, "tc_ingress_mark", "kudo_tc_ingress"}}},
    {KUDO_LINK_NONE,
     true,
     {{Program::IpTcIngress, "ip_tc_ingress", "kudo_tc_ingress"},
      {Program::IpTcEgress, "ip_tc_egress", "kudo_tc_egress"}}},
};

std::pair<const Copy*, const Copy::Entry*> find_copy(Program which) {
    for (const Copy& copy : copies)
        for (const Copy::Entry& entry : copy.programs)
            if (entry.which == which) return {&copy, &entry};
    std::abort(); // every Program is in the table
}

// Named after the object's content: another build of the agent has another folder.
std::string program_folder_name() {
    static const std::string name = [] {
        std::size_t size = 0;
        const void* bytes = kudo_bpf::elf_bytes(&size);
        return "programs_" + content_hash({static_cast<const char*>(bytes), size}).substr(0, 16);
    }();
    return name;
}

} // namespace

Result<DataPath> DataPath::open(const Instance& instance) {
    auto maps = open_maps(instance.layout());
    std::error_code error;
    if (!maps && maps.error().number == ENOENT && std::filesystem::exists(instance.layout(), error))
        return fail(maps.error().message + ": the data path is damaged; run the same kudo-agent enable again", ENOENT);
    if (!maps && maps.error().number == ENOENT)
        return fail(
            Error{ErrorKind::NotEnabled, "not enabled on this host; run: kudo-agent enable --region ...", ENOENT});
    if (!maps) return fail(std::move(maps.error()));
    return DataPath(instance, instance.layout(), std::move(*maps));
}

static Result<void> make_folders(const std::filesystem::path& layout) {
    for (const char* folder : {"", "maps", "links", "filters", "queues"})
        KUDO_TRY(make_pin_folder(layout / folder));
    return {};
}

Result<DataPath> DataPath::create(const Instance& instance, uint32_t max_flows,
                                  const std::function<Result<void>(DataPath&)>& prepare) {
    const auto staging = instance.layout().string() + "_new";
    auto skeleton = KUDO_TRY(open_skeleton());
    const int cpus = libbpf_num_possible_cpus();
    if (cpus < 1) return fail_errno("cannot count the CPUs", -cpus);
    bpf_map__set_max_entries(skeleton->maps.kudo_cpus, static_cast<uint32_t>(cpus));
    bpf_map__set_max_entries(skeleton->maps.kudo_flows4, max_flows);
    bpf_map__set_max_entries(skeleton->maps.kudo_flows6, max_flows / 4);
    take_over_maps(instance, *skeleton);
    KUDO_TRY(load_skeleton(*skeleton));

    KUDO_TRY(make_folders(staging));
    for (const PinnedMap& pinned : pinned_maps)
        KUDO_TRY(pin(bpf_map__fd(pinned.map(*skeleton)), std::filesystem::path(staging) / "maps" / pinned.name));
    KUDO_TRY(write_owner(instance, staging));
    DataPath data_path(instance, staging, KUDO_TRY(maps_of(*skeleton)));
    KUDO_TRY(prepare(data_path));
    // What is attached stays attached, and runs this version's programs as soon as it is updated.
    KUDO_TRY(adopt_layouts(instance, staging));
    const auto old = instance.layout().string() + "_old";
    if (rename(instance.layout().c_str(), old.c_str()) != 0 && errno != ENOENT)
        return fail_errno(instance.layout().string() + ": cannot put the data path in place");
    if (rename(staging.c_str(), instance.layout().c_str()) != 0)
        return fail_errno(instance.layout().string() + ": cannot put the data path in place");
    data_path.folder_ = instance.layout();
    std::error_code error;
    std::filesystem::remove_all(old, error);
    for (const auto& [folder, version] : pinned_layouts(instance))
        if (version < KUDO_LAYOUT_VERSION) KUDO_TRY(remove_layout(folder));
    return data_path;
}

Result<void> DataPath::mend_folders(const Instance& instance) const {
    KUDO_TRY(make_folders(folder_));
    return instance_of_layout(folder_) == 0 ? write_owner(instance, folder_) : Result<void>{};
}

Result<DataPath::Maps> DataPath::maps_of(const kudo_bpf& skeleton) {
    Maps maps;
    for (const PinnedMap& pinned : pinned_maps) {
        Fd fd(fcntl(bpf_map__fd(pinned.map(skeleton)), F_DUPFD_CLOEXEC, 0));
        if (!fd) return fail_errno(std::string("cannot duplicate the descriptor of ") + pinned.name);
        pinned.fd(maps) = std::move(fd);
    }
    return maps;
}

Result<Fd> DataPath::pinned_program(Program which) const {
    return open_pin(folder_ / program_folder_name() / find_copy(which).second->pin);
}

Result<Fd> DataPath::program(Program which) {
    auto fd = pinned_program(which);
    if (fd || fd.error().number != ENOENT) return fd;
    KUDO_TRY(load_programs(which));
    return pinned_program(which);
}

Result<void> DataPath::load_programs(Program which) {
    const Copy& copy = *find_copy(which).first;
    auto skeleton = KUDO_TRY(open_skeleton());
    // Generic XDP takes any frame without it, and with it hands packets on without their Ethernet header (seen
    // on 6.18).
    const bool frags = which != Program::XdpGeneric && kernel_has_xdp_frags();
    for (const Copy::Entry& entry : copy.programs) {
        bpf_program* const program = program_of(*skeleton, entry.name);
        bpf_program__set_autoload(program, true);
        if (frags && program == skeleton->progs.kudo_xdp) bpf_program__set_flags(program, BPF_F_XDP_HAS_FRAGS);
    }
    for (const PinnedMap& pinned : pinned_maps)
        if (bpf_map__reuse_fd(pinned.map(*skeleton), pinned.fd(maps_).get()) != 0)
            return fail_errno(fmt::format("cannot reuse the map {}", pinned.name));
    skeleton->rodata->kudo_link = copy.link;
    skeleton->rodata->kudo_ingress_counts = copy.ingress_counts;
    skeleton->rodata->kudo_hands_over = copy.hands_over;
    skeleton->rodata->kudo_xdp_frags = frags;
    skeleton->rodata_instance->kudo_instance = instance_;
    KUDO_TRY(load_skeleton(*skeleton));

    const auto folder = folder_ / program_folder_name();
    KUDO_TRY(make_pin_folder(folder));
    for (const Copy::Entry& entry : copy.programs) {
        // One that is there stays: links run it, also where a command that reads, and so takes no lock, has just loaded
        // the same.
        const auto pinned = pin(bpf_program__fd(program_of(*skeleton, entry.name)), folder / entry.pin);
        if (!pinned && pinned.error().number != EEXIST) return fail(Error(pinned.error()));
    }
    return {};
}

void DataPath::remove_foreign_programs() {
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(folder_, error)) {
        const std::string name = entry.path().filename();
        if (name.starts_with("programs_") && name != program_folder_name())
            std::filesystem::remove_all(entry.path(), error);
    }
}

} // namespace kudo
