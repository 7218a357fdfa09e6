// SPDX-License-Identifier: MIT
#include "agent/drops/reasons.h"

#include <bpf/btf.h>

#include <filesystem>
#include <memory>
#include <string_view>

#include "agent/system/files.h"

namespace kudo {
namespace {

struct FreeTypes {
    void operator()(btf* types) const { btf__free(types); }
};
using Types = std::unique_ptr<btf, FreeTypes>;

constexpr const char* vmlinux_types = "/sys/kernel/btf/vmlinux";
// Modules whose own reasons are in no other place.
constexpr const char* module_types[] = {"/sys/kernel/btf/mac80211", "/sys/kernel/btf/openvswitch"};

constexpr std::string_view core_prefix = "SKB_DROP_REASON_";
constexpr uint32_t first_of_subsystems = 0x10000; // include/net/dropreason.h, SKB_DROP_REASON_SUBSYS_SHIFT

// Not a packet's reason, but a limit or a mask.
bool is_bound(std::string_view name) {
    return name.ends_with("_MAX") || name.ends_with("_MASK") || name.starts_with("SKB_DROP_REASON_SUBSYS_") ||
           name.starts_with("__");
}

void add_reasons(const btf* types, std::map<uint32_t, std::string>& names) {
    for (uint32_t id = 1; id < btf__type_cnt(types); id++) {
        const btf_type* type = btf__type_by_id(types, id);
        if (!btf_is_enum(type)) continue;
        const std::string_view name = btf__name_by_offset(types, type->name_off);
        if (!name.ends_with("drop_reason")) continue;
        const bool core = name == "skb_drop_reason";
        for (uint32_t i = 0; i < btf_vlen(type); i++) {
            const struct btf_enum& entry = btf_enum(type)[i];
            const auto number = static_cast<uint32_t>(entry.val);
            std::string_view text = btf__name_by_offset(types, entry.name_off);
            if (is_bound(text) || (!core && number < first_of_subsystems)) continue;
            if (text.starts_with(core_prefix)) text.remove_prefix(core_prefix.size());
            names.try_emplace(number, text);
        }
    }
}

// Of the function that a tracepoint calls, without its own data.
unsigned count_arguments(const btf* types) {
    const int id = btf__find_by_name_kind(types, "btf_trace_kfree_skb", BTF_KIND_TYPEDEF);
    if (id < 0) return 0;
    const btf_type* pointer = btf__type_by_id(types, btf__type_by_id(types, static_cast<uint32_t>(id))->type);
    if (!btf_is_ptr(pointer)) return 0;
    const btf_type* function = btf__type_by_id(types, pointer->type);
    return btf_is_func_proto(function) && btf_vlen(function) > 1 ? btf_vlen(function) - 1 : 0;
}

} // namespace

Result<DropReasons> DropReasons::parse(std::span<const uint8_t> vmlinux) {
    const Types types(btf__new(vmlinux.data(), static_cast<uint32_t>(vmlinux.size())));
    if (!types) return fail_errno("cannot parse the kernel's BTF");
    DropReasons reasons;
    add_reasons(types.get(), reasons.names_);
    reasons.arguments_ = count_arguments(types.get());
    return reasons;
}

Result<const DropReasons*> DropReasons::of_running_kernel() {
    static const Result<DropReasons> running = []() -> Result<DropReasons> {
        const Types types(btf__parse(vmlinux_types, nullptr));
        if (!types) return fail_errno(std::string(vmlinux_types) + ": the kernel's BTF (CONFIG_DEBUG_INFO_BTF)");
        DropReasons reasons;
        add_reasons(types.get(), reasons.names_);
        reasons.arguments_ = count_arguments(types.get());
        for (const char* module : module_types)
            if (const Types more{btf__parse_split(module, types.get())}) add_reasons(more.get(), reasons.names_);
        return reasons;
    }();
    if (!running) return fail(Error(running.error()));
    return &*running;
}

std::string DropReasons::name(uint32_t reason) const {
    if (const auto found = names_.find(reason); found != names_.end()) return found->second;
    return names_.empty() && reason == 0 ? "" : "reason " + std::to_string(reason);
}

} // namespace kudo
