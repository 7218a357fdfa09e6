// SPDX-License-Identifier: MIT
#include "agent/queues/shaped_rate.h"

#include <linux/netlink.h>
#include <linux/pkt_sched.h>

#include <algorithm>
#include <cstring>

namespace kudo {
namespace {

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

// The class without its rates, if they are between those of the same class in these trees.
void forget_htb_rate(TcObject& object, const QueueTree& least, const QueueTree& most) {
    const auto of = [&](const QueueTree& tree) -> const TcObject* {
        const auto step = std::ranges::find_if(tree.steps, [&](const QueueTree::Step& each) {
            return each.object.is_class && each.object.handle == object.handle;
        });
        return step == tree.steps.end() ? nullptr : &step->object;
    };
    const TcObject *low = of(least), *high = of(most);
    const auto options = read_attribute<tc_htb_opt>(object.options, TCA_HTB_PARMS);
    if (!low || !high || !options) return;
    const auto low_options = read_attribute<tc_htb_opt>(low->options, TCA_HTB_PARMS);
    const auto high_options = read_attribute<tc_htb_opt>(high->options, TCA_HTB_PARMS);
    for (const bool ceiling : {false, true}) {
        const uint64_t rate = htb_rate(object, *options, ceiling);
        if (rate < htb_rate(*low, *low_options, ceiling) || rate > htb_rate(*high, *high_options, ceiling)) return;
    }
    tc_htb_opt rest{};
    rest.quantum = options->quantum;
    rest.prio = options->prio;
    object.options = Attributes().put(TCA_HTB_PARMS, rest).take();
}

void forget_cake_rate(TcObject& object, const RateBounds& bounds) {
    const auto rate = read_attribute<uint64_t>(object.options, TCA_CAKE_BASE_RATE64);
    if (!rate || *rate < bounds.min / 8 || *rate > bounds.max / 8) return;
    // Attribute by attribute, as the kernel wrote them (linux/netlink.h).
    for (std::size_t at = 0; at + sizeof(nlattr) <= object.options.size();) {
        nlattr attribute{};
        std::memcpy(&attribute, object.options.data() + at, sizeof attribute);
        if (attribute.nla_len < sizeof attribute || at + attribute.nla_len > object.options.size()) return;
        if ((attribute.nla_type & NLA_TYPE_MASK) == TCA_CAKE_BASE_RATE64)
            std::fill_n(object.options.begin() + static_cast<std::ptrdiff_t>(at + sizeof attribute),
                        attribute.nla_len - sizeof attribute, uint8_t{0});
        at += NLA_ALIGN(attribute.nla_len);
    }
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
    const QueueTree least = shaped_queue(QueueKind::Htb, {.bits_per_second = bounds.min, .mtu = mtu});
    const QueueTree most = shaped_queue(QueueKind::Htb, {.bits_per_second = bounds.max, .mtu = mtu});
    const bool is_htb = root->kind == "htb";
    for (TcObject& object : objects) {
        if (is_htb && object.is_class && object.kind == "htb")
            forget_htb_rate(object, least, most);
        else if (!is_htb && !object.is_class && object.handle == queue_handle && object.kind == "cake")
            forget_cake_rate(object, bounds);
    }
    return objects;
}

Result<void> change_rate(uint32_t interface, QueueKind kind, const ShapedLine& line) {
    if (kind == QueueKind::Cake) // what is not told stays
        return put(interface,
                   {.handle = queue_handle,
                    .parent = TC_H_ROOT,
                    .kind = "cake",
                    .options = Attributes().put<uint64_t>(TCA_CAKE_BASE_RATE64, line.bits_per_second / 8).take()});
    for (const QueueTree::Step& step : shaped_queue(kind, line).steps)
        if (step.object.is_class) KUDO_TRY(put(interface, step.object));
    return {};
}

Result<std::optional<ShaperCounts>> read_shaper(uint32_t interface) {
    const auto qdiscs = KUDO_TRY(list_qdiscs(interface));
    const TcObject* root = root_of(qdiscs);
    if (!root || (root->kind != "htb" && root->kind != "cake")) return std::optional<ShaperCounts>{};
    return std::optional<ShaperCounts>({.kind = root->kind == "htb" ? QueueKind::Htb : QueueKind::Cake,
                                        .bytes = root->statistics.bytes,
                                        .waiting = root->statistics.backlog_packets});
}

} // namespace kudo
