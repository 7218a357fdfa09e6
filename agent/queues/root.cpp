// SPDX-License-Identifier: MIT
#include "agent/queues/root.h"

#include <linux/pkt_sched.h>

#include <algorithm>
#include <cstring>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "agent/attach/in_kernel.h"
#include "agent/queues/classifier.h"
#include "agent/queues/pure_acks.h"
#include "agent/queues/shaped_rate.h"
#include "maps/base/text.h"

namespace kudo {
namespace {

// linux/pkt_sched.h >= 6.8: fq shows it if it looks at skb->priority.
constexpr uint16_t tca_fq_priomap = TCA_FQ_HORIZON_DROP + 1;

// May what is there be replaced, and what is to be restored then?
Result<std::vector<TcObject>> what_to_save(const QdiscSlot& slot, const Root& root, bool replace) {
    const bool known = root.is_ours() || root.was_interrupted();
    const bool made_by_admin = known ? !root.saved->saved.empty() : root.present.found().made_by_admin;
    if (made_by_admin && !replace)
        return bad_input(fmt::format(
            "{}: its qdisc, {}, was configured by the administrator; --replace-qdisc replaces it until disable",
            slot.name, root.found().root));
    if (known) return root.saved->saved;
    if (!made_by_admin) return std::vector<TcObject>{};
    return restorable(slot.index, root.present.objects).in(slot.name);
}

// All that is there belongs to what was saved: a command was killed while it restored that.
bool is_part_of(const QdiscTree& present, const std::vector<TcObject>& saved) {
    return std::ranges::all_of(present.objects, [&](const TcObject& qdisc) {
        return qdisc.is_class || qdisc.handle == 0 || qdisc.parent == TC_H_INGRESS ||
               std::ranges::any_of(saved, [&](const TcObject& object) {
                   return !object.is_class && object.handle == qdisc.handle && object.parent == qdisc.parent &&
                          object.kind == qdisc.kind;
               });
    });
}

// An Error with ENOENT: the kernel does not have a kind of queue that this needs; some of it may have been made.
Result<void> build(uint32_t interface, const QueueTree& tree) {
    for (const QueueTree::Step& step : tree.steps) {
        auto made = put(interface, step.object);
        if (!made && made.error().number == ENOENT && step.substitute) made = put(interface, *step.substitute);
        if (!made) return made;
    }
    for (const ClassFilter& classifier : tree.classifiers)
        KUDO_TRY(add_classifier(interface, classifier));
    for (const auto& [parent, filter] : tree.filters) {
        auto made = add_filter(interface, parent, filter);
        if (!made && made.error().number != ENOENT) return fail(std::move(made.error()).in("a filter of the queue"));
    }
    return {};
}

// The kernel's default now may be another than it was: its sysctl can have changed since the interface came up.
Result<void> restore_default(const QdiscSlot& slot, const std::string& before) {
    KUDO_TRY(remove_root_qdisc(slot.index));
    const std::string now = KUDO_TRY(read_qdisc_tree(slot.index)).found().root;
    const auto depends_on_device = [](const std::string& kind) {
        return kind == "none" || kind == "noqueue" || kind == "mq";
    };
    if (now == before || depends_on_device(now) || depends_on_device(before)) return {};
    return put(slot.index, {.parent = TC_H_ROOT, .kind = before});
}

Result<void> restore(const QdiscSlot& slot, const Root& root) {
    if (!root.is_ours() && !root.was_interrupted()) return {}; // it has been replaced by hand since, or never by us
    SavedQdisc saved = *root.saved;
    saved.restoring = true;
    KUDO_TRY(store_saved_qdisc(slot.folder, slot.saved_as, saved));
    if (saved.plan.empty()) spdlog::warn("{}: {}", slot.name, what_was_there_is_lost); // see read_root()
    if (saved.saved.empty()) return restore_default(slot, saved.found.root);
    KUDO_TRY(remove_root_qdisc(slot.index));
    for (const TcObject& object : saved.saved) {
        auto made = put(slot.index, object);
        if (!made && made.error().number == ENODEV) return {}; // the interface is gone, and its queue with it
        if (!made) return made;
    }
    return {};
}

// Builds the first candidate that the kernel has.
Result<const QueueTree*> build_best(const QdiscSlot& slot, const QueuePlan& plan) {
    for (const QueueTree& tree : plan.candidates) {
        const QdiscTree present = KUDO_TRY(read_qdisc_tree(slot.index));
        // Of another shape: the kernel does not turn one kind into another under the same handle.
        if (present.root() && present.root()->handle == queue_handle) KUDO_TRY(remove_root_qdisc(slot.index));
        auto built = build(slot.index, tree);
        if (built) return &tree;
        if (built.error().number != ENOENT) return fail(std::move(built.error()).in(slot.name));
        spdlog::debug("{}: no {}: {}", slot.name, queue_kind_name(tree.kind), built.error().message);
    }
    return bad_input(
        fmt::format("{}: this kernel lacks the qdiscs that {} needs", slot.name,
                    plan.candidates.size() == 1 ? queue_kind_name(plan.candidates.front().kind) : "a rate"));
}

// One that follows the line has any rate.
std::string fingerprint_of(const QdiscTree& tree, const QueuePlan& plan) {
    return fingerprint(plan.follows ? without_rate(tree.objects, *plan.follows, plan.mtu) : tree.objects, tree.filters);
}

// The one of the plan's trees that it has built.
Result<const QueueTree*> replace_root(const QdiscSlot& slot, const Root& root, const QueuePlan& plan, bool replace) {
    auto saved = KUDO_TRY(what_to_save(slot, root, replace));
    SavedQdisc next{.plan = plan.text, .built = {}, .found = root.found(), .saved = std::move(saved)};
    KUDO_TRY(store_saved_qdisc(slot.folder, slot.saved_as, next));
    auto built = build_best(slot, plan);
    if (!built) {
        if (auto back = restore_root(slot); !back) spdlog::debug("{}", back.error().message);
        return built;
    }
    const QdiscTree made = KUDO_TRY(read_qdisc_tree(slot.index));
    next.built = fingerprint_of(made, plan);
    KUDO_TRY(store_saved_qdisc(slot.folder, slot.saved_as, next));
    return built;
}

// All of it is there, by handles and kinds.
bool is_present(const QueueTree& tree, const QdiscTree& present) {
    const bool has_qdiscs = std::ranges::all_of(tree.steps, [&](const QueueTree::Step& step) {
        return std::ranges::any_of(present.objects, [&](const TcObject& object) {
            return object.handle == step.object.handle &&
                   (object.kind == step.object.kind || (step.substitute && object.kind == step.substitute->kind));
        });
    });
    return has_qdiscs && std::ranges::all_of(tree.classifiers, [&](const ClassFilter& classifier) {
               return std::ranges::count_if(present.filters, [&](const PlacedFilter& placed) {
                          return placed.parent == classifier.qdisc && is_classifier(placed.filter);
                      }) == 1;
           });
}

// Ours as it was made for this plan; null: it is not there.
const QueueTree* made_for(const QueuePlan& plan, const Root& root) {
    if (!root.saved || root.saved->plan != plan.text || root.saved->built.empty() ||
        root.saved->built != fingerprint_of(root.present, plan))
        return nullptr;
    const auto tree = std::ranges::find_if(
        plan.candidates, [&](const QueueTree& candidate) { return is_present(candidate, root.present); });
    return tree == plan.candidates.end() ? nullptr : &*tree;
}

// Ours, and what was saved of the root before it is lost: the kernel's default takes its place one day.
Result<bool> is_orphan(const QdiscSlot& slot, const QdiscTree& present) {
    if (!present.root() || present.root()->handle != queue_handle) return false;
    return KUDO_TRY(other_instance_on(slot.index, slot.instance)) != OtherInstance::Yes;
}

const TcObject* first_of(const std::vector<TcObject>& objects, const std::string& kind) {
    const auto found =
        std::ranges::find_if(objects, [&](const TcObject& object) { return !object.is_class && object.kind == kind; });
    return found == objects.end() ? nullptr : &*found;
}

// cake goes by the DSCP, in the mode of its options, and may remove it.
void judge_cake(const std::vector<uint8_t>& options, FoundQueue& result) {
    const auto mode = read_attribute<uint32_t>(options, TCA_CAKE_DIFFSERV_MODE).value_or(CAKE_DIFFSERV_DIFFSERV3);
    result.honours_marks = mode != CAKE_DIFFSERV_BESTEFFORT;
    if (mode == CAKE_DIFFSERV_BESTEFFORT)
        result.caveat = "besteffort: it serves all packets alike, whatever their marks";
    else if (mode == CAKE_DIFFSERV_DIFFSERV3)
        result.caveat = "diffserv3: it serves audio first, and video as other traffic; diffserv4 would serve both";
    if (read_attribute<uint32_t>(options, TCA_CAKE_WASH).value_or(0) != 0)
        add_clause(result.caveat, "wash: it removes the DSCP, so that no router behind this host sees one");
}

void judge_by_options(const TcObject& queue, FoundQueue& result) {
    if (queue.kind == "pfifo_fast") result.honours_marks = true;
    if (queue.kind == "cake") judge_cake(queue.options, result);
    tc_prio_qopt prio{};
    if (queue.kind != "prio" || queue.options.size() < sizeof prio) return;
    std::memcpy(&prio, queue.options.data(), sizeof prio);
    result.honours_marks = prio.priomap[TC_PRIO_INTERACTIVE] < prio.priomap[TC_PRIO_BESTEFFORT];
    if (!result.honours_marks) result.caveat = "its priomap serves KUDO's packets no sooner than others";
}

} // namespace

const TcObject* QdiscTree::root() const {
    const auto found = std::ranges::find_if(
        objects, [](const TcObject& object) { return !object.is_class && object.parent == TC_H_ROOT; });
    return found == objects.end() ? nullptr : &*found;
}

FoundQueue QdiscTree::found() const {
    FoundQueue result;
    if (!root()) return result;
    result.root = result.kind = root()->kind;
    result.made_by_admin = root()->handle != 0;
    const auto below = [&](uint32_t id) { return (id & TC_H_MAJ_MASK) == root()->handle; };
    for (const TcObject& object : objects) {
        if (result.root == "mq" && object.is_class) result.transmit_queues += below(object.handle);
        if (result.root == "mq" && !object.is_class && result.kind == "mq" && below(object.parent))
            result.kind = object.kind;
        result.honours_marks |= object.kind == "fq" && !find_attribute(object.options, tca_fq_priomap).empty();
    }
    if (const TcObject* queue = first_of(objects, result.kind)) judge_by_options(*queue, result);
    return result;
}

Result<QdiscTree> read_qdisc_tree(uint32_t interface) {
    QdiscTree tree;
    tree.objects = KUDO_TRY(list_tc_objects(interface));
    if (!tree.root() || tree.root()->handle != queue_handle) return tree;
    for (const TcObject& object : tree.objects) {
        if (object.is_class || (object.kind != "htb" && object.kind != "prio")) continue;
        for (TcFilter& filter : KUDO_TRY(list_filters(interface, object.handle)))
            if (is_classifier(filter) ||
                (first_queue_filter <= filter.preference && filter.preference <= last_queue_filter))
                tree.filters.push_back({object.handle, std::move(filter)});
    }
    return tree;
}

bool Root::is_ours() const {
    return saved && present.root() && present.root()->handle == queue_handle;
}

bool Root::was_interrupted() const {
    if (!saved || is_ours()) return false;
    const bool is_default = !present.found().made_by_admin;
    if (saved->restoring) return is_default || is_part_of(present, saved->saved);
    // Between removing an older one of ours and building the next.
    return saved->built.empty() && is_default && !saved->saved.empty();
}

FoundQueue Root::found() const {
    return is_ours() || was_interrupted() ? saved->found : present.found();
}

QueueReport Root::report(const QueuePlan& plan) const {
    const QueueTree* tree = made_for(plan, *this);
    QueueReport report;
    report.found = found().text();
    report.chosen = tree ? std::string(queue_kind_name(tree->kind)) : present.found().kind;
    report.ours = is_ours();
    if (report.ours) report.rate = shaped_rate(present.objects);
    report.follows = plan.follows;
    report.healthy = plan.candidates.empty() ? !saved : tree != nullptr;
    if (tree) {
        report.why = plan.why_with(*tree);
        if (plan.follows && report.rate) report.why += fmt::format("; now {}", rate_text(*report.rate));
        if (present.filters.size() < tree->filters.size() + tree->classifiers.size())
            report.why += "; acknowledgements of other traffic wait with the rest of it: this kernel has no cls_bpf";
    } else
        report.why = plan.candidates.empty() ? plan.why : fmt::format("not the requested qdisc ({})", plan.why);
    if (tree) report.priorities = tree->priorities;
    return report;
}

Result<Root> read_root(const QdiscSlot& slot) {
    auto present = KUDO_TRY(read_qdisc_tree(slot.index));
    auto saved = KUDO_TRY(load_saved_qdisc(slot.folder, slot.saved_as));
    if (!saved && KUDO_TRY(is_orphan(slot, present))) saved.emplace();
    return Root{std::move(present), std::move(saved)};
}

Result<void> check_replaceable(const Root& root, const QdiscSlot& slot, bool replace) {
    KUDO_TRY(what_to_save(slot, root, replace));
    return {};
}

Result<bool> restore_root(const QdiscSlot& slot) {
    const Root root = KUDO_TRY(read_root(slot));
    if (!root.saved) return false;
    KUDO_TRY(restore(slot, root));
    KUDO_TRY(forget_saved_qdisc(slot.folder, slot.saved_as));
    return true;
}

Result<QueueReport> ensure_root(const QdiscSlot& slot, const QueuePlan& plan, bool replace) {
    const Root before = KUDO_TRY(read_root(slot));
    auto report = before.report(plan);
    if (report.healthy) return report;
    const QueueTree* built = nullptr;
    if (plan.candidates.empty())
        KUDO_TRY(restore_root(slot));
    else
        built = KUDO_TRY(replace_root(slot, before, plan, replace));
    report = KUDO_TRY(read_root(slot)).report(plan);
    if (built) report.priorities = built->priorities; // also if somebody has changed it since
    report.changed = true;
    return report;
}

} // namespace kudo
