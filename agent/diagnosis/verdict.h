// SPDX-License-Identifier: MIT
// Where packets are lost, in words: before this host, in it, by kudo-agent's own policy, by an application that does
// not read, or not to be known; and what else is known by its signature. Invariant: pure; a verdict says what was
// counted. What looks the same from this host is called the same.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace kudo {

enum class LossPlace {
    None,        // nothing is lost that could be seen
    BeforeHost,  // in the network: missing where packets reach this host, or never answered
    Host,        // by this host's kernel: see the layer
    Policy,      // by kudo-agent's own rules
    Application, // it reached a socket and was not read
    Unknown,     // cannot be known from here
};
std::string_view loss_place_name(LossPlace place); // "none", "before_host", "host", "policy", "application", "unknown"

enum class Confidence {
    Certain,  // counted where it happened
    Likely,   // nothing else that is known explains it as well
    Possible, // others explain it as well
};
std::string_view confidence_name(Confidence confidence); // "certain", "likely", "possible"

// Something that was recognised.
struct Finding {
    std::string name; // stable, for programs: "socket_buffer_small", "flood_control"
    LossPlace where = LossPlace::None;
    std::string layer{}; // as layer_name(); of the network "network"; may be empty
    Confidence confidence = Confidence::Likely;
    std::string summary{};               // one sentence
    std::vector<std::string> evidence{}; // what was seen, a sentence each
    std::string advice{};                // what to do
    std::string command{};               // one to run; it looks, it changes nothing
    uint64_t lost = 0;                   // packets that it stands for
    double share = 0;                    // of the packets that there should have been, 0 to 1
    bool lately = true;                  // within the last minute
    bool past = false;                   // it was, but not within the last ten minutes
};

struct Verdict {
    LossPlace where = LossPlace::None;
    std::string layer{};
    Confidence confidence = Confidence::Certain;
    std::string summary{};
    std::vector<std::string> evidence{};
    std::string advice{};
    std::string command{};
    std::vector<Finding> findings{}; // the worst first; the verdict is the first one's
};

// Who can do something about it: "this host's administrator". Empty: nobody need.
std::string_view who_can_help(LossPlace place);

// The verdict that follows from what was found; `nothing`: what to say where that is nothing.
Verdict verdict_of(std::vector<Finding> findings, Verdict nothing);

} // namespace kudo
