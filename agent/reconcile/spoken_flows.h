// SPDX-License-Identifier: MIT
// The flows that this host has open as mode enforce begins: their remotes may go on sending, as if the programs had
// seen this host speak first. Without it a live stream would be cut until this host's next packet in it. Invariant:
// only what this host has sent in, or has a connection for, is entered.
#pragma once

#include "agent/datapath/datapath.h"
#include "maps/base/result.h"

namespace kudo {

// Enters KUDO's flows with outgoing packets, connected UDP sockets and TCP connections. Errors: what could not be read;
// the rest was entered.
Result<void> enter_spoken_flows(const DataPath::Maps& maps);

} // namespace kudo
