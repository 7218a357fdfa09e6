// SPDX-License-Identifier: MIT
// An explanation as JSON and as text.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/inspect/explanation.h"
#include "cli/terminal/json.h"

namespace kudo {

OrderedJson explanation_json(const Explanation& explanation);
std::string explanation_text(const Explanation& explanation, bool colour);

// Of rules, as the above shows them.
void to_json(OrderedJson& json, const Explanation::Rule& rule);
std::string rules_text(const std::vector<Explanation::Rule>& rules, bool colour);

// Whether packets are admitted; null and "": they are not put to such rules.
OrderedJson admission_json(const std::optional<AdmissionCases>& admission);
std::string admission_text(const std::optional<AdmissionCases>& admission, kudo_admission how, bool colour);

} // namespace kudo
