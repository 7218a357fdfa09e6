// SPDX-License-Identifier: MIT
// Flow records as IPFIX Messages (RFC 7011), by libfixbuf, which here only writes into memory.
// Invariant: no message is larger than max_message, so each fits into a datagram on every usual path.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "agent/flowrecords/data_record.h"
#include "maps/base/result.h"

namespace kudo {

inline constexpr std::size_t max_message = 1400;

// One Transport Session: sequence numbers begin at zero, and nothing has been told of templates.
class IpfixEncoder {
public:
    // `enterprise`: of our own elements. `domain`: Observation Domain ID.
    static Result<IpfixEncoder> make(uint32_t enterprise, uint32_t domain);
    IpfixEncoder(IpfixEncoder&&) noexcept;
    IpfixEncoder& operator=(IpfixEncoder&&) noexcept;
    ~IpfixEncoder();

    // Templates, and the types of our elements (RFC 5610).
    Result<std::vector<std::string>> templates();
    Result<std::vector<std::string>> records(std::span<const DataRecord> records);

private:
    struct Session;
    explicit IpfixEncoder(std::unique_ptr<Session> session);
    std::unique_ptr<Session> session_;
};

} // namespace kudo
