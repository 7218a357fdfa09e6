// SPDX-License-Identifier: MIT
#include "agent/queues/saved_qdisc.h"

#include <bpf/bpf.h>
#include <linux/pkt_sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "agent/datapath/bpf_object.h"
#include "agent/datapath/pin_folder.h"
#include "agent/netlink/interface_number.h"
#include "maps/base/hash.h"
#include "maps/document/range_map.h"

namespace kudo {

namespace fs = std::filesystem;

// For nlohmann's library, which finds them here.
static void to_json(nlohmann::json& json, const TcObject& object) {
    json = {{"class", object.is_class},
            {"handle", object.handle},
            {"parent", object.parent},
            {"kind", object.kind},
            {"options", object.options}};
}
static void from_json(const nlohmann::json& json, TcObject& object) {
    json.at("class").get_to(object.is_class);
    json.at("handle").get_to(object.handle);
    json.at("parent").get_to(object.parent);
    json.at("kind").get_to(object.kind);
    if (!json.at("options").is_null())
        json.at("options").get_to(object.options); // null: as earlier versions wrote none
}
// An earlier version wrote no caveat.
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(FoundQueue, root, kind, transmit_queues, made_by_admin, honours_marks,
                                                caveat)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(SavedQdisc, plan, built, found, saved, restoring)

namespace {

constexpr std::size_t max_size = 4u << 20;

fs::path pin_of(const fs::path& folder, const std::string& name) {
    return folder / "queues" / name;
}

// Kinds whose options can be set as the kernel shows them. Not among them: those with tables (red, netem's
// distributions), with classes (except htb), and untested ones.
constexpr std::string_view known_kinds[] = {"pfifo", "bfifo", "pfifo_head_drop", "pfifo_fast", "prio", "tbf", "htb",
                                            "fq",    "codel", "fq_codel",        "cake",       "sfq",  "mq"};

// The most bytes that leave in so many of the kernel's ticks (64 ns), which are rounded down.
uint32_t bytes_in(uint32_t ticks, uint64_t bytes_per_second) {
    constexpr uint64_t second = 1'000'000'000; // ns
    const uint64_t time = (uint64_t{ticks} + 1) * 64 - 1;
    const uint64_t bytes = time / second * bytes_per_second + time % second * bytes_per_second / second;
    return static_cast<uint32_t>(std::min<uint64_t>(bytes, UINT32_MAX));
}

// The kernel shows htb's version differently from how it takes it, with a counter; and tbf's bursts as time, rounded
// down, but must be given bytes, or packets as large as the burst would no longer pass.
void make_settable(TcObject& object) {
    if (object.is_class) return;
    if (object.kind == "htb") {
        auto glob = read_attribute<tc_htb_glob>(object.options, TCA_HTB_INIT);
        if (!glob) return;
        glob->version = TC_HTB_PROTOVER;
        glob->direct_pkts = 0;
        Attributes attributes;
        attributes.put(TCA_HTB_INIT, *glob);
        if (const auto length = find_attribute(object.options, TCA_HTB_DIRECT_QLEN); !length.empty())
            attributes.put(TCA_HTB_DIRECT_QLEN, length.data(), length.size());
        object.options = attributes.take();
    } else if (object.kind == "tbf") {
        const auto options = read_attribute<tc_tbf_qopt>(object.options, TCA_TBF_PARMS);
        if (!options) return;
        const auto rate = read_attribute<uint64_t>(object.options, TCA_TBF_RATE64);
        const auto peak = read_attribute<uint64_t>(object.options, TCA_TBF_PRATE64);
        Attributes bursts;
        bursts.put<uint32_t>(TCA_TBF_BURST, bytes_in(options->buffer, rate.value_or(options->rate.rate)));
        if (options->peakrate.rate != 0)
            bursts.put<uint32_t>(TCA_TBF_PBURST, bytes_in(options->mtu, peak.value_or(options->peakrate.rate)));
        const auto more = bursts.take();
        object.options.insert(object.options.end(), more.begin(), more.end());
    }
}

Result<void> check_restorable(uint32_t interface, const TcObject& object) {
    const std::string what = fmt::format("its {} {} {:x}:{:x} has", object.is_class ? "class" : "qdisc", object.kind,
                                         object.handle >> 16, object.handle & 0xffff);
    if (!object.unrestorable.empty())
        return bad_input(fmt::format("{} {}, which could not be restored exactly", what, object.unrestorable));
    if (KUDO_TRY(has_filters(interface, object.handle)))
        return bad_input(what + " filters, which could not be restored exactly");
    return {};
}

} // namespace

std::string FoundQueue::text() const {
    if (root == "none") return "no queue";
    return (root == kind ? kind : root + " with " + kind) +
           (made_by_admin ? " (configured by the administrator)" : " (the kernel's default)");
}

Result<std::optional<SavedQdisc>> load_saved_qdisc(const fs::path& folder, const std::string& name) {
    const auto path = pin_of(folder, name);
    auto map = open_pin(path);
    if (!map && (map.error().number == ENOENT || map.error().number == ENOTDIR)) return std::optional<SavedQdisc>{};
    if (!map) return fail(std::move(map.error()));
    bpf_map_info info{};
    uint32_t size = sizeof info;
    if (bpf_obj_get_info_by_fd(map->get(), &info, &size) != 0) return fail_errno(path.string());
    if (info.type != BPF_MAP_TYPE_ARRAY || info.key_size != sizeof(uint32_t) || info.value_size > max_size)
        return fail(fmt::format("{}: not a map of kudo-agent", path.string()));
    std::string text(info.value_size, '\0');
    const uint32_t key = 0;
    if (bpf_map_lookup_elem(map->get(), &key, text.data()) != 0) return fail_errno(path.string() + ": cannot read");
    text.resize(std::strlen(text.c_str()));
    try {
        return std::optional(nlohmann::json::parse(text).get<SavedQdisc>());
    } catch (const std::exception& exception) {
        return fail(fmt::format("{}: not what kudo-agent wrote there ({})", path.string(), exception.what()));
    }
}

Result<void> store_saved_qdisc(const fs::path& folder, const std::string& name, const SavedQdisc& saved) {
    KUDO_TRY(make_pin_folder(folder / "queues")); // somebody may have deleted it
    std::string text = nlohmann::json(saved).dump();
    if (text.size() >= max_size) return bad_input("the present qdiscs are too large to be saved");
    text.resize((text.size() + 8) & ~std::size_t{7}); // zeros behind it
    const Fd map(bpf_map_create(BPF_MAP_TYPE_ARRAY, "kudo_queue", sizeof(uint32_t), static_cast<uint32_t>(text.size()),
                                1, nullptr));
    if (!map) return fail_errno("cannot create a map for the saved qdiscs");
    const uint32_t key = 0;
    if (bpf_map_update_elem(map.get(), &key, text.data(), BPF_ANY) != 0)
        return fail_errno("cannot write the saved qdiscs");
    const auto path = pin_of(folder, name);
    const std::string fresh = path.string() + "_new";
    if (unlink(fresh.c_str()) != 0 && errno != ENOENT) return fail_errno(fresh);
    KUDO_TRY(pin(map.get(), fresh));
    if (rename(fresh.c_str(), path.c_str()) != 0) return fail_errno(path.string());
    return {};
}

Result<void> forget_saved_qdisc(const fs::path& folder, const std::string& name) {
    const auto path = pin_of(folder, name);
    for (const char* suffix : {"_new", ""})
        if (unlink((path.string() + suffix).c_str()) != 0 && errno != ENOENT) return fail_errno(path.string());
    return {};
}

std::set<uint32_t> saved_qdisc_interfaces(const fs::path& folder) {
    std::set<uint32_t> interfaces;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(folder / "queues", error))
        if (const auto number = interface_number(entry.path().filename().string())) interfaces.insert(*number);
    return interfaces;
}

