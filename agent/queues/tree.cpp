// SPDX-License-Identifier: MIT
#include "agent/queues/tree.h"

#include <linux/pkt_sched.h>

#include <algorithm>

namespace kudo {

namespace {

constexpr uint32_t usual_frame = 1514; // bytes
constexpr uint32_t default_class = 2, video_class = 3, audio_class = 4, control_class = 5, line_class = 1;
// cake's diffserv4 counts its tins from 1: bulk, best effort, video, voice.
constexpr uint32_t cake_video = 3, cake_voice = 4;

constexpr uint32_t handle(uint32_t number) {
    return queue_handle + (number << 16);
}

template <typename T> std::vector<uint8_t> bytes_of(const T& value) {
    const auto* first = reinterpret_cast<const uint8_t*>(&value);
    return {first, first + sizeof value};
}

TcObject qdisc(std::string kind, uint32_t handle, uint32_t parent) {
    return {.is_class = false, .handle = handle, .parent = parent, .kind = std::move(kind)};
}
TcObject qdisc(std::string kind, uint32_t handle, uint32_t parent, std::vector<uint8_t> options) {
    TcObject object = qdisc(std::move(kind), handle, parent);
    object.has_options = true;
    object.options = std::move(options);
    return object;
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

// Fair among what it carries where the kernel has fq_codel, else a FIFO of so many milliseconds.
QueueTree::Step leaf(uint32_t number, uint32_t parent, uint64_t bits_per_second, uint64_t milliseconds = 100) {
    const uint64_t packets = bytes_in(bits_per_second, milliseconds) / usual_frame;
    const tc_fifo_qopt limit{static_cast<__u32>(std::clamp<uint64_t>(packets, 20, 10000))};
    return {qdisc("fq_codel", handle(number), parent), qdisc("pfifo", handle(number), parent, bytes_of(limit))};
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
    Attributes attributes;
    attributes.put(TCA_HTB_PARMS, options);
    attributes.put<uint64_t>(TCA_HTB_RATE64, rate / 8);
    attributes.put<uint64_t>(TCA_HTB_CEIL64, ceiling / 8);
    TcObject object = qdisc("htb", queue_handle | id, parent, attributes.take());
    object.is_class = true;
    return object;
}

// Four classes that borrow from each other. Audio goes first and may have the whole line; video nine tenths of it; what
// is not KUDO's is sure of a fifth. All shares together are the line.
QueueTree htb(const ShapedLine& line) {
    const uint64_t bits = line.bits_per_second;
    tc_htb_glob glob{};
    glob.version = TC_HTB_PROTOVER;
    glob.rate2quantum = 10;
    glob.defcls = default_class;
    Attributes attributes;
    attributes.put(TCA_HTB_INIT, glob);
    const uint32_t all = queue_handle | line_class;
    QueueTree tree{.kind = QueueKind::Htb};
    tree.steps = {
        {qdisc("htb", queue_handle, TC_H_ROOT, attributes.take()), {}},
        {htb_class(line, line_class, TC_H_ROOT, bits, bits, 0), {}},
        {htb_class(line, default_class, all, bits / 5, bits, 3), {}},
        {htb_class(line, audio_class, all, bits * 3 / 10, bits, 0), {}},
        {htb_class(line, video_class, all, bits * 2 / 5, bits * 9 / 10, 1), {}},
        {htb_class(line, control_class, all, bits / 10, bits, 2), {}},
    };
    // What waits on the way in has come over the line already: only a loss tells its sender to slow down, and until it
    // does, the queue before the line grows.
    for (const uint32_t id : {default_class, audio_class, video_class, control_class})
        tree.steps.push_back(leaf(id, queue_handle | id, bits, line.incoming && id == default_class ? 20 : 100));
    tree.priorities[KUDO_TREATMENT_AUDIO] = queue_handle | audio_class;
    tree.priorities[KUDO_TREATMENT_VIDEO] = queue_handle | video_class;
    tree.priorities[KUDO_TREATMENT_FALLBACK] = queue_handle | video_class;
    tree.priorities[KUDO_TREATMENT_CONTROL] = queue_handle | control_class;
    return tree;
}

// Audio in the voice tin, which may have a quarter of the line before it loses its precedence; all other of KUDO's in
// the video tin, which may have half.
QueueTree cake(const ShapedLine& line) {
    Attributes attributes;
    attributes.put<uint64_t>(TCA_CAKE_BASE_RATE64, line.bits_per_second / 8);
    attributes.put<uint32_t>(TCA_CAKE_DIFFSERV_MODE, CAKE_DIFFSERV_DIFFSERV4);
    if (line.incoming) attributes.put<uint32_t>(TCA_CAKE_INGRESS, 1);
    QueueTree tree{.kind = QueueKind::Cake};
    tree.steps = {{qdisc("cake", queue_handle, TC_H_ROOT, attributes.take()), {}}};
    tree.priorities.fill(queue_handle | cake_video);
    tree.priorities[KUDO_TREATMENT_AUDIO] = queue_handle | cake_voice;
    return tree;
}

TcObject token_bucket(const ShapedLine& line, uint32_t handle, uint32_t parent, uint64_t bits) {
    tc_tbf_qopt options{};
    const uint32_t bytes = burst(line, bits) * 2;
    options.rate = rate_of(bits);
    options.buffer = ticks(bits, bytes);
    options.limit = static_cast<__u32>(std::min<uint64_t>(bytes_in(bits, 200) + bytes, UINT32_MAX));
    Attributes attributes;
    attributes.put(TCA_TBF_PARMS, options);
    attributes.put<uint32_t>(TCA_TBF_BURST, bytes);
    attributes.put<uint64_t>(TCA_TBF_RATE64, bits / 8);
    return qdisc("tbf", handle, parent, attributes.take());
}

// The highest values of skb->priority, which only root may set.
constexpr uint32_t first_priority = 15, second_priority = 14, third_priority = 13;

TcObject prio(uint32_t handle, uint32_t parent, int bands, uint8_t others) {
    tc_prio_qopt options{};
    options.bands = bands;
    std::fill(std::begin(options.priomap), std::end(options.priomap), others);
    for (const uint32_t value : {first_priority, second_priority, third_priority})
        options.priomap[value] = static_cast<uint8_t>(std::min<uint32_t>(first_priority - value, others));
    return qdisc("prio", handle, parent, bytes_of(options));
}

std::array<uint32_t, KUDO_TREATMENTS> prio_values() {
    std::array<uint32_t, KUDO_TREATMENTS> values{};
    values[KUDO_TREATMENT_AUDIO] = first_priority;
    values[KUDO_TREATMENT_VIDEO] = values[KUDO_TREATMENT_FALLBACK] = second_priority;
    values[KUDO_TREATMENT_CONTROL] = third_priority;
    return values;
}

// Strict order; media together never has more than nine tenths of the line.
//   0: tbf, the line -> 1: prio: media, control, others -> 2: tbf, nine tenths -> 3: prio: audio, video
QueueTree shaped_prio(const ShapedLine& line) {
    const uint64_t bits = line.bits_per_second;
    tc_prio_qopt outer{}, inner{};
    outer.bands = 3;
    std::fill(std::begin(outer.priomap), std::end(outer.priomap), 2);
    outer.priomap[first_priority] = outer.priomap[second_priority] = 0;
    outer.priomap[third_priority] = 1;
    inner.bands = 2;
    std::fill(std::begin(inner.priomap), std::end(inner.priomap), 1);
    inner.priomap[first_priority] = 0;
    QueueTree tree{.kind = QueueKind::Prio};
    tree.steps = {
        {token_bucket(line, handle(0), TC_H_ROOT, bits), {}},
        {qdisc("prio", handle(1), handle(0) | 1, bytes_of(outer)), {}},
        {token_bucket(line, handle(2), handle(1) | 1, bits * 9 / 10), {}},
        {qdisc("prio", handle(3), handle(2) | 1, bytes_of(inner)), {}},
        leaf(4, handle(1) | 2, bits),
        leaf(5, handle(1) | 3, bits),
        leaf(6, handle(3) | 1, bits),
        leaf(7, handle(3) | 2, bits),
    };
    tree.priorities = prio_values();
    return tree;
}

// The names of cake's tins and of our classes, in order.
const std::vector<std::string> audio{"audio"}, all_but_audio{"video", "fallback", "control"},
    video{"video", "fallback"}, control{"control"}, others{"other"};

QueueClass class_of(std::vector<std::string> carries, const TcStatistics& statistics) {
    return {std::move(carries),       statistics.packets, statistics.bytes, statistics.backlog_packets,
            statistics.backlog_bytes, statistics.drops,   std::nullopt};
}

template <typename T> std::optional<T> number(const std::vector<uint8_t>& attributes, uint16_t type) {
    const auto bytes = find_attribute(attributes, type);
    T value{};
    if (bytes.size() < sizeof value) return std::nullopt;
    std::copy_n(bytes.begin(), sizeof value, reinterpret_cast<uint8_t*>(&value));
    return value;
}

std::vector<QueueClass> cake_classes(const TcObject& qdisc) {
    const std::vector<std::string> tins[] = {{"other"}, {"other"}, all_but_audio, audio};
    std::vector<QueueClass> result;
    const auto all = find_attribute(qdisc.statistics.own, TCA_CAKE_STATS_TIN_STATS);
    for (uint16_t tin = 0; tin < std::size(tins); tin++) {
        const auto stats = find_attribute(all, static_cast<uint16_t>(tin + 1));
        if (stats.empty()) return {}; // not in the mode that we ask for
        QueueClass one{.carries = tins[tin]};
        one.packets = number<uint32_t>(stats, TCA_CAKE_TIN_STATS_SENT_PACKETS).value_or(0);
        one.bytes = number<uint64_t>(stats, TCA_CAKE_TIN_STATS_SENT_BYTES64).value_or(0);
        one.backlog_packets = number<uint32_t>(stats, TCA_CAKE_TIN_STATS_BACKLOG_PACKETS);
        one.backlog_bytes = number<uint32_t>(stats, TCA_CAKE_TIN_STATS_BACKLOG_BYTES);
        one.drops = number<uint32_t>(stats, TCA_CAKE_TIN_STATS_DROPPED_PACKETS);
        one.delay_us = number<uint32_t>(stats, TCA_CAKE_TIN_STATS_AVG_DELAY_US);
        result.push_back(std::move(one));
    }
    std::reverse(result.begin(), result.end()); // audio first
    return result;
}

} // namespace

QueueTree shaped_queue(QueueKind kind, const ShapedLine& line) {
    const uint64_t bits = line.bits_per_second;
    switch (kind) {
    case QueueKind::Cake:
        return cake(line);
    case QueueKind::Htb:
        return htb(line);
    case QueueKind::Prio:
        return shaped_prio(line);
    case QueueKind::PfifoFast:
        break;
    }
    QueueTree tree{.kind = QueueKind::PfifoFast};
    tree.steps = {{token_bucket(line, handle(0), TC_H_ROOT, bits), {}},
                  {qdisc("pfifo_fast", handle(1), handle(0) | 1), {}}};
    return tree;
}

QueueTree ordering_queue(QueueKind kind, uint32_t transmit_queues) {
    QueueTree tree{.kind = kind};
    std::vector<uint32_t> parents;
    uint32_t next = 0;
    if (transmit_queues == 0) {
        parents.push_back(TC_H_ROOT);
    } else {
        tree.steps.push_back({qdisc("mq", handle(next++), TC_H_ROOT), {}});
        for (uint32_t queue = 1; queue <= transmit_queues; queue++)
            parents.push_back(queue_handle | queue);
    }
    for (const uint32_t parent : parents) {
        const uint32_t root = handle(next++);
        if (kind == QueueKind::Cake) {
            Attributes attributes;
            attributes.put<uint32_t>(TCA_CAKE_DIFFSERV_MODE, CAKE_DIFFSERV_DIFFSERV4);
            tree.steps.push_back({qdisc("cake", root, parent, attributes.take()), {}});
        } else if (kind == QueueKind::Prio) {
            constexpr int bands = 4;
            tree.steps.push_back({prio(root, parent, bands, bands - 1), {}});
            // What others send waits in the same kind of queue as without us.
            for (uint32_t band = 1; band <= bands; band++)
                tree.steps.push_back(leaf(next++, root | band, 1'000'000'000));
        } else {
            tree.steps.push_back({qdisc("pfifo_fast", root, parent), {}});
        }
    }
    // cake goes by the DSCP where its handle is not known, pfifo_fast by the mark's own priority.
    if (kind == QueueKind::Cake && transmit_queues == 0) {
        tree.priorities.fill(queue_handle | cake_video);
        tree.priorities[KUDO_TREATMENT_AUDIO] = queue_handle | cake_voice;
    } else if (kind == QueueKind::Prio) {
        tree.priorities = prio_values();
    }
    return tree;
}

std::string_view caveat(QueueKind kind) {
    if (kind != QueueKind::PfifoFast) return {};
    return "pfifo_fast keeps audio and video in one FIFO before the rest: where media alone is more than the line "
           "carries, audio is lost as video is, and the rest gets nothing";
}

std::vector<QueueClass> queue_classes(const std::vector<TcObject>& qdiscs, const std::vector<TcObject>& classes) {
    const auto root = std::ranges::find(qdiscs, static_cast<uint32_t>(TC_H_ROOT), &TcObject::parent);
    if (root == qdiscs.end()) return {};
    const auto with_handle = [](const std::vector<TcObject>& objects, uint32_t id) {
        const auto found = std::ranges::find(objects, id, &TcObject::handle);
        return found == objects.end() ? nullptr : &*found;
    };
    if (root->handle == queue_handle && root->kind == "cake") {
        if (auto tins = cake_classes(*root); !tins.empty()) return tins;
    }
    if (root->handle == queue_handle && root->kind == "htb") {
        std::vector<QueueClass> result;
        const std::pair<uint32_t, std::vector<std::string>> parts[] = {
            {audio_class, audio}, {video_class, video}, {control_class, control}, {default_class, others}};
        for (const auto& [id, carries] : parts) {
            const TcObject* one = with_handle(classes, queue_handle | id);
            const TcObject* queue = with_handle(qdiscs, handle(id));
            if (!one) continue;
            result.push_back(class_of(carries, one->statistics));
            // The leaf knows what it has dropped, the class only what the leaf refused to take.
            if (queue) result.back().drops = queue->statistics.drops;
        }
        return result;
    }
    if (root->handle == queue_handle && (root->kind == "tbf" || root->kind == "prio")) {
        // The leaves of prio, shaped or not.
        const bool shaped = root->kind == "tbf";
        const std::pair<uint32_t, std::vector<std::string>> parts[] = {
            {shaped ? handle(3) | 1 : handle(0) | 1, audio},
            {shaped ? handle(3) | 2 : handle(0) | 2, video},
            {shaped ? handle(1) | 2 : handle(0) | 3, control},
            {shaped ? handle(1) | 3 : handle(0) | 4, others}};
        std::vector<QueueClass> result;
        for (const auto& [parent, carries] : parts) {
            const auto queue = std::ranges::find(qdiscs, parent, &TcObject::parent);
            if (queue != qdiscs.end()) result.push_back(class_of(carries, queue->statistics));
        }
        if (result.size() == std::size(parts)) return result;
    }
    return {class_of({"audio", "video", "fallback", "control", "other"}, root->statistics)};
}

} // namespace kudo
