// SPDX-License-Identifier: MIT
// A bit depends on the address's first bits only, so the outermost prefixes suffice.
#include "maps/compile/fill_prefilter.h"

#include <algorithm>

#include "bpf/prefilter.h"

namespace kudo {
namespace {

// The address's first 64 bits; IPv4's 32 stand in the upper half.
uint64_t first_bits(const Address& address) {
    const std::size_t known = address.family == Family::IPv4 ? 4 : 8;
    uint64_t high = 0;
    for (std::size_t i = 0; i < 8; ++i)
        high = high << 8 | (i < known ? address.bytes[i] : 0);
    return high;
}

// One prefilter. Its bit for an address depends on the first `exact` bits only.
class Bitmap {
public:
    Bitmap(std::span<__u64> words, unsigned exact, uint32_t (*bit)(uint64_t high))
        : words_(words), clear_(words.size() * 64), exact_(exact), bit_(bit) {}

    // Every bit that an address of the prefix falls on.
    void add(const Prefix& prefix) {
        if (clear_ == 0) return;
        const unsigned free = prefix.length >= exact_ ? 0 : exact_ - prefix.length;
        // From here on it reaches about as many bits as there are, or more.
        if (std::size_t{1} << std::min(free, 63u) >= words_.size() * 64) {
            std::ranges::fill(words_, ~__u64{0});
            clear_ = 0;
            return;
        }
        const uint64_t first = first_bits(prefix.address);
        for (uint64_t i = 0; i < uint64_t{1} << free; ++i)
            set(bit_(first + (i << (64 - exact_))));
    }

private:
    void set(uint32_t bit) {
        const __u64 mask = __u64{1} << (bit & 63);
        clear_ -= !(words_[bit >> 6] & mask);
        words_[bit >> 6] |= mask;
    }

    std::span<__u64> words_; // all zero at first
    std::size_t clear_;
    unsigned exact_;
    uint32_t (*bit_)(uint64_t);
};

} // namespace

void fill_prefilters(kudo_policy& policy, std::span<const TrieEntry> entries) {
    Bitmap coarse4(policy.prefilter4, KUDO_PREFILTER4_EXACT,
                   [](uint64_t high) { return kudo_prefilter4_bit(static_cast<uint32_t>(high >> 32)); });
    Bitmap fine4(policy.prefilter4_fine, KUDO_PREFILTER4_FINE,
                 [](uint64_t high) { return kudo_prefilter4_fine_bit(static_cast<uint32_t>(high >> 32)); });
    Bitmap coarse6(policy.prefilter6, KUDO_PREFILTER6_EXACT,
                   [](uint64_t high) { return kudo_prefilter6_bit(static_cast<uint32_t>(high >> 32)); });
    Bitmap fine6(policy.prefilter6_fine, KUDO_PREFILTER6_FINE,
                 [](uint64_t high) { return kudo_prefilter6_fine_bit(high); });
    for (const TrieEntry& entry : entries) {
        if (!entry.outermost) continue;
        const bool ipv4 = entry.prefix.address.family == Family::IPv4;
        (ipv4 ? coarse4 : coarse6).add(entry.prefix);
        (ipv4 ? fine4 : fine6).add(entry.prefix);
    }
}

} // namespace kudo
