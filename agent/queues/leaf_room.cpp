// SPDX-License-Identifier: MIT
#include "agent/queues/leaf_room.h"

#include <linux/pkt_sched.h>

#include <algorithm>
#include <cstring>
#include <optional>

namespace kudo {
namespace {

bool is_fifo(const std::string& kind) {
    return kind == "pfifo" || kind == "pfifo_head_drop";
}

std::optional<uint32_t> room_of(const TcObject& object) {
    if (object.kind == "fq_codel") return read_attribute<uint32_t>(object.options, TCA_FQ_CODEL_LIMIT);
    if (!is_fifo(object.kind) || object.options.size() != sizeof(tc_fifo_qopt)) return std::nullopt;
    tc_fifo_qopt options{};
    std::memcpy(&options, object.options.data(), sizeof options);
    return options.limit;
}

void forget_room(TcObject& object) {
    if (is_fifo(object.kind))
        object.options.clear();
    else
        clear_attribute(object.options, TCA_FQ_CODEL_LIMIT);
}

// The leaf with this handle and kind, as the tree would have it.
std::optional<TcObject> leaf_of(const QueueTree& tree, uint32_t handle, const std::string& kind) {
    for (const QueueTree::Step& step : tree.steps) {
        if (step.object.is_class || step.object.handle != handle) continue;
        if (step.object.kind == kind) return step.object;
        if (step.substitute && step.substitute->kind == kind) return step.substitute;
    }
    return std::nullopt;
}

} // namespace

Result<void> change_leaf_room(uint32_t interface, const std::vector<TcObject>& objects, QueueKind kind,
                              const ShapedLine& line) {
    const QueueTree tree = shaped_queue(kind, line);
    for (const TcObject& object : objects) {
        const auto wanted = leaf_of(tree, object.handle, object.kind);
        if (wanted && room_of(*wanted) && room_of(*wanted) != room_of(object)) KUDO_TRY(change(interface, *wanted));
    }
    return {};
}

void forget_leaf_room(std::vector<TcObject>& objects, const RateBounds& bounds, uint32_t mtu) {
    for (const bool incoming : {false, true}) {
        const auto tree_at = [&](uint64_t rate, uint32_t bulk_room) {
            return shaped_queue(QueueKind::Htb,
                                {.bits_per_second = rate, .mtu = mtu, .incoming = incoming, .bulk_room = bulk_room});
        };
        const QueueTree least = tree_at(bounds.min, followed_bulk_room), most = tree_at(bounds.max, usual_bulk_room);
        for (TcObject& object : objects) {
            const auto room = object.is_class ? std::nullopt : room_of(object);
            if (!room) continue;
            const auto low = leaf_of(least, object.handle, object.kind),
                       high = leaf_of(most, object.handle, object.kind);
            if (low && high && room >= room_of(*low) && room <= room_of(*high) && room_of(*low)) forget_room(object);
        }
    }
}

} // namespace kudo
