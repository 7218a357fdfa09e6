// SPDX-License-Identifier: MIT
// Enters addresses of the policy's exact names into the tables that the programs learn into (bpf/learn.bpf.h), where no
// program can have seen the response: it came over loopback or TCP.
// Invariant: by the programs' rules: only for a domain of the active policy, never a special address or one of this
// host's own, for as long as kudo_learned_time() says; a name's time never gets shorter.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "agent/datapath/bpf_object.h"
#include "agent/datapath/datapath.h"
#include "agent/names/lookup.h"
#include "bpf/abi.h"
#include "maps/base/result.h"

namespace kudo {

class LearnedTables {
public:
    static Result<LearnedTables> open(DataPath& data_path);

    struct Entered {
        std::size_t addresses = 0; // that were not there, or not for so long
        std::size_t special = 0;   // that were refused
    };
    // What is there already, because a program has seen the response, is left as it is. Also keeps, for whoever asks
    // later, by whom the addresses were given.
    Result<Entered> enter(const Lookup& lookup);

private:
    using Filter = std::array<uint8_t, KUDO_LEARNED_FILTER>;
    LearnedTables(DataPath& data_path, Mapped<Filter> filter, kudo_policy policy, std::vector<Address> own)
        : data_path_(data_path), filter_(std::move(filter)), policy_(policy), own_(std::move(own)) {}
    [[nodiscard]] bool is_refused(const Address& address) const;
    template <typename Key>
    Result<bool> enter_one(int fd, const Key& key, uint64_t domain, uint64_t query, uint32_t ttl);
    Result<void> keep_response(const Lookup& lookup, uint64_t query);

    DataPath& data_path_;
    Mapped<Filter> filter_;
    kudo_policy policy_;
    std::vector<Address> own_;
};

} // namespace kudo
