// SPDX-License-Identifier: MIT
// The data path's objects in the kernel: maps and programs, pinned in the layout's folder.
// Invariant: the folder appears complete, by rename, or not at all; programs are in a folder named after the object
// they were loaded from, so another build's are recognised.
#pragma once

#include <filesystem>
#include <functional>

#include "agent/datapath/bpf_object.h"
#include "agent/system/instance.h"
#include "bpf/abi.h"
#include "maps/base/result.h"

struct kudo_bpf; // bpftool's skeleton of bpf/kudo.bpf.c

namespace kudo {

// The programs as they are pinned: what each copy of the object serves.
enum class Program {
    Xdp,           // Ethernet ingress, counts
    XdpHandover,   // the same while ingress moves between XDP and tc: tells TcIngress what it has counted
    XdpGeneric,    // Ethernet ingress before TcIngress: counts only what it drops
    TcIngress,     // Ethernet ingress, counts what XdpHandover has not
    TcIngressMark, // Ethernet ingress beside native XDP: sets the firewall mark only
    TcEgress,      // Ethernet egress
    IpTcIngress,   // ingress without an Ethernet header, counts
    IpTcEgress,    // egress without an Ethernet header
    Clock,         // attached nowhere: see clock.h
};

class DataPath {
public:
    // The pinned one. NotEnabled if there is none; an Error with ENOENT if parts of it are missing.
    static Result<DataPath> open(const Instance& instance);
    // Loads the maps beside whatever is there, lets `prepare` fill them, takes over what an older or damaged data path
    // has attached, and puts the folder in place in one step. `max_flows`: entries of the IPv4 flow table; the IPv6 one
    // has a quarter of it.
    static Result<DataPath> create(const Instance& instance, uint32_t max_flows,
                                   const std::function<Result<void>(DataPath&)>& prepare);

    // Makes the folders, and the owner's name, that somebody has deleted.
    [[nodiscard]] Result<void> mend_folders(const Instance& instance) const;

    // The pinned program, loaded now if this build's is not there yet.
    Result<Fd> program(Program which);
    // The pinned program of this build. The Error's number is ENOENT if it is not loaded.
    [[nodiscard]] Result<Fd> pinned_program(Program which) const;
    // Deletes programs that other builds have left. Links keep theirs alive until they are updated.
    void remove_foreign_programs();

    [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }
    [[nodiscard]] std::filesystem::path links() const { return folder_ / "links"; }
    [[nodiscard]] uint64_t instance() const { return instance_; } // instance_id()

    struct Maps {
        Fd lpm4[2], lpm6[2], allow4[2], allow6[2]; // by slot
        Fd flows4, flows6, rtp4, rtp6, qualities, probes4, probes6, videos4, videos6, strays4, strays6, queries,
            responses, last_query, learned4, learned6, learned_filter, openings, hellos4, hellos6, last_hello,
            outgoing4, outgoing6, fragments, denied4, denied6, runs, interfaces, cpus, services, grace, active,
            policies, clock;
    };
    [[nodiscard]] const Maps& maps() const { return maps_; }
    // Of a loaded object.
    static Result<Maps> maps_of(const kudo_bpf& skeleton);

private:
    DataPath(const Instance& instance, std::filesystem::path folder, Maps maps)
        : instance_(instance_id(instance)), folder_(std::move(folder)), maps_(std::move(maps)) {}
    Result<void> load_programs(Program which);

    uint64_t instance_;
    std::filesystem::path folder_;
    Maps maps_;
};

} // namespace kudo
