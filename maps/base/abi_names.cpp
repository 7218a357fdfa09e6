// SPDX-License-Identifier: MIT
#include "maps/base/abi_names.h"

#include <span>

namespace kudo {
namespace {

// The name at this place; of a place that has none, what the kernel's programs never say.
std::string_view name_at(std::span<const std::string_view> names, std::size_t place,
                         std::string_view other = "unknown") {
    return place < names.size() ? names[place] : other;
}

} // namespace

std::string_view class_name(kudo_class class_) {
    static constexpr std::string_view names[] = {"none", "media", "fallback", "control"};
    return name_at(names, class_, "none");
}

std::string_view treatment_name(kudo_treatment treatment) {
    static constexpr std::string_view names[] = {"audio", "video", "fallback", "control"};
    return name_at(names, treatment);
}

std::string_view mode_name(kudo_mode mode) {
    static constexpr std::string_view names[] = {"observe", "prioritise", "enforce"};
    return name_at(names, mode);
}

std::string_view verdict_name(kudo_verdict verdict) {
    static constexpr std::string_view names[] = {"pass", "prioritise", "drop"};
    return name_at(names, verdict);
}

std::string_view rtp_kind_name(uint8_t kind) {
    static constexpr std::string_view names[] = {"unknown", "audio", "video"};
    return name_at(names, kind);
}

std::string_view dns_outcome_name(kudo_dns_outcome outcome) {
#define KUDO_DNS_OUTCOME_NAME(NAME, name, text) #name,
    static constexpr std::string_view names[] = {KUDO_DNS_OUTCOMES(KUDO_DNS_OUTCOME_NAME)};
#undef KUDO_DNS_OUTCOME_NAME
    return name_at(names, outcome);
}

std::string_view tls_outcome_name(kudo_tls_outcome outcome) {
#define KUDO_TLS_OUTCOME_NAME(NAME, name, text) #name,
    static constexpr std::string_view names[] = {KUDO_TLS_OUTCOMES(KUDO_TLS_OUTCOME_NAME)};
#undef KUDO_TLS_OUTCOME_NAME
    return name_at(names, outcome);
}

std::string_view reason_name(kudo_reason reason) {
#define KUDO_REASON_NAME(NAME, name, enforcement, text) #name,
    static constexpr std::string_view names[] = {KUDO_REASONS(KUDO_REASON_NAME)};
#undef KUDO_REASON_NAME
    return name_at(names, reason);
}

std::string_view reason_text(kudo_reason reason) {
#define KUDO_REASON_TEXT(NAME, name, enforcement, text) text,
    static constexpr std::string_view texts[] = {KUDO_REASONS(KUDO_REASON_TEXT)};
#undef KUDO_REASON_TEXT
    return name_at(texts, reason);
}

} // namespace kudo
