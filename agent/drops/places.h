// SPDX-License-Identifier: MIT
// Addresses of the kernel's code as "function+0x12", by /proc/kallsyms.
// Invariant: an address that cannot be told is "unknown"; no name is guessed.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace kudo {

inline constexpr std::string_view unknown_place = "unknown";

class Places {
public:
    // The running kernel's: 50 ms, so read it only where there is something to name. Empty where
    // kptr_restrict hides the addresses.
    static Places of_running_kernel();
    // As /proc/kallsyms is: "ffffffff81000000 T _text\t[module]".
    static Places parse(std::string_view kallsyms);

    // `address`: where a call returns to, so the function is the one of the byte before.
    [[nodiscard]] std::string name(uint64_t address) const;
    [[nodiscard]] bool empty() const { return symbols_.empty(); }

private:
    struct Symbol {
        uint64_t address;
        uint32_t name; // offset into names_, zero-terminated
    };
    std::vector<Symbol> symbols_; // by address
    std::string names_;
};

// "nft_do_chain" of "nft_do_chain+0x5f3"; without what compilers add (".isra.0"); "" of an unknown place.
std::string_view function_of(std::string_view place);

} // namespace kudo
