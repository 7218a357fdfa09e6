// SPDX-License-Identifier: MIT
#include "agent/drops/reasons.h"

#include <string_view>

#include "agent/drops/kernel_types.h"
#include "agent/system/files.h"

namespace kudo {
namespace {

constexpr const char* vmlinux_types = "/sys/kernel/btf/vmlinux";
// Modules whose own reasons are in no other place.
constexpr const char* module_types[] = {"/sys/kernel/btf/mac80211", "/sys/kernel/btf/openvswitch"};

constexpr std::size_t max_types = 64 << 20; // a kernel's has 5 to 10 MB

constexpr std::string_view core_prefix = "SKB_DROP_REASON_";
constexpr uint32_t first_of_subsystems = 0x10000; // include/net/dropreason.h, SKB_DROP_REASON_SUBSYS_SHIFT

// Not a packet's reason, but a limit or a mask.
bool is_bound(std::string_view name) {
    return name.ends_with("_MAX") || name.ends_with("_MASK") || name.starts_with("SKB_DROP_REASON_SUBSYS_") ||
           name.starts_with("__");
}

void add_reasons(const KernelTypes& types, std::map<uint32_t, std::string>& names) {
    for (uint32_t id = 1; id <= types.count(); id++) {
        const auto type = types.type(id);
        if (BTF_INFO_KIND(type->head.info) != BTF_KIND_ENUM) continue;
        const std::string_view name = types.name(type->head.name_off);
        if (!name.ends_with("drop_reason")) continue;
        const bool core = name == "skb_drop_reason";
        for (uint32_t i = 0; i < BTF_INFO_VLEN(type->head.info); i++) {
            const btf_enum entry = types.element(*type, i);
            const auto number = static_cast<uint32_t>(entry.val);
            std::string_view text = types.name(entry.name_off);
            if (text.empty() || is_bound(text) || (!core && number < first_of_subsystems)) continue;
            if (text.starts_with(core_prefix)) text.remove_prefix(core_prefix.size());
            names.try_emplace(number, text);
        }
    }
}

// Of the function that a tracepoint calls, without its own data.
unsigned count_arguments(const KernelTypes& types) {
    for (uint32_t id = 1; id <= types.count(); id++) {
        const auto named = types.type(id);
        if (BTF_INFO_KIND(named->head.info) != BTF_KIND_TYPEDEF ||
            types.name(named->head.name_off) != "btf_trace_kfree_skb")
            continue;
        const auto pointer = types.type(named->head.type);
        if (!pointer || BTF_INFO_KIND(pointer->head.info) != BTF_KIND_PTR) return 0;
        const auto function = types.type(pointer->head.type);
        if (!function || BTF_INFO_KIND(function->head.info) != BTF_KIND_FUNC_PROTO) return 0;
        const unsigned all = BTF_INFO_VLEN(function->head.info);
        return all > 1 ? all - 1 : 0;
    }
    return 0;
}

} // namespace

Result<DropReasons> DropReasons::parse(std::span<const uint8_t> vmlinux) {
    const auto types = KernelTypes::parse(std::string(reinterpret_cast<const char*>(vmlinux.data()), vmlinux.size()));
    if (!types) return fail("cannot parse the kernel's BTF");
    DropReasons reasons;
    add_reasons(*types, reasons.names_);
    reasons.arguments_ = count_arguments(*types);
    return reasons;
}

Result<const DropReasons*> DropReasons::of_running_kernel() {
    static const Result<DropReasons> running = []() -> Result<DropReasons> {
        const std::string what = std::string(vmlinux_types) + ": the kernel's BTF (CONFIG_DEBUG_INFO_BTF)";
        auto bytes = read_file(vmlinux_types, max_types);
        if (!bytes) return fail(std::move(bytes.error()).in(what));
        const auto types = KernelTypes::parse(std::move(*bytes));
        if (!types) return fail(what + " is none that can be read");
        DropReasons reasons;
        add_reasons(*types, reasons.names_);
        reasons.arguments_ = count_arguments(*types);
        for (const char* module : module_types)
            if (auto of_module = read_file(module, max_types))
                if (const auto more = KernelTypes::parse(std::move(*of_module), &*types))
                    add_reasons(*more, reasons.names_);
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
