// SPDX-License-Identifier: MIT
#include "agent/drops/tracing.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/stat.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "agent/datapath/bpf_object.h"
#include "agent/datapath/pin_folder.h"
#include "agent/drops/reasons.h"
#include "agent/drops/tables.h"
#include "bpf/drops.h"
#include "kudo_drops.skel.h"
#include "maps/base/hash.h"

namespace kudo {
namespace fs = std::filesystem;
namespace {

struct DropsDestroy {
    void operator()(kudo_drops* skeleton) const { kudo_drops::destroy(skeleton); }
};
using DropsSkeleton = std::unique_ptr<kudo_drops, DropsDestroy>;

constexpr uint32_t link_type_raw_tracepoint = 1; // linux/bpf.h, enum bpf_link_type

fs::path link_pin(const fs::path& folder) {
    return folder / "link";
}

const std::string& build_hash() {
    static const std::string hash = [] {
        std::size_t size = 0;
        const void* bytes = kudo_drops::elf_bytes(&size);
        return content_hash({static_cast<const char*>(bytes), size}).substr(0, 16);
    }();
    return hash;
}
// "program_BUILD_COPY": which build's it is, and the number of the loaded copy.
fs::path program_pin(const fs::path& folder, uint64_t copy) {
    return folder / fmt::format("program_{}_{:016x}", build_hash(), copy);
}
// Never 0, which is nobody's.
uint64_t new_copy() {
    std::random_device random;
    return (static_cast<uint64_t>(random()) << 32 | random()) | 1;
}

struct TracingLink {
    uint32_t id = 0;
    uint32_t program = 0;
    uint64_t copy = 0; // 0: another build's
    uint64_t missed = 0;
};
// Of the pinned link; an Error with ENOENT if there is none.
Result<TracingLink> read_link(const fs::path& folder) {
    const Fd link = KUDO_TRY(open_pin(link_pin(folder)));
    bpf_link_info info{};
    uint32_t size = sizeof info;
    if (bpf_obj_get_info_by_fd(link.get(), &info, &size) != 0) return fail_errno("cannot read the drops' link");
    if (info.type != link_type_raw_tracepoint) return fail("the drops' link is another kind of link", ENOENT);
    TracingLink result{.id = info.id, .program = info.prog_id, .copy = 0, .missed = 0};
    // The program's own pin tells what of it may not be asked by its number without CAP_SYS_ADMIN.
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(folder, error)) {
        const auto program = open_pin(entry.path());
        bpf_prog_info about{};
        size = sizeof about;
        if (!entry.path().filename().string().starts_with("program_") || !program ||
            bpf_obj_get_info_by_fd(program->get(), &about, &size) != 0 || about.id != info.prog_id)
            continue;
        const std::string prefix = fmt::format("program_{}_", build_hash()), name = entry.path().filename();
        if (name.starts_with(prefix)) result.copy = std::strtoull(name.c_str() + prefix.size(), nullptr, 16);
        result.missed = about.recursion_misses;
    }
    return result;
}

Result<void> reuse(bpf_map* map, const Fd& fd) {
    if (bpf_map__reuse_fd(map, fd.get()) != 0) return fail_errno("cannot reuse a map");
    return {};
}

bpf_map* map_of(const kudo_drops& skeleton, const DropTablePin& table) {
    return bpf_object__find_map_by_name(skeleton.obj, table.map);
}

// The tables that another build has left, if they are like this one's.
void reuse_tables(const kudo_drops& skeleton, const DropTables& tables) {
    for (const DropTablePin& table : drop_table_pins)
        if (auto reused = reuse(map_of(skeleton, table), tables.*table.fd); !reused)
            spdlog::debug("{}: {}", table.name, reused.error().message);
}

Result<void> set_constants(kudo_drops& skeleton, const DataPath& data_path, uint64_t copy) {
    const auto reasons = KUDO_TRY(DropReasons::of_running_kernel());
    const unsigned arguments = reasons->tracepoint_arguments();
    if (arguments < 2)
        return fail(Error{ErrorKind::Degraded, "the kernel's BTF has no tracepoint skb:kfree_skb as it should be", 0});
    struct stat network {};
    if (stat("/proc/thread-self/ns/net", &network) != 0) return fail_errno("/proc/thread-self/ns/net");
    skeleton.rodata->kudo_has_reason = arguments >= 3;
    skeleton.rodata->kudo_has_rx_socket = arguments >= 4;
    skeleton.rodata->kudo_namespace = static_cast<uint32_t>(network.st_ino);
    skeleton.rodata_copy->kudo_copy = copy;
    skeleton.rodata_instance->kudo_instance = data_path.instance();
    return {};
}

Error why_refused(int error) {
    if (error == EPERM || error == EACCES)
        return {ErrorKind::NotPermitted,
                "host drops are not counted: tracing them takes CAP_PERFMON, which this process does not have, or a "
                "kernel that does not lock down tracing",
                error};
    return {
        ErrorKind::Degraded,
        fmt::format("host drops are not counted: the kernel does not load the tracing program: {}", strerror(error)),
        error};
}

Result<DropsSkeleton> load(const DataPath& data_path, uint64_t copy, const Result<DropTables>& tables) {
    DropsSkeleton skeleton(kudo_drops::open());
    if (!skeleton) return fail_errno("cannot open the BPF object");
    KUDO_TRY(set_constants(*skeleton, data_path, copy));
    const DataPath::Maps& maps = data_path.maps();
    KUDO_TRY(reuse(skeleton->maps.kudo_lpm4_0, maps.lpm4[0]));
    KUDO_TRY(reuse(skeleton->maps.kudo_lpm4_1, maps.lpm4[1]));
    KUDO_TRY(reuse(skeleton->maps.kudo_lpm6_0, maps.lpm6[0]));
    KUDO_TRY(reuse(skeleton->maps.kudo_lpm6_1, maps.lpm6[1]));
    KUDO_TRY(reuse(skeleton->maps.kudo_flows4, maps.flows4));
    KUDO_TRY(reuse(skeleton->maps.kudo_flows6, maps.flows6));
    KUDO_TRY(reuse(skeleton->maps.kudo_learned4, maps.learned4));
    KUDO_TRY(reuse(skeleton->maps.kudo_learned6, maps.learned6));
    KUDO_TRY(reuse(skeleton->maps.data_learned_filter, maps.learned_filter));
    KUDO_TRY(reuse(skeleton->maps.data_active, maps.active));
    KUDO_TRY(reuse(skeleton->maps.data_policies, maps.policies));
    if (tables) reuse_tables(*skeleton, *tables);
    if (const int error = kudo_drops::load(skeleton.get()); error != 0) return fail(why_refused(-error));
    return skeleton;
}

Result<void> pin_instead(int fd, const fs::path& path) {
    if (unlink(path.c_str()) != 0 && errno != ENOENT) return fail_errno(path.string() + ": cannot remove the pin");
    return pin(fd, path);
}

// Ends with the last descriptor, a little later; the number says when. It takes CAP_SYS_ADMIN to ask.
void wait_for_end(uint32_t link) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(1);
    while (std::chrono::steady_clock::now() < end) {
        if (const Fd fd(bpf_link_get_fd_by_id(link)); !fd) return;
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
}

} // namespace

