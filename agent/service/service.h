// SPDX-License-Identifier: MIT
// `kudo-agent run`: what needs time. Takes range maps from their sources, activates staged ones, withdraws retiring
// ones, keeps the kernel equal to the desired state, reports to the fleet and to systemd.
// Invariant: the data path needs none of it: a service that ends, however it ends, leaves the last good state in
// effect. It never waits for anything but its one epoll and, for a moment, the instance's lock.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <vector>

#include "agent/acceptance/acceptance.h"
#include "agent/inspect/status.h"
#include "agent/query/server.h"
#include "agent/service/exporter.h"
#include "agent/sources/source.h"
#include "agent/system/event_loop.h"
#include "agent/system/instance.h"

namespace kudo {

struct ServiceSettings {
    AcceptanceSettings acceptance;
    std::vector<std::unique_ptr<Source>> sources;
    std::vector<MapSource> map_sources; // the servers among them: what the lifeline of that name keeps reachable
    std::chrono::milliseconds reconcile_every = std::chrono::seconds(30);
    std::chrono::milliseconds reread_every = std::chrono::minutes(5); // at most; each time up to half of it less
    bool resolve_names = true; // look the map's exact names up: agent/names/resolver.h
    QuerySettings queries;     // of users without privileges
    std::vector<std::function<std::unique_ptr<Exporter>(EventLoop& loop)>> exporters;
    // Called after every change and at least at every reconcile.
    std::function<void(const Status&)> report;
};

// Blocks SIGTERM, SIGINT and SIGHUP in the calling thread, for it and all threads that are started later, until
// run_service() takes them. Call before any source is made.
Result<void> hold_signals();

// Runs until SIGTERM or SIGINT; SIGHUP reads every source again at once. Errors: another service has this instance;
// what keeps it from starting. What goes wrong later is logged, shown in the status, and tried again.
Result<void> run_service(const Instance& instance, ServiceSettings settings);

} // namespace kudo
