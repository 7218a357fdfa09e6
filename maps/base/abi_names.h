// SPDX-License-Identifier: MIT
// The names of the enumerations in bpf/abi.h and bpf/reasons.h, as JSON and people read them.
// Invariant: a name is part of a contract and never changes its meaning.
#pragma once

#include <string_view>

#include "bpf/abi.h"

namespace kudo {

std::string_view class_name(kudo_class class_);              // "media", "fallback", "control", "none"
std::string_view treatment_name(kudo_treatment treatment);   // "audio", "video", "fallback", "control"
std::string_view mode_name(kudo_mode mode);                  // "observe", "prioritise", "enforce"
std::string_view verdict_name(kudo_verdict verdict);         // "pass", "prioritise", "drop"
std::string_view reason_name(kudo_reason reason);            // as bpf/reasons.h lists them
std::string_view dns_outcome_name(kudo_dns_outcome outcome); // as bpf/names.h lists them
std::string_view tls_outcome_name(kudo_tls_outcome outcome); // likewise
std::string_view reason_text(kudo_reason reason);            // what a person reads
std::string_view rtp_kind_name(uint8_t kind);                // "unknown", "audio", "video"

} // namespace kudo
