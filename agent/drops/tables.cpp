// SPDX-License-Identifier: MIT
#include "agent/drops/tables.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "agent/datapath/bpf_object.h"

namespace kudo {

constexpr std::string_view state_name = "kudo_drop_state", copy_name = ".rodata.copy"; // as the kernel has maps' names

std::filesystem::path drops_folder(const std::filesystem::path& data_path_folder) {
    return data_path_folder / "drops";
}

Result<DropTables> open_drop_tables(const std::filesystem::path& data_path_folder) {
    DropTables tables;
    for (const DropTablePin& pinned : drop_table_pins) {
        auto fd = KUDO_TRY(open_pin(drops_folder(data_path_folder) / pinned.name));
        tables.*pinned.fd = std::move(fd);
    }
    return tables;
}

Result<kudo_drop_control> read_drop_control(const DropTables& tables) {
    const uint32_t key = 0;
    kudo_drop_control control{};
    if (bpf_map_lookup_elem(tables.state.get(), &key, &control) != 0) return fail_errno("cannot read the drops' state");
    return control;
}

// The programs write to the other words with atomic additions meanwhile; what they add in this moment is lost.
Result<void> set_counting(const DropTables& tables, uint64_t copy) {
    auto control = KUDO_TRY(read_drop_control(tables));
    if (control.counting == copy) return {};
    control.counting = copy;
    const uint32_t key = 0;
    if (bpf_map_update_elem(tables.state.get(), &key, &control, BPF_EXIST) != 0)
        return fail_errno("cannot write the drops' state");
    return {};
}

Result<std::pair<DropTables, bool>> tables_of_program(uint32_t program) {
    constexpr std::size_t max_maps = 64;
    const Fd fd(bpf_prog_get_fd_by_id(program));
    std::vector<uint32_t> ids(max_maps);
    bpf_prog_info info{};
    info.nr_map_ids = max_maps;
    info.map_ids = reinterpret_cast<uintptr_t>(ids.data());
    uint32_t size = sizeof info;
    if (!fd || bpf_obj_get_info_by_fd(fd.get(), &info, &size) != 0) return fail_errno("cannot read a program");
    DropTables tables;
    uint64_t copy = 0;
    const uint32_t key = 0;
    for (std::size_t i = 0; i < std::min<std::size_t>(info.nr_map_ids, max_maps); i++) {
        Fd map(bpf_map_get_fd_by_id(ids[i]));
        bpf_map_info about{};
        size = sizeof about;
        if (!map || bpf_obj_get_info_by_fd(map.get(), &about, &size) != 0) continue;
        if (about.name == copy_name && about.value_size == sizeof copy)
            bpf_map_lookup_elem(map.get(), &key, &copy);
        else if (about.name == state_name && about.value_size == sizeof(kudo_drop_control))
            tables.state = std::move(map);
    }
    if (!tables.state || copy == 0) return fail("the program has no such state as this version's", ENOENT);
    const bool counts = KUDO_TRY(read_drop_control(tables)).counting == copy;
    return std::pair(std::move(tables), counts);
}

} // namespace kudo
