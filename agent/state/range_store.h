// SPDX-License-Identifier: MIT
// The documents of accepted range maps, each in a file named after its content's hash, in the state directory.
// Invariant: a document is complete and on the disk before a desired state names it, and is checked against its name
// whenever it is read; one that a state names is never deleted.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "agent/state/desired_state.h"
#include "agent/system/instance.h"
#include "maps/document/range_map.h"

namespace kudo {

// Maps that the present command has parsed, by the hash of their document: none is read or parsed a second time.
using ParsedMaps = std::map<std::string, RangeMap>;
// The stored map with this hash; empty: the built-in one.
Result<RangeMap> load_document(const Instance& instance, const std::string& hash, ParsedMaps* parsed = nullptr);
// The range map that is in effect by the state.
struct StoredRangeMap {
    RangeMap map;
    std::string source; // "built-in" or where it came from
};
// What packets are to be judged by: the map in effect, with early additions of staged maps and what is retiring.
struct HonouredMaps {
    StoredRangeMap active;
    std::vector<RangeMap> staged, retiring; // those whose additions are honoured; newest first
    // Staged and retiring documents that cannot be read are left out and told here: they must not keep a good map out.
    std::vector<std::string> problems;
    // Why `active` is not the map in effect but the last one before it that can be read, in the end the built-in one;
    // empty: it is.
    std::string lost;

    [[nodiscard]] RangeMap combined() const;
    // How much each of `retiring` adds to what is honoured without it: nothing where nothing has been withdrawn.
    struct Retiring {
        std::size_t ranges = 0, domains = 0;
    };
    [[nodiscard]] std::vector<Retiring> what_retires() const;
};
// Errors: NotPermitted.
Result<HonouredMaps> load_honoured_maps(const Instance& instance, const DesiredState& state,
                                        ParsedMaps* parsed = nullptr);
// Where not all of it fits (services over one address, slots), first the oldest retiring maps are left out of `maps`,
// then the early additions, and that is told in its problems; the map in effect is never left out.
Result<CompiledPolicy> compile_honoured(HonouredMaps& maps, const CompileOptions& options,
                                        const ServiceSlots& slots = {}, const ReusableSlots& reusable = std::nullopt);
// Stores a map's canonical document under its content_hash(). Call before saving a state that names it.
Result<void> store_range_map(const Instance& instance, const std::string& hash, std::string_view json);
// Deletes stored documents that the state does not name.
void prune_range_maps(const Instance& instance, const DesiredState& state);

} // namespace kudo
