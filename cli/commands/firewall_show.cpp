// SPDX-License-Identifier: MIT
#include "cli/commands/firewall_show.h"

#include <memory>

#include <nlohmann/json.hpp>

#include "cli/arguments/options.h"
#include "cli/firewall/formats.h"

namespace kudo {
namespace {

using Format = std::string (*)(const FirewallRules&);

std::string json_format(const FirewallRules& rules) {
    return json_text(firewall_json(rules)) + "\n";
}

struct FirewallShowOptions {
    Format format = nft_text;
    std::vector<std::string> regions;
    bool teams = false;
};

Result<int> show_firewall(const FirewallShowOptions& options, const GlobalOptions& global) {
    const auto rules = KUDO_TRY(firewall_rules(global.instance, normalised(options.regions), options.teams));
    KUDO_TRY(print(global.json ? json_format(rules) : options.format(rules)));
    return exit_done;
}

} // namespace

Run setup_firewall_show(CLI::App& app) {
    const auto options = std::make_shared<FirewallShowOptions>();
    add_option(app, "--format", options->format,
               one_of<Format>({{"nft", nft_text},
                               {"iptables", iptables_text},
                               {"ufw", ufw_text},
                               {"firewalld", firewalld_text},
                               {"json", json_format}}),
               "nft, iptables, ufw, firewalld or json")
        ->type_name("FORMAT")
        ->default_str("nft");
    app.add_option("--region", options->regions, "As if enabled with these regions")
        ->type_name("REGION[,REGION]")
        ->delimiter(',')
        ->allow_extra_args(false);
    app.add_flag("--teams", options->teams, "As if enabled with --teams");
    app.footer("Outgoing packets to KUDO's ranges and ports, and incoming answers (ct state established).\n"
               "With --json: as with --format json.");
    return [options](const GlobalOptions& global) { return show_firewall(*options, global); };
}

} // namespace kudo
