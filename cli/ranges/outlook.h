// SPDX-License-Identifier: MIT
// What would become of a range map that this host is offered.
// Invariant: the words are those of the acceptance of maps; nothing is changed, and no capability is needed.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/acceptance/rules.h"
#include "cli/arguments/command.h"
#include "cli/ranges/current_rules.h"
#include "cli/terminal/json.h"

namespace kudo {

// "activated", "staged", "known", "superseded", "held", "refused".
std::string_view outcome_name(std::optional<Accepted> what);

struct Outlook {
    std::string outcome; // a name of the above; "unknown" if what this host has may not be read
    std::string text;    // "this host would refuse it: ..."
    std::vector<Violation> violations;
    std::string refusal; // of every host, or for a guard's sake: what is wrong, all of it; empty: nothing is
};
// But for its signature: see signature_of().
Outlook outlook_of(const GlobalOptions& global, const CurrentRules& rules, const ReadMap& read,
                   const std::string& file);
// Adds "would" and "violations".
void add_outlook(OrderedJson& document, const Outlook& outlook);

// What this host would say to the signature beside the file.
struct SignatureOutlook {
    std::optional<bool> right; // nothing: there is none, or no key to verify it with
    std::vector<std::string> signed_by;
    std::string text;
};
SignatureOutlook signature_of(const GlobalOptions& global, const CurrentRules& rules, const ReadMap& read,
                              const std::string& file);
OrderedJson signature_json(const SignatureOutlook& signature);

} // namespace kudo
