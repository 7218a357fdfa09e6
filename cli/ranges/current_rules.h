// SPDX-License-Identifier: MIT
// Which range map and options are in use, as far as whoever asks may know.
// Invariant: reading only; needs no capability.
#pragma once

#include <string>
#include <vector>

#include "agent/state/desired_state.h"
#include "agent/state/range_store.h"
#include "agent/system/instance.h"
#include "cli/terminal/json.h"
#include "maps/document/range_map.h"

namespace CLI {
class App;
}

namespace kudo {

struct CurrentRules {
    DesiredState state;
    HonouredMaps maps;
    std::string note; // a sentence if these are not the host's own because they may not be read; else empty
};

// The state that is kept and the map that it names. If this user may not read them: a default state, the built-in map,
// and a note that says so.
Result<CurrentRules> current_rules(const Instance& instance);

// A range map's file that somebody named. Errors (BadInput) begin with the path.
Result<std::string> read_range_file(const std::string& path);

// A document that a person named: a range map, or the vendor's list over the present map.
struct ReadMap {
    RangeMap map;
    bool vendor_list = false;
    std::string document; // the bytes as they were read
};
Result<ReadMap> read_map(const Instance& instance, const std::string& path);

// "range map 2022030100 (built-in)"
std::string map_text(const RangeMap& map, const std::string& source);

// --override of a command that takes a map: names of guards that do not count, separated by commas.
void add_override_option(CLI::App& app, std::string& names);
// BadInput names the one that is no guard, and those there are.
Result<std::vector<std::string>> read_overrides(const std::string& names);

// Trimmed, without empty ones, sorted, distinct.
std::vector<std::string> normalised(const std::vector<std::string>& words);

// "Canada" for ca; empty for a region that we have no words for.
std::string_view region_meaning(std::string_view region);
// "ca (Canada), cn (China), eu (Europe), us (United States)"
std::string regions_text(const RangeMap& map);
// BadInput if a region is not in the map.
Result<void> check_regions(const RangeMap& map, const std::vector<std::string>& regions);

// Sentences that whoever chose these options should read.
std::vector<std::string> choice_warnings(const RangeMap& map, const CompileOptions& options);

} // namespace kudo
