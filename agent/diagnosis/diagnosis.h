// SPDX-License-Identifier: MIT
// Where packets are lost, put together: what the programs have counted, what the kernel has dropped, whose rule, socket
// or setting that was, and what RTP, STUN and TCP tell of the network.
// Invariant: each drop is in one row; a packet that kudo-agent has dropped itself, or that its queue has, is in no
// second one. What could not be read is named in `gaps` and never taken for "none".
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/diagnosis/verdict.h"
#include "agent/drops/drop.h"
#include "agent/firewall/conntrack.h"
#include "agent/firewall/dropping_rule.h"
#include "agent/inspect/statistics.h"
#include "agent/sockets/owners.h"
#include "agent/sockets/sockets.h"

namespace kudo {

// Whose decision a drop was.
struct DropOwner {
    enum class Kind {
        Unknown,
        Rule,      // of a firewall: `rules`
        Conntrack, // its table
        Socket,    // `processes`
        Queue,     // `device`, `queue_class`, `carries`
        Setting,   // of the kernel: `text`
        Program,   // another BPF program: `programs`
        Route,     // `text`
        Neighbour, // `text`
    };
    Kind kind = Kind::Unknown;
    std::string text{};   // for people: "inet filter input handle 5: udp dport 3478 drop"; empty: not known
    bool certain = false; // it is this one; else one of several, see `rules` and `programs`, or the most likely
    std::vector<DropPoint> rules{};
    std::vector<SocketOwner> processes{};
    bool processes_complete = true;           // false: there may be others that this process may not see
    uint64_t receive_buffer = 0, queued = 0;  // of a socket, bytes
    std::string device{}, queue{}, carries{}; // "eth0", "htb 4b55:1", "audio"
    std::vector<std::string> programs{};
};
std::string_view owner_kind_name(DropOwner::Kind kind); // "rule", "conntrack", …; "unknown"

struct DiagnosedDrop {
    Drop drop;
    DropOwner owner{};
    std::optional<std::size_t> flow{}; // its place in statistics.flows; nothing: it has not been counted as one
    std::string interface {};          // of its flow; "#7" if it is gone, "" if not known
    std::string advice{}, command{};
};

// What is known of a flow beyond its counters.
struct FlowDiagnosis {
    Directions dropped{};                 // by this host, and that is loss
    uint64_t dropped_uncounted = 0;       // of those, incoming ones that our programs never saw: RTP misses them
    std::vector<SocketOwner> processes{}; // that have its socket
    bool processes_complete = true;       // false: there may be others that this process may not see
    std::optional<TcpState> tcp{};        // of a connection of this host
    std::string stall{};                  // why it stands still; empty: it does not
    bool by_tunnel = false;               // its interface carries bare IP packets: a VPN or another tunnel
    Verdict verdict{};
};

// Whose socket a denied flow is of, as far as it is still open.
struct DeniedOwners {
    std::vector<SocketOwner> processes{};
    bool complete = true; // false: there may be others that this process may not see
};

struct Diagnosis {
    Statistics statistics;
    std::optional<std::chrono::seconds> since{}; // what the counters are of; nothing: since they began
    bool drops_measured = false;
    std::string drops_why_not{};                  // unless measured
    std::vector<DiagnosedDrop> drops{};           // losses first, then most packets first
    Directions drops_evicted{};                   // in no row any more
    uint64_t drops_missed = 0;                    // of unknown packets
    std::map<std::size_t, FlowDiagnosis> flows{}; // by the place in statistics.flows; only where there is something
    std::map<std::size_t, DeniedOwners> denied{}; // by the place in statistics.denied.flows; only where asked for
    std::optional<ConntrackTable> conntrack{};
    std::vector<std::string> gaps{}; // what could not be read, and why: whole sentences
    Verdict verdict{};
};

struct DiagnosisScope {
    bool owners = true;    // rules, sockets, processes; without them there are only the counters, and no verdict
    bool processes = true; // of all flows, by a walk through /proc; those of drops are always looked for
    std::optional<std::chrono::seconds> since{}; // only what was counted since then, by the service's snapshots
    bool or_whole = false;                       // where there is no snapshot: what was counted since they began
};

// Errors: as read_statistics(); `since` without a snapshot. What is broken of the rest is in `gaps`.
Result<Diagnosis> diagnose(const Instance& instance, const DiagnosisScope& scope = {});

// Fills in all verdicts from the rest; pure.
void judge_losses(Diagnosis& diagnosis);

} // namespace kudo
