// SPDX-License-Identifier: MIT
#include "agent/reconcile/spoken_flows.h"

#include <bpf/bpf.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "agent/datapath/bpf_object.h"
#include "agent/datapath/clock.h"
#include "agent/datapath/flow_table.h"
#include "agent/sockets/sockets.h"

namespace kudo {
namespace {

// A quarter of the table stays free for what begins now.
std::size_t room(std::size_t capacity) {
    return capacity - capacity / 4;
}

bool may_have_spoken(uint8_t protocol, uint8_t non_first_fragment, const kudo_flow& flow) {
    return (protocol == IPPROTO_TCP || protocol == IPPROTO_UDP) && non_first_fragment == 0 &&
           flow.directions[KUDO_EGRESS].packets > 0;
}

// The newest last, so that they stay longest.
template <typename Key> void add_flows(std::vector<std::pair<Key, kudo_flow>> flows, std::vector<Key>& keys) {
    std::erase_if(flows, [](const auto& row) {
        return !may_have_spoken(row.first.protocol, row.first.non_first_fragment, row.second);
    });
    std::ranges::sort(flows, {}, [](const auto& row) { return row.second.last_seen; });
    for (const auto& [flow, counts] : flows) {
        keys.push_back(flow);
        keys.back().interface = 0;
    }
}

template <typename Key> Key key_of(const Socket& socket) {
    Key key{};
    std::memcpy(&key.remote, socket.remote.bytes.data(), sizeof key.remote);
    std::memcpy(&key.local, socket.local.bytes.data(), sizeof key.local);
    key.remote_port = socket.remote_port;
    key.local_port = socket.local_port;
    key.protocol = socket.protocol;
    return key;
}

// enum in net/tcp_states.h. A connection that a remote has only half opened is none.
bool is_open(const Socket& socket) {
    constexpr uint8_t established = 1, syn_sent = 2, fin_wait1 = 4, fin_wait2 = 5, close_wait = 8, last_ack = 9,
                      closing = 11;
    constexpr uint8_t open_states[] = {established, syn_sent, fin_wait1, fin_wait2, close_wait, last_ack, closing};
    const bool tcp = socket.protocol == IPPROTO_TCP;
    return socket.remote_port != 0 &&
           (tcp ? std::ranges::find(open_states, socket.state) != std::end(open_states) : socket.state == established);
}

template <typename Key> Result<void> enter(int fd, std::span<const Key> keys, uint64_t now) {
    const std::size_t capacity = KUDO_TRY(map_size(fd));
    if (keys.size() > room(capacity)) keys = keys.last(room(capacity));
    for (const Key& key : keys)
        if (bpf_map_update_elem(fd, &key, &now, BPF_ANY) != 0) return fail_errno("cannot note an open flow");
    return {};
}

} // namespace

Result<void> enter_spoken_flows(const DataPath::Maps& maps) {
    std::vector<kudo_flow4_key> keys4;
    std::vector<kudo_flow6_key> keys6;
    const auto cpus = KUDO_TRY(Mapped<const kudo_cpu>::map(maps.cpus.get(), "the counters"));
    auto flows = KUDO_TRY(read_flow_table(maps.flows4.get(), maps.flows6.get(), cpus.elements()));
    add_flows(std::move(flows.flows4), keys4);
    add_flows(std::move(flows.flows6), keys6);
    constexpr uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP};
    const auto sockets = Sockets::read(protocols);
    if (sockets)
        for (const Socket& socket : sockets->all()) {
            if (!is_open(socket)) continue;
            if (socket.remote.family == Family::IPv4)
                keys4.push_back(key_of<kudo_flow4_key>(socket));
            else
                keys6.push_back(key_of<kudo_flow6_key>(socket));
        }
    const uint64_t now = MonotonicClock::read().now();
    KUDO_TRY(enter(maps.outgoing4.get(), std::span<const kudo_flow4_key>(keys4), now));
    KUDO_TRY(enter(maps.outgoing6.get(), std::span<const kudo_flow6_key>(keys6), now));
    if (!sockets) return fail(Error(sockets.error()));
    return {};
}

} // namespace kudo
