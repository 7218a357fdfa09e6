// SPDX-License-Identifier: MIT
// libFuzzer target: any bytes as a range map and as a vendor's list. Built with -fsanitize=fuzzer,address,undefined.
// Invariant: what the reader accepts is written and read back unchanged, compiles without a crash, and every range's
// first address is found again in the trie and in the prefilter.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include <arpa/inet.h>

#include "bpf/prefilter.h"
#include "maps/compile/compile.h"
#include "maps/document/built_in.h"
#include "maps/document/diff.h"
#include "maps/document/overlaps.h"
#include "maps/document/parse_range_map.h"
#include "maps/document/range_map.h"
#include "maps/document/vendor_list.h"
#include "maps/document/write_range_map.h"
#include "maps/trust/document.h"

namespace {

void require(bool condition) {
    if (!condition) std::abort();
}

bool is_one_printable_line(std::string_view text) {
    for (const char character : text) {
        if (character < ' ' || character > '~') return false;
    }
    return text.size() < 4096;
}

void check_round_trip(const kudo::RangeMap& map) {
    const std::string once = kudo::to_json(map);
    if (once.size() > kudo::range_map_max_bytes) return; // the canonical form is longer than a dense original
    const auto again = kudo::parse_range_map(once, "again");
    require(again.has_value());
    require(kudo::to_json(*again) == once);
    require(kudo::diff(map, *again).changes.empty());
}

void check_compiled(const kudo::RangeMap& map) {
    kudo::CompileOptions options;
    options.regions = map.regions();
    for (const kudo::Service& service : map.services) {
        if (service.optional) options.optional_services.push_back(service.name);
    }
    const auto compiled = kudo::compile(map, options);
    if (!compiled) {
        require(is_one_printable_line(compiled.error().message));
        return;
    }
    for (const kudo::Service& service : map.services) {
        for (const kudo::Range& range : service.ranges) {
            const kudo::Address& address = range.prefix.address;
            require(kudo::longest_match(*compiled, address) != nullptr);
            uint32_t high;
            std::memcpy(&high, address.bytes.data(), sizeof high);
            high = ntohl(high);
            require(address.family == kudo::Family::IPv4
                        ? kudo_bit_is_set(compiled->policy->prefilter4, kudo_prefilter4_bit(high))
                        : kudo_bit_is_set(compiled->policy->prefilter6, kudo_prefilter6_bit(high)));
        }
    }
}

void check(const kudo::Result<kudo::RangeMap>& map) {
    if (!map) {
        require(is_one_printable_line(map.error().message));
        return;
    }
    check_round_trip(*map);
    check_compiled(*map);
    (void)kudo::find_overlaps(*map);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    check(kudo::parse_range_map(text, "fuzz"));
    const auto document = kudo::parse_document_text(text, "fuzz");
    if (!document)
        require(is_one_printable_line(document.error().message));
    else if (const auto* list = std::get_if<kudo::VendorList>(&*document))
        check(kudo::apply_vendor_list(kudo::built_in_range_map(), *list, "fuzz"));
    return 0;
}
