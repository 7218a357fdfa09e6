// SPDX-License-Identifier: MIT
#include "agent/drops/kernel_types.h"

#include <cstring>

namespace kudo {
namespace {

// Bytes behind the head of a type; nothing: of a kind that is not known, so that what follows cannot be found.
std::optional<std::size_t> size_behind(const btf_type& type) {
    constexpr uint32_t declaration_tag = 17, type_tag = 18, enum64 = 19; // newer than some headers
    const std::size_t elements = BTF_INFO_VLEN(type.info);
    switch (BTF_INFO_KIND(type.info)) {
    case BTF_KIND_PTR:
    case BTF_KIND_FWD:
    case BTF_KIND_TYPEDEF:
    case BTF_KIND_VOLATILE:
    case BTF_KIND_CONST:
    case BTF_KIND_RESTRICT:
    case BTF_KIND_FUNC:
    case BTF_KIND_FLOAT:
    case type_tag:
        return 0;
    case BTF_KIND_INT:
    case BTF_KIND_VAR:
    case declaration_tag:
        return 4;
    case BTF_KIND_ARRAY:
        return sizeof(btf_array);
    case BTF_KIND_STRUCT:
    case BTF_KIND_UNION:
        return elements * sizeof(btf_member);
    case BTF_KIND_ENUM:
        return elements * sizeof(btf_enum);
    case BTF_KIND_FUNC_PROTO:
        return elements * sizeof(btf_param);
    case BTF_KIND_DATASEC:
        return elements * sizeof(btf_var_secinfo);
    case enum64:
        return elements * 12;
    default:
        return std::nullopt;
    }
}

} // namespace

template <typename T> T KernelTypes::read(std::size_t at, std::size_t i) const {
    T value{};
    if (const std::size_t begin = at + i * sizeof value; begin + sizeof value <= bytes_.size())
        std::memcpy(&value, bytes_.data() + begin, sizeof value);
    return value;
}

std::optional<KernelTypes> KernelTypes::parse(std::string bytes, const KernelTypes* base) {
    KernelTypes types;
    types.bytes_ = std::move(bytes);
    const auto header = types.read<btf_header>(0);
    const uint64_t size = types.bytes_.size(), head = header.hdr_len;
    const uint64_t types_begin = head + header.type_off, names_begin = head + header.str_off;
    if (header.magic != BTF_MAGIC || head < sizeof header || types_begin + header.type_len > size ||
        names_begin + header.str_len > size || size > UINT32_MAX)
        return std::nullopt;
    types.names_ = names_begin;
    types.names_size_ = header.str_len;
    if (base) types.names_of_base_ = base->names_of_base_ + base->names_size_;
    return types.find_types(types_begin, types_begin + header.type_len) ? std::optional(std::move(types))
                                                                        : std::nullopt;
}

bool KernelTypes::find_types(std::size_t begin, std::size_t end) {
    while (begin < end) {
        if (end - begin < sizeof(btf_type)) return false;
        const auto behind = size_behind(read<btf_type>(begin));
        if (!behind || *behind > end - begin - sizeof(btf_type)) return false;
        offsets_.push_back(static_cast<uint32_t>(begin));
        begin += sizeof(btf_type) + *behind;
    }
    return true;
}

std::optional<KernelTypes::Type> KernelTypes::type(uint32_t id) const {
    if (id == 0 || id > offsets_.size()) return std::nullopt;
    const std::size_t at = offsets_[id - 1];
    return Type{.head = read<btf_type>(at), .behind = at + sizeof(btf_type)};
}

std::string_view KernelTypes::name(uint32_t offset) const {
    if (offset < names_of_base_ || offset - names_of_base_ >= names_size_) return {};
    const std::size_t at = names_ + (offset - names_of_base_), left = names_ + names_size_ - at;
    const char* const begin = bytes_.data() + at;
    return {begin, strnlen(begin, left)};
}

} // namespace kudo
