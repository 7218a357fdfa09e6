// SPDX-License-Identifier: MIT
#include "agent/drops/places.h"

#include <algorithm>
#include <cctype>
#include <charconv>

#include <fmt/format.h>

#include "agent/system/files.h"

namespace kudo {
namespace {

constexpr uint64_t longest_function = 1 << 20; // beyond it the address is in no function

constexpr std::size_t max_symbols = 256 << 20; // bytes; a kernel's are some 10 MB

} // namespace

Places Places::parse(std::string_view kallsyms) {
    Places places;
    while (!kallsyms.empty()) {
        const std::string_view line = kallsyms.substr(0, kallsyms.find('\n'));
        kallsyms.remove_prefix(std::min(kallsyms.size(), line.size() + 1));
        uint64_t address = 0;
        const char* end = line.data() + line.size();
        const auto [rest, wrong] = std::from_chars(line.data(), end, address, 16);
        if (wrong != std::errc{} || address == 0 || end - rest < 4) continue;
        const char type = rest[1];
        if (std::tolower(static_cast<unsigned char>(type)) != 't' && type != 'w' && type != 'W') continue;
        const std::string_view name(rest + 3, static_cast<std::size_t>(std::find(rest + 3, end, '\t') - (rest + 3)));
        places.symbols_.push_back({address, static_cast<uint32_t>(places.names_.size())});
        places.names_.append(name).push_back('\0');
    }
    if (!std::ranges::is_sorted(places.symbols_, {}, &Symbol::address))
        std::ranges::stable_sort(places.symbols_, {}, &Symbol::address);
    return places;
}

Places Places::of_running_kernel() {
    const auto kallsyms = read_file("/proc/kallsyms", max_symbols);
    return kallsyms ? parse(*kallsyms) : Places();
}

std::string Places::name(uint64_t address) const {
    auto after = std::ranges::upper_bound(symbols_, address - 1, {}, &Symbol::address);
    if (after == symbols_.begin()) return std::string(unknown_place);
    // Of several names for one address the first.
    const uint64_t begin = std::prev(after)->address;
    const auto symbol = std::ranges::lower_bound(symbols_, begin, {}, &Symbol::address);
    if (address - begin > longest_function) return std::string(unknown_place);
    return fmt::format("{}+{:#x}", &names_[symbol->name], address - begin);
}

std::string_view function_of(std::string_view place) {
    const std::size_t end = place.find_first_of("+.");
    return place == unknown_place ? std::string_view() : place.substr(0, end);
}

} // namespace kudo
