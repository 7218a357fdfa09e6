// SPDX-License-Identifier: MIT
#include "maps/base/abi_names.h"

namespace kudo {

std::string_view class_name(kudo_class class_) {
    switch (class_) {
    case KUDO_CLASS_MEDIA:
        return "media";
    case KUDO_CLASS_FALLBACK:
        return "fallback";
    case KUDO_CLASS_CONTROL:
        return "control";
    case KUDO_CLASS_NONE:
    case KUDO_CLASSES:
        break;
    }
    return "none";
}

std::string_view treatment_name(kudo_treatment treatment) {
    static constexpr std::string_view names[] = {"audio", "video", "fallback", "control"};
    return names[treatment];
}

std::string_view mode_name(kudo_mode mode) {
    switch (mode) {
    case KUDO_OBSERVE:
        return "observe";
    case KUDO_PRIORITISE:
        return "prioritise";
    case KUDO_ENFORCE:
        return "enforce";
    }
    return "unknown";
}

std::string_view reason_name(kudo_reason reason) {
#define KUDO_REASON_NAME(NAME, name, enforcement, text) #name,
    static constexpr std::string_view names[] = {KUDO_REASONS(KUDO_REASON_NAME)};
#undef KUDO_REASON_NAME
    return reason < KUDO_REASON_END ? names[reason] : "unknown";
}

std::string_view reason_text(kudo_reason reason) {
#define KUDO_REASON_TEXT(NAME, name, enforcement, text) text,
    static constexpr std::string_view texts[] = {KUDO_REASONS(KUDO_REASON_TEXT)};
#undef KUDO_REASON_TEXT
    return reason < KUDO_REASON_END ? texts[reason] : "unknown";
}

std::string_view verdict_name(kudo_verdict verdict) {
    switch (verdict) {
    case KUDO_PASS:
        return "pass";
    case KUDO_PRIORITISED:
        return "prioritise";
    case KUDO_DROP:
        return "drop";
    }
    return "unknown";
}

std::string_view rtp_kind_name(uint8_t kind) {
    static constexpr std::string_view names[] = {"unknown", "audio", "video"};
    return kind < std::size(names) ? names[kind] : "unknown";
}

} // namespace kudo
