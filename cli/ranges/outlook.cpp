// SPDX-License-Identifier: MIT
#include "cli/ranges/outlook.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "agent/netlink/interfaces.h"
#include "agent/system/files.h"

namespace kudo {
namespace {

std::string text_of(const Judgement& judgement, const RangeMap& map, bool enabled) {
    if (!judgement.what) return "this host would refuse it: " + judgement.text;
    switch (*judgement.what) {
    case Accepted::Activated:
        return enabled ? "this host would take it, in effect at once"
                       : "this host would take it and use it from the next kudo-agent enable";
    case Accepted::Staged:
        return fmt::format("this host would stage it until {}", rfc3339(map.effective));
    case Accepted::Held:
        return "this host would hold it: " + judgement.text;
    case Accepted::Known:
    case Accepted::Superseded:
    case Accepted::KeySet:
        break;
    }
    return "this host would change nothing: " + judgement.text;
}

// What no host would take, whatever else it has; guards that need a host are not asked.
void ask_for_every_host(const RangeMap& map, const std::string& file, Time now, Outlook& outlook) {
    if (outlook.violations.empty()) outlook.violations = find_violations(map, map, {}, now);
    if (!outlook.violations.empty())
        outlook.refusal = violations_text(file, outlook.violations, outlook.violations.size());
    else if (const auto valid = check_valid(map, file, now); !valid)
        outlook.refusal = valid.error().message;
    // A host that has it already, or that will not look at it, does not refuse it.
    const bool would_come_in = outlook.outcome == outcome_name(Accepted::Activated) ||
                               outlook.outcome == outcome_name(Accepted::Staged) || outlook.outcome == "unknown";
    if (outlook.refusal.empty() || (!would_come_in && outlook.outcome != outcome_name(std::nullopt))) return;
    outlook.outcome = outcome_name(std::nullopt);
    outlook.text = "this host would refuse it: " + outlook.refusal;
}

} // namespace

std::string_view outcome_name(std::optional<Accepted> what) {
    static constexpr std::string_view names[] = {"activated", "staged", "known", "superseded", "held", "key set"};
    return what ? names[static_cast<std::size_t>(*what)] : "refused";
}

Outlook outlook_of(const GlobalOptions& global, const CurrentRules& rules, const ReadMap& read,
                   const std::string& file) {
    const Time now = wall_time();
    Outlook outlook;
    if (!rules.note.empty()) {
        outlook.outcome = "unknown";
        outlook.text = "what this host would do with it is unknown: " + rules.note;
    } else {
        const Candidate candidate(read.map, file, read.vendor_list);
        ParsedMaps parsed;
        const auto addresses = own_addresses();
        Judgement judgement = judge(global.instance, global.acceptance, rules.state, candidate,
                                    addresses ? *addresses : std::vector<Address>(), now, parsed);
        if (judgement.what == Accepted::Activated || judgement.what == Accepted::Staged)
            if (auto compiled = check_compiles(candidate, rules.state); !compiled)
                judgement = {{}, std::move(compiled.error().message), {}};
        outlook.outcome = outcome_name(judgement.what);
        outlook.text = text_of(judgement, read.map, rules.state.enabled);
        if (!addresses)
            outlook.text += fmt::format(" (its own addresses were not checked: {})", addresses.error().message);
        outlook.violations = std::move(judgement.violations);
    }
    ask_for_every_host(read.map, file, now, outlook);
    return outlook;
}

void add_outlook(OrderedJson& document, const Outlook& outlook) {
    document["would"] = {{"outcome", outlook.outcome}, {"text", outlook.text}};
    document["violations"] = OrderedJson::array();
    for (const Violation& violation : outlook.violations)
        document["violations"].push_back({{"guard", guard_name(violation.guard)}, {"text", violation.message}});
}

SignatureOutlook signature_of(const GlobalOptions& global, const CurrentRules& rules, const ReadMap& read,
                              const std::string& file) {
    if (read.vendor_list)
        return {{}, {}, "a vendor's list is not accepted by signature; apply it by hand with --allow-unsigned"};
    const std::string path = file + ".minisig";
    auto signatures = read_file(path, signatures_max_bytes);
    if (!signatures && signatures.error().number == ENOENT) return {{}, {}, fmt::format("none: there is no {}", path)};
    if (!signatures) return {{}, {}, signatures.error().message};
    const auto folder = read_keys_folder(global.acceptance.keys_folder, global.acceptance.key_threshold);
    if (!folder) return {{}, {}, folder.error().message};
    const KeySet& keys = trusted_keys(folder->keys, rules.state.ranges);
    const std::string by =
        rules.note.empty() ? "" : fmt::format(", of the keys in {}", global.acceptance.keys_folder.string());
    const auto signed_by = signers(global.acceptance, keys, {file, read.document, *signatures});
    if (signed_by) return {true, *signed_by, fmt::format("valid, by {}{}", fmt::join(*signed_by, ", "), by)};
    return {keys.keys.empty() ? std::nullopt : std::optional(false),
            {},
            rules.state.ranges.keys ? signed_by.error().message : folder->with_problems(signed_by.error().message)};
}

OrderedJson signature_json(const SignatureOutlook& signature) {
    return {{"right", signature.right ? OrderedJson(*signature.right) : OrderedJson()},
            {"signed_by", signature.signed_by},
            {"text", signature.text}};
}

} // namespace kudo
