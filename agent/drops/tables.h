// SPDX-License-Identifier: MIT
// The tables of the tracing program, pinned beside it in the folder "drops" of the data path: opened, and which loaded
// copy counts in them. Invariant: at most the copy whose number kudo_drop_control.counting says counts.
#pragma once

#include <cstdint>
#include <filesystem>
#include <utility>

#include "agent/system/fd.h"
#include "bpf/drops.h"
#include "maps/base/result.h"

namespace kudo {

// As bpf/drops.h has them.
struct DropTables {
    Fd drops4, drops6, totals, state;
};
// Their pins' names in the folder, and the maps' in the object.
struct DropTablePin {
    const char *name, *map;
    Fd DropTables::*fd;
};
inline constexpr DropTablePin drop_table_pins[] = {{"drops4", "kudo_drops4", &DropTables::drops4},
                                                   {"drops6", "kudo_drops6", &DropTables::drops6},
                                                   {"totals", "kudo_drop_totals", &DropTables::totals},
                                                   {"state", "kudo_drop_state", &DropTables::state}};

std::filesystem::path drops_folder(const std::filesystem::path& data_path_folder);
// ENOENT: one of them is not there.
Result<DropTables> open_drop_tables(const std::filesystem::path& data_path_folder);

Result<kudo_drop_control> read_drop_control(const DropTables& tables);
// From here on only this copy counts; 0: none.
Result<void> set_counting(const DropTables& tables, uint64_t copy);

// Of a program that is known by its number alone: its tables (the state only), and whether it counts in them. An Error
// with ENOENT: it is no such program as this version's. Takes CAP_SYS_ADMIN.
Result<std::pair<DropTables, bool>> tables_of_program(uint32_t program);

} // namespace kudo
