// SPDX-License-Identifier: MIT
// libFuzzer target: any bytes as the payload of a DNS datagram, on its way out and in.
// Built with -fsanitize=fuzzer,address,undefined.
// Invariant: nothing is read behind the bytes; the data path and the reader agree on whose question it is; a name that
// is read has only the characters of names.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string_view>

#include "agent/inspect/dns_message.h"
#include "bpf/dns.h"
#include "maps/document/domain.h"

namespace {

void require(bool condition) {
    if (!condition) std::abort();
}

// At the very end of its memory; the data path has a window of a fixed size.
std::unique_ptr<uint8_t[]> exact(const uint8_t* data, std::size_t size, std::size_t room) {
    auto copy = std::make_unique<uint8_t[]>(room);
    std::copy_n(data, size, copy.get());
    return copy;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
    const std::size_t seen = std::min<std::size_t>(size, KUDO_DNS_WINDOW);
    const auto window = exact(data, seen, KUDO_DNS_WINDOW);
    kudo_dns_query question{};
    const bool asks = kudo_read_dns_query(window.get(), static_cast<uint32_t>(seen), &question) != 0;
    require(!asks || seen > KUDO_DNS_HEADER + 4);

    const auto message = exact(data, size, size);
    const auto answer = kudo::read_dns_answer({message.get(), size});
    require(!(asks && answer)); // one is a query, the other a response
    if (!answer) return 0;
    require(!answer->name.empty());
    for (const char c : answer->name)
        require((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.');
    // Made a question again, its name ends as the answer's does.
    if (size < KUDO_DNS_HEADER + 1 || answer->name.find('.') == std::string::npos) return 0;
    window[2] = 1;
    window[3] = window[4] = window[6] = window[7] = 0;
    window[5] = 1;
    if (kudo_read_dns_query(window.get(), static_cast<uint32_t>(seen), &question))
        require(question.ending == kudo::name_ending(answer->name));
    return 0;
}
