// SPDX-License-Identifier: MIT
#include "agent/queues/shaped_rate.h"

#include <linux/pkt_sched.h>

#include <algorithm>

#include "agent/queues/leaf_room.h"

namespace kudo {
namespace {

constexpr uint64_t full_frame = 1514; // bytes

const TcObject* root_of(const std::vector<TcObject>& objects) {
    const auto root = std::ranges::find_if(objects, [](const TcObject& object) {
        return !object.is_class && object.parent == TC_H_ROOT && object.handle == queue_handle;
    });
    return root == objects.end() ? nullptr : &*root;
}

// Bytes per second; of `rate` or `ceil`.
uint64_t htb_rate(const TcObject& object, const tc_htb_opt& options, bool ceiling) {
    const auto large = read_attribute<uint64_t>(object.options, ceiling ? TCA_HTB_CEIL64 : TCA_HTB_RATE64);
    return large.value_or(ceiling ? options.ceil.rate : options.rate.rate);
}

bool is_near(uint64_t a, uint64_t b) {
    return std::max(a, b) - std::min(a, b) <= 64; // what rounding makes of a rate in bytes, and of a time in ticks
}

const TcObject* class_of(const QueueTree& tree, uint32_t handle) {
    const auto step = std::ranges::find_if(tree.steps, [handle](const QueueTree::Step& each) {
        return each.object.is_class && each.object.handle == handle;
    });
    return step == tree.steps.end() ? nullptr : &step->object;
}

// Is the class as it is in that tree, which has the rate of the whole line?
bool is_class_of(const TcObject& object, const QueueTree& tree) {
    const TcObject* wanted = class_of(tree, object.handle);
    if (!wanted) return false;
    const auto there = read_attribute<tc_htb_opt>(object.options, TCA_HTB_PARMS);
    const auto options = read_attribute<tc_htb_opt>(wanted->options, TCA_HTB_PARMS);
    return there && options && is_near(there->buffer, options->buffer) && is_near(there->cbuffer, options->cbuffer) &&
           is_near(htb_rate(object, *there, false), htb_rate(*wanted, *options, false)) &&
           is_near(htb_rate(object, *there, true), htb_rate(*wanted, *options, true));
}

void forget_htb_rate(TcObject& object) {
    const auto options = read_attribute<tc_htb_opt>(object.options, TCA_HTB_PARMS);
    if (!options) return;
    tc_htb_opt rest{};
    rest.quantum = options->quantum;
    rest.prio = options->prio;
    object.options = Attributes().put(TCA_HTB_PARMS, rest).take();
}

void forget_cake_rate(TcObject& object, const RateBounds& bounds) {
    const auto rate = read_attribute<uint64_t>(object.options, TCA_CAKE_BASE_RATE64);
    if (!rate || *rate < bounds.min / 8 || *rate > bounds.max / 8) return;
    clear_attribute(object.options, TCA_CAKE_BASE_RATE64);
}

} // namespace

std::optional<uint64_t> shaped_rate(const std::vector<TcObject>& objects) {
    const TcObject* root = root_of(objects);
    if (!root) return std::nullopt;
    if (root->kind == "cake") {
        const auto rate = read_attribute<uint64_t>(root->options, TCA_CAKE_BASE_RATE64);
        return rate && *rate != 0 ? std::optional(*rate * 8) : std::nullopt;
    }
    if (root->kind == "tbf") {
        const auto options = read_attribute<tc_tbf_qopt>(root->options, TCA_TBF_PARMS);
        if (!options) return std::nullopt;
        return read_attribute<uint64_t>(root->options, TCA_TBF_RATE64).value_or(options->rate.rate) * 8;
    }
    if (root->kind != "htb") return std::nullopt;
    for (const TcObject& object : objects) { // the only class right below the root
        if (!object.is_class || object.parent != TC_H_ROOT) continue;
        if (const auto options = read_attribute<tc_htb_opt>(object.options, TCA_HTB_PARMS))
            return htb_rate(object, *options, true) * 8;
    }
    return std::nullopt;
}

std::vector<TcObject> without_rate(std::vector<TcObject> objects, const RateBounds& bounds, uint32_t mtu) {
    const TcObject* root = root_of(objects);
    if (!root) return objects;
    if (root->kind == "cake") {
        for (TcObject& object : objects)
            if (!object.is_class && object.handle == queue_handle && object.kind == "cake")
                forget_cake_rate(object, bounds);
        return objects;
    }
    const auto rate = shaped_rate(objects);
    if (root->kind != "htb" || !rate || *rate + 8 < bounds.min || *rate > bounds.max) return objects;
    const QueueTree tree = shaped_queue(QueueKind::Htb, {.bits_per_second = *rate, .mtu = mtu});
    for (TcObject& object : objects)
        if (object.is_class && object.kind == "htb" && is_class_of(object, tree)) forget_htb_rate(object);
    forget_leaf_room(objects, bounds, mtu);
    return objects;
}

Result<void> change_rate(uint32_t interface, QueueKind kind, const ShapedLine& line) {
    if (kind == QueueKind::Cake) // what is not told stays
        return change(interface,
                      {.handle = queue_handle,
                       .parent = TC_H_ROOT,
                       .kind = "cake",
                       .options = Attributes().put<uint64_t>(TCA_CAKE_BASE_RATE64, line.bits_per_second / 8).take()});
    for (const QueueTree::Step& step : shaped_queue(kind, line).steps)
        if (step.object.is_class) KUDO_TRY(change(interface, step.object));
    return {};
}

Result<std::optional<ShaperCounts>> read_shaper(uint32_t interface) {
    const auto qdiscs = KUDO_TRY(list_qdiscs(interface));
    const TcObject* root = root_of(qdiscs);
    if (!root || (root->kind != "htb" && root->kind != "cake")) return std::optional<ShaperCounts>{};
    const uint64_t sent = root->statistics.bytes, dropped = root->statistics.drops;
    return std::optional<ShaperCounts>({.kind = root->kind == "htb" ? QueueKind::Htb : QueueKind::Cake,
                                        .bytes = sent,
                                        .arrived = sent + root->statistics.backlog_bytes + dropped * full_frame,
                                        .waiting = root->statistics.backlog_packets});
}

} // namespace kudo
