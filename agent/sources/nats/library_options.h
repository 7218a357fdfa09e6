// SPDX-License-Identifier: MIT
// From our options to libnats's.
// Invariant: a setting that libnats refuses is an Error, never a connection without it: TLS is never dropped.
#pragma once

#include "agent/sources/nats/handles.h"
#include "agent/sources/nats/options.h"

namespace kudo {

// What libnats is to know of the server and of us. Files are read now.
Result<NatsHandle<natsOptions, natsOptions_Destroy>> nats_wishes(const NatsOptions& options);

} // namespace kudo
