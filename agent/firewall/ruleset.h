// SPDX-License-Identifier: MIT
// The packet filters of a network namespace as they are now: nftables (which iptables-nft fills too) as libnftables
// prints it in JSON (libnftables-json(5)), and iptables-legacy as iptables-save(8) prints it.
// Invariant: reading inserts, changes and traces nothing.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "maps/base/result.h"

namespace kudo {

namespace firewall {
struct Model;
}

// Cheap to copy; the rules behind it never change.
class Ruleset {
public:
    explicit Ruleset(std::shared_ptr<const firewall::Model> model) : model_(std::move(model)) {}
    [[nodiscard]] const firewall::Model& model() const { return *model_; }
    // Has it any chain at a hook, of either kind?
    [[nodiscard]] bool filters_anything() const;
    // What could not be read, each with its reason: a part of iptables-legacy, a set whose elements nobody prints. The
    // drops of what is named here are in no verdict.
    [[nodiscard]] const std::vector<std::string>& gaps() const;

private:
    std::shared_ptr<const firewall::Model> model_;
};

// Of this network namespace. Errors: NotPermitted without CAP_NET_ADMIN in it; Failed with nft's own words.
// nftables that the kernel does not have is an empty ruleset. 50,000 set elements take about half a second.
Result<Ruleset> read_ruleset();

// What read_ruleset() is made of, for rules from elsewhere.
struct RulesetText {
    std::string json{}; // `nft -nn -j list ruleset`; empty: none
    std::string text{}; // `nft -a -t list ruleset`, for the words of the rules; may be empty
    // By family, "ip" or "ip6": `iptables-legacy-save -c`, and `iptables-nft-save -c` for what nftables does not tell
    // of its extensions.
    std::vector<std::pair<std::string, std::string>> legacy{}, extensions{};
    std::vector<std::string> gaps{}; // see gaps()
};
// Errors: BadInput, with where it is not what those programs print.
Result<Ruleset> parse_ruleset(const RulesetText& text);

} // namespace kudo
