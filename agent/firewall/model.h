// SPDX-License-Identifier: MIT
// A ruleset as the evaluation needs it: what a rule compares and what it does, without its words.
// Invariant: what the reader does not understand is there as Unknown, never left out.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

namespace kudo::firewall {

// Addresses and integers alike, as numbers: 10.0.0.1 is 0x0a000001.
__extension__ using Number = unsigned __int128;

// What is compared with: a range of numbers, a name (of an interface; with a wildcard at its end), or anything.
struct Literal {
    enum class Kind { Range, Name, Any, Unknown };
    Kind kind = Kind::Unknown;
    Number first = 0, last = 0;
    std::string name{};
    bool wildcard = false;

    static Literal number(Number value) { return {Kind::Range, value, value}; }
    static Literal range(Number first, Number last) { return {Kind::Range, first, last}; }
};

// What of a packet is looked at.
enum class Key : uint8_t {
    Unknown,
    Constant,
    Ip4Source,
    Ip4Destination,
    Ip4Protocol,
    Ip4Length,
    Ip4Dscp,
    Ip4Version,
    Ip4Other, // known to be of IPv4, its value not known
    Ip6Source,
    Ip6Destination,
    Ip6Length,
    Ip6Dscp,
    Ip6Version,
    Ip6Other,
    SourcePort, // of the transport protocol `protocol`; 0: of any
    DestinationPort,
    TcpFlags,
    UdpLength,
    TransportOther,
    Protocol,
    NetworkFamily, // NFPROTO_IPV4 2, NFPROTO_IPV6 10
    EtherType,
    Mark,
    Length,
    PacketType,
    InputName,
    OutputName,
    Uid,
    Gid,
    ConntrackState,
    SourceType, // RTN_UNICAST 1, RTN_LOCAL 2, ...
    DestinationType,
};

struct Set;

// The left side of a comparison, or a value to set.
struct Expression {
    enum class Kind { Key, And, Or, Xor, ShiftLeft, ShiftRight, Concat, Map };
    Kind kind = Kind::Key;
    Key key = Key::Unknown;
    uint8_t protocol = 0;             // of SourcePort, DestinationPort, TransportOther
    Number constant = 0;              // of Constant
    std::vector<Expression> parts{};  // the operands; of a concatenation its fields; of a map its key
    std::shared_ptr<const Set> map{}; // null: not known
    std::string words{};              // "ct state", for whoever must be told what is not known
};

// What ends the way through a chain.
struct Verdict {
    enum class Kind { Accept, Drop, Return, Continue, Jump, Goto, Queue, Unknown };
    Kind kind = Kind::Continue;
    std::string target{};
};

struct Element {
    std::vector<Literal> fields; // one for each field of a concatenation
    Verdict verdict{};           // of a verdict map
    Literal data{};              // of another map
};

// A set, map or verdict map. Single numbers are sorted and do not overlap, to be found fast.
struct Set {
    std::vector<Element> sorted, others;
    bool incomplete = false; // has elements that are not understood, or not told
};

struct Statement {
    enum class Kind {
        Match,      // ends the rule unless it is true
        Verdict,    //
        VerdictMap, // the verdict of the element that holds the packet's value; none: goes on
        Reject,     //
        MayEnd,     // a condition that is not known: a limit, a quota, an unknown match
        MangleMark,
        MangleDscp,
        MangleOther, // what nothing here compares
        Translate,   // NAT: may change source or destination, accepts, and drops where that fails
        Rewrite,     // changes source or destination of this packet
        Untrack,     //
        Counter,     //
        Leaves,      // the packet goes elsewhere: neither accepted nor dropped here
        MayDrop,     // not known: may drop, accept, jump or do nothing
        Synproxy,    // takes the packet, or drops it
    };
    enum class Operator { Equal, Unequal, Less, Greater, LessOrEqual, GreaterOrEqual, AnyBit, NoBit };

    Kind kind = Kind::MayDrop;
    Operator op = Operator::Equal;
    Expression left{};                  // of Match and VerdictMap; of mangles the new value
    std::shared_ptr<const Set> right{}; // of Match and VerdictMap; null: not known
    // Without this in the packet the rule ends: nft leaves out conditions that such a statement implies.
    std::optional<Expression> needs{};
    Verdict verdict{};
    bool source = false, destination = false; // of Translate and Rewrite: which
    bool merged = false;                      // of Match: see mark_merged()
    bool ambiguous = false;                   // of Match: see holds_ambiguous()
    std::string words{};                      // of MayEnd: "limit"
    std::optional<uint64_t> packets{};        // of Counter
};

struct Rule {
    uint64_t handle = 0;
    std::string text{}, comment{};
    std::vector<Statement> statements{};
};

enum class Hook : uint8_t { Ingress, Prerouting, Input, Forward, Output, Postrouting, Egress, None };

struct Chain {
    bool legacy = false;
    std::string family{}, table{}, name{};
    std::vector<Rule> rules{};
    // Of a base chain:
    Hook hook = Hook::None;
    int priority = 0;
    bool nat = false;                   // passed by the first packet of a connection only
    bool drops = false;                 // its policy
    std::vector<std::string> devices{}; // of ingress and egress
    // Does a packet of this family (4 or 6) meet it?
    [[nodiscard]] bool has_family(unsigned bits) const {
        return family == "inet" || family == "netdev" || (bits == 32 ? family == "ip" : family == "ip6");
    }
};

struct Model {
    std::vector<Chain> chains;
    std::map<std::tuple<bool, std::string, std::string, std::string>, std::size_t>
        by_name; // legacy, family, table, chain
    std::vector<std::string> gaps;
    bool translates = false;  // has any statement that makes NAT
    bool uses_states = false; // asks for the state of a connection, or has chains that only its first packet passes
    bool untracks = false;    // has any that may take packets out of conntrack

    [[nodiscard]] const Chain* find(const Chain& from, const std::string& name) const;
};

const char* hook_name(Hook hook);

} // namespace kudo::firewall
