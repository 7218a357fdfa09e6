// SPDX-License-Identifier: MIT
// The walk of bpf/tls.h through a ClientHello, without a kernel.
#pragma once

#include <algorithm>
#include <array>
#include <memory>
#include <span>
#include <string>

#include "bpf/tls.h"

namespace kudo::test {

struct TlsWalk {
    int state = KUDO_HELLO_BAD; // enum kudo_hello_state
    std::string name;
    bool has_ech = false;
    std::array<uint8_t, KUDO_QUESTION_BYTES + 4> question{}; // of a DNS query for the name
    uint32_t question_length = 0;
};

// In memory of just the size that the programs have.
inline TlsWalk tls_walk_of(std::span<const uint8_t> hello) {
    TlsWalk result;
    const auto memory = std::make_unique<std::array<uint8_t, KUDO_HELLO_BYTES>>();
    const auto available = static_cast<uint32_t>(std::min<std::size_t>(hello.size(), memory->size()));
    std::copy_n(hello.begin(), available, memory->begin());
    if (available < KUDO_HELLO_LEAST || !kudo_begins_hello(memory->data())) return result;
    kudo_hello_walk walk{};
    result.state = kudo_read_hello(memory->data(), available, &walk);
    for (uint32_t i = 0; i < KUDO_HELLO_EXTENSIONS && result.state == KUDO_HELLO_GOES_ON; i++)
        result.state = kudo_read_extension(memory->data(), available, &walk);
    result.has_ech = walk.has_ech != 0;
    if (walk.length == 0) return result;
    result.name.assign(memory->begin() + walk.name, memory->begin() + walk.name + walk.length);
    result.question_length = kudo_put_question(memory->data(), &walk, result.question.data());
    return result;
}

} // namespace kudo::test
