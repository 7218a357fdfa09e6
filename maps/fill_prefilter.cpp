// SPDX-License-Identifier: MIT
// Fills the prefilters of a policy. Used by the compiler of policies.
// Invariant: see fill_prefilter.h. A bit depends on the address's first bits only, so the outermost prefixes suffice.
#include "maps/fill_prefilter.h"

#include <algorithm>
#include <bit>

#include "bpf/prefilter.h"

namespace kudo {
namespace {

uint32_t first_32_bits(const Address& address) {
    uint32_t high = 0;
    for (std::size_t i = 0; i < 4; ++i)
        high = high << 8 | address.bytes[i];
    return high;
}

class Bitmap {
public:
    explicit Bitmap(__u64* words) : words_(words) {}
    void set(uint32_t bit) {
        const __u64 mask = __u64{1} << (bit & 63);
        if (!(words_[bit >> 6] & mask)) --clear_;
        words_[bit >> 6] |= mask;
    }
    void set_all() {
        std::fill_n(words_, KUDO_PREFILTER_WORDS, ~__u64{0});
        clear_ = 0;
    }
    [[nodiscard]] bool full() const { return clear_ == 0; }

private:
    __u64* words_; // all zero at first
    unsigned clear_ = KUDO_PREFILTER_BITS;
};

void add4(Bitmap& bitmap, const Prefix& prefix) {
    const uint32_t first = kudo_prefilter4_bit(first_32_bits(prefix.address));
    const uint32_t count = prefix.length >= KUDO_PREFILTER4_EXACT ? 1 : 1u << (KUDO_PREFILTER4_EXACT - prefix.length);
    for (uint32_t i = 0; i < count; ++i)
        bitmap.set(first + i);
}

void add6(Bitmap& bitmap, const Prefix& prefix) {
    // From here on a prefix reaches about as many first halves as there are bits, or more.
    if (prefix.length <= KUDO_PREFILTER6_EXACT - std::bit_width(unsigned{KUDO_PREFILTER_BITS - 1})) {
        bitmap.set_all();
        return;
    }
    const uint32_t first = first_32_bits(prefix.address);
    const uint32_t count = prefix.length >= KUDO_PREFILTER6_EXACT ? 1 : 1u << (KUDO_PREFILTER6_EXACT - prefix.length);
    for (uint32_t i = 0; i < count; ++i)
        bitmap.set(kudo_prefilter6_bit(first + i));
}

} // namespace

void fill_prefilters(kudo_policy& policy, std::span<const TrieEntry> entries) {
    Bitmap bitmap4(policy.prefilter4), bitmap6(policy.prefilter6);
    for (const TrieEntry& entry : entries) {
        if (!entry.outermost) continue;
        const bool ipv4 = entry.prefix.address.family == Family::IPv4;
        if (ipv4 && !bitmap4.full()) add4(bitmap4, entry.prefix);
        if (!ipv4 && !bitmap6.full()) add6(bitmap6, entry.prefix);
    }
}

} // namespace kudo
