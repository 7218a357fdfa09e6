// SPDX-License-Identifier: MIT
// The options of `run` for flow records: agent/flowrecords/exporter.h.
#pragma once

#include <string>
#include <vector>

#include <CLI/App.hpp>

#include "agent/flowrecords/exporter.h"
#include "agent/service/service.h"
#include "cli/arguments/command.h"

namespace kudo {

struct FlowRecordOptions {
    std::vector<FlowDestination> destinations;
    std::string every = "60s";
    TlsFiles tls;
    uint32_t enterprise = documentation_enterprise, domain = 1;
};
void add_flow_record_options(CLI::App& app, FlowRecordOptions& options);

// BadInput: options that do not belong together. Without a destination nothing is added.
Result<void> add_flow_records(const FlowRecordOptions& options, const GlobalOptions& global, ServiceSettings& settings);

} // namespace kudo
