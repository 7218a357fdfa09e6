// SPDX-License-Identifier: MIT
// The rows of a flow table, as the kernel has them. Included by the reader of flows and by who takes slots back.
// Invariant: what the CPUs' caches hold is not in them.
#pragma once

#include <bpf/bpf.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "bpf/abi.h"
#include "maps/result.h"

namespace kudo {

// `Key`: kudo_flow4_key or kudo_flow6_key. Flows that begin or end meanwhile may or may not be there.
template <typename Key> Result<std::vector<std::pair<Key, kudo_flow>>> read_flow_rows(int fd) {
    constexpr uint32_t batch_size = 16384;
    std::vector<std::pair<Key, kudo_flow>> flows;
    std::vector<Key> keys(batch_size);
    std::vector<kudo_flow> values(batch_size);
    uint32_t position = 0;
    for (bool first = true;; first = false) {
        uint32_t count = batch_size;
        LIBBPF_OPTS(bpf_map_batch_opts, options);
        const int error = bpf_map_lookup_batch(fd, first ? nullptr : &position, &position, keys.data(), values.data(),
                                               &count, &options);
        if (error != 0 && errno != ENOENT) return fail_errno("cannot read the flows");
        for (uint32_t i = 0; i < count; i++)
            flows.emplace_back(keys[i], values[i]);
        if (error != 0) return flows;
    }
}

} // namespace kudo
