// SPDX-License-Identifier: MIT
#include "cli/top/rates.h"

#include <algorithm>
#include <cstring>

namespace kudo {
namespace {

bool has_gone_back(const Directions& before, const Directions& now) {
    for (std::size_t i = 0; i < now.size(); ++i)
        if (now[i].packets < before[i].packets || now[i].bytes < before[i].bytes) return true;
    return false;
}

// Both times are of one clock and one reading, so a clock that was set meanwhile changes nothing.
bool is_younger_than(const FlowRecord& flow, const Statistics& statistics, std::chrono::duration<double> age) {
    return statistics.read_at - flow.first_seen < age;
}

FlowRate rate_of(const Directions& before, const Directions& now, double seconds) {
    const auto bits = [&](kudo_direction way) {
        return 8 * static_cast<double>(now[way].bytes - before[way].bytes) / seconds;
    };
    return {.in = bits(KUDO_INGRESS), .out = bits(KUDO_EGRESS)};
}

} // namespace

FlowKey key_of(const FlowRecord& flow) {
    return {.protocol = flow.protocol,
            .local_port = flow.local_port,
            .remote_port = flow.remote_port,
            .interface_index = flow.interface_index,
            .local = flow.local,
            .remote = flow.remote};
}

std::size_t FlowKeyHash::operator()(const FlowKey& key) const {
    uint64_t hash = key.protocol | uint64_t{key.local_port} << 8 | uint64_t{key.remote_port} << 24 |
                    uint64_t{key.interface_index} << 40;
    for (const Address* address : {&key.local, &key.remote})
        for (std::size_t at = 0; at < address->bytes.size(); at += sizeof(uint64_t)) {
            uint64_t word = 0;
            std::memcpy(&word, &address->bytes[at], sizeof word);
            hash = (hash ^ word) * 0x9e3779b97f4a7c15;
            hash ^= hash >> 32;
        }
    return hash;
}

void Rates::add(const Statistics& now, std::chrono::duration<double> elapsed) {
    const bool first = round_++ == 0;
    places_.clear();
    places_.reserve(now.flows.size());
    for (const FlowRecord& flow : now.flows) {
        const auto [entry, is_new] = flows_.try_emplace(key_of(flow));
        Past& past = entry->second;
        past.rate.reset();
        if (!first && elapsed.count() > 0) {
            if (is_younger_than(flow, now, elapsed))
                past.rate = rate_of({}, flow.counters, elapsed.count());
            else if (!is_new && !has_gone_back(past.counters, flow.counters))
                past.rate = rate_of(past.counters, flow.counters, elapsed.count());
            std::optional<float> both;
            if (past.rate) both = static_cast<float>(past.rate->both());
            if (past.rates.size() < history)
                past.rates.push_back(both);
            else
                past.rates[std::exchange(past.next, (past.next + 1) % history)] = both;
        }
        past.counters = flow.counters;
        past.round = round_;
        places_.push_back(&past);
    }
    std::erase_if(flows_, [this](const auto& entry) { return entry.second.round != round_; });
}

std::optional<FlowRate> Rates::rate(std::size_t flow) const {
    return flow < places_.size() ? places_[flow]->rate : std::nullopt;
}

std::vector<std::optional<float>> Rates::trend(std::size_t flow, std::size_t count) const {
    std::vector<std::optional<float>> rates;
    if (flow >= places_.size()) return rates;
    const Past& past = *places_[flow];
    const std::size_t size = past.rates.size();
    for (std::size_t i = size - std::min(count, size); i < size; ++i)
        rates.push_back(past.rates[(past.next + i) % size]);
    return rates;
}

} // namespace kudo
