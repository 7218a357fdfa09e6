// SPDX-License-Identifier: MIT
// Any bytes as a ClientHello: what is read as its name is in it, behind the right lengths.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "tests/support/tls_walk.h"

namespace {

void require(bool what) {
    if (!what) std::abort();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
    const kudo::test::TlsWalk walk = kudo::test::tls_walk_of({data, size});
    require(walk.state >= KUDO_HELLO_GOES_ON && walk.state <= KUDO_HELLO_BAD);
    if (walk.name.empty()) return 0;
    const auto is_same = [](uint8_t byte, char letter) { return byte == static_cast<uint8_t>(letter); };
    require(std::search(data, data + size, walk.name.begin(), walk.name.end(), is_same) != data + size);
    require(walk.name.size() < KUDO_DNS_MAX_NAME);
    require(walk.question_length == KUDO_DNS_HEADER + walk.name.size() + 6);
    // What becomes of it as a question: dots, and nothing else, are lengths.
    for (std::size_t i = 0; i < walk.name.size(); i++)
        require(walk.name[i] == '.' || walk.question[KUDO_DNS_HEADER + 1 + i] == static_cast<uint8_t>(walk.name[i]));
    kudo_dns_query query{};
    kudo_dns_name name{};
    kudo_read_dns_name_by(kudo_add_query_label, walk.question.data(), walk.question_length, &name, &query);
    return 0;
}
