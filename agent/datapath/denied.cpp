// SPDX-License-Identifier: MIT
#include "agent/datapath/denied.h"

#include <bpf/bpf.h>

#include "agent/datapath/bpf_object.h"

namespace kudo {
namespace {

constexpr const char* table_name = "the denied flows";

template <typename Key> Result<std::size_t> read_rows(int fd, std::vector<std::pair<Key, kudo_denied>>& rows) {
    KUDO_TRY(for_each_entry<Key, kudo_denied>(
        fd, table_name, [&rows](const Key& key, const kudo_denied& row) { rows.emplace_back(key, row); }));
    return map_size(fd);
}

} // namespace

Result<DeniedTable> read_denied(const DataPath::Maps& maps) {
    DeniedTable table;
    const std::size_t capacity4 = KUDO_TRY(read_rows(maps.denied4.get(), table.flows4));
    const std::size_t capacity6 = KUDO_TRY(read_rows(maps.denied6.get(), table.flows6));
    table.capacity = capacity4 + capacity6;
    return table;
}

Result<void> clear_denied(const DataPath::Maps& maps) {
    const DeniedTable table = KUDO_TRY(read_denied(maps));
    for (const auto& [key, row] : table.flows4)
        bpf_map_delete_elem(maps.denied4.get(), &key); // one that is gone already is as it should be
    for (const auto& [key, row] : table.flows6)
        bpf_map_delete_elem(maps.denied6.get(), &key);
    return {};
}

} // namespace kudo
