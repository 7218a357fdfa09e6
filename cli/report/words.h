// SPDX-License-Identifier: MIT
// What the page and the text of a report say of its fields.
// Invariant: pure; of anybody's report: what is missing gives an empty text.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli/terminal/json.h"

namespace kudo {

// "met", "doubtful", "not met", "not known"; "pass", "warn", "fail", "skip" of a check are as they are.
std::string result_words(std::string_view result);
// "certain that it is lost there: it was counted where it happened"
std::string confidence_words(const OrderedJson& answer);
// "2022-03-01 12:00:00 UTC" of RFC 3339.
std::string time_words(const std::string& time);
// Whether somebody must act, nobody, or that is not known: "bad", "good", "unknown".
std::string_view answer_kind(const OrderedJson& document);
// "8 of 2000 (0.40 %)" of all incoming streams of a flow; "-" where there are none.
std::string flow_loss_words(const OrderedJson& flow);
std::string flow_rtt_words(const OrderedJson& flow); // "12 ms"; "-"
std::string process_words(const OrderedJson& flow);  // "chromium"; "-"
// "10.0.0.2:40000"
std::string end_words(const OrderedJson& flow, const char* address, const char* port);
std::string counter_words(const OrderedJson& counter); // "2000 packets, 2.0 MB"
// The strings of a list.
std::vector<std::string> sentences(const OrderedJson& list);
// The signature of the map in effect: "signed by RW…", "built in: part of kudo-agent itself, …".
std::string signature_words(const OrderedJson& map);

} // namespace kudo