Result<bool> ensure_tracing(const DataPath& data_path) {
    const fs::path folder = drops_folder(data_path.folder());
    KUDO_TRY(make_pin_folder(folder));
    auto tables = open_drop_tables(data_path.folder());
    if (const auto link = read_link(folder); link && tables && link->copy != 0) {
        if (KUDO_TRY(read_drop_control(*tables)).counting == link->copy) return false;
        KUDO_TRY(set_counting(*tables, link->copy));
        return true;
    }
    const uint64_t copy = new_copy();
    const auto skeleton = KUDO_TRY(load(data_path, copy, tables));
    for (const DropTablePin& table : drop_table_pins)
        if (!tables) KUDO_TRY(pin_instead(bpf_map__fd(map_of(*skeleton, table)), folder / table.name));
    tables = open_drop_tables(data_path.folder());
    if (!tables) return fail(std::move(tables.error()));
    const Fd link(bpf_raw_tracepoint_open(nullptr, bpf_program__fd(skeleton->progs.kudo_drop)));
    if (!link) return fail(why_refused(errno));
    // From here on the new one counts, and the old one, which is still attached, does not.
    KUDO_TRY(set_counting(*tables, copy));
    std::error_code error;
    std::vector<fs::path> old;
    for (const auto& entry : fs::directory_iterator(folder, error))
        if (entry.path().filename().string().starts_with("program_")) old.push_back(entry.path());
    for (const fs::path& path : old)
        fs::remove(path, error);
    KUDO_TRY(pin_instead(bpf_program__fd(skeleton->progs.kudo_drop), program_pin(folder, copy)));
    KUDO_TRY(pin_instead(link.get(), link_pin(folder)));
    return true;
}

Tracing read_tracing(const DataPath& data_path) {
    const fs::path folder = drops_folder(data_path.folder());
    Tracing tracing;
    const auto link = read_link(folder);
    const auto tables = open_drop_tables(data_path.folder());
    if (link) tracing.missed = link->missed;
    if (!link || !tables) {
        const Error& error = !link ? link.error() : tables.error();
        tracing.enable_corrects = error.number == ENOENT;
        tracing.why_not = error.number == ENOENT ? "host drops are not counted: the tracing program is not attached"
                                                 : "host drops: " + error.message;
        return tracing;
    }
    const auto control = read_drop_control(*tables);
    if (link->copy == 0) {
        tracing.enable_corrects = true;
        tracing.why_not = "host drops are counted by another build's tracing program";
    } else if (!control || control->counting != link->copy) {
        tracing.enable_corrects = true;
        tracing.why_not = "host drops are not counted: the tracing program is switched off";
    } else {
        tracing.attached = true;
    }
    return tracing;
}

uint32_t tracing_link(const fs::path& data_path_folder) {
    const auto link = read_link(drops_folder(data_path_folder));
    return link ? link->id : 0;
}

Result<bool> counts_unpinned(uint32_t program) {
    return KUDO_TRY(tables_of_program(program)).second;
}

Result<void> switch_off_unpinned(uint32_t program) {
    const auto [tables, counts] = KUDO_TRY(tables_of_program(program));
    return counts ? set_counting(tables, 0) : Result<void>{};
}

Result<bool> remove_tracing(const fs::path& data_path_folder) {
    const fs::path folder = drops_folder(data_path_folder);
    if (const auto tables = open_drop_tables(data_path_folder))
        if (auto off = set_counting(*tables, 0); !off) spdlog::debug("{}", off.error().message);
    const auto link = read_link(folder);
    if (unlink(link_pin(folder).c_str()) != 0 && errno != ENOENT)
        return fail_errno(link_pin(folder).string() + ": cannot remove the pin");
    if (link) wait_for_end(link->id);
    return link.has_value();
}

} // namespace kudo
