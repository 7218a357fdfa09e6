// SPDX-License-Identifier: MIT
// What `doctor` has found, as text and as JSON.
#pragma once

#include <string>

#include "agent/doctor/doctor.h"
#include "cli/terminal/json.h"

namespace kudo {

// `note`: a sentence about the rules that were used; may be empty.
OrderedJson doctor_json(const DoctorReport& report, const Subject& subject, const std::string& note);
// What fails and warns first, with evidence and fix; then what passes, and what was skipped and why.
std::string doctor_text(const DoctorReport& report, const Subject& subject, const std::string& note, bool colour);

} // namespace kudo
