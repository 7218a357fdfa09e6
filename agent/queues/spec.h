// SPDX-License-Identifier: MIT
// What the administrator asks of an interface's queues.
// Invariant: a rate is in bits per second of layer 2, as tc means it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "maps/base/result.h"

namespace kudo {

enum class QueueKind { Cake, Htb, Prio, PfifoFast };
inline constexpr QueueKind queue_kinds[] = {QueueKind::Cake, QueueKind::Htb, QueueKind::Prio,
                                            QueueKind::PfifoFast}; // best first
std::string_view queue_kind_name(QueueKind kind);                  // tc's: "cake", "htb", "prio", "pfifo_fast"
std::optional<QueueKind> queue_kind_of(std::string_view name);

struct RateBounds {
    uint64_t min = 0, max = 0;
    bool operator==(const RateBounds&) const = default;
};

struct ShaperSpec {
    enum class Kind { Off, Auto, Rate, AutoRate } kind = Kind::Auto;
    uint64_t bits_per_second = 0; // of Rate; of AutoRate: where it begins, the most
    RateBounds bounds{};          // of AutoRate: the service follows the line between them
    [[nodiscard]] bool has_rate() const { return kind == Kind::Rate || kind == Kind::AutoRate; }
    bool operator==(const ShaperSpec&) const = default;
};
// "off", "auto", a rate in tc's units (tc(8), PARAMETERS): 20mbit, 2.5gbit, 1mibit, and bytes: 2mbps, or
// "auto-rate:MIN-MAX" of two of them. A bare number is bits per second. 64 kbit/s to 100 Gbit/s.
Result<ShaperSpec> parse_line(std::string_view text);
// "off", "auto", "19800000bit", "auto-rate:2000000bit-50000000bit"; parse_line() reads it back.
std::string line_text(const ShaperSpec& line);
std::string rate_text(uint64_t bits_per_second); // "19.8 Mbit/s", for people

struct QueueSpec {
    ShaperSpec uplink, downlink;
    std::optional<QueueKind> kind; // nothing: the best that the kernel has
    bool replace_qdisc = false;    // also where the admin has made the queue
    [[nodiscard]] bool follows() const {
        return uplink.kind == ShaperSpec::Kind::AutoRate || downlink.kind == ShaperSpec::Kind::AutoRate;
    }
    bool operator==(const QueueSpec&) const = default;
};

} // namespace kudo
