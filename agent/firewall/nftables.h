// SPDX-License-Identifier: MIT
// nftables of this thread's network namespace, by libnftables (libnftables(3)).
// Invariant: all commands of one call are one transaction: the kernel takes all of them or none.
#pragma once

#include <string>

#include "maps/base/result.h"

namespace kudo {

// What the commands, in nft(8)'s language, print. `flags`: NFT_CTX_OUTPUT_*. Errors have nftables' own words, without
// where in the command: NotPermitted without CAP_NET_ADMIN;
// number EPROTONOSUPPORT where the kernel has no netfilter sockets; ENOENT where what a command names is not there.
Result<std::string> run_nftables(const std::string& commands, unsigned flags = 0);

} // namespace kudo
