// SPDX-License-Identifier: MIT
// What is attached, asked of the kernel alone: the order in which programs run, and what an instance has attached whose
// pins are lost, covered by another mount or of an unknown version.
// Invariant: an instance's own is told by the number in its programs (kudo_instance in bpf/kudo.bpf.c) or in its
// filters' handles, never by a name alone.
#pragma once

#include <linux/bpf.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/system/fd.h"
#include "maps/base/result.h"

namespace kudo {

// linux/bpf.h >= 6.6, enum bpf_attach_type; libbpf 1.1 and Debian 12's header do not know them yet.
inline constexpr auto bpf_tcx_ingress = static_cast<bpf_attach_type>(46);
inline constexpr auto bpf_tcx_egress = static_cast<bpf_attach_type>(47);

// The programs on a tcx hook (linux/bpf.h >= 6.6), ids in the order in which they run; none where the kernel does not
// know tcx. Of the calling thread's network namespace, as all here. Needs CAP_NET_ADMIN.
std::vector<uint32_t> tcx_programs(uint32_t interface, bool ingress);
// Does the kernel know tcx? As far as can be told by this interface.
bool has_tcx(uint32_t interface);
// All programs on an interface's tcx and XDP hooks.
struct HookProgram {
    std::string hook; // "tcx ingress", "tcx egress", "XDP"
    uint32_t id = 0;
};
std::vector<HookProgram> programs_on(uint32_t interface);
// How the XDP program of an interface is attached.
struct XdpAttachment {
    std::string mode{}; // as ip-link(8) calls it: "xdpgeneric", "xdpdrv", "xdpoffload"; empty: none, or several
    std::optional<bool> by_link{}; // by a BPF link, which only its owner detaches; nothing: links may not be listed
};
XdpAttachment xdp_attachment(uint32_t interface);
// Is it a tc program of any instance of kudo-agent? They pass on all that they do not drop. By its name and the number
// that it carries; false where these may not be read.
bool is_kudo_tc_program(uint32_t id);
// Does any instance of kudo-agent have a program at the interface's egress, by tcx or a tc filter? As far as may be
// read.
bool has_kudo_egress(uint32_t interface);
inline constexpr std::string_view kudo_tc_names = "kudo_tc_"; // what the names begin with

// "cil_from_netdev (#12)"; "#12" where its name may not be read, which takes CAP_SYS_ADMIN.
std::string program_text(uint32_t id);

// A link of type XDP or tcx, or on a tracepoint, whose program is the instance's.
struct OwnLink {
    Fd fd;
    uint32_t id = 0, interface = 0, program = 0; // interface 0: on a tracepoint
    bool xdp = false;
};
// NotPermitted without CAP_SYS_ADMIN.
Result<std::vector<OwnLink>> find_own_links(uint64_t instance);

// Does another instance of kudo-agent have programs or filters on this interface? What else it has there is its own
// then. Unknown: some program's name may not be read.
enum class OtherInstance { No, Yes, Unknown };
Result<OtherInstance> other_instance_on(uint32_t interface, uint64_t instance);

// The handle of the instance's tc filters: "KU", and 16 bits of its number. Earlier versions had "KUDO" for every
// instance.
inline constexpr uint32_t filter_handle_mask = 0xffff0000, filter_handle_prefix = 0x4b550000,
                          filter_handle_of_all = 0x4b55444f;
uint32_t filter_handle(uint64_t instance);

} // namespace kudo
