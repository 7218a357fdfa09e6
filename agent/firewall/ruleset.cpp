// SPDX-License-Identifier: MIT
#include "agent/firewall/ruleset.h"

#include <nftables/libnftables.h>

#include <algorithm>
#include <cerrno>
#include <fstream>

#include <fmt/format.h>

#include "agent/firewall/iptables_save.h"
#include "agent/firewall/model.h"
#include "agent/firewall/nftables.h"
#include "agent/firewall/program.h"
#include "agent/firewall/reader.h"
#include "maps/base/text.h"

namespace kudo {
namespace {

// A listing of everything, of this thread's network namespace.
Result<std::string> list_ruleset(unsigned flags) {
    auto listed = run_nftables("list ruleset", flags);
    if (listed) return listed;
    // iptables-legacy needs none.
    if (listed.error().number == EPROTONOSUPPORT) return std::string();
    if (listed.error().kind == ErrorKind::NotPermitted)
        return fail(Error{ErrorKind::NotPermitted, "reading nftables' rules needs CAP_NET_ADMIN", EPERM});
    return fail("cannot read nftables' rules: " + listed.error().message, listed.error().number);
}

// iptables-legacy has tables of its own in the kernel. Where there are none, or nobody can read them, nothing is run.
void read_legacy(RulesetText& text) {
    for (const auto& [family, program] : {std::pair{"ip", "iptables-legacy-save"}, {"ip6", "ip6tables-legacy-save"}}) {
        // Of this thread: its network namespace may be another than the process's. The files have no size.
        errno = 0;
        std::ifstream file(fmt::format("/proc/thread-self/net/{}_tables_names", family));
        std::string table;
        if (!file && errno == EACCES)
            text.gaps.push_back(fmt::format("only root may see whether iptables-legacy ({}) has rules", family));
        if (!(file >> table)) continue;
        auto output = firewall::output_of({program, "-c"});
        if (output)
            text.legacy.emplace_back(family, std::move(*output));
        else
            text.gaps.push_back(
                fmt::format("the rules of iptables-legacy ({}) could not be read: {}", family, output.error().message));
    }
}

// nftables does not tell what iptables-nft's extensions compare: iptables-nft-save does. Without it they are unknown.
void read_extensions(RulesetText& text) {
    if (text.json.find("\"xt\"") == std::string::npos) return;
    for (const auto& [family, program] : {std::pair{"ip", "iptables-nft-save"}, {"ip6", "ip6tables-nft-save"}})
        if (auto output = firewall::output_of({program, "-c"}))
            text.extensions.emplace_back(family, std::move(*output));
}

} // namespace

bool Ruleset::filters_anything() const {
    return std::ranges::any_of(model_->chains,
                               [](const firewall::Chain& chain) { return chain.hook != firewall::Hook::None; });
}
const std::vector<std::string>& Ruleset::gaps() const {
    return model_->gaps;
}

Result<Ruleset> read_ruleset() {
    RulesetText text;
    text.json = KUDO_TRY(list_ruleset(NFT_CTX_OUTPUT_JSON | NFT_CTX_OUTPUT_HANDLE | NFT_CTX_OUTPUT_NUMERIC_ALL));
    // What reads well, without the elements of sets.
    text.text = KUDO_TRY(list_ruleset(NFT_CTX_OUTPUT_HANDLE | NFT_CTX_OUTPUT_TERSE));
    read_extensions(text);
    read_legacy(text);
    return parse_ruleset(text);
}

Result<Ruleset> parse_ruleset(const RulesetText& text) {
    auto model = std::make_shared<firewall::Model>();
    model->gaps = text.gaps;
    if (!text.json.empty()) {
        auto document = firewall::Json::parse(text.json, nullptr, false);
        if (document.is_discarded()) return bad_input("the ruleset is no JSON");
        for (const auto& [family, saved] : text.extensions)
            firewall::replace_extensions(document, firewall::ruleset_of_save(saved, family));
        KUDO_TRY(firewall::read_ruleset_json(document, firewall::read_texts(text.text), false, *model));
    }
    for (const auto& [family, saved] : text.legacy)
        KUDO_TRY(firewall::read_ruleset_json(firewall::ruleset_of_save(saved, family), {}, true, *model));
    return Ruleset(std::move(model));
}

} // namespace kudo
