// SPDX-License-Identifier: MIT
#include "agent/queues/tree.h"

#include <linux/pkt_sched.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "agent/queues/pure_acks.h"

namespace kudo {
namespace {

constexpr uint32_t usual_frame = 1514; // bytes
constexpr uint32_t default_class = 2, video_class = 3, audio_class = 4, control_class = 5, line_class = 1;
constexpr uint32_t acks_class = 6, others_class = 7; // of what is not KUDO's: its acknowledgements, all of it
// cake's diffserv4 counts its tins from 1: bulk, best effort, video, voice.
constexpr uint32_t cake_video = 3, cake_voice = 4;

constexpr uint32_t handle(uint32_t number) {
    return queue_handle + (number << 16);
}

template <typename T> std::vector<uint8_t> bytes_of(const T& value) {
    const auto* first = reinterpret_cast<const uint8_t*>(&value);
    return {first, first + sizeof value};
}

TcObject qdisc(std::string kind, uint32_t handle, uint32_t parent, std::vector<uint8_t> options = {}) {
    return {.handle = handle, .parent = parent, .kind = std::move(kind), .options = std::move(options)};
}

// What a line of this rate sends in so many milliseconds.
uint64_t bytes_in(uint64_t bits_per_second, uint64_t milliseconds) {
    return bits_per_second / 8 * milliseconds / 1000;
}

// How much may leave at once: a frame, and what the line carries in the 50 us that a timer may be late.
uint32_t burst(const ShapedLine& line, uint64_t bits_per_second) {
    return static_cast<uint32_t>(line.frame() + bits_per_second / 8 / 20000);
}

// The kernel's unit of such bursts: how long they take, in 64 ns (include/net/pkt_sched.h, PSCHED_SHIFT).
uint32_t ticks(uint64_t bits_per_second, uint64_t bytes) {
    return static_cast<uint32_t>(std::min<uint64_t>(bytes * 8 * 1'000'000'000 / bits_per_second >> 6, UINT32_MAX));
}

tc_ratespec rate_of(uint64_t bits_per_second) {
    tc_ratespec rate{};
    rate.linklayer = TC_LINKLAYER_ETHERNET; // kernel >= 3.9 needs no tables of rates then
    rate.rate = static_cast<__u32>(std::min<uint64_t>(bits_per_second / 8, UINT32_MAX));
    return rate;
}

// How many large packets a line of this rate sends in so many milliseconds.
uint32_t packets_in(uint64_t bits_per_second, uint64_t milliseconds) {
    return static_cast<uint32_t>(
        std::clamp<uint64_t>(bytes_in(bits_per_second, milliseconds) / usual_frame, 20, 10000));
}

// Fair among what it carries where the kernel has fq_codel, else a FIFO of 100 ms.
QueueTree::Step leaf(uint32_t number, uint32_t parent, uint64_t bits_per_second) {
    const tc_fifo_qopt limit{packets_in(bits_per_second, 100)};
    return {qdisc("fq_codel", handle(number), parent), qdisc("pfifo", handle(number), parent, bytes_of(limit))};
}

// Incoming bulk. What waits here does not wait before the line, where it would delay media. BBR keeps about a round
// trip's worth in flight beyond what the line holds, whatever is dropped; dropped early, that comes again and waits
// before the line. So there is room for it, and what exceeds it is lost at the head, where senders learn of it soonest.
// Where the rate follows the line there is less: what waits here when the line becomes slower comes again before it.
QueueTree::Step incoming_bulk(uint32_t number, uint32_t parent, const ShapedLine& line) {
    const tc_fifo_qopt limit{packets_in(line.bits_per_second, line.bulk_room)};
    auto fair = Attributes()
                    .put<uint32_t>(TCA_FQ_CODEL_LIMIT, limit.limit)
                    .put<uint32_t>(TCA_FQ_CODEL_TARGET, usual_bulk_room * 1000) // us: CoDel itself rests
                    .put<uint32_t>(TCA_FQ_CODEL_INTERVAL, 5 * usual_bulk_room * 1000)
                    .put<uint32_t>(TCA_FQ_CODEL_DROP_BATCH_SIZE, 1)
                    .take();
    return {qdisc("fq_codel", handle(number), parent, std::move(fair)),
            qdisc("pfifo_head_drop", handle(number), parent, bytes_of(limit))};
}

QueueTree::Step bulk_leaf(uint32_t number, uint32_t parent, const ShapedLine& line) {
    return line.incoming ? incoming_bulk(number, parent, line) : leaf(number, parent, line.bits_per_second);
}

TcObject htb_class(const ShapedLine& line, uint32_t id, uint32_t parent, uint64_t rate, uint64_t ceiling,
                   uint32_t priority) {
    tc_htb_opt options{};
    options.rate = rate_of(rate);
    options.ceil = rate_of(ceiling);
    options.buffer = ticks(rate, burst(line, rate));
    options.cbuffer = ticks(ceiling, burst(line, ceiling));
    options.quantum = line.frame();
    options.prio = priority;
    TcObject object = qdisc("htb", queue_handle | id, parent,
                            Attributes()
                                .put(TCA_HTB_PARMS, options)
                                .put<uint64_t>(TCA_HTB_RATE64, rate / 8)
                                .put<uint64_t>(TCA_HTB_CEIL64, ceiling / 8)
                                .take());
    object.is_class = true;
    return object;
}

// Classes that borrow from each other. Audio goes first and may have the whole line; video nine tenths of it; other
// traffic is guaranteed a fifth, a quarter of that for its acknowledgements, which may have half of the line before the
// rest of it gets more. All guarantees together are the line.
std::vector<QueueTree::Step> htb(const ShapedLine& line) {
    const uint64_t bits = line.bits_per_second;
    const tc_htb_glob glob{
        .version = TC_HTB_PROTOVER, .rate2quantum = 10, .defcls = default_class, .debug = 0, .direct_pkts = 0};
    const uint32_t all = queue_handle | line_class;
    std::vector<QueueTree::Step> steps = {
        {qdisc("htb", queue_handle, TC_H_ROOT, Attributes().put(TCA_HTB_INIT, glob).take())},
        {htb_class(line, line_class, TC_H_ROOT, bits, bits, 0)},
        {htb_class(line, others_class, all, bits / 5, bits, 4)},
        {htb_class(line, default_class, queue_handle | others_class, bits * 3 / 20, bits, 4)},
        {htb_class(line, acks_class, queue_handle | others_class, bits / 20, bits / 2, 3)},
        {htb_class(line, audio_class, all, bits * 3 / 10, bits, 0)},
        {htb_class(line, video_class, all, bits * 2 / 5, bits * 9 / 10, 1)},
        {htb_class(line, control_class, all, bits / 10, bits, 2)},
    };
    for (const uint32_t id : {default_class, acks_class, audio_class, video_class, control_class})
        steps.push_back(id == default_class ? bulk_leaf(id, queue_handle | id, line)
                                            : leaf(id, queue_handle | id, bits));
    return steps;
}

// Audio in the voice tin, which may have a quarter of the line before it loses its precedence; all other of KUDO's in
// the video tin, which may have half. `line`: null: without a rate.
TcObject cake(uint32_t handle, uint32_t parent, const ShapedLine* line) {
    Attributes attributes;
    if (line) attributes.put<uint64_t>(TCA_CAKE_BASE_RATE64, line->bits_per_second / 8);
    attributes.put<uint32_t>(TCA_CAKE_DIFFSERV_MODE, CAKE_DIFFSERV_DIFFSERV4);
    if (line && line->incoming) attributes.put<uint32_t>(TCA_CAKE_INGRESS, 1);
    return qdisc("cake", handle, parent, attributes.take());
}

TcObject token_bucket(const ShapedLine& line, uint32_t handle, uint32_t parent, uint64_t bits) {
    tc_tbf_qopt options{};
    const uint32_t bytes = burst(line, bits) * 2;
    options.rate = rate_of(bits);
    options.buffer = ticks(bits, bytes);
    options.limit = static_cast<__u32>(std::min<uint64_t>(bytes_in(bits, 200) + bytes, UINT32_MAX));
    return qdisc("tbf", handle, parent,
                 Attributes()
                     .put(TCA_TBF_PARMS, options)
                     .put<uint32_t>(TCA_TBF_BURST, bytes)
                     .put<uint64_t>(TCA_TBF_RATE64, bits / 8)
                     .take());
}

// The highest values of skb->priority, which only root may set.
constexpr uint32_t first_priority = 15, second_priority = 14, third_priority = 13;

// `bands`: of the first, the second and the third priority; everything else goes into the one after them.
TcObject prio(uint32_t handle, uint32_t parent, const std::array<uint8_t, 3>& bands) {
    const uint8_t others = static_cast<uint8_t>(std::ranges::max(bands) + 1);
    tc_prio_qopt options{};
    options.bands = others + 1;
    std::ranges::fill(options.priomap, others);
    for (uint32_t i = 0; i < bands.size(); i++)
        options.priomap[first_priority - i] = bands[i];
    return qdisc("prio", handle, parent, bytes_of(options));
}

// Two bands, of which only filters select the first.
TcObject prio_by_filters(uint32_t handle, uint32_t parent) {
    tc_prio_qopt options{};
    options.bands = 2;
    std::ranges::fill(options.priomap, uint8_t{1});
    return qdisc("prio", handle, parent, bytes_of(options));
}

std::vector<PlacedFilter> at(uint32_t parent, std::vector<TcFilter> filters) {
    std::vector<PlacedFilter> placed;
    for (TcFilter& filter : filters)
        placed.push_back({parent, std::move(filter)});
    return placed;
}

// Strict order; media together never has more than nine tenths of the line, and the acknowledgements of others half.
//   0: tbf, the line -> 1: prio: media, control, others -> 2: tbf, nine tenths -> 3: prio: audio, video
//                                                       -> 5: prio: acknowledgements, the rest -> 8: tbf, half
std::vector<QueueTree::Step> shaped_prio(const ShapedLine& line) {
    const uint64_t bits = line.bits_per_second;
    return {
        {token_bucket(line, handle(0), TC_H_ROOT, bits)},
        {prio(handle(1), handle(0) | 1, {0, 0, 1})},
        {token_bucket(line, handle(2), handle(1) | 1, bits * 9 / 10)},
        {prio(handle(3), handle(2) | 1, {0, 1, 1})},
        leaf(4, handle(1) | 2, bits),
        {prio_by_filters(handle(5), handle(1) | 3)},
        leaf(6, handle(3) | 1, bits),
        leaf(7, handle(3) | 2, bits),
        {token_bucket(line, handle(8), handle(5) | 1, bits / 2)},
        bulk_leaf(9, handle(5) | 2, line),
    };
}

// skb->priority of each treatment. cake below mq goes by the DSCP, since its handle is not known; pfifo_fast by the
// mark's own priority.
std::array<uint32_t, KUDO_TREATMENTS> priorities_for(QueueKind kind, bool below_mq) {
    const auto by_treatment = [](uint32_t audio, uint32_t video, uint32_t control) {
        std::array<uint32_t, KUDO_TREATMENTS> values{};
        values[KUDO_TREATMENT_AUDIO] = audio;
        values[KUDO_TREATMENT_VIDEO] = values[KUDO_TREATMENT_FALLBACK] = video;
        values[KUDO_TREATMENT_CONTROL] = control;
        return values;
    };
    if (kind == QueueKind::Htb)
        return by_treatment(queue_handle | audio_class, queue_handle | video_class, queue_handle | control_class);
    if (kind == QueueKind::Prio) return by_treatment(first_priority, second_priority, third_priority);
    if (kind == QueueKind::Cake && !below_mq)
        return by_treatment(queue_handle | cake_voice, queue_handle | cake_video, queue_handle | cake_video);
    return {};
}

QueueClass class_of(std::vector<std::string> carries, const TcStatistics& statistics) {
    return {std::move(carries),       statistics.packets, statistics.bytes, statistics.backlog_packets,
            statistics.backlog_bytes, statistics.drops,   std::nullopt};
}

std::vector<QueueClass> cake_classes(const TcObject& qdisc) {
    const std::vector<std::string> tins[] = {{"other"}, {"other"}, {"video", "fallback", "control"}, {"audio"}};
    std::vector<QueueClass> result;
    const auto all = find_attribute(qdisc.statistics.own, TCA_CAKE_STATS_TIN_STATS);
    for (uint16_t tin = 0; tin < std::size(tins); tin++) {
        const auto stats = find_attribute(all, static_cast<uint16_t>(tin + 1));
        if (stats.empty()) return {}; // not in the mode that we ask for
        QueueClass one{.carries = tins[tin]};
        one.packets = read_attribute<uint32_t>(stats, TCA_CAKE_TIN_STATS_SENT_PACKETS).value_or(0);
        one.bytes = read_attribute<uint64_t>(stats, TCA_CAKE_TIN_STATS_SENT_BYTES64).value_or(0);
        one.backlog_packets = read_attribute<uint32_t>(stats, TCA_CAKE_TIN_STATS_BACKLOG_PACKETS);
        one.backlog_bytes = read_attribute<uint32_t>(stats, TCA_CAKE_TIN_STATS_BACKLOG_BYTES);
        one.drops = read_attribute<uint32_t>(stats, TCA_CAKE_TIN_STATS_DROPPED_PACKETS);
        one.delay_us = read_attribute<uint32_t>(stats, TCA_CAKE_TIN_STATS_AVG_DELAY_US);
        result.push_back(std::move(one));
    }
    std::reverse(result.begin(), result.end()); // audio first
    return result;
}

} // namespace

QueueTree shaped_queue(QueueKind kind, const ShapedLine& line) {
    QueueTree tree{.kind = kind, .priorities = priorities_for(kind, false)};
    switch (kind) {
    case QueueKind::Cake:
        tree.steps = {{cake(handle(0), TC_H_ROOT, &line)}};
        break;
    case QueueKind::Htb:
        tree.steps = htb(line);
        tree.filters = at(handle(0), pure_ack_filters(queue_handle | acks_class));
        break;
    case QueueKind::Prio:
        tree.steps = shaped_prio(line);
        tree.filters = at(handle(5), pure_ack_filters(handle(5) | 1));
        break;
    case QueueKind::PfifoFast:
        tree.steps = {{token_bucket(line, handle(0), TC_H_ROOT, line.bits_per_second)},
                      {qdisc("pfifo_fast", handle(1), handle(0) | 1)}};
    }
    return tree;
}

QueueTree ordering_queue(QueueKind kind, uint32_t transmit_queues) {
    QueueTree tree{.kind = kind, .priorities = priorities_for(kind, transmit_queues > 0)};
    uint32_t next = 0;
    if (transmit_queues > 0) tree.steps.push_back({qdisc("mq", handle(next++), TC_H_ROOT)});
    for (uint32_t queue = 1; queue <= std::max(transmit_queues, 1u); queue++) {
        const uint32_t parent = transmit_queues > 0 ? queue_handle | queue : TC_H_ROOT;
        const uint32_t root = handle(next++);
        if (kind == QueueKind::Cake) {
            tree.steps.push_back({cake(root, parent, nullptr)});
        } else if (kind == QueueKind::Prio) {
            tree.steps.push_back({prio(root, parent, {0, 1, 2})});
            // Other traffic is queued by the same kind as without us.
            for (uint32_t band = 1; band <= 4; band++)
                tree.steps.push_back(leaf(next++, root | band, 1'000'000'000));
        } else {
            tree.steps.push_back({qdisc("pfifo_fast", root, parent)});
        }
    }
    return tree;
}

QueueTree on_wifi(QueueTree tree) {
    for (const QueueTree::Step& step : tree.steps) {
        const TcObject& object = step.object;
        if (object.is_class || (object.kind != "htb" && object.kind != "prio")) continue;
        // A prio with filters of its own carries what is not KUDO's.
        if (object.kind == "prio" && std::ranges::count(tree.filters, object.handle, &PlacedFilter::parent) > 0)
            continue;
        ClassFilter filter{object.handle, tree.priorities};
        if (object.kind == "prio") {
            tc_prio_qopt options{};
            std::memcpy(&options, object.options.data(), std::min(sizeof options, object.options.size()));
            for (uint32_t& id : filter.classes) // sch_prio.c: the class of band n is n + 1
                id = object.handle | (options.priomap[id & TC_PRIO_MAX] + 1u);
        }
        tree.classifiers.push_back(filter);
    }
    tree.priorities = {};
    return tree;
}

std::vector<QueueClass> queue_classes(const std::vector<TcObject>& objects) {
    const auto find = [&](uint32_t TcObject::*id, uint32_t value, bool is_class) {
        return std::ranges::find_if(
            objects, [&](const TcObject& object) { return object.is_class == is_class && object.*id == value; });
    };
    const auto root = find(&TcObject::parent, TC_H_ROOT, false);
    if (root == objects.end()) return {};
    const bool is_htb = root->kind == "htb";
    std::vector<QueueClass> result;
    std::vector<uint32_t> leaves; // their parents, in the order of `parts`
    if (root->handle == queue_handle && root->kind == "cake")
        result = cake_classes(*root);
    else if (root->handle == queue_handle && is_htb)
        leaves = {queue_handle | audio_class, queue_handle | video_class, queue_handle | control_class,
                  queue_handle | acks_class, queue_handle | default_class};
    else if (root->handle == queue_handle && root->kind == "prio")
        leaves = {handle(0) | 1, handle(0) | 2, handle(0) | 3, handle(0) | 4};
    else if (root->handle == queue_handle && root->kind == "tbf")
        leaves = {handle(3) | 1, handle(3) | 2, handle(1) | 2, handle(5) | 1, handle(5) | 2};
    std::vector<std::vector<std::string>> parts = {{"audio"}, {"video", "fallback"}, {"control"}, {"acks"}, {"other"}};
    if (leaves.size() < parts.size()) parts.erase(parts.end() - 2); // an ordering queue has them with the rest
    for (std::size_t i = 0; i < leaves.size(); i++) {
        const auto leaf = find(&TcObject::parent, leaves[i], false);
        const auto counted = is_htb ? find(&TcObject::handle, leaves[i], true) : leaf;
        if (counted == objects.end()) continue;
        result.push_back(class_of(parts[i], counted->statistics));
        // The leaf knows what it has dropped, the class only what the leaf refused to take.
        if (leaf != objects.end()) result.back().drops = leaf->statistics.drops;
    }
    if (!result.empty() && result.size() >= leaves.size()) return result;
    return {class_of({"audio", "video", "fallback", "control", "other"}, root->statistics)};
}

} // namespace kudo
