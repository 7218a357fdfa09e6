// SPDX-License-Identifier: MIT
// What the answers of reach.h's probes prove. Pure.
// Invariant: as reach.h's.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "agent/doctor/check.h"
#include "agent/doctor/examination.h"

namespace kudo {

CheckReport judge_media_udp(const MediaServers& servers, const Subject& subject);
CheckReport judge_media_tcp(const MediaServers& servers);
CheckReport judge_nat(const MediaServers& servers, const Subject& subject);

// `what`: "TLS to TCP 443". At least one probe.
CheckReport judge_tls(const std::vector<TlsProbe>& probes, const std::string& what);
// The same, or, where only what a proxy is set for has failed, that it is not known.
CheckReport unless_proxied(CheckReport report, const std::vector<TlsProbe>& probes, const Subject& subject);

std::string rtt_text(std::chrono::microseconds time); // "12.3 ms"

} // namespace kudo
