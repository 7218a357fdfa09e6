// SPDX-License-Identifier: MIT
// What generate.py writes, read record by record. The format is described there.
// Invariant: what is cut short or is no record throws.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <variant>

#include "tests/support/packet_builder.h"

namespace kudo::test {

enum class Hook : uint8_t { Xdp = 0, TcIngress = 1, TcEgress = 2 };

struct SessionBegin {
    std::string policy; // JSON: RandomPolicy.document in policies.py
};

struct ExpectedPacket {
    static constexpr uint8_t no_reason = 255;
    static constexpr uint16_t whole_frame = 65535;
    Hook hook = Hook::Xdp;
    uint8_t reason = 0; // place in the session's list of names
    bool dropped = false;
    uint8_t would_drop = no_reason;
    uint8_t alternative = no_reason; // will do as well as `reason`
    uint16_t segment_size = 0, segments = 0;
    uint16_t first_buffer = whole_frame;
    Bytes frame;
};

struct TimePasses {
    uint32_t seconds = 0;
};

struct SessionEnd {};

using Record = std::variant<SessionBegin, ExpectedPacket, TimePasses, SessionEnd>;

class Stream {
public:
    // Runs the command by the shell and reads its standard output. It ends, by SIGPIPE, with the object.
    explicit Stream(const std::string& command);
    // False: the stream has ended. Bytes of a frame are read into what the record holds, if it is one.
    bool next(Record& record);

private:
    template <typename T> T number();
    void read(void* to, std::size_t size);

    struct Close {
        void operator()(std::FILE* file) const { pclose(file); }
    };
    std::unique_ptr<std::FILE, Close> file_;
};

} // namespace kudo::test