std::string fingerprint(const std::vector<TcObject>& objects, const std::vector<PlacedFilter>& filters) {
    std::multiset<std::string> lines;
    for (const TcObject& object : objects) {
        // clsact and ingress are not part of the queue; the classes of other kinds come and go with their flows.
        if (object.parent == TC_H_INGRESS || (object.is_class && object.kind != "htb")) continue;
        std::string line = fmt::format("{} {:x} {:x} {} ", object.is_class, object.handle, object.parent, object.kind);
        // htb's qdisc shows a counter among its options.
        if (object.is_class || object.kind != "htb")
            line.append(reinterpret_cast<const char*>(object.options.data()), object.options.size());
        lines.insert(std::move(line));
    }
    for (const auto& [parent, filter] : filters)
        lines.insert(fmt::format("filter {:x} {} {:x} {:x} {} ", parent, filter.preference, filter.handle,
                                 filter.protocol, filter.kind)
                         .append(reinterpret_cast<const char*>(filter.options.data()), filter.options.size()));
    return content_hash(fmt::format("{}\n", fmt::join(lines, "\n")));
}

Result<std::vector<TcObject>> restorable(uint32_t interface, const std::vector<TcObject>& objects) {
    std::vector<TcObject> waiting;
    for (const TcObject& object : objects) {
        // Made by the kernel itself, or, as the classes of other kinds than htb, together with their qdisc.
        if (object.parent == TC_H_INGRESS || object.handle == 0 || (object.is_class && object.kind != "htb")) continue;
        if (std::ranges::find(known_kinds, object.kind) == std::end(known_kinds))
            return bad_input(
                fmt::format("its qdisc {} {:x}: could not be restored exactly", object.kind, object.handle >> 16));
        KUDO_TRY(check_restorable(interface, object));
        waiting.push_back(object);
        make_settable(waiting.back());
    }
    std::vector<TcObject> placed;
    // A class that htb has, or the qdisc of another kind, of whose classes any may be a parent.
    const auto is_placed = [&placed](uint32_t id) {
        return std::ranges::any_of(placed, [&](const TcObject& other) {
            return other.handle == id ||
                   (!other.is_class && other.kind != "htb" && other.handle == (id & TC_H_MAJ_MASK));
        });
    };
    const auto has_parent = [&](const TcObject& object) {
        if (object.parent != TC_H_ROOT) return is_placed(object.parent);
        return !object.is_class || is_placed(object.handle & TC_H_MAJ_MASK); // a class right below its qdisc
    };
    while (!waiting.empty()) {
        const auto next = std::ranges::find_if(waiting, has_parent);
        if (next == waiting.end()) return bad_input("its qdiscs are nested in a way that could not be restored");
        placed.push_back(std::move(*next));
        waiting.erase(next);
    }
    return placed;
}

} // namespace kudo
