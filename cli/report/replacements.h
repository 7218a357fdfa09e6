// SPDX-License-Identifier: MIT
// Finds addresses, names and given words in a text and puts others in their place.
// Invariant: pure but for its memory of what stands for what: the same gets the same, in whatever case or notation.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/report/redaction.h"

namespace kudo {

class Replacements {
public:
    explicit Replacements(const Identities& identities);

    // From now on the word is replaced wherever it stands by itself: "process-1" for kind "process".
    void add_word(const std::string& word, const std::string& kind);
    // What was given by a name that is KUDO's.
    void keep(const Address& address) { kept_.insert(address); }
    [[nodiscard]] std::string apply(std::string_view text);

private:
    // How many characters of `text` from `at` on were taken, and what is put there; 0: nothing begins here.
    struct Found {
        std::size_t length = 0;
        std::string instead{};
    };
    Found find_address(std::string_view text, std::size_t at);
    Found find_hardware_address(std::string_view text, std::size_t at);
    Found find_home(std::string_view text, std::size_t at);
    Found find_word(std::string_view text, std::size_t at) const;
    Found find_domain_name(std::string_view text, std::size_t at);
    std::string name_of(const Address& address);
    std::string numbered(const std::string& kind, const std::string& what);
    [[nodiscard]] bool is_kudo(std::string_view name) const;

    std::set<Address> own_, kept_;
    std::vector<Prefix> kudo_;
    std::vector<std::string> domains_;                                       // of KUDO, without "*."
    std::map<char, std::vector<std::pair<std::string, std::string>>> words_; // by the first letter, the longest first
    std::map<std::string, std::string> names_;                               // what stands for what, by kind and text
    std::map<std::string, std::size_t> counts_;                              // by kind
};

} // namespace kudo
