// SPDX-License-Identifier: MIT
// From our options to libnats's.
// Invariant: a setting that libnats refuses is an Error, never a connection without it: TLS is never dropped.
#pragma once

#include "agent/sources/nats/handles.h"
#include "agent/sources/nats/options.h"

namespace kudo {

struct LibraryOptions {
    NatsHandle<natsOptions, natsOptions_Destroy> options;
    bool signs = false; // the credentials are proved by a signature
};

// Reads the files that the options name: a replaced file of credentials takes effect at the next connection. No secret
// gets into an error's text.
Result<LibraryOptions> library_options(const NatsOptions& options);

} // namespace kudo
