// SPDX-License-Identifier: MIT
// The parts of the benchmark, one file each.
#pragma once

#include "tests/bench/measure.h"
#include "tests/support/test_host.h"

namespace kudo::bench {

void measure_packets(const test::TestHost& host, Report& report);    // ns per packet, by kind
void measure_line(const test::TestHost& host, Report& report);       // frames over a veth pair
void measure_enforce(const test::TestHost& host, Report& report);    // the same in mode enforce
void measure_peers(const test::TestHost& host, Report& report);      // the same packets by nftables and xdp-filter
void measure_drops(const test::TestHost& host, Report& report);      // packets that the kernel drops
void measure_bulk(const test::TestHost& host, Report& report);       // bulk TCP over a veth pair
void measure_flood(const test::TestHost& host, Report& report);      // the same in mode enforce, beside a flood
void measure_prefixes(const test::TestHost& host, Report& report);   // many ranges
void measure_flows(const test::TestHost& host, Report& report);      // many flows
void measure_top(const test::TestHost& host, Report& report);        // the live view of many flows
void measure_service(const test::TestHost& host, Report& report);    // the service, alone and with many flows
void measure_commands(const test::TestHost& host, Report& report);   // whole processes
void measure_contention(const test::TestHost& host, Report& report); // media on a full line
void measure_autorate(const test::TestHost& host, Report& report);   // media on a full line whose rate changes

} // namespace kudo::bench
