// SPDX-License-Identifier: MIT
#include "tests/oracle/stream.h"

#include <bit>
#include <stdexcept>
#include <system_error>

namespace kudo::test {

static_assert(std::endian::native == std::endian::little, "numbers are read as they are written");

Stream::Stream(const std::string& command) : file_(popen(command.c_str(), "re")) {
    if (!file_) throw std::system_error(errno, std::generic_category(), command);
    std::setvbuf(file_.get(), nullptr, _IOFBF, 1 << 18);
}

void Stream::read(void* to, std::size_t size) {
    if (std::fread(to, 1, size, file_.get()) != size) throw std::runtime_error("the generator ended within a session");
}

template <typename T> T Stream::number() {
    T value;
    read(&value, sizeof value);
    return value;
}

bool Stream::next(Record& record) {
    const int kind = std::getc(file_.get());
    switch (kind) {
    case EOF:
        return false;
    case 'S': {
        std::string text(number<uint32_t>(), '\0');
        read(text.data(), text.size());
        record = SessionBegin{std::move(text)};
        return true;
    }
    case 'P': {
        if (!std::holds_alternative<ExpectedPacket>(record)) record = ExpectedPacket{};
        auto& packet = std::get<ExpectedPacket>(record);
        packet.hook = static_cast<Hook>(number<uint8_t>());
        packet.reason = number<uint8_t>();
        packet.dropped = number<uint8_t>() != 0;
        packet.would_drop = number<uint8_t>();
        packet.alternative = number<uint8_t>();
        packet.segment_size = number<uint16_t>();
        packet.segments = number<uint16_t>();
        packet.first_buffer = number<uint16_t>();
        packet.frame.resize(number<uint16_t>());
        read(packet.frame.data(), packet.frame.size());
        return true;
    }
    case 'A':
        record = TimePasses{number<uint32_t>()};
        return true;
    case 'E':
        record = SessionEnd{};
        return true;
    default:
        throw std::runtime_error("no record begins with byte " + std::to_string(kind));
    }
}

} // namespace kudo::test
