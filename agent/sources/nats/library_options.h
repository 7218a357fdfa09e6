// SPDX-License-Identifier: MIT
// From our options to libnats's.
// Invariant: a setting that libnats refuses is an Error, never a connection without it: TLS is never dropped.
#pragma once

#include "agent/sources/nats/handles.h"
#include "agent/sources/nats/options.h"

namespace kudo {

// Reads the files that the options name.
Result<NatsHandle<natsOptions, natsOptions_Destroy>> library_options(const NatsOptions& options);

} // namespace kudo
