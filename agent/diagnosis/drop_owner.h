// SPDX-License-Identifier: MIT
// Whose decision a drop was: the rule, the socket's process, the queue's class, the setting, the program. Reads each
// part of the host once, and only if a drop asks for it.
// Invariant: nothing is changed to find out. What cannot be read is a gap, said once, and its drops have no owner.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/diagnosis/diagnosis.h"
#include "agent/firewall/ruleset.h"
#include "agent/netlink/interfaces.h"

namespace kudo {

// The sockets of this namespace and whose they are; nothing: they could not be read.
struct HostSockets {
    std::optional<Sockets> sockets{};
    std::optional<SocketOwners> owners{}; // of the sockets that matter
};

// The sockets that a drop at a socket may be of.
std::set<uint32_t> socket_inodes(const std::vector<DiagnosedDrop>& drops, const Sockets& sockets);

class DropOwners {
public:
    static Result<DropOwners> make(DataPath& data_path, const HostSockets& sockets);

    // Fills in owner, advice and command of all of them.
    void explain(std::vector<DiagnosedDrop>& drops);
    [[nodiscard]] const std::vector<std::string>& gaps() const { return gaps_; }
    [[nodiscard]] const std::optional<ConntrackTable>& conntrack() const { return conntrack_; }
    [[nodiscard]] std::string interface_name(uint32_t index) const; // "#7" if it is gone; "" for 0

private:
    DropOwners(DataPath& data_path, const HostSockets& sockets, std::vector<Interface> interfaces,
               std::set<Address> own)
        : data_path_(data_path), sockets_(sockets), interfaces_(std::move(interfaces)), own_(std::move(own)) {}

    void explain(DiagnosedDrop& drop);
    void explain_firewall(DiagnosedDrop& drop);
    void explain_conntrack(DiagnosedDrop& drop);
    void explain_socket(DiagnosedDrop& drop);
    void explain_queue(DiagnosedDrop& drop);
    void explain_route(DiagnosedDrop& drop);
    void explain_program(DiagnosedDrop& drop);
    const Ruleset* ruleset();
    void read_conntrack_once();
    [[nodiscard]] PacketFacts facts_of(const FlowOfDrop& flow, kudo_direction direction) const;

    DataPath& data_path_;
    const HostSockets& sockets_;
    std::vector<Interface> interfaces_;
    std::set<Address> own_; // addresses of this host
    std::vector<std::string> gaps_;
    std::optional<Ruleset> ruleset_;
    bool ruleset_read_ = false, conntrack_read_ = false;
    std::optional<ConntrackTable> conntrack_;
};

} // namespace kudo
