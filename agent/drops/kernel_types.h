// SPDX-License-Identifier: MIT
// The kernel's type information (BTF, Documentation/bpf/btf.rst), as far as it is asked for here: enums, and a typedef
// by its name. libbpf, which checks and indexes all of it, takes some 80 ms for a kernel's; this takes 5. Invariant:
// nothing outside of the given bytes is read, whatever they hold.
#pragma once

#include <linux/btf.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace kudo {

class KernelTypes {
public:
    // As in /sys/kernel/btf/vmlinux. `base`: what a module's names go on from; null: none. Nothing: it is no BTF, or
    // one with kinds of types that are not known here.
    static std::optional<KernelTypes> parse(std::string bytes, const KernelTypes* base = nullptr);

    struct Type {
        btf_type head{};
        std::size_t behind = 0; // where what belongs to it is
    };
    [[nodiscard]] uint32_t count() const { return static_cast<uint32_t>(offsets_.size()); }
    [[nodiscard]] std::optional<Type> type(uint32_t id) const;  // from 1 on
    [[nodiscard]] std::string_view name(uint32_t offset) const; // empty: none, or the base's
    // Element `i` of an enum.
    [[nodiscard]] btf_enum element(const Type& of, uint32_t i) const { return read<btf_enum>(of.behind, i); }

private:
    template <typename T> T read(std::size_t at, std::size_t i = 0) const;
    bool find_types(std::size_t begin, std::size_t end);

    std::string bytes_;
    std::size_t names_ = 0, names_size_ = 0;
    std::size_t names_of_base_ = 0;
    std::vector<uint32_t> offsets_; // of the types
};

} // namespace kudo
